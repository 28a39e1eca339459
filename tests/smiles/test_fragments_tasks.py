"""A real molecule is cut, what remains is drawn, and the template filled with the missing piece gives the molecule back."""

import dataclasses
import itertools
import json
import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from rdkit import Chem
from tiny_model import tiny_checkpoint

from constraints.compilation.plan import plan
from constraints.language.notation import parse
from domains.design import Designs, DesignSpec, design, design_batches
from domains.request import prepare
from domains.smiles.assembly import IN_RINGS, relabelled
from domains.smiles.assembly_check import bridged_ring, pieces
from domains.smiles.data import read_smiles
from domains.smiles.domain import syntax
from domains.smiles.fragments import read_fragments
from domains.smiles.task_names import TASKS
from domains.smiles.tasks import FragmentTask, task_templates
from domains.smiles.tasks_design import fitted, read_drawn, refusal, variants
from domains.smiles.template import GAP, parse_template
from domains.smiles.tokens import is_ring_label, tokenize
from domains.smiles.wellformed import well_formed
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConfigError, SeqdiffError, TemplateError

TOKENS = (
    *"BCFINOPScnos()=#-./\\12345678", "Br", "Cl", "[nH]", "[C@H]", "[C@@H]", "[C@]", "[C@@]", "[N+]", "[O-]", "[NH3+]",
)  # fmt: skip
ALPHABET = Alphabet("smiles", TOKENS)
BARICITINIB = "CCS(=O)(=O)N1CC(CC#N)(n2cc(-c3ncnc4[nH]ccc34)cn2)C1"
CYCLOTHIAZIDE = "NS(=O)(=O)c1cc2c(cc1Cl)NC(C1CC3C=CC1C3)NS2(=O)=O"
ELIGLUSTAT = "CCCCCCCC(=O)N[C@H](CN1CCCC1)[C@H](O)c1ccc2c(c1)OCCO2"
IMATINIB = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"
ZEARALENONE = "C[C@H]1CCCC(=O)CCC/C=C/c2cc(O)cc(O)c2C(=O)O1"
ZINC = Path(__file__).parents[3] / "shared" / "data" / "molecules" / "zinc250k.smi.xz"
AFATINIB = "CN(C)C/C=C/C(=O)Nc1cc2c(Nc3ccc(F)c(Cl)c3)ncnc2cc1O[C@H]1CCOC1"


def cut(smiles: str, *bonds: tuple[str, int, int]) -> tuple[list[str], list[str]]:
    """Pieces of a molecule cut at bonds, bond k's ends [k*]: those with the bond's first atom, and the others.

    A bond is a SMARTS and the places of its two atoms in it, the first on the side that stays.
    """
    molecule = Chem.MolFromSmiles(smiles)
    cuts, stay = [], set()
    for smarts, a, b in bonds:
        match = molecule.GetSubstructMatch(Chem.MolFromSmarts(smarts))
        cuts.append(molecule.GetBondBetweenAtoms(match[a], match[b]).GetIdx())
        stay.add(match[a])
    labels = [(k, k) for k in range(1, len(cuts) + 1)]
    whole = Chem.FragmentOnBonds(molecule, cuts, dummyLabels=labels)
    groups = Chem.GetMolFrags(whole)
    texts = [Chem.MolToSmiles(piece) for piece in Chem.GetMolFrags(whole, asMols=True)]
    kept = [text for text, group in zip(texts, groups, strict=True) if stay & set(group)]
    return kept, [text for text in texts if text not in kept]


def path(piece: str, used: set[str]) -> set[tuple[str, ...]]:
    """Ways to write a missing piece as a gap: from its point, or from one of its points to the other."""
    molecule = Chem.MolFromSmiles(piece)
    ends = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0]
    found = set()
    random.seed(0)
    for start in ends:
        for _ in range(200 if len(ends) == 2 else 1):
            tokens = tokenize(Chem.MolToSmiles(molecule, rootedAtAtom=start, canonical=len(ends) == 1, doRandom=len(ends) == 2))
            if len(ends) == 2:
                if not tokens[-1].endswith("*]"):
                    continue
                tokens = tokens[:-1]
            free = [label for label in "12345678" if label not in used]
            found.add(tuple(relabelled(tokens[1:], free)))
    return found


