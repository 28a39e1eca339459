"""Which sequences were trained on: 32-bit hashes, so that novelty is told without shipping the sequences."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from seqdiff.errors import CheckpointError

ESCAPE = 0  # a step of 0 stands for one that 16 bits do not hold; it stands in `wide`
LARGEST_STEP = 0xFFFF
TENSORS = {"steps": np.uint16, "wide": np.uint32, "sha256": np.uint8}


def hash32(text: str) -> int:
    """First 4 bytes of the sha256 of a text, big-endian: 0 to 2³² − 1."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@dataclass(frozen=True, eq=False)
class Known:
    """A set of sequences in their domain's normal form, by hash.

    A known one is always found. A new one is taken for known with probability n / 2³²: 1.2e-4 for 520,000 sequences,
    so novelty is understated by about one in 8,000. The normal form of a molecule is RDKit's canonical SMILES, which
    compares only within one version of RDKit.

    Attributes:
        hashes: (n,) uint32, strictly increasing.
    """

    hashes: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Known":
        """Of normal forms in any order, repeats allowed."""
        return cls(np.unique(np.fromiter((hash32(text) for text in texts), dtype=np.uint32)))

    def __len__(self) -> int:
        return len(self.hashes)

    def __contains__(self, text: str) -> bool:
        value = np.uint32(hash32(text))
        place = int(np.searchsorted(self.hashes, value))
        return place < len(self.hashes) and bool(self.hashes[place] == value)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: the step from each hash to the next, in 16 bits where they suffice.

        520,000 hashes lie 8,260 apart on average and a step exceeds 65,535 once in 2,800 times: 1.04 MB.
        """
        steps = np.diff(self.hashes.astype(np.int64), prepend=0)
        fits = (steps != ESCAPE) & (steps <= LARGEST_STEP)
        tensors = {
            "steps": np.where(fits, steps, ESCAPE).astype(np.uint16),
            "wide": steps[~fits].astype(np.uint32),
            "sha256": _digest(self.hashes),
        }
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save(tensors))

    @classmethod
    def load(cls, path: str | Path) -> "Known":
        """Read what `save` wrote; an unchanged file once. Raises CheckpointError if it is missing, damaged or another."""
        path = Path(path)
        try:
            found = path.stat()
            return cls._read(path, found.st_mtime_ns, found.st_size)
        except OSError as error:
            raise CheckpointError(
                f"{path}: expected the hashes of what was trained on, could not read them ({error.strerror})"
            ) from None

    @classmethod
    @lru_cache(maxsize=4)
    def _read(cls, path: Path, changed: int, size: int) -> "Known":
        """`load` of the file as it was when last `changed` (ns), of that size (bytes)."""
        try:
            tensors = load(path.read_bytes())
        except SafetensorError as error:
            raise CheckpointError(f"{path}: expected a safetensors file, got a damaged or other file ({error})") from None
        kinds = {name: tensor.dtype for name, tensor in tensors.items()}
        if kinds != TENSORS or any(tensor.ndim != 1 for tensor in tensors.values()):
            got = ", ".join(f"{name} {kind}" for name, kind in sorted(kinds.items())) or "none"
            raise CheckpointError(f"{path}: expected the vectors steps uint16, wide uint32 and sha256 uint8, got {got}")
        steps = tensors["steps"].astype(np.int64)
        escaped = steps == ESCAPE
        if escaped.sum() == len(tensors["wide"]):
            steps[escaped] = tensors["wide"]
            hashes = np.cumsum(steps).astype(np.uint32)
            if np.array_equal(_digest(hashes), tensors["sha256"]):
                return cls(hashes)
        raise CheckpointError(
            f"{path}: damaged: its {len(steps):,} hashes do not have the sha256 stored with them; restore the file"
        )


def _digest(hashes: np.ndarray) -> np.ndarray:
    return np.frombuffer(hashlib.sha256(hashes.astype("<u4").tobytes()).digest(), dtype=np.uint8)
