"""A bound on −log p(x_0) of some rows, and the figures that are quoted from it, each with its standard error."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Bound:
    """Upper bounds on −log p(x_0) of B rows.

    Attributes:
        nats: (B,) estimate per row.
        error: (B,) standard error of each estimate over its K draws (stratified draws make it conservative).
        lengths: (B,) tokens per row.
    """

    nats: Tensor
    error: Tensor
    lengths: Tensor

    @classmethod
    def from_draws(cls, nats: Tensor, lengths: Tensor) -> "Bound":
        """The mean of K independent or stratified estimates (K, B), and its error."""
        K = nats.shape[0]
        error = nats.std(0) / K**0.5 if K > 1 else torch.full_like(nats[0], float("inf"))
        return cls(nats.mean(0), error, lengths)

    @staticmethod
    def cat(bounds: list["Bound"]) -> "Bound":
        """Bounds of several groups of rows, joined."""
        return Bound(*(torch.cat([getattr(b, name) for b in bounds]) for name in ("nats", "error", "lengths")))

    def per_token(self) -> tuple[float, float]:
        """(nats per token over all rows, its standard error over rows drawn from a population)."""
        return self._per(self.lengths)

    def bits_per_token(self) -> tuple[float, float]:
        mean, error = self.per_token()
        return mean / math.log(2), error / math.log(2)

    def bits_per_character(self, characters: Tensor) -> tuple[float, float]:
        """Bits per character of rows that stand for `characters` (B,) characters each: comparable between alphabets."""
        mean, error = self._per(characters)
        return mean / math.log(2), error / math.log(2)

    def perplexity(self) -> tuple[float, float]:
        """e^(nats per token), an upper bound where `nats` is one; the error by the delta method."""
        mean, error = self.per_token()
        return math.exp(mean), math.exp(mean) * error

    def _per(self, units: Tensor) -> tuple[float, float]:
        """Σ nats / Σ units and the error of this ratio, linearised at the mean."""
        total = units.sum()
        mean = self.nats.sum() / total
        residual = self.nats - mean * units
        return float(mean), float(residual.square().sum().sqrt() / total)
