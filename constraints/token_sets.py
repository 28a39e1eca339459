"""What a position may hold: the simplest hard constraint, compiled to one table.

Shapes: B rows, L length, K distinct sets, V vocabulary, R queried rows, P queried positions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from seqdiff.condition import Unconditional
from seqdiff.errors import ConditionError


@dataclass(frozen=True)
class TokenSets(Unconditional):
    """A Condition: each position holds a token of its set; positions are independent, so draws stay independent.

    Attributes:
        log_allowed: (K, V) float64, 0 where a set has a token and −∞ elsewhere.
        index: (B, L) int64, the set of each position, or None if all have set 0.
    """

    log_allowed: Tensor
    index: Tensor | None = None

    @classmethod
    def banning(cls, vocabulary: int, banned: frozenset[int], device="cpu") -> "TokenSets":
        """Every free position may hold all but the banned tokens. Raises ConditionError if nothing is left."""
        log_allowed = torch.zeros(1, vocabulary, dtype=torch.float64, device=device)
        log_allowed[0, sorted(banned)] = float("-inf")
        if len(banned) >= vocabulary:
            raise ConditionError("every token is banned: nothing can fill a free position")
        return cls(log_allowed)

    def tilt(self, logits: Tensor, rows: Tensor | None, positions: Tensor | None) -> Tensor:
        """logits (R, P, V) + log 1[allowed]. Where the model gives every allowed token mass 0, all allowed are alike."""
        log_allowed = self._at(rows, positions)
        tilted = logits.double() + log_allowed
        nothing = ~torch.isfinite(tilted).any(-1, keepdim=True)
        return torch.where(nothing, log_allowed.expand_as(tilted), tilted)

    def allowed(self, rows: Tensor | None, positions: Tensor | None) -> Tensor:
        """1[allowed] as float64, (R, P, V), or (V,) where all positions have one set."""
        return self._at(rows, positions, self.log_allowed.exp())  # few sets, many positions

    def _at(self, rows: Tensor | None, positions: Tensor | None, table: Tensor | None = None) -> Tensor:
        table = self.log_allowed if table is None else table
        if self.index is None:
            return table[0]
        index = self.index if rows is None else self.index[rows]
        return table[index if positions is None else index.gather(1, positions)]


class Numbered:
    """Sets of tokens (V,) bool by number, each once; the first is "any token".

    Alphabets of words have thousands of tokens, rows a few different sets: what is done to sets is done once for each.
    """

    def __init__(self, vocabulary: int):
        self.sets: list[np.ndarray] = []
        self._number: dict[bytes, int] = {}
        self._met: dict[tuple[int, int], int] = {}
        self.number(np.ones(vocabulary, bool))

    def number(self, tokens: np.ndarray) -> int:
        key = np.packbits(tokens).tobytes()
        if key not in self._number:
            self._number[key] = len(self.sets)
            self.sets.append(tokens)
        return self._number[key]

    def meet(self, a: int, b: int) -> int:
        """The number of what two sets have in common."""
        if (a, b) not in self._met:
            self._met[a, b] = self.number(self.sets[a] & self.sets[b])
        return self._met[a, b]


def distinct(allowed: Tensor) -> tuple[Tensor, Tensor]:
    """What rows may hold, (n, L, V) bool, as (index (n, L), table (K, V)), "any token" first."""
    numbered = Numbered(allowed.shape[-1])
    index = [numbered.number(tokens) for tokens in allowed.reshape(-1, allowed.shape[-1]).numpy()]
    return torch.tensor(index).reshape(allowed.shape[:2]), torch.as_tensor(np.stack(numbered.sets))
