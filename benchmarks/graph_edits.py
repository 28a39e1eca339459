"""A baseline for goal-directed design without a model: random edits and crossovers of molecular graphs, by RDKit.

The moves are those of a graph-based genetic algorithm: the edits of `domains.smiles.edits`, and a crossover that joins a part
of one molecule to a part of another where single bonds outside rings are cut.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domains.campaign.archive import Archive, Candidate, Entry, choose
from domains.campaign.surrogate import Surrogate
from domains.smiles.edits import edited
from domains.smiles.pieces import canonical


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
                smiles = _edited(smiles, rng)
        else:
            smiles = _edited(smiles, rng)
        text = None if smiles is None else canonical(smiles, self.max_atoms)
        return None if text is None else Candidate(text, text, (), tuple(dict.fromkeys(parents)), how)


def _edited(smiles: str, rng: np.random.Generator) -> str | None:
    made = edited(smiles, rng)
    return None if made is None else made[0]


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
