"""What a chemist draws: fragments with attachment points, read from SMILES, a mol block or SDF, or concrete SMARTS.

    [*:1]c1ccccc1.[*:2]N1CCCC1     [1*]C(=O)N[2*]     *CC(=O)O | *c1ccncc1

An attachment point is an atom `*` on one single, double or triple bond. Its label is the atom map or, without one, the
isotope (R-group number of a mol block); 0 if it has none. Charges, isotopes and stereo are kept; explicit hydrogens become
implicit; ring labels of any size are read. The user's text meets RDKit in a child process (see `fragments_worker`).
"""

import re
from dataclasses import dataclass

from domains.smiles.fragments_worker import limited
from seqdiff.errors import TemplateError, marked

MAX_CHARACTERS, MAX_BLOCK, MAX_FRAGMENTS, MAX_POINTS = 1000, 100_000, 8, 12
_BRACKET = re.compile(r"\[([^\[\]]*)\]")
_CONCRETE = re.compile(r"(\d+)?(\*|[A-Z][a-z]?|[bcnops]|se|as)(@{1,2})?(H\d?)?([+-]+\d?|[+-]\d+)?(:\d+)?")
# Elements that SMILES writes without brackets
_BARE = frozenset(("B", "C", "N", "O", "P", "S", "F", "Cl", "Br", "I", "b", "c", "n", "o", "p", "s"))
_HINTS = (
    (re.compile(r"\[R\d*\]"), "write an attachment point as [*:1], not as [R1]"),
    (
        re.compile(r"\[#\d+[^\]]*\]"),
        "is aliphatic or aromatic, a pattern that more than one atom fits; write one, such as C or c",
    ),
    (re.compile(r"\{"), "a gap in braces belongs into a template; here draw attachment points, [*:1]"),
    (re.compile(r"[^!-~\s]"), "is no character of SMILES; write ASCII alone"),
    (re.compile(r"\s"), "a text holds no blanks; set fragments apart by . or |"),
)


@dataclass(frozen=True)
class Fragment:
    """A connected piece of a molecule.

    Attributes:
        smiles: RDKit's canonical SMILES; attachment point k is the atom `[k*]`, k counted over all fragments from 1.
        labels: what the user called each point, in the order of k; 0 for no name.
        first: k of its first point.
    """

    smiles: str
    labels: tuple[int, ...]
    first: int

    @property
    def points(self) -> range:
        return range(self.first, self.first + len(self.labels))


def read_fragments(text: str) -> tuple[Fragment, ...]:
    """Read what was drawn. Raises TemplateError that says what cannot be read and what to write instead."""
    check_size(text)
    found = limited("domains.smiles.fragments:read_here", text)
    return tuple(Fragment(smiles, tuple(labels), first) for smiles, labels, first in found)


def check_size(text: str) -> None:
    """Raises TemplateError for what is not worth handing to RDKit."""
    if not text.strip():
        raise TemplateError("fragments: expected a molecule with attachment points such as [*:1]c1ccccc1, got an empty text")
    most = MAX_BLOCK if _is_block(text) else MAX_CHARACTERS
    if len(text) > most:
        raise TemplateError(f"fragments: expected at most {most:,} characters, got {len(text):,}")


def read_here(text: str) -> list[tuple[str, list[int], int]]:
    """`read_fragments` in this process: (smiles, labels, first) of each fragment."""
    from rdkit import Chem

    molecules = _of_blocks(text) if _is_block(text) else [_of_line(part) for part in text.strip().split("|")]
    pieces = [piece for molecule in molecules for piece in Chem.GetMolFrags(molecule, asMols=True, sanitizeFrags=False)]
    if len(pieces) > MAX_FRAGMENTS:
        raise TemplateError(f"fragments: expected at most {MAX_FRAGMENTS}, got {len(pieces)}")
    out, first = [], 1
    for piece in pieces:
        smiles, labels = _named(piece, first)
        out.append((smiles, labels, first))
        first += len(labels)
    if first - 1 > MAX_POINTS:
        raise TemplateError(f"fragments: expected at most {MAX_POINTS} attachment points, got {first - 1}")
    without = [smiles for smiles, labels, _ in out if not labels]
    if len(out) > 1 and len(without) == len(out):
        raise TemplateError(
            f"fragments: expected one molecule, or attachment points as in [*:1]C, got {len(out)} molecules without any; "
            "leave counter-ions and solvents out"
        )
    if without and len(out) > 1:
        raise TemplateError(
            f"fragments: {without[0]} has no attachment point; mark where it is to be bonded, as in [*:1]C, "
            "and leave counter-ions and solvents out"
        )
    return out


def _is_block(text: str) -> bool:
    return "V2000" in text or "V3000" in text or "M  END" in text


def _of_blocks(text: str) -> list:
    """The molecules of a mol block or of an SDF."""
    from rdkit import Chem

    molecules = []
    for number, record in enumerate((r for r in text.replace("\r\n", "\n").split("$$$$") if r.strip()), 1):
        molecule = Chem.MolFromMolBlock(record.removeprefix("\n") if number > 1 else record, sanitize=False, removeHs=False)
        if molecule is None:
            raise TemplateError(f"fragments: record {number} is not a mol block that RDKit can read; export it as V2000 again")
        queries = [atom.GetIdx() + 1 for atom in molecule.GetAtoms() if atom.HasQuery() and re.search("[,!]", atom.GetSmarts())]
        if queries:
            raise TemplateError(
                f"fragments: atom {queries[0]} of record {number} is a list or a class of elements; draw one of them"
            )
        molecules.append(molecule)
    return molecules


