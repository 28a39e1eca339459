"""What is already lost: a SMILES of which only some tokens are known and that no other tokens can make a molecule.

    hopeless(["C", "F", None, "C"])     ""      "hopeless" is said only where no completion is valid
    hopeless(["C", "F", "C", None])     "F has bonds of 2 in all, more than 1"

A None stands for any number of unknown tokens. Of what stands, every bond is counted by the least that it can be, and an
atom is looked at as a whole only where nothing unknown can be bonded to it. Refused are then

    a valence      Σ of the least orders is more than RDKit's largest valence of the atom, found by asking RDKit
    a ring         closed onto its own atom, or onto a neighbour
    an aromatic    atom with one bond in all; a system of aromatic atoms, all their bonds known, whose atoms that must have
    system         a double bond cannot be paired (a perfect matching, which is what kekulisation seeks)

A ring label is paired with its other end only where no unknown token stands before both, or after both. What RDKit mends by
itself (a pentavalent nitro group, chlorates) is left alone; so are ring bonds whose ends disagree, which RDKit reads.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from domains.smiles.pins import is_atom
from domains.smiles.tokens import is_ring_label

ORDER = {"-": 1, "/": 1, "\\": 1, ":": 1, "=": 2, "#": 3, "$": 4, "~": 0}
MENDED = {"N": 5, "n": 5, "Cl": 7, "Br": 7, "I": 7}  # most that RDKit takes and separates into charges, if a bond is double
# Bracket atoms that are no usual elements of organic molecules: RDKit may take their bonds for dative or ionic.
METAL = re.compile(r"\[\d*(?!\d|(?:[HBCNOFPSI](?=[-+@:H\]])|Cl|Br|Si|Se|[bcnops]))")
NEEDS = {  # (aromatic token, bonds) → whether it must have a double bond within the system
    ("c", 2): True,
    ("c", 3): True,
    ("n", 2): True,
    ("n", 3): False,
    ("[nH]", 2): False,
    ("[n+]", 3): True,
    ("[nH+]", 2): True,
    ("[n-]", 2): False,
    ("o", 2): False,
    ("s", 2): False,
    ("[se]", 2): False,
}
MASKED, UNKNOWN, NOTHING = -1, -2, -3  # what a token stands after: an unknown token, an unknown atom, no atom


@dataclass
class Atom:
    """What is known of an atom.

    Attributes:
        bonds: (other atom or UNKNOWN, least order, whether the token between says so).
        whole: whether nothing unknown can be bonded to it beside what is in `bonds`.
    """

    token: str
    bonds: list[tuple[int, int, bool]] = field(default_factory=list)
    whole: bool = True

    @property
    def aromatic(self) -> bool:
        return self.token[0].islower() or (self.token[0] == "[" and self.token.strip("[0123456789")[0].islower())


def hopeless(tokens: Sequence[str | None]) -> str:
    """Why no tokens in place of None make this a molecule that RDKit accepts; "" where some may."""
    atoms, fault = _read(tokens)
    if fault:
        return fault
    for atom in atoms:
        if fault := _exceeded(atom, atoms):
            return fault
    return _unpaired(atoms)


def _read(tokens: Sequence[str | None]) -> tuple[list[Atom], str]:
    atoms: list[Atom] = []
    partner = _partners(tokens)
    ends: dict[int, tuple[int, str]] = {}  # place of a label whose other end is still to come → its atom, its bond
    stack: list[int] = []
    after, bond = NOTHING, ""
    for i, token in enumerate(tokens):
        if token is None:
            for k in (after, *stack):
                if k >= 0:
                    atoms[k].whole = False
            stack, after, bond = [], MASKED, ""
        elif token == "(":
            stack.append(after if after != MASKED else UNKNOWN)
            after = stack[-1]
        elif token == ")":
            after, bond = stack.pop() if stack else UNKNOWN, ""
        elif token == ".":
            after, bond = NOTHING, ""
        elif is_ring_label(token):
            after = after if after != MASKED else UNKNOWN
            if partner[i] < 0:
                if after >= 0:
                    atoms[after].bonds.append((UNKNOWN, ORDER.get(bond, 1), False))
            elif partner[i] > i:
                ends[i] = after, bond
            else:
                other, bond_there = ends[partner[i]]
                if fault := _ring(atoms, other, after, bond_there, bond):
                    return atoms, fault
            bond = ""
        elif is_atom(token):
            here = len(atoms)
            atoms.append(Atom(token, whole=after != MASKED))
            if after >= 0:
                _join(atoms, after, here, bond)
            elif after == UNKNOWN:
                atoms[here].bonds.append((UNKNOWN, ORDER.get(bond, 1), bool(bond)))
            after, bond = here, ""
        else:
            after, bond = after if after != MASKED else UNKNOWN, token
    return atoms, ""


def _join(atoms: list[Atom], a: int, b: int, bond: str) -> None:
    order = 0 if METAL.search(atoms[a].token + atoms[b].token) else ORDER.get(bond, 1)
    atoms[a].bonds.append((b, order, bool(bond)))
    atoms[b].bonds.append((a, order, bool(bond)))


def _ring(atoms: list[Atom], a: int, b: int, bond_a: str, bond_b: str) -> str:
    """The bond of a ring label whose two ends are known places; its atoms may not be."""
    if a >= 0 and a == b:
        return f"a ring closes onto its own atom {atoms[a].token}"
    if a >= 0 and b >= 0:
        if any(other == b for other, _, _ in atoms[a].bonds):
            return f"a ring closes onto a neighbour of {atoms[a].token}"
        said = [bond for bond in (bond_a, bond_b) if bond]
        _join(atoms, a, b, min(said, key=lambda bond: ORDER[bond]) if said else "")
        return ""
    for k in (a, b):
        if k >= 0:
            atoms[k].bonds.append((UNKNOWN, min(ORDER.get(bond_a, 1), ORDER.get(bond_b, 1)), False))
    return ""


def _partners(tokens: Sequence[str | None]) -> list[int]:
    """Of each ring label the place of its other end, −1 where that is not known."""
    partner = [-1] * len(tokens)
    for places in (range(len(tokens)), range(len(tokens) - 1, -1, -1)):
        waiting: dict[str, int] = {}
        for i in places:
            token = tokens[i]
            if token is None:
                break
            if is_ring_label(token):
                if token in waiting:
                    j = waiting.pop(token)
                    partner[i], partner[j] = j, i
                else:
                    waiting[token] = i
    return partner


def _exceeded(atom: Atom, atoms: list[Atom]) -> str:
    total = sum(order for _, order, _ in atom.bonds)
    most = largest_valence(atom.token) + atom.aromatic  # RDKit lets an aromatic atom have one more
    if total > most and not any(order > 1 and k >= 0 and _mended(atoms[k]) for k, order, _ in atom.bonds):
        certain = all(order == 1 for _, order, _ in atom.bonds) and all(k >= 0 or said for k, _, said in atom.bonds)
        if total > _mended(atom) or (atom.whole and certain):
            return f"{atom.token} has bonds of {total} in all, more than {most}"
    if atom.aromatic and atom.whole and len(atom.bonds) < 2:
        return f"the aromatic {atom.token} is in no ring"
    return ""


def _mended(atom: Atom) -> int:
    """Most bonds with which RDKit takes an atom and mends it, 0 if it mends none of its kind."""
    return MENDED.get(atom.token.strip("[]H0123456789"), 0)


@lru_cache(maxsize=1000)
def largest_valence(token: str) -> int:
    """Most single bonds with which RDKit accepts an atom; an aromatic one as if it were not."""
    from rdkit import Chem, rdBase

    at = next(i for i, c in enumerate(token) if c.isalpha() or c == "*")
    written = token[:at] + token[at].upper() + token[at + 1 :]
    with rdBase.BlockLogs():
        accepted = [k for k in range(10) if Chem.MolFromSmiles(written + "(C)" * k) is not None]
    return max(accepted, default=9)


def _unpaired(atoms: list[Atom]) -> str:
    """Whether a system of aromatic atoms, all their bonds known, cannot be kekulised."""
    beside = {
        k: [other for other, _, said in atom.bonds if other >= 0 and not said and atoms[other].aromatic]
        for k, atom in enumerate(atoms)
        if atom.aromatic
    }
    seen: set[int] = set()
    for start in beside:
        if start in seen:
            continue
        system, todo = {start}, [start]
        while todo:
            new = set(beside[todo.pop()]) - system
            system |= new
            todo += new
        seen |= system
        needs = {k: _needs(atoms, k) for k in system}
        if None in needs.values() or not _in_rings({k: set(beside[k]) for k in system}):
            continue
        must = {k for k, need in needs.items() if need}
        if not _matched({k: {other for other in beside[k] if other in must} for k in must}):
            return f"the aromatic system of {len(system)} atoms around {atoms[start].token} has no alternating double bonds"
    return ""


def _in_rings(graph: dict[int, set[int]]) -> bool:
    """Whether no atom hangs on the rings; RDKit takes an aromatic atom of a ring that is not aromatic for an ordinary one."""
    return all(len(beside) > 1 for beside in graph.values())


def _needs(atoms: list[Atom], k: int) -> bool | None:
    """Whether an aromatic atom must have a double bond within its system; None where that is not certain."""
    atom = atoms[k]
    if not atom.whole or any((other < 0 and not said) or "*" in atoms[other].token for other, _, said in atom.bonds):
        return None  # a bond without a symbol to any atom, *, may be aromatic
    if any(said and (order > 1 or (other >= 0 and atoms[other].aromatic and order != 1)) for other, order, said in atom.bonds):
        outside = all(other < 0 or not atoms[other].aromatic for other, order, said in atom.bonds if said and order > 1)
        return False if atom.token == "c" and outside and len(atom.bonds) == 3 else None
    return NEEDS.get((atom.token, len(atom.bonds)))


def _matched(graph: dict[int, set[int]]) -> bool:
    """Whether every node can be paired with a neighbour: the node with the fewest neighbours is paired first."""
    if not graph:
        return True
    k = min(graph, key=lambda node: len(graph[node]))
    return any(
        _matched({node: beside - {k, other} for node, beside in graph.items() if node not in (k, other)}) for other in graph[k]
    )
