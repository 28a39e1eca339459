"""Spans that may be cut, and moves: molecules of their parents, what is pinned kept, the same for the same seed."""

import numpy as np
import pytest
import torch

from domains.campaign.archive import Archive, Candidate
from domains.smiles.edits import edited
from domains.smiles.gaps import Once, shared_syntax
from domains.smiles.moves import MOVES, Moves, Templates
from domains.smiles.pieces import attached, canonical, pieces_of, pinned_part, relabelled
from domains.smiles.redesign import Redesign
from seqdiff.errors import ConfigError
from tests.tiny_model import tiny_checkpoint

CHIRAL = "C[C@H](N)c1ccc(OC)cc1"
MOLECULES = (CHIRAL, "CC(=O)Nc1ccc(O)cc1", "C1CC2CCC1CC2", "N#Cc1cnc2ccccc2c1C(F)(F)F", "O=C(/C=C/c1ccco1)N1CCOCC1")
LABELS = ("1", "2", "3", "4")


@pytest.mark.parametrize("smiles", MOLECULES)
def test_every_span_can_be_taken_out_and_carbons_put_in(smiles):
    """A span balances its own branches and rings, so that an atom in its place always reads as SMILES."""
    from rdkit import Chem, rdBase

    rng = np.random.default_rng(0)
    piece = pieces_of(smiles, (), rng)
    assert canonical("".join(piece.tokens), 99) == canonical(smiles, 99)
    spans = piece.spans(single=False)
    assert len(spans) > len(piece.tokens) and set(piece.spans(single=True)) < set(spans)
    with rdBase.BlockLogs():
        for i, j in spans:
            text = "".join((*piece.tokens[:i], "C", *piece.tokens[j:]))
            assert Chem.MolFromSmiles(text, sanitize=False) is not None, text


def test_a_cut_through_single_bonds_leaves_rings_whole():
    rng = np.random.default_rng(1)
    for _ in range(10):
        piece = pieces_of("CC(=O)Nc1ccc(O)cc1", (), rng)
        for i, j in piece.spans(single=True):
            inside = piece.tokens[i:j]
            assert inside.count("c") in (0, 6)
            if "=" in inside:  # both ends of the double bond
                k = inside.index("=")
                assert {"C", "O"} <= {*inside[:k], inside[k + 1]}


def test_an_aromatic_ring_written_with_double_bonds_can_lose_an_atom():
    piece = pieces_of("Cc1ccncc1", (0, 4), np.random.default_rng(2), kekule=True)
    assert canonical("".join(piece.tokens), 99) == "Cc1ccncc1" and not {"c", "n"} & {*piece.tokens}
    assert [piece.tokens[place] for place in piece.pins] == ["C", "N"]
    shorter = {canonical("".join((*piece.tokens[:i], *piece.tokens[j:])), 99) for i, j in piece.spans(single=False)}
    assert {"CC1=CCN=C1", "CC1=CN=CC1", "CC1=CC=NC1", "CC1C=CN=C1"} & shorter
    aromatic = pieces_of("Cc1ccncc1", (0, 4), np.random.default_rng(2))
    spans = [
        (i, i + 1) for i, token in enumerate(aromatic.tokens) if token in "cn" and (i, i + 1) in aromatic.spans(single=False)
    ]
    assert {canonical("".join((*aromatic.tokens[:i], *aromatic.tokens[j:])), 99) for i, j in spans} == {
        None
    }  # no double bonds fit


def test_rings_of_two_owners_are_told_apart():
    tokens = [*[(t, 0) for t in "C1CC"], *[(t, 1) for t in "C1CC1"], *[(t, 0) for t in "C1"]]
    assert "".join(relabelled(tokens, ["1", "2", "3"]) or []) == "C1CCC2CC2C1"  # type: ignore[arg-type]
    assert relabelled(tokens, ["1"]) is None


def scored(*smiles: str, pins: tuple[int, ...] = ()) -> Archive:
    archive = Archive()
    for text in smiles:
        archive.add(Candidate(str(canonical(text, 99)), text, pins), 0.0, 0)
    return archive


def made(how: str, archive: Archive, seed: int, n: int = 30, **settings):
    rng = np.random.default_rng(seed)
    templates = Templates(Moves(**settings), LABELS, 1)
    found = (templates.make(how, archive.entries[0], archive.entries[-1], rng) for _ in range(n))
    return [template for template in found if template is not None]


@pytest.mark.parametrize("how", MOVES)
def test_a_template_holds_its_parent_but_for_what_was_cut_and_every_pin(how):
    """The amide and the ring's first atom are pinned; a template that the move makes has them, in their order."""
    archive = scored("CC(=O)Nc1ccc(O)cc1", "OCC1CCCC1", pins=(1, 2, 3, 4))
    templates = made(how, archive, 0, junction=2)
    assert len(templates) > 10 and templates == made(how, archive, 0, junction=2) != made(how, archive, 1, junction=2)
    for template in templates:
        assert [str(template.tokens[place]).upper() for place in template.pins] == ["C", "O", "N", "C"]
        assert template.how == how and template.parents == ((0, 1) if how in ("graft", "cross") else (0,))
        gap = template.tokens.count(None)
        assert gap <= {"redesign": 11, "tweak": 3, "renoise": 4, "graft": 2, "cross": 2, "edit": 0}[how]


