"""From drawn fragments to template texts, and from a design back to the fragments.

A template is the SMILES of a molecule in which what is to be designed is one atom, a *hole*: `A[901*]B` for a linker between A
and B, written by RDKit, which takes care of branches, ring labels and chirality; then the hole becomes a gap, `A{4-9}B`. A
hole with three or more arms, `A[901*](B)C`, becomes `A{…}({…}B){…}C`, because a core has room between its arms.

The way back is `assembly_check`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

from domains.smiles.assembly_check import HOLE, IS_HOLE, pieces, pieces_of_hollow
from domains.smiles.fragments import Fragment
from domains.smiles.tokens import is_ring_label, tokenize
from seqdiff.alphabet import Alphabet
from seqdiff.errors import TemplateError

BONDS = "=#$:~-/\\"
MOST_ROOTS = 64  # atoms from which a molecule is written
Edge = tuple[int, str, tuple[str, ...]]
SINGLE = "-/\\"  # bonds that a gap may begin or end with where the drawn bond is single

# A gap by itself: an aromatic atom is in a ring, so that none stands before the gap's first ring label, but for the one that
# bears it, nor after the last. A ring that goes on outside of the gap takes in drawn bonds, which must not become aromatic.
_OTHER = r"(?:[^][bcnops0-9%]|\[[0-9]*[A-Z][^]]*\])"  # a token that is neither an aromatic atom nor a ring label
_AROMATIC, _LABEL = r"(?:[bcnops]|\[[0-9]*[a-z][^]]*\])", r"(?:[0-9]|%[0-9]{2})"
IN_RINGS = f"{_OTHER}*({_AROMATIC}?[-=#$:~/\\\\]?{_LABEL}(.*{_LABEL})?{_OTHER}*)?"


@dataclass(frozen=True)
class Range:
    """low to high tokens of a gap, every length alike."""

    low: int
    high: int

    def __str__(self) -> str:
        return f"{{{self.low}-{self.high}}}" if self.low != self.high else f"{{{self.low}}}"


@dataclass(frozen=True)
class Writing:
    """One template of a task.

    Attributes:
        text: as `domains.smiles.template` reads it.
        edges: (gap counted from 1, "first" or "last", tokens barred there), so that drawn bonds stay the only ones.
        holes: number of the hole that each gap belongs to.
        hollow: the molecule with holes, for the way back.
        ring: whether the gaps must hold a ring.
    """

    text: str
    edges: tuple["Edge", ...]
    holes: tuple[int, ...]
    hollow: str
    ring: bool = False

    @classmethod
    def from_list(cls, fields: list) -> "Writing":
        """From its fields as JSON gives them back."""
        text, edges, holes, hollow, ring = fields
        return cls(text, tuple((g, end, tuple(barred)) for g, end, barred in edges), tuple(holes), hollow, ring)

    def constraint(self, alphabet: Alphabet, own_rings: bool = False) -> str:
        """What holds beside the pins, in the notation of constraints; "" if nothing need be said.

        Args:
            own_rings: whether it says that aromatic atoms of a single gap are in rings of the gap, which the syntax does not
                hold where the gap lies in a ring of the template.
        """
        parts = []
        for g, end, barred in self.edges:
            tokens = "[" + " ".join(json.dumps(token) for token in barred if token in alphabet.ids) + "]"
            parts.append(f"within(gap{g}, ban({tokens}, 0))" if end == "first" else f"~within(gap{g}, ends_with({tokens}))")
        if own_rings and len(self.holes) == 1:
            parts.append(f"within(gap1, regex({json.dumps(IN_RINGS)}))")
        if self.ring:  # no gap may use a label of the template's, so that others are the gaps' alone
            used = set(tokenize(self.hollow))
            free = [token for token in alphabet.tokens if is_ring_label(token) and token not in used]
            parts.append(f"count([{' '.join(map(json.dumps, free))}], 2..)")
        return " & ".join(parts)

    def kept(self, tokens: Sequence[str], gap: Sequence[int]) -> bool:
        """Whether the fragments stand in a design as drawn. gap: of each token the gap's number from 0, −1 where pinned."""
        owners = [-1 if g < 0 else self.holes[g] for g in gap]
        found = pieces(tokens, owners)
        return found is not None and found == self.expected()

    def expected(self, named: bool = True) -> list[str] | None:
        """The pieces that a design must fall into."""
        return pieces_of_hollow(self.hollow, named)


