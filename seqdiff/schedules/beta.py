"""The schedule whose transition times follow a Beta law.

A token's transition time τ has P(τ ≤ t) = 1 − α_t: a schedule and a law of transition times are the same thing. DNDM
(Chen et al., 2023) names the law, Beta(a, b), and draws every τ before sampling.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.schedules.base import Schedule


@dataclass(frozen=True)
class Beta(Schedule):
    """1 − α_t = I_t(a, b), the regularised incomplete beta function; a, b > 0."""

    a: float = 2.0
    b: float = 2.0

    def __post_init__(self):
        if not (self.a > 0 and self.b > 0):
            raise ConfigError(f"beta schedule: expected a > 0 and b > 0, got {self.a} and {self.b}")

    def mask_rate(self, t):
        return incomplete_beta(self.a, self.b, t)

    def alpha(self, t):
        return incomplete_beta(self.b, self.a, 1 - t)

    def total_noise(self, t):
        return torch.where(t < self._middle, -torch.log1p(-self.mask_rate(t)), -self.alpha(t).log())

    def mask_rate_prime(self, t):
        return t ** (self.a - 1) * (1 - t) ** (self.b - 1) * math.exp(-_log_beta(self.a, self.b))

    def weight(self, t):
        """Below the middle the power of t, which may underflow, is cancelled by hand."""
        low = self.a * _fraction(self.a, self.b, t.clamp(max=self._middle)) / (t * (1 - t))
        return torch.where(t <= self._middle, low, self.mask_rate_prime(t) / self.mask_rate(t))

    def inverse(self, mask_rate):
        u = mask_rate.clamp(0, 1)
        low = u <= float(self.mask_rate(torch.tensor(self._middle, dtype=torch.float64)))
        t = torch.where(low, _solve(self.a, self.b, u), 1 - _solve(self.b, self.a, 1 - u))
        return torch.where(u <= 0, 0.0, torch.where(u >= 1, 1.0, t))

    @property
    def _middle(self) -> float:
        """Up to here the continued fraction of I_t(a, b) converges fast, from here on that of I_{1−t}(b, a)."""
        return (self.a + 1) / (self.a + self.b + 2)


def incomplete_beta(a: float, b: float, x: Tensor) -> Tensor:
    """I_x(a, b) = x^a (1 − x)^b / (a B(a, b)) / fraction for x below (a+1)/(a+b+2), else 1 − I_{1−x}(b, a)."""
    low = x <= (a + 1) / (a + b + 2)

    def side(a: float, b: float, x: Tensor) -> Tensor:
        x = x.clamp(max=(a + 1) / (a + b + 2))
        return x**a * (1 - x) ** b * math.exp(-_log_beta(a, b)) / (a * _fraction(a, b, x))

    return torch.where(low, side(a, b, x), 1 - side(b, a, 1 - x))


def _solve(a: float, b: float, u: Tensor) -> Tensor:
    """The x ≤ (a+1)/(a+b+2) with I_x(a, b) = u: Newton's method for log I as a function of log x, almost a line.

    Steps are taken until they are a few roundings, an element at a time: none depends on its neighbours.
    """
    top = math.log((a + 1) / (a + b + 2))
    target, y = u.clamp(min=1e-300).log(), torch.full_like(u, top)
    moving = torch.ones_like(u, dtype=torch.bool)
    for _ in range(100):
        x = y.exp()
        fraction = _fraction(a, b, x)
        log_I = a * y + b * torch.log1p(-x) - _log_beta(a, b) - math.log(a) - fraction.log()
        after = (y + (target - log_I) * (1 - x) / (a * fraction)).clamp(max=top)
        settled = (after - y).abs() < 4e-15 * (1 + y.abs())
        y = torch.where(moving, after, y)
        moving = moving & ~settled
        if not bool(moving.any()):
            break
    return y.exp()


def _fraction(a: float, b: float, x: Tensor) -> Tensor:
    """1 + d_1/(1 + d_2/(1 + …)) from its tail, d_{2m} = m(b−m)x/((a+2m−1)(a+2m)), d_{2m+1} = −(a+m)(a+b+m)x/((a+2m)(a+2m+1)).

    The number of terms follows from a and b alone, so that a value does not depend on what it is computed with.
    Source: Abramowitz and Stegun, "Handbook of mathematical functions", 26.5.8.
    """
    value = torch.ones_like(x)
    for m in range(30 + int(4 * math.sqrt(max(a, b))), 0, -1):
        value = 1 + m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m)) * x / value
        k = m - 1
        value = 1 - (a + k) * (a + b + k) / ((a + 2 * k) * (a + 2 * k + 1)) * x / value
    return value


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
