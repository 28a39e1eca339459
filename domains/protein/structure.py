"""Residues of PDB, mmCIF and FASTA files under three numberings, side by side.

- *author*: chain letter and residue number as the depositors wrote them, with insertion codes (H 100A); what papers use;
- *label*: mmCIF's own chain (`label_asym_id`) and place in the full sequence, from 1 (`label_seq_id`); only mmCIF has it;
- *index*: the author's chain and the place among the residues that the file shows, from 0.

Of several models the first is read; of alternative locations of a residue the one with the highest occupancy, the first of
equals; a modified residue is read as its parent (MSE as M) where Biopython knows one, otherwise it is X. A free amino acid
that was bound as a ligand is no residue of a chain. A chain without a name, as models often have, is called A.
"""

import gzip
import io
import lzma
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from domains.protein.data import UNKNOWN, clean, read_fasta
from seqdiff.errors import ConfigError

NUMBERINGS = ("author", "label", "index")
PEPTIDE_BOND = 2.0  # Å between C and the next N, generously
CHAINS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Residue:
    """One residue of a chain.

    Attributes:
        author: (chain, number with insertion code), such as ("H", "100A").
        label: the same in mmCIF's numbering, None where the file has none.
        index: place among the chain's residues in the file, from 0.
        letter: one of the twenty amino acids, or X.
        component: the residue's name in the file (MSE), for messages.
        joined: whether the chain goes on without a break from the residue before.
        also: further numberings by name (`domains.protein.numbering`), None where the residue has none in it.
    """

    author: tuple[str, str]
    label: tuple[str, str] | None
    index: int
    letter: str
    component: str
    joined: bool
    also: tuple[tuple[str, tuple[str, str] | None], ...] = ()

    def number(self, numbering: str) -> tuple[str, str] | None:
        """(chain, number) in a numbering, None if the residue has none in it."""
        own = {"author": self.author, "label": self.label, "index": (self.author[0], str(self.index))}
        return {**own, **dict(self.also)}[numbering]


@dataclass(frozen=True)
class Atom:
    """One atom record, as both formats tell it."""

    chain: str
    number: int
    code: str
    component: str
    name: str
    location: str
    occupancy: float
    place: tuple[float, float, float]
    label: tuple[str, str] | None