def filled(text: str, fills: tuple[tuple[str, ...], ...]) -> tuple[list[str], list[int]]:
    """Tokens of a template with its gaps filled, and the gap of each, −1 where pinned."""
    tokens: list[str] = []
    gap: list[int] = []
    parts = GAP.split(text)[::3]
    for g, part in enumerate(parts):
        pinned = tokenize(part)
        tokens, gap = tokens + pinned, gap + [-1] * len(pinned)
        if g < len(fills):
            tokens, gap = tokens + list(fills[g]), gap + [g] * len(fills[g])
    assert len(fills) == len(parts) - 1
    return tokens, gap


def canonical(tokens: list[str]) -> str | None:
    molecule = Chem.MolFromSmiles("".join(tokens))
    return molecule and Chem.MolToSmiles(molecule)


def accepted(writing, tokens: list[str], gap: list[int]) -> bool:
    """Whether the automaton of the template's syntax takes a filled template."""
    template = parse_template(writing.text, ALPHABET)
    return syntax(ALPHABET, template).automaton.accepts(
        np.array([ALPHABET.ids[token] for token in tokens]), (np.array(gap) < 0).astype(int)
    )


CASES = {
    "linker": ("linker", BARICITINIB, [("[C;R](CC#N)-n", 0, 4), ("[c;$(c1ncnc2[nH]ccc12)]-c", 0, 1)]),
    "linker, chiral centre missing": ("linker", ELIGLUSTAT, [("N(C)-C[C@H]", 0, 2), ("c-[C@H](O)", 0, 1)]),
    "linkers in a chain": (
        "linker",
        IMATINIB,
        [("N1(CCN(C)CC1)-[CH2]", 0, 7), ("c-[CH2]N", 0, 1), ("c-C(=O)N", 0, 1), ("c-[NH]C=O", 0, 1)],
    ),
    "morphing": ("morphing", IMATINIB, [("c-[CH2]N", 0, 1), ("N-[CH3]", 1, 0)]),
    "decoration": ("decoration", ELIGLUSTAT, [("[C@H](CN)-N", 0, 3), ("[C@H](c)-O", 0, 2)]),
    "decoration, salts and rings": ("decoration", CYCLOTHIAZIDE, [("cS(N)(=O)=O", 0, 1), ("c-Cl", 0, 1)]),
    "extension": ("extension", AFATINIB, [("[C@H]-O-c", 0, 1)]),
    "extension of an alkene": ("extension", AFATINIB, [("C(=O)-[NH]-c", 0, 2)]),
    "macrocycle": ("macrocycle", ZEARALENONE, [("c/C=C/C", 2, 3), ("O[C@H](C)C", 1, 3)]),
    "joint": ("joint", IMATINIB, [("c-[NH]-c(n)n", 0, 1), ("c-[NH]-c(n)n", 2, 1), ("N-[CH3]", 0, 1)]),
}


@pytest.mark.parametrize(("kind", "smiles", "bonds"), CASES.values(), ids=CASES)
def test_a_template_filled_with_the_missing_piece_is_the_molecule(kind, smiles, bonds):
    drawn, missing = cut(smiles, *bonds)
    wanted = Chem.CanonSmiles(smiles)
    text = ".".join(drawn)
    if kind == "joint":  # a label that two points share joins them
        text = text.replace("[2*]", "[1*]")
    every = task_templates(FragmentTask(kind, text, templates=6), ALPHABET)
    assert len(every) >= 2
    for writing in every:
        used = {token for token in tokenize(writing.hollow) if is_ring_label(token)}
        ways = [path(piece, used) for piece in missing]
        found = []
        for order in itertools.permutations(ways):
            for fills in itertools.product(*order):
                tokens, gap = filled(writing.text, fills)
                if canonical(tokens) == wanted and writing.kept(tokens, gap):
                    found.append((tokens, gap))
        assert found, writing.text
        assert accepted(writing, *found[0])
        assert sorted(Chem.CanonSmiles(piece) for piece in writing.expected(named=False) or []) == writing.expected(named=False)


