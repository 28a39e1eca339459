"""`seqdiff design protein`: numberings listed, a profile of an alignment wished."""

import json
import sys

import pytest

from apps.cli.main import main
from tests.protein.files import pdb


@pytest.fixture
def cli(monkeypatch, capsys, tmp_path):
    """Run a command line; returns (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["seqdiff", "design", "protein", *map(str, words)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return run


def test_numberings_are_listed_and_nothing_is_designed(cli, tmp_path):
    pdb(tmp_path / "a.pdb")
    status, out, _ = cli("--source", "a.pdb", "--show-numbering", "--numbering", "uniprot:H=+20")
    assert status == 0 and "D\tH 100A\t–\tH 2\t–" in out and "C\tH 100\t–\tH 1\tH 120" in out
    status, _, err = cli("MK{4}", "--show-numbering")
    assert status == 2 and "name its file (--source FILE)" in err


def test_a_profile_bends_designs_to_its_alignment(cli, tmp_path):
    (tmp_path / "a.a3m").write_text("".join(f">r{i}\n{text}\n" for i, text in enumerate(["WWKK", "WWRK", "WYKK", "WWKE"] * 2)))
    words = ("____", "--model", "protein-random", "--n", "12", "--particles", "16", "--wish", "charge >= -5", "--json")
    status, out, err = cli(*words, "--profile", "a.a3m")
    assert status == 0, err
    answer = json.loads(out)
    assert answer["spec"]["wishes"][0] == "charge >= -5" and answer["spec"]["wishes"][1].startswith('profile [{"A": ')
    near = sum(item["sequence"].startswith("W") for item in answer["designs"])
    assert near >= 9  # of 12; without the profile one in twenty
    status, _, err = cli("_____", *words[1:], "--profile", "a.a3m")
    assert status == 2 and "it has 4 positions, the design 5" in err


def test_motifs_without_a_place_and_like_chains(cli, tmp_path):
    """Two runs of residues somewhere in a chain, in any order; its length is that of each of two like chains."""
    pdb(tmp_path / "a.pdb")
    contig = "'contigmap.contigs=[8-12]' unindex=[H99-100A/L0-1] contigmap.length=10-11"
    words = ("--source", "a.pdb", "--model", "protein-random", "--n", "16", "--copies", "2", "--json")
    status, out, err = cli(contig, *words)
    assert status == 0 and "anywhere: H99-100A: ACD, author H 99–100A" in err, err
    orders = set()
    for item in json.loads(out)["designs"]:
        chain, other = item["sequence"].split("/")
        assert chain == other and len(chain) in (10, 11) and "ACD" in chain.replace("KE", "  ") and "KE" in chain
        orders.add(chain.index("ACD") < chain.rindex("KE"))
    assert orders == {True, False}