def joined(fragments: Sequence[Fragment], holes: Sequence[Iterable[int]]):
    """The molecule whose hole h is bonded where the points holes[h] were. Raises TemplateError for a point in no hole."""
    from rdkit import Chem

    molecule = Chem.RWMol(reduce(Chem.CombineMols, (Chem.MolFromSmiles(fragment.smiles) for fragment in fragments)))
    hole_of = {k: h for h, points in enumerate(holes) for k in points}
    places = {atom.GetIsotope(): atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0}
    if missing := places.keys() - hole_of.keys():
        raise TemplateError(f"fragments: attachment point {min(missing)} is not used by this task")
    stereo = _double_bonds(molecule)
    first: dict[int, int] = {}
    moved = {}
    for k, atom in sorted(places.items()):
        if hole_of[k] not in first:  # the first point of a hole becomes its atom
            first[hole_of[k]] = atom
            molecule.GetAtomWithIdx(atom).SetIsotope(HOLE + hole_of[k])
        else:
            moved[atom] = first[hole_of[k]]
            _move_bond(molecule, atom, moved[atom])
    for ends, kind, beside in stereo:
        bond = molecule.GetBondBetweenAtoms(*ends)
        bond.SetStereoAtoms(*(moved.get(atom, atom) for atom in beside))
        bond.SetStereo(kind)
    for atom in sorted(moved, reverse=True):
        molecule.RemoveAtom(atom)
    hollow = molecule.GetMol()
    hollow.UpdatePropertyCache(strict=False)
    for bond in hollow.GetBonds():
        bond.SetBondDir(Chem.BondDir.NONE)
    Chem.SetDoubleBondNeighborDirections(hollow)  # anew: directions were relative to bonds that are gone
    Chem.AssignStereochemistry(hollow, cleanIt=True, force=True)
    return hollow


def _double_bonds(molecule) -> list[tuple]:
    """(ends, cis or trans, the two atoms that this is said of) of each double bond with a geometry."""
    from rdkit.Chem import BondStereo

    names = {
        BondStereo.STEREOE: BondStereo.STEREOTRANS,
        BondStereo.STEREOZ: BondStereo.STEREOCIS,
        BondStereo.STEREOTRANS: BondStereo.STEREOTRANS,
        BondStereo.STEREOCIS: BondStereo.STEREOCIS,
    }
    return [
        ((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()), names[bond.GetStereo()], tuple(bond.GetStereoAtoms()))
        for bond in molecule.GetBonds()
        if bond.GetStereo() in names
    ]


def _move_bond(molecule, point: int, hole: int) -> None:
    """The neighbour of `point` is bonded to `hole` instead; its chirality is kept."""
    atom = molecule.GetAtomWithIdx(point).GetNeighbors()[0]
    if molecule.GetBondBetweenAtoms(atom.GetIdx(), hole) is not None:
        raise TemplateError("fragments: two points on one atom cannot be the ends of one linker; set them on two atoms")
    others = [bond.GetOtherAtomIdx(atom.GetIdx()) for bond in atom.GetBonds()]
    place, kind = others.index(point), molecule.GetBondBetweenAtoms(atom.GetIdx(), point).GetBondType()
    molecule.RemoveBond(atom.GetIdx(), point)
    molecule.AddBond(atom.GetIdx(), hole, kind)
    if (len(others) - 1 - place) % 2:  # chirality is relative to the order of bonds, at whose end the new one stands
        atom.InvertChirality()


def writings(
    hollow, ranges: Sequence[Range], most: int, further: Range, pool: Sequence[str], ring: bool = False
) -> list[Writing]:
    """Templates of a molecule with holes: written from its atoms, from its ends first; plain ones first.

    Args:
        ranges: lengths of the gap of hole h.
        further: lengths of the further gaps of a hole with three or more arms.
        pool: ring labels that the model knows, in the order in which fragments take them; gaps have the rest.
        ring: whether the gaps must hold a ring.
    """
    from rdkit import Chem

    atoms = sorted((atom for atom in hollow.GetAtoms() if not _is_hole(atom)), key=lambda atom: atom.GetDegree())
    texts = dict.fromkeys(Chem.MolToSmiles(hollow, rootedAtAtom=atom.GetIdx()) for atom in atoms[:MOST_ROOTS])
    ordered = sorted(texts, key=lambda text: (text.count("("), len({t for t in tokenize(text) if is_ring_label(t)}), text))
    found: list[Writing] = []
    trouble = None
    for text in ordered:
        try:
            found.append(_writing(text, ranges, further, pool, ring))
        except TemplateError as error:  # too many rings open at once, which need not be so in another text
            trouble = error
        if len(found) == most:
            break
    if trouble is not None and not found:
        raise trouble
    return found


