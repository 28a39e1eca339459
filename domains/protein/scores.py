"""How designs compare with what is known: recovery of a native sequence, identity to the nearest protein of a library.

- *recovery*: share of the designed positions that hold the native residue; told where design and native are equally long;
- *identity*: of a local alignment (BLOSUM62, gaps 11 and 1) with a protein of the library, identical residues over the design's
  length, the greatest of all; *novelty* is 1 − identity. Chains are compared one by one, and the design has the average over
  its residues.

The library is searched by MMseqs2 where the program `mmseqs` is on the path, otherwise by Biopython's aligner among the
proteins that share most words of three residues with the chain.
"""

import shutil
import subprocess
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from domains.protein import AMINO_ACIDS
from domains.protein.alignments import read_alignment
from domains.protein.data import BREAK, clean, read_fasta
from seqdiff.errors import ConfigError

WORD, CANDIDATES = 3, 20
ALIGNED = (".a2m", ".a3m", ".sto", ".stk", ".stockholm")


class Scored(Protocol):
    """What is needed of a design."""

    @property
    def sequence(self) -> str: ...
    @property
    def valid(self) -> bool: ...
    @property
    def pinned_atoms(self) -> tuple[int, ...]: ...


def recovery(sequence: str, native: str, pinned: Sequence[int] = ()) -> float | None:
    """Share of the designed positions where both have the same residue; None if their lengths differ or nothing is designed."""
    if len(sequence) != len(native):
        return None
    fixed = set(pinned)
    pairs = [(a, b) for i, (a, b) in enumerate(zip(sequence, native, strict=True)) if i not in fixed and b in AMINO_ACIDS]
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else None


def pairwise_identity(a: str, b: str) -> float:
    """Identical pairs over the longer length: position by position where the lengths are equal, else of a global alignment."""
    if len(a) == len(b):
        return sum(x == y for x, y in zip(a, b, strict=True)) / max(1, len(a))
    return _identical(_aligner("global"), a, b) / max(len(a), len(b))


@dataclass(frozen=True)
class Library:
    """Proteins to compare with, their names, and which hold a word."""

    names: tuple[str, ...]
    sequences: tuple[str, ...]
    words: dict[str, list[int]]

    @classmethod
    def read(cls, path: str | Path) -> "Library":
        """From FASTA or an alignment (A2M, A3M, Stockholm), plain, .gz or .xz. What is no protein is left out."""
        if any(suffix.lower() in ALIGNED for suffix in Path(path).suffixes):
            found = read_alignment(path)
            pairs = list(zip(found.names, found.whole, strict=True))
        else:
            pairs = [(record.name, record.sequence) for record in read_fasta(path)]
        kept = [(name, text) for name, sequence in pairs if (text := clean(sequence)) is not None]
        if not kept:
            raise ConfigError(f"library: {Path(path).name} holds no protein of the twenty amino acids")
        words: dict[str, list[int]] = defaultdict(list)
        for i, (_, text) in enumerate(kept):
            for word in {text[k : k + WORD] for k in range(len(text) - WORD + 1)}:
                words[word].append(i)
        return cls(tuple(name for name, _ in kept), tuple(text for _, text in kept), dict(words))

    def nearest(self, chain: str) -> tuple[float, str | None]:
        """Identity to the nearest of the CANDIDATES proteins that share most words with the chain, and its name."""
        shared: Counter[int] = Counter()
        for word in {chain[k : k + WORD] for k in range(len(chain) - WORD + 1)}:
            shared.update(self.words.get(word, ()))
        best, name = 0.0, None
        for i, _ in shared.most_common(CANDIDATES):
            identity = _identical(_aligner("local"), chain, self.sequences[i]) / len(chain)
            if identity > best:
                best, name = identity, self.names[i]
        return best, name


def scores(designs: Sequence[Scored], library: str | Path | None = None, native: str | None = None) -> list[dict]:
    """For each design `recovery` (with a native), `identity`, `novelty` and `nearest` (with a library); None where not told."""
    nearest: dict[str, tuple[float, str | None]] = {}
    if library is not None:
        chains = sorted({chain for design in designs if design.valid for chain in design.sequence.split(BREAK)})
        nearest = nearest_of(chains, library)
    found = []
    for design in designs:
        row: dict = {}
        if native is not None:
            row["recovery"] = recovery(design.sequence, native, design.pinned_atoms) if design.valid else None
        if library is not None:
            chains = design.sequence.split(BREAK) if design.valid else []
            total = sum(map(len, chains))
            identity = sum(nearest[chain][0] * len(chain) for chain in chains) / total if total else None
            row |= {"identity": identity, "novelty": None if identity is None else 1 - identity}
            row["nearest"] = max((nearest[chain] for chain in chains), key=lambda one: one[0])[1] if chains else None
        found.append(row)
    return found


def nearest_of(chains: Sequence[str], library: str | Path) -> dict[str, tuple[float, str | None]]:
    """chain → (identity to the nearest protein of the library, its name); 0 and None where nothing is alike."""
    program = shutil.which("mmseqs")
    if program:
        return _by_mmseqs(program, chains, Path(library))
    known = Library.read(library)
    return {chain: known.nearest(chain) for chain in chains}


def _by_mmseqs(program: str, chains: Sequence[str], library: Path) -> dict[str, tuple[float, str | None]]:
    found: dict[str, tuple[float, str | None]] = dict.fromkeys(chains, (0.0, None))
    with tempfile.TemporaryDirectory(prefix="seqdiff-") as folder:
        here = Path(folder)
        (here / "designs.fasta").write_text("".join(f">{i}\n{chain}\n" for i, chain in enumerate(chains)))
        records = [(r.name, clean(r.sequence)) for r in read_fasta(library)]
        (here / "library.fasta").write_text("".join(f">{name}\n{text}\n" for name, text in records if text))
        command = [program, "easy-search", "designs.fasta", "library.fasta", "hits.tsv", "tmp", "-s", "7.5", "-e", "10"]
        command += ["--alignment-mode", "3", "--format-output", "query,target,nident", "-v", "1"]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"library: mmseqs failed with status {done.returncode}: {done.stderr.strip()[-200:]}")
        for line in (here / "hits.tsv").read_text().splitlines():
            query, target, identical = line.split("\t")
            chain = chains[int(query)]
            found[chain] = max(found[chain], (int(identical) / len(chain), target), key=lambda one: one[0])
    return found


@lru_cache(maxsize=2)
def _aligner(mode: str):
    from Bio.Align import PairwiseAligner, substitution_matrices

    aligner = PairwiseAligner(mode=mode)
    aligner.substitution_matrix = substitution_matrices.load("BLOSUM62")
    aligner.open_gap_score, aligner.extend_gap_score = -11, -1
    return aligner


def _identical(aligner, a: str, b: str) -> int:
    a, b = (text.replace(BREAK, "X") for text in (a, b))
    found = aligner.align(a, b)
    if not len(found):
        return 0
    best = found[0]
    return sum(
        x == y
        for (i, j), (k, _) in zip(best.aligned[0], best.aligned[1], strict=True)
        for x, y in zip(a[i:j], b[k : k + j - i], strict=True)
    )
