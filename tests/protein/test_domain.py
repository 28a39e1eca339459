"""The protein domain in a request: figures, files, pins, chains."""

import csv
import json

import pytest
import torch

from domains.design import DesignSpec, design
from domains.protein.data import PROTEIN, Record, read_fasta
from domains.protein.logo import heights
from domains.protein.metrics import composition_kl, evaluate_set, word_overlap
from domains.protein.properties import METRICS, RESIDUE_CHARGE, describe
from domains.protein.wishes import read_wish
from domains.registry import get_domain
from domains.wishes import Wish
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConditionError, ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.mdlm import MDLM


def figures(sequence) -> dict[str, float]:
    return {name: float(value) for name, value in describe(sequence).metrics.items() if value is not None}


@pytest.fixture(scope="module")
def checkpoint():
    network = Transformer(TransformerConfig(len(PROTEIN), width=16, depth=1, heads=2))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    system = MDLM(Absorbing(PROTEIN.mask, Linear()))
    return Checkpoint(network.eval().requires_grad_(False), system, PROTEIN, (), {"all": [0] * 6 + [1] * 95})


def test_figures_by_hand_and_by_protparam():
    from Bio.SeqUtils.ProtParam import ProteinAnalysis

    text = "MKNGSDGHCCNPSNVTRW"
    metrics, other = figures(text), ProteinAnalysis(text)
    assert tuple(metrics) == METRICS
    assert (metrics["length"], metrics["chains"], metrics["cysteines"]) == (18, 1, 2)
    assert metrics["n_glycosylation"] == 2  # N-G-S and N-V-T, not N-P-S
    assert (metrics["deamidation"], metrics["isomerisation"]) == (1, 1)
    assert metrics["residue_charge"] == 1.1  # K + R + 0.1 H − D
    assert metrics["pi"] == pytest.approx(other.isoelectric_point(), abs=2e-3)
    assert metrics["charge"] == pytest.approx(other.charge_at_pH(7.0))
    assert metrics["gravy"] == pytest.approx(other.gravy())
    assert metrics["instability"] == pytest.approx(other.instability_index())
    assert metrics["weight"] == pytest.approx(other.molecular_weight())


def test_sequons_that_overlap_are_counted_each():
    assert describe("NNSSA").metrics["n_glycosylation"] == 2


def test_residue_charges_are_biopython_s_at_ph_7_in_steps_of_a_tenth():
    from Bio.SeqUtils.IsoelectricPoint import IsoelectricPoint

    bare = IsoelectricPoint("G" * 30).charge_at_pH(7.0)
    for letter in "ACDEFGHIKLMNPQRSTVWY":
        one = IsoelectricPoint("G" * 15 + letter + "G" * 15).charge_at_pH(7.0) - bare
        assert round(one, 1) == RESIDUE_CHARGE.get(letter, 0.0), letter


def test_two_chains_add_up():
    a, b = "MKKLAW", "DDEGHW"
    one, two, both = figures(a), figures(b), figures(f"{a}/{b}")
    for name in ("length", "weight", "charge", "residue_charge", "cysteines"):
        assert both[name] == pytest.approx(one[name] + two[name])
    assert both["gravy"] == pytest.approx((one["gravy"] + two["gravy"]) / 2)
    assert min(one["pi"], two["pi"]) < both["pi"] < max(one["pi"], two["pi"])
    assert describe("NG/SA").metrics["n_glycosylation"] == 0 and describe("DN/GA").metrics["deamidation"] == 0


@pytest.mark.parametrize(
    "sequence, chains, reason",
    [
        ("MKXLA", 1, "unknown residue X at position 3"),
        ("MK/LA", 1, "a chain break where none was asked for: 2 chains instead of 1"),
        ("MK//LA", 3, "a chain without residues"),
        ("MK_LA", 1, "no amino acid: _"),
    ],
)
def test_what_is_not_valid_says_why(sequence, chains, reason):
    assert (describe(sequence, chains).valid, describe(sequence, chains).reason) == (False, reason)


