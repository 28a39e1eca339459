"""The matcher without backtracking against Python's `re`, and where `re` would take for ever."""

import re

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from constraints.language.check_regex import matches
from seqdiff.errors import ConditionError

atoms = st.sampled_from(["a", "b", "[ab]", "[^a]", ".", r"\d", r"[\W1]", "[a-c]", r"\.", "", "[^\\d]", "\n"])
repeats = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{2,}", "{0,3}", "*?", "{0}"])
patterns = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.builds(lambda part, repeat: f"({part}){repeat}", inner, repeats),
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(patterns, st.lists(st.text("ab1.\n", max_size=6), min_size=1, max_size=8))
def test_it_agrees_with_re(pattern, texts):
    for text in texts:
        assert matches(pattern, text) == (re.fullmatch(pattern, text) is not None), text


def test_patterns_that_re_would_not_survive():
    assert not matches("(A+)+B", "A" * 300)
    assert matches("(A+)+B|A*", "A" * 300)
    assert not matches("(A|A)*B", "A" * 300)
    assert not matches("((A*)*)*B", "A" * 300)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "missing"),
        ("a(?=b)", "assert"),
        (r"(a)\1", "groupref"),
        ("(?i:a)", "subpattern"),
        ("^a", "at"),
        ("a++", "possessive"),
    ],
)
def test_what_cannot_be_checked_is_refused(pattern, message):
    with pytest.raises(ConditionError, match=f"regex.*{message}"):
        matches(pattern, "ab")
