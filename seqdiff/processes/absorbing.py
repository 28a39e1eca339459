"""The absorbing (masked) process: a token stays itself with probability α_t, else it is the mask.

Shapes: B batch, L length, V vocabulary. Times t, s are float64, (), (B,) or (B, L), with s < t.
Source: Austin et al., D3PM, 2021 (absorbing state); Sahoo et al., MDLM, 2024.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.processes.base import TokenProcess, aligned, column, nonzero
from seqdiff.schedules import Schedule


@dataclass(frozen=True)
class Absorbing(TokenProcess):
    """q(x_t | x_0) = α_t δ(x_0) + (1 − α_t) δ(mask), independently at every position. The mask is the state V."""

    mask: int
    schedule: Schedule

    @property
    def vocabulary(self) -> int:
        return self.mask

    @property
    def states(self) -> int:
        return self.mask + 1

    def prior_law(self) -> Tensor:
        return torch.nn.functional.one_hot(torch.tensor(self.mask), self.states).double()

    def prior(self, u: Tensor) -> Tensor:
        """x_1: masks everywhere, int64 in the shape of u."""
        return torch.full(u.shape, self.mask, dtype=torch.int64, device=u.device)

    def between(self, s: Tensor, t: Tensor) -> Tensor:
        s, t = aligned(s, t)
        rate_s, rate_t = self.schedule.mask_rate(s), self.schedule.mask_rate(t)
        lost = torch.where(rate_s < 1, (rate_t - rate_s) / (1 - rate_s), 1.0)[..., None, None]
        stay = torch.eye(self.states, dtype=torch.float64, device=lost.device)
        return (1 - lost) * stay + lost * stay[self.mask]

    def rate(self, t: Tensor) -> Tensor:
        """−α′_t/α_t from every clean token to the mask."""
        beta = (self.schedule.mask_rate_prime(t) / self.schedule.alpha(t))[..., None, None]
        stay = torch.eye(self.states, dtype=torch.float64, device=beta.device)
        return beta * (stay[self.mask] - stay)

    def spread(self, weight: Tensor, t: Tensor) -> Tensor:
        rate = column(self.schedule.mask_rate(t)).unsqueeze(-1)
        return torch.cat([(1 - rate) * weight, rate * weight.sum(-1, keepdim=True)], dim=-1)

    def unspread(self, mass: Tensor, t: Tensor) -> Tensor:
        return mass[..., : self.vocabulary]

    def corrupt(self, x_0: Tensor, t: Tensor, u: Tensor) -> Tensor:
        return torch.where(u < column(self.schedule.mask_rate(t)), self.mask, x_0)

    def likelihood(self, x_t: Tensor, t: Tensor) -> Tensor:
        rate = column(self.schedule.mask_rate(t)).unsqueeze(-1)
        here = x_t.unsqueeze(-1) == torch.arange(self.mask, device=x_t.device)
        return torch.where((x_t == self.mask).unsqueeze(-1), rate, here * (1 - rate))

    def unmask_probability(self, s: Tensor, t: Tensor) -> Tensor:
        """(α_s − α_t) / (1 − α_t): the chance that a token masked at t is revealed at s; 1 where t = 0."""
        s, t = aligned(s, t)
        rate_s, rate_t = self.schedule.mask_rate(s), self.schedule.mask_rate(t)
        return 1 - rate_s / nonzero(rate_t)

    def posterior(self, x_t: Tensor, p_x0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """p(x_s | x_t) = Σ_v p(v | x_t) q(x_s | x_t, v), (B, L, V + 1) with the mask last.

        A masked token becomes v with probability (α_s − α_t)/(1 − α_t) · p(v) and stays masked with (1 − α_s)/(1 − α_t);
        a revealed token stays. p_x0 is (B, L, V), of any floating type; the result is float64.
        """
        unmask = column(self.unmask_probability(s, t)).unsqueeze(-1).expand(*p_x0.shape[:-1], 1)
        masked = torch.cat([unmask * p_x0, 1 - unmask], dim=-1)
        carried = torch.nn.functional.one_hot(x_t.clamp(max=self.mask), self.mask + 1).double()
        return torch.where((x_t == self.mask).unsqueeze(-1), masked, carried)

    def bridge(self, x_t: Tensor, x_0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        reveal = torch.where(x_t == self.mask, column(self.unmask_probability(s, t)), 0.0).unsqueeze(-1)
        law = reveal.new_zeros(*x_t.shape, self.states).scatter(-1, x_0.unsqueeze(-1), reveal)
        return law.scatter_add(-1, x_t.clamp(max=self.mask).unsqueeze(-1), 1 - reveal)

    def log_kernel(self, x_t: Tensor, x_s: Tensor, s: Tensor, t: Tensor) -> Tensor:
        unmask = column(self.unmask_probability(s, t)).expand(x_t.shape).unsqueeze(-1)
        is_v = (x_s.unsqueeze(-1) == torch.arange(self.mask, device=x_t.device)).double()
        still = (x_s == self.mask).unsqueeze(-1)
        from_mask = torch.where(still, 1 - unmask, unmask * is_v)
        carried = (x_s == x_t).unsqueeze(-1).double().expand_as(is_v)
        return torch.where((x_t == self.mask).unsqueeze(-1), from_mask, carried).log()
