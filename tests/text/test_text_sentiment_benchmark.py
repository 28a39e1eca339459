"""The benchmark of sentiment: a judge that learns from other texts than the guide, what is asked, and a run on tiny models."""

import json
import lzma
import math

import pytest
from test_text_control import tiny_control
from text_model import tiny_text
from vector_model import on_vectors

from benchmarks.text_sentiment import NaiveBayes, features, labelled, main, possible, reliability, targets
from benchmarks.text_table import page
from domains.text.data import Source, encode_files, half_of

GOOD, BAD = ("a good pub", "good food", "a good area"), ("a cheap pub", "cheap food")


def test_the_judge_weighs_words_and_pairs_by_their_shares():
    judge = NaiveBayes.fit([*GOOD, *BAD], [True] * 3 + [False] * 2)
    counts = {"good": (3, 0), "cheap": (0, 2), "a": (2, 1), "a good": (2, 0), "good food": (1, 0)}
    every = {f for text in (*GOOD, *BAD) for f in features(text)}
    good, bad = (sum(len(features(text)) for text in texts) + len(every) for texts in (GOOD, BAD))
    for feature, (a, b) in counts.items():
        assert judge.weights[feature] == pytest.approx(math.log((a + 1) / good) - math.log((b + 1) / bad))
    assert judge("good food") == pytest.approx(sum(judge.weights[f] for f in ("good", "food", "good food")))
    assert judge("good good") == pytest.approx(judge.weights["good"]), "a word counts once"
    assert judge("a good town") > 0 > judge("The cheap area") and judge("unheard of") == 0


def write(folder):
    """Labelled texts of both files, each word of praise or blame with others."""
    (folder / "text").mkdir()
    for name, column in (("sentence_polarity", "sentence"), ("pros_cons", "phrase")):
        rows = [f"{label}\t{said} {k}" for label, texts in ((1, GOOD), (0, BAD)) for said in texts for k in range(60)]
        text = "\n".join([f"label\t{column}", *rows]) + "\n"
        (folder / "text" / f"{name}.tsv.xz").write_bytes(lzma.compress(text.encode()))
    return folder


def test_the_judge_learns_from_what_the_guide_did_not(tmp_path):
    path = str(write(tmp_path) / "text" / "pros_cons.tsv.xz")
    sources = [Source(path, name, "label", value) for name, value in (("positive", "1"), ("negative", "0"))]
    data = encode_files(sources, min_count=1, held_out_percent=20, half=2)
    texts, positive = labelled(data, False)
    assert texts and all(half_of(text) == 2 and good == ("good" in text) for text, good in zip(texts, positive, strict=True))
    judge = NaiveBayes.fit(texts, positive)
    table = {"held_out_percent": 20, "min_count": 1, "files": []}
    table["files"] = [{"path": path, "label": s.label, "column": "label", "value": s.value} for s in sources]
    (found,) = reliability(judge, table, tmp_path).values()
    assert found["judge"] == 1 and 0 < found["guide"] <= 1 and found["texts"] == data.held_out.sum()


def test_what_is_asked_and_what_counts():
    judge = NaiveBayes.fit([*GOOD, *BAD], [True] * 3 + [False] * 2)
    good, bad = targets(judge, "opinion")
    assert [good.success(text) for text in ("good food", "cheap food", "so")] == [1, 0, 0]
    assert [bad.success(text) for text in ("good food", "cheap food", "so")] == [0, 1, 0]
    assert good.asked["required"]["wishes"] == ("sentiment is positive",) and bad.asked["guided"]["wishes"] == (
        "negative >= 0.9",
    )
    assert bad.asked["fields"] == {"template": "[opinion] bad [text] {}", "field_guidance": 2.0}
    masked = tiny_text()
    vectors, plain = on_vectors(masked), targets(judge, "restaurant")
    ways = ("unguided", "conditioned", "fields", "end alone", "guided", "required")
    assert [w for w in ways if possible(w, masked, plain)] == ["unguided", "end alone", "guided", "required"]
    assert [w for w in ways if possible(w, vectors, plain)] == ["unguided", "guided", "required"]
    assert [w for w in ways if possible(w, masked, (good, bad))] == list(ways)


def test_a_run_on_tiny_models(tmp_path, capsys):
    there, tiny = write(tmp_path), tiny_text(longest=12)
    tiny.save(tmp_path / "masked", "card")
    on_vectors(tiny).save(tmp_path / "vectors", "card")
    tiny_control().save(tmp_path / "control", "card")
    asked = ["--model", *(str(tmp_path / name) for name in ("masked", "vectors")), "--control", str(tmp_path / "control")]
    asked += [
        "--data",
        str(there),
        "--tasks",
        "restaurant",
        "--samples",
        "2",
        "--steps",
        "2",
        "--out",
        str(tmp_path / "out.json"),
    ]
    cells = main(asked)
    of = {(cell["model"], cell["way"]): cell for cell in cells}
    assert {way for name, way in of if name == "masked"} == {"unguided", "end alone", "guided", "required"}
    assert {way for name, way in of if name == "autoregressive"} == {"control", "rejection"}
    for model in ("masked", "vectors"):
        assert of[model, "required"]["guide"] == of[model, "required"]["returned"] / 4, "what is returned is read as asked"
    assert (
        of["vectors", "required"]["passes"] == 8 * of["vectors", "guided"]["passes"] == 8 * of["vectors", "unguided"]["passes"]
    )
    assert of["autoregressive", "rejection"]["guide"] >= of["autoregressive", "control"]["guide"]
    document = json.loads((tmp_path / "out.json").read_text())
    assert set(document["published"]["reliability"]) == {"sentence_polarity", "pros_cons"}
    assert "by the classifier that guides %" in page([document])
    capsys.readouterr()
    assert main(asked) == cells and capsys.readouterr().out.count("\n") == 1
