"""What writers ask for: each expression against a plain check of the text, on texts of all kinds."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from constraints.automata.regex import regex
from constraints.language.notation import parse
from domains.text.constraints import banned, keyword, keywords, one_of, verbatim, whole_sentences, words
from domains.text.tokens import alphabet_of, normal
from seqdiff.errors import ConditionError

TEXTS = [
    "The dogs ran.", "A dog is running, by the river!", "£20 runner", "dog", "Dogged dogs ran; they run?", "don't - stop",
    "A cat, a hat.", "hotdog runs", "river's end", "the end.\"",
]  # fmt: skip
ALPHABET = alphabet_of(TEXTS + ["runs ran running Rivers"], "words", 1)


def holds(constraint, text):
    return re.fullmatch(constraint.pattern, " " + text) is not None


@pytest.mark.parametrize("text", TEXTS)
def test_words_are_counted_as_begun_by_a_space(text):
    count = len(re.findall(r" [^\W_]", " " + text))
    for low, high in ((0, 3), (2, 2), (3, None), (5, 9)):
        assert holds(words(low, high), text) == (low <= count <= (high if high is not None else 99))


@given(st.text(alphabet="ab £.-'", max_size=12).map(normal).filter(bool))
def test_any_text_has_its_number_of_words(text):
    count = len(re.findall(r" [^\W_]", " " + text))
    assert holds(words(count, count), text) and not holds(words(count + 1, count + 1), text)


def test_a_keyword_comes_in_any_inflection_and_as_a_word_of_its_own():
    found = [text for text in TEXTS if holds(keyword("run", ALPHABET), text)]
    assert found == ["The dogs ran.", "A dog is running, by the river!", "Dogged dogs ran; they run?", "hotdog runs"]
    assert [t for t in TEXTS if holds(keyword("dog", ALPHABET), t)] == [TEXTS[0], TEXTS[1], "dog", TEXTS[4]]
    assert [t for t in TEXTS if holds(keyword("dog"), t)] == [TEXTS[1], "dog"]
    assert [t for t in TEXTS if holds(keyword("river", ALPHABET), t)] == [TEXTS[1], "river's end"]


def test_all_keywords_in_any_order():
    both = keywords(["river", "run"], ALPHABET)
    assert [t for t in TEXTS if all(holds(part, t) for part in both.parts)] == [TEXTS[1]]
    assert parse(str(both)) == both


def test_phrases_wanted_and_banned():
    assert [t for t in TEXTS if holds(verbatim("a hat"), t)] == ["A cat, a hat."]
    assert [t for t in TEXTS if holds(one_of(["dogs", "cat"]), t)] == [
        "The dogs ran.",
        "Dogged dogs ran; they run?",
        "A cat, a hat.",
    ]
    assert [t for t in TEXTS if holds(banned(["dogs", "dog"]).part, t)] == [TEXTS[0], TEXTS[1], "dog", TEXTS[4]]
    assert [t for t in TEXTS if holds(whole_sentences(), t)] == [
        TEXTS[0], TEXTS[1], TEXTS[4], "A cat, a hat.", "the end.\"",
    ]  # fmt: skip


def test_what_a_regex_holds_the_automaton_over_tokens_holds():
    asked = words(2, 4)
    automaton = regex(asked.pattern, ALPHABET.tokens)

    def accepted(tokens):
        state = automaton.start
        for token in tokens:
            state = automaton.delta[state, automaton.classes[0, ALPHABET.ids[token]]] if state >= 0 else -1
        return state >= 0 and bool(automaton.accepting[state])

    assert accepted([" The", " dogs", " ran", "."])
    assert not accepted([" dog"]) and not accepted([" The", " dogs", " ran", " runs", " river"])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: words(3, 2), "expected 0 ≤ low ≤ high"),
        (lambda: keyword("two words"), "expected one word"),
        (lambda: keywords([]), "expected at least one word"),
        (lambda: banned([]), "expected at least one word"),
        (lambda: verbatim("  "), "expected a word or phrase"),
    ],
)
def test_bad_wants_are_refused(ask, message):
    with pytest.raises(ConditionError, match=message):
        ask()
