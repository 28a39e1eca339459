"""Families of proteins by shared words, so that whole families can be held out: single linkage on exact words of six residues.

Two proteins are linked if they share at least `SHARED` different words of `WORD` residues; a family is a connected component.
So no protein of one family shares SHARED words with a protein of another: they have no ungapped stretch in common of
WORD + SHARED − 1 = 10 residues. Words of more than `COMMON` proteins are not counted (low complexity, and motifs of whole
superfamilies, which would join all proteins into one), and a word that repeats within a stretch counts once.
Proteins of the same family may still be unlike: A is linked to B and B to C. Remote homologues, below about 30 % identity,
share too few words to be found, and may be on both sides of a split.

Shapes: n proteins, W words, E pairs.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

WORD = 6
SHARED = 5
COMMON = 200
LETTERS = 32


def families(rows: Sequence[Sequence[int]], shared: int = SHARED) -> np.ndarray:
    """(n,) int64: the family of each row of ids, named by the lowest row in it. shared: words that link two of them."""
    words, owner = _words(rows)
    return components(len(rows), _linked(words, owner, len(rows), shared))


def _words(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(W,) words as numbers in base LETTERS, sorted, and the row of each; every word once a row."""
    joined = np.fromiter((i for row in rows for i in row), np.int64)
    lengths = np.array([len(row) for row in rows], np.int64)
    owner = np.repeat(np.arange(len(rows)), lengths)
    count = max(0, len(joined) - WORD + 1)
    words = np.zeros(count, np.int64)
    for k in range(WORD):
        words = words * LETTERS + joined[k : k + count]
    inside = owner[:count] == owner[WORD - 1 :]
    order = np.lexsort((owner[:count][inside], words[inside]))
    words, owner = words[inside][order], owner[:count][inside][order]
    first = np.ones(len(words), bool)
    first[1:] = (words[1:] != words[:-1]) | (owner[1:] != owner[:-1])
    return words[first], owner[first]


def _linked(words: np.ndarray, owner: np.ndarray, n: int, least: int) -> np.ndarray:
    """(E, 2) pairs of rows that share at least `least` words."""
    starts = np.flatnonzero(np.concatenate([[True], words[1:] != words[:-1]])) if len(words) else np.zeros(0, np.int64)
    sizes = np.diff(np.append(starts, len(words)))
    chunks = [np.zeros(0, np.int64)]
    for size in np.unique(sizes[(sizes > 1) & (sizes <= COMMON)]):
        members = owner[starts[sizes == size][:, None] + np.arange(size)]  # sorted within a word
        a, b = np.triu_indices(size, 1)
        chunks.append((members[:, a] * n + members[:, b]).ravel())
    pairs, shared = np.unique(np.concatenate(chunks), return_counts=True)
    pairs = pairs[shared >= least]
    return np.stack([pairs // n, pairs % n], 1)


def components(n: int, edges: np.ndarray) -> np.ndarray:
    """(n,) the lowest member of each connected component: labels fall along edges (E, 2), are then followed to their ends."""
    label = np.arange(n)
    while True:
        low = np.minimum(label[edges[:, 0]], label[edges[:, 1]])
        before = label.copy()
        np.minimum.at(label, label[edges[:, 0]], low)
        np.minimum.at(label, label[edges[:, 1]], low)
        label = label[label]
        if np.array_equal(label, before):
            return label


def hold_out(texts: Sequence[str], family: np.ndarray, percent: float) -> np.ndarray:
    """(n,) bool: whole families, in an order that their sequences alone decide, until `percent` of the rows are held out.

    A family that would exceed it is passed over, so that very large families are always trained on.
    """
    members: dict[int, list[int]] = {}
    for i, f in enumerate(family.tolist()):
        members.setdefault(f, []).append(i)
    names = {f: hashlib.sha256(min(texts[i] for i in rows).encode()).digest() for f, rows in members.items()}
    held_out, left = np.zeros(len(texts), bool), int(len(texts) * percent / 100)
    for f in sorted(members, key=lambda f: names[f]):
        if len(members[f]) <= left:
            held_out[members[f]] = True
            left -= len(members[f])
    return held_out
