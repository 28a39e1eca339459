"""The benchmark that reads fields: what is asked, what counts as right, and a run on tiny models."""

import json
from typing import Any

import pytest
import torch
from test_text_control import MODEL, data, tiny_control

from benchmarks.text_fields import figures, likeliest, main, questions, read, request, schema_of, values_of
from domains.text.fields import Example, row

pytest.importorskip("jsonschema")
EXAMPLE = Example("The Mill is a pub.", (("name", "The Mill"), ("food", "French")), "restaurant", "k")
VALUES = {"name": ["The Mill", "Zizzi"], "food": ["French", "Japanese", "river"]}


def test_what_is_asked():
    free = request("unconstrained", EXAMPLE, "name", VALUES["name"], MODEL.alphabet)
    assert free == {"template": "[name] {1-2} [text] The Mill is a pub."}
    held = request("constrained", EXAMPLE, "name", VALUES["name"], MODEL.alphabet)
    assert held["template"] == free["template"] and "within(name" in held["constraint"]
    assert request("unread", EXAMPLE, "name", VALUES["name"], MODEL.alphabet)["template"] == "[name] {1-2} [text] {6}"


def test_values_are_the_schemas_where_they_are_held():
    for way in ("constrained", "unread"):
        made = {read(MODEL, way, EXAMPLE, "food", VALUES["food"], seed, 2) for seed in range(6)}
        assert made <= set(VALUES["food"]) and len(made) > 1
    assert not {read(MODEL, "unconstrained", EXAMPLE, "food", VALUES["food"], seed, 2) for seed in range(4)} <= set(
        VALUES["food"]
    )
    assert read(MODEL, "constrained", EXAMPLE, "food", ["a" * 60], 0, 2) == ""  # no room


def test_the_control_takes_the_likeliest_row():
    control = tiny_control()
    network: Any = control.network
    by_hand = {}
    for value in VALUES["food"]:
        ids = torch.tensor([row(EXAMPLE.text, (("food", value),), MODEL.alphabet)])
        by_hand[value] = float(network.log_likelihood(ids, torch.tensor([0])))
    assert likeliest(control, EXAMPLE, "food", VALUES["food"]) == max(by_hand, key=by_hand.__getitem__)
    assert len(set(by_hand.values())) == 3


def test_what_is_right_and_what_is_valid():
    asked = [(EXAMPLE, "name", "The Mill"), (EXAMPLE, "food", "French"), (EXAMPLE, "food", "French")]
    found = figures(asked, ["The Mill", "Japanese", "Frech"], VALUES)
    assert found["right"] == pytest.approx(1 / 3) and found["valid"] == pytest.approx(2 / 3)
    assert found["by_field"] == {"food": [0, 2], "name": [1, 1]}
    assert schema_of("food", ["a"])["properties"] == {"food": {"enum": ["a"]}}


def test_a_run_on_tiny_models(tmp_path, capsys):
    there = data(tmp_path)
    values = values_of(there)
    assert values["name"] == ["The Mill"] and len(values["food"]) > 80
    asked = questions(there, 2, values)
    assert {name for _, name, _ in asked} == {"name", "area"}  # a held-out food is no value of the schema
    MODEL.save(tmp_path / "tiny", "card")
    tiny_control().save(tmp_path / "control", "card")
    given = ["--model", str(tmp_path / "tiny"), "--data", str(there), "--control", str(tmp_path / "control")]
    cells = main([*given, "--targets", "1", "--steps", "2", "--out", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text())["cells"] == cells
    of = {cell["way"]: cell for cell in cells}
    assert list(of) == ["unconstrained", "constrained", "unread", "control"]
    assert of["constrained"]["valid"] == of["constrained"]["right"] == 1  # there is one value each
    assert of["unconstrained"]["right"] < 1 and "read tiny constrained" in capsys.readouterr().out
