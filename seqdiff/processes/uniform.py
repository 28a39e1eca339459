"""The uniform (multinomial) process: a token stays itself with probability α_t, else it is redrawn uniformly.

Source: Hoogeboom et al., "Argmax flows and multinomial diffusion", 2021; Austin et al., D3PM, 2021.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.processes.base import TokenProcess, aligned, column, nonzero, normalised, possible
from seqdiff.schedules import Schedule


@dataclass(frozen=True)
class Uniform(TokenProcess):
    """q(x_t | x_s) = α_{t|s} δ(x_s) + (1 − α_{t|s})/V with α_{t|s} = α_t / α_s, independently at every position."""

    vocabulary: int
    schedule: Schedule

    @property
    def states(self) -> int:
        return self.vocabulary

    def prior_law(self) -> Tensor:
        return torch.full((self.vocabulary,), 1 / self.vocabulary, dtype=torch.float64)

    def between(self, s: Tensor, t: Tensor) -> Tensor:
        lost = _lost(self.schedule, s, t)[..., None, None]
        return (1 - lost) * torch.eye(self.vocabulary, dtype=torch.float64, device=lost.device) + lost / self.vocabulary

    def rate(self, t: Tensor) -> Tensor:
        """−α′_t/α_t · (1/V − δ)."""
        beta = (self.schedule.mask_rate_prime(t) / self.schedule.alpha(t))[..., None, None]
        return beta * (1 / self.vocabulary - torch.eye(self.vocabulary, dtype=torch.float64, device=beta.device))

    def rate_into(self, x_t: Tensor, t: Tensor) -> Tensor:
        beta = column(self.schedule.mask_rate_prime(t) / self.schedule.alpha(t)).unsqueeze(-1)
        return beta * (1 / self.vocabulary - torch.nn.functional.one_hot(x_t, self.vocabulary).double())

    def spread(self, weight: Tensor, t: Tensor) -> Tensor:
        rate = column(self.schedule.mask_rate(t)).unsqueeze(-1)
        return (1 - rate) * weight + rate / self.vocabulary * weight.sum(-1, keepdim=True)

    def unspread(self, mass: Tensor, t: Tensor) -> Tensor:
        rate = column(self.schedule.mask_rate(t)).unsqueeze(-1)
        return mass - rate / self.vocabulary * mass.sum(-1, keepdim=True)

    def corrupt(self, x_0: Tensor, t: Tensor, u: Tensor) -> Tensor:
        """One number decides both: below 1 − α_t the token is redrawn, and u/(1 − α_t) is uniform again."""
        rate = column(self.schedule.mask_rate(t))
        redrawn = (u / rate.clamp(min=1e-300) * self.vocabulary).long().clamp(max=self.vocabulary - 1)
        return torch.where(u < rate, redrawn, x_0)

    def likelihood(self, x_t: Tensor, t: Tensor) -> Tensor:
        rate = column(self.schedule.mask_rate(t)).unsqueeze(-1)
        here = x_t.unsqueeze(-1) == torch.arange(self.vocabulary, device=x_t.device)
        return torch.where(here, 1 - rate + rate / self.vocabulary, rate / self.vocabulary)

    def arriving(self, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        lost = column(_lost(self.schedule, s, t)).unsqueeze(-1)
        here = x_t.unsqueeze(-1) == torch.arange(self.vocabulary, device=x_t.device)
        return torch.where(here, 1 - lost + lost / self.vocabulary, lost / self.vocabulary)

    def leaving(self, x_s: Tensor, s: Tensor, t: Tensor) -> Tensor:
        return self.arriving(x_s, s, t)  # the matrices are symmetric

    def bridge(self, x_t: Tensor, x_0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        return normalised(self.likelihood(x_0, s) * self.arriving(x_t, s, t))

    def posterior(self, x_t: Tensor, p_x0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """Σ_v w_v (α_s δ(x_s = v) + (1 − α_s)/V) · Q_{t|s}(x_s, x_t) with w_v = p(v)/q(x_t | v)."""
        likelihood = self.likelihood(x_t, t)
        weight = possible(p_x0.to(likelihood.dtype), likelihood) / nonzero(likelihood)
        return self.spread(weight, s) * self.arriving(x_t, s, t)


def _lost(schedule: Schedule, s: Tensor, t: Tensor) -> Tensor:
    """1 − α_{t|s} = (α_s − α_t)/α_s from differences of mask rates, right for small t too; 1 where both α are 0."""
    s, t = aligned(s, t)
    rate_s, rate_t = schedule.mask_rate(s), schedule.mask_rate(t)
    return torch.where(rate_s < 1, (rate_t - rate_s) / nonzero(1 - rate_s), 1.0)
