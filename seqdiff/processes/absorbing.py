"""The absorbing (masked) process: a token stays itself with probability α_t, else it is the mask.

Shapes: B batch, L length, V vocabulary. Times t, s are float64, (B,) or scalar, with s < t.
Source: Austin et al., D3PM, 2021 (absorbing state); Sahoo et al., MDLM, 2024.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.schedules import Schedule


@dataclass(frozen=True)
class Absorbing:
    """q(x_t | x_0) = α_t δ(x_0) + (1 − α_t) δ(mask), independently at every position."""

    mask: int
    schedule: Schedule

    def prior(self, shape: tuple[int, ...], device=None) -> Tensor:
        """x_1: masks everywhere, int64 of `shape`."""
        return torch.full(shape, self.mask, dtype=torch.int64, device=device)

    def corrupt(self, x_0: Tensor, t: Tensor, u: Tensor) -> Tensor:
        """Draw x_t ~ q(x_t | x_0) (B, L) from uniform noise u (B, L) in [0, 1)."""
        return torch.where(u < _column(self.schedule.mask_rate(t)), self.mask, x_0)

    def unmask_probability(self, s: Tensor, t: Tensor) -> Tensor:
        """(α_s − α_t) / (1 − α_t): the chance that a token masked at t is revealed at s."""
        return 1 - self.schedule.mask_rate(s) / self.schedule.mask_rate(t)

    def posterior(self, x_t: Tensor, p_x0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """p(x_s | x_t) = Σ_v p(v | x_t) q(x_s | x_t, v), (B, L, V + 1) with the mask last.

        A masked token becomes v with probability (α_s − α_t)/(1 − α_t) · p(v) and stays masked with (1 − α_s)/(1 − α_t);
        a revealed token stays. p_x0 is (B, L, V).
        """
        unmask = _column(self.unmask_probability(s, t)).unsqueeze(-1).to(p_x0.dtype)
        unmask = unmask.expand(*p_x0.shape[:-1], 1)
        masked = torch.cat([unmask * p_x0, 1 - unmask], dim=-1)
        carried = torch.nn.functional.one_hot(x_t.clamp(max=self.mask), self.mask + 1).to(p_x0.dtype)
        return torch.where((x_t == self.mask).unsqueeze(-1), masked, carried)

    def log_kernel(self, x_t: Tensor, x_s: Tensor, s: Tensor, t: Tensor, vocabulary: int) -> Tensor:
        """log q(x_s | x_t, v) for every clean token v, (B, L, V): what a weighted sampler corrects with."""
        unmask = _column(self.unmask_probability(s, t)).expand(x_t.shape).unsqueeze(-1)
        clean = torch.arange(vocabulary, device=x_t.device)
        is_v = (x_s.unsqueeze(-1) == clean).double()
        still = (x_s == self.mask).unsqueeze(-1)
        from_mask = torch.where(still, 1 - unmask, unmask * is_v)
        carried = (x_s == x_t).unsqueeze(-1).double().expand_as(is_v)
        return torch.where((x_t == self.mask).unsqueeze(-1), from_mask, carried).log()


def _column(t: Tensor) -> Tensor:
    """(B,) → (B, 1), so that a time per row broadcasts over positions; a scalar stays one."""
    return t.unsqueeze(-1) if t.ndim else t
