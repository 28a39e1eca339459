"""Figures of sets of texts, against values worked out by hand or another way."""

import math
from collections import Counter

import pytest

from domains.text.metrics import (
    Reference,
    against,
    count_words,
    entropy,
    evaluate_set,
    jensen_shannon,
    ngrams,
    self_bleu,
    words_of,
)
from seqdiff.errors import CheckpointError

TEXTS = ["The Mill is a pub.", "The Mill is cheap.", "Zizzi serves Japanese food, by the river."]


def test_words_and_ngrams():
    assert count_words("It's a family-friendly £20 (or 30?) pub , yes") == 6
    assert words_of("It's £20, isn't it?") == ["It's", "£", "20", ",", "isn't", "it", "?"]
    assert ngrams(TEXTS[:2], 2)["The", "Mill"] == 2 and sum(ngrams(TEXTS[:2], 2).values()) == 5 + 4


def test_entropy_and_divergence():
    assert entropy(Counter("aabb")) == pytest.approx(math.log(2))
    assert jensen_shannon(Counter("ab"), Counter("aabb")) == pytest.approx(0)
    assert jensen_shannon(Counter("a"), Counter("b")) == pytest.approx(math.log(2))
    one, other = Counter("aab"), Counter("abb")
    p, q = (2 / 3, 1 / 3), (1 / 3, 2 / 3)
    kl = sum(x * math.log(x / ((x + y) / 2)) for x, y in zip(p, q, strict=True))
    assert jensen_shannon(one, other) == pytest.approx(kl)


def test_a_set_is_measured_with_its_denominators():
    table = evaluate_set([*TEXTS, TEXTS[0], ""], {TEXTS[1]}, None)
    assert (table["n"], table["said"], table["unique"]) == (5, 0.8, 0.75)
    assert table["novel"] == pytest.approx(2 / 3)
    assert table["distinct-1"] == pytest.approx(len({w for t in TEXTS for w in words_of(t)}) / (6 + 5 + 9 + 6))
    assert table["entropy"] < math.log(10)
    empty = evaluate_set(["", ""], set(), Reference.of(TEXTS))
    assert empty["said"] == 0 and empty["novel"] is None and empty["divergence-1"] is None


def test_a_repeated_text_has_no_entropy_and_full_self_bleu():
    table = evaluate_set([TEXTS[0]] * 4, None, None)
    assert table["entropy"] == pytest.approx(0, abs=1e-12) and table["self_bleu"] == pytest.approx(100)
    assert self_bleu(TEXTS[:1]) is None
    assert self_bleu(TEXTS) < 60


def test_a_reference_is_saved_without_its_texts(tmp_path):
    reference = Reference.of(TEXTS * 2)
    reference.save(tmp_path / "reference.json")
    assert "Mill" not in (tmp_path / "reference.json").read_text()
    read = Reference.load(tmp_path / "reference.json")
    assert read == reference
    assert read.divergence(TEXTS, 2) == pytest.approx(0) and read.divergence(TEXTS[2:], 2) > 0.2
    (tmp_path / "reference.json").write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        Reference.load(tmp_path / "reference.json")


def test_against_references():
    same = against(TEXTS, [[text, "other words"] for text in TEXTS])
    assert same["bleu"] == pytest.approx(100) and same["rouge_l"] == 1
    less = against(["The Mill is a cheap pub.", "x"], [["The Mill is a pub."], ["y z"]])
    assert less["bleu"] < 60 and 0.4 < less["rouge_l"] < 0.5
