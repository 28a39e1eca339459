"""What a score will be, guessed from those that were asked for: a Gaussian process under the Tanimoto kernel of counts.

    k(a, b) = Σ_f min(a_f, b_f) / Σ_f max(a_f, b_f)        (Ralaivola et al. 2005; over counts also called MinMax)
    μ(x) = k_xᵀ (K + σ² I)⁻¹ z        v(x) = 1 − k_xᵀ (K + σ² I)⁻¹ k_x

z are the normal quantiles of the ranks of the scores, so that neither their scale nor a few that lie far out count. Guessing
is free, asking costs: of many proposals those of the largest μ + β √v are asked for (the upper confidence bound of Srinivas et
al. 2010).

Shapes: n seen, m new, D bits.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from domains.campaign.archive import Archive, Entry

BITS = 4096
NOISE = 0.03  # σ²
TWINS, ALIKE = 5, 2  # of texts with the same features so many are asked for: if their scores differ, if they do not
BEST, LATEST = 200, 200  # what is learned from: so many of the best entries that features tell apart, and of the latest
BETA = (0.1, 3.0)  # β is drawn anew each time, its logarithm uniform between these


class Surrogate:
    """Scores guessed from features of texts. features: text → counts by number, the same for the same text."""

    def __init__(self, features: Callable[[str], Mapping[int, int]]):
        self._bits = lru_cache(maxsize=20_000)(lambda text: unary(features(text)))

    def guess(self, archive: Archive, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """μ and √v (m,) of texts, in normal quantiles of the scores that were learned from."""
        seen = self._learned(archive)
        known, new = self._rows([entry.text for entry in seen]), self._rows(texts)
        K = tanimoto(known, known) + NOISE * np.eye(len(seen))
        k = tanimoto(known, new)
        factor = np.linalg.cholesky(K)
        half = np.linalg.solve(factor, np.column_stack([quantiles([entry.score for entry in seen]), k]))
        variance = 1 - (half[:, 1:] ** 2).sum(0)
        return half[:, 1:].T @ half[:, 0], np.sqrt(np.maximum(variance, 0))

    def choose(self, archive: Archive, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[int]:
        """The n of the largest μ + β √v, the largest first; but last what features do not tell from several others.

        The goal may see what features do not, such as stereo: of such twins TWINS are asked for, but no third one where two
        had the same score.
        """
        low, high = np.log(BETA)
        beta = float(np.exp(rng.uniform(low, high)))
        mean, deviation = self.guess(archive, texts)
        scores: dict[bytes, list[float]] = {}
        for entry in archive.entries:
            scores.setdefault(self._kind(entry.text), []).append(entry.score)
        known = Counter({kind: len(seen) for kind, seen in scores.items()})
        fresh, twins = [], []
        ranking: list[int] = np.argsort(-(mean + beta * deviation), kind="stable").tolist()
        for i in ranking:
            kind = self._kind(texts[i])
            enough = TWINS if len({*scores.get(kind, ())}) > 1 else ALIKE
            (twins if known[kind] >= enough else fresh).append(i)
            known[kind] += 1
        return [*fresh, *twins][:n]

    def _learned(self, archive: Archive) -> list[Entry]:
        """The best, one of each twins so that a few families do not fill the places of all, and the latest; by their calls."""
        best: dict[bytes, Entry] = {}
        for entry in archive.best(len(archive)):
            best.setdefault(self._kind(entry.text), entry)
            if len(best) == BEST:
                break
        chosen = {entry.call: entry for entry in (*best.values(), *archive.entries[-LATEST:])}
        return [chosen[call] for call in sorted(chosen)]

    def _kind(self, text: str) -> bytes:
        """Equal for twins: texts that features do not tell apart."""
        return self._bits(text).tobytes()

    def _rows(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), BITS), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[self._bits(text)] = 1
        return rows


def unary(counts: Mapping[int, int]) -> np.ndarray:
    """A count c of feature f as the c features (f, 1) … (f, c), hashed to BITS: min(a, b) is then how many are shared."""
    return np.array(
        sorted({(f * 2654435761 + j * 40503) % 4294967291 % BITS for f, c in counts.items() for j in range(c)}), dtype=np.int64
    )


def tanimoto(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) float64 of bits (n, D) and (m, D); rows without a bit are like nothing but each other."""
    shared = (a @ b.T).astype(float)
    either = a.sum(1)[:, None] + b.sum(1)[None] - shared
    return np.where(either > 0, shared / np.maximum(either, 1), 1.0)


def quantiles(scores: Sequence[float]) -> np.ndarray:
    """Normal quantiles of ranks, equal scores alike; −∞ is the last rank."""
    values = np.array(scores, dtype=float)
    ordered = np.sort(values)
    middle = (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / 2
    law = NormalDist()
    return np.array([law.inv_cdf(float(rank) / len(values)) for rank in middle])
