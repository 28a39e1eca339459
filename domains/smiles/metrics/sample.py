"""A sample of molecules as figures, fingerprints, fragments and scaffolds: what two samples are compared by.

Fingerprints are Morgan's of radius 2, without chirality, kept at 4,096 bits. Bit b of the fingerprint of a smaller power of
two, m, is set if a bit ≡ b (mod m) is: MOSES counts with 1,024 bits, GuacaMol with 4,096. No SMILES is kept, but fingerprints
tell much about molecules: a sample of secret ones is a secret, too.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from domains.smiles.properties import METRICS, describe
from seqdiff.errors import CheckpointError, ConfigError

SIZE = 4096
DESCRIPTORS = ("bertz", "acceptors", "donors", "rotatable_bonds", "aliphatic_rings", "aromatic_rings")
FIGURES = (*METRICS, *DESCRIPTORS)


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of different lengths: row i is values[offsets[i] : offsets[i + 1]]. values (m,), offsets (n + 1,) int64."""

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], dtype) -> "Ragged":
        values = np.array([value for row in rows for value in row], dtype)
        return cls(values, np.cumsum([0, *map(len, rows)], dtype=np.int64))

    def take(self, index: np.ndarray) -> "Ragged":
        rows = [self.values[self.offsets[i] : self.offsets[i + 1]] for i in index]
        lengths = [len(row) for row in rows]
        return Ragged(np.concatenate([self.values[:0], *rows]), np.cumsum([0, *lengths], dtype=np.int64))

    @property
    def row(self) -> np.ndarray:
        """(m,) the row of each value."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True, eq=False)
class Sample:
    """n valid molecules.

    Attributes:
        figures: FIGURES → (n,) float32; `bertz` is the complexity index of Bertz (1981).
        bits: set bits of each fingerprint, uint16.
        fragments: BRICS fragments (Degen et al. 2008) of each, uint64 hashes of their SMILES.
        scaffolds: (n,) uint64, hash of the Bemis–Murcko scaffold, 0 where it has fewer than two rings.
        flat: (n,) uint64, hash of the canonical SMILES without stereo.
    """

    figures: dict[str, np.ndarray]
    bits: Ragged
    fragments: Ragged
    scaffolds: np.ndarray
    flat: np.ndarray

    def __len__(self) -> int:
        return len(self.flat)

    @classmethod
    def of(cls, smiles: Sequence[str], metrics: Sequence[dict[str, float]] | None = None) -> "Sample":
        """Of valid SMILES; `metrics` are their METRICS where they are known. Raises ConfigError for one that is not valid."""
        from rdkit import Chem, rdBase
        from rdkit.Chem import rdMolDescriptors as descriptors
        from rdkit.Chem.GraphDescriptors import BertzCT
        from rdkit.Chem.rdmolops import FragmentOnBRICSBonds
        from rdkit.Chem.Scaffolds.MurckoScaffold import GetScaffoldForMol

        figures, fragments, scaffolds, flat = [], [], [], []
        with rdBase.BlockLogs():
            for i, text in enumerate(smiles):
                known = metrics[i] if metrics else _metrics(text)
                molecule = Chem.MolFromSmiles(text)
                counts = (
                    BertzCT(molecule),
                    descriptors.CalcNumHBA(molecule),
                    descriptors.CalcNumHBD(molecule),
                    descriptors.CalcNumRotatableBonds(molecule),
                    descriptors.CalcNumAliphaticRings(molecule),
                    descriptors.CalcNumAromaticRings(molecule),
                )
                figures.append([*(known[name] for name in METRICS), *counts])
                fragments.append([hash64(part) for part in Chem.MolToSmiles(FragmentOnBRICSBonds(molecule)).split(".")])
                scaffold = GetScaffoldForMol(molecule)
                rings = scaffold.GetRingInfo().NumRings()
                scaffolds.append(hash64(Chem.MolToSmiles(scaffold)) if rings >= 2 else 0)
                flat.append(hash64(Chem.MolToSmiles(molecule, isomericSmiles=False)))
        table = np.array(figures, np.float32).reshape(len(smiles), len(FIGURES))
        return cls(
            {name: table[:, k] for k, name in enumerate(FIGURES)},
            fingerprints(smiles),
            Ragged.of(fragments, np.uint64),
            np.array(scaffolds, np.uint64),
            np.array(flat, np.uint64),
        )

    def take(self, index: np.ndarray) -> "Sample":
        """The molecules at (k,) places, in that order, repeats allowed."""
        figures = {name: column[index] for name, column in self.figures.items()}
        return Sample(figures, self.bits.take(index), self.fragments.take(index), self.scaffolds[index], self.flat[index])

    def distinct(self) -> "Sample":
        """The first of each molecule; stereo does not tell molecules apart."""
        return self.take(np.sort(np.unique(self.flat, return_index=True)[1]))

    def fingerprints(self, size: int) -> np.ndarray:
        """(n, size) float32 of zeros and ones; size is a power of two, at most 4,096."""
        return dense(self.bits, size)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file: about 220 bytes a molecule."""
        tensors = {
            "figures": np.stack([self.figures[name] for name in FIGURES]),
            "bits": self.bits.values,
            "bits_offsets": self.bits.offsets,
            "fragments": self.fragments.values,
            "fragments_offsets": self.fragments.offsets,
            "scaffolds": self.scaffolds,
            "flat": self.flat,
        }
        tensors["sha256"] = _digest(tensors)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(save(tensors))

    @classmethod
    def load(cls, path: str | Path) -> "Sample":
        """Read what `save` wrote. Raises CheckpointError if the file is missing, damaged or something else."""
        try:
            tensors = load(Path(path).read_bytes())
        except OSError as error:
            raise CheckpointError(f"{path}: expected a sample of molecules, could not read it ({error.strerror})") from None
        except SafetensorError as error:
            raise CheckpointError(f"{path}: expected a safetensors file, got a damaged or other file ({error})") from None
        stored = tensors.pop("sha256", np.zeros(0))
        figures = tensors.get("figures", np.zeros(0))
        if figures.ndim != 2 or len(figures) != len(FIGURES) or not np.array_equal(stored, _digest(tensors)):
            raise CheckpointError(
                f"{path}: expected a sample of molecules with its sha256, "
                f"got {', '.join(sorted(tensors)) or 'nothing'} that do not have the one stored with them; restore the file"
            )
        return cls(
            dict(zip(FIGURES, figures, strict=True)),
            Ragged(tensors["bits"], tensors["bits_offsets"]),
            Ragged(tensors["fragments"], tensors["fragments_offsets"]),
            tensors["scaffolds"],
            tensors["flat"],
        )

    @classmethod
    def of_model(cls, folder: Path, label: str | None = None) -> "Sample | None":
        """What stands beside a model as `sample-LABEL.safetensors`; without a label all its classes; None if there is none."""
        paths = sorted(folder.glob("sample-*.safetensors"))
        found = [cls.load(path) for path in paths if label is None or path.stem == f"sample-{label}"]
        return cls.joined(found) if found else None

    @classmethod
    def joined(cls, samples: Sequence["Sample"]) -> "Sample":
        """All molecules of several samples, at least one."""
        return cls(
            {name: np.concatenate([s.figures[name] for s in samples]) for name in FIGURES},
            _joined([s.bits for s in samples]),
            _joined([s.fragments for s in samples]),
            np.concatenate([s.scaffolds for s in samples]),
            np.concatenate([s.flat for s in samples]),
        )