def test_three_fragments_meet_in_a_core():
    every = task_templates(FragmentTask("morphing", "*C(F)F.*N.*C#N", templates=8), ALPHABET)
    texts = {writing.text: writing for writing in every}
    writing = texts["FC(F){1-8}({0-5}N){0-5}C#N"]
    tokens, gap = filled(writing.text, (("c", "1", "c", "c"), (), ("c", "c", "(", "c", "1", ")")))
    assert canonical(tokens) == Chem.CanonSmiles("FC(F)c1cc(N)cc(C#N)c1")
    assert accepted(writing, tokens, gap) and writing.kept(tokens, gap)
    assert writing.ring and "count(" in writing.constraint(ALPHABET)
    assert task_templates(FragmentTask("linker", "[*:7]C(F)F.[*:7]N.[*:7]C#N", templates=8), ALPHABET)[0].text in texts


def test_a_superstructure_grows_at_each_kind_of_hydrogen_and_at_pairs_of_them():
    every = task_templates(FragmentTask("superstructure", "C[C@H](O)c1ccncc1", templates=40), ALPHABET)
    single = {piece for w in every if w.text.count("{") == 1 for piece in w.expected(named=False) or []}
    assert single == {
        Chem.CanonSmiles(s)
        for s in (
            "[1*]C[C@H](O)c1ccncc1", "C[C@]([1*])(O)c1ccncc1", "C[C@H](O[1*])c1ccncc1",
            "C[C@H](O)c1ccncc1[1*]", "C[C@H](O)c1ccnc([1*])c1",
        )
    }  # fmt: skip
    assert sum(w.text.count("{") == 2 for w in every) > 5
    with pytest.raises(TemplateError, match="has a hydrogen"):
        task_templates(FragmentTask("superstructure", "FC(F)(F)F"), ALPHABET)


FILLS = [  # drawn, the start of a template, what fills its gaps, whether the fragments are kept
    ("extension", "*[C@H](C)O", "C[C@@H]({", ["CC"], True),
    ("extension", "*[C@H](C)O", "C[C@@H]({", ["=C"], False),  # a bond of another order
    ("extension", "*[C@H](C)O", "C[C@@H]({", ["2CC2"], False),  # two bonds where one was drawn
    ("decoration", "*c1ccccc1*", "c1ccc({", ["CC", "CO"], True),
    ("decoration", "*c1ccccc1*", "c1ccc({", ["C2", "CC2"], True),  # a ring over two points, on bonds as drawn
    ("decoration", "*c1ccccc1*", "c1ccc({", ["c2", "ccc2"], False),  # both points taken into an aromatic ring
    ("linker", "*C=C.*C#N", "C=C{", ["CO"], True),
    ("linker", "*C=C.*C#N", "C=C{", ["CC="], False),  # and no molecule
    ("linker", "*/C=C/F.*C#N", "F/C=C/{", ["CO"], True),
]


@pytest.mark.parametrize(("kind", "text", "start", "fills", "kept"), FILLS)
def test_what_changes_a_drawn_bond_is_found(kind, text, start, fills, kept):
    writing = next(w for w in task_templates(FragmentTask(kind, text, templates=9), ALPHABET) if w.text.startswith(start))
    tokens, gap = filled(writing.text, tuple(tuple(tokenize(fill)) for fill in fills))
    assert writing.kept(tokens, gap) == kept
    ranges = tuple((len(fill), len(fill)) for fill in map(tokenize, fills))
    if len(set(ranges)) == 1:  # the constraint refuses by construction what a gap's own ends do wrong
        exact = task_templates(FragmentTask(kind, text, ranges[0], templates=9), ALPHABET)
        writing = next(w for w in exact if w.text.startswith(start))
        ready = plan(parse_template(writing.text, ALPHABET), parse(writing.constraint(ALPHABET)), ALPHABET)
        assert (not ready.violations(torch.tensor([ALPHABET.ids[token] for token in tokens]), 0)) == kept


def ready_of(alphabet: Alphabet, task: str, drawn: str, **fields):
    """A request made ready, with a model of which the alphabet and the longest row are all that is asked."""
    spec = DesignSpec("smiles", drawn, n=64, task=task, syntax=True, **fields)
    return prepare(spec, dataclasses.replace(tiny_checkpoint(), alphabet=alphabet))


