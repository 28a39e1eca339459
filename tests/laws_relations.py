"""Rows under a predicate by brute force, in plain Python, and a structure that is nothing but such a list."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.draws import categorical


def enumerated(p: Tensor, holds: Callable[[tuple], bool]) -> tuple[Tensor, Tensor]:
    """The rows (K, L) that hold and have mass, and their masses (K,), of one row's p (L, V)."""
    length, vocabulary = p.shape
    table = p.tolist()
    rows, masses = [], []
    for x in itertools.product(range(vocabulary), repeat=length):
        if holds(x):
            mass = math.prod(table[i][v] for i, v in enumerate(x))
            if mass > 0:
                rows.append(x)
                masses.append(mass)
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, length), torch.tensor(masses, dtype=torch.float64)


def random_p(rows: int, length: int, vocabulary: int, seed: int) -> Tensor:
    """Not normalised, some entries 0."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(rows, length, vocabulary, generator=generator, dtype=torch.float64) ** 2 + 0.01
    p[torch.rand(p.shape, generator=generator) < 0.1] = 0
    return p


def noise(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.rand(rows, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def marginals(structure, p: Tensor, region: Tensor | None = None) -> Tensor:
    """∂ log Z / ∂ log p (R, L, V)."""
    p = p.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(structure.log_mass(p, region).sum(), p)
    return p.detach() * gradient


@dataclass(frozen=True)
class Listed:
    """A Structure by enumeration: the rows for which `holds(tokens at the positions whose region is not outside)`."""

    length: int
    vocabulary: int
    holds: Callable[[tuple], bool]
    outside: int

    def _weights(self, p: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
        rows = torch.tensor(list(itertools.product(range(self.vocabulary), repeat=self.length)))
        layouts, layout = region.unique(dim=0, return_inverse=True)
        read = [
            [self.holds(tuple(v for v, g in zip(x, where, strict=True) if g != self.outside)) for x in rows.tolist()]
            for where in layouts.tolist()
        ]
        mass = torch.stack([p[:, i, rows[:, i]] for i in range(self.length)], -1).prod(-1)
        return rows, mass * torch.tensor(read)[layout]

    def log_mass(self, p, region=None):
        return self._weights(p, region)[1].sum(-1).log()

    def draw(self, p, u, region=None):
        rows, weights = self._weights(p, region)
        return rows[categorical(weights, u[:, 0]).clamp(max=len(rows) - 1)], weights.sum(-1).log()
