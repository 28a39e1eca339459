"""What the command line says of a campaign, and what it writes."""

import csv

import pytest

from apps.cli.optimise import document, read_moves, run, write
from domains.optimise import optimise
from seqdiff.errors import ConfigError
from tests.tiny_model import tiny_checkpoint


def test_molecules_are_written_best_first_with_their_parents(tmp_path):
    found = optimise(len, start=["CCO", "CCN"], budget=6, checkpoint=tiny_checkpoint(), moves=read_moves(["batch=8", "cut=3"]))
    write(found, tmp_path / "found.csv")
    with (tmp_path / "found.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["smiles"] for row in rows] == [e.text for e in found.best] == [b["smiles"] for b in document(found)["best"]]
    assert [float(row["score"]) for row in rows] == sorted((len(e.text) for e in found.entries), reverse=True)
    assert document(found)["calls"] == 6 and document(found)["spec"]["moves"]["batch"] == 8


def test_what_cannot_be_read_or_written_is_refused_before_anything_is_scored(tmp_path):
    with pytest.raises(ConfigError, match="expected name=number such as batch=40, got 'batch'"):
        read_moves(["batch"])
    with pytest.raises(ConfigError, match="out: expected a file that ends in .smi, .csv"):
        run("qed", {}, None, None, tmp_path / "a.sdf", None, False)
