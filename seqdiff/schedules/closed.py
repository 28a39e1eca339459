"""Schedules in closed form."""

import math
from dataclasses import dataclass

import torch

from seqdiff.errors import ConfigError
from seqdiff.schedules.base import Schedule


@dataclass(frozen=True)
class Linear(Schedule):
    """α_t = 1 − t."""

    def mask_rate(self, t):
        return t

    def mask_rate_prime(self, t):
        return torch.ones_like(t)

    def inverse(self, mask_rate):
        return mask_rate


@dataclass(frozen=True)
class LogLinear(Schedule):
    """σ̄_t = −log(1 − (1 − ε) t), α_t = e^{−σ̄_t} (Lou et al. 2023; Sahoo et al. 2024).

    α_1 = ε and not 0: the jump from ε to 0 belongs to the first step of a sampler, and the bound of
    `seqdiff.likelihood` adds its term.
    """

    eps: float = 1e-3

    def mask_rate(self, t):
        return (1 - self.eps) * t

    def mask_rate_prime(self, t):
        return torch.full_like(t, 1 - self.eps)

    def inverse(self, mask_rate):
        return (mask_rate / (1 - self.eps)).clamp(max=1.0)


@dataclass(frozen=True)
class Cosine(Schedule):
    """α_t = 1 − cos(π/2 · (1 − t)) = 1 − sin(πt/2) (Chang et al., MaskGIT, 2022)."""

    def mask_rate(self, t):
        return torch.sin(math.pi / 2 * t)

    def mask_rate_prime(self, t):
        return math.pi / 2 * torch.cos(math.pi / 2 * t)

    def inverse(self, mask_rate):
        return 2 / math.pi * torch.asin(mask_rate.clamp(0, 1))


@dataclass(frozen=True)
class Polynomial(Schedule):
    """α_t = 1 − t^w (Shi et al., MD4, 2024), w > 0."""

    power: float = 2.0

    def __post_init__(self):
        if not self.power > 0:
            raise ConfigError(f"polynomial schedule: expected power > 0, got {self.power}")

    def mask_rate(self, t):
        return t**self.power

    def mask_rate_prime(self, t):
        return self.power * t ** (self.power - 1)

    def weight(self, t):
        return self.power / t

    def inverse(self, mask_rate):
        return mask_rate ** (1 / self.power)


@dataclass(frozen=True)
class Sqrt(Schedule):
    """1 − α_t = (√(t + s) − √s) / (√(1 + s) − √s): much noise early, for embeddings that stay apart under little noise.

    Li et al., Diffusion-LM, 2022, have ᾱ_t = 1 − √(t + s), whose mask rate is √s at t = 0 and more than 1 at t = 1. Here
    it starts at 0, as their cumulative product does, and ends at 1. The differences of roots are written as quotients.
    """

    offset: float = 1e-4

    def __post_init__(self):
        if not self.offset > 0:
            raise ConfigError(f"sqrt schedule: expected offset > 0, got {self.offset}")

    @property
    def _scale(self) -> float:
        return math.sqrt(1 + self.offset) + math.sqrt(self.offset)

    def mask_rate(self, t):
        return self._scale * t / ((t + self.offset).sqrt() + math.sqrt(self.offset))

    def mask_rate_prime(self, t):
        return self._scale / (2 * (t + self.offset).sqrt())

    def inverse(self, mask_rate):
        root = mask_rate.clamp(0, 1) / self._scale
        return root * (root + 2 * math.sqrt(self.offset))


@dataclass(frozen=True)
class Geometric(Schedule):
    """α_t = e^{−σ̄_t}, σ̄_t = σ_min^{1−t} σ_max^t − σ_min (Lou et al., SEDD, 2023, with the same rates σ̄′).

    The paper has no −σ_min, and so α_0 = e^{−σ_min} < 1, as if some noise fell before t = 0; here α_0 = 1. The end is
    α_1 = e^{σ_min − σ_max}, nearly 0.
    """

    sigma_min: float = 1e-3
    sigma_max: float = 20.0

    def __post_init__(self):
        if not 0 < self.sigma_min < self.sigma_max:
            raise ConfigError(
                f"geometric schedule: expected 0 < sigma_min < sigma_max, got {self.sigma_min} and {self.sigma_max}"
            )

    @property
    def _growth(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def total_noise(self, t):
        return self.sigma_min * torch.expm1(self._growth * t)

    def alpha(self, t):
        return torch.exp(-self.total_noise(t))

    def mask_rate(self, t):
        return -torch.expm1(-self.total_noise(t))

    def mask_rate_prime(self, t):
        return self._growth * self.sigma_min * torch.exp(self._growth * t - self.total_noise(t))

    def inverse(self, mask_rate):
        sigma = -torch.log1p(-mask_rate.clamp(0, 1))
        return (torch.log1p(sigma / self.sigma_min) / self._growth).clamp(max=1.0)
