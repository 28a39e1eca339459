"""Guidance towards fields as a request: what it does to the bundled model's texts, the same from everywhere, and refusals."""

import json
import sys

import pytest
from starlette.testclient import TestClient
from text_model import tiny_text

from apps.api.app import create_app
from apps.api.settings import Settings
from apps.cli.main import main
from benchmarks.text_targets import stands
from domains.design import DesignSpec, design
from domains.registry import find_model
from domains.text.constraints import verbatim
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import ConfigError

TOLD = {"food": "Japanese", "area": "riverside", "price": "cheap"}
TEMPLATE = " ".join(f"[{name}] {value}" for name, value in TOLD.items()) + " [text] {12}"
TABLE = {"domain": "text", "template": "[food] French [area] {1} [text] The {6}", "n": 6, "seed": 3, "steps": 6}
TABLE |= {"label": "restaurant", "bound_draws": 2, "field_guidance": 4.0}


@pytest.fixture(scope="module")
def bundled():
    return load_checkpoint(find_model("text-small", "text"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_text().save(folder / "text-small", "# tiny\n")
    return folder


def sequences(answer: dict) -> list[str]:
    return [item["sequence"] for item in answer["designs"]]


def test_guided_texts_of_the_bundled_model_tell_more_of_the_fields(bundled):
    def share(gamma: float) -> float:
        asked = {"domain": "text", "template": TEMPLATE, "label": "restaurant", "n": 24, "steps": 12, "bound_draws": 0}
        made = design(checkpoint=bundled, field_guidance=gamma, **asked).designs
        assert all(item.fields == TOLD for item in made)
        return sum(stands(value, item.sequence) for item in made for value in TOLD.values()) / (len(TOLD) * len(made))

    told, guided = share(1.0), share(5.0)
    assert told + 0.1 < guided, (told, guided)  # 26 and 49 of 100


def test_the_same_request_is_guided_alike_from_python_the_command_line_and_the_service(folder, tmp_path, monkeypatch, capsys):
    model = str(folder / "text-small")
    python = json.loads(json.dumps(design(DesignSpec.from_dict({**TABLE, "model": model})).to_dict()))
    options = ["--n", "6", "--seed", "3", "--steps", "6", "--class", "restaurant", "--field-guidance", "4", "--json"]
    words = ["design", "text", TABLE["template"], *options, "--model", model]
    monkeypatch.setattr(sys, "argv", ["seqdiff", *words])
    with pytest.raises(SystemExit, match="^0$"):
        main()
    printed = json.loads(capsys.readouterr().out)
    settings = Settings(database=f"sqlite:///{tmp_path / 'jobs.db'}", models=folder, offered=("text-small",))
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        answered = client.post("/v1/generate", json=TABLE)
        refused = client.post("/v1/generate", json={**TABLE, "field_guidance": 20.5})
    assert answered.status_code == 200, answered.text
    assert sequences(python) == sequences(printed) == sequences(answered.json())
    assert sequences(python) != sequences(
        design(DesignSpec.from_dict({**TABLE, "model": model, "field_guidance": 1.0})).to_dict()
    )
    assert refused.status_code == 422 and "field_guidance: expected 0 to 20" in refused.text
    for answer in (python, printed, answered.json()):
        assert answer["spec"]["field_guidance"] == 4.0
        certificate = answer["designs"][0]["certificate"]
        assert certificate["law"] == "heuristic"
        assert certificate["text"].endswith("guided to the fields (γ = 4, heuristic), position by position")


def test_what_is_guided_is_called_heuristic_and_what_must_hold_still_holds():
    def certificate(**more):
        table = {**TABLE, "bound_draws": 0, "n": 4, **more}
        return design(DesignSpec.from_dict(table), checkpoint=tiny_text()).designs[0].certificate

    assert certificate(field_guidance=1.0).law == certificate(guidance=0.0, field_guidance=1.0).law == "uncorrected"
    both = certificate(guidance=2.0, temperature=0.9)
    said = (
        "the model is its p(x0 | x_t) at temperature 0.9 and guided to the class restaurant (γ = 2, heuristic) and guided to "
    )
    assert both.law == "heuristic" and both.text.endswith(said + "the fields (γ = 4, heuristic), position by position")
    held = certificate(constraint=str(verbatim("river")), particles=3)
    assert held.law == "heuristic" and held.particles == 3 and held.log_evidence is not None and not held.violations


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": "The {6}"}, r"^field_guidance: expected fields that are told, as in .food. Thai .text. \{\}; got\n  The"),
        ({"template": None}, r"^field_guidance: expected fields that are told"),
        ({"template": "[food] {1} [text] The {6}"}, r"^field_guidance: expected fields that are told"),
        ({"field_guidance": -1.0}, r"^field_guidance: expected 0 to 20, got -1\.0$"),
        ({"domain": "smiles", "template": "C{3}"}, r"^field_guidance: expected a text, which fields stand before; got domain"),
    ],
)
def test_what_cannot_be_guided_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        design(DesignSpec.from_dict({**TABLE, **change}), checkpoint=tiny_text())


def test_models_without_fields_or_masks_are_refused():
    with pytest.raises(ConfigError, match="^field_guidance: expected a model with fields, got one that knows none$"):
        design(DesignSpec.from_dict(TABLE), checkpoint=tiny_text(fields=()))
    vectors = load_checkpoint(find_model("text-small-continuous", "text"))
    with pytest.raises(ConfigError, match="^field_guidance: expected a masked model, .* whose process is EmbeddedProcess$"):
        design(DesignSpec.from_dict(TABLE), checkpoint=vectors)
