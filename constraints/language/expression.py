"""The algebra of constraints: what must hold of a row of tokens, before any alphabet, length or table is known.

    avoid = Avoid("N-[^P]-[ST]") & Count("[C]", 0, 1) & Length(4, 9).within("linker") & ~Regex("A+B")
    str(avoid)    avoid(N-[^P]-[ST]) & count([C], 0..1) & within(linker, length(4..9)) & ~regex("A+B")

A constraint is a frozen value; `&`, `|`, `~` and `within` build larger ones, and its text is its `str`
(`notation.parse` reads it). Positions count from 0, within a region from the region's first position. The region
"all" is every position of the row. What each constraint means, token by token, is `check.holds`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from constraints.language.algebra import (
    ALL,
    CONTEXT_FREE,
    MOST,
    NAME,
    REGULAR,
    RELATION,
    And,
    Constraint,
    Not,
    Or,
    Within,
    bare,
    number_text,
    positions_text,
    quoted,
    range_text,
)
from constraints.language.motif import WORD, Motif, Tokens

__all__ = [
    "ALL", "CONTEXT_FREE", "REGULAR", "RELATION",
    "Allow", "And", "Avoid", "Ban", "Constraint", "Contains", "Count", "Distinct", "EndsWith", "Grammar", "JsonSchema",
    "Length", "Not", "Or", "Pin", "Regex", "Runs", "StartsWith", "Sum", "Tie", "Within", "Words",
]  # fmt: skip


@dataclass(frozen=True)
class Pin(Constraint):
    """This token at this position, which exists."""

    position: int
    token: str
    name = "pin"

    def __post_init__(self):
        self._need_whole(position=self.position)
        self._need_text("token", self.token)

    def _arguments(self):
        return [str(self.position), bare(self.token, WORD)]


@dataclass(frozen=True)
class _Places(Constraint):
    tokens: Tokens
    positions: tuple[int, ...] | None = None

    def __post_init__(self):
        self._set(tokens=Tokens.of(self.tokens))
        if self.positions is None:
            return
        positions = self._list("positions", self.positions)
        for position in positions:
            self._need_whole(position=position)
        if not positions:
            raise self._refuse("at least one position (or none named, for all)", positions)
        self._set(positions=tuple(sorted(set(positions))))

    def _arguments(self):
        return [str(self.tokens), *positions_text(self.positions or ())]


@dataclass(frozen=True)
class Allow(_Places):
    """Only these tokens, at the positions given that exist, or everywhere."""

    name = "allow"


@dataclass(frozen=True)
class Ban(_Places):
    """None of these tokens, at the positions given that exist, or everywhere."""

    name = "ban"


@dataclass(frozen=True)
class Regex(Constraint):
    """The whole text matches this regular expression."""

    pattern: str
    name = "regex"

    def __post_init__(self):
        if not isinstance(self.pattern, str):
            raise self._refuse("a pattern as text", self.pattern)

    def _arguments(self):
        return [quoted(self.pattern)]


@dataclass(frozen=True)
class _Motif(Constraint):
    motif: Motif

    def __post_init__(self):
        self._set(motif=Motif.of(self.motif))

    def _arguments(self):
        return [str(self.motif)]


@dataclass(frozen=True)
class Contains(_Motif):
    """The motif stands somewhere."""

    name = "contains"


@dataclass(frozen=True)
class Avoid(_Motif):
    """The motif stands nowhere."""

    name = "avoid"


@dataclass(frozen=True)
class StartsWith(_Motif):
    """The motif stands at the beginning."""

    name = "starts_with"


@dataclass(frozen=True)
class EndsWith(_Motif):
    """The motif stands at the end."""

    name = "ends_with"


@dataclass(frozen=True)
class Count(Constraint):
    """`low` to `high` (None: any number) tokens of the set; with a window, in every `window` positions in a row."""

    tokens: Tokens
    low: int
    high: int | None = None
    window: int | None = None
    name = "count"

    def __post_init__(self):
        self._set(tokens=Tokens.of(self.tokens))
        self._need_range(self.low, self.high)
        if self.window is not None:
            self._need_whole(window=self.window)
            if self.window < 1:
                raise self._refuse("a window of at least one position", self.window)

    def _arguments(self):
        window = [] if self.window is None else [f"window={self.window}"]
        return [str(self.tokens), range_text(self.low, self.high), *window]


@dataclass(frozen=True)
class Length(Constraint):
    """`low` to `high` (None: any number of) tokens."""

    low: int
    high: int | None = None
    name = "length"

    def __post_init__(self):
        self._need_range(self.low, self.high)

    def _arguments(self):
        return [range_text(self.low, self.high)]


@dataclass(frozen=True)
class Sum(Constraint):
    """The tokens' weights (0 where none is given), each rounded to whole steps, add up to `low` … `high`."""

    weights: tuple[tuple[str, float], ...]
    low: float
    high: float
    step: float = 1.0
    name = "sum"

    def __post_init__(self):
        pairs = self.weights.items() if isinstance(self.weights, Mapping) else self._list("weights", self.weights)
        try:
            weights = tuple(sorted((str(token), self._number(weight)) for token, weight in pairs))
        except (TypeError, ValueError):
            raise self._refuse("weights as {token: number}", self.weights) from None
        low, high, step = self._number(self.low), self._number(self.high), self._number(self.step)
        if not weights or len({token for token, _ in weights}) < len(weights):
            raise self._refuse("a weight for at least one token, and one for each", dict(weights))
        if not step > 0 or low > high or max(abs(low), abs(high), *(abs(w) for _, w in weights)) / step > MOST:
            raise self._refuse(f"low ≤ high and a step > 0, at most {MOST} steps to any of them", (low, high, step))
        self._set(weights=weights, low=low, high=high, step=step)

    def _number(self, value) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self._refuse("finite numbers", value)
        return float(value)

    @property
    def units(self) -> tuple[dict[str, int], int, int]:
        """Weights, least and greatest sum in whole steps; a billionth of a step forgives decimal fractions."""
        weights = {token: round(weight / self.step) for token, weight in self.weights}
        return weights, math.ceil(self.low / self.step - 1e-9), math.floor(self.high / self.step + 1e-9)

    def _arguments(self):
        weights = ", ".join(f"{quoted(token)}: {number_text(weight)}" for token, weight in self.weights)
        return [f"{{{weights}}}", f"{number_text(self.low)}..{number_text(self.high)}", f"step={number_text(self.step)}"]


