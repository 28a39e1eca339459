"""What a generated SMILES is: valid or why not, its canonical form, and its drug-likeness figures, all by RDKit.

Sources of the figures: QED, Bickerton et al. 2012 (0 to 1, higher is more drug-like); SA, Ertl and Schuffenhauer 2009
(1 easy to 10 hard to make); logP, Wildman and Crippen 1999; TPSA, Ertl et al. 2000 (Å²). Donors, acceptors and rotatable bonds
are counted by RDKit's own SMARTS definitions (rotatable bonds "strict": no amide bonds).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, lru_cache

from domains.smiles.tokens import TOKEN, is_ring_label

METRICS = ("qed", "sa", "logp", "tpsa", "weight", "rings", "heavy_atoms")
COUNTS = (
    "donors",
    "acceptors",
    "rotatable_bonds",
    "aromatic_rings",
    "fraction_sp3",
    "charge",
    "stereocentres",
    "largest_ring",
    "heteroatoms",
    "spiro_atoms",
    "bridgeheads",
)  # further figures, worked out where they are asked for; METRICS are those that every design is described by
FAULTS = ("syntax", "ring", "valence", "kekulisation", "other")
MAX_CHARACTERS = 1000  # canonicalisation is quadratic in the atoms: 10,000 carbons take a second, 100,000 half a minute

BONDS = frozenset("-=#$:/\\~")


@dataclass(frozen=True)
class Molecule:
    """A SMILES as RDKit sees it.

    Attributes:
        valid: RDKit parses and sanitises it, and it has an atom.
        reason: why not, one sentence that names the place; '' when valid. Characters count from 1, atoms from 0.
        canonical: RDKit's canonical SMILES, None when invalid. Compare only within one version of RDKit.
        metrics: METRICS by name; empty when invalid. weight in g/mol, tpsa in Å², rings and heavy_atoms are counts.
        fault: the kind of reason, one of FAULTS; '' when valid.
    """

    valid: bool
    reason: str
    canonical: str | None
    metrics: dict[str, float] = field(default_factory=dict)
    fault: str = ""


def describe(smiles: str) -> Molecule:
    """Validity, canonical form and METRICS of one SMILES; never raises for a bad one, and prints nothing."""
    from rdkit import Chem, rdBase

    if fault := _unfit(smiles):
        return _invalid("syntax", fault)
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None:
            return _invalid(*_diagnose(smiles))
        figures = _figures()
        return Molecule(True, "", Chem.MolToSmiles(molecule), {name: figures[name](molecule) for name in METRICS})


@lru_cache(maxsize=4096)
def parse(smiles: str):
    """RDKit's molecule of a SMILES that `describe` calls valid, otherwise None; prints nothing. It is not to be changed."""
    from rdkit import Chem, rdBase

    if _unfit(smiles):
        return None
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


@lru_cache(maxsize=100_000)
def figure(smiles: str, name: str) -> float | None:
    """One of METRICS or COUNTS, None for what is no molecule."""
    molecule = parse(smiles)
    return None if molecule is None else float(_figures()[name](molecule))


def describe_many(smiles: list[str]) -> list[Molecule]:
    """`describe` of each, in order; a SMILES that comes again is computed once."""
    known = {one: describe(one) for one in dict.fromkeys(smiles)}
    return [known[one] for one in smiles]


def _invalid(fault: str, reason: str) -> Molecule:
    return Molecule(False, reason, None, {}, fault)


@cache
def _figures() -> dict[str, Callable]:
    """METRICS and COUNTS of a molecule."""
    from rdkit.Chem import QED, Descriptors, GetFormalCharge
    from rdkit.Chem import rdMolDescriptors as of
    from rdkit.Contrib.SA_Score import sascorer  # type: ignore[import-not-found]

    return {
        "qed": QED.qed,
        "sa": sascorer.calculateScore,
        "logp": lambda molecule: of.CalcCrippenDescriptors(molecule)[0],
        "tpsa": of.CalcTPSA,
        "weight": Descriptors.MolWt,  # type: ignore[attr-defined]
        "rings": of.CalcNumRings,
        "heavy_atoms": lambda molecule: molecule.GetNumHeavyAtoms(),
        "donors": of.CalcNumHBD,
        "acceptors": of.CalcNumHBA,
        "rotatable_bonds": of.CalcNumRotatableBonds,
        "aromatic_rings": of.CalcNumAromaticRings,
        "fraction_sp3": of.CalcFractionCSP3,
        "charge": GetFormalCharge,
        "stereocentres": of.CalcNumAtomStereoCenters,
        "largest_ring": lambda molecule: max(map(len, molecule.GetRingInfo().AtomRings()), default=0),
        "heteroatoms": of.CalcNumHeteroatoms,
        "spiro_atoms": of.CalcNumSpiroAtoms,
        "bridgeheads": of.CalcNumBridgeheadAtoms,
    }


def _unfit(smiles: str) -> str:
    """Why a text is not worth handing to RDKit, which would read 'CC and more' as CC; '' if it is."""
    if not smiles:
        return "the SMILES is empty"
    if len(smiles) > MAX_CHARACTERS:
        return f"the SMILES has {len(smiles):,} characters, more than the {MAX_CHARACTERS:,} that are looked at"
    for place, character in enumerate(smiles, 1):
        if not "!" <= character <= "~":
            return f"character {place}, {character!r}, cannot stand in a SMILES"
    return ""


