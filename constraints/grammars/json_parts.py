"""Sets of texts, kept at once as a regular expression and in lark's notation, and their combinations."""

import re
from dataclasses import dataclass

from constraints.grammars import json_strings


@dataclass(frozen=True)
class Part:
    """A set of texts: as a regular expression, or None if it is recursive; in lark's notation; whether "" is in it."""

    pattern: str | None
    rules: str
    empty: bool = False


Texts = Part | None  # None: no text at all
NOTHING: Texts = None
EMPTY = Part("", "()", True)


def text(pattern: str) -> Part:
    """A regular expression, not of the empty text, as one terminal."""
    return Part(pattern, f"/{_in_lark(pattern)}/")


def _in_lark(pattern: str) -> str:
    r"""A regular expression between lark's slashes.

    lark replaces \x, \u and \U by their characters before it compiles, which would break classes, and takes a backslash
    before a quote away even where it is escaped itself: so neither is left for it to find.
    """

    def item(match: re.Match) -> str:
        found = match.group()
        if found == "/" or found == r"\/":
            return r"\/"
        if found == '"' or found == r"\"":
            return r"\x22"
        if len(found) > 2 and found[1] in "xuU":
            character = chr(int(found[2:], 16))
            return "\\" + character if character in r"[]\^-/" else found
        return found

    return re.sub(r"\\(?:x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|.)|.", item, pattern, flags=re.DOTALL)


def word(exact: str) -> Part:
    return text(json_strings.literal(exact))


def one_of(parts: list[Texts]) -> Texts:
    given = [part for part in parts if part is not None]
    if not given:
        return NOTHING
    if len(given) == 1:
        return given[0]
    return _joined(given, "|", "(?:{})", any(part.empty for part in given))


def in_turn(*parts: Texts) -> Texts:
    given = [part for part in parts if part is not None]
    return NOTHING if len(given) < len(parts) else _joined(given, "", "{}", all(part.empty for part in given))


def _joined(parts: list[Part], between: str, around: str, empty: bool) -> Part:
    rules = "(" + f" {between} ".join(part.rules for part in parts) + ")"
    patterns = [part.pattern for part in parts if part.pattern is not None]
    if len(patterns) < len(parts):
        return Part(None, rules, empty)
    pattern = around.format(between.join(patterns))
    return Part(pattern, rules, True) if empty else text(pattern)  # a terminal of lark may not be empty


def repeated(part: Texts, low: int, high: int | None) -> Texts:
    """low to high copies; high None has no end."""
    if high == 0 or (part is None and low == 0):
        return EMPTY
    if part is None or (high is not None and high < low):
        return NOTHING
    if part.pattern is not None and not part.empty and low:
        return text(f"(?:{part.pattern}){times(low, high)}")
    pattern = None if part.pattern is None else f"(?:{part.pattern}){times(low, high)}"
    copies = f"{part.rules}~{low}" if low else ""
    more = f"{part.rules}*" if high is None else f"{part.rules}~0..{high - low}" if high > low else ""
    return Part(pattern, f"({copies} {more})", low == 0 or part.empty)


def times(low: int, high: int | None) -> str:
    if high is None:
        return {0: "*", 1: "+"}.get(low, f"{{{low},}}")
    return "?" if (low, high) == (0, 1) else f"{{{low}}}" if low == high else f"{{{low},{high}}}"
