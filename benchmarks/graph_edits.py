"""A baseline for goal-directed design without a model: random edits and crossovers of molecular graphs, by RDKit.

The moves are those of a graph-based genetic algorithm (in the manner of Jensen, "A graph-based genetic algorithm and generative
model/Monte Carlo tree search for the exploration of chemical space", Chem. Sci. 2019): append, insert or delete an atom, change
an atom or the order of a bond, open or close a ring; a crossover joins a part of one molecule to a part of another where single
bonds outside rings are cut. Written anew here; there is no model, no table of what is frequent but the element weights below,
and no filter but validity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from domains.campaign.archive import Archive, Candidate, Entry, choose
from domains.campaign.surrogate import Surrogate
from domains.smiles.pieces import canonical

ELEMENTS = {6: 0.5, 7: 0.15, 8: 0.15, 9: 0.06, 16: 0.06, 17: 0.05, 35: 0.03}


@dataclass(frozen=True)
class GraphEdits:
    """A Proposer.

    Attributes:
        crossover: share of children of two parents, of which `both` are mutated as well.
        surrogate: chooses a batch out of `pool` times as many, where there is one.
    """

    first: Sequence[Candidate]
    batch: int = 100
    surrogate: Surrogate | None = None
    pool: int = 5
    crossover: float = 0.5
    both: float = 0.3
    population: int = 1000
    max_atoms: int = 38

    def start(self, rng: np.random.Generator) -> list[Candidate]:
        return list(self.first)

    def propose(self, archive: Archive, rng: np.random.Generator) -> list[Candidate]:
        population = archive.population(self.population)
        n = self.batch if self.surrogate is None else self.batch * self.pool
        pairs = zip(choose(population, n, rng), choose(population, n, rng), strict=True)
        made = [child for parent, other in pairs if (child := self._child(parent, other, rng)) is not None]
        if self.surrogate is None:
            return made
        new = list({child.text: child for child in made if child.text not in archive}.values())
        return [new[i] for i in self.surrogate.choose(archive, [child.text for child in new], self.batch, rng)]

    def _child(self, parent: Entry, other: Entry, rng: np.random.Generator) -> Candidate | None:
        smiles, parents, how = parent.text, (parent.call,), "edit"
        if rng.random() < self.crossover:
            smiles, parents, how = crossed(parent.text, other.text, rng), (parent.call, other.call), "crossover"
            if smiles is not None and rng.random() < self.both:
                smiles = edited(smiles, rng)
        else:
            smiles = edited(smiles, rng)
        text = None if smiles is None else canonical(smiles, self.max_atoms)
        return None if text is None else Candidate(text, text, (), tuple(dict.fromkeys(parents)), how)


def edited(smiles: str, rng: np.random.Generator, tries: int = 20) -> str | None:
    """The molecule after one random edit; tried again until RDKit accepts it."""
    from rdkit import Chem, rdBase

    edits: list[Callable] = [_append, _insert, _delete, _change_atom, _change_bond, _close_ring, _open_ring]
    with rdBase.BlockLogs():
        for _ in range(tries):
            molecule = Chem.RWMol(Chem.MolFromSmiles(smiles))
            Chem.Kekulize(molecule, clearAromaticFlags=True)
            try:
                if edits[int(rng.integers(len(edits)))](molecule, rng) and molecule.GetNumAtoms():
                    Chem.SanitizeMol(molecule)
                    out = Chem.MolToSmiles(molecule)
                    if out != smiles and "." not in out:
                        return out
            except (Chem.MolSanitizeException, RuntimeError, ValueError):
                continue
    return None


def _element(rng: np.random.Generator) -> int:
    return int(rng.choice(list(ELEMENTS), p=np.array(list(ELEMENTS.values())) / sum(ELEMENTS.values())))


def _atom(molecule, rng):
    return molecule.GetAtomWithIdx(int(rng.integers(molecule.GetNumAtoms())))


def _order(rng):
    from rdkit.Chem import BondType

    return [BondType.SINGLE, BondType.DOUBLE, BondType.TRIPLE][int(rng.choice(3, p=[0.8, 0.17, 0.03]))]


def _append(molecule, rng) -> bool:
    from rdkit.Chem import Atom

    at = _atom(molecule, rng).GetIdx()
    molecule.AddBond(at, molecule.AddAtom(Atom(_element(rng))), _order(rng))
    return True


def _insert(molecule, rng) -> bool:
    from rdkit.Chem import Atom, BondType

    if not molecule.GetNumBonds():
        return False
    bond = molecule.GetBondWithIdx(int(rng.integers(molecule.GetNumBonds())))
    a, b, kind = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), bond.GetBondType()
    molecule.RemoveBond(a, b)
    new = molecule.AddAtom(Atom(_element(rng)))
    molecule.AddBond(a, new, kind)
    molecule.AddBond(new, b, BondType.SINGLE)
    return True


def _delete(molecule, rng) -> bool:
    from rdkit.Chem import BondType

    atom = _atom(molecule, rng)
    around = [neighbour.GetIdx() for neighbour in atom.GetNeighbors()]
    if len(around) > 2:
        return False
    if len(around) == 2 and molecule.GetBondBetweenAtoms(*around) is None:
        molecule.AddBond(*around, BondType.SINGLE)
    molecule.RemoveAtom(atom.GetIdx())
    return True


def _change_atom(molecule, rng) -> bool:
    from rdkit.Chem import Atom

    molecule.ReplaceAtom(_atom(molecule, rng).GetIdx(), Atom(_element(rng)))
    return True


def _change_bond(molecule, rng) -> bool:
    if not molecule.GetNumBonds():
        return False
    molecule.GetBondWithIdx(int(rng.integers(molecule.GetNumBonds()))).SetBondType(_order(rng))
    return True


def _close_ring(molecule, rng) -> bool:
    from rdkit import Chem

    distance = Chem.GetDistanceMatrix(molecule)
    pairs = np.argwhere((distance >= 3) & (distance <= 6))
    if not len(pairs):
        return False
    a, b = pairs[int(rng.integers(len(pairs)))].tolist()
    molecule.AddBond(a, b, Chem.BondType.SINGLE)
    return True


def _open_ring(molecule, rng) -> bool:
    within = [bond for bond in molecule.GetBonds() if bond.IsInRing()]
    if not within:
        return False
    bond = within[int(rng.integers(len(within)))]
    molecule.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
    return True


def crossed(one: str, two: str, rng: np.random.Generator) -> str | None:
    """A part of each, cut at a single bond outside rings, joined where they were cut."""
    from rdkit import Chem

    parts = [_part(smiles, rng) for smiles in (one, two)]
    if None in parts:
        return None
    (a, at_a), (b, at_b) = parts  # type: ignore[misc]
    joined = Chem.RWMol(Chem.CombineMols(a, b))
    joined.AddBond(at_a, at_b + a.GetNumAtoms(), Chem.BondType.SINGLE)
    try:
        Chem.SanitizeMol(joined)
    except Chem.MolSanitizeException:
        return None
    return Chem.MolToSmiles(joined)


def _part(smiles: str, rng: np.random.Generator):
    """(molecule, atom that was bonded to the rest), hydrogens as they were but for the bond that was cut."""
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles)
    bonds = [b for b in molecule.GetBonds() if b.GetBondTypeAsDouble() == 1 and not b.IsInRing()]
    if not bonds:
        return None
    bond = bonds[int(rng.integers(len(bonds)))]
    cut = Chem.FragmentOnBonds(molecule, [bond.GetIdx()], dummyLabels=[(0, 0)])
    pieces = Chem.GetMolFrags(cut, asMols=True, sanitizeFrags=False)
    piece = Chem.RWMol(pieces[int(rng.integers(2))])
    dummy = next(atom for atom in piece.GetAtoms() if atom.GetAtomicNum() == 0)
    at, gone = dummy.GetNeighbors()[0].GetIdx(), dummy.GetIdx()
    piece.RemoveAtom(gone)
    return piece.GetMol(), at - (at > gone)
