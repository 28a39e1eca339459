"""Random edits of a molecular graph, by RDKit: no model, and so nothing that a model finds unlikely is out of reach.

An atom is appended, inserted, deleted or changed, the order of a bond changed, a ring closed or opened: the mutations of a
graph-based genetic algorithm (in the manner of Jensen, "A graph-based genetic algorithm and generative model/Monte Carlo tree
search for the exploration of chemical space", Chem. Sci. 2019), written anew. There is no table of what is frequent but the
element weights below, and no filter but validity. Aromatic rings are edited as single and double bonds.
"""

from collections.abc import Callable, Sequence

import numpy as np

from domains.smiles.pieces import pinned_part

ELEMENTS = {6: 0.5, 7: 0.15, 8: 0.15, 9: 0.06, 16: 0.06, 17: 0.05, 35: 0.03}
PIN = "pin"  # property of a pinned atom: which pin it is


def edited(
    smiles: str, rng: np.random.Generator, pins: Sequence[int] = (), tries: int = 20
) -> tuple[str, tuple[int, ...]] | None:
    """The molecule after one random edit, and where its pins are; tried again until it reads and every pin is as it was."""
    from rdkit import Chem, rdBase

    edits: list[Callable] = [_append, _insert, _delete, _change_atom, _change_bond, _close_ring, _open_ring]
    parent = Chem.MolFromSmiles(smiles)
    Chem.Kekulize(parent, clearAromaticFlags=True)
    for k, pin in enumerate(pins):
        parent.GetAtomWithIdx(pin).SetIntProp(PIN, k)
    with rdBase.BlockLogs():
        for _ in range(tries):
            molecule = Chem.RWMol(parent)
            try:
                if edits[int(rng.integers(len(edits)))](molecule, rng) and molecule.GetNumAtoms():
                    Chem.SanitizeMol(molecule)
                    out = Chem.MolToSmiles(molecule)
                    if out == smiles or "." in out:
                        continue
                    places = _pins(molecule) if pins else ()
                    if not pins or pinned_part(out, places) == pinned_part(smiles, tuple(pins)):
                        return out, places
            except (Chem.MolSanitizeException, RuntimeError, ValueError):
                continue
    return None


def _pins(molecule) -> tuple[int, ...]:
    """The pinned atoms that there still are, in the order of their pins, numbered as in the SMILES that was made last."""
    order = molecule.GetPropsAsDict(includePrivate=True, includeComputed=True)["_smilesAtomOutputOrder"]
    atoms = (molecule.GetAtomWithIdx(index) for index in order)
    number = {atom.GetIntProp(PIN): k for k, atom in enumerate(atoms) if atom.HasProp(PIN)}
    return tuple(number[k] for k in sorted(number))


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
