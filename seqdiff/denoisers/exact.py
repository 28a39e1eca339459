"""The exact denoiser: p(x0 | x_t) of a law that is small enough to be written down.

With it every sampler has a law that it must reproduce, before anything is trained. Public, because whoever writes
a sampler or a constraint wants it for tests.

Shapes: K outcomes, B batch, L length, V vocabulary, P queried positions.
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.errors import ConditionError


@dataclass(frozen=True)
class EnumeratedLaw:
    """A law over K sequences of one length.

    Attributes:
        outcomes: (K, L) int64 clean ids, distinct rows.
        probability: (K,) float64, non-negative, sums to 1.
        vocabulary: V.
    """

    outcomes: Tensor
    probability: Tensor
    vocabulary: int

    def __post_init__(self):
        if self.outcomes.ndim != 2 or self.probability.shape != self.outcomes.shape[:1]:
            raise ConditionError(
                f"law: expected outcomes (K, L) and probability (K,), got {tuple(self.outcomes.shape)} "
                f"and {tuple(self.probability.shape)}"
            )
        total = float(self.probability.sum())
        if abs(total - 1) > 1e-9 or bool((self.probability < 0).any()):
            raise ConditionError(f"law: expected non-negative probabilities with sum 1, got sum {total}")

    @classmethod
    def from_log_weights(cls, vocabulary: int, length: int, log_weight) -> "EnumeratedLaw":
        """The law ∝ exp(log_weight(outcome)) over all V^L sequences."""
        outcomes = torch.tensor(list(itertools.product(range(vocabulary), repeat=length)))
        weights = torch.tensor([float(log_weight(tuple(row))) for row in outcomes.tolist()], dtype=torch.float64)
        return cls(outcomes, torch.softmax(weights, 0), vocabulary)

    def index(self, tokens: Tensor) -> Tensor:
        """(B,) place of each row of tokens (B, L) among the outcomes, K where it is none of them."""
        equal = (tokens.unsqueeze(1) == self.outcomes).all(-1)
        return torch.where(equal.any(-1), equal.to(torch.int8).argmax(-1), len(self.outcomes))

    def given(self, pins: dict[int, int]) -> "EnumeratedLaw":
        """The law conditioned on tokens at positions. Raises ConditionError if that has probability 0."""
        keep = torch.ones(len(self.outcomes), dtype=torch.bool)
        for position, token in pins.items():
            keep &= self.outcomes[:, position] == token
        mass = self.probability[keep].sum()
        if not mass > 0:
            raise ConditionError(f"law: the pins {pins} have probability 0")
        return EnumeratedLaw(self.outcomes[keep], self.probability[keep] / mass, self.vocabulary)

    def entropy(self) -> float:
        """In nats."""
        p = self.probability[self.probability > 0]
        return float(-(p * p.log()).sum())


class ExactDenoiser:
    """p(x0 | x_t) of an enumerated law; a denoiser like any other.

    p(x0^i = v | x_t) ∝ Σ over the outcomes o with o^i = v of P(o) Π_j q(x_t^j | o^j). Under the absorbing process, the one
    meant when none is given, those are the outcomes that agree with every revealed token, and t does not enter. Where x_t
    has probability 0, as a sampler that reveals several tokens at once can bring about, it is uniform.

    Args:
        process: anything with `log_likelihood(x_t, t)` → (B, L, V), or None.
        free: (L,) bool, positions that carry noise; at the others x_t is clean (a pin). None: all carry noise.
    """

    def __init__(self, law: EnumeratedLaw, process=None, free: Tensor | None = None):
        self.law = law
        self.process, self.free = process, free
        self.needs_time = process is not None
        self.vocabulary = law.vocabulary
        self._one_hot = torch.nn.functional.one_hot(law.outcomes, law.vocabulary).double()  # (K, L, V)

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None) -> Tensor:
        """Log-probabilities (B, P or L, V), float64."""
        if self.process is None:
            weight = self._agreement(x_t)
        else:
            if t is None:
                raise ConditionError("exact denoiser: expected a time t (B,) for this process, got None")
            weight = self._weight(self.process.log_likelihood(x_t, t), x_t)
        p = torch.einsum("bk,klv->blv", weight * self.law.probability, self._one_hot)
        total = p.sum(-1, keepdim=True)
        p = torch.where(total > 0, p / total, 1 / self.vocabulary)
        if positions is not None:
            p = p.gather(1, positions.unsqueeze(-1).expand(*positions.shape, self.vocabulary))
        return p.log()

    def _agreement(self, x_t: Tensor) -> Tensor:
        """(B, K): whether every revealed token of x_t is that of the outcome."""
        masked = x_t >= self.vocabulary
        return ((x_t.unsqueeze(1) == self.law.outcomes) | masked.unsqueeze(1)).all(-1)

    def _weight(self, log_q: Tensor, x_t: Tensor) -> Tensor:
        """(B, K) ∝ q(x_t | outcome), the largest 1, from log q(x_t | v) (B, L, V)."""
        if self.free is not None:
            pin = torch.where(x_t.unsqueeze(-1) == torch.arange(self.vocabulary), 0.0, float("-inf"))
            log_q = torch.where(self.free.unsqueeze(-1), log_q, pin)
        total = torch.einsum("blv,klv->bkl", torch.nan_to_num(log_q, neginf=-1e30), self._one_hot).sum(-1)
        top = total.max(-1, keepdim=True).values
        return torch.where(top > -1e29, (total - top).exp(), 0.0)
