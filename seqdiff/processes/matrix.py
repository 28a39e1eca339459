"""Any Markov chain on tokens in continuous time: Q_{t|s} = exp((Λ_t − Λ_s) R) with one generator R.

`seqdiff.processes.generators` has the generators of the literature. Λ_t = −log α_t is the schedule's total noise, so α_t
is the probability that a token which leaves its state at rate 1 has not yet left it.
Shapes: B batch, L length, V vocabulary, S states; times (), (B,) or (B, L).
Source: Austin et al., D3PM, 2021, appendix A.2; Campbell et al., "A continuous time framework for discrete denoising
models", 2022.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.processes.base import TokenProcess, aligned
from seqdiff.schedules import Schedule


@dataclass(frozen=True, eq=False)
class RateMatrix(TokenProcess):
    """The chain of a generator. Its prior is the stationary law π of R, which must be the only one.

    With α_1 = 0 (linear, cosine, …) Λ_1 = ∞ and x_1 follows π whatever x_0 was. A schedule that ends at α_1 > 0 leaves
    the modes of R that decay slowest, α_1^gap of them, `gap` being the smallest decay rate: sampling then starts from π
    though x_1 has not quite that law, and `prior_distance()` says how far off it is.

    A reversible R (π_i R_ij = π_j R_ji) is diagonalised once, and times a position cost no S × S matrix each; any other goes
    through `torch.matrix_exp`.

    Attributes:
        generator: R, (S, S): off the diagonal ≥ 0, rows sum to 0.
        vocabulary: V ≤ S; states from V on are no tokens (masks).
    """

    generator: Tensor
    schedule: Schedule
    vocabulary: int

    def __post_init__(self):
        R = self.generator.double()
        object.__setattr__(self, "generator", R)
        if R.ndim != 2 or R.shape[0] != R.shape[1] or not bool(torch.isfinite(R).all()):
            raise ConfigError(f"rate matrix: expected finite rates (S, S), got {tuple(R.shape)}")
        size = float(R.abs().max())
        if bool((R - R.diagonal().diag() < 0).any()):
            raise ConfigError(f"rate matrix: expected rates ≥ 0 off the diagonal, got {float(R.min()):.3g}")
        if float(R.sum(-1).abs().max()) > 1e-9 * max(size, 1.0):
            raise ConfigError(f"rate matrix: expected rows that sum to 0, got {float(R.sum(-1).abs().max()):.3g}")
        if not 1 <= self.vocabulary <= len(R):
            raise ConfigError(f"rate matrix: expected a vocabulary of 1 to S = {len(R)} tokens, got {self.vocabulary}")
        if len(R) > 1 and float(torch.linalg.svdvals(R)[-2]) < 1e-10 * size:
            raise ConfigError(
                "rate matrix: expected one stationary law, but the states fall into groups that never meet; "
                "connect them (more neighbours, a wider band)"
            )

    @property
    def states(self) -> int:
        return len(self.generator)

    @cached_property
    def stationary(self) -> Tensor:
        """π, (S,): π R = 0, Σ π = 1."""
        S = self.states
        system = torch.cat([self.generator.T, torch.ones(1, S, dtype=torch.float64)])
        right = torch.zeros(S + 1, 1, dtype=torch.float64)
        right[-1] = 1
        law = torch.linalg.lstsq(system, right, driver="gelsd").solution.squeeze(-1)
        law = torch.where(law > 1e-14, law, 0.0)
        return law / law.sum()

    @cached_property
    def gap(self) -> float:
        """The smallest decay rate of R's modes: what α_0 knows of x_0 fades at least as fast as α^gap."""
        decay = torch.linalg.eigvals(self.generator).real.sort(descending=True).values
        return float(-decay[1]) if self.states > 1 else float("inf")

    @cached_property
    def _modes(self) -> tuple[Tensor, Tensor, Tensor] | None:
        """(λ (M,), right (S, M), left (M, S)): R = right diag(λ) left, without λ = 0; None where R is not reversible.

        D R D⁻¹ with D = diag(√π) is symmetric: R = (D⁻¹ W) diag(λ) (Wᵀ D).
        """
        pi, R = self.stationary, self.generator
        flow = pi.unsqueeze(-1) * R
        if float(pi.min()) <= 0 or float((flow - flow.T).abs().max()) > 1e-12 * float(flow.abs().max()):
            return None
        root = pi.sqrt()
        symmetric = root.unsqueeze(-1) * R / root
        decay, W = torch.linalg.eigh((symmetric + symmetric.T) / 2)
        return decay[:-1], W[:, :-1] / root.unsqueeze(-1), (W[:, :-1] * root.unsqueeze(-1)).T

    def prior_law(self) -> Tensor:
        return self.stationary

    def elapsed(self, s: Tensor, t: Tensor) -> Tensor:
        """Λ_t − Λ_s, (…) for times (…); ∞ where nothing is left at s."""
        s, t = aligned(s, t)
        start = self.schedule.total_noise(s)
        return torch.where(torch.isfinite(start), self.schedule.total_noise(t) - start, torch.inf).clamp(min=0)

    def between(self, s: Tensor, t: Tensor) -> Tensor:
        """With modes, Q = I + right (e^{λΔ} − 1) left: entries near 0 carry errors relative to Δ, not to 1."""
        elapsed = self.elapsed(s, t)
        stay = torch.eye(self.states, dtype=torch.float64, device=elapsed.device)
        if self._modes is not None:
            decay, right, left = (part.to(elapsed.device) for part in self._modes)
            change = (right * _faded(decay, elapsed).unsqueeze(-2)) @ left
            return (stay + change).clamp(min=0)
        distinct, which = torch.unique(elapsed, return_inverse=True)
        finite = torch.where(torch.isfinite(distinct), distinct, 0.0)[:, None, None]
        Q = torch.matrix_exp(finite * self.generator.to(elapsed.device)).clamp(min=0)
        Q = torch.where(torch.isfinite(distinct)[:, None, None], Q, self.stationary.to(elapsed.device))
        return Q[which]

    def rate(self, t: Tensor) -> Tensor:
        """−α′_t/α_t · R."""
        beta = (self.schedule.mask_rate_prime(t) / self.schedule.alpha(t))[..., None, None]
        return beta * self.generator.to(beta.device)

    def leaving(self, x_s: Tensor, s: Tensor, t: Tensor) -> Tensor:
        elapsed = self.elapsed(s, t)
        if self._modes is None or elapsed.ndim < 2:
            return super().leaving(x_s, s, t)
        decay, right, left = (part.to(x_s.device) for part in self._modes)
        change = (right[x_s] * _faded(decay, elapsed)) @ left
        return (torch.nn.functional.one_hot(x_s, self.states) + change).clamp(min=0)

    def arriving(self, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        elapsed = self.elapsed(s, t)
        if self._modes is None or elapsed.ndim < 2:
            return super().arriving(x_t, s, t)
        decay, right, left = (part.to(x_t.device) for part in self._modes)
        change = (left.T[x_t] * _faded(decay, elapsed)) @ right.T
        return (torch.nn.functional.one_hot(x_t, self.states) + change).clamp(min=0)

    def spread(self, weight: Tensor, t: Tensor) -> Tensor:
        if self._modes is None or t.ndim < 2:
            return super().spread(weight, t)
        decay, right, left = (part.to(weight.device) for part in self._modes)
        fading = _faded(decay, self.elapsed(torch.zeros_like(t), t))
        change = (weight @ right[: self.vocabulary] * fading) @ left
        return (torch.nn.functional.pad(weight, (0, self.states - self.vocabulary)) + change).clamp(min=0)


def _faded(decay: Tensor, elapsed: Tensor) -> Tensor:
    """e^{λΔ} − 1, (…, M) for Δ (…)."""
    return torch.expm1(elapsed.unsqueeze(-1) * decay)