def test_every_centre_and_every_charge_is_compared():
    tokens = tokenize("C[C@H](O)[900*]")
    gap = [-1] * 5 + [0]
    assert pieces(tokenize("C[C@H](O)CC"), [-1] * 5 + [0, 0]) == pieces(tokens, gap)
    for other in ("C[C@@H](O)CC", "C[C@H](N)CC"):
        assert pieces(tokenize(other), [-1] * 5 + [0, 0]) != pieces(tokens, gap)
    assert pieces(tokenize("C[NH3+]"), [-1, 0]) == pieces(tokenize("CN"), [-1, 0]) != pieces(tokenize("[2H]N"), [-1, 0])
    assert pieces(tokenize("CN(C)(C)C"), [-1, -1] + [0] * 7) is None  # no molecule


WRONG = [
    ("linker", "*CC", {}, "expected two fragments or more"),
    ("linker", "*CC.*C(*)(*)C", {}, "which points are joined"),
    ("decoration", "*CC.*C", {}, "expected one fragment, got 2"),
    ("extension", "*CC*", {}, "expected one attachment point, got 2"),
    ("extension", "CC", {}, "has no attachment point"),
    ("superstructure", "*CC", {}, "without attachment points"),
    ("macrocycle", "*CC", {}, "expected two attachment points"),
    ("macrocycle", "*C*", {}, "two points on one atom"),
    ("joint", "*CC", {}, "expected two fragments"),
    ("joint", "*C.*C.*C", {}, "needs two points"),
    ("extension", "*[Fe]", {}, "'[Fe]' is not among the model's"),
    ("decoration", "*CC", {"lengths": (5, 3)}, "1 ≤ low ≤ high ≤ 500, got [5, 3]"),
    ("decoration", "*CC", {"lengths": (5,)}, "expected two numbers"),
    ("scaffold", "*CC", {}, "task: expected one of linker"),
    ("linker", "*CC.*C", {"ring_atoms": 9}, "ring_atoms: is of the task macrocycle"),
    ("macrocycle", "*CCC*", {"ring_atoms": 2}, "a ring of at least 3 atoms"),
    ("extension", "*CC", {"lengths": (90, 95)}, "shorten the gaps"),
]


@pytest.mark.parametrize(("kind", "drawn", "fields", "message"), WRONG)
def test_what_does_not_fit_a_task_is_refused_in_words(kind, drawn, fields, message):
    with pytest.raises(SeqdiffError) as error:
        ready_of(ALPHABET, kind, drawn, **fields)
    assert message in str(error.value)


def test_ring_labels_are_renumbered_without_meeting():
    assert "".join(relabelled(tokenize("C%12CC%11CC%11C%12C%11CC%11"), ["5", "6"])) == "C5CC6CC6C5C5CC5"
    with pytest.raises(TemplateError, match="more than 1 rings open at once"):
        relabelled(tokenize("C1CC2CC2C1"), ["1"])


def of_task(task: str, drawn: str, model: Checkpoint, **fields) -> Designs:
    fields = {"syntax": True, "bound_draws": 0, **fields}
    return design(domain="smiles", task=task, template=drawn, checkpoint=model, **fields)


JOINT = "joint", "[*:1]C(F)CC=O.[*:1]N(C)[*:2]"


def test_designs_of_a_task_keep_what_was_drawn_and_share_the_templates():
    model = tiny_checkpoint()
    made = of_task(*JOINT, model, lengths=(1, 2), templates=2, n=12, seed=3)
    valid = [item for item in made.designs if item.valid]
    assert len(valid) > 2 and not made.lost
    fragments = [Chem.MolFromSmarts("[CX4]([F])[CH2][CH]=O"), Chem.MolFromSmarts("[N;X3;+0](-*)(-*)-[CH3]")]
    for item in valid:
        molecule = Chem.MolFromSmiles(item.sequence)
        assert all(molecule.HasSubstructMatch(fragment) for fragment in fragments)
        assert item.pins_kept and not item.certificate.violations
    assert [item.index for item in made.designs] == list(range(12))
    texts = [item.template for item in made.designs]  # place i of the request is written in way i modulo 2
    assert len(set(texts[:2])) == 2 and texts == texts[:2] * 6
    for item in made.designs:
        pinned = "".join(
            ".*" if k % 3 else re.escape(part) for k, part in enumerate(GAP.split(item.template or "")) if k % 3 < 2
        )
        assert re.fullmatch(pinned, item.sequence)
    wished = of_task(*JOINT, model, lengths=(1, 2), templates=2, n=2, seed=3, wishes=["valid"], particles=6, temperature=0.8)
    assert wished.designs and all(item.valid for item in wished.designs)
    assert {item.certificate.text.count("its p(x0 | x_t) at temperature 0.8, position by") for item in wished.designs} == {1}
    assert not any("temperature" in item.certificate.text for item in made.designs)


