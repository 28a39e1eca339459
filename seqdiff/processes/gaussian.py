"""Gaussian processes on vectors: x_t = a_t x_0 + b_t ε, with a falling, b rising and ε standard normal.

Everything follows from a, b and their derivatives. Shapes: B batch, L length, D width; times s < t are float64 in
[0, 1], scalar, (B,) or (B, L); x is (B, L, D). Canonical prediction: x̂0 = E[x_0 | x_t].
Sources: Ho et al., DDPM, 2020; Song et al., "Score-based generative modeling through SDEs", 2021 (VP, VE, the ODE);
Kingma et al., VDM, 2021 (bridge in terms of the SNR); Lipman et al., "Flow matching", 2023 (straight flow).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.schedules import Schedule


def spread(t: Tensor) -> Tensor:
    """(B,) → (B, 1, 1) and (B, L) → (B, L, 1), so that a number per row or position broadcasts; a scalar stays one."""
    return t.reshape(*t.shape, *[1] * (3 - t.ndim)) if t.ndim else t


class VectorProcess(ABC):
    """Contract: the five functions of time that follow; they keep the shape of their argument."""

    @abstractmethod
    def signal(self, t: Tensor) -> Tensor:
        """a_t."""

    @abstractmethod
    def noise(self, t: Tensor) -> Tensor:
        """b_t."""

    @abstractmethod
    def signal_prime(self, t: Tensor) -> Tensor:
        """da/dt."""

    @abstractmethod
    def noise_prime(self, t: Tensor) -> Tensor:
        """db/dt."""

    @abstractmethod
    def time(self, log_snr: Tensor) -> Tensor:
        """The time t with the given log(a_t²/b_t²): the inverse of `log_snr`."""

    def log_snr(self, t: Tensor) -> Tensor:
        """log(a_t²/b_t²); −∞ where a = 0, +∞ where b = 0."""
        return 2 * (self.signal(t).log() - self.noise(t).log())

    def prior(self, eps: Tensor, t: Tensor) -> Tensor:
        """Draw where sampling begins: b_t ε. Exact where a_t = 0; else it leaves out a_t x_0, an error of O(a_t/b_t)."""
        return spread(self.noise(t)) * eps

    def corrupt(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Draw x_t ~ q(x_t | x_0) from standard normal ε."""
        return spread(self.signal(t)) * x_0 + spread(self.noise(t)) * eps

    def beta(self, s: Tensor, t: Tensor) -> Tensor:
        """β_{t|s}, the variance of q(x_t | x_s) = N(a_t/a_s x_s, β_{t|s}): b_t² (1 − SNR_t/SNR_s), without cancellation."""
        return -self.noise(t).square() * torch.expm1(self.log_snr(t) - self.log_snr(s))

    def bridge(self, x_t: Tensor, x_0: Tensor, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, L, D) and variance (the shape of t) of q(x_s | x_t, x_0).

        Variance β̃ = β_{t|s} b_s²/b_t²; mean (a_t b_s²)/(a_s b_t²) x_t + a_s β_{t|s}/b_t² x_0 (Ho et al., eq. 6–7, where
        b² = 1 − ᾱ).
        """
        a_s, a_t = self.signal(s), self.signal(t)
        shrink = (self.noise(s) / self.noise(t)).square()
        beta = self.beta(s, t)
        mean = spread(a_t / a_s * shrink) * x_t + spread(a_s * beta / self.noise(t).square()) * x_0
        return mean, beta * shrink

    def reverse_variance(self, s: Tensor, t: Tensor, v: Tensor | float = 0.0) -> Tensor:
        """exp(v log β + (1 − v) log β̃): between the bridge's variance (v = 0) and the forward one (v = 1); 0 at b_s = 0.

        v may be learned, a number per time or (B, L, D) (Nichol & Dhariwal, "Improved DDPM", 2021, eq. 15).
        """
        beta = self.beta(s, t)
        tilde = beta * (self.noise(s) / self.noise(t)).square()
        if isinstance(v, Tensor) and v.ndim > beta.ndim:
            beta, tilde = spread(beta), spread(tilde)
        return torch.where(tilde > 0, beta**v * tilde ** (1 - v), 0.0)

    def velocity(self, x_t: Tensor, x0_hat: Tensor, t: Tensor) -> Tensor:
        """dx/dt of the probability-flow ODE: a′ x̂0 + b′ ε̂ with ε̂ = (x_t − a x̂0)/b (Song et al., eq. 13; Lipman et al.)."""
        a, b = self.signal(t), self.noise(t)
        slope = self.noise_prime(t) / b
        return spread(slope) * x_t + spread(self.signal_prime(t) - a * slope) * x0_hat

    def diffusion(self, t: Tensor) -> Tensor:
        """g_t² of the forward SDE dx = (a′/a) x dt + g dW: 2 b (b′ − b a′/a) = −b² d(log SNR)/dt."""
        a, b = self.signal(t), self.noise(t)
        return 2 * b * (self.noise_prime(t) - b * self.signal_prime(t) / a)


@dataclass(frozen=True)
class VariancePreserving(VectorProcess):
    """a = √ᾱ_t, b = F √(1 − ᾱ_t) with ᾱ the α of any schedule.

    The derivative of b at ᾱ = 1, and of a at ᾱ = 0, need not exist: solvers that use them begin below t = 1 and end
    above t = 0. F ≠ 1 is the noise factor of Difformer (Gao et al., 2022) and the K of a ±K simplex (SSD-LM, Han et al.,
    2022).
    """

    schedule: Schedule
    factor: float = 1.0

    def __post_init__(self):
        if not self.factor > 0:
            raise ConfigError(f"noise factor: expected more than 0, got {self.factor}")

    def signal(self, t):
        return self.schedule.alpha(t).sqrt()

    def noise(self, t):
        return self.factor * self.schedule.mask_rate(t).sqrt()

    def signal_prime(self, t):
        return -self.schedule.mask_rate_prime(t) / (2 * self.signal(t))

    def noise_prime(self, t):
        return self.factor * self.schedule.mask_rate_prime(t) / (2 * self.schedule.mask_rate(t).sqrt())

    def log_snr(self, t):
        return self.schedule.alpha(t).log() - self.schedule.mask_rate(t).log() - 2 * math.log(self.factor)

    def time(self, log_snr):
        return self.schedule.inverse(torch.sigmoid(-log_snr - 2 * math.log(self.factor)))


@dataclass(frozen=True)
class VarianceExploding(VectorProcess):
    """a = 1, b = σ_min (σ_max/σ_min)^t (Song et al., 2021). Even x_0 of this process carries σ_min."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self):
        if not 0 < self.sigma_min < self.sigma_max:
            raise ConfigError(f"expected 0 < sigma_min < sigma_max, got {self.sigma_min} and {self.sigma_max}")

    @property
    def _growth(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def signal(self, t):
        return torch.ones_like(t)

    def noise(self, t):
        return self.sigma_min * (self._growth * t).exp()

    def signal_prime(self, t):
        return torch.zeros_like(t)

    def noise_prime(self, t):
        return self._growth * self.noise(t)

    def log_snr(self, t):
        return -2 * (math.log(self.sigma_min) + self._growth * t)

    def time(self, log_snr):
        return (-log_snr / 2 - math.log(self.sigma_min)) / self._growth


@dataclass(frozen=True)
class Straight(VectorProcess):
    """a = 1 − t, b = t: the straight path between noise and data (Lipman et al., 2023; Liu et al., 2023)."""

    def signal(self, t):
        return 1 - t

    def noise(self, t):
        return t

    def signal_prime(self, t):
        return -torch.ones_like(t)

    def noise_prime(self, t):
        return torch.ones_like(t)

    def time(self, log_snr):
        return torch.sigmoid(-log_snr / 2)


KINDS = ("x0", "epsilon", "v", "velocity", "score")


def to_x0(process: VectorProcess, kind: str, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """x̂0 from what a network predicts, in the conventions of `from_x0`.

    With x = a x_0 + b ε: ε̂ gives (x − b ε̂)/a; v = a ε − b x_0 gives (a x − b v)/(a² + b²) (Salimans & Ho, 2022); the
    velocity u = a′ x_0 + b′ ε gives (b′ x − b u)/(a b′ − b a′); the score ∇ log q_t = −ε̂/b gives (x + b² score)/a.
    """
    a, b = spread(process.signal(t)), spread(process.noise(t))
    if kind == "x0":
        return output
    if kind == "epsilon":
        return (x_t - b * output) / a
    if kind == "v":
        return (a * x_t - b * output) / (a.square() + b.square())
    if kind == "velocity":
        a_prime, b_prime = spread(process.signal_prime(t)), spread(process.noise_prime(t))
        return (b_prime * x_t - b * output) / (a * b_prime - b * a_prime)
    if kind == "score":
        return (x_t + b.square() * output) / a
    raise ConfigError(f"parameterisation of vectors: expected one of {', '.join(KINDS)}; got {kind!r}")


def from_x0(process: VectorProcess, kind: str, x0_hat: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """The inverse of `to_x0`: what a network of this kind should predict, from x̂0; the training target where x̂0 = x_0."""
    a, b = spread(process.signal(t)), spread(process.noise(t))
    if kind == "x0":
        return x0_hat
    if kind == "velocity":
        return process.velocity(x_t, x0_hat, t)
    epsilon = (x_t - a * x0_hat) / b
    if kind == "epsilon":
        return epsilon
    if kind == "v":
        return a * epsilon - b * x0_hat
    if kind == "score":
        return -epsilon / b
    raise ConfigError(f"parameterisation of vectors: expected one of {', '.join(KINDS)}; got {kind!r}")
