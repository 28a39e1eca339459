"""A report of designs: what stands in its table, whatever file they come from, and that nothing is drawn of nothing."""

import csv
import json
import os

import pytest
import torch

from domains.protein.classes import state_probability, state_shares
from domains.protein.report import main, read_designs
from domains.protein.states import STATES
from seqdiff.errors import ConfigError

HELIX, OTHER = "AEELLKKLAEELLKKLAEE", "GSGSPGTNGSPGKNGTPDG"


@pytest.fixture
def designs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    made = [(f"{HELIX}/{OTHER}", [0, 1]), (HELIX, list(range(10))), ("MX", []), (OTHER, [])]
    path = tmp_path / "made.jsonl"
    path.write_text("".join(json.dumps({"sequence": text, "pinned": pins}) + "\n" for text, pins in made))
    return path


def test_a_table_of_designs_and_pictures(designs, tmp_path, capsys):
    native = HELIX[:15] + "WWWW"
    (tmp_path / "native.fasta").write_text(f">n\n{native}\n>other\nMK\n")
    (tmp_path / "known.fasta").write_text(f">known\n{OTHER}\n")
    words = ["--native", tmp_path / "native.fasta", "--library", tmp_path / "known.fasta", "--model", "protein-random"]
    main([str(word) for word in (designs, "--out", tmp_path / "out", "--natural", tmp_path / "known.fasta", *words)])
    assert "4 designs, 3 valid" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines()))
    assert [row["valid"] for row in rows] == ["True", "True", "False", "True"] and rows[2]["helix"] == rows[2]["charge"] == ""
    assert rows[1]["recovery"] == repr(5 / 9) and rows[0]["recovery"] == ""  # of nine designed positions, four are W
    assert float(rows[3]["identity"]) == 1 and rows[3]["nearest"] == "known" and float(rows[0]["identity"]) >= 0.5
    assert all(float(row["pseudo_perplexity"]) == pytest.approx(20, abs=0.1) for row in rows if row["valid"] == "True")
    for row in rows[:2] + rows[3:]:
        assert sum(float(row[state]) for state in STATES) == pytest.approx(1)
    assert float(rows[1]["helix"]) > 0.5 > float(rows[3]["helix"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"scores.csv", "logo.png", "figures.png", "identity.png"}


def test_shares_of_states_are_those_of_the_chains():
    (whole, alone) = state_shares([f"{HELIX}/{OTHER}", HELIX])
    other = torch.tensor(state_shares([OTHER])[0])
    assert torch.allclose(torch.tensor(whole), (torch.tensor(alone) + other) / 2, atol=1e-6)  # chains of one length
    assert alone[0] == pytest.approx(state_probability("helix", (0, len(HELIX) - 1), [HELIX])[0], abs=1e-6)


def test_folded_designs_and_a_fasta_file(designs, tmp_path, capsys):
    (tmp_path / "bin").mkdir()
    atom = "ATOM      1  CA  ALA A   1       1.000   1.000   1.000  1.00 {}           C"
    program = tmp_path / "bin" / "esm-fold"
    program.write_text(f"#!/bin/sh\necho '{atom.format('88.00')}' > $4/design-1.pdb\n")
    os.chmod(program, 0o755)
    (tmp_path / "a.fasta").write_text(f">mine x=1\n{HELIX}\n>bad\nMB1\n")
    main([str(word) for word in (tmp_path / "a.fasta", "--out", tmp_path / "out", "--fold")])
    first, bad = csv.DictReader((tmp_path / "out" / "scores.csv").read_text().splitlines())
    assert first["name"] == "mine" and float(first["plddt"]) == 88 and bad["plddt"] == ""
    assert (tmp_path / "out" / "folded" / first["structure"]).is_file() and not (tmp_path / "out" / "identity.png").exists()
    with pytest.raises(ConfigError, match="esm-fold wrote no structure of design-2"):
        main([str(word) for word in (designs, "--out", tmp_path / "out", "--fold")])


@pytest.mark.parametrize(("name", "text"), [("a.jsonl", '{"x": 1}\n'), ("a.jsonl", "no\n"), ("a.jsonl", ""), ("a.fasta", "")])
def test_a_file_without_designs(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=f"report: .*{name} holds no design"):
        read_designs(tmp_path / name)
