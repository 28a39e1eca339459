"""A mixture of Gaussians under a process on vectors: its exact denoiser, its moments, and draws from it.

Shapes: M components, D width. With x_t = a x_0 + b ε component m becomes N(a μ_m, C_m), C_m = a² Σ_m + b² I, and
E[x_0 | x_t, m] = μ_m + a Σ_m C_m⁻¹ (x_t − a μ_m). With Σ_m = U Λ Uᵀ, C_m⁻¹ = U (a² Λ + b²)⁻¹ Uᵀ.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from seqdiff.noise import Stream
from seqdiff.samplers.drive import drive
from seqdiff.samplers.state import State


@dataclass(frozen=True)
class Mixture:
    weight: Tensor
    mean: Tensor
    covariance: Tensor

    def _at(self, x, a, b):
        """Log-density of each component at x (B, D) of one position, and E[x_0 | x, m] (B, M, D); a, b (B,)."""
        a, b = a.reshape(-1, 1, 1), b.reshape(-1, 1, 1)
        eigenvalue, U = self._axes
        spread = a.square() * eigenvalue + b.square()
        gap = torch.einsum("bmi,mij->bmj", x.unsqueeze(1) - a * self.mean, U)
        log_q = -(gap.square() / spread + spread.log()).sum(-1) / 2 + self.weight.log()
        return log_q, self.mean + a * torch.einsum("bmj,mij->bmi", gap * eigenvalue / spread, U)

    @cached_property
    def _axes(self):
        eigenvalue, U = torch.linalg.eigh(self.covariance)
        return eigenvalue, U

    def log_density(self, x, a, b):
        """log q_t(x) up to a constant, (B,)."""
        return self._at(x, a, b)[0].logsumexp(-1)

    def x0_hat(self, process, x_t, t):
        """E[x_0 | x_t] (B, L, D), positions independent."""
        B, L, D = x_t.shape
        t = t.expand(B).repeat_interleave(L)
        log_q, each = self._at(x_t.reshape(-1, D), process.signal(t), process.noise(t))
        return (torch.softmax(log_q, -1).unsqueeze(-1) * each).sum(1).reshape(B, L, D)

    def at(self, process, t):
        """The law of x_t, a mixture too."""
        a, b = process.signal(t), process.noise(t)
        return Mixture(self.weight, a * self.mean, a**2 * self.covariance + b**2 * torch.eye(self.mean.shape[1]).double())

    def moments(self):
        mean = self.weight @ self.mean
        gap = self.mean - mean
        inside = torch.einsum("m,mij->ij", self.weight, self.covariance)
        return mean, inside + torch.einsum("m,mi,mj->ij", self.weight, gap, gap)

    def nearest(self, x):
        """The share of x (B, D) that lies nearest to each mean, (M,)."""
        return torch.bincount(torch.cdist(x, self.mean).argmin(-1), minlength=len(self.mean)).double() / len(x)

    def run(self, loop_of, process, state):
        """Drive a loop with the exact denoiser."""
        return drive(loop_of(state), lambda q: self.x0_hat(process, q.x_t, q.t))


def three(spread: float = 0.15) -> Mixture:
    """Three components in the plane, unequal in weight and shape, with means some units apart."""
    mean = torch.tensor([[1.5, 0.0], [-1.2, 1.0], [-0.5, -1.6]]).double()
    turn = torch.tensor([[1.0, 0.4], [0.4, 0.7]]).double()
    covariance = torch.stack([turn, torch.eye(2).double(), turn.flip(0, 1)]) * spread
    return Mixture(torch.tensor([0.5, 0.3, 0.2]).double(), mean, covariance)


def noise_state(process, n, t, seed=0, width=2, length=1) -> State:
    """n rows at time t, drawn from the prior."""
    state = State.start(torch.zeros(n, length, dtype=torch.int64), seed, torch.arange(n))
    eps = state.normal(0, torch.arange(length), width, Stream.PRIOR)
    return State(**{**vars(state), "vectors": process.prior(eps, torch.as_tensor(t, dtype=torch.float64))})
