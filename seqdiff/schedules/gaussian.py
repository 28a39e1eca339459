"""Schedules of the Gaussian literature: ᾱ_t = a_t² of a variance-preserving process.

They serve a token process too, where ᾱ_1 need not be 0.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.schedules.base import Schedule


@dataclass(frozen=True)
class SquaredCosine(Schedule):
    """ᾱ_t = cos²(θ_0 + ωt)/cos² θ_0, θ_0 = π/2 · s/(1 + s), ω = π/2 · 1/(1 + s) (Nichol & Dhariwal, 2021, eq. 17)."""

    offset: float = 0.008

    def __post_init__(self):
        if not self.offset >= 0:
            raise ConfigError(f"squared-cosine schedule: expected offset ≥ 0, got {self.offset}")

    @property
    def _speed(self) -> float:
        return math.pi / 2 / (1 + self.offset)

    @property
    def _start(self) -> float:
        return self._speed * self.offset

    def alpha(self, t):
        return (self._start + self._speed * t).cos().square() / math.cos(self._start) ** 2

    def mask_rate(self, t):
        """cos² p − cos² q = sin(q − p) sin(q + p)."""
        turned = self._speed * t
        return (turned.sin() * (turned + 2 * self._start).sin() / math.cos(self._start) ** 2).clamp(max=1.0)

    def mask_rate_prime(self, t):
        return self._speed * (2 * (self._start + self._speed * t)).sin().clamp(min=0) / math.cos(self._start) ** 2

    def inverse(self, mask_rate):
        """From tan² of the angle: sin² θ_0 + u cos² θ_0 over (1 − u) cos² θ_0, right at both ends."""
        u, cos = mask_rate.clamp(0, 1), math.cos(self._start) ** 2
        angle = torch.atan2((math.sin(self._start) ** 2 + u * cos).sqrt(), ((1 - u) * cos).sqrt())
        return ((angle - self._start) / self._speed).clamp(0, 1)


@dataclass(frozen=True)
class LinearBeta(Schedule):
    """ᾱ_t = exp(−β_0 t − (β_1 − β_0) t²/2): the continuous form of DDPM's linear β (Song et al., 2021, eq. 33).

    The end is ᾱ_1 = e^{−(β_0 + β_1)/2}, nearly 0.
    """

    beta_0: float = 0.1
    beta_1: float = 20.0

    def __post_init__(self):
        if not 0 < self.beta_0 < self.beta_1:
            raise ConfigError(f"linear-beta schedule: expected 0 < beta_0 < beta_1, got {self.beta_0} and {self.beta_1}")

    def total_noise(self, t: Tensor) -> Tensor:
        return self.beta_0 * t + (self.beta_1 - self.beta_0) * t.square() / 2

    def alpha(self, t):
        return (-self.total_noise(t)).exp()

    def mask_rate(self, t):
        return -torch.expm1(-self.total_noise(t))

    def mask_rate_prime(self, t):
        return (self.beta_0 + (self.beta_1 - self.beta_0) * t) * self.alpha(t)

    def inverse(self, mask_rate):
        total = -torch.log1p(-mask_rate).clamp(min=-(self.beta_0 + self.beta_1) / 2)
        root = (self.beta_0**2 + 2 * (self.beta_1 - self.beta_0) * total).sqrt()
        return (2 * total / (self.beta_0 + root)).clamp(max=1.0)
