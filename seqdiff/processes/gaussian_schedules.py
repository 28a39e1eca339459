"""Schedules of the Gaussian literature: ᾱ_t = a_t² of a variance-preserving process, in the contract of `Schedule`.

They serve a token process too, where ᾱ_1 need not be 0. `mask_rate` = 1 − ᾱ is computed without cancellation.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.schedules import Schedule


@dataclass(frozen=True)
class SquaredCosine(Schedule):
    """ᾱ_t = f(t)/f(0), f(t) = cos²(π/2 · (t + s)/(1 + s)) (Nichol & Dhariwal, 2021, eq. 17)."""

    offset: float = 0.008

    def _angle(self, t: Tensor) -> Tensor:
        return math.pi / 2 * (t + self.offset) / (1 + self.offset)

    @property
    def _start(self) -> float:
        return math.pi / 2 * self.offset / (1 + self.offset)

    def alpha(self, t):
        return self._angle(t).cos().square() / math.cos(self._start) ** 2

    def mask_rate(self, t):  # cos² p − cos² q = sin(q − p) sin(q + p)
        angle = self._angle(t)
        return (angle - self._start).sin() * (angle + self._start).sin() / math.cos(self._start) ** 2

    def mask_rate_prime(self, t):
        speed = math.pi / 2 / (1 + self.offset)
        return speed * (2 * self._angle(t)).sin() / math.cos(self._start) ** 2

    def inverse(self, mask_rate):
        angle = ((1 - mask_rate).clamp(0, 1) * math.cos(self._start) ** 2).sqrt().acos()
        return (angle * 2 / math.pi * (1 + self.offset) - self.offset).clamp(0, 1)


@dataclass(frozen=True)
class LinearBeta(Schedule):
    """ᾱ_t = exp(−β_0 t − (β_1 − β_0) t²/2): the continuous form of DDPM's linear β (Song et al., 2021, eq. 33)."""

    beta_0: float = 0.1
    beta_1: float = 20.0

    def _total(self, t: Tensor) -> Tensor:
        return self.beta_0 * t + (self.beta_1 - self.beta_0) * t.square() / 2

    def alpha(self, t):
        return (-self._total(t)).exp()

    def mask_rate(self, t):
        return -torch.expm1(-self._total(t))

    def mask_rate_prime(self, t):
        return (self.beta_0 + (self.beta_1 - self.beta_0) * t) * self.alpha(t)

    def inverse(self, mask_rate):
        total, rise = -torch.log1p(-mask_rate), self.beta_1 - self.beta_0
        return (2 * total / (self.beta_0 + (self.beta_0**2 + 2 * rise * total).sqrt())).clamp(max=1.0)


@dataclass(frozen=True)
class SquareRoot(Schedule):
    """1 − ᾱ_t = √(t + s), at most 1: noise from the first moment on, as words need (Li et al., Diffusion-LM, 2022, app. A)."""

    offset: float = 1e-4

    def mask_rate(self, t):
        return (t + self.offset).sqrt().clamp(max=1.0)

    def mask_rate_prime(self, t):
        return torch.where(t + self.offset < 1, 0.5 / (t + self.offset).sqrt(), 0.0)

    def inverse(self, mask_rate):
        return (mask_rate.square() - self.offset).clamp(0, 1)
