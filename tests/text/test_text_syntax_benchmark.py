"""The benchmark of syntax: what its targets ask and count, and a run on a tiny model."""

import json
import lzma

from text_model import tiny_text
from vector_model import on_vectors

from benchmarks.text_control import Made
from benchmarks.text_syntax import by_reader, main, spans, tags
from domains.text.fields import Example
from domains.text.parsing.corpus import Sentence
from domains.text.parsing.parser import bundled
from domains.text.parsing.train import untrained
from domains.text.syntax import held, read_span

TEXT = "The cheap pub near the river serves good food."
EXAMPLE = Example(TEXT, (("name", "The Mill"),), "restaurant", "k")


def test_targets_are_spans_and_tags_of_the_text():
    (span,) = spans([EXAMPLE], bundled())
    assert span.asked["unguided"] == {"template": "{10}"} and span.success(TEXT) == 1 and span.success("Go on.") == 0
    wish = span.asked["constrained"]["wishes"][0]
    (soft,) = span.asked["guided"]["wishes"]
    wanted = read_span(soft.split()[1])
    assert wish == f"span {wanted.first}-{wanted.last} is {wanted.kind}" and 2 <= wanted.last - wanted.first + 1 <= 10
    assert not list(spans([Example("Go.", (), "restaurant", "k")], bundled()))
    (tag,) = tags([EXAMPLE], bundled())
    assert tag.asked["lexicon"]["template"] == "{DET ADJ NOUN ADP DET NOUN VERB ADJ NOUN PUNCT}"
    assert tag.success(TEXT) == 1 and tag.success(TEXT[:-1]) == 8 / 9
    assert len(held(tag.asked["constrained"]["wishes"]) or ()) == 10


def test_another_parser_reads_what_the_first_chose(tmp_path):
    strange = untrained([Sentence(("a", "b"), ("FW", "UH"), ("X", "X"), (2, 0), ("dep", "root"))], 0)  # knows foreign words
    (span,), (tag,) = spans([EXAMPLE], bundled()), tags([EXAMPLE], bundled())
    made = Made([[TEXT, "Go on."]], 0, 0, 0.0)
    assert by_reader(made, [span], 2, bundled()) == 1 / 2 and by_reader(made, [tag], 4, bundled()) < 1 / 2
    assert by_reader(made, [span], 2, strange) == by_reader(made, [tag], 2, strange) == 0


def test_a_run_on_tiny_models(tmp_path, capsys):
    mr = "__start_name__ The Mill __end_name__ __start_food__ food {} __end_food__"
    lines = [f"{mr.format('a' * k)}\tThe Mill is a cheap pub near the river . <eos>|||" for k in range(300)]
    (tmp_path / "text").mkdir()
    table = "mr\ttext_and_spans\n" + "\n".join(lines) + "\n"
    (tmp_path / "text" / "e2e_train.tsv.xz").write_bytes(lzma.compress(table.encode()))
    tiny = tiny_text(longest=40)
    tiny.save(tmp_path / "masked", "card")
    on_vectors(tiny).save(tmp_path / "vectors", "card")
    models = [str(tmp_path / name) for name in ("masked", "vectors")]
    asked = ["--model", *models, "--data", str(tmp_path), "--targets", "1", "--steps", "2"]
    asked += ["--out", str(tmp_path / "out.json")]
    cells = main(asked)
    assert json.loads((tmp_path / "out.json").read_text())["published"]["spans"] == {"Diffusion-LM": 0.938, "FUDGE": 0.542}
    of = {(cell["task"], cell["model"], cell["way"]): cell for cell in cells}
    assert of["spans", "people", "held out"]["success"] == of["tags", "people", "held out"]["success"] == 1
    for model in ("masked", "vectors"):
        ways = {way for task, name, way in of if name == model}
        assert ways == {"unguided", "guided", "lexicon", "weighed", "constrained", "particles"}
        passes = {way: of["tags", model, way]["passes"] for way in ways}
        assert passes["particles"] > passes["constrained"] > passes["lexicon"]
        for task in ("spans", "tags"):
            assert of[task, model, "constrained"]["success"] == of[task, model, "constrained"]["returned"]  # one was asked
    plain, eight, more = (of["tags", "vectors", way]["passes"] for way in ("lexicon", "guided", "particles"))
    assert eight == 8 * plain and more == 32 * plain, "every particle is a run of its own"
    before = (tmp_path / "out.json").read_text()
    capsys.readouterr()
    assert main(asked) == cells and capsys.readouterr().out == "" and (tmp_path / "out.json").read_text() == before
    alone = [*asked[:1], models[0], *asked[3:]]
    assert main(alone) == cells and capsys.readouterr().out == "", "a model alone keeps the cells of both"