@pytest.mark.parametrize("more", [{}, {"particles": 3}, {"syntax": False}], ids=str)
def test_rows_of_several_templates_share_passes_and_the_batch_changes_nothing(more):
    fields = {"task": JOINT[0], "lengths": (1, 2), "templates": 2, "seed": 5, "syntax": True, "bound_draws": 0, **more}
    ready = prepare(DesignSpec("smiles", JOINT[1], n=12, **fields), tiny_checkpoint())
    shapes = []

    def drawn(n=12, batch_size=64):
        shapes.clear()
        task = dataclasses.replace(ready, spec=dataclasses.replace(ready.spec, n=n, batch_size=batch_size))
        made = [
            item for batch in design_batches(task, lambda state: shapes.append(state.tokens.shape)) for item in batch.designs
        ]
        return [item.sequence for item in sorted(made, key=lambda item: item.index)]

    whole, together = drawn(), set(shapes)
    assert len(set(whole)) > 6
    assert len(together) == len({len(tokenize(text)) for text in whole})  # one batch of each length, whatever the template
    assert sum(rows for rows, _ in together) == 12 * fields.get("particles", 1)
    for size in (1, 4):
        assert drawn(batch_size=size * fields.get("particles", 1)) == whole
    assert drawn(n=7) == whole[:7]


def test_what_is_not_what_was_asked_for_is_counted_and_not_returned():
    made = of_task("macrocycle", "*CCCC*", tiny_checkpoint(), lengths=(3, 5), ring_atoms=8, templates=1, n=30, seed=1)
    assert 0 < len(made.lost) < 30 and made.summary["returned"] + made.summary["lost"] == made.summary["asked"] == 30
    assert set(made.lost.values()) <= {f"its ring has {n} atoms, fewer than 8" for n in (5, 6, 7)}
    assert sorted([item.index for item in made.designs] + list(made.lost)) == list(range(30))
    for item in made.designs:
        if item.valid:
            assert max(map(len, Chem.MolFromSmiles(item.sequence).GetRingInfo().AtomRings())) >= 8


def test_particles_that_are_not_what_was_asked_for_die():
    asked = "macrocycle", "*CCCC*", tiny_checkpoint()
    fields = {"lengths": (3, 5), "ring_atoms": 8, "templates": 1, "n": 12, "seed": 1, "particles": 8}
    made = of_task(*asked, **fields, wishes=["valid"])
    assert made.designs and not made.lost  # of one particle each some are lost, see above
    for item in made.designs:
        assert max(map(len, Chem.MolFromSmiles(item.sequence).GetRingInfo().AtomRings())) >= 8
        assert "what the task macrocycle asks (hard)" in item.certificate.text
    none = of_task(*asked, **{**fields, "lengths": (3, 3)}, wishes=["valid"])  # a ring of seven at most
    assert not none.designs and not none.lost and len(none.abstained) == 12


IN_OR_OUT = [  # a gap, whether its aromatic atoms may be in rings
    ("", True), ("CClBr[C@@H](C)C", True), ("Cc2ccccc2C", True), ("[nH]2cccc2", True), ("CC(C)n2cc(Br)c%12c2cc%12", True),
    ("Cc=2cccccc2C", True), ("C2CCc3ccccc32", True), ("Cc2ccccc2-c2ccccc2", True), ("[se]2cccc2C", True), ("C(c2)cccc2", True),
    ("CcC", False), ("cC2CC2", False), ("C2CC2c", False), ("C[nH]C2CC2", False), ("C[se]C", False), ("Cn(C)C2CC2", False),
]  # fmt: skip


