"""The benchmark of control: targets, their checks, and a whole run on a tiny model."""

import json
import lzma

import pytest
from text_model import tiny_text

from benchmarks import text_control
from benchmarks.text_control import escaped, fields, infilling, keywords, length, main, stands
from domains.text.fields import Example
from domains.text.template import read_template

TEXT = "The Mill is a pub. It's near the river, a good area. Zizzi serves food."
EXAMPLE = Example(TEXT, (("name", "The Mill"), ("area", "river")), "restaurant", "k")
MODEL = tiny_text(longest=40)


def test_what_counts_as_success():
    (field,) = fields([EXAMPLE], MODEL)
    assert [field.success(said) for said in (TEXT, "The Mills.", "a The Mill")] == [1, 0, 1]
    assert field.asked["guided"]["template"] == "[name] The Mill [text] {}" and "constraint" not in field.asked["guided"]
    (long,) = length([EXAMPLE], MODEL)
    assert [long.success("word " * n) for n in (12, 13, 17, 18)] == [0, 1, 1, 0]
    (hole,) = infilling([EXAMPLE], MODEL)
    assert hole.reference == "It's near the river, a good area."
    assert hole.asked["guided"]["template"] == "The Mill is a pub. {} Zizzi serves food."
    assert hole.inside("The Mill is a pub. Two words. Zizzi serves food.") == "Two words." and hole.success(TEXT) == 1
    scene = Example("x", (("keywords", "river run"),), "scene", "k")
    (words,) = keywords([scene], MODEL)
    assert [words.success(said) for said in ("Rivers running", "a run", "rivet")] == [1, 0.5, 0]
    assert stands("pub", "a pub.") and not stands("pub", "pubs")


def test_any_text_is_pinned_as_it_is():
    (item,) = read_template(escaped(r"a_b [food] {3} \x")).items
    assert item == ("words", r"a_b [food] {3} \x")


def test_a_run_on_a_tiny_model(tmp_path, capsys):
    mr = "__start_name__ The Mill __end_name__ __start_food__ {} __end_food__ __start_area__ river __end_area__"
    lines = [
        f"{mr.format('food ' + 'a' * k)}\tThe Mill is a pub . It is near the river . Zizzi serves food . <eos>|||"
        for k in range(90)
    ]
    (tmp_path / "text").mkdir()
    text = "mr\ttext_and_spans\n" + "\n".join(lines) + "\n"
    (tmp_path / "text" / "e2e_train.tsv.xz").write_bytes(lzma.compress(text.encode()))
    MODEL.save(tmp_path / "model", "card")
    asked = ["--model", str(tmp_path / "model"), "--data", str(tmp_path), "--tasks", "fields", "length"]
    table = main([*asked, "--targets", "1", "--samples", "2", "--steps", "2", "--out", str(tmp_path / "out.json")])
    assert json.loads((tmp_path / "out.json").read_text()) == table and "fields constrained" in capsys.readouterr().out
    for task in ("fields", "length"):
        cells = table["tasks"][task]["ours"]
        assert list(cells) == ["unguided", "guided", "constrained"]
        assert cells["constrained"]["success"] == 1 and cells["constrained"]["returned"] == 2
    assert table["tasks"]["fields"]["published"] == {"Diffusion-LM": 0.812, "FUDGE": 0.699}
    assert text_control.PUBLISHED["length"]["Diffusion-LM"] == pytest.approx(0.999)
