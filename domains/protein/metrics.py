"""How a set of free designs looks as a whole, with every figure's denominator."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

from domains.protein import AMINO_ACIDS
from domains.protein.data import BREAK
from domains.protein.properties import METRICS, describe

PAIRS = 200
WORD = 3


def evaluate_set(sequences: Sequence[str], known, natural: dict[str, int] | None, chains: int | None = 1) -> dict:
    """Figures of a set.

    Args:
        known: the training proteins as hashes, or None.
        natural: how often each letter stands in held-out natural proteins, or None.
        chains: how many a valid design has, None for any number.

    Returns:
        valid: share of all; unique: share of the valid; novel: share of the valid that no training protein equals;
        word_overlap: mean Jaccard index of the words of three residues of pairs of designs, 0 if all are unlike (the first
        PAIRS pairs of distinct designs); composition_kl: Σ p log(p/q) in nats, p of the designs' letters, q natural ones;
        mean: means over the valid of every figure of `properties.METRICS`.
    """
    found = [describe(sequence, chains) for sequence in sequences]
    valid = [sequence for sequence, one in zip(sequences, found, strict=True) if one.valid]
    distinct = list(dict.fromkeys(valid))
    metrics = [one.metrics for one in found if one.valid]
    return {
        "designs": len(sequences),
        "valid": _share(len(valid), len(sequences)),
        "unique": _share(len(distinct), len(valid)),
        "novel": None if known is None else _share(sum(is_novel(sequence, known) for sequence in valid), len(valid)),
        "word_overlap": word_overlap(distinct),
        "composition_kl": composition_kl(valid, natural) if natural and valid else None,
        "mean": {name: fmean(float(m[name] or 0) for m in metrics) if metrics else None for name in METRICS},
    }


def is_novel(sequence: str, known) -> bool:
    """Whether a chain of it was not trained on."""
    return any(chain not in known for chain in sequence.split(BREAK))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def word_overlap(sequences: Sequence[str]) -> float | None:
    """Mean of |A ∩ B| / |A ∪ B| over the first PAIRS pairs, A and B sets of words; None with fewer than two sequences."""
    few = sequences[: math.ceil((1 + math.sqrt(1 + 8 * PAIRS)) / 2)]
    words = [{text[i : i + WORD] for i in range(len(text) - WORD + 1)} for text in few]
    pairs = [(a, b) for a, b in combinations(words, 2) if a | b][:PAIRS]
    return fmean(len(a & b) / len(a | b) for a, b in pairs) if pairs else None


def composition_kl(sequences: Sequence[str], natural: dict[str, int]) -> float:
    """Σ_a p_a log(p_a / q_a) over the twenty amino acids, q with one count added to each."""
    counts = Counter(letter for text in sequences for letter in text if letter != BREAK)
    total, whole = sum(counts[a] for a in AMINO_ACIDS), sum(natural.get(a, 0) + 1 for a in AMINO_ACIDS)
    shares = [(counts[a] / total, (natural.get(a, 0) + 1) / whole) for a in AMINO_ACIDS if counts[a]]
    return sum(p * math.log(p / q) for p, q in shares)
