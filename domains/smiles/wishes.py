"""What a chemist wishes of a finished molecule, in words: "valid", "qed >= 0.8", "2 <= logp <= 3", "weight <= 400 * 2".

A figure inside its range costs nothing; outside, a particle's log-weight falls by the distance in units of the figure's scale,
times the strength (4 unless given after a `*`): soft, and labelled so. "valid" is hard: a molecule that RDKit refuses is never
returned, and neither is one of which a figure is wished that it does not have.

On the way a bundled regressor of molecules under noise, where there is one for the figure, says how likely the range is to
be reached, log P(low ≤ figure ≤ high | x_t): it steers the particles, and the weights in the end are the exact figure's alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from constraints.guidance import guides as guidance
from constraints.guidance.guides import LogProbability, Lookahead, Requirement
from domains.smiles.properties import METRICS, describe
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConditionError

NUMBER = r"[-+]?\d+(?:\.\d+)?"
RANGE = re.compile(
    rf"(?:(?P<low>{NUMBER})\s*<=\s*)?(?P<name>[a-z_]+)(?:\s*(?P<sign><=|>=)\s*(?P<bound>{NUMBER}))?(?:\s*\*\s*(?P<strength>{NUMBER}))?"
)
SCALE = {"qed": 0.1, "sa": 0.5, "logp": 0.5, "tpsa": 10.0, "weight": 25.0, "rings": 1.0, "heavy_atoms": 2.0}
STRENGTH = 4.0
REGRESSORS = {"qed": "smiles-qed"}  # figure → the bundled model that tells it from molecules under noise


@dataclass(frozen=True)
class Wish:
    """low ≤ figure ≤ high, or "valid" alone (no figure).

    Attributes:
        figure: one of `properties.METRICS`, or None.
        strength: nats by which one unit of the figure's scale outside the range counts.
    """

    figure: str | None
    low: float = -float("inf")
    high: float = float("inf")
    strength: float = STRENGTH

    def log_weight(self, smiles: str) -> float:
        """0 inside the range, −strength · distance/scale outside, −∞ for what is no molecule."""
        molecule = look(smiles)
        if not molecule.valid:
            return -float("inf")
        if self.figure is None:
            return 0.0
        value = molecule.metrics[self.figure]
        distance = max(self.low - value, value - self.high, 0.0)
        return -self.strength * distance / SCALE[self.figure]


@lru_cache(maxsize=100_000)
def look(smiles: str):
    return describe(smiles)


def read_wish(text: str) -> Wish:
    """Raises ConditionError that says what can be wished."""
    found = RANGE.fullmatch(text.strip().lower())
    if found and found["name"] == "valid" and found["low"] is None and found["sign"] is None:
        return Wish(None)
    if not found or found["name"] not in METRICS or (found["low"] is None and found["sign"] is None):
        raise ConditionError(
            f"wish: expected 'valid', or a range such as 'qed >= 0.8', '2 <= logp <= 3' or 'weight <= 400 * 2' of one of "
            f"{', '.join(METRICS)}; got {text!r}"
        )
    low = float(found["low"]) if found["low"] else -float("inf")
    high = float("inf")
    if found["sign"] == "<=":
        high = float(found["bound"])
    elif found["sign"] == ">=":
        low = max(low, float(found["bound"]))
    if low > high:
        raise ConditionError(f"wish: the range of {text!r} is empty, {low:g} is more than {high:g}")
    strength = float(found["strength"]) if found["strength"] else STRENGTH
    if strength <= 0:
        raise ConditionError(f"wish: expected a strength above 0 in {text!r}; turn the range round to wish for less")
    return Wish(found["name"], low, high, strength)


@lru_cache
def regressor(name: str) -> Checkpoint | None:
    """A bundled model, None where it is not there."""
    from domains.registry import bundled_models

    folder = bundled_models().get(name)
    return None if folder is None else load_checkpoint(folder)


def look_ahead(alphabet: Alphabet) -> Callable[[str, float, float], LogProbability | None]:
    """(figure, low, high) → log P(low ≤ figure ≤ high | x_t) by the bundled regressor, None without one for these tokens."""

    def ahead(figure: str, low: float, high: float) -> LogProbability | None:
        found = regressor(REGRESSORS[figure]) if figure in REGRESSORS and low < high else None
        return guidance.Wish(found.network, low, high) if found is not None and found.alphabet == alphabet else None

    return ahead


def guide_of(text: str, alphabet: Alphabet, ahead: Callable | None = None) -> Requirement | Lookahead:
    """A wish as a part of a guide. `ahead`: (figure, low, high) → a LogProbability of noisy rows, or None."""
    wish = read_wish(text)
    if wish.figure is None:
        return Requirement(lambda rows: [look(alphabet.decode(row)).valid for row in rows.tolist()])
    predicted = ahead(wish.figure, wish.low, wish.high) if ahead else None

    def exact(rows: Tensor) -> Tensor:
        return torch.tensor([wish.log_weight(alphabet.decode(row)) for row in rows.tolist()], dtype=torch.float64)

    return Lookahead(exact, predicted)
