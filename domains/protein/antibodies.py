"""Third loops of antibodies' heavy chains (CDR-H3): read from tables, clustered, and encoded so that loops are trained most.

Two loops are linked if they are equally long and alike at 70 % or more of their places (the usual rule for clones, without the
V gene); a cluster is a connected component, and whole clusters are held out. Frameworks are on both sides, as in nature.

Training hides positions at random, a tenth of which would lie in the loop. So each chain is trained as two kinds of rows, its
variable domain, and `windows` times the loop with FLANK residues before it and what stands after it: of those half is loop.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domains.protein import AMINO_ACIDS
from domains.protein.data import PROTEIN, read_table
from domains.protein.families import components, hold_out
from seqdiff.errors import ConfigError
from seqdiff.training.data import EncodedData

AFTER = 11  # residues of framework 4 that are kept; what follows is the constant domain
FLANK = 24  # residues before the loop in a window
SHORTEST, LONGEST = 5, 25  # loops
LONGEST_DOMAIN = 200
ALIKE = 0.7


@dataclass(frozen=True)
class Chain:
    """before + loop + after is the variable domain."""

    before: str
    loop: str
    after: str

    @property
    def domain(self) -> str:
        return self.before + self.loop + self.after

    @property
    def window(self) -> str:
        return self.before[-FLANK:] + self.loop + self.after


def read_chains(path: str | Path) -> list[Chain]:
    """Chains of a table, each variable domain once, with loops of SHORTEST to LONGEST residues of the twenty amino acids.

    The loop is told by the columns sequence and cdr_mask (3 in CDR-H3), or "VH or VHH" and CDRH3 as in CoV-AbDab. Raises
    ConfigError for another table.
    """
    chains = {}
    for row in read_table(path):
        if row.get("cdr_mask") is not None and row.get("sequence") is not None:
            text, mask = row["sequence"], row["cdr_mask"]
            a, b = mask.find("3"), mask.rfind("3") + 1
            whole = mask[a:b] == "3" * (b - a)
        elif row.get("CDRH3") is not None and row.get("VH or VHH") is not None:
            text, loop = row["VH or VHH"].strip(), row["CDRH3"].strip()
            a = text.rfind(loop) if loop else -1
            b, whole = a + len(loop), True
        else:
            expected = "sequence and cdr_mask, or 'VH or VHH' and CDRH3"
            found = ", ".join(map(str, row))
            raise ConfigError(f"antibodies: expected the columns {expected} in {Path(path).name}, got {found}")
        if a < 50 or not whole or not SHORTEST <= b - a <= LONGEST or set(text) - set(AMINO_ACIDS):
            continue
        chain = Chain(text[:a], text[a:b], text[b : b + AFTER])
        chains.setdefault(chain.domain, chain)
    return list(chains.values())


def gather(paths: Sequence[str | Path], max_length: int = LONGEST_DOMAIN) -> list[tuple[Chain, int]]:
    """The chains of several tables whose variable domains are not longer, each once, and the first table that has it."""
    chains: dict[str, tuple[Chain, int]] = {}
    for number, path in enumerate(paths):
        for chain in read_chains(path):
            chains.setdefault(chain.domain, (chain, number))
    return [pair for pair in chains.values() if len(pair[0].domain) <= max_length]


def clusters(loops: Sequence[str]) -> np.ndarray:
    """(n,) the cluster of each loop, named by the lowest place in it."""
    edges = [np.zeros((0, 2), np.int64)]
    lengths = np.array([len(loop) for loop in loops])
    for length in np.unique(lengths):
        here = np.flatnonzero(lengths == length)
        letters = np.array([list(loops[i].encode()) for i in here.tolist()])
        for k, row in enumerate(letters[:-1]):
            alike = (letters[k + 1 :] == row).mean(1) >= ALIKE
            others = here[k + 1 :][alike]
            edges.append(np.stack([np.full(len(others), here[k]), others], 1))
    return components(len(loops), np.concatenate(edges))


def split(chains: Sequence[Chain], percent: float) -> tuple[np.ndarray, np.ndarray]:
    """(n,) clusters of the chains' loops, and (n,) bool: those of the whole clusters that are held out."""
    loops = [chain.loop for chain in chains]
    cluster = clusters(loops)
    return cluster, hold_out(loops, cluster, percent)


def encode_antibodies(
    target: str, sources: Sequence, windows: int = 3, held_out_percent: float = 10, max_length: int = LONGEST_DOMAIN
) -> EncodedData:
    """Chains of tables as rows, clusters of loops held out. Raises ConfigError for another target.

    Args:
        windows: rows of the loop and what is around it, for each chain that is trained on; held-out chains have one.
        max_length: longer variable domains are left out.
    """
    if target != "cdr-h3":
        raise ConfigError(f"data.target: expected 'cdr-h3' (the third loop of heavy chains), got {target!r}")
    labels = list(dict.fromkeys(source.label for source in sources))
    pairs = gather([source.path for source in sources], max_length)
    chains, classes = [chain for chain, _ in pairs], [labels.index(sources[number].label) for _, number in pairs]
    cluster, held_out = split(chains, held_out_percent)
    rows, kinds, out = [], [], []
    for chain, label, held in zip(chains, classes, held_out.tolist(), strict=True):
        texts = [chain.domain, *[chain.window] * (1 if held else windows)]
        rows += [PROTEIN.encode(text) for text in texts]
        kinds += [label] * len(texts)
        out += [held] * len(texts)
    new = np.bincount([number for _, number in pairs], minlength=len(sources))
    files = [
        {
            "file": Path(source.path).name,
            "label": source.label,
            "sha256": hashlib.sha256(Path(source.path).read_bytes()).hexdigest(),
            "new_chains": int(count),
        }
        for source, count in zip(sources, new, strict=True)
    ]
    provenance = {
        "files": files,
        "chains": len(chains),
        "loops": len({chain.loop for chain in chains}),
        "clusters": len(np.unique(cluster)),
        "held_out_chains": int(held_out.sum()),
        "held_out_clusters": len(np.unique(cluster[held_out])),
        "held_out_percent": held_out_percent,
    }
    return EncodedData.from_rows(PROTEIN, rows, kinds, out, labels, provenance)