def drawn(fragments: Sequence[Fragment], holes: Sequence[Iterable[int]]) -> list[str]:
    """What a design must fall into: the fragments, their points named by hole as `Writing.expected(named=False)` names them."""
    from rdkit import Chem

    hole_of = {k: h for h, points in enumerate(holes) for k in points}
    out = []
    for fragment in fragments:
        molecule = Chem.MolFromSmiles(fragment.smiles)
        for atom in molecule.GetAtoms():
            if atom.GetAtomicNum() == 0:
                atom.SetIsotope(hole_of[atom.GetIsotope()] + 1)
        out.append(Chem.MolToSmiles(molecule))
    return sorted(Chem.CanonSmiles(smiles) for smiles in out)


def _is_hole(atom) -> bool:
    return atom.GetAtomicNum() == 0 and atom.GetIsotope() >= HOLE


def _writing(hollow: str, ranges: Sequence[Range], further: Range, pool: Sequence[str], ring: bool) -> Writing:
    tokens = relabelled(tokenize(hollow), pool)
    out: list[str] = []
    holes: list[int] = []
    edges: list[Edge] = []

    def gap(h: int, size: Range, before: str | None, after: str | None) -> None:
        holes.append(h)
        edges.extend(_edges(len(holes), before, after, pool))
        out.append(str(size))

    inserted = _arms(tokens)
    for i, token in enumerate(tokens):
        if i in inserted and token != "(":
            gap(inserted[i], further, None, token)
        if IS_HOLE.fullmatch(token):
            h = int(token[1:4]) - HOLE
            many = h in inserted.values()
            before = tokens[i - 1] if i else None
            gap(h, ranges[h], before, None if many else (tokens[i + 1] if i + 1 < len(tokens) else None))
        else:
            out.append(token)
        if i in inserted and token == "(":
            gap(inserted[i], further, None, tokens[i + 1])
    return Writing("".join(out), tuple(edges), tuple(holes), "".join(tokens), ring)


def _arms(tokens: list[str]) -> dict[int, int]:
    """Places where a core's further gaps stand: after each "(" that follows a hole, and before what follows its last ")"."""
    places: dict[int, int] = {}
    for i, token in enumerate(tokens):
        if not IS_HOLE.fullmatch(token):
            continue
        at, arms = i + 1, 0
        while at < len(tokens) and tokens[at] == "(":
            arms, start, depth = arms + 1, at, 0
            while True:
                depth += {"(": 1, ")": -1}.get(tokens[at], 0)
                at += 1
                if depth == 0:
                    break
            places[start] = int(token[1:4]) - HOLE
        if arms:
            places[at] = int(token[1:4]) - HOLE
    return places


def _edges(g: int, before: str | None, after: str | None, pool: Sequence[str]) -> list[Edge]:
    """What a gap may begin and end with, so that the drawn bond is the only one and of the drawn order.

    before, after: the token beside the gap that belongs to a fragment; None at an end of the molecule or within a core.
    """
    edges = []
    if before is not None:
        barred = [bond for bond in BONDS if before in BONDS or bond not in SINGLE]
        edges.append((g, "first", (*barred, "(", *pool)))
    if after is not None and after != ")":
        barred = [bond for bond in BONDS if after in BONDS or bond not in SINGLE]
        edges.append((g, "last", tuple(barred)))
    return edges


def relabelled(tokens: list[str], pool: Sequence[str]) -> list[str]:
    """Ring labels renumbered: a ring takes the first label of the pool that is not open. Raises TemplateError."""
    open_rings: dict[str, str] = {}
    out = []
    for token in tokens:
        if not is_ring_label(token):
            out.append(token)
        elif token in open_rings:
            out.append(open_rings.pop(token))
        else:
            free = [label for label in pool if label not in open_rings.values()]
            if not free:
                raise TemplateError(
                    f"fragments: {''.join(tokens)} has more than {len(pool)} rings open at once, the model's labels"
                )
            open_rings[token] = free[0]
            out.append(free[0])
    return out
