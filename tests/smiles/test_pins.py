from itertools import product

import pytest
from rdkit import Chem, rdBase

from domains.smiles.pins import _same_fragments, is_atom, pinned_atoms, pins_kept
from domains.smiles.tokens import tokenize


def filled(template, *fills):
    """Arguments of `pins_kept`: "CC{}N" with its gaps filled, each by a text."""
    tokens, pinned, wanted = [], [], []
    for i, part in enumerate(template.split("{}")):
        if i:
            gap = tokenize(fills[i - 1])
            tokens, pinned, wanted = tokens + gap, pinned + [False] * len(gap), wanted + [None] * len(gap)
        pin = tokenize(part)
        tokens, pinned, wanted = tokens + pin, pinned + [True] * len(pin), wanted + pin
    assert len(fills) == template.count("{}")
    return tokens, pinned, wanted


def test_atoms_are_told_from_the_rest():
    tokens = tokenize("[nH]1C=C/Cl(*).%10%(100)-#$:~\\b[2H]")
    assert [token for token in tokens if is_atom(token)] == ["[nH]", "C", "C", "Cl", "*", "b", "[2H]"]


@pytest.mark.parametrize(
    ("template", "fills", "atoms"),
    [
        ("CC(=O)N{}c1ccccc1", ["CC"], (0, 1, 2, 3, 6, 7, 8, 9, 10, 11)),
        ("{}CCl", ["C=C(F)"], (3, 4)),
        ("CCl{}", ["C=C(F)"], (0, 1)),
        ("C({})[nH]{}O", ["=O", "N"], (0, 2, 4)),
        ("{}", ["CCC"], ()),
        ("C%10{}C%10", ["(C)"], (0, 2)),
        ("C{}=({}", ["", ""], (0,)),
    ],
)
def test_pinned_atoms_are_numbered_as_written(template, fills, atoms):
    tokens, pinned, _ = filled(template, *fills)
    assert pinned_atoms(tokens, pinned) == atoms


KEPT = [
    ("CC(=O)N{}c1ccc(F)cc1", ["CC(O)"]),
    ("Nc1ccc{}cc1", ["(CC)"]),  # the gap is a branch of the ring, which closes past it
    ("Nc1ccc{}cc1", ["n"]),
    ("C1CCC{}1", ["(C)"]),  # likewise
    ("CC{}N", ["(C)"]),  # N now hangs on a pinned carbon: the two fragments touch, and neither is changed
    ("CC{}N", ["="]),
    ("CC{}N", [""]),
    ("C{}CC{}", ["1", "1"]),  # a ring over two fragments
    ("{}c1ccccc1", ["CC(=O)"]),
    ("c1ccccc1{}", ["CC(=O)"]),
    ("{}CC", [""]),
    ("c1cc{}cc1", ["cc"]),
    ("c1cc{}cc1", ["(C)cc"]),
    ("C1CC{}CC1", ["C2CC2"]),
    ("C1CCC{}1", ["C="]),
    ("[O-]C(=O){}[N+](C)(C)C", ["CC"]),
    ("F[C@@](Cl)(Br){}", ["CC"]),
    ("C[C@@H]{}N", ["CCC"]),
    ("C[C@@H]{}N", ["(C)"]),
    ("C[C@@H]{}N", ["1CCC1"]),  # in the template the atom has three neighbours and is neither form
    ("{}[C@@H]1CCO1", ["CC"]),
    ("N{}[C@@](F)(Cl)C{}", ["C", "CC"]),
    ("F/C=C\\{}", ["CO"]),
    ("[13CH3]{}[2H]", ["CC"]),
    ("C{}N{}O", ["=C", "C#CC"]),
    ("C(F{}C)N", [")(="]),  # the gap's parentheses move C, which was a fragment of its own
    ("C{}N", ["C1CC1C"]),
    ("C{}N", ["C.C"]),  # what holds together at all is for `valid` to say
    ("C1{}CC1", [""]),  # an empty gap: the template itself
]


@pytest.mark.parametrize(("template", "fills"), KEPT)
def test_pins_that_are_kept(template, fills):
    assert pins_kept(*filled(template, *fills)) is True


LOST = [
    ("C1CC{}CC1", ["C1C1"]),  # the stray label captures the template's ring: its bond is gone
    ("{}C1CC1{}", ["C=1", "C1"]),  # so here
    ("C1CC{}CC1", ["C1"]),  # and here nothing closes
    ("C1{}CC1", ["="]),  # a new bond within the fragment C-C-C
    ("C1CCC{}1", ["="]),  # the ring closes past the gap, but by another bond
    ("CC({}C)N{}", ["O(", ")F"]),
    ("CC({})N{}", ["O(C", ")F"]),  # parentheses of two gaps move N to an atom of the gap
    ("C{}N", ["("]),
    ("C{}N", ["C1"]),
    ("C{}N", ["=="]),
]


