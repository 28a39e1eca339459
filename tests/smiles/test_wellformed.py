"""The automaton of well-formed SMILES against RDKit's own parser and against gaps that would break a template."""

import random
from pathlib import Path

import pytest
import torch
from rdkit import Chem, rdBase

from constraints import Gap, Template
from constraints.automata.chain import Chain
from domains.registry import find_model
from domains.smiles.data import canonical, is_held_out, read_smiles
from domains.smiles.domain import syntax
from domains.smiles.template import parse_template
from domains.smiles.tokens import tokenize
from domains.smiles.valence import hopeless
from domains.smiles.wellformed import FREE, PINNED, in_open_rings, room, well_formed
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

ALPHABET = Alphabet.from_json((find_model(None, "smiles") / "alphabet.json").read_text())
ZINC = Path(__file__).parents[3] / "shared" / "data" / "molecules" / "zinc250k.smi.xz"
MOLECULES = (  # a few rows of ZINC250k and ChEMBL 22
    "CC(C)(C)c1ccc2occ(CC(=O)Nc3ccccc3F)c2c1",
    "C[C@@H]1CC(Nc2cncc(-c3nncn3C)c2)C[C@@H](C)C1",
    "N#Cc1ccc(-c2ccc(O[C@@H](C(=O)N3CCCC3)c3ccccc3)cc2)cc1",
    "CCOC(=O)[C@@H]1CCCN(C(=O)c2nc(-c3ccc(C)cc3)n3c2CCCCC3)C1",
    "Cl.CN(C)CC/C=C1/c2ccccc2CSc2ccccc21",
    "O=C(N[C@H]1CC[N+]2(CC1)CCCCC2)c1cc(Cl)ccc1O.[Br-]",
)


def accepts(text: str, region=None) -> bool:
    return bool(well_formed(ALPHABET).accepts(ALPHABET.encode(tokenize(text)), region))


def parses(text: str) -> bool:
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(text, sanitize=False) is not None


@pytest.mark.parametrize("text", MOLECULES)
def test_molecules_are_accepted(text):
    assert accepts(text)


def test_what_rdkit_cannot_parse_is_refused_and_the_other_way_round():
    """Mutated molecules: they differ only where the automaton says that it does not look (rings onto a neighbour, depth)."""
    rng, differ, refused = random.Random(1), [], 0
    for _ in range(1500):
        tokens = tokenize(rng.choice(MOLECULES))
        for _ in range(rng.randint(1, 3)):
            i = rng.randrange(len(tokens))
            tokens[i : i + rng.randint(0, 1)] = [rng.choice(ALPHABET.tokens)] * rng.randint(0, 1)
        text = "".join(tokens)
        if not tokens or "8" in tokens:
            continue
        refused += not accepts(text)
        if accepts(text) != parses(text):
            differ.append(text)
    assert refused > 300
    assert all(accepts(text) for text in differ), "everything that RDKit parses is accepted"
    assert all(hopeless(tokenize(text)).startswith("a ring closes onto") for text in differ)


@pytest.mark.parametrize("text", ["CC11C", "C1C1C", "CC(C2)2C", "C1CC2CC12"])
def test_what_the_automaton_does_not_look_at(text):
    assert accepts(text)
    assert parses(text) is (text == "C1CC2CC12")  # the last closes two rings onto one atom, at a distance
    assert hopeless(tokenize(text)).startswith("a ring closes onto") is not parses(text)


@pytest.mark.slow
@pytest.mark.skipif(not ZINC.is_file(), reason="needs ZINC250k")
def test_no_held_out_molecule_is_refused():
    """The split's held-out part of every twentieth line, as training takes it, by the automaton of a free design."""
    automaton = well_formed(ALPHABET, *room(Template((Gap(1, 96),))), rings=True)
    held = [c for c in map(canonical, list(read_smiles(ZINC))[::20]) if c is not None and is_held_out(c, 2)]
    rows = [tokenize(smiles) for smiles in held]
    known = [row for row in rows if len(row) <= 96 and all(token in ALPHABET.ids for token in row)]
    assert len(known) > 150 and all(automaton.accepts(ALPHABET.encode(row)) for row in known)


@pytest.mark.parametrize(
    "text",
    ["C(C", "C)C", "C1CC", "CC=", "=CC", "C()C", "C((C)C)C", "C(1)C1", "C..C", "C.", "C(=)C", "C==C", "C(=1)CC1", "(C)C"],
)
def test_broken_syntax_is_refused(text):
    assert not accepts(text) and not parses(text)