@pytest.mark.parametrize(("gap", "allowed"), IN_OR_OUT)
def test_aromatic_atoms_of_a_gap_are_in_rings(gap, allowed):
    assert bool(re.fullmatch(IN_RINGS, gap)) == allowed


@pytest.mark.parametrize(
    ("kind", "text", "fills", "held"),
    [
        ("linker", "*CC.*CC", "Ccccc", False),
        ("linker", "*CC.*CC", "c2ccccc2", True),
        ("decoration", "*CCC*", "Ccccc", False),  # two gaps
        ("decoration", "*CCC*", "c2ccccc2", True),
        ("macrocycle", "*CC(C)C*", "CcccccC", False),  # a ring of the template, closed beyond the gap
        ("macrocycle", "*CC(C)C*", "Cc2ccccc2C", True),
    ],
)
def test_the_syntax_holds_that_aromatic_atoms_of_gaps_are_in_rings_of_gaps(kind, text, fills, held):
    size = len(fills), len(fills)
    without, with_syntax = (
        variants(DesignSpec("smiles", text, task=kind, lengths=size, syntax=on), ALPHABET, 96)[0] for on in (False, True)
    )
    template = with_syntax.template
    tokens, gap = filled(with_syntax.text, (tuple(tokenize(fills)),) * with_syntax.text.count("{"))
    row = torch.tensor([ALPHABET.ids[token] for token in tokens])
    spoken = syntax(ALPHABET, template).automaton.accepts(row.tolist(), [int(g < 0) for g in gap])
    broken = plan(template, parse(with_syntax.constraint), ALPHABET).violations(row, 0)
    assert (bool(spoken) and not broken) is held
    assert not plan(template, parse(without.constraint), ALPHABET).violations(row, 0)


def pieces_cut_out(smiles: str):
    """What is left of each piece with one or two ends when one or two single bonds are cut, written from an end."""
    molecule = Chem.MolFromSmiles(smiles)
    pairs = molecule.GetSubstructMatches(Chem.MolFromSmarts("[!#1]-;!@[!#1]"))
    bonds = [molecule.GetBondBetweenAtoms(*pair).GetIdx() for pair in pairs]
    for cuts in itertools.chain(itertools.combinations(bonds, 1), itertools.combinations(bonds, 2)):
        cut = Chem.FragmentOnBonds(molecule, cuts, dummyLabels=[(0, 0)] * len(cuts))
        for piece in Chem.GetMolFrags(cut, asMols=True):
            ends = [atom.GetIdx() for atom in piece.GetAtoms() if atom.GetAtomicNum() == 0]
            yield Chem.MolToSmiles(piece, rootedAtAtom=ends[0]).replace("*", "")


def refused_for_rings(texts: list[str]) -> list[str]:
    """Those that are well formed, but not with aromatic atoms in rings."""
    loose, held = (well_formed(ALPHABET, rings=rings) for rings in (False, True))
    known = [tokens for tokens in map(tokenize, texts) if all(token in ALPHABET.ids for token in tokens)]
    rows = [ALPHABET.encode(tokens) for tokens in known]
    taken = [row for row in rows if loose.accepts(row)]
    assert len(taken) > len(texts) / 2
    return [ALPHABET.decode(row) for row in taken if not held.accepts(row)]


def test_pieces_of_real_molecules_have_their_aromatic_atoms_in_rings():
    for smiles in (BARICITINIB, CYCLOTHIAZIDE, ELIGLUSTAT, IMATINIB, ZEARALENONE, AFATINIB):
        texts = list(pieces_cut_out(smiles))
        assert len(texts) > 5
        assert not [text for text in texts if not re.fullmatch(IN_RINGS, text)]
        assert not refused_for_rings(texts)


@pytest.mark.slow
@pytest.mark.skipif(not ZINC.is_file(), reason="needs ZINC250k")
def test_no_piece_of_zinc_is_refused_for_its_aromatic_atoms():
    """Every 1,000th molecule."""
    texts = [text for smiles in itertools.islice(read_smiles(ZINC), 0, None, 1000) for text in pieces_cut_out(smiles)]
    assert len(texts) > 10_000
    assert not [text for text in texts if not re.fullmatch(IN_RINGS, text)]
    assert not refused_for_rings(texts)


