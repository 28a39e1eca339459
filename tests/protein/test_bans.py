"""A gap never holds X or a chain break, however much the model wants them; the table of numberings from the command line."""

import pytest
import torch

from apps.cli.protein import run
from constraints.template import de_novo
from domains.design import design
from domains.protein.baselines import baseline
from domains.protein.data import BANNED, PROTEIN
from domains.protein.template import without_unknowns
from seqdiff.errors import ConfigError
from tests.protein.files import cif

LIKES = {"X": 8.0, "/": 9.0}  # logits; all the others have log 1/20


@pytest.fixture(scope="module")
def model():
    """A model that says X or a chain break at nearly every position."""
    made = baseline([1 / 20] * 20, [0] * 12 + [1])
    with torch.no_grad():
        for token, logit in LIKES.items():
            made.denoiser.head.bias[PROTEIN.ids[token]] = logit
    return made


@pytest.mark.parametrize("constraint", [None, "avoid(N-G)"])
@pytest.mark.parametrize("sampler", ["event-driven", "ancestral"])
def test_a_gap_holds_residues_alone(model, constraint, sampler):
    asked = {"domain": "protein", "template": "{2-4}MK{3}/_", "n": 40, "steps": 6, "bound_draws": 0, "sampler": sampler}
    answer = design(**asked, constraint=constraint, checkpoint=model)
    assert len(answer.designs) == 40
    for item in answer.designs:
        assert item.valid and item.sequence.count("/") == 1 and "X" not in item.sequence


def test_a_free_design_without_unknowns(model):
    template = de_novo(model.length_probability(None))
    assert template.banned == frozenset()
    assert without_unknowns(template, PROTEIN).banned == {PROTEIN.ids[token] for token in BANNED}
    assert without_unknowns(template, PROTEIN, breaks=True).banned == {PROTEIN.ids["X"]}


def test_numberings_are_listed_from_the_command_line(tmp_path, capsys):
    given = {"source": cif(tmp_path / "a.cif"), "numbering": "uniprot:H=+20", "copies": 1, "charge": None, "spec": None}
    run({**given, "show_numbering": True})
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "residue\tauthor\tlabel\tindex\tuniprot" and shown[2] == "C\tH 100\tA 2\tH 1\tH 120" and len(shown) == 11
    with pytest.raises(ConfigError, match="expected a structure whose residues are to be listed"):
        run({**given, "source": None, "show_numbering": True})
