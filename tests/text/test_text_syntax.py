"""Wishes of syntax: how they are read, what they measure, what is held beforehand, and designs that have them."""

import pytest
from text_model import tiny_text
from vector_model import on_vectors

from domains.design import design
from domains.text import syntax
from domains.text.parsing.parser import bundled
from domains.text.parsing.reading import read
from domains.text.syntax import Span, held, likeness, overlap, read_span, shape
from domains.text.tagging import ANY, FREE, fits, read_pattern, tags_of
from domains.text.wishes import read_wish
from seqdiff.errors import ConditionError, ConfigError

MODEL = tiny_text(longest=40)
VECTORS = on_vectors(MODEL)


@pytest.mark.parametrize(
    ("text", "figure"),
    [
        ("span 2-5 is NP", "span 2-5:NP"),
        ("span 3 is a np", "span 3-3:np"),
        ("Span 1 - 2 is nsubj:pass", "span 1-2:nsubj:pass"),
        ("tags are DET ADJ* NOUN", "tags DET,ADJ*,NOUN"),
    ],
)
def test_phrases_are_wishes_that_must_hold(text, figure):
    wish = read_wish(text)
    assert wish.hard and (wish.figure, wish.low) == (figure, 1)


def test_ranges_are_soft():
    wish = read_wish("span 2-5:NP >= 0.5")
    assert not wish.hard and (wish.figure, wish.low) == ("span 2-5:NP", 0.5)
    assert read_wish("tags DET,ADJ*,NOUN >= 0.9 * 8").strength == 8


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ("span 5-2 is NP", "words are numbered from 1 to 400, the last not before the first; got '5-2:NP'"),
        ("span 0-2 is NP", "words are numbered from 1"),
        ("span 2-5 is XP", "expected one of NP, PP, VP, S, ADJP, ADVP, or a relation of Universal Dependencies"),
        ("span 2-5:subject >= 1", "expected one of NP, PP"),
        ("span 2to5:NP >= 1", "expected words and a kind such as 2-5:NP or 1-2:nsubj"),
        ("span >= 1", "expected words and a kind such as 2-5:NP after 'span'"),
        ("span 2 to 3 is NP", "wish: expected 'valid', or a range"),
        ("span 2 is PP", "2-2 is PP: expected two words or more, got one"),
        ("span 90-99 is NP", "no sequence of"),
        ("tags are DET BIRD", "expected some of NOUN"),
        ("tags are X", "the model has no word that is X"),
    ],
)
def test_bad_wishes_are_refused(wish, message):
    with pytest.raises(ConditionError, match=message):
        design(domain="text", checkpoint=MODEL, n=1, steps=2, wishes=[wish])


def test_spans_that_cannot_stand_together_are_refused():
    with pytest.raises(ConditionError, match="1-3 is NP and 3-5 is NP cross; one must hold the other"):
        shape([Span(1, 3, "NP"), Span(3, 5, "NP")])
    with pytest.raises(ConditionError, match="no class of words at 1 is left by 1-3 is VP and 1-1 is NP"):
        shape([Span(1, 3, "VP"), Span(1, 1, "NP")])


def test_the_kind_of_a_span_is_read_whatever_its_letters():
    assert read_span("2-5:np") == Span(2, 5, "NP") and read_span("2:NSUBJ") == Span(2, 2, "nsubj")


def test_overlap_is_the_share_of_words_with_the_nearest_of_the_kind():
    found = frozenset({("NP", 1, 4), ("NP", 6, 7), ("PP", 2, 5)})
    assert [overlap(Span(*s), found) for s in ((2, 5, "PP"), (2, 5, "NP"), (7, 7, "NP"), (2, 5, "VP"))] == [1, 0.6, 0.5, 0]


@pytest.mark.parametrize(
    ("pattern", "tags", "value"),
    [
        ("DET ADJ* NOUN", "DET NOUN", 1),
        ("DET ADJ* NOUN", "DET ADJ ADJ NOUN", 1),
        ("DET ADJ* NOUN", "DET VERB NOUN", 1 - 1 / 3),  # one word too many, or an adjective changed
        ("DET NOUN VERB", "NOUN VERB", 0.5),
        ("(NOUN|PRON) VERB ANY", "PRON VERB X", 1),
        ("NOUN", "", 0),
        ("ADJ*", "", 1),
    ],
)
def test_likeness_counts_the_fewest_changes(pattern, tags, value):
    assert likeness(read_pattern(pattern), tags.split()) == pytest.approx(value)


