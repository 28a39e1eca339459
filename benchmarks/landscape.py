"""A fitness landscape over a few sites where everything can be summed, and a network that learns from it.

With T(x_t) = Σ P(x) over the x that agree with x_t, for which there is one table of (V + 1)^L numbers, and T_y the same of
P(x) p(y|x),

    p(x_0^i = v | x_t) = T(x_t, v at i)/T(x_t)        p(y | x_t) = T_y(x_t)/T(x_t)        Z = T_y(all holes)

Shapes: R rows, L sites, P queried positions, V vocabulary; the id V is a hole.
"""

import csv
import lzma
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
THRESHOLD, NOISE = 1.0, 0.2


def read(path: Path) -> Tensor:
    """(20, 20, 20, 20) float64 fitness, NaN where it was not measured."""
    fitness = torch.full((20,) * 4, math.nan, dtype=torch.float64)
    with lzma.open(path, "rt") as file:
        for row in csv.DictReader(file):
            fitness[tuple(AMINO_ACIDS.index(letter) for letter in row["Variants"])] = float(row["Fitness"])
    return fitness


def sums(weight: Tensor) -> Tensor:
    """T (V + 1,)*L of weights (V,)*L: index V of an axis is the sum over it."""
    for axis in range(weight.ndim):
        weight = torch.cat([weight, weight.sum(axis, keepdim=True)], axis)
    return weight


def places(x: Tensor, size: int) -> Tensor:
    """Where rows (…, L) of numbers below `size` stand in a flattened table (size,)*L."""
    return (x * size ** torch.arange(x.shape[-1] - 1, -1, -1)).sum(-1)


class Summed:
    """The exact denoiser of a law (V,)*L, by look-ups. Where x_t has probability 0, it is uniform."""

    def __init__(self, law: Tensor):
        self.table, self.vocabulary = sums(law).flatten(), len(law)

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None) -> Tensor:
        V, L = self.vocabulary, x_t.shape[1]
        if positions is None:
            positions = torch.arange(L).expand(len(x_t), -1)
        here = x_t.gather(1, positions).unsqueeze(-1)
        tokens, step = torch.arange(V), ((V + 1) ** (L - 1 - positions)).unsqueeze(-1)
        weight = self.table[places(x_t, V + 1)[:, None, None] + (tokens - here) * step]
        weight = torch.where((here == V) | (here == tokens), weight, 0.0)
        total = weight.sum(-1, keepdim=True)
        return torch.where(total > 0, weight / total, 1 / V).log()


class SummedClassifier:
    """log p(y | x_t) of p(y | x) (V,)*L under a law (V,)*L, by look-ups; −∞ where x_t has probability 0."""

    def __init__(self, law: Tensor, p_y: Tensor):
        reached, wished = sums(law).flatten(), sums(law * p_y).flatten()
        self.table = torch.where(reached > 0, wished / reached, 0.0).log()
        self.size = len(law) + 1

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        return self.table[places(x_t, self.size)]


@dataclass(frozen=True)
class Landscape:
    """Laws (V,)*L over all variants: the base law, p(y | x), and from them the law that is wanted and its normaliser."""

    fitness: Tensor
    base: Tensor
    p_y: Tensor

    @classmethod
    def of(cls, fitness: Tensor) -> "Landscape":
        measured = ~fitness.isnan()
        fitness = fitness.nan_to_num()
        p_y = torch.where(measured, torch.special.ndtr((fitness - THRESHOLD) / NOISE), 0.0)
        return cls(fitness, measured.double() / measured.sum(), p_y)

    @property
    def log_z(self) -> float:
        return float((self.base * self.p_y).sum().log())

    @property
    def tilted(self) -> Tensor:
        return self.base * self.p_y / (self.base * self.p_y).sum()


class Network(nn.Module):
    """log p(y | x_t), y wished for or not, from the one-hots of ids (R, L) or from soft tokens (R, L, V + 1)."""

    def __init__(self, V: int, L: int, width: int = 256):
        super().__init__()
        self.V = V
        self.layers = nn.Sequential(
            nn.Linear(L * (V + 1), width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, x_t: Tensor) -> Tensor:
        soft = x_t if x_t.is_floating_point() else nn.functional.one_hot(x_t, self.V + 1)
        return self.layers(soft.flatten(1).to(self.layers[0].weight.dtype))  # type: ignore[arg-type]

    def log_classes(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        return self(x_t).double().log_softmax(-1)


def learn(landscape: Landscape, steps: int = 4000, rows: int = 1024) -> Network:
    """−Σ_y p(y|x_0) log p_θ(y|x_t) at t uniform in [0, 1], AdamW."""
    V, L = len(landscape.base), landscape.base.ndim
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = Network(V, L)
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.05)
    outcomes = landscape.base.flatten().nonzero().squeeze(-1)
    law, p_y = landscape.base.flatten()[outcomes].cumsum(0), landscape.p_y.flatten()[outcomes]
    tokens = torch.stack(torch.unravel_index(outcomes, landscape.base.shape), -1)
    for _ in range(steps):
        u = torch.rand(rows, generator=generator, dtype=torch.float64)
        drawn = torch.searchsorted(law, u).clamp(max=len(law) - 1)
        t = torch.rand(rows, 1, generator=generator)
        x_t = torch.where(torch.rand(rows, L, generator=generator) < t, V, tokens[drawn])
        target = torch.stack([1 - p_y[drawn], p_y[drawn]], -1).float()
        loss = nn.functional.cross_entropy(network(x_t), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval().requires_grad_(False)