def test_a_gap_balances_its_own_branches_and_rings():
    head, tail = tokenize("C1CC(N"), tokenize(")CC1")

    def with_gap(gap: str) -> bool:
        tokens = [*head, *tokenize(gap), *tail]
        region = [PINNED] * len(head) + [FREE] * len(tokenize(gap)) + [PINNED] * len(tail)
        return bool(well_formed(ALPHABET).accepts(ALPHABET.encode(tokens), region))

    assert with_gap("C(C)C") and with_gap("C2CC2") and with_gap("")
    assert not with_gap("C)C(C")  # well formed as a whole, but it takes the template's branch apart
    assert not with_gap("C2CC") and not with_gap("C(")
    assert with_gap("C=") is False  # a bond before the template's ")"


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("c1ccccc1", False),
        ("Cc1ccc(-c2cc[nH]c2)cc1", False),
        ("C1CCc2ccccc2C1", False),
        ("c-1cccc-1", False),
        ("CcC", True),
        ("Cc1ccccc1c", True),
        ("cc1ccccc1", True),
        ("C1CC1c", True),
        ("Cc(C)c1ccccc1", True),
        ("CC1CCCCcC1", False),  # RDKit takes it, too: the ring is not aromatic
    ],
)
def test_with_rings_an_aromatic_atom_stands_where_a_ring_is_open(text, refused):
    held = well_formed(ALPHABET, rings=True)
    assert accepts(text) and bool(held.accepts(ALPHABET.encode(tokenize(text)), None)) is not refused


@pytest.mark.parametrize("text", MOLECULES)
def test_with_rings_molecules_are_accepted_however_they_are_written(text):
    held = well_formed(ALPHABET, rings=True)
    molecule = Chem.MolFromSmiles(text)
    ways = [text, *(Chem.MolToRandomSmilesVect(molecule, 50, 0))]
    assert all(held.accepts(ALPHABET.encode(tokenize(way))) for way in ways)


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("{5}", False),
        ("C1CC1{4}c1ccncc1", False),
        ("c1cc{2}cc1", True),
        ("C1N({5})CC1({5})C", False),  # each in a branch of its own, which the ring does not go through
        ("C[C@@H]1NC(=O)C{4}c2cccc(c2)NC1=O", True),
        ("C1CC(C{2}C1)C", True),
        ("CC{3}1CC1", False),  # the gap's last atom is in the ring, and no other
    ],
)
def test_a_gap_in_a_ring_of_its_template_is_known(text, inside):
    assert in_open_rings(parse_template(text, ALPHABET), ALPHABET) is inside


def test_gaps_hold_whole_aromatic_rings_or_none():
    template = parse_template("C1CC1{1-9}N{1-9}C", ALPHABET)
    automaton = syntax(ALPHABET, template).automaton

    def holds(first: str, second: str) -> bool:
        parts = [(("C", "1", "C", "C", "1"), PINNED), (tokenize(first), FREE), (("N",), PINNED), (tokenize(second), FREE)]
        tokens = [token for part, _ in [*parts, (("C",), PINNED)] for token in part]
        region = [of for part, of in [*parts, (("C",), PINNED)] for _ in part]
        return bool(automaton.accepts(ALPHABET.encode(tokens), region))

    assert holds("c2ccccc2", "CC") and holds("C", "c2ccccc2") and holds("c2cccc", "c2")
    assert not holds("c", "CC") and not holds("c2ccccc2", "cc") and not holds("Cc", "c2ccccc2")


def test_every_draw_parses_but_for_what_is_left_to_chemistry():
    chain, n = Chain(well_formed(ALPHABET)), 400
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(n, 24, len(ALPHABET), generator=generator) ** 3
    tokens, log_mass = chain.draw(p, torch.rand(n, 24, dtype=torch.float64, generator=generator))
    texts = [ALPHABET.decode(row) for row in tokens]
    assert bool(log_mass.isfinite().all()) and all(accepts(text) for text in texts)
    assert sum(parses(text) for text in texts) > 0.85 * n
    free = [ALPHABET.decode(row) for row in torch.multinomial(p.flatten(0, 1), 1, generator=generator).reshape(n, 24)]
    assert sum(parses(text) for text in free) < 0.1 * n


def test_out_of_range_is_refused():
    with pytest.raises(ConditionError, match="0 to 10 ring labels and a depth ≥ 0, got 11 and 6"):
        well_formed(ALPHABET, 11)