def test_a_morphed_core_has_a_ring_by_construction():
    model = tiny_checkpoint()
    made = of_task("morphing", "*CF.*CCl", model, lengths=(6, 6), templates=1, n=6, seed=1)
    assert len(made.designs) + len(made.lost) == 6
    for item in made.designs:
        assert sum(is_ring_label(token) for token in tokenize(item.sequence)) >= 2
    assert json.dumps([item.to_dict() for item in made.designs])


REFUSALS = [  # task, its ring_atoms, drawn, start of a template, what fills its gaps, why it is not returned
    ("macrocycle", 8, "*CCCC*", "C", ["CCCC"], ""),
    ("macrocycle", 8, "*CCCC*", "C", ["CC(CC)C"], "its ring has 7 atoms, fewer than 8"),
    ("macrocycle", 8, "*CCCC*", "C", ["C=CC"], "its ring has 7 atoms, fewer than 8"),
    ("macrocycle", 8, "*CCCC*", "C", ["C2CCC2"], "its ring has 6 atoms, fewer than 8"),
    ("macrocycle", 8, "*c1ccccc1*", "c1ccc2c(c1)", ["CCCCCC"], ""),
    ("macrocycle", 9, "*c1ccccc1*", "c1ccc2c(c1)", ["CCCCCC"], "its ring has 8 atoms, fewer than 9"),
    ("morphing", None, "*CF.*C#N", "FC{", ["C1CC1"], ""),
    ("morphing", None, "*CF.*CN(C)C*.*C#N", "FC{", ["C1C", "C1C"], "what joins the fragments holds no ring of its own"),
    ("decoration", None, "*c1ccccc1*", "c1ccc({", ["c2", "ccc2"], "a fragment does not stand in it as it was drawn"),
]


@pytest.mark.parametrize(("kind", "ring_atoms", "text", "start", "fills", "why"), REFUSALS)
def test_what_no_rule_on_tokens_says_is_found_afterwards(kind, ring_atoms, text, start, fills, why):
    task = FragmentTask(kind, text, ring_atoms=ring_atoms, templates=9)
    writing = next(w for w in task_templates(task, ALPHABET) if w.text.startswith(start))
    tokens, gap = filled(writing.text, tuple(tuple(tokenize(fill)) for fill in fills))
    assert Chem.MolFromSmiles("".join(tokens)) is not None
    assert refusal(task, writing, tokens, gap) == why


def test_the_bridged_ring_is_the_smallest_that_rdkit_finds_through_the_drawn_bonds():
    random.seed(2)
    task = FragmentTask("macrocycle", "*CC(=O)N[C@@H](C)C(=O)Nc1cccc(*)c1", ring_atoms=3)
    (writing, *_) = task_templates(task, ALPHABET)
    sizes = set()
    for _ in range(40):
        middle = random.choices(["C", "C(C)", "C2CCC2", "C2CCC(C2)", "C=C", "C(=O)N", "c2ccc(cc2)"], k=random.randint(1, 4))
        tokens, gap = filled(writing.text, (tuple(tokenize("".join(middle))),))
        molecule = Chem.MolFromSmiles("".join(tokens))
        owner = [g for token, g in zip(tokens, gap, strict=True) if token[0] not in "()=0123456789"]
        drawn = {b.GetIdx() for b in molecule.GetBonds() if (owner[b.GetBeginAtomIdx()] < 0) != (owner[b.GetEndAtomIdx()] < 0)}
        rings = [len(ring) for ring in molecule.GetRingInfo().BondRings() if drawn <= set(ring)]
        assert bridged_ring(tokens, gap) == min(rings)
        sizes.add(min(rings))
    assert len(sizes) > 5


