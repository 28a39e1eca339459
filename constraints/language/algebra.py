"""What the operators of constraints build: the base class, and, or, not, within. The leaves are in `expression`."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from seqdiff.errors import ConditionError

REGULAR, CONTEXT_FREE, RELATION = "regular", "context-free", "relation"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOST = 1_000_000  # no position, count or length is larger
ALL = "all"


class Constraint:
    """Base class: what the operators build."""

    name: ClassVar[str] = ""
    _kind: ClassVar[str] = REGULAR

    @property
    def kind(self) -> str:
        """regular, context-free or relation; of a composed one, the strongest of its parts."""
        return self._kind

    def __and__(self, other: "Constraint") -> "And":
        return And((self, other)) if isinstance(other, Constraint) else NotImplemented

    def __or__(self, other: "Constraint") -> "Or":
        return Or((self, other)) if isinstance(other, Constraint) else NotImplemented

    def __invert__(self) -> "Not":
        return Not(self)

    def within(self, region: str) -> "Within":
        """This constraint of the positions of a region alone, as if they stood one after another."""
        return Within(self, region)

    def _arguments(self) -> list[str]:
        raise NotImplementedError

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self._arguments())})"

    def _refuse(self, expected: str, got) -> ConditionError:
        return ConditionError(f"{self.name}: expected {expected}, got {got!r}")

    def _set(self, **values) -> None:
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def _need_whole(self, **values) -> None:
        for field, value in values.items():
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
                raise self._refuse(f"{field} a whole number from 0 to {MOST}", value)

    def _need_range(self, low, high) -> None:
        self._need_whole(low=low, **({} if high is None else {"high": high}))
        if high is not None and low > high:
            raise self._refuse("low ≤ high", f"{low}..{high}")

    def _need_text(self, field: str, value) -> None:
        if not isinstance(value, str) or not value:
            raise self._refuse(f"{field} as a non-empty text", value)

    def _list(self, field: str, value) -> tuple:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise self._refuse(f"{field} as a list", value)
        return tuple(value)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def bare(text: str, pattern: re.Pattern) -> str:
    """The text itself where the pattern allows, else in quotes."""
    return text if pattern.fullmatch(text) else quoted(text)


def range_text(low, high) -> str:
    return str(low) if low == high else f"{low}..{'' if high is None else high}"


def number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def positions_text(positions: tuple[int, ...]) -> list[str]:
    """Ranges of neighbours: 0, 2, 5..9."""
    runs: list[list[int]] = []
    for position in positions:
        if runs and runs[-1][1] == position - 1:
            runs[-1][1] = position
        else:
            runs.append([position, position])
    return [range_text(low, high) for low, high in runs]


@dataclass(frozen=True)
class _Several(Constraint):
    parts: tuple[Constraint, ...]
    _sign: ClassVar[str] = ""

    def __post_init__(self):
        parts = self._list("constraints", self.parts)
        for part in parts:
            if not isinstance(part, Constraint):
                raise self._refuse("constraints", part)
        parts = tuple(inner for part in parts for inner in (part.parts if type(part) is type(self) else (part,)))
        if len(parts) < 2:
            raise self._refuse("at least two constraints", parts)
        self._set(parts=parts)

    @property
    def kind(self) -> str:
        return max((part.kind for part in self.parts), key=(REGULAR, CONTEXT_FREE, RELATION).index)

    def __str__(self) -> str:
        loose = Or if isinstance(self, And) else ()
        return self._sign.join(f"({part})" if isinstance(part, loose) else str(part) for part in self.parts)


@dataclass(frozen=True)
class And(_Several):
    """All hold."""

    name, _sign = "and", " & "


@dataclass(frozen=True)
class Or(_Several):
    """At least one holds."""

    name, _sign = "or", " | "


@dataclass(frozen=True)
class Not(Constraint):
    """It does not hold."""

    part: Constraint
    name = "not"

    def __post_init__(self):
        if not isinstance(self.part, Constraint):
            raise self._refuse("a constraint", self.part)

    @property
    def kind(self) -> str:
        return self.part.kind

    def __str__(self) -> str:
        return f"~({self.part})" if isinstance(self.part, _Several) else f"~{self.part}"


@dataclass(frozen=True)
class Within(Constraint):
    """The constraint holds of the region's positions, as if they stood one after another."""

    part: Constraint
    region: str
    name = "within"

    def __post_init__(self):
        if not isinstance(self.part, Constraint):
            raise self._refuse("a constraint", self.part)
        self._need_text("a region", self.region)

    @property
    def kind(self) -> str:
        return self.part.kind

    def _arguments(self):
        return [bare(self.region, NAME), str(self.part)]
