"""MOSES' and GuacaMol's figures against their definitions, written out by brute force on real molecules."""

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest

from domains.smiles.metrics import Sample, evaluate_set, guacamol, moses
from domains.smiles.metrics.sample import FIGURES
from seqdiff.errors import CheckpointError, ConfigError

DRUGS = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
    "CN1C(=O)CN=C(c2ccccc2)c2cc(Cl)ccc21",
    "Cn1c(=O)c2c(ncn2C)n(C)c1=O",
    "CC(=O)Nc1ccc(O)cc1",
    "CN(C)CCC=C1c2ccccc2CCc2ccccc21",
    "O=C(O)Cc1ccccc1Nc1c(Cl)cccc1Cl",
    "COc1ccc2[nH]c(S(=O)Cc3ncc(C)c(OC)c3C)nc2c1",
]
OTHERS = [
    "CC(C)NCC(O)COc1cccc2ccccc12",
    "Clc1ccccc1C1=NCC(=O)Nc2ccccc21",
    "CNCCC(Oc1ccc(C(F)(F)F)cc1)c1ccccc1",
    "NC(=O)c1cnccn1",
    "CC(=O)Nc1ccc(OC)cc1",
    "c1ccc2c(c1)CCc1ccccc1N2",
]


@pytest.fixture(scope="module")
def ours():
    return Sample.of(DRUGS)


@pytest.fixture(scope="module")
def theirs():
    return Sample.of(OTHERS)


def bits(smiles, size):
    from rdkit import Chem
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

    generator = GetMorganGenerator(radius=2, fpSize=size)
    return [set(generator.GetFingerprint(Chem.MolFromSmiles(one)).GetOnBits()) for one in smiles]


def alike(a, b):
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("size", [1024, 2048, 4096])
def test_a_smaller_fingerprint_is_the_larger_one_folded(ours, size):
    dense = ours.fingerprints(size)
    assert [set(np.flatnonzero(row).tolist()) for row in dense] == bits(DRUGS, size)


def test_int_div_and_snn_by_all_pairs(ours, theirs, monkeypatch):
    monkeypatch.setattr(moses, "BLOCK", 3)  # several blocks, the last one short
    a, b = bits(DRUGS, 1024), bits(OTHERS, 1024)
    pairs = [alike(x, y) for x in a for y in a]
    first, second = moses.internal_diversity(ours.fingerprints(1024))
    assert first == pytest.approx(1 - np.mean(pairs), abs=1e-7)
    assert second == pytest.approx(1 - np.mean(np.square(pairs)) ** 0.5, abs=1e-7)
    snn = moses.nearest_similarity(ours.fingerprints(1024), theirs.fingerprints(1024))
    assert snn == pytest.approx(np.mean([max(alike(x, y) for y in b) for x in a]), abs=1e-7)
    assert moses.nearest_similarity(theirs.fingerprints(1024), ours.fingerprints(1024)) != pytest.approx(snn, abs=1e-3)
    assert moses.internal_diversity(ours.fingerprints(1024)[:0]) == (None, None)


def cosine(a, b):
    dot = sum(a[key] * b[key] for key in a)
    return dot / math.sqrt(sum(n * n for n in a.values()) * sum(n * n for n in b.values()))


def test_frag_and_scaf_by_counting(ours, theirs):
    from rdkit import Chem
    from rdkit.Chem.BRICS import BreakBRICSBonds
    from rdkit.Chem.rdMolDescriptors import CalcNumRings
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    def fragments(smiles):
        return Counter(part for one in smiles for part in Chem.MolToSmiles(BreakBRICSBonds(Chem.MolFromSmiles(one))).split("."))

    def scaffolds(smiles):
        found = [Chem.MolFromSmiles(MurckoScaffoldSmiles(one)) for one in smiles]
        return Counter(Chem.MolToSmiles(one) for one in found if CalcNumRings(one) >= 2)

    found = moses.compare(ours, theirs)
    assert found["frag"] == pytest.approx(cosine(fragments(DRUGS), fragments(OTHERS)))
    assert 0 < found["frag"] < 1 and found["scaf"] == pytest.approx(cosine(scaffolds(DRUGS), scaffolds(OTHERS)))
    assert found["scaf"] == pytest.approx(1 / math.sqrt(5 * 4))  # one scaffold is common to five and four
    assert sum(scaffolds(DRUGS).values()) == int((ours.scaffolds > 0).sum()) == 5
    both = Sample.joined([ours, theirs])
    assert moses.compare(both, ours)["scaf"] == pytest.approx(cosine(scaffolds(DRUGS + OTHERS), scaffolds(DRUGS)))
    same = moses.compare(ours, ours)
    assert (same["snn"], same["frag"], same["scaf"]) == (1, pytest.approx(1), pytest.approx(1))
    assert same["wasserstein"] == dict.fromkeys(moses.MOVED, 0.0)
    no_rings = Sample.of(["CCO"])
    assert moses.compare(no_rings, ours)["scaf"] is None


