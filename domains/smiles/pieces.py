"""A molecule written anew as tokens, which spans of it may be taken out, and what the user's pins are in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from domains.smiles.pins import is_atom
from domains.smiles.tokens import is_ring_label, tokenize
from domains.smiles.wellformed import kind_of

Span = tuple[int, int]


@dataclass(frozen=True)
class Piece:
    """Tokens of a molecule.

    Attributes:
        atom: of each token, the number of the atom that it is, as written; −1 for bonds, branches and ring labels.
        bonds: (a, b, whether it is single and in no ring).
        pins: places in `tokens` of the user's pinned atoms, in the user's order.
    """

    tokens: tuple[str, ...]
    atom: tuple[int, ...]
    bonds: tuple[tuple[int, int, bool], ...]
    pins: tuple[int, ...] = ()

    def spans(self, single: bool) -> list[Span]:
        """(i, j) such that tokens[i:j] balances its branches and rings and holds no pin; j = i is a place to insert.

        No span ends before a ring label, which belongs to the atom before it. single: the bonds between the span and the
        rest, or the bond that is inserted into, are single and in no ring.
        """
        return [span for span in self._balanced() if not single or self._single(*span)]

    def _balanced(self) -> list[Span]:
        n, found = len(self.tokens), []
        label = [*map(is_ring_label, self.tokens), False]
        depth, opened = [0], [frozenset[str]()]  # before each token: branches and rings that are open
        for token, is_label in zip(self.tokens, label[:-1], strict=True):
            depth.append(depth[-1] + {"(": 1, ")": -1}.get(token, 0))
            opened.append(opened[-1] ^ {token} if is_label else opened[-1])
        pinned = [*(place in self.pins for place in range(n)), True]
        for i in range(n + 1):
            for j in range(i, n + 1):
                if depth[j] < depth[i]:
                    break
                if depth[j] == depth[i] and not label[j] and j - i < n and opened[j] == opened[i]:
                    found.append((i, j))
                if pinned[j]:
                    break
        return found

    def _single(self, i: int, j: int) -> bool:
        if i < j and kind_of(self.tokens[j - 1]) == "bond":  # one between atoms that stay
            return False
        inside = [a for a in self.atom[i:j] if a >= 0]
        if inside:  # atoms that are written one after another
            first, last = inside[0], inside[-1]
            return all(single or (first <= a <= last) == (first <= b <= last) for a, b, single in self.bonds)
        if j == len(self.tokens) or self.atom[j] < 0 or i == 0:
            return True  # a new branch, or a new end
        after = self.atom[j]
        return any(single for a, b, single in self.bonds if b == after and a < after)

    def hanging(self) -> list[Span]:
        """What hangs on the rest, as it is written, by each single bond outside rings; no pin is in it."""
        found = []
        for b in (b for _, b, single in self.bonds if single):  # atom b is written after the other
            i = j = self.atom.index(b)
            depth = 0
            while j < len(self.tokens) and depth >= 0:
                depth += {"(": 1, ")": -1}.get(self.tokens[j], 0)
                j += depth >= 0
            if not any(i <= place < j for place in self.pins):
                found.append((i, j))
        return found

    def parts_pins(self, i: int, j: int) -> bool:
        """Whether something new in place of tokens[i:j] would part pinned atoms, or grow on one bonded to pinned ones alone."""
        from rdkit import Chem, rdBase

        if not self.pins:
            return False
        tokens = [*self.tokens[:i], "*", *self.tokens[j:]]
        with rdBase.BlockLogs():
            molecule = Chem.MolFromSmiles("".join(tokens).replace("*()", "*"), sanitize=False)
        if molecule is None:
            return True
        before = [self.atom[place] for place in self.pins]
        number = np.cumsum([is_atom(token) for token in tokens]) - 1
        after = [int(number[place if place < i else place + 1 - (j - i)]) for place in self.pins]
        image, new = dict(zip(before, after, strict=True)), int(number[i])
        pinned = set(before)
        for a, b, _ in self.bonds:
            if a in pinned and b in pinned and molecule.GetBondBetweenAtoms(image[a], image[b]) is None:
                return True
        free = {a for pair in self.bonds for a, b in (pair[:2], pair[1::-1]) if b not in pinned}
        return any(molecule.GetBondBetweenAtoms(image[a], new) is not None for a in pinned - free)


def pieces_of(smiles: str, pins: Sequence[int], rng: np.random.Generator, kekule: bool = False) -> Piece:
    """A molecule written from one of its atoms.

    Args:
        pins: the user's pinned atoms, numbered as in `smiles`.
        kekule: aromatic rings with single and double bonds, so that an atom more or less leaves something that can be read.
    """
    from rdkit import Chem

    molecule = _read(smiles)
    if kekule:
        molecule = Chem.Mol(molecule)
        Chem.Kekulize(molecule, clearAromaticFlags=True)
    root = int(rng.integers(molecule.GetNumAtoms()))
    tokens = tokenize(Chem.MolToSmiles(molecule, rootedAtAtom=root))
    order = list(molecule.GetPropsAsDict(includePrivate=True, includeComputed=True)["_smilesAtomOutputOrder"])
    rank = {atom: k for k, atom in enumerate(order)}
    bonds = tuple(
        (*sorted((rank[b.GetBeginAtomIdx()], rank[b.GetEndAtomIdx()])), b.GetBondTypeAsDouble() == 1 and not b.IsInRing())
        for b in molecule.GetBonds()
    )
    number, places = -1, []
    atom = []
    for place, token in enumerate(tokens):
        if is_atom(token):
            number += 1
            places.append(place)
        atom.append(number if is_atom(token) else -1)
    return Piece(tuple(tokens), tuple(atom), bonds, tuple(places[rank[pin]] for pin in pins))  # type: ignore[arg-type]


def relabelled(tokens: Sequence[tuple[str | None, int]], pool: Sequence[str]) -> list[str | None] | None:
    """Tokens of one or two owners with rings renumbered from the pool, the first free label first; None if it is too small."""
    opened: dict[tuple[str, int], str] = {}
    out: list[str | None] = []
    for token, owner in tokens:
        if token is None or not is_ring_label(token):
            out.append(token)
        elif (token, owner) in opened:
            out.append(opened.pop((token, owner)))
        else:
            free = [label for label in pool if label not in opened.values()]
            if not free:
                return None
            opened[token, owner] = free[0]
            out.append(free[0])
    return out


def canonical(smiles: str, max_atoms: int) -> str | None:
    """RDKit's canonical SMILES; None for what is no molecule, is in parts, is too heavy, or has an unpaired electron.

    A bracket atom such as [C@H] or [nH] that loses a neighbour says how many hydrogens it has, and would become a radical.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not 0 < molecule.GetNumHeavyAtoms() <= max_atoms or "." in smiles:
        return None
    if any(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()):
        return None
    return Chem.MolToSmiles(molecule)


