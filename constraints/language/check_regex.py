"""Whether a whole text matches a regular expression, without backtracking: `re` can take exponential time, as for (A+)+B.

Python's own parser reads the pattern (its tree has been the same since 3.11); here the places that each part can end at are
followed as sets, which takes time in proportion to the text and the square of its length under nested repetition.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]

from seqdiff.errors import ConditionError

CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d",
    op.CATEGORY_NOT_DIGIT: r"\D",
    op.CATEGORY_SPACE: r"\s",
    op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w",
    op.CATEGORY_NOT_WORD: r"\W",
}


def matches(pattern: str, text: str) -> bool:
    """Raises ConditionError for what is no regular expression, or not regular, or needs to look around."""
    return len(text) in _sequence(_parsed(pattern), text, {0})


@lru_cache(maxsize=64)
def _parsed(pattern: str):
    try:
        return _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConditionError(f"regex {pattern!r}: {error}") from None


def _sequence(parts, text: str, starts: set[int]) -> set[int]:
    for kind, value in parts:
        starts = _ends(kind, value, text, starts)
    return starts


def _ends(kind, value, text: str, starts: set[int]) -> set[int]:
    if kind in (op.LITERAL, op.NOT_LITERAL, op.ANY, op.IN):
        fits = _character(kind, value)
        return {i + 1 for i in starts if i < len(text) and fits(text[i])}
    if kind is op.BRANCH:
        return set().union(*(_sequence(branch, text, starts) for branch in value[1]))
    if kind is op.SUBPATTERN and not value[1] and not value[2]:
        return _sequence(value[3], text, starts)
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        low, high, part = value
        for _ in range(low):
            following = _sequence(part, text, starts)
            if following == starts:  # nothing but the empty text is repeated, or nothing is left
                break
            starts = following
        found, new = set(starts), starts
        for _ in range(0 if high == low else len(text) + 1 if high is op.MAXREPEAT else high - low):
            new = _sequence(part, text, new) - found
            if not new:
                break
            found |= new
        return found
    raise ConditionError(f"regex: {str(kind).lower()} cannot be checked; write it without")


def _character(kind, value) -> Callable[[str], bool]:
    if kind is op.LITERAL:
        return lambda c: ord(c) == value
    if kind is op.NOT_LITERAL:
        return lambda c: ord(c) != value
    if kind is op.ANY:
        return lambda c: c != "\n"
    negated = value[0][0] is op.NEGATE
    return lambda c: any(_in_class(k, v, c) for k, v in value[negated:]) != negated


def _in_class(kind, value, c: str) -> bool:
    if kind is op.LITERAL:
        return ord(c) == value
    if kind is op.RANGE:
        return value[0] <= ord(c) <= value[1]
    return re.fullmatch(CATEGORIES[value], c) is not None
