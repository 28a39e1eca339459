"""How far a row is from a reference of its length, counted in substitutions: an edit budget, and a range of identity.

    edits(MKVLA, 0..2)          at most two of the five positions are unlike
    identity(MKVLA, 60..80%)    three or four of the five are alike

There are no insertions: a row of another length satisfies neither. Within a region the reference is that of the region.
"""

import math
from dataclasses import dataclass

from constraints.language.algebra import Constraint, bare, number_text, range_text
from constraints.language.motif import WORD


@dataclass(frozen=True)
class Edits(Constraint):
    """As long as the reference, and unlike it at `low` to `high` (None: any number of) positions: substitutions alone."""

    reference: str
    low: int
    high: int | None = None
    name = "edits"

    def __post_init__(self):
        self._need_text("a reference", self.reference)
        self._need_range(self.low, self.high)

    def _arguments(self):
        return [bare(self.reference, WORD), range_text(self.low, self.high)]

    def mismatches(self, length: int) -> tuple[int, int]:
        """The least and the greatest number of unlike positions of a reference of this many tokens."""
        return self.low, length if self.high is None else min(self.high, length)


@dataclass(frozen=True)
class Identity(Constraint):
    """As long as the reference, and like it at `low` to `high` percent of its positions."""

    reference: str
    low: float
    high: float
    name = "identity"

    def __post_init__(self):
        self._need_text("a reference", self.reference)
        for value in (self.low, self.high):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 100:
                raise self._refuse("percent from 0 to 100", value)
        if self.low > self.high:
            raise self._refuse("low ≤ high", f"{self.low:g}..{self.high:g}")
        self._set(low=float(self.low), high=float(self.high))

    def _arguments(self):
        return [bare(self.reference, WORD), f"{number_text(self.low)}..{number_text(self.high)}%"]

    def mismatches(self, length: int) -> tuple[int, int]:
        """The least and the greatest number of unlike positions; a billionth of a position forgives decimal fractions."""
        least, most = math.ceil(length * self.low / 100 - 1e-9), math.floor(length * self.high / 100 + 1e-9)
        return length - most, length - least
