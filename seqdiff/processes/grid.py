"""D3PM's chain in discrete time: one transition matrix a step, x_k ~ Q_k(x_{k−1}, ·) for k = 1 … T.

Times are k/T; any other is refused, as the chain does not say what happens in between. Shapes: V vocabulary, S states,
T steps; times (), (B,) or (B, L).
Source: Austin et al., D3PM, 2021, appendix A.2.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.processes.base import TokenProcess, aligned
from seqdiff.schedules import Schedule


@dataclass(frozen=True, eq=False)
class GridChain(TokenProcess):
    """The chain of Q_1 … Q_T.

    Attributes:
        steps: (T, S, S), rows sum to 1.
        law: (S,), what sampling starts from: the law that the chain tends to. It need not be that of x_T exactly;
            `prior_distance()` says how far off it is.
        vocabulary: V ≤ S.
    """

    steps: Tensor
    law: Tensor
    vocabulary: int

    def __post_init__(self):
        steps, law = self.steps.double(), self.law.double()
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "law", law)
        if steps.ndim != 3 or len(steps) < 1 or steps.shape[1] != steps.shape[2]:
            raise ConfigError(f"grid chain: expected matrices (T, S, S), got {tuple(steps.shape)}")
        off = float((steps.sum(-1) - 1).abs().max())
        if not (off < 1e-9 and bool((steps >= 0).all())):
            raise ConfigError(f"grid chain: expected probabilities ≥ 0 with rows that sum to 1, got sums off by {off:.3g}")
        if law.shape != steps.shape[1:2] or not abs(float(law.sum()) - 1) < 1e-9 or bool((law < 0).any()):
            raise ConfigError(
                f"grid chain: expected a law of {steps.shape[1]} states with sum 1, "
                f"got {tuple(law.shape)} with sum {float(law.sum()):.10g}"
            )
        if not 1 <= self.vocabulary <= steps.shape[1]:
            raise ConfigError(f"grid chain: expected a vocabulary of 1 to S = {steps.shape[1]} tokens, got {self.vocabulary}")

    @classmethod
    def uniform(cls, vocabulary: int, betas: Tensor) -> "GridChain":
        """(1 − β_k) I + β_k/V: with probability β_k redrawn."""
        law = torch.full((vocabulary,), 1 / vocabulary, dtype=torch.float64)
        return cls(_mixed(torch.eye(vocabulary).double(), law, betas), law, vocabulary)

    @classmethod
    def absorbing(cls, vocabulary: int, betas: Tensor) -> "GridChain":
        """(1 − β_k) I + β_k δ(mask), with the mask as state V."""
        law = torch.nn.functional.one_hot(torch.tensor(vocabulary), vocabulary + 1).double()
        return cls(_mixed(torch.eye(vocabulary + 1).double(), law, betas), law, vocabulary)

    @classmethod
    def gaussian(cls, vocabulary: int, betas: Tensor) -> "GridChain":
        """Discretised Gaussian over ordered tokens (appendix A.2): off the diagonal

        [Q_k]_ij = exp(−4 (i − j)² / ((V − 1)² β_k)) / Σ_{n = −(V − 1)}^{V − 1} exp(−4 n² / ((V − 1)² β_k)).
        """
        if vocabulary < 2:
            raise ConfigError(f"discretised Gaussian: expected V ≥ 2, got {vocabulary}")
        n = torch.arange(-(vocabulary - 1), vocabulary, dtype=torch.float64)
        weight = torch.softmax(-4 * n.square() / ((vocabulary - 1) ** 2 * _checked(betas).unsqueeze(-1)), -1)  # (T, 2V − 1)
        i = torch.arange(vocabulary)
        return cls.symmetric(weight[:, i.unsqueeze(-1) - i + vocabulary - 1])

    @classmethod
    def symmetric(cls, moves: Tensor) -> "GridChain":
        """Symmetric moves (T, V, V) off the diagonal, which takes what is left; the law is uniform."""
        V = moves.shape[-1]
        moves = moves.double() - torch.diag_embed(moves.double().diagonal(dim1=-2, dim2=-1))
        return cls(moves + torch.diag_embed(1 - moves.sum(-1)), torch.full((V,), 1 / V, dtype=torch.float64), V)

    @classmethod
    def of(cls, process: TokenProcess, steps: int) -> "GridChain":
        """A continuous-time process looked at on the grid: exp((Λ_k − Λ_{k−1}) R) for `RateMatrix`.

        With the generator `neighbours` that is D3PM's nearest-neighbour chain (appendix A.2).
        """
        k = torch.arange(steps + 1, dtype=torch.float64) / steps
        return cls(process.between(k[:-1], k[1:]), process.prior_law(), process.vocabulary)

    @property
    def states(self) -> int:
        return self.steps.shape[-1]

    @cached_property
    def cumulative(self) -> Tensor:
        """(T + 1, S, S): Q̄_k = Q_1 ⋯ Q_k, from Q̄_0 = I."""
        products = [torch.eye(self.states, dtype=torch.float64)]
        for Q in self.steps:
            products.append(products[-1] @ Q)
        return torch.stack(products)

    def prior_law(self) -> Tensor:
        return self.law

    def between(self, s: Tensor, t: Tensor) -> Tensor:
        """Q_{i+1} ⋯ Q_j for s = i/T, t = j/T."""
        i, j = (self.index(time) for time in aligned(s, t))
        if not bool(i.any()):
            return self.cumulative.to(j.device)[j]
        steps = self.steps.to(j.device)
        Q = torch.eye(self.states, dtype=torch.float64, device=j.device).expand(*j.shape, -1, -1)
        for n in range(int((j - i).max())):
            k = (i + n).unsqueeze(-1).unsqueeze(-1)
            Q = torch.where(k < j[..., None, None], Q @ steps[(i + n).clamp(max=len(steps) - 1)], Q)
        return Q

    def index(self, t: Tensor) -> Tensor:
        """k of times k/T. Raises ConfigError for a time that is none."""
        T = len(self.steps)
        k = (t.double() * T).round()
        off = ((t.double() * T - k).abs() > 1e-6) | (k < 0) | (k > T)
        if bool(off.any()):
            raise ConfigError(
                f"grid chain: expected times k/{T} with k = 0 … {T}, got {float(t[off].flatten()[0]):.9g}; "
                f"sample with a number of steps that divides {T}, or use a process in continuous time"
            )
        return k.long()


def betas_of(schedule: Schedule, steps: int) -> Tensor:
    """β_k = 1 − α_k/α_{k−1}, (T,): the steps with which a mixture chain has the schedule's α on the grid.

    For the linear schedule 1/(T − k + 1), D3PM's choice for the absorbing chain.
    """
    rate = schedule.mask_rate(torch.arange(steps + 1, dtype=torch.float64) / steps)
    return ((rate[1:] - rate[:-1]) / (1 - rate[:-1])).clamp(0, 1)


def _mixed(stay: Tensor, law: Tensor, betas: Tensor) -> Tensor:
    beta = _checked(betas)[:, None, None]
    return (1 - beta) * stay + beta * law


def _checked(betas: Tensor) -> Tensor:
    betas = torch.as_tensor(betas, dtype=torch.float64)
    if betas.ndim != 1 or not bool(((betas > 0) & (betas <= 1)).all()):
        raise ConfigError(f"grid chain: expected betas (T,) more than 0, at most 1, got {betas.flatten()[:4].tolist()}…")
    return betas