def fingerprints(smiles: Sequence[str]) -> Ragged:
    """Set bits of the fingerprint of each valid SMILES."""
    from rdkit import Chem, rdBase
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

    morgan = GetMorganGenerator(radius=2, fpSize=SIZE)
    with rdBase.BlockLogs():
        return Ragged.of([list(morgan.GetFingerprint(Chem.MolFromSmiles(one)).GetOnBits()) for one in smiles], np.uint16)


def dense(bits: Ragged, size: int) -> np.ndarray:
    """(n, size) float32 of zeros and ones of n fingerprints folded to `size` bits, a power of two."""
    table = np.zeros((len(bits.offsets) - 1, size), np.float32)
    table[bits.row, bits.values % size] = 1
    return table


def _metrics(smiles: str) -> dict[str, float]:
    found = describe(smiles)
    if not found.valid:
        raise ConfigError(f"sample of molecules: expected valid SMILES, got {smiles!r}: {found.reason}")
    return found.metrics


def _joined(rows: Sequence[Ragged]) -> Ragged:
    lengths = np.concatenate([np.diff(part.offsets) for part in rows])
    return Ragged(np.concatenate([part.values for part in rows]), np.concatenate([[0], np.cumsum(lengths)]))


def hash64(text: str) -> int:
    """First 8 bytes of the sha256 of a text, big-endian."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def _digest(tensors: dict[str, np.ndarray]) -> np.ndarray:
    parts = b"".join(name.encode() + np.ascontiguousarray(tensors[name]).tobytes() for name in sorted(tensors))
    return np.frombuffer(hashlib.sha256(parts).digest(), dtype=np.uint8)
