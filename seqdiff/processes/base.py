"""What a process on tokens is: a Markov chain on S states whose first V are the clean tokens.

Shapes: B batch, L length, V clean vocabulary, S ≥ V states. Times s < t are float64 in [0, 1]: one for all (), one a
row (B,) or one a position (B, L); matrices then are (S, S), (B, S, S) or (B, L, S, S).
Everything follows from the transition matrices `between`; a process with a closed form overrides what it can do faster.
Source: Austin et al., "Structured denoising diffusion models in discrete state-spaces" (D3PM), 2021.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from seqdiff.draws import categorical
from seqdiff.errors import ConfigError


class TokenProcess(ABC):
    """Contract: the two numbers, `prior_law` and `between`.

    Attributes:
        vocabulary: V; clean tokens are the states 0 … V − 1. The id V marks a hole in a canvas.
        states: S.
    """

    vocabulary: int
    states: int

    @abstractmethod
    def prior_law(self) -> Tensor:
        """(S,) float64: the law of a position at t = 1, whatever was there at t = 0."""

    @abstractmethod
    def between(self, s: Tensor, t: Tensor) -> Tensor:
        """Q_{t|s}, (…, S, S) float64 for times (…): row i is q(x_t | x_s = i)."""

    def rate(self, t: Tensor) -> Tensor:
        """R_t, (…, S, S): the generator d/dt' Q_{t'|t} at t' = t; off-diagonal ≥ 0, rows sum to 0.

        Raises ConfigError for a process that is defined on a grid of times alone.
        """
        raise ConfigError(f"{type(self).__name__}: expected a continuous-time process here, this one has only a grid of times")

    def prior(self, u: Tensor) -> Tensor:
        """Draw x_1 (B, L) from uniform noise u (B, L)."""
        return categorical(self.prior_law().to(u.device).expand(*u.shape, self.states), u)

    def prior_distance(self) -> float:
        """max over v of TV(q(x_1 | x_0 = v), prior): what sampling from the prior is off by before its first step.

        0 where the noise ends in forgetting everything (α_1 = 0).
        """
        end = self.marginal(torch.ones((), dtype=torch.float64))
        return float((end - self.prior_law()).abs().sum(-1).max() / 2)

    def marginal(self, t: Tensor) -> Tensor:
        """q(x_t | x_0 = v), (…, V, S) for times (…)."""
        return self.between(torch.zeros_like(t), t)[..., : self.vocabulary, :]

    def leaving(self, x_s: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """Q_{t|s}(x_s, ·), (B, L, S): where x_s goes."""
        return _rows(self.between(s, t).to(x_s.device), x_s)

    def arriving(self, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """Q_{t|s}(·, x_t), (B, L, S): from where x_t comes."""
        return _rows(self.between(s, t).to(x_t.device).transpose(-1, -2), x_t)

    def spread(self, weight: Tensor, t: Tensor) -> Tensor:
        """Σ_v weight_v q(x_t | x_0 = v), (B, L, S) from weights (B, L, V) on the clean tokens."""
        marginal = self.marginal(t).to(weight.device)
        if marginal.ndim < 4:
            return weight @ marginal
        return (weight.unsqueeze(-2) @ marginal).squeeze(-2)

    def unspread(self, mass: Tensor, t: Tensor) -> Tensor:
        """Weights (B, L, V) with `spread(weight, t)` = mass (B, L, S), up to a constant a position: by the pseudo-inverse.

        The matrix must have full row rank: once all is noise nothing tells of x_0.
        """
        inverse = torch.linalg.pinv(self.marginal(t).to(mass.device))
        return mass @ inverse if inverse.ndim < 4 else (mass.unsqueeze(-2) @ inverse).squeeze(-2)

    def rate_into(self, x_t: Tensor, t: Tensor) -> Tensor:
        """R_t(y, x_t) for every state y, (B, L, S)."""
        return _rows(self.rate(t).to(x_t.device).transpose(-1, -2), x_t)

    def corrupt(self, x_0: Tensor, t: Tensor, u: Tensor) -> Tensor:
        """Draw x_t ~ q(x_t | x_0) (B, L) from uniform noise u (B, L) in [0, 1)."""
        return categorical(self.leaving(x_0, torch.zeros_like(t), t), u)

    def likelihood(self, x_t: Tensor, t: Tensor) -> Tensor:
        """q(x_t | x_0 = v) for every clean v, (B, L, V)."""
        return self.arriving(x_t, torch.zeros_like(t), t)[..., : self.vocabulary]

    def log_likelihood(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log q(x_t | x_0 = v) for every clean v, (B, L, V)."""
        return self.likelihood(x_t, t).log()

    def bridge(self, x_t: Tensor, x_0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """q(x_s | x_t, x_0) = Q_s(x_0, x_s) Q_{t|s}(x_s, x_t) / Q_t(x_0, x_t), (B, L, S).

        Zero everywhere where q(x_t | x_0) = 0: no such path exists.
        """
        return normalised(self.leaving(x_0, torch.zeros_like(s), s) * self.arriving(x_t, s, t))

    def posterior(self, x_t: Tensor, p_x0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """p(x_s | x_t) = Σ_v p(v | x_t) q(x_s | x_t, v), (B, L, S), from p_x0 (B, L, V).

        Mass that p_x0 puts on tokens from which x_t cannot come is dropped (`possible`).
        """
        likelihood = self.likelihood(x_t, t)
        p = possible(p_x0.to(likelihood.dtype), likelihood)
        return self.spread(p / nonzero(likelihood), s) * self.arriving(x_t, s, t)

    def log_kernel(self, x_t: Tensor, x_s: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """log q(x_s | x_t, v) for every clean v, (B, L, V): what a weighted sampler corrects with."""
        start, likelihood = self.likelihood(x_s, s), self.likelihood(x_t, t)
        arrive = self.leaving(x_s, s, t).gather(-1, x_t.unsqueeze(-1))
        return torch.where(likelihood > 0, start * arrive / nonzero(likelihood), 0.0).log()


def possible(p_x0: Tensor, likelihood: Tensor) -> Tensor:
    """p_x0 (…, V) on the tokens with likelihood > 0, normalised; uniform over them where it has no mass there."""
    able = likelihood > 0
    p = torch.where(able, p_x0, 0.0)
    p = torch.where(p.sum(-1, keepdim=True) > 0, p, able.to(p.dtype))
    return normalised(p)


def column(t: Tensor) -> Tensor:
    """(B,) → (B, 1), so that a time per row broadcasts over positions; one for all and (B, L) stay as they are."""
    return t.unsqueeze(-1) if t.ndim == 1 else t


def aligned(s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Two times in one shape, (), (B,) or (B, L), whatever the shape of each."""
    if max(s.ndim, t.ndim) == 2:
        s, t = column(s), column(t)
    s, t = torch.broadcast_tensors(s, t)
    return s, t


def nonzero(p: Tensor) -> Tensor:
    """p with 1 in place of 0: a denominator under which 0/0 is 0, and so is its gradient (0 · ∞ would be NaN)."""
    return torch.where(p > 0, p, 1.0)


def normalised(p: Tensor) -> Tensor:
    """p / Σ p over the last axis; zeros stay zeros."""
    return p / nonzero(p.sum(-1, keepdim=True))


def _rows(matrix: Tensor, index: Tensor) -> Tensor:
    """Rows of matrix (R, C), (B, R, C) or (B, L, R, C) at index (B, L): (B, L, C)."""
    if matrix.ndim == 2:
        return matrix[index]
    if matrix.ndim == 3:
        return matrix.gather(1, index.unsqueeze(-1).expand(*index.shape, matrix.shape[-1]))
    return matrix.gather(2, index[..., None, None].expand(*index.shape, 1, matrix.shape[-1])).squeeze(2)
