"""Secondary structure: tables encoded, states of residues told, and wished."""

import lzma

import pytest
import torch

from constraints.guidance.guides import Lookahead
from domains.protein import classes
from domains.protein.classes import StateWish, look_ahead, state_probability
from domains.protein.data import PROTEIN
from domains.protein.states import STATES, TAGGED
from domains.protein.wishes import guide_of, read_wish
from domains.registry import get_domain
from domains.wishes import Wish
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConditionError, ConfigError
from seqdiff.systems.registry import build_system

ROWS = [
    ("MKVLAWGHTRNDEQCMKVLAW", "CCHHHHHHHHHHHHEEEEEEC", "0" + "1" * 20),
    ("MKVLAWGHTRNDEQCMKVLAW", "C" * 21, "1" * 21),  # the same chain: the first counts
    ("GGSGGSGGSGGSGGSGGSGGS", "C" * 20, "1" * 21),  # a state is missing
    ("GGSGGSGGSGGSGGSGGSGGX", "C" * 20 + "E", "1" * 21),
    ("GGSGG", "CCCCC", "11111"),  # too short
]


@pytest.fixture(scope="module")
def tagger():
    """A tagger whose weights are random."""
    model = {"vocabulary": len(TAGGED), "labels": 1, "classes": 3, "width": 16, "depth": 1, "heads": 2}
    network, system = build_system("tagger", model, {"kind": "linear"})
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return Checkpoint(network.eval().requires_grad_(False), system, TAGGED, ("chains",), {"chains": [0, 1]})


@pytest.fixture
def bundled(tagger, monkeypatch):
    monkeypatch.setattr(classes, "bundled_classifier", lambda name: {"protein-states": tagger}[name])


def test_residues_and_states_stand_by_turns(tmp_path):
    lines = ["id\tsequence\tss3\tmask", *("\t".join([f"c{i}", *row]) for i, row in enumerate(ROWS))]
    (tmp_path / "a.tsv.xz").write_bytes(lzma.compress("\n".join(lines).encode()))
    table = {"target": "states", "files": [{"path": "a.tsv.xz", "label": "chains"}], "held_out_percent": 0}
    data = get_domain("protein").encode_training_data(table, tmp_path)
    assert (len(data.labels), data.provenance["refused"], data.alphabet) == (2, 1, TAGGED)
    row = [TAGGED.tokens[i] for i in data.tokens[: data.offsets[1]]]
    assert "".join(row[::2]) == ROWS[0][0]
    assert row[1::2] == ["unknown", "coil", *["helix"] * 12, *["strand"] * 6, "coil"]
    for key, value, message in (
        ("target", "depth", "data.target: expected 'states'"),
        ("half", 1, "data.half: unknown key"),
    ):
        with pytest.raises(ConfigError, match=message):
            get_domain("protein").encode_training_data(table | {key: value}, tmp_path)


def test_the_figure_is_the_mean_over_the_residues_and_none_behind_the_end(tagger):
    texts = ["MKVLAWG", "GGSGGSG", "MKV"]
    said = tagger.network.log_classes(torch.tensor([PROTEIN.encode(texts[0])]), torch.zeros(1))[0].exp()
    found = state_probability("strand", (2, 5), texts, tagger)
    assert found[0] == pytest.approx(float(said[2:6, 1].mean()), abs=1e-6)
    short = tagger.network.log_classes(torch.tensor([PROTEIN.encode("MKV")]), torch.zeros(1))[0].exp()
    assert found[2] == pytest.approx(float(short[2, 1]) / 4, abs=1e-6)
    three = [state_probability(state, (0, 6), texts[:1], tagger)[0] for state in STATES]
    assert sum(three) == pytest.approx(1) and max(three) - min(three) > 1e-3


def test_a_wish_of_residues_looks_ahead_at_them(bundled, tagger):
    wish = read_wish("helix 2-5 >= 0.9")
    p = state_probability("helix", (2, 5), ["MKVLAWG"], tagger)[0]
    assert isinstance(wish, Wish) and wish.log_weight("MKVLAWG") == pytest.approx(-4 * (0.9 - p) / 0.1)
    guide, x_t = guide_of("helix 2-5 >= 0.9", PROTEIN), torch.tensor([[*PROTEIN.encode("MK"), *[PROTEIN.mask] * 4]])
    assert isinstance(guide, Lookahead) and guide.ahead is not None
    holes = torch.tensor([[*PROTEIN.encode("MK"), *[TAGGED.mask] * 4]])
    want = tagger.network.log_classes(holes, torch.tensor([0.6]))[:, 2:6, 0].sum(1)
    assert torch.allclose(guide.ahead(x_t, torch.tensor([0.6])), want)
    assert isinstance(look_ahead("coil 0-3", PROTEIN).wish, StateWish)


@pytest.mark.parametrize("text", ["helix >= 0.5", "helix 5-2 >= 0.5", "helix ten >= 0.5", "helix 2-5", "sheet 2-5 >= 0.5"])
def test_wishes_of_residues_that_cannot_be(bundled, text):
    with pytest.raises(ConditionError, match="wish: expected"):
        guide_of(text, PROTEIN)
