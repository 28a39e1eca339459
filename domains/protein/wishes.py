"""What is wished of a finished protein, in words: "valid", "charge >= 3", "5 <= pi <= 6", "instability <= 40 * 2".

A figure inside its range costs nothing; outside, a particle's log-weight falls by the distance in units of the figure's scale,
times the strength (4 unless given after a `*`): soft. "valid" is hard: no X, no chain without residues.
What an automaton can hold (counts, motifs, residue charge) is better asked as a constraint: it then holds in every design.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from constraints.guidance.guides import Lookahead, Requirement
from domains.protein.properties import METRICS, describe
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

NUMBER = r"[-+]?\d+(?:\.\d+)?"
RANGE = re.compile(
    rf"(?:(?P<low>{NUMBER})\s*<=\s*)?(?P<name>[a-z_]+)(?:\s*(?P<sign><=|>=)\s*(?P<bound>{NUMBER}))?(?:\s*\*\s*(?P<strength>{NUMBER}))?"
)
SCALE = {"length": 10.0, "weight": 1000.0, "pi": 0.5, "gravy": 0.2, "instability": 5.0}  # 1 for all others
STRENGTH = 4.0


@dataclass(frozen=True)
class Wish:
    """low ≤ figure ≤ high, or "valid" alone (no figure)."""

    figure: str | None
    low: float = -float("inf")
    high: float = float("inf")
    strength: float = STRENGTH

    def log_weight(self, sequence: str) -> float:
        """0 inside the range, −strength · distance/scale outside, −∞ for what is not valid."""
        found = look(sequence)
        if not found.valid:
            return -float("inf")
        if self.figure is None:
            return 0.0
        value = float(found.metrics[self.figure] or 0.0)
        return -self.strength * max(self.low - value, value - self.high, 0.0) / SCALE.get(self.figure, 1.0)


@lru_cache(maxsize=100_000)
def look(sequence: str):
    return describe(sequence)


def read_wish(text: str) -> Wish:
    """Raises ConditionError that says what can be wished."""
    found = RANGE.fullmatch(text.strip().lower())
    bare = found is not None and found["low"] is None and found["sign"] is None
    if found and found["name"] == "valid" and bare:
        return Wish(None)
    if not found or found["name"] not in METRICS or bare:
        raise ConditionError(
            f"wish: expected 'valid', or a range such as 'charge >= 3', '5 <= pi <= 6' or 'instability <= 40 * 2' of one of "
            f"{', '.join(METRICS)}; got {text!r}"
        )
    low = float(found["low"] or "-inf")
    bound = float(found["bound"] or "inf")
    low, high = (max(low, bound), float("inf")) if found["sign"] == ">=" else (low, bound)
    strength = float(found["strength"] or STRENGTH)
    if low > high:
        raise ConditionError(f"wish: the range of {text!r} is empty, {low:g} is more than {high:g}")
    if strength <= 0:
        raise ConditionError(f"wish: expected a strength above 0 in {text!r}; turn the range round to wish for less")
    return Wish(found["name"], low, high, strength)


def guide_of(text: str, alphabet: Alphabet) -> Requirement | Lookahead:
    """A wish as a part of a guide."""
    wish = read_wish(text)
    if wish.figure is None:
        return Requirement(lambda rows: [look(alphabet.decode(row)).valid for row in rows.tolist()])

    def exact(rows: Tensor) -> Tensor:
        return torch.tensor([wish.log_weight(alphabet.decode(row)) for row in rows.tolist()], dtype=torch.float64)

    return Lookahead(exact)
