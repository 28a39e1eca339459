"""Wishes of a process on vectors: every x_s is moved up the gradient of what is wished, as in Diffusion-LM, or nothing is
moved and the finished rows are weighed.

    x_s ← a few Adagrad steps up  log p(y | x_s) + λ log N(x_s; μ, σ²),   in units of σ around the mean μ of p(x_s | x_t)

Diffusion-LM's classifier reads x_s itself and is trained on such vectors. Here it reads soft tokens, the law of x_0 that x_s
leaves: by Bayes p(v | x_s, x_t) ∝ p(v | x_t) q(x_s | x_t, e_v), position by position, with the p(v | x_t) that the model has
just answered. So anything serves that reads soft tokens, and the model is asked once a step.

A row from which nothing pulls is left where it is. What comes of it is the model's law no more, and nothing is promised.

Source: Li et al., "Diffusion-LM improves controllable text generation", 2022, §5.
Shapes: R rows, L length, D width, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from constraints.condition import Guide
from constraints.guidance.gradients import ascend, embedding_gradient, fluent
from constraints.guidance.guides import LogProbability


@dataclass(frozen=True)
class Steered:
    """A Condition that moves the vectors as well.

    Attributes:
        condition: what holds and how tokens are drawn.
        wishes: each log p(y | soft tokens (R, L, V)) up to a constant; their sum is ascended.
        steps, rate: of Adagrad; a step is at most `rate` times σ.
        fluency: λ.
    """

    condition: Any
    wishes: tuple[LogProbability, ...]
    steps: int = 3
    rate: float = 0.3
    fluency: float = 0.01

    def __getattr__(self, name: str) -> Any:
        return getattr(self.condition, name)

    def ascend(self, x: Tensor, mean: Tensor, variance: Tensor, said: Callable[[Tensor], Tensor]) -> Tensor:
        """x_s (R, L, D) moved. variance broadcasts against it; said: x_s → soft tokens (R, L, V), differentiable."""
        sigma = variance.sqrt()

        def wish(z: Tensor) -> Tensor:
            p = said(mean + sigma * z)
            return torch.stack([part(p).double() for part in self.wishes]).sum(0)

        z = (x - mean) / sigma
        pulled = embedding_gradient(wish, z)[1].flatten(1).abs().sum(-1) > 0
        if not bool(pulled.any()):
            return x
        one = torch.ones_like(sigma)
        moved = ascend(z, fluent(torch.zeros_like(z), one, wish, self.fluency), self.steps, self.rate)
        return torch.where(pulled[:, None, None], mean + sigma * moved, x)


@dataclass(frozen=True)
class Weighed:
    """A Condition whose rows weigh something when they are done, and nothing before.

    Attributes:
        condition: what holds and how tokens are drawn.
        guide: whose final value it is; None: all rows weigh alike.
    """

    condition: Any
    guide: Guide | None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.condition, name)

    def final(self, x_0: Tensor) -> Tensor:
        """log W (B,) of complete rows (B, L)."""
        zero = torch.zeros(len(x_0), dtype=torch.float64, device=x_0.device)
        return zero if self.guide is None else self.guide.final(x_0)