def test_likeness_is_one_where_the_pattern_fits():
    words = " the cheap pub serves good food".replace(" ", "  ").split("  ")[1:]
    assert fits(read_pattern("DET ADJ* NOUN VERB ADJ NOUN"), [" " + w for w in words])
    assert likeness(read_pattern("DET ADJ* NOUN VERB ADJ NOUN"), ["DET", "ADJ", "NOUN", "VERB", "ADJ", "NOUN"]) == 1


def test_what_is_held_beforehand():
    *words, rest = held(["span 2-3 is PP", "words <= 9", "span 3 is NP", "span 5 is nsubj"]) or ()
    assert [e.tags for e in words] == [{ANY}, {"ADP", "PRT"}, {"NOUN", "NUM", "PRON"}]
    assert rest.tags == {FREE} and (rest.low, rest.high) == (0, None)
    assert held(["tags are DET NOUN", "span 1-2 is NP"]) == read_pattern("DET NOUN")
    assert held(["words <= 9", "span 1-2:NP >= 1", "span 1 is nsubj"]) is None


@pytest.mark.parametrize("model", [MODEL, VECTORS], ids=["masked", "vectors"])
@pytest.mark.parametrize("template", [None, "{6-12}", "[food] French [text] {6-12}"])
def test_designs_have_their_spans(template, model):
    found = design(
        domain="text", checkpoint=model, template=template, n=6, steps=6, particles=16, bound_draws=0,
        wishes=["span 2-3 is PP", "span 3 is NP"],
    )  # fmt: skip
    assert found.designs
    for item in found.designs:
        (reading,) = read([item.sequence], bundled())
        assert ("PP", 2, 3) in reading.spans and ("NP", 3, 3) in reading.spans, item.sequence
        assert {"ADP", "PRT"} & tags_of(" " + reading.words[1])
        assert "span 2-3 is PP & span 3 is NP (hard: a design that breaks it is not returned)" in item.certificate.text
        assert "parts of speech" in item.certificate.holds and not item.certificate.violations


@pytest.mark.parametrize("model", [MODEL, VECTORS], ids=["masked", "vectors"])
def test_designs_have_the_tags_that_the_parser_reads(model):
    found = design(
        domain="text", checkpoint=model, n=6, steps=6, particles=8, bound_draws=0, wishes=["tags are DET ADJ* NOUN VERB ANY*"]
    )
    assert found.designs
    for item in found.designs:
        (reading,) = read([item.sequence], bundled())
        assert likeness(read_pattern("DET ADJ* NOUN VERB ANY*"), reading.tags) == 1, item.sequence


def test_beside_pins_the_parser_alone_decides():
    found = design(
        domain="text", checkpoint=MODEL, template="The {1} {2-3}.", n=4, steps=4, particles=16, bound_draws=0,
        wishes=["span 1-2 is NP"],
    )  # fmt: skip
    assert found.designs
    for item in found.designs:
        assert ("NP", 1, 2) in read([item.sequence], bundled())[0].spans
        assert "parts of speech" not in item.certificate.holds


def test_a_model_over_letters_has_no_word_classes_to_hold():
    letters = tiny_text("characters", longest=30)
    found = design(domain="text", checkpoint=letters, n=2, steps=4, particles=4, bound_draws=0, wishes=["span 1-2:NP >= 1"])
    assert len(found.designs) == 2


def test_equal_texts_are_read_once(monkeypatch):
    asked = []
    monkeypatch.setattr(syntax, "readings", lambda texts: asked.append(texts) or read(texts, bundled()))
    weigh = read_wish("span 1-2 is NP").weigher()
    assert weigh(["The pub is good.", "The pub is good.", "Go."]) == [0, 0, float("-inf")]
    assert asked == [("The pub is good.", "Go.")]


def test_particles_are_needed():
    with pytest.raises(ConfigError, match="particles: expected at least 2 with wishes"):
        design(domain="text", checkpoint=MODEL, n=1, particles=1, wishes=["span 1-2 is NP"])
