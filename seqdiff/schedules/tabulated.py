"""Piecewise-linear schedules: a table of mask rates, and its learned form.

The increments of a learned schedule are a softmax, so it rises from 0 to 1 exactly, strictly, at every moment of the
training, and what a checkpoint stores of it is a table that means the same function.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from seqdiff.errors import ConfigError
from seqdiff.schedules.base import Schedule


@dataclass(frozen=True)
class Tabulated(Schedule):
    """1 − α_t linear between its values at t = 0, 1/K, …, 1, which rise from 0 to 1."""

    rates: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self):
        object.__setattr__(self, "rates", tuple(float(rate) for rate in self.rates))
        if len(self.rates) < 2 or self.rates[0] != 0 or self.rates[-1] != 1:
            raise ConfigError(f"tabulated schedule: expected two or more rates from 0.0 to 1.0, got {_short(self.rates)}")
        if not all(a < b for a, b in pairwise(self.rates)):
            raise ConfigError(f"tabulated schedule: expected rates that rise from each to the next, got {_short(self.rates)}")

    def mask_rate(self, t):
        return interpolate(self._table(t), t)

    def mask_rate_prime(self, t):
        return slope(self._table(t), t)

    def inverse(self, mask_rate):
        return inverse(self._table(mask_rate), mask_rate)

    def _table(self, like: Tensor) -> Tensor:
        return torch.tensor(self.rates, dtype=torch.float64, device=like.device)


class Learned(nn.Module, Schedule):
    """A `Tabulated` schedule with K trainable increments softmax(logits), beginning as a given schedule's table.

    A schedule does not change the continuous-time bound but its variance (Kingma et al., VDM, 2021), and what a finite
    number of steps costs. `table` is what the checkpoint keeps.
    """

    logits: nn.Parameter

    def __init__(self, start: Schedule, knots: int = 32):
        super().__init__()
        rates = start.mask_rate(torch.linspace(0, 1, knots + 1, dtype=torch.float64))
        self.logits = nn.Parameter(rates.diff().clamp(min=1e-12).log())

    def mask_rate(self, t):
        return interpolate(self._rates(), t)

    def mask_rate_prime(self, t):
        return slope(self._rates(), t)

    def inverse(self, mask_rate):
        return inverse(self._rates(), mask_rate)

    def table(self) -> Tabulated:
        """The same function without a parameter."""
        return Tabulated(tuple(self._rates().tolist()))

    def _rates(self) -> Tensor:
        inner = torch.softmax(self.logits.double(), 0).cumsum(0)[:-1]
        return torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])


def interpolate(values: Tensor, t: Tensor) -> Tensor:
    """The piecewise-linear function with values (K + 1,) at 0, 1/K, …, 1, at t in [0, 1]."""
    K = len(values) - 1
    k = (t * K).floor().long().clamp(0, K - 1)
    share = t * K - k
    return values[k] * (1 - share) + values[k + 1] * share


def slope(values: Tensor, t: Tensor) -> Tensor:
    """Its derivative; at a knot that of the piece to the right."""
    K = len(values) - 1
    k = (t * K).floor().long().clamp(0, K - 1)
    return (values[k + 1] - values[k]) * K


def inverse(values: Tensor, y: Tensor) -> Tensor:
    """The t at which a rising piecewise-linear function is y; 0 and 1 for y outside its values."""
    K = len(values) - 1
    k = (torch.searchsorted(values.detach(), y.detach().contiguous(), right=True) - 1).clamp(0, K - 1)
    return (k + ((y - values[k]) / (values[k + 1] - values[k])).clamp(0, 1)) / K


def _short(rates: tuple[float, ...]) -> str:
    return str(list(rates)) if len(rates) <= 6 else f"{[*rates[:3]]}…{[*rates[-3:]]}".replace("]…[", ", …, ")
