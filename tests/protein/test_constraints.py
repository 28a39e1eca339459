"""What protein designers ask for, as constraints, and the command line that takes it."""

import json
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from apps.cli.main import app
from constraints.compilation.compile import compile
from constraints.compilation.layout import Layout
from constraints.language.notation import parse
from domains.protein.constraints import (
    charge_range,
    composition,
    edits,
    fixed,
    identity,
    like_chains,
    net_charge,
    no_acid_cleavage,
    no_deamidation,
    no_isomerisation,
    no_n_glycosylation,
    omit,
    paired_cysteines,
)
from domains.protein.data import PROTEIN
from domains.protein.properties import describe
from seqdiff.errors import ConditionError
from tests.protein.files import pdb

PAGE = (Path(__file__).parents[2] / "docs" / "proteins.md").read_text()
EVERYTHING = no_n_glycosylation() & no_deamidation() & no_isomerisation() & composition("C", 0, 1) & net_charge(3, 6)


def test_constraints_hold_in_draws_and_agree_with_the_figures_told():
    asked = EVERYTHING & fixed(0, "M") & omit("W")
    compiled = compile(asked, PROTEIN, [Layout(40)])
    generator = torch.Generator().manual_seed(3)
    p = torch.full((400, 40, len(PROTEIN)), 1 / 20, dtype=torch.float64)
    p[..., 20:] = 0
    sets, structure = compiled.sets, compiled.structure
    assert sets is not None and sets.index is not None and structure is not None
    noise = torch.rand(400, 40, dtype=torch.float64, generator=generator)
    tokens, _ = structure.draw(p * sets.log_allowed[sets.index[0]].exp(), noise, compiled.region.expand(400, -1))
    charges = set()
    for row in tokens:
        text = PROTEIN.decode(row)
        figures = {name: float(value or 0) for name, value in describe(text).metrics.items()}
        assert text[0] == "M" and "W" not in text
        assert figures["n_glycosylation"] == figures["deamidation"] == figures["isomerisation"] == 0
        assert figures["cysteines"] <= 1 and 3 <= figures["residue_charge"] <= 6
        charges.add(figures["residue_charge"])
    assert any(charge % 1 for charge in charges)  # tenths, from histidines


def test_a_wild_type_with_few_edits_and_paired_cysteines():
    """Edits, pairing, a motif ban and charge at once: every draw keeps them, and every number of edits allowed comes up."""
    wild = "MKCNLTAGIVGEECLKRHDG"
    asked = edits(wild, 1, 3) & paired_cysteines() & no_n_glycosylation() & net_charge(-3, 2)
    compiled = compile(asked, PROTEIN, [Layout(len(wild))])
    generator = torch.Generator().manual_seed(4)
    p = torch.rand(300, len(wild), len(PROTEIN), dtype=torch.float64, generator=generator) ** 2
    p[..., 20:] = 0
    assert compiled.structure is not None
    noise = torch.rand(300, len(wild), dtype=torch.float64, generator=generator)
    seen = set()
    for row in compiled.structure.draw(p / p.sum(-1, keepdim=True), noise, compiled.region.expand(300, -1))[0]:
        text = PROTEIN.decode(row)
        edited = sum(a != b for a, b in zip(text, wild, strict=True))
        assert 1 <= edited <= 3 and text.count("C") % 2 == 0
        assert (
            describe(text).metrics["n_glycosylation"] == 0 and -3 <= float(describe(text).metrics["residue_charge"] or 0) <= 2
        )
        seen.add((edited, text.count("C")))
    assert {(2, 2), (3, 2), (3, 0)} <= seen and (1, 0) not in seen


def test_constraints_are_written_and_read_again():
    assert parse(str(EVERYTHING)) == EVERYTHING
    assert charge_range("-2.5..-1") == net_charge(-2.5, -1)
    assert charge_range("0..3 at pH 5.5") == charge_range("0..3 pH 5.5") == net_charge(0, 3, 5.5)


@pytest.mark.parametrize("ph", [2.0, 4.5, 5.5, 7.0, 8.5, 10.0])
def test_charges_at_a_ph_are_biopython_s_to_a_step(ph):
    """A chain's residues, the charge of its termini taken off: twenty alike are within half a step each."""
    from Bio.SeqUtils.IsoelectricPoint import IsoelectricPoint

    charge = dict(net_charge(0, 1, ph).weights)
    for letter in "ACDEFGHIKLMNPQRSTVWY":
        there = IsoelectricPoint("A" + letter * 20 + "A").charge_at_pH(ph) - IsoelectricPoint("AA").charge_at_pH(ph)
        assert charge.get(letter, 0.0) == pytest.approx(there / 20, abs=0.0501)
    assert set(charge) == {2.0: set("HKR"), 7.0: set("DEHKR")}.get(ph, set(charge))


def test_the_page_s_table_is_what_the_constructors_write():
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+`) \| (`[^|]+`)[^|]*\|$", PAGE.split("## What must hold")[1], re.MULTILINE)
    texts = [text.strip("`") for _, text in rows]
    for made in (
        fixed(3, "N"),
        omit("CW"),
        no_n_glycosylation(),
        no_deamidation() & no_isomerisation(),
        composition("C", 0, 1),
        composition("FWY", 5, 9),
        no_acid_cleavage(),
        paired_cysteines(),
        edits("MKVLAAGIVG", 1, 3),
        identity("MKVLAAGIVG", 60, 90),
        net_charge(3, 6),
        net_charge(0, 3, 5.5),
        like_chains("{80-90}", 2)[1],
    ):
        assert str(made) in texts
    for text in texts:
        assert str(parse(text)) == text