def test_a_design_keeps_its_pins_chains_and_constraint(checkpoint):
    request = {"template": "{3-6}CDG{4}/MK{5}", "n": 24, "constraint": "avoid(N-[^P]-[ST]) & within(gap1, ban([C]))"}
    found = design(domain="protein", checkpoint=checkpoint, steps=8, **request)
    lengths = set()
    for item in found.designs:
        first, second = item.sequence.split("/")
        at = len(first) - 7
        lengths.add(at)
        assert item.valid and item.pins_kept and first[at : at + 3] == "CDG" and second.startswith("MK")
        assert "C" not in first[:at] and item.metrics["n_glycosylation"] == 0
        assert item.pinned_atoms == (at, at + 1, at + 2, len(first), len(first) + 1, len(first) + 2)
        assert not item.certificate.violations
    assert lengths <= {3, 4, 5, 6} and len(lengths) > 1


def test_like_chains_by_tied_gaps(checkpoint):
    found = design(domain="protein", checkpoint=checkpoint, template="{12}/{12}", constraint="tie(gap1, gap2)", n=8, steps=6)
    assert len({item.sequence for item in found.designs}) == 8
    for item in found.designs:
        first, second = item.sequence.split("/")
        assert first == second and item.metrics["chains"] == 2


def test_a_free_design_holds_neither_x_nor_a_break(checkpoint):
    logits = checkpoint.network(torch.full((1, 40), PROTEIN.mask), torch.ones(1), None, None)[0]
    likely = logits.softmax(-1)[:, [PROTEIN.ids["X"], PROTEIN.ids["/"]]].sum()
    assert likely > 1  # weights are random: of 40 residues one or more would be X or a break
    found = design(domain="protein", checkpoint=checkpoint, n=12, steps=4)
    for item in found.designs:
        assert item.valid and item.canonical == item.sequence and item.reason == "" and not set(item.sequence) & set("X/")
        assert item.metrics["chains"] == 1


def test_a_free_design_of_joined_chains_may_hold_breaks(checkpoint):
    from dataclasses import replace

    lengths = {"all": [0] * 40 + [1], "joined": [0] * 40 + [1]}
    joined = replace(checkpoint, label_names=("joined",), length_counts=lengths)
    banned = get_domain("protein").templates(DesignSpec("protein", label="joined"), joined)[0].template.banned
    assert banned == {PROTEIN.ids["X"]}
    banned = get_domain("protein").templates(DesignSpec("protein"), joined)[0].template.banned
    assert banned == {PROTEIN.ids["X"], PROTEIN.ids["/"]}


def test_syntax_is_refused_by_name(checkpoint):
    with pytest.raises(ConfigError, match="proteins have no syntax to hold"):
        design(domain="protein", checkpoint=checkpoint, template="MK{3}", n=1, syntax=True)


@pytest.mark.parametrize(
    "text, sequence, weight",
    [
        ("charge >= 3", "KKKKKK", 0.0),
        ("residue_charge <= 4", "KKKKKK", -8.0),
        ("1 <= residue_charge <= 4 * 0.5", "DA", -1.0),
        ("valid", "MKX", -float("inf")),
        ("charge >= 3", "MKX", -float("inf")),
        ("length >= 20", "K" * 10, -4.0),
    ],
)
def test_wishes(text, sequence, weight):
    found = read_wish(text)
    assert isinstance(found, Wish) and found.log_weight(sequence) == weight


@pytest.mark.parametrize("text", ["charge", "qed >= 0.5", "3 <= charge <= 2", "charge >= 2 * 0", "valid >= 1"])
def test_wishes_that_cannot_be(text):
    with pytest.raises(ConditionError, match="wish: "):
        read_wish(text)


def test_a_wish_bends_designs(checkpoint):
    request = {"domain": "protein", "checkpoint": checkpoint, "template": "{16}", "n": 16, "steps": 6, "bound_draws": 0}
    plain = design(**request)
    bent = design(**request, wishes=["residue_charge >= 4"], particles=16)

    def mean(answer):
        return sum(item.metrics["residue_charge"] for item in answer.designs) / len(answer.designs)

    assert mean(bent) > mean(plain) + 1.5


def test_a_bias_in_a_request_bends_designs_and_stands_in_the_certificate(checkpoint):
    request = {"domain": "protein", "checkpoint": checkpoint, "template": "{16}", "n": 16, "steps": 6, "bound_draws": 0}
    bent = design(**request, wishes=['bias {"W": 3, "K": -5}', "charge >= -9"], particles=4)
    plain = design(**request)

    def share(answer, letter):
        return sum(item.sequence.count(letter) for item in answer.designs) / (16 * len(answer.designs))

    assert share(bent, "W") > share(plain, "W") + 0.2 and share(bent, "K") < share(plain, "K")
    assert 'bias {"W": 3, "K": -5}' in str(bent.designs[0].certificate)


