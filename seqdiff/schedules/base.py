"""What a noise schedule is: α_t, the probability that a token is still clean at time t ∈ [0, 1].

α falls from α_0 = 1 to α_1 = 0 (or nearly so: see `LogLinear`). Every function takes and returns float64
tensors; `mask_rate` = 1 − α is computed without cancellation, so weights stay finite and right as t → 0.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


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

    def total_noise(self, t: Tensor) -> Tensor:
        """Λ_t = σ̄_t = −log α_t, the integral of the rate −α′/α; ∞ where α_t = 0."""
        return -torch.log1p(-self.mask_rate(t))

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
