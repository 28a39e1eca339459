"""The KL score of GuacaMol (Brown et al., "GuacaMol", 2019): are nine descriptors distributed as in the reference?

Of distinct molecules, stereo left out. Each descriptor gives D = KL(P ‖ Q) in nats, P the law of the reference, Q that of the
sample, and the score is the mean of exp(−D). The tenth figure is the similarity of each molecule to its nearest other one in
its own set (Morgan, radius 2, 4,096 bits). That grows with the size of the set, so both sets are cut to the smaller size.
GuacaMol takes 10,000 molecules of either; fewer are noisier and score lower.

Shapes: n molecules, k of the reference.
"""

import numpy as np

from domains.smiles.metrics.moses import tanimoto
from domains.smiles.metrics.sample import SIZE, Sample

CONTINUOUS = ("bertz", "logp", "weight", "tpsa")
COUNTED = ("acceptors", "donors", "rotatable_bonds", "aliphatic_rings", "aromatic_rings")
POINTS, BINS = 1000, 10
FLOOR = 1e-10  # added to every density


def density(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Gaussian kernel density of (n,) values at (m,) places, f(t) = (1 / nh) Σ φ((t − xᵢ) / h), h = s n^{−1/5} (Scott 1992)."""
    values = values.astype(float)
    width = values.std(ddof=1) * len(values) ** -0.2
    total = np.zeros(len(at))
    for start in range(0, len(values), 1000):
        total += np.exp(-0.5 * ((at[:, None] - values[start : start + 1000]) / width) ** 2).sum(1)
    return total / (len(values) * width * np.sqrt(2 * np.pi))


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """KL(P ‖ Q) = Σ p ln(p / q) of what p and q (m,) are, each divided by its sum."""
    p, q = p / p.sum(), q / q.sum()
    return max(0.0, float((p * np.log(p / q)).sum()))


def continuous(reference: np.ndarray, values: np.ndarray) -> float | None:
    """D by kernel densities at 1,000 places from the least to the greatest value of both; None where a law has no spread."""
    if min(len(reference), len(values)) < 2 or not np.ptp(reference) or not np.ptp(values):
        return None
    at = np.linspace(min(reference.min(), values.min()), max(reference.max(), values.max()), POINTS)
    return divergence(density(reference, at) + FLOOR, density(values, at) + FLOOR)


def counted(reference: np.ndarray, values: np.ndarray) -> float | None:
    """D by histograms in 10 bins of equal width over the reference's range; values outside of it are not counted."""
    if not len(reference) or not len(values):
        return None
    p, edges = np.histogram(reference, BINS)
    q, _ = np.histogram(values, edges)
    width = edges[1] - edges[0]
    shares = [x / (max(x.sum(), 1) * width) + FLOOR for x in (p, q)]
    return divergence(*shares)


def nearest_other(sample: Sample, most: int) -> np.ndarray:
    """(min(n, most),) similarity of each of the first molecules to its nearest other one among them."""
    prints = sample.take(np.arange(min(len(sample), most))).fingerprints(SIZE)
    found, start = [], 0
    for block in tanimoto(prints, prints):
        block[np.arange(len(block)), start + np.arange(len(block))] = 0
        found.append(block.max(1))
        start += len(block)
    return np.concatenate([np.zeros(0), *found])


def compare(sample: Sample, reference: Sample) -> dict:
    """kl: descriptor → D, None where a law has no spread; score: mean of exp(−D), None with fewer than two molecules.

    Without spread in the sample a descriptor counts 0 towards the score: Q is then a point.
    """
    sample, reference = sample.distinct(), reference.distinct()
    ours, theirs = sample.figures, reference.figures
    kl = {name: continuous(theirs[name], ours[name]) for name in CONTINUOUS}
    kl |= {name: counted(theirs[name], ours[name]) for name in COUNTED}
    least = min(len(sample), len(reference))
    kl["nearest_other"] = continuous(nearest_other(reference, least), nearest_other(sample, least))
    score = float(np.mean([0.0 if d is None else np.exp(-d) for d in kl.values()])) if least > 1 else None
    return {"kl": kl, "score": score}
