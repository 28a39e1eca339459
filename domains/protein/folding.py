"""Structure prediction as a plug-in: a program on the path folds designs, and its confidence is read from the files it writes.

    esm-fold          of fair-esm[esmfold]:  esm-fold -i FASTA -o FOLDER           writes NAME.pdb
    colabfold_batch   of ColabFold:          colabfold_batch FASTA FOLDER          writes NAME_…rank_001….pdb

Both read the chains of a complex joined by `:`, and write pLDDT (0 to 100) where a PDB file has B-factors. Nothing of them is
needed for anything else, and nothing is downloaded here.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domains.protein.data import BREAK
from seqdiff.errors import ConfigError

PROGRAMS = {"esm-fold": ("-i", "{fasta}", "-o", "{folder}"), "colabfold_batch": ("{fasta}", "{folder}")}
BEST = re.compile(r"(?:_.*rank_0*1(?:_.*)?)?\.pdb")  # what follows the name of a sequence in that of its best model


@dataclass(frozen=True)
class Folded:
    """One predicted structure.

    Attributes:
        path: the PDB file.
        confidence: pLDDT of each residue, 0 to 100.
    """

    path: Path
    confidence: tuple[float, ...]

    @property
    def plddt(self) -> float:
        return sum(self.confidence) / len(self.confidence)


def folding_program() -> str:
    """The first of PROGRAMS on the path. Raises ConfigError that says what to install."""
    for name in PROGRAMS:
        if shutil.which(name):
            return name
    raise ConfigError(
        f"structure prediction: expected one of {', '.join(PROGRAMS)} on the path, found none; install one "
        "(pip install 'fair-esm[esmfold]', or ColabFold), or leave it out: nothing else needs it"
    )


def fold(sequences: Sequence[str], folder: str | Path | None = None) -> list[Folded]:
    """Predict the structure of each sequence, chains parted by `/`; the PDB files stay in `folder`, if one is given.

    Raises ConfigError where no program is on the path, one fails, or it leaves a sequence out.
    """
    name = folding_program()
    with tempfile.TemporaryDirectory(prefix="seqdiff-") as temporary:
        here = Path(folder or temporary).resolve()
        here.mkdir(parents=True, exist_ok=True)
        fasta = here / "designs.fasta"
        fasta.write_text("".join(f">design-{i}\n{text.replace(BREAK, ':')}\n" for i, text in enumerate(sequences, 1)))
        words = [word.format(fasta=fasta, folder=here) for word in PROGRAMS[name]]
        done = subprocess.run([name, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(
                f"structure prediction: {name} failed with status {done.returncode}: {done.stderr.strip()[-300:]}"
            )
        return [_read(here, f"design-{i}", name) for i in range(1, len(sequences) + 1)]


def _read(folder: Path, name: str, program: str) -> Folded:
    from Bio.PDB.PDBParser import PDBParser

    found = sorted(path for path in folder.glob(f"{name}*.pdb") if BEST.fullmatch(path.name.removeprefix(name)))
    if not found:
        raise ConfigError(f"structure prediction: {program} wrote no structure of {name} into {folder}")
    model = next(iter(PDBParser(QUIET=True).get_structure("", found[0])))  # type: ignore[arg-type]
    values = [float(residue["CA"].bfactor) for chain in model for residue in chain if "CA" in residue]
    if not values:
        raise ConfigError(f"structure prediction: {found[0].name} of {program} holds no residue")
    scale = 100.0 if max(values) <= 1 else 1.0  # some write shares
    return Folded(found[0], tuple(scale * value for value in values))