def test_wasserstein_is_the_cheapest_assignment_and_right_for_unequal_numbers():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=5), rng.normal(1, 2, size=5)
    cheapest = min(np.abs(x - np.array(order)).mean() for order in itertools.permutations(y))
    assert moses.wasserstein(x, y) == pytest.approx(cheapest)
    assert moses.wasserstein(np.repeat(x, 3), np.repeat(y, 2)) == pytest.approx(cheapest)  # the same laws
    assert moses.wasserstein(np.array([0.0, 0, 3]), np.array([0.0])) == pytest.approx(1)
    assert moses.wasserstein(x, x[:0]) is None


def test_filters_by_known_alerts():
    quinone, aldehyde = "O=C1C=CC(=O)c2ccccc12", "O=CCc1ccncc1"
    passed = moses.passes(["NC(=O)c1cnccn1", quinone, aldehyde])
    assert passed["pains"].tolist() == [True, False, True]
    assert passed["brenk"].tolist()[::2] == [True, False]
    assert passed["all"].tolist() == [all(passed[name][i] for name in ("pains", "brenk", "nih")) for i in range(3)]


def test_kernel_density_and_divergence_of_normal_laws():
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, 8000), rng.normal(0.5, 1, 8000)
    at = np.linspace(-6, 7, 500)
    shape = guacamol.density(x, at)
    assert shape.sum() * (at[1] - at[0]) == pytest.approx(1, abs=1e-3)
    h = x.std(ddof=1) * len(x) ** (-1 / 5)
    one = np.mean(np.exp(-((at[240] - x) ** 2) / (2 * h * h)) / math.sqrt(2 * math.pi) / h)
    assert shape[240] == pytest.approx(one)
    assert guacamol.continuous(x, y) == pytest.approx(0.5**2 / 2, abs=0.02)  # KL of N(0, 1) and N(δ, 1) is δ² / 2
    assert guacamol.continuous(x, x) == 0
    assert guacamol.continuous(x, np.ones(5)) is None


def test_divergence_of_counts_by_hand():
    p = np.repeat([0, 5, 10], [50, 30, 20])
    q = np.repeat([0, 5, 10, 99], [20, 30, 50, 7])  # 99 is out of the range and not counted
    expected = 0.5 * math.log(0.5 / 0.2) + 0.2 * math.log(0.2 / 0.5)
    assert guacamol.counted(p, q) == pytest.approx(expected, abs=1e-6)
    missing = guacamol.counted(p, np.repeat([0, 5], 10))
    assert missing == pytest.approx(0.3 * math.log(0.3 / 0.5) + 0.2 * math.log(0.2 / 1e-10), rel=1e-6)


def test_nearest_other_leaves_the_molecule_itself_out(ours, monkeypatch):
    monkeypatch.setattr(moses, "BLOCK", 3)
    prints = bits(DRUGS[:6], 4096)
    expected = [max(alike(x, y) for j, y in enumerate(prints) if j != i) for i, x in enumerate(prints)]
    assert guacamol.nearest_other(ours, 6).tolist() == pytest.approx(expected, abs=1e-7)


def test_stereo_does_not_make_another_molecule_for_guacamol():
    both = Sample.of(["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CCO", "CCO"])
    assert len(both.distinct()) == 2 and len(both) == 4