def read_structure(path: str | Path) -> list[Residue]:
    """Residues of .pdb, .ent, .cif, .mmcif or FASTA (.fasta, .fa, .faa), plain, .gz or .xz, in the order of the file.

    The records of a FASTA file are the chains A, B, C, … in order, numbered from 1. Raises ConfigError that says what is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"structure: expected a file at {path}, found none")
    kind = ([s for s in path.suffixes if s not in (".gz", ".xz")][-1:] or [""])[0].lower()
    if kind in (".fasta", ".fa", ".faa"):
        return _from_fasta(path)
    if kind not in (".pdb", ".ent", ".cif", ".mmcif"):
        raise ConfigError(f"structure: expected .pdb, .ent, .cif, .mmcif or .fasta (plain, .gz or .xz), got {path.name}")
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opened(path, "rt", encoding="utf-8", errors="replace") as file:  # names in remarks may be of any encoding
            text = io.StringIO(file.read())
        atoms = _pdb_atoms(text) if kind in (".pdb", ".ent") else _cif_atoms(text)
    except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, IndexError) as error:
        raise ConfigError(f"structure: {path.name} cannot be read as what its name says; is it damaged? ({error})") from None
    residues = _residues(atoms)
    if not residues:
        raise ConfigError(f"structure: {path.name} holds no amino acid")
    return residues


def _from_fasta(path: Path) -> list[Residue]:
    residues: list[Residue] = []
    for k, record in enumerate(read_fasta(path)):
        text = clean(record.sequence)
        if text is None or k >= len(CHAINS):
            what = f"no protein: {record.sequence[:30]!r}" if text is None else f"more than {len(CHAINS)} records"
            raise ConfigError(f"structure: record {record.name!r} of {path.name} is {what}")
        residues += [Residue((CHAINS[k], str(i + 1)), None, i, letter, letter, i > 0) for i, letter in enumerate(text)]
    return residues


def _pdb_atoms(text) -> list[Atom]:
    from Bio.Data.PDBData import protein_letters_3to1 as standard
    from Bio.PDB.PDBParser import PDBParser
    from Bio.PDB.Residue import DisorderedResidue

    models = list(PDBParser(QUIET=True).get_structure("", text) or ())
    atoms = []
    for chain in models[0] if models else ():
        for residue in chain:
            hetero, number, code = residue.id
            if hetero.startswith("H_") and residue.resname.strip() in standard:
                continue  # a ligand: in a chain the twenty are ATOM records
            versions = residue.disordered_get_list() if isinstance(residue, DisorderedResidue) else [residue]
            for version in versions:
                for atom in version.get_unpacked_list():
                    x, y, z = map(float, atom.coord)
                    occupancy = 1.0 if atom.occupancy is None else float(atom.occupancy)
                    location = atom.altloc.strip()
                    chain_name, name = chain.id.strip() or "A", version.resname.strip()
                    atoms.append(Atom(chain_name, number, code.strip(), name, atom.id, location, occupancy, (x, y, z), None))
    return atoms


def _cif_atoms(text) -> list[Atom]:
    from Bio.Data.PDBData import protein_letters_3to1 as standard
    from Bio.PDB.MMCIF2Dict import MMCIF2Dict

    table = MMCIF2Dict(text)

    def column(name: str, other: str | None = None) -> list[str]:
        found = table.get(f"_atom_site.{name}")
        if found is None and other is not None:
            return column(other)
        if found is None:
            raise ValueError(f"no _atom_site.{name}")
        return found

    rows = zip(
        table.get("_atom_site.group_PDB") or ["ATOM"] * len(column("id")),
        column("auth_asym_id", "label_asym_id"),
        column("auth_seq_id", "label_seq_id"),
        table.get("_atom_site.pdbx_PDB_ins_code") or ["?"] * len(column("id")),
        column("auth_comp_id", "label_comp_id"),
        column("auth_atom_id", "label_atom_id"),
        column("label_alt_id"),
        column("occupancy"),
        column("Cartn_x"),
        column("Cartn_y"),
        column("Cartn_z"),
        column("label_asym_id"),
        column("label_seq_id"),
        table.get("_atom_site.pdbx_PDB_model_num") or ["1"] * len(column("id")),
        strict=True,
    )
    atoms, first = [], None
    for record, chain, number, code, component, name, location, occupancy, x, y, z, asym, seq, model in rows:
        first = model if first is None else first
        if model != first:
            continue
        if record == "HETATM" and seq in ".?" and component in standard:
            continue  # a ligand: the residues of a chain have a place in its sequence
        label = None if seq in ".?" else (asym, seq)
        code, location = code.strip("?."), location.strip("?.")
        atoms.append(
            Atom(chain, int(number), code, component, name, location, float(occupancy), (float(x), float(y), float(z)), label)
        )
    return atoms


def _residues(atoms: Iterable[Atom]) -> list[Residue]:
    """Atoms gathered into residues: what has an α carbon or is a known amino acid."""
    from Bio.Data.PDBData import protein_letters_3to1_extended

    groups: dict[tuple[str, int, str], list[Atom]] = {}
    for atom in atoms:
        groups.setdefault((atom.chain, atom.number, atom.code), []).append(atom)
    residues: list[Residue] = []
    last: dict[str, tuple[Residue, tuple[str, int, str]]] = {}
    for key, group in groups.items():
        kept = _likeliest(group)
        letter = protein_letters_3to1_extended.get(kept[0].component.upper(), UNKNOWN)
        letter = UNKNOWN if letter in "BJOUZ" else letter
        if letter == UNKNOWN and not {"CA", "N", "C"} <= {atom.name for atom in kept}:
            continue  # water, ion, ligand
        before = last.get(key[0])
        joined = before is not None and _joined(groups[before[1]], group)
        index = before[0].index + 1 if before else 0
        author = (key[0], f"{key[1]}{key[2]}")
        residue = Residue(author, kept[0].label, index, letter, kept[0].component, joined)
        residues.append(residue)
        last[key[0]] = (residue, key)
    return residues


def _likeliest(group: list[Atom]) -> list[Atom]:
    """The atoms of the component with the highest occupancy; the first of equals."""
    best = max(group, key=lambda atom: atom.occupancy)  # max keeps the first of equals
    return [atom for atom in group if atom.component == best.component]


def _joined(before: list[Atom], after: list[Atom]) -> bool:
    """Whether a peptide bond leads from one residue to the next; by their numbers where the atoms are not there."""
    carbon = [atom.place for atom in before if atom.name == "C"]
    nitrogen = [atom.place for atom in after if atom.name == "N"]
    if carbon and nitrogen:
        return any(sum((p - q) ** 2 for p, q in zip(c, n, strict=True)) <= PEPTIDE_BOND**2 for c in carbon for n in nitrogen)
    return after[0].number - before[0].number <= 1


def place_of(residues: list[Residue], chain: str, number: str, numbering: str = "author") -> int:
    """Where a residue is in the list. Raises ConfigError that names the chains, or the numbers of the chain, that there are."""
    known = (*NUMBERINGS, *(name for name, _ in residues[0].also)) if residues else NUMBERINGS
    if numbering not in known:
        raise ConfigError(f"numbering: expected one of {', '.join(known)}, got {numbering!r}")
    numbers = [residue.number(numbering) for residue in residues]
    if numbering == "label" and not any(numbers):
        raise ConfigError("numbering: only mmCIF files have label numbers; use author or index")
    wanted = (chain, number)
    if wanted in numbers:
        return numbers.index(wanted)
    chains = list(dict.fromkeys(n[0] for n in numbers if n))
    if chain not in chains:
        raise ConfigError(f"structure: there is no chain {chain!r} in {numbering} numbering; there are {', '.join(chains)}")
    there = [n[1] for n in numbers if n and n[0] == chain]
    near = [n for n in there if n.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == number.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")]
    advice = f"; did you mean {', '.join(near)}?" if near else ""
    raise ConfigError(
        f"structure: chain {chain} has no residue {number} in {numbering} numbering; it goes from {there[0]} to {there[-1]}, "
        f"{len(there)} residues in the file{advice}"
    )
