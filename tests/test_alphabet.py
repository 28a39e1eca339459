"""Alphabet: round trips, and errors that say what, where and what was expected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError

tokens = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=12, unique=True)


@given(tokens, st.data())
def test_tokens_round_trip(names, data):
    alphabet = Alphabet("test", tuple(names))
    chosen = data.draw(st.lists(st.sampled_from(names), max_size=20))
    ids = alphabet.encode(chosen)
    assert alphabet.decode_tokens(ids) == chosen
    assert alphabet.decode(ids) == "".join(chosen)
    assert Alphabet.from_json(alphabet.to_json()) == alphabet


@given(tokens, st.data())
def test_text_that_can_be_split_keeps_its_characters(names, data):
    alphabet = Alphabet("test", tuple(names))
    text = "".join(data.draw(st.lists(st.sampled_from(names), max_size=20)))
    try:
        parts = alphabet.split(text)
    except AlphabetError as error:
        assert "no token of the alphabet starts at character" in str(error)
    else:
        assert "".join(parts) == text
        assert set(parts) <= set(names)


def test_the_longest_token_wins():
    assert Alphabet("t", ("C", "Cl", "l")).split("CClC") == ["C", "Cl", "C"]


def test_mask_and_pad_lie_above_the_clean_ids():
    alphabet = Alphabet("t", ("a", "b"))
    assert (len(alphabet), alphabet.mask, alphabet.pad) == (2, 2, 3)
    with pytest.raises(AlphabetError, match="id 2 at position 1 is the mask"):
        alphabet.decode([0, 2])
    with pytest.raises(AlphabetError, match="id 3 at position 0 is padding"):
        alphabet.decode([3])
    with pytest.raises(AlphabetError, match="no id at all; expected a clean token, 0 to 1"):
        alphabet.decode([-1])


@pytest.mark.parametrize(
    ("names", "message"),
    [((), "at least one token"), (("a", "a"), "must be distinct, twice: a"), (("a", ""), "non-empty strings")],
)
def test_bad_alphabets_are_refused(names, message):
    with pytest.raises(AlphabetError, match=message):
        Alphabet("t", names)


def test_unknown_tokens_are_named_with_their_place():
    alphabet = Alphabet("t", ("a", "b"))
    with pytest.raises(AlphabetError, match="token 3 is 'z'"):
        alphabet.encode(["a", "b", "z"])
    with pytest.raises(AlphabetError, match="starts at character 2\n  axb\n   \\^"):
        alphabet.encode("axb")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x"}', "null", '{"name": 3, "tokens": 4}'])
def test_bad_json_is_refused(text):
    with pytest.raises(AlphabetError):
        Alphabet.from_json(text)
