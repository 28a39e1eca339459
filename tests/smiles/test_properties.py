import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import rdBase

from domains.smiles.data import canonical
from domains.smiles.properties import COUNTS, FAULTS, MAX_CHARACTERS, METRICS, describe, describe_many, figure

TOKENS = [*"CCccNOn()()112=#/F.-*x", "%10", "Cl", "[nH]", "[C@H]", "[C@@@H]", "[Xx]", "[O-]"]


def quietly_canonical(smiles):
    with rdBase.BlockLogs():
        return canonical(smiles)


def test_aspirin_has_the_published_figures():
    molecule = describe("CC(=O)Oc1ccccc1C(=O)O")
    assert molecule.valid and molecule.reason == "" and molecule.fault == ""
    assert molecule.canonical == "CC(=O)Oc1ccccc1C(=O)O"
    assert tuple(molecule.metrics) == METRICS
    assert molecule.metrics["qed"] == pytest.approx(0.55, abs=0.01)
    assert molecule.metrics["sa"] == pytest.approx(1.58, abs=0.01)
    assert molecule.metrics["tpsa"] == pytest.approx(63.6, abs=0.1)
    assert molecule.metrics["weight"] == pytest.approx(180.16, abs=0.01)
    assert molecule.metrics["logp"] == pytest.approx(1.31, abs=0.01)
    assert (molecule.metrics["rings"], molecule.metrics["heavy_atoms"]) == (1, 13)


# by hand, in the order of COUNTS: donors, acceptors, rotatable bonds, aromatic rings, share of sp3 carbons, charge, stereo
# centres, largest ring, heteroatoms, spiro atoms, bridgeheads
@pytest.mark.parametrize(
    "smiles, values",
    [
        ("CC(=O)Oc1ccccc1C(=O)O", (1, 3, 2, 1, 1 / 9, 0, 0, 6, 4, 0, 0)),
        ("C[C@H](N)C(=O)[O-]", (1, 3, 1, 0, 2 / 3, -1, 1, 0, 3, 0, 0)),
        ("CC(O)C[NH+](C)C", (2, 1, 2, 0, 1.0, 1, 1, 0, 2, 0, 0)),
        ("C1CCC2(CC1)CCCCCC2", (0, 0, 0, 0, 1.0, 0, 0, 7, 0, 1, 0)),
        ("C1CC2CCC1C2", (0, 0, 0, 0, 1.0, 0, 0, 5, 0, 0, 2)),
        ("c1ccc2ncccc2c1", (0, 1, 0, 2, 0.0, 0, 0, 6, 1, 0, 0)),
    ],
)
def test_counts_by_hand(smiles, values):
    assert tuple(figure(smiles, name) for name in COUNTS) == pytest.approx(values)


def test_a_figure_by_name_is_the_described_one_and_none_where_there_is_no_molecule():
    described = describe("Cc1ccc(CN)cc1O").metrics
    assert {name: figure("Cc1ccc(CN)cc1O", name) for name in METRICS} == described
    assert figure("C1CC", "donors") is None and figure("", "qed") is None and figure("C" * 1001, "rings") is None


@pytest.mark.parametrize(
    "smiles, fault, reason",
    [
        ("", "syntax", "the SMILES is empty"),
        ("CC and more", "syntax", "character 3, ' ', cannot stand in a SMILES"),
        ("Cé", "syntax", "character 2, 'é', cannot stand in a SMILES"),
        ("C\x00", "syntax", r"character 2, '\x00', cannot stand in a SMILES"),
        ("C" * (MAX_CHARACTERS + 1), "syntax", "1,001 characters, more than the 1,000"),
        ("CC)C", "syntax", "the ) at character 3 closes no branch"),
        ("CC(C", "syntax", "the branch opened at character 3 is never closed"),
        ("C(", "syntax", "nothing follows the ( at the end"),
        ("C==C", "syntax", "the = at character 3 cannot follow the = before it"),
        ("C()C", "syntax", "the ) at character 3 cannot follow the ( before it"),
        ("(C)C", "syntax", "the ( at character 1 cannot follow the start"),
        ("C(=1)CC1", "syntax", "the 1 at character 4 cannot follow the = before it"),
        ("Cxyz", "syntax", "no atom, bond or ring label starts at character 2, 'x'"),
        ("C[Xx]C", "syntax", "[Xx] at character 2 is not an atom"),
        ("CC1CC", "ring", "ring 1, opened at character 3, is never closed"),
        ("C%(100)CC", "ring", "ring 100, opened at character 2, is never closed"),
        ("C11", "ring", "ring 1, closed at character 3, binds the atom that opened it"),
        ("C12CC12", "ring", "ring 2, closed at character 7, binds an atom that is bonded already"),
        ("CCC(C)(C)(C)C", "valence", "the C at character 3 (atom 2) has a valence of 5"),
        ("CN(C)(C)(C)c1ccnc1", "valence", "the N at character 2 (atom 1) has a valence of 5"),  # and no Kekulé form
        ("On1(C)CCOC1", "valence", "the n at character 2 (atom 1)"),  # seen by no check but the last
        ("Cc1cccc1", "kekulisation", "the c at character 2 (atom 1) and the aromatic atoms around it (1, 2, 3, 4, 5)"),
        ("c1ccccc1c", "kekulisation", "the c at character 9 (atom 6) is written as aromatic but is in no ring"),
    ],
)
def test_a_refusal_says_what_and_where(smiles, fault, reason):
    molecule = describe(smiles)
    assert (molecule.valid, molecule.canonical, molecule.metrics, molecule.fault) == (False, None, {}, fault)
    assert reason in molecule.reason


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=12).map("".join))
def test_it_agrees_with_rdkit_and_always_knows_why(smiles):
    molecule = describe(smiles)
    assert molecule.canonical == quietly_canonical(smiles)
    assert molecule.valid == (molecule.canonical is not None) == (not molecule.reason)
    assert molecule.fault in FAULTS or molecule.valid
    assert "cannot tell where" not in molecule.reason and "does not say why" not in molecule.reason


def test_the_longest_smiles_allowed_is_described():
    assert describe("C" * MAX_CHARACTERS).metrics["heavy_atoms"] == MAX_CHARACTERS


def test_many_are_those_one_by_one_and_frozen():
    smiles = ["CCO", "C1CC", "CCO", ""]
    assert describe_many(smiles) == [describe(one) for one in smiles]
    assert describe_many([]) == []
    with pytest.raises(FrozenInstanceError):
        describe("C").valid = False


def test_nothing_is_printed_and_nothing_heavy_is_imported_before_use():
    code = (
        "import sys\n"
        "import domains.smiles.metrics, domains.smiles.writers\n"
        "from domains.smiles.properties import describe_many\n"
        "heavy = {'rdkit', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "describe_many(['C(', 'C1CC', 'c1cccc1', 'C(C)(C)(C)(C)C', '[H]', '[Fe]', 'CCO'])\n"
    )
    ran = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
