"""Noise schedules: α_t, the probability that a token is still clean at time t ∈ [0, 1].

α falls from α_0 = 1 to α_1 = 0 (or nearly so: see `LogLinear`). Every function takes and returns float64
tensors; `mask_rate` = 1 − α is computed without cancellation, so weights stay finite and right as t → 0.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from seqdiff.errors import ConfigError


class Schedule(ABC):
    """Contract: `mask_rate`, `mask_rate_prime` and `inverse`; the rest follows."""

    @abstractmethod
    def mask_rate(self, t: Tensor) -> Tensor:
        """1 − α_t."""

    @abstractmethod
    def mask_rate_prime(self, t: Tensor) -> Tensor:
        """−α′_t = d(1 − α_t)/dt."""

    @abstractmethod
    def inverse(self, mask_rate: Tensor) -> Tensor:
        """The time t at which 1 − α_t has the given value, 1 where that is never reached."""

    def alpha(self, t: Tensor) -> Tensor:
        """α_t."""
        return 1 - self.mask_rate(t)

    def weight(self, t: Tensor) -> Tensor:
        """−α′_t / (1 − α_t), the weight of a masked token's cross-entropy in the continuous-time bound.

        Source: Sahoo et al., "Simple and effective masked diffusion language models", 2024, eq. 10.
        """
        return self.mask_rate_prime(t) / self.mask_rate(t)

    def grid(self, steps: int) -> Tensor:
        """(T + 1,) mask rates at t = 1, (T−1)/T, …, 0; the first is set to 1: sampling begins all masked."""
        rate = self.mask_rate(torch.linspace(1, 0, steps + 1, dtype=torch.float64))
        rate[0], rate[-1] = 1.0, 0.0
        return rate


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


SCHEDULES = {"linear": Linear, "log-linear": LogLinear, "cosine": Cosine, "polynomial": Polynomial}


def schedule_from_config(config: dict) -> Schedule:
    """Build from {"kind": "cosine", …parameters}. Raises ConfigError for an unknown kind or parameter."""
    parameters = dict(config)
    kind = parameters.pop("kind", None)
    if kind not in SCHEDULES:
        raise ConfigError(f"schedule: expected kind to be one of {', '.join(SCHEDULES)}; got {kind!r}")
    try:
        return SCHEDULES[kind](**parameters)
    except TypeError as error:
        raise ConfigError(f"schedule {kind!r}: {error}") from None


def schedule_to_config(schedule: Schedule) -> dict:
    """The inverse of `schedule_from_config`, for the checkpoint."""
    kind = next(name for name, cls in SCHEDULES.items() if type(schedule) is cls)
    return {"kind": kind, **asdict(schedule)}  # type: ignore[call-overload]
