"""Sets of tokens and motifs: a row of such sets, as text.

    N-[^P]-[ST]                 separated by "-"; [ST] one of these tokens, [^P] any but these
    N-{P}-[ST]-x(2,4)-C         the same in the notation of PROSITE: {P} = [^P], x any token, (2,4) two to four times
    [F Cl Br]-C                 with spaces between them, tokens of any length; without, every character is one

A bare word outside brackets is one token (`Cl`); what has other characters than letters and digits is quoted or
bracketed (`"[nH]"`, `[=]`), as is the token x itself (`[x]`).
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from seqdiff.errors import ConditionError

WORD = re.compile(r"[A-Za-z0-9]+")
REPEAT = re.compile(r"\(\s*(\d{1,6})\s*(?:,\s*(\d{1,6})\s*)?\)")
QUOTED = frozenset('[]{}"^-,')
QUOTE = re.compile(r'"(?:[^"\\]|\\.)*"')
INSIDE = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^"\]}])*')  # of a set, up to what closes it
WORD_IN_SET = re.compile(r'[^\s\[\]{}"^\-,]+')
MOST_REPEATS = 1000
SHOWN = 100


class Reader:
    """A text and the place reached in it; errors mark the place."""

    def __init__(self, text: str):
        self.text, self.place = text, 0

    def error(self, message: str, at: int | None = None) -> ConditionError:
        at = self.place if at is None else at
        first = max(0, at - SHOWN // 2)
        line = re.sub(r"\s", " ", self.text[first : first + SHOWN])
        return ConditionError(f"constraints: {message}, at character {at + 1}\n  {line}\n  {' ' * (at - first)}^")

    def skip(self) -> None:
        while self.place < len(self.text) and self.text[self.place].isspace():
            self.place += 1

    def at(self, literal: str) -> bool:
        """Whether the literal comes next, after spaces; nothing but spaces is taken."""
        self.skip()
        return self.text.startswith(literal, self.place)

    def take(self, literal: str) -> bool:
        """Take the literal if it comes next."""
        found = self.at(literal)
        self.place += len(literal) * found
        return found

    def expect(self, literal: str, where: str) -> None:
        if not self.take(literal):
            raise self.error(f"expected {literal!r} {where}, got {self.next()}")

    def match(self, pattern: re.Pattern) -> re.Match | None:
        """Take what the pattern matches here, after spaces."""
        self.skip()
        found = pattern.match(self.text, self.place)
        if found:
            self.place = found.end()
        return found

    def next(self) -> str:
        """What comes next, for messages."""
        self.skip()
        return repr(self.text[self.place]) if self.place < len(self.text) else "the end"

    def value(self, what: str, kinds: type | tuple[type, ...]):
        """A JSON value of one of these types."""
        self.skip()
        start = self.place
        try:
            value, self.place = json.JSONDecoder().raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            raise self.error(f"expected {what}: {error.msg}", max(start, error.pos)) from None
        except RecursionError:
            raise self.error(f"expected {what}, got one that is nested too deeply", start) from None
        if not isinstance(value, kinds):
            raise self.error(f"expected {what}", start)
        return value


@dataclass(frozen=True)
class Tokens:
    """A set of tokens by name, or all but these (`negated`); `Tokens((), True)` is any token. Kept in order, each once."""

    tokens: tuple[str, ...]
    negated: bool = False

    def __post_init__(self):
        for token in self.tokens:
            if not isinstance(token, str) or not token:
                raise ConditionError(f"a set of tokens: expected non-empty strings, got {token!r}")
        object.__setattr__(self, "tokens", tuple(sorted(set(self.tokens))))
        if not self.tokens and not self.negated:
            raise ConditionError("a set of tokens: expected at least one token, got none; nothing could stand there")

    @classmethod
    def of(cls, value: "Tokens | str | Iterable[str]") -> "Tokens":
        """From text such as "[ST]", "[^P]" or one bare token; a list or tuple holds tokens as they are."""
        if isinstance(value, Tokens):
            return value
        if isinstance(value, str):
            reader = Reader(value)
            tokens = read_tokens(reader)
            if reader.next() != "the end":
                raise reader.error(f"expected one set of tokens such as [ST], got {reader.next()} after it")
            return tokens
        if not isinstance(value, Iterable):
            raise ConditionError(f"a set of tokens: expected text such as '[ST]' or a list of tokens, got {value!r}")
        return cls(tuple(value))

    def __contains__(self, token: str) -> bool:
        return (token in self.tokens) != self.negated

    def __str__(self) -> str:
        return f"[{'^' if self.negated else ''}{_spaced(self.tokens)}]"

    def element(self) -> str:
        """Text as an element of a motif: x for any token, a single plain token bare."""
        if self.negated and not self.tokens:
            return "x"
        if len(self.tokens) == 1 and not self.negated and self.tokens[0] != "x" and WORD.fullmatch(self.tokens[0]):
            return self.tokens[0]
        return str(self)


def _spaced(tokens: tuple[str, ...]) -> str:
    """Single characters bare and together; if one needs quotes, as a JSON string, all apart by spaces."""
    pieces = [token if is_bare(token) else json.dumps(token, ensure_ascii=False) for token in tokens]
    return ("" if all(is_bare(token) for token in tokens) else " ").join(pieces)


def is_bare(token: str) -> bool:
    return len(token) == 1 and token.isprintable() and not token.isspace() and token not in QUOTED


@dataclass(frozen=True)
class Element:
    """One place of a motif: a token of the set, `low` to `high` times."""

    tokens: Tokens
    low: int = 1
    high: int = 1

    def __post_init__(self):
        if not 0 <= self.low <= self.high or not 1 <= self.high <= MOST_REPEATS:
            raise ConditionError(f"a motif: expected 0 ≤ low ≤ high, 1 ≤ high ≤ {MOST_REPEATS}, got ({self.low},{self.high})")

    def __str__(self) -> str:
        repeat = "" if self.low == self.high == 1 else f"({self.low})" if self.low == self.high else f"({self.low},{self.high})"
        return self.tokens.element() + repeat


@dataclass(frozen=True)
class Motif:
    """Elements one after another."""

    elements: tuple[Element, ...]

    def __post_init__(self):
        if not self.elements:
            raise ConditionError("a motif: expected at least one element such as N or [ST], got none")

    @classmethod
    def of(cls, value: "Motif | str | Iterable") -> "Motif":
        """From text, or from a list of sets of tokens (each as `Tokens.of` takes it)."""
        if isinstance(value, Motif):
            return value
        if isinstance(value, str):
            reader = Reader(value)
            motif = read_motif(reader)
            reader.take(".")  # PROSITE ends a pattern with a dot
            if reader.next() != "the end":
                raise reader.error(f"expected '-' and another element, or the end, got {reader.next()}")
            return motif
        if not isinstance(value, Iterable):
            raise ConditionError(f"a motif: expected text such as 'N-[^P]-[ST]' or a list of sets of tokens, got {value!r}")
        return cls(tuple(part if isinstance(part, Element) else Element(Tokens.of(part)) for part in value))

    def __str__(self) -> str:
        return "-".join(str(element) for element in self.elements)


def read_motif(reader: Reader) -> Motif:
    elements = [_read_element(reader)]
    while reader.take("-"):
        elements.append(_read_element(reader))
    return Motif(tuple(elements))


def _read_element(reader: Reader) -> Element:
    reader.skip()
    start = reader.place
    if reader.at("<") or reader.at(">"):
        raise reader.error("the anchors < and > are written starts_with(…) and ends_with(…)")
    if reader.at("x") and WORD.match(reader.text, reader.place).group() == "x":  # type: ignore[union-attr]
        reader.take("x")
        tokens = Tokens((), True)
    else:
        tokens = read_tokens(reader)
    repeat = reader.match(REPEAT)
    if not repeat:
        return Element(tokens)
    try:
        return Element(tokens, int(repeat[1]), int(repeat[2] or repeat[1]))
    except ConditionError as error:
        raise reader.error(str(error), start) from None


def read_tokens(reader: Reader) -> Tokens:
    """[…], [^…], {…}, a quoted token or a bare one."""
    if reader.at('"'):
        return Tokens((_read_quoted(reader),))
    for opening, closing in ("[]", "{}"):
        if reader.take(opening):
            return _read_set(reader, closing)
    word = reader.match(WORD)
    if word is None:
        raise reader.error(f"expected a token or a set of tokens such as N, [ST] or [^P], got {reader.next()}")
    return Tokens((word.group(),))


def _read_set(reader: Reader, closing: str) -> Tokens:
    """Without spaces every character is a token; with spaces they part tokens: [ST], [F Cl Br], ["[nH]" n]."""
    start = reader.place - 1
    negated = closing == "}" or reader.take("^")
    within = INSIDE.match(reader.text, reader.place)
    spaced = within is not None and re.search(r"\s", QUOTE.sub('"', within.group().strip())) is not None
    tokens = []
    while not reader.take(closing):
        if reader.next() == "the end":
            raise reader.error(f"this set of tokens is not closed by {closing!r}", start)
        character = reader.text[reader.place]
        if character == '"':
            tokens.append(_read_quoted(reader))
        elif is_bare(character):
            word = WORD_IN_SET.match(reader.text, reader.place) if spaced else None
            tokens.append(word.group() if word else character)
            reader.place += len(tokens[-1])
        else:
            advice = "write every token of a range; " if character == "-" else ""
            raise reader.error(f"{advice}inside a set the token {character} is written {json.dumps(character)}")
    if not tokens and not negated:
        raise reader.error("expected at least one token in the set", start)
    return Tokens(tuple(tokens), negated)


def _read_quoted(reader: Reader) -> str:
    start = reader.place
    token = reader.value("a token in quotes", str)
    if not token:
        raise reader.error("expected a token, got an empty string", start)
    return token
