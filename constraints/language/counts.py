"""How many: tokens of a set, tokens in all, weights that add up, the same token in a row."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from constraints.language.algebra import MOST, Constraint, number_text, quoted, range_text
from constraints.language.motif import Tokens


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