def test_a_task_reads_its_drawing_from_a_file(tmp_path):
    smi = tmp_path / "drawn.smi"
    smi.write_text("*CC first\n\n[*:2]N1CCCC1\tsecond\n")
    assert read_drawn(smi) == "*CC.[*:2]N1CCCC1"
    sdf = tmp_path / "drawn.sdf"
    with Chem.SDWriter(str(sdf)) as file:
        for text in ("[1*]CC", "[2*]N1CCCC1"):
            file.write(Chem.MolFromSmiles(text))
    found = [f.smiles for f in read_fragments(read_drawn(sdf))]
    assert found == [f.smiles for f in read_fragments("[1*]CC.[2*]N1CCCC1")]
    (tmp_path / "empty.smi").write_text("\n")
    (tmp_path / "binary.mol").write_bytes(b"\xff\xfe\x00")
    for name, message in (
        ("none.smi", "could not read .*No such file"),
        ("drawn.cdx", r"ends in \.sdf, \.mol"),
        ("empty.smi", "expected a fragment in each line"),
        ("binary.mol", "is not text in UTF-8"),
    ):
        with pytest.raises(SeqdiffError, match=message):
            read_drawn(tmp_path / name)


def test_ways_that_the_model_has_no_tokens_for_are_left_out():
    few = Alphabet("smiles", ("C", "N", "O", "(", ")", "=", "1"))
    drawn = "*C1CC1.*C2CC2"  # where the second ring is written inside of the first, two labels are open at once
    assert {v.text for v in variants(DesignSpec("smiles", drawn, task="linker"), few, 96)} == {"C1CC1{4-19}C1CC1"}
    with pytest.raises(TemplateError, match="more than 1 rings open at once"):
        variants(DesignSpec("smiles", "*C1CC2CC2C1.*C", task="linker"), few, 96)
    with pytest.raises(TemplateError, match="'F' is not among the model's 7 tokens"):
        variants(DesignSpec("smiles", "*CF.*C", task="linker"), few, 96)


@pytest.mark.parametrize(
    ("text", "most", "shorter"),
    [
        ("C{4-19}N", 21, "C{4-19}N"),
        ("C{4-19}N", 12, "C{4-10}N"),
        ("{1-17}c1c({1-17})cccc1{4-6}", 30, "{1-7}c1c({1-7})cccc1{4-6}"),
        ("C{3}N{2-9}", 8, "C{3}N{2-3}"),
        ("C{4-19}N", 5, "C{4-19}N"),
        ("CCO", 2, "CCO"),
    ],
)
def test_the_longest_gaps_give_way_to_what_the_model_has_room_for(text, most, shorter):
    assert fitted(text, most) == shorter


def test_a_task_that_only_its_own_lengths_make_too_long_is_not_refused():
    drawn = "[*:1]C(F)(F)C(C[*:4])NS(=O)(=O)c1c([*:3])cc([*:2])cc1C"
    found = variants(DesignSpec("smiles", drawn, task="decoration"), ALPHABET, 96)
    longest = [v.template.length_range[1] for v in found]
    assert len(found) == 4 and min(longest) > 90 and max(longest) <= 96
    given = variants(DesignSpec("smiles", drawn, task="decoration", lengths=(1, 30)), ALPHABET, 96)
    assert given[0].template.length_range[1] > 96  # refused later, in words: the user said so


def test_tasks_are_asked_for_in_the_right_way():
    with pytest.raises(ConfigError, match="at least one template"):
        FragmentTask("linker", "*C.*C", templates=0)
    assert [f.labels for f in read_fragments("[*:3]C[*:4].[2*]C")] == [(3, 4), (2,)]


def test_a_long_drawing_is_written_or_refused_in_time():
    every = task_templates(FragmentTask("extension", "*" + "C" * 80), ALPHABET)
    assert every[0].text.replace("{3-8}", "") == "C" * 80
    started = time.monotonic()
    with pytest.raises(SeqdiffError):  # no model has room for it
        ready_of(ALPHABET, "superstructure", "C" * 990)
    assert time.monotonic() - started < 60  # and not forever: two seconds of the child, and its start


def test_the_examples_of_the_page_are_what_it_says():
    page = (Path(__file__).parents[2] / "docs" / "molecules.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| `[a-z]+` \|", line)]
    cells = [[cell.strip(" `").replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    assert {kind for kind, _, _ in cells} == set(TASKS)
    for kind, drawn, template in cells:
        assert task_templates(FragmentTask(kind, drawn), ALPHABET)[0].text == template