def _of_line(text: str):
    """The molecule of a SMILES, or of SMARTS that names one molecule."""
    from rdkit import Chem

    text = text.strip()
    if not text:
        raise TemplateError("fragments: there is nothing before or after a |; write a fragment there or leave the | out")
    for pattern, advice in _HINTS:
        if found := pattern.search(text):
            raise marked(text, found.start(), found.end(), advice, "fragments")
    molecule = Chem.MolFromSmiles(text, sanitize=False)
    if molecule is None:
        if Chem.MolFromSmarts(text) is None:
            from domains.smiles.properties import describe

            raise TemplateError(f"fragments: {text} does not read as SMILES: {describe(text).reason}")
        molecule = Chem.MolFromSmiles(_concrete(text), sanitize=False)
    if molecule is None or any(bond.HasQuery() for bond in molecule.GetBonds()):
        raise TemplateError(f"fragments: {text} is a pattern, not one molecule; draw atoms and bonds one by one")
    return molecule


def _concrete(smarts: str) -> str:
    """SMARTS as SMILES where it names one molecule: `[C;H2]` is `[CH2]`, `[N&+]` is `[N+]`; all else is refused.

    A pattern that says nothing of hydrogens has any number of them: `[N;+0]` is `N`, where `[N]` of SMILES has none.
    """

    def rewrite(found: re.Match) -> str:
        first, *others = (part for part in re.split("[;&]", found[1]) if part not in ("+0", "-0"))
        if not others and first in _BARE:
            return first
        inside = first + "".join(sorted(others, key=lambda part: not part.startswith("H")))  # hydrogens before the charge
        if _CONCRETE.fullmatch(inside) is None:
            advice = f"[{found[1]}] is a pattern, which more than one atom fits; write one atom, such as C, c or [nH]"
            raise marked(smarts, found.start(), found.end(), advice, "fragments")
        return f"[{inside}]"

    if found := re.search(r"[~!,]|-;|@(?![^\[]*\])", _BRACKET.sub(lambda m: "[" + "x" * len(m[1]) + "]", smarts)):
        raise marked(smarts, found.start(), found.end(), "is a pattern of bonds; write one bond: - = # or none", "fragments")
    return _BRACKET.sub(rewrite, smarts)


def _named(piece, first: int) -> tuple[str, list[int]]:
    """Canonical SMILES with points [first*], [first+1*], …, and the user's labels. Raises TemplateError."""
    from rdkit import Chem

    drawn = Chem.MolToSmiles(piece)
    points = [atom for atom in piece.GetAtoms() if atom.GetAtomicNum() == 0]
    if len(points) == piece.GetNumAtoms():
        raise TemplateError(f"fragments: {drawn} is attachment points alone; draw the atom that is bonded to them")
    labels = []
    for k, atom in enumerate(points):
        _check_point(atom, drawn)
        labels.append(atom.GetAtomMapNum() or atom.GetIsotope())
        atom.SetAtomMapNum(0)
        atom.SetIsotope(first + k)
    for atom in piece.GetAtoms():
        atom.SetAtomMapNum(0)
    piece = Chem.MolFromSmiles(_sanitised(piece, drawn))
    order = [a.GetIsotope() for a in piece.GetAtoms() if a.GetAtomicNum() == 0]
    if len(order) != len(labels):
        raise TemplateError(f"fragments: {drawn} changes when it is written; draw it without explicit hydrogens")
    return Chem.MolToSmiles(piece), labels


def _sanitised(piece, drawn: str) -> str:
    from rdkit import Chem

    try:
        Chem.SanitizeMol(piece)
    except Chem.MolSanitizeException as error:
        raise TemplateError(f"fragments: {drawn} is no molecule: {str(error).strip()}; mend it, or draw a charge") from None
    Chem.AssignStereochemistry(piece, cleanIt=True, force=True)
    return Chem.MolToSmiles(Chem.RemoveHs(piece))


def _check_point(atom, drawn: str) -> None:
    from rdkit.Chem import BondType

    if atom.GetDegree() != 1:
        advice = "give each bond an attachment point of its own" if atom.GetDegree() else "bond it to an atom"
        raise TemplateError(f"fragments: an attachment point of {drawn} has {atom.GetDegree()} bonds, expected one; {advice}")
    (bond,) = atom.GetBonds()
    if bond.GetBondType() not in (BondType.SINGLE, BondType.DOUBLE, BondType.TRIPLE):
        raise TemplateError(
            f"fragments: an attachment point of {drawn} hangs on an aromatic or unknown bond; use a single bond"
        )
    if atom.GetFormalCharge() or atom.GetNumExplicitHs():
        raise TemplateError(f"fragments: an attachment point of {drawn} has a charge or hydrogens; write it as [*:1]")
    (other,) = atom.GetNeighbors()
    if other.GetAtomicNum() <= 1:
        raise TemplateError(
            f"fragments: an attachment point of {drawn} is on a hydrogen or on another point; bond it to a heavy atom"
        )