def _diagnose(smiles: str) -> tuple[str, str]:
    """(fault, reason) of a SMILES that RDKit refuses."""
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles, sanitize=False)
    if molecule is None:
        return _syntax(smiles)
    problems = Chem.DetectChemistryProblems(molecule)
    if not problems:  # a valence that is exceeded only when the aromatic bonds are made single and double
        try:
            Chem.SanitizeMol(molecule)
        except Chem.MolSanitizeException as error:
            problems = [error.cause]  # type: ignore[attr-defined]
        else:
            return "other", "RDKit cannot sanitise the molecule and does not say why"
    # A valence comes first: it is a local mistake, and kekulisation often fails in its wake.
    problem = min(problems, key=lambda p: p.GetType() != "AtomValenceException")
    kind, message = problem.GetType(), problem.Message().strip()
    names = _atom_names(smiles)
    if kind == "AtomValenceException":
        valence = re.search(r", (\d+), is greater", message)
        bonds = f"a valence of {valence.group(1)}" if valence else "a valence"
        return "valence", f"{names(problem.GetAtomIdx())} has {bonds}, more than it can have"
    if kind == "AtomKekulizeException":
        return "kekulisation", f"{names(problem.GetAtomIdx())} is written as aromatic but is in no ring"
    if kind == "KekulizeException":
        atoms = list(problem.GetAtomIndices())
        return "kekulisation", (
            f"{names(atoms[0])} and the aromatic atoms around it ({', '.join(map(str, atoms))}) admit no alternating "
            "double bonds; a hydrogen as in [nH] may be missing"
        )
    return "other", message


def _atom_names(smiles: str):
    """Atom index → 'the C at character 4 (atom 2)'. RDKit numbers atoms in the order of writing."""
    atoms = [(start, token) for start, token in _tokens(smiles) if _kind(token) == "atom"]

    def name(index: int) -> str:
        if index >= len(atoms):  # a notation that our tokens do not cut as RDKit does
            return f"atom {index}"
        start, token = atoms[index]
        return f"the {token} at character {start + 1} (atom {index})"

    return name


def _tokens(smiles: str) -> Iterator[tuple[int, str]]:
    """(start, token) as far as there are tokens."""
    start = 0
    while match := TOKEN.match(smiles, start):
        yield start, match.group()
        start = match.end()


def _kind(token: str) -> str:
    if token in BONDS:
        return "bond"
    if token in ("(", ")", "."):
        return token
    return "ring" if is_ring_label(token) else "atom"


# What may stand after what, in the grammar that RDKit reads; '' is the start, a first bond the one that opens a branch.
MAY_FOLLOW = {
    "": {"atom"},
    ".": {"atom"},
    "bond": {"atom", "ring"},
    "(": {"atom", "bond"},
    "first bond": {"atom"},
    "atom": {"atom", "bond", "ring", "(", ")", "."},
    "ring": {"atom", "bond", "ring", "(", ")", "."},
    ")": {"atom", "bond", "ring", "(", ")", "."},
}


def _syntax(smiles: str) -> tuple[str, str]:
    """(fault, reason) of a SMILES that RDKit cannot parse: the first thing wrong, a function of the text alone.

    RDKit's own message goes to a log of the whole process, where those of other threads mix in; so we look ourselves.
    """
    open_branches: list[int] = []
    open_rings: dict[int, int] = {}  # label → place where it was opened
    previous, end = "", 0
    for start, token in _tokens(smiles):
        kind, here = _kind(token), f"the {token} at character {start + 1}"
        if kind not in MAY_FOLLOW[previous]:
            after = f"the {smiles[start - 1]} before it" if start else "the start"
            return "syntax", f"{here} cannot follow {after}"
        if kind == "(":
            open_branches.append(start)
        elif kind == ")":
            if not open_branches:
                return "syntax", f"{here} closes no branch"
            open_branches.pop()
        elif kind == "ring":
            label = int(re.sub(r"\D", "", token))
            if open_rings.pop(label, None) is None:
                open_rings[label] = start
        previous = "first bond" if (previous, kind) == ("(", "bond") else kind
        end = start + len(token)
    if end < len(smiles):
        return "syntax", f"no atom, bond or ring label starts at character {end + 1}, {smiles[end]!r}"
    if previous in ("bond", "first bond", ".", "("):
        return "syntax", f"nothing follows the {smiles[-1]} at the end"
    if open_branches:
        return "syntax", f"the branch opened at character {open_branches[0] + 1} is never closed"
    if open_rings:
        label, start = next(iter(open_rings.items()))
        return "ring", f"ring {label}, opened at character {start + 1}, is never closed"
    return _ring_bond(smiles)


def _ring_bond(smiles: str) -> tuple[str, str]:
    """(fault, reason) where every token is in its place: a ring that closes on itself or on a bonded neighbour."""
    atom, branches, bonded = -1, [], set()
    atoms, rings, detached = -1, {}, True
    for start, token in _tokens(smiles):
        kind = _kind(token)
        if kind == "(":
            branches.append(atom)
        elif kind == ")":
            atom = branches.pop()
        elif kind == ".":
            detached = True
        elif kind == "atom":
            atoms += 1
            if not detached:
                bonded.add(frozenset((atom, atoms)))
            atom, detached = atoms, False
        elif kind == "ring":
            label = int(re.sub(r"\D", "", token))
            if label not in rings:
                rings[label] = atom
                continue
            ends = frozenset((rings.pop(label), atom))
            if len(ends) == 1 or ends in bonded:
                what = "the atom that opened it" if len(ends) == 1 else "an atom that is bonded already"
                return "ring", f"ring {label}, closed at character {start + 1}, binds {what}"
            bonded.add(ends)
    bad = next(((s, t) for s, t in _tokens(smiles) if t[0] == "[" and not _reads(t)), None)
    if bad is not None:
        return "syntax", f"{bad[1]} at character {bad[0] + 1} is not an atom"
    return "syntax", "RDKit cannot parse the SMILES and we cannot tell where"


def _reads(atom: str) -> bool:
    from rdkit import Chem

    return Chem.MolFromSmiles(atom, sanitize=False) is not None