@pytest.mark.parametrize(
    "made, message",
    [
        (lambda: charge_range("6..3"), "charge: expected a range such as 3..6"),
        (lambda: charge_range("3"), "charge: expected a range such as 3..6"),
        (lambda: charge_range("3..6 at pH 15"), "charge: expected a pH from 0 to 14, got 15"),
        (lambda: edits("MKV/LA", 0, 1), "reference: expected letters of ACDEFGHIKLMNPQRSTVWY, got '/'; ask a chain within"),
        (lambda: identity("", 60, 90), "reference: expected letters"),
        (lambda: identity("MKV", 90, 60), "identity: expected low ≤ high, got '90..60'"),
        (lambda: edits("mkv", 0, 1), "got 'kmv'"),
        (lambda: omit("XJ"), "residues: expected letters of ACDEFGHIKLMNPQRSTVWY, got 'XJ'"),
        (lambda: like_chains("MK{3}/L", 2), "a template that has several chains already"),
        (lambda: like_chains("MK{3}", 1), "expected at least 2 copies of a template of one chain, got 1"),
    ],
)
def test_what_cannot_be_asked(made, message):
    with pytest.raises(ConditionError, match=message):
        made()


def test_like_chains_tie_every_gap_to_the_first_chain_s():
    text, ties = like_chains("{5}MK__", 3)
    assert text == "{5}MK__/{5}MK__/{5}MK__"
    assert str(ties) == "tie(gap1, gap3) & tie(gap2, gap4) & tie(gap1, gap5) & tie(gap2, gap6)"
    assert like_chains("MK", 2) == ("MK/MK", None)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from seqdiff.checkpoint import Checkpoint
    from seqdiff.denoisers.transformer import Transformer, TransformerConfig
    from seqdiff.processes.absorbing import Absorbing
    from seqdiff.schedules import Linear
    from seqdiff.systems.mdlm import MDLM

    torch.manual_seed(0)
    network = Transformer(TransformerConfig(len(PROTEIN), width=16, depth=1, heads=2))
    folder = tmp_path_factory.mktemp("model") / "tiny"
    Checkpoint(network, MDLM(Absorbing(PROTEIN.mask, Linear())), PROTEIN, (), {"all": [0] * 6 + [1] * 95}).save(folder, "card")
    return str(folder)


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_contig_over_a_structure_from_the_command_line(model, tmp_path):
    common = ["--source", pdb(tmp_path / "a.pdb"), "--model", model, "--n", 4, "--steps", 4, "--json", "--seed", 3]
    contig = ["design", "protein", "3-5/H99-101/4-6 length=14-15", "--constraint", "count([C], 1)"]
    result = run(*contig, "--charge", "0..1", *common, "--out", tmp_path / "a.fasta")
    answer = json.loads(result.stdout)
    assert answer["spec"]["template"] == "{3-5}ACDGY{4-6}"
    for item in answer["designs"]:
        assert "ACDGY" in item["sequence"] and item["sequence"].count("C") == 1
        assert len(item["sequence"]) in (14, 15) and 0 <= item["metrics"]["residue_charge"] <= 1
    assert "H99-101: ACDGY, author H 99–101, index 0–4" in result.stderr
    again = tmp_path / "again.toml"
    spec = {key: value for key, value in answer["spec"].items() if isinstance(value, (str, int)) and key != "domain"}
    again.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in spec.items()))
    repeated = json.loads(run("design", "protein", "--spec", again, "--json").stdout)
    assert [d["sequence"] for d in repeated["designs"]] == [d["sequence"] for d in answer["designs"]]


def test_copies_and_selections_from_the_command_line(model, tmp_path):
    result = run("design", "protein", "AC_{2-3}", "--copies", 2, "--model", model, "--n", 3, "--steps", 4, "--json")
    for item in json.loads(result.stdout)["designs"]:
        first, second = item["sequence"].split("/")
        assert first == second and first.startswith("AC") and len(first) in (5, 6)
    asked = ["{5-20}CDG{5-20}", "--copies", 2, "--charge", "2..4", "--constraint", "within(chain1, count([C], 1)) & length(61)"]
    for item in json.loads(run("design", "protein", *asked, "--model", model, "--n", 4, "--steps", 4, "--json").stdout)[
        "designs"
    ]:
        first, second = item["sequence"].split("/")
        assert first == second and len(first) == 30 and first.count("C") == 1
        assert 2 <= describe(first).metrics["residue_charge"] <= 4  # type: ignore[operator]
    pdb(tmp_path / "a.pdb")
    masked = ["design", "protein", "mask -1,1 of chain L", "--source", tmp_path / "a.pdb", "--model", model]
    for item in json.loads(run(*masked, "--n", 2, "--steps", 3, "--json").stdout)["designs"]:
        assert len(item["sequence"]) == 3 and item["sequence"][1] == "K"


def test_a_source_without_a_contig_is_refused(model, tmp_path):
    from seqdiff.errors import ConfigError

    with pytest.raises(ConfigError, match="expected a contig or a selection that says what to take"):
        run("design", "protein", "MK{3}", "--source", pdb(tmp_path / "a.pdb"), "--model", model)


def test_evaluate_counts_what_free_designs_are(model):
    found = json.loads(run("evaluate", "protein", "--model", model, "--n", 6, "--steps", 3, "--json").stdout)["results"]["all"]
    assert found["designs"] == 6 and 0 <= found["valid"] <= 1
