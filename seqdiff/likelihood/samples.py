"""What is said of samples: the perplexity that a judge gives them, never without their entropy.

A model that repeats itself has a low generative perplexity; its entropy falls with it, and shows it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.errors import ConditionError
from seqdiff.likelihood.bound import Bound


def ngram_entropy(rows: Sequence[Tensor], n: int = 1, pooled: bool = False) -> float:
    """Entropy in nats of the n-grams of rows of ids: the mean over rows of each row's own, or that of all pooled.

    H = −Σ_g f_g log f_g with f the frequencies (plug-in: too low where there are few n-grams, so compare equal lengths
    and counts). A row that repeats itself has a low entropy of its own; rows that resemble each other have a low pooled
    one. Rows shorter than n have no n-gram and are left out.
    """
    counts = [Counter(zip(*(row.tolist()[i:] for i in range(n)), strict=False)) for row in rows if len(row) >= n]
    if not counts:
        raise ConditionError(f"n-gram entropy: expected a row of at least n = {n} tokens, got none")
    if pooled:
        for other in counts[1:]:
            counts[0].update(other)
        del counts[1:]
    return sum(_entropy(torch.tensor(list(c.values()), dtype=torch.float64)) for c in counts) / len(counts)


@dataclass(frozen=True)
class SampleQuality:
    """A generative perplexity with what it must be read with.

    Attributes:
        perplexity, perplexity_error: of the samples under the judge, and its standard error over samples.
        entropy: mean over samples of the entropy of a sample's own n-grams, nats.
        pooled_entropy: entropy of the n-grams of all samples together, nats.
        n: of the n-grams.
    """

    perplexity: float
    perplexity_error: float
    entropy: float
    pooled_entropy: float
    n: int

    def __str__(self) -> str:
        return (
            f"generative perplexity {self.perplexity:.2f} ± {self.perplexity_error:.2f} at {self.n}-gram entropy "
            f"{self.entropy:.2f} nats a sample, {self.pooled_entropy:.2f} pooled"
        )


def sample_quality(judge: Bound, rows: Sequence[Tensor], n: int = 1) -> SampleQuality:
    """Perplexity and entropy of the same samples.

    Args:
        judge: −log p of each sample under another model than the one that drew it.
        rows: the samples, ids without padding.
    """
    if judge.lengths.tolist() != [len(row) for row in rows]:
        raise ConditionError(
            f"sample quality: expected the judge's bound of these {len(rows)} samples, lengths included; "
            f"got one of {len(judge.lengths)} rows with other lengths"
        )
    return SampleQuality(*judge.perplexity(), ngram_entropy(rows, n), ngram_entropy(rows, n, pooled=True), n)


def _entropy(counts: Tensor) -> float:
    f = counts / counts.sum()
    return float(-(f * f.log()).sum())