def test_gaps_are_sized_so_that_rows_share_passes():
    """Sizes that fit may be three; where a tweak has but two, or a gap would be empty, a row may be of another length."""
    for how, share in (("redesign", 1.0), ("tweak", 0.6), ("renoise", 1.0), ("graft", 1.0)):
        lengths = [len(t.tokens) % 3 == 1 for t in made(how, scored(*MOLECULES[:2]), 0, every=3, junction=2)]
        assert np.mean(lengths) >= share, how


def test_edits_make_what_is_an_atom_a_bond_or_a_ring_away():
    rng = np.random.default_rng(0)
    chain, ring = (
        {canonical(made[0], 99) for made in (edited(smiles, rng) for _ in range(300)) if made is not None}
        for smiles in ("CCCCO", "C1CCCCC1")
    )
    assert {"CCCCCO", "CCC(C)CO", "CCCCOC", "CCCO", "CCCCN", "C=CCCO", "CCCC=O", "C1CCOC1", "OC1CCC1"} <= chain
    assert {"CCCCCC", "C1CCCC1", "C1CCCCCC1", "C1CCNCC1", "C1=CCCCC1", "C1CC2CCC12"} <= ring


def test_edits_keep_pins_and_say_where_they_are():
    pins, rng = (1, 2, 3, 4, 5), np.random.default_rng(0)  # the stereo centre, its amine and half of the ring
    made = [edited(CHIRAL, rng, pins) for _ in range(60)]
    children = {smiles for smiles, _ in filter(None, made)}
    assert len(children) > 20
    for smiles, places in filter(None, made):
        assert pinned_part(smiles, places) == pinned_part(CHIRAL, pins)


@pytest.mark.parametrize("how", MOVES)
def test_children_are_molecules_with_the_pins_of_their_parents(how, monkeypatch):
    """One move alone, filled by the tests' model: what is pinned is the same graph, and grew only where it had grown."""
    monkeypatch.setattr("domains.smiles.redesign.MOVES", {how: MOVES[how]})
    monkeypatch.setattr("domains.smiles.redesign.shares", lambda archive, moves: [1.0])
    redesign = Redesign(tiny_checkpoint(), [], Moves(batch=24, pool=1, draws=2))
    archive = scored("CC(=O)Nc1ccc(CCO)cc1", "CC(=O)Nc1ccc(CCN)cc1", pins=(1, 2, 3, 4, 5, 6))
    children = [c for seed in range(3) for c in redesign.propose(archive, np.random.default_rng(seed))]
    assert children and children == [c for seed in range(3) for c in redesign.propose(archive, np.random.default_rng(seed))]
    for child in children:
        parent = archive.entries[child.parents[0]]
        assert canonical(child.written, 38) == child.text not in archive and child.how == how
        assert pinned_part(child.written, child.pins) == pinned_part(parent.written, parent.pins)
        assert attached(child.written, child.pins) <= attached(parent.written, parent.pins) == {0, 3, 5}


def test_one_generation_draws_on_all_moves_and_asks_for_the_most_hopeful():
    few = Moves(batch=5, pool=8)
    redesign = Redesign(tiny_checkpoint(), [], few)
    archive = Archive()
    for k in range(1, 9):
        archive.add(Candidate("C" * k + "O", "C" * k + "O"), float(k), 0)
    chosen = redesign.propose(archive, np.random.default_rng(0))
    everything = Redesign(tiny_checkpoint(), [], Moves(batch=40, pool=1)).propose(archive, np.random.default_rng(0))
    assert len(chosen) == 5 < len(everything) and {c.text for c in chosen} < {c.text for c in everything}
    assert {"edit", "tweak", "redesign"} <= {c.how for c in everything}


def test_draws_of_one_template_share_a_pass_and_nothing_changes():
    checkpoint, seen = tiny_checkpoint(), []

    class Watched(torch.nn.Module):
        config = checkpoint.denoiser.config

        def forward(self, x_t, *more):
            seen.append(len(x_t))
            return checkpoint.denoiser(x_t, *more)

    x_t = torch.tensor([[0, 16, 2], [1, 16, 2], [0, 16, 2], [0, 16, 2]])
    positions = torch.tensor([[1], [1], [1], [2]])
    label, t = torch.zeros(4, dtype=torch.int64), torch.rand(4, dtype=torch.float64)
    once = Once(Watched())(x_t, t, label, None, positions)
    assert seen == [3] and torch.allclose(once, checkpoint.denoiser(x_t, t, label, None, positions), atol=1e-6)


def test_one_automaton_serves_templates_with_any_rings():
    alphabet = tiny_checkpoint().alphabet
    chain, pinned = shared_syntax(alphabet)
    one, two, dot = alphabet.ids["1"], alphabet.ids["2"], alphabet.ids["."]
    classes = chain.automaton.classes
    assert pinned == len(classes) - 1 == 4
    assert classes[0, one] == classes[1, two] and classes[1, one] == classes[0, dot] == classes[3, one]


@pytest.mark.parametrize("smiles", ["C[CH]C", "O=C1C[CH]CN1", "C.C", "C" * 39, "C(", ""])
def test_what_is_not_scored(smiles):
    assert canonical(smiles, 38) is None and canonical("C[C@H](N)O", 38) == "C[C@H](N)O"


def test_wrong_settings_say_what_is_right():
    with pytest.raises(ConfigError, match="cut: expected 0 to 200, got -1"):
        Moves(cut=-1)
