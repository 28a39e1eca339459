"""The algebra of constraints: what must hold of a row of tokens, before any alphabet, length or table is known.

    avoid = Avoid("N-[^P]-[ST]") & Count("[C]", 0, 1) & Length(4, 9).within("linker") & ~Regex("A+B")
    str(avoid)    avoid(N-[^P]-[ST]) & count([C], 0..1) & within(linker, length(4..9)) & ~regex("A+B")

A constraint is a frozen value; `&`, `|`, `~` and `within` build larger ones, and its text is its `str`
(`notation.parse` reads it). Positions count from 0, within a region from the region's first position. The region
"all" is every position of the row. What each constraint means, token by token, is `check.holds`.
"""

from dataclasses import dataclass

from constraints.language.algebra import (
    ALL,
    CONTEXT_FREE,
    REGULAR,
    RELATION,
    And,
    Constraint,
    Not,
    Or,
    Within,
    bare,
    positions_text,
)
from constraints.language.counts import Count, Length, Runs, Sum
from constraints.language.motif import WORD, Tokens
from constraints.language.nested import Grammar, JsonSchema
from constraints.language.patterns import Avoid, Contains, EndsWith, Regex, StartsWith, Words
from constraints.language.related import Distinct, Tie

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