def test_the_score_is_the_mean_of_what_each_divergence_leaves(ours, theirs):
    found = guacamol.compare(theirs, ours)
    assert len(found["kl"]) == 10 and guacamol.compare(ours, ours)["score"] == pytest.approx(1)
    terms = [0.0 if d is None else math.exp(-d) for d in found["kl"].values()]
    assert found["score"] == pytest.approx(sum(terms) / 10) and found["score"] < 0.8


def test_figures_of_a_sample_are_those_of_rdkit_s_list_of_descriptors(ours):
    from rdkit import Chem
    from rdkit.Chem import Descriptors

    names = {
        "bertz": "BertzCT",
        "logp": "MolLogP",
        "weight": "MolWt",
        "tpsa": "TPSA",
        "acceptors": "NumHAcceptors",
        "donors": "NumHDonors",
        "rotatable_bonds": "NumRotatableBonds",
        "aliphatic_rings": "NumAliphaticRings",
        "aromatic_rings": "NumAromaticRings",
    }
    assert tuple(names) == (*guacamol.CONTINUOUS, *guacamol.COUNTED)
    for name, of in names.items():
        expected = [dict(Descriptors.descList)[of](Chem.MolFromSmiles(one)) for one in DRUGS]
        assert ours.figures[name].tolist() == pytest.approx(expected, rel=1e-6), name


def test_repeats_count_in_moses_figures_and_not_in_guacamol_s(ours):
    tries = [DRUGS[0]] * 3 + DRUGS[1:] + ["C1CC"]
    found = evaluate_set(tries, sample=ours)
    a = bits([DRUGS[0]] * 3 + DRUGS[1:], 1024)
    assert found["moses"]["int_div1"] == pytest.approx(1 - np.mean([alike(x, y) for x in a for y in a]), abs=1e-7)
    assert found["diversity"] == pytest.approx(
        1 - np.mean([alike(x, y) for x in bits(DRUGS, 2048) for y in bits(DRUGS, 2048)]), abs=1e-7
    )
    assert found["guacamol"]["score"] == pytest.approx(1)
    assert found["moses"]["wasserstein"]["weight"] > 0
    passed = moses.passes(DRUGS)["all"]
    assert found["moses"]["filters"]["all"] == pytest.approx((3 * passed[0] + passed[1:].sum()) / 10)
    assert found["denominators"]["moses"] == "the 10 valid tries against 8 molecules of the reference"
    assert (found["unique@1000"], found["unique@10000"]) == (None, None)
    json.dumps(found, allow_nan=False)


def test_unique_at_k_is_of_the_first_k_valid(monkeypatch):
    from domains.smiles.metrics import evaluation

    monkeypatch.setattr(evaluation, "FIRST", (3, 5))
    found = evaluate_set(["C", "C1CC", "OC", "CO", "CC", "N", "CC"])
    assert (found["unique@3"], found["unique@5"], found["unique"]) == (2 / 3, 4 / 5, 4 / 6)


def test_a_sample_is_read_back_equal_and_no_flipped_bit_goes_unseen(ours, theirs, tmp_path):
    ours.save(tmp_path / "sample-a.safetensors")
    theirs.save(tmp_path / "sample-b.safetensors")
    back = Sample.of_model(tmp_path, "a")
    assert moses.compare(back, ours)["snn"] == 1 and all((back.figures[n] == ours.figures[n]).all() for n in FIGURES)
    assert (back.fragments.values == ours.fragments.values).all() and (back.flat == ours.flat).all()
    assert len(Sample.of_model(tmp_path)) == len(DRUGS) + len(OTHERS) and Sample.of_model(tmp_path, "c") is None
    path = tmp_path / "sample-a.safetensors"
    sound = path.read_bytes()
    for place in range(0, len(sound), 41):
        damaged = bytearray(sound)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            Sample.load(path)
    with pytest.raises(CheckpointError, match="none: expected a sample of molecules, could not read"):
        Sample.load(tmp_path / "none")
    with pytest.raises(ConfigError, match="expected valid SMILES, got 'C1CC': ring 1"):
        Sample.of(["C1CC"])
