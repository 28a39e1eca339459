"""How far samples are from the data, without a model as judge: n-gram laws.

A sample that repeats itself looks probable to any judge; so the entropy of the samples stands beside every distance.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence


def ngrams(rows: Iterable[Sequence[int]], n: int) -> Counter:
    """Counts of the n-grams within rows."""
    return Counter(tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1))


def entropy(counts: Counter) -> float:
    """Of the empirical law, in nats."""
    total = sum(counts.values())
    return -sum(c / total * math.log(c / total) for c in counts.values())


def jensen_shannon(one: Counter, other: Counter) -> float:
    """Divergence of two empirical laws in nats, 0 to ln 2. It has a floor above 0 for finite samples: quote it beside."""
    n, m = sum(one.values()), sum(other.values())
    total = 0.0
    for key in one.keys() | other.keys():
        p, q = one[key] / n, other[key] / m
        middle = (p + q) / 2
        total += sum(x / 2 * math.log(x / middle) for x in (p, q) if x > 0)
    return total


def conditional_entropy(rows: Sequence[Sequence[int]], n: int = 2) -> float:
    """H(token | the n − 1 tokens before it) of the empirical law, in nats."""
    return entropy(ngrams(rows, n)) - entropy(ngrams([row[:-1] for row in rows], n - 1))