@lru_cache(maxsize=2048)
def _read(smiles: str):
    from rdkit import Chem

    return Chem.MolFromSmiles(smiles)


@lru_cache(maxsize=4096)
def pinned_part(smiles: str, pins: tuple[int, ...]) -> tuple:
    """What the pinned atoms are, in the user's order, and what they are bonded by: equal before and after, or a pin is lost.

    A chiral atom counts by the order of its pinned neighbours, and with more than one other neighbour only as chiral; the
    geometry of a double bond counts where it is said of pinned atoms.
    """
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles)
    place = {atom: k for k, atom in enumerate(pins)}
    atoms = []
    for pin in pins:
        atom = molecule.GetAtomWithIdx(pin)
        atoms.append(
            (atom.GetAtomicNum(), atom.GetFormalCharge(), atom.GetIsotope(), atom.GetIsAromatic(), _handedness(atom, place))
        )
    bonds = []
    for bond in molecule.GetBonds():
        a, b = place.get(bond.GetBeginAtomIdx()), place.get(bond.GetEndAtomIdx())
        if a is not None and b is not None:
            beside = [place.get(atom) for atom in bond.GetStereoAtoms()]
            stereo = (str(bond.GetStereo()), *sorted(beside)) if beside and None not in beside else ()  # type: ignore[type-var]
            bonds.append((min(a, b), max(a, b), str(bond.GetBondType()), stereo))
    return tuple(atoms), tuple(sorted(bonds))


@lru_cache(maxsize=4096)
def attached(smiles: str, pins: tuple[int, ...]) -> frozenset[int]:
    """Which pins, in the user's order, are bonded to atoms that are not pinned."""
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles)
    return frozenset(
        k for k, pin in enumerate(pins) if any(n.GetIdx() not in pins for n in molecule.GetAtomWithIdx(pin).GetNeighbors())
    )


def _handedness(atom, place: dict[int, int]) -> int:
    """±1 for a chiral atom whose neighbours can be told apart by the pins, 2 for another chiral atom, 0 for none."""
    from rdkit.Chem import ChiralType

    signs = {ChiralType.CHI_TETRAHEDRAL_CW: 1, ChiralType.CHI_TETRAHEDRAL_CCW: -1}
    if atom.GetChiralTag() not in signs:
        return 0
    names = [place.get(bond.GetOtherAtomIdx(atom.GetIdx()), len(place)) for bond in atom.GetBonds()]
    if len(set(names)) < len(names):
        return 2
    inversions = sum(a > b for k, a in enumerate(names) for b in names[k + 1 :])
    return signs[atom.GetChiralTag()] * (-1) ** inversions


def scaffold(smiles: str) -> str:
    """The Bemis-Murcko scaffold, what a population is crowded by; "" for what has no ring."""
    from rdkit.Chem.Scaffolds import MurckoScaffold

    return MurckoScaffold.MurckoScaffoldSmiles(smiles)


def flat(smiles: str) -> str:
    """The molecule without its stereo: what its stereoisomers have in common."""
    from rdkit import Chem

    return Chem.CanonSmiles(smiles, useChiral=False)
