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
    """p(x0 | x_t) of an enumerated law under the absorbing process; a denoiser like any other.

    p(x0^i = v | x_t) ∝ Σ over the outcomes that agree with every revealed token and have v at i. Where x_t has
    probability 0 under the law, as a sampler that reveals several tokens at once can bring about, it is uniform.
    """

    needs_time = False

    def __init__(self, law: EnumeratedLaw):
        self.law = law
        self.vocabulary = law.vocabulary
        self._one_hot = torch.nn.functional.one_hot(law.outcomes, law.vocabulary).double()  # (K, L, V)

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None) -> Tensor:
        """Log-probabilities (B, P or L, V), float64."""
        revealed = x_t < self.vocabulary
        agrees = ((x_t.unsqueeze(1) == self.law.outcomes) | ~revealed.unsqueeze(1)).all(-1)  # (B, K)
        p = torch.einsum("bk,klv->blv", agrees * self.law.probability, self._one_hot)
        total = p.sum(-1, keepdim=True)
        p = torch.where(total > 0, p / total, 1 / self.vocabulary)
        if positions is not None:
            p = p.gather(1, positions.unsqueeze(-1).expand(*positions.shape, self.vocabulary))
        return p.log()