@pytest.mark.parametrize(("template", "fills"), LOST)
def test_pins_that_are_lost(template, fills):
    assert pins_kept(*filled(template, *fills)) is False


@pytest.mark.parametrize(
    ("template", "other"),
    [
        ("CC", "CO"),  # element
        ("CN", "C[NH+]"),  # charge
        ("[NH3+]C", "[NH2+]C"),  # hydrogens
        ("[13CH3]C", "[12CH3]C"),  # isotope
        ("[C@@H](F)(Cl)Br", "[C@H](F)(Cl)Br"),  # chirality
        ("cc", "CC"),  # aromaticity
    ],
)
def test_another_token_on_a_pinned_position_is_a_lost_pin(template, other):
    tokens, pinned, wanted = filled(template + "{}", "CC")
    assert pins_kept(tokens, pinned, wanted)
    tokens[: len(tokenize(other))] = tokenize(other)
    assert not pins_kept(tokens, pinned, wanted)


@pytest.mark.parametrize(
    ("template", "design", "same"),
    [
        ("CC", "CC", True),
        ("CC", "C=C", False),
        ("cc", "CC", False),
        ("cc", "c-c", False),
        ("CN", "CO", False),
        ("C[NH3+]", "CN", False),
        ("C[NH3+]", "C[NH2+]", False),
        ("[13CH4]", "[CH4]", False),
        ("C", "[CH4]", False),
        ("F[C@H](Cl)Br", "F[C@@H](Cl)Br", False),
        ("F[C@H](Cl)Br", "FC(Cl)Br", False),
        ("CCC", "C1CC1", False),
        ("C.CC", "C1CC1", True),
        ("CCC", "CC.C", False),
    ],
)
def test_graphs_are_compared_atom_by_atom_and_bond_by_bond(template, design, same):
    ours, theirs = (Chem.MolFromSmiles(smiles, sanitize=False) for smiles in (template, design))
    atoms = tuple(range(ours.GetNumAtoms()))
    assert _same_fragments(ours, atoms, theirs, atoms) is same


def fragments(template):
    """Each fragment with the numbers of its atoms among the pinned ones: the template with the `*` of its gaps cut out."""
    molecule = Chem.RWMol(Chem.MolFromSmiles(template.replace("{}", "*"), sanitize=False))
    for atom in reversed([a.GetIdx() for a in molecule.GetAtoms() if not a.GetAtomicNum()]):
        molecule.RemoveAtom(atom)
    mapping: list[tuple[int, ...]] = []
    pieces = Chem.GetMolFrags(molecule, asMols=True, sanitizeFrags=False, fragsMolAtomMapping=mapping)
    return list(zip(pieces, mapping, strict=True))


FILLS = ["C", "(", ")", "=", "2", "1", "N"]


@pytest.mark.parametrize(
    ("template", "lengths", "some_lost"),
    [
        ("CC({})N{}", (3, 2), True),
        ("C1CC{}1{}", (3, 1), False),
        ("C1{}CC1{}O", (2, 2), True),
        ("C{}=CC{}F", (2, 2), False),
        ("CC(=O)N{}c3ccc(F)cc3", (3,), False),
    ],
)
def test_substructure_search_agrees_on_every_fill(template, lengths, some_lost):
    """RDKit's search must find each fragment on just those atoms, with no bond beside its own but those past a gap."""
    pieces = fragments(template)
    bare = Chem.MolFromSmiles(template.replace("{}", ""), sanitize=False)

    def past_gap(a, b, kind):
        bond = bare.GetBondBetweenAtoms(a, b) if bare is not None else None
        return bond is not None and bond.GetBondType() == kind

    kept = lost = 0
    with rdBase.BlockLogs():
        for texts in product(*(product(FILLS, repeat=length) for length in lengths)):
            tokens, pinned, wanted = filled(template, *map("".join, texts))
            design = Chem.MolFromSmiles("".join(tokens), sanitize=False)
            verdict = pins_kept(tokens, pinned, wanted)
            if design is None:
                assert not verdict
                continue
            Chem.FastFindRings(design)
            place = pinned_atoms(tokens, pinned)
            expected = True
            for piece, atoms in pieces:
                image = [place[a] for a in atoms]
                pairs = [(i, j, design.GetBondBetweenAtoms(place[i], place[j])) for i in atoms for j in atoms if i < j]
                own = [piece.GetBondBetweenAtoms(atoms.index(i), atoms.index(j)) for i, j, _ in pairs]
                bonds = sum(
                    found is not None and not (mine is None and past_gap(i, j, found.GetBondType()))
                    for (i, j, found), mine in zip(pairs, own, strict=True)
                )
                matches = design.GetSubstructMatches(piece, uniquify=False, maxMatches=10_000)
                expected &= tuple(image) in matches and bonds == piece.GetNumBonds()
            assert verdict is expected, "".join(tokens)
            kept, lost = kept + expected, lost + (not expected)
    assert kept >= 20 and (lost > 0) is some_lost
