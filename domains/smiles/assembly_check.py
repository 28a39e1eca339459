"""From a design back to the fragments: cut where a pinned atom is bonded to a gap's, and compare what comes out.

The pieces, their atoms numbered in the order of writing, must be those of the template, whose pieces are the fragments that
were drawn: every atom, bond, charge, hydrogen and stereocentre, no bond too many, and each piece on atoms of its own.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from domains.smiles.pins import is_atom
from domains.smiles.tokens import tokenize

HOLE = 900  # isotope of the first hole's atom
IS_HOLE = re.compile(r"\[9\d\d\*\]")


@lru_cache(maxsize=256)
def pieces_of_hollow(hollow: str, named: bool) -> list[str] | None:
    """The pieces of a molecule with holes."""
    tokens = tokenize(hollow)
    holes = [int(t[1:4]) - HOLE if IS_HOLE.fullmatch(t) else -1 for t in tokens]
    # A dummy atom may be found aromatic; uranium is not, and takes bonds of any order.
    return pieces(["[U]" if h >= 0 else t for t, h in zip(tokens, holes, strict=True)], holes, named)


def pieces(tokens: Sequence[str], gap: Sequence[int], named: bool = True) -> list[str] | None:
    """The pieces of a molecule when the bonds between pinned atoms and others are cut; None if RDKit cannot read it.

    Args:
        gap: of each token, the hole it belongs to, −1 where it is pinned.
        named: whether pinned atoms carry their number in the order of writing.
    """
    from rdkit import Chem, rdBase

    owner = [g for token, g in zip(tokens, gap, strict=True) if is_atom(token)]
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles("".join(tokens), sanitize=False)
        if molecule is None or molecule.GetNumAtoms() != len(owner):
            return None
        try:
            return _pieces(molecule, owner, named)
        except (Chem.MolSanitizeException, ValueError):
            return None


def _pieces(molecule, owner: list[int], named: bool) -> list[str]:
    from rdkit import Chem

    aromatic = Chem.Mol(molecule)
    Chem.SanitizeMol(aromatic)
    Chem.SanitizeMol(molecule, Chem.SANITIZE_ALL ^ Chem.SANITIZE_SETAROMATICITY)  # type: ignore[operator]
    Chem.AssignStereochemistry(molecule, cleanIt=False, force=True)
    cuts, labels = [], []
    for bond in molecule.GetBonds():
        a, b = owner[bond.GetBeginAtomIdx()], owner[bond.GetEndAtomIdx()]
        if (a < 0) == (b < 0):
            continue
        if aromatic.GetBondWithIdx(bond.GetIdx()).GetIsAromatic():
            raise ValueError("a drawn bond became aromatic")
        cuts.append(bond.GetIdx())
        labels.append((max(a, b) + 1, max(a, b) + 1))
    number = 0
    for atom, g in zip(molecule.GetAtoms(), owner, strict=True):
        if g < 0:
            number += 1
            if named:
                atom.SetAtomMapNum(number)
    cut = Chem.FragmentOnBonds(molecule, cuts, dummyLabels=labels) if cuts else molecule
    out = []
    parts = Chem.GetMolFrags(cut, asMols=True, sanitizeFrags=False)
    for piece, atoms in zip(parts, Chem.GetMolFrags(cut), strict=True):
        if any(i < len(owner) and owner[i] < 0 for i in atoms):
            Chem.SanitizeMol(piece)
            out.append(Chem.MolToSmiles(piece))
    return sorted(out)


def bridged_ring(tokens: Sequence[str], gap: Sequence[int]) -> int:
    """Atoms of the smallest ring through both bonds between the pinned fragment and what bridges it.

    gap: of each token the gap it belongs to, −1 where it is pinned. The molecule is one that keeps its fragment.
    """
    molecule, owner = _with_owners(tokens, gap)
    ends = [
        (a, b)
        for a, b in ((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds())
        if (owner[a] < 0) != (owner[b] < 0)
    ]
    anchors = [a if owner[a] < 0 else b for a, b in ends]
    inside = [b if owner[a] < 0 else a for a, b in ends]
    return _path(molecule, owner, anchors, pinned=True) + _path(molecule, owner, inside, pinned=False)


def rings_of_gaps(tokens: Sequence[str], gap: Sequence[int]) -> int:
    """How many rings have no pinned atom."""
    from rdkit import Chem

    molecule, owner = _with_owners(tokens, gap)
    return sum(all(owner[i] >= 0 for i in ring) for ring in Chem.GetSymmSSSR(molecule))


def _with_owners(tokens: Sequence[str], gap: Sequence[int]):
    """The molecule as written, and of each atom the gap it belongs to."""
    from rdkit import Chem

    molecule = Chem.MolFromSmiles("".join(tokens), sanitize=False)
    return molecule, [g for token, g in zip(tokens, gap, strict=True) if is_atom(token)]


def _path(molecule, owner: list[int], ends: list[int], pinned: bool) -> int:
    """Atoms of the shortest path between two atoms, both counted, that stays among the pinned atoms or among the others."""
    import networkx as nx

    bonds = ((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds())
    graph = nx.Graph([(a, b) for a, b in bonds if (owner[a] < 0) == (owner[b] < 0) == pinned])
    return 1 if ends[0] == ends[1] else len(nx.shortest_path(graph, ends[0], ends[1]))