@dataclass(frozen=True)
class Runs(Constraint):
    """No token of the set stands more than `most` times in a row."""

    tokens: Tokens
    most: int
    name = "runs"

    def __post_init__(self):
        self._set(tokens=Tokens.of(self.tokens))
        self._need_whole(most=self.most)
        if self.most < 1:
            raise self._refuse("most, at least 1 (to have none, ban the tokens)", self.most)

    def _arguments(self):
        return [str(self.tokens), str(self.most)]


@dataclass(frozen=True)
class Words(Constraint):
    """The whole is one of these texts, cut into tokens as the alphabet cuts them."""

    words: tuple[str, ...]
    name = "words"

    def __post_init__(self):
        words = self._list("words", self.words)
        if not words or not all(isinstance(word, str) for word in words):
            raise self._refuse("at least one text", words)
        self._set(words=tuple(dict.fromkeys(words)))

    def _arguments(self):
        return [quoted(word) for word in self.words]


@dataclass(frozen=True)
class Tie(Constraint):
    """Region b is region a, token by token: as it is, by a token → token map (others stay), or read backwards.

    Regions of unequal lengths are not tied. `Tie("all", "all", reverse=True)` is a palindrome.
    """

    region_a: str
    region_b: str
    mapping: tuple[tuple[str, str], ...] | None = None
    reverse: bool = False
    name = "tie"
    _kind = RELATION

    def __post_init__(self):
        self._need_text("a region", self.region_a)
        self._need_text("a region", self.region_b)
        if not isinstance(self.reverse, bool):
            raise self._refuse("reverse true or false", self.reverse)
        if self.mapping is None:
            return
        pairs = self.mapping.items() if isinstance(self.mapping, Mapping) else self._list("mapping", self.mapping)
        try:
            mapping = dict(pairs)
        except (TypeError, ValueError):
            raise self._refuse("a mapping {token: token}", self.mapping) from None
        for text in (*mapping, *mapping.values()):
            self._need_text("tokens of the mapping", text)
        self._set(mapping=tuple(sorted(mapping.items())))

    def _arguments(self):
        mapping = [] if self.mapping is None else [f"map={json.dumps(dict(self.mapping), ensure_ascii=False)}"]
        return [bare(self.region_a, NAME), bare(self.region_b, NAME), *mapping, *["reverse"] * self.reverse]


@dataclass(frozen=True)
class Distinct(Constraint):
    """All different: the tokens at these positions (those that exist), or the contents of these regions."""

    items: tuple[int, ...] | tuple[str, ...]
    name = "distinct"
    _kind = RELATION

    def __post_init__(self):
        items = self._list("positions or regions", self.items)
        if all(isinstance(item, str) and item for item in items):
            items = tuple(sorted(set(items)))
        else:
            for item in items:
                self._need_whole(position=item)
            items = tuple(sorted(set(items)))
        if len(items) < 2:
            raise self._refuse("at least two positions or two regions", items)
        self._set(items=items)

    def _arguments(self):
        if isinstance(self.items[0], int):
            return positions_text(self.items)  # type: ignore[arg-type]
        return [bare(str(item), NAME) for item in self.items]


@dataclass(frozen=True)
class Grammar(Constraint):
    """The whole text is derived from `start` by this context-free grammar in lark's notation."""

    text: str
    start: str = "start"
    name = "grammar"
    _kind = CONTEXT_FREE

    def __post_init__(self):
        self._need_text("a grammar", self.text)
        self._need_text("start, a rule's name,", self.start)

    def _arguments(self):
        return [quoted(self.text), *([] if self.start == "start" else [bare(self.start, NAME)])]


@dataclass(frozen=True)
class JsonSchema(Constraint):
    """The whole text is JSON that this schema accepts. Given as a dict, true or false, or as JSON text; kept as text."""

    schema: str
    name = "json_schema"
    _kind = CONTEXT_FREE

    def __post_init__(self):
        schema = self.schema
        try:
            schema = json.loads(schema) if isinstance(schema, str) else schema
            text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise self._refuse(f"a schema that is JSON ({error})", self.schema) from None
        if not isinstance(schema, (dict, bool)):
            raise self._refuse("a schema: an object, true or false", self.schema)
        self._set(schema=text)

    def _arguments(self):
        return [self.schema]
