"""What a process on tokens is: a Markov chain on S states whose first V are the clean tokens.

Shapes: B batch, L length, V clean vocabulary, S ≥ V states. Times s < t are float64 in [0, 1], scalar or (B,).
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
        """Q_{t|s}, (S, S) or (B, S, S) float64: row i is q(x_t | x_s = i)."""

    def rate(self, t: Tensor) -> Tensor:
        """R_t, (S, S) or (B, S, S): the generator d/dt' Q_{t'|t} at t' = t; off-diagonal ≥ 0, rows sum to 0.

        Raises ConfigError for a process that is defined on a grid of times alone.
        """
        raise ConfigError(f"{type(self).__name__}: expected a continuous-time process here, this one has only a grid of times")

    def prior(self, u: Tensor) -> Tensor:
        """Draw x_1 (B, L) from uniform noise u (B, L)."""
        return categorical(self.prior_law().to(u.device).expand(*u.shape, self.states), u)

    def marginal(self, t: Tensor) -> Tensor:
        """q(x_t | x_0 = v), (V, S) or (B, V, S)."""
        return self.between(torch.zeros_like(t), t)[..., : self.vocabulary, :]

    def corrupt(self, x_0: Tensor, t: Tensor, u: Tensor) -> Tensor:
        """Draw x_t ~ q(x_t | x_0) (B, L) from uniform noise u (B, L) in [0, 1)."""
        return categorical(_rows(self.marginal(t).to(x_0.device), x_0), u)

    def likelihood(self, x_t: Tensor, t: Tensor) -> Tensor:
        """q(x_t | x_0 = v) for every clean v, (B, L, V)."""
        return _rows(self.marginal(t).to(x_t.device).transpose(-1, -2), x_t)

    def log_likelihood(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log q(x_t | x_0 = v) for every clean v, (B, L, V)."""
        return self.likelihood(x_t, t).log()

    def bridge(self, x_t: Tensor, x_0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """q(x_s | x_t, x_0) = Q_s(x_0, x_s) Q_{t|s}(x_s, x_t) / Q_t(x_0, x_t), (B, L, S).

        Zero everywhere where q(x_t | x_0) = 0: no such path exists.
        """
        start = _rows(self.marginal(s).to(x_t.device), x_0)
        arrive = _rows(self.between(s, t).to(x_t.device).transpose(-1, -2), x_t)
        return _normalised(start * arrive)

    def posterior(self, x_t: Tensor, p_x0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """p(x_s | x_t) = Σ_v p(v | x_t) q(x_s | x_t, v), (B, L, S), from p_x0 (B, L, V).

        Mass that p_x0 puts on tokens from which x_t cannot come is dropped (`possible`).
        """
        likelihood = self.likelihood(x_t, t)
        p = possible(p_x0.to(likelihood.dtype), likelihood)
        weight = torch.where(p > 0, p / likelihood, 0.0)
        arrive = _rows(self.between(s, t).to(x_t.device).transpose(-1, -2), x_t)
        return (weight @ self.marginal(s).to(x_t.device)) * arrive

    def log_kernel(self, x_t: Tensor, x_s: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """log q(x_s | x_t, v) for every clean v, (B, L, V): what a weighted sampler corrects with."""
        start, likelihood = self.likelihood(x_s, s), self.likelihood(x_t, t)
        arrive = _rows(self.between(s, t).to(x_t.device), x_s).gather(-1, x_t.unsqueeze(-1))
        return torch.where(likelihood > 0, start * arrive / likelihood, 0.0).log()


def possible(p_x0: Tensor, likelihood: Tensor) -> Tensor:
    """p_x0 (…, V) on the tokens with likelihood > 0, normalised; uniform over them where it has no mass there."""
    able = likelihood > 0
    p = torch.where(able, p_x0, 0.0)
    p = torch.where(p.sum(-1, keepdim=True) > 0, p, able.to(p.dtype))
    return _normalised(p)


def column(t: Tensor) -> Tensor:
    """(B,) → (B, 1), so that a time per row broadcasts over positions; a scalar stays one."""
    return t.unsqueeze(-1) if t.ndim else t


def _rows(matrix: Tensor, index: Tensor) -> Tensor:
    """Rows of matrix (R, C) or (B, R, C) at index (B, L): (B, L, C)."""
    if matrix.ndim == 2:
        return matrix[index]
    return matrix.gather(1, index.unsqueeze(-1).expand(*index.shape, matrix.shape[-1]))


def _normalised(p: Tensor) -> Tensor:
    total = p.sum(-1, keepdim=True)
    return torch.where(total > 0, p / total, 0.0)