def test_files(checkpoint, tmp_path):
    found = design(domain="protein", checkpoint=checkpoint, template="MK{70}", n=6, steps=4)
    domain = get_domain("protein")
    for suffix in domain.SUFFIXES:
        domain.write(tmp_path / f"a{suffix}", found.designs)
    records = list(read_fasta(tmp_path / "a.fasta"))
    assert [record.sequence for record in records] == [item.sequence for item in found.designs]
    keys = dict(pair.split("=") for pair in records[0].header.split()[1:])
    assert keys["pins_kept"] == "true" and float(keys["pi"]) == pytest.approx(found.designs[0].metrics["pi"], rel=1e-4)
    assert records[5].name == "design-6" and isinstance(records[0], Record)
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert float(rows[2]["charge"]) == found.designs[2].metrics["charge"] and rows[2]["name"] == "design-3"
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["sequence"] for line in lines] == [item.sequence for item in found.designs] and lines[0]["pinned"] == [0, 1]
    from PIL import Image

    with Image.open(tmp_path / "a.png") as picture:
        colors = {color for _, color in picture.convert("RGB").getcolors(1 << 20) or ()}
    assert (0x56, 0xB4, 0xE9) in colors  # the bar under what is pinned
    with pytest.raises(ConfigError, match="expected a file ending in .csv, .fasta"):
        domain.write(tmp_path / "a.sdf", found.designs)


def test_a_logo_of_no_designs_is_a_picture_all_the_same(tmp_path):
    get_domain("protein").write(tmp_path / "a.png", [])
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_heights_of_a_logo():
    import math

    e = 19 / (2 * math.log(2) * 100)
    sure, half = heights(["AC"] * 50 + ["AD"] * 50)
    assert sure == [("A", pytest.approx(math.log2(20) - e))]
    assert half == [("C", pytest.approx((math.log2(20) - 1 - e) / 2)), ("D", pytest.approx((math.log2(20) - 1 - e) / 2))]


def test_figures_of_a_set():
    known = {"MKVLA"}
    found = evaluate_set(["MKVLA", "MKVLA", "GHTRW", "MKX"], known, {"A": 10})
    assert (found["designs"], found["valid"], found["unique"], found["novel"]) == (4, 0.75, 2 / 3, 1 / 3)
    assert found["mean"]["length"] == 5 and found["word_overlap"] == 0
    assert word_overlap(["ACDE", "ACDF"]) == pytest.approx(1 / 3) and word_overlap(["ACDE"]) is None
    assert composition_kl(["ACDEFGHIKLMNPQRSTVWY"], dict.fromkeys("ACDEFGHIKLMNPQRSTVWY", 7)) == pytest.approx(0, abs=1e-12)
    assert evaluate_set([], known, None)["valid"] is None


def test_extras_of_a_training_tell_novelty_by_chain(checkpoint, tmp_path):
    (tmp_path / "a.fasta").write_text(
        "".join(f">p{i}\n{t}\n" for i, t in enumerate(["MKVLAWGHTRNDEQC", "GGSGGSGGSGGSGGS"] * 2))
    )
    domain = get_domain("protein")
    table = {"files": [{"path": "a.fasta", "label": "a"}], "min_length": 5, "held_out_percent": 0, "joined_percent": 50}
    data = domain.encode_training_data(table, tmp_path)
    checkpoint.save(tmp_path / "model", "card")
    domain.training_extras(data, tmp_path / "model")
    loaded = load_checkpoint(tmp_path / "model")
    counts = json.loads((tmp_path / "model" / "composition.json").read_text())
    assert counts["trained"]["W"] == 2 and counts["trained"]["/"] == 1 and not any(counts["held_out"].values())
    request = {"domain": "protein", "checkpoint": loaded, "n": 1, "steps": 2}
    for first, novel in (("MKVLAWGHTRNDEQC", False), ("MKVLAWGHTRNDEQW", True)):
        found = design(template=f"{first}/GGSGGSGGSGGSGG_", constraint="pin(30, S)", **request)
        assert found.designs[0].metrics["novel"] is novel
