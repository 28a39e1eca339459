"""Where the α carbons of a chain are, for a view of it."""

from dataclasses import dataclass
from pathlib import Path

STEP = 4.2  # Å: farther apart two neighbours' α carbons are not joined by a peptide bond


@dataclass(frozen=True)
class Carbon:
    """An α carbon: the residue's number as the file writes it, with its insertion code, and its place in ångströms."""

    number: str
    place: tuple[float, float, float]


def carbons(path: Path, chain: str) -> list[Carbon]:
    """Those of a chain of the first model of a .pdb, .ent, .cif or .mmcif file; none of a FASTA file, which has no places."""
    from Bio.PDB.MMCIFParser import MMCIFParser
    from Bio.PDB.PDBParser import PDBParser

    if path.suffix not in (".pdb", ".ent", ".cif", ".mmcif"):
        return []
    parser = PDBParser(QUIET=True) if path.suffix in (".pdb", ".ent") else MMCIFParser(QUIET=True)
    found = []
    for part in next(iter(parser.get_structure("", str(path)) or ()), ()):
        for residue in part if (part.id.strip() or "A") == chain else ():
            if "CA" in residue and residue["CA"].element != "CA":  # calcium has the same name
                x, y, z = map(float, residue["CA"].coord)
                found.append(Carbon(f"{residue.id[1]}{residue.id[2].strip()}", (x, y, z)))
    return found


def joined(chain: list[Carbon]) -> list[bool]:
    """Whether the chain goes on to each α carbon from the one before."""
    near = [
        sum((a - b) ** 2 for a, b in zip(one.place, other.place, strict=True)) <= STEP**2
        for one, other in zip(chain, chain[1:], strict=False)
    ]
    return [False, *near] if chain else []
