import json
import math

import numpy as np
import pytest

from domains.novelty import Known
from domains.smiles.data import canonical
from domains.smiles.metrics import LEVELS, Law, Reference, evaluate_set
from domains.smiles.properties import METRICS
from seqdiff.errors import CheckpointError, ConfigError

HEADS = ["C", "CC", "CCC", "OC", "NC", "FC", "CC(C)", "CO", "N#C", "CS(=O)(=O)", "ClC", "CN(C)"]
CORES = [
    "c1ccc({})cc1",
    "C1CCN({})CC1",
    "c1cnc({})nc1",
    "C1CC({})C1",
    "c1csc({})c1",
    "C1COC({})C1",
    "c1ccc2[nH]c({})cc2c1",
]
TAILS = ["C(=O)O", "C#N", "CC(N)C", "C(=O)NC", "F", "OC", "CCCl", "S(=O)(=O)N", "C(C)(C)O", "C(=O)OCC", "N(C)C"]


def molecules(rng, n):
    """n molecules from one distribution: head, core and tail drawn evenly, one or two cores."""
    drawn = []
    for _ in range(n):
        core = str(rng.choice(CORES)).format(rng.choice(TAILS))
        if rng.random() < 0.5:
            core = str(rng.choice(["C(=O)N", "CO", "CC"])) + core
        drawn.append(canonical(str(rng.choice(HEADS)) + core))
    assert None not in drawn
    return drawn


@pytest.fixture(scope="module")
def reference():
    return Reference.from_smiles(molecules(np.random.default_rng(0), 1200), "made up")


def test_every_share_has_its_denominator():
    smiles = ["CC(=O)Oc1ccccc1C(=O)O", "OC(=O)c1ccccc1OC(C)=O", "CCO", "C1CC", "c1cccc1", "C1CC", "NCC1CCCCC1", ""]
    result = evaluate_set(smiles, Known.of(["CCO"]))
    assert result["n"] == 8
    assert result["counts"] == {"valid": 4, "unique": 3, "novel": 2, "quality": 0}
    assert (result["valid"], result["unique"], result["novel"]) == (4 / 8, 3 / 4, 2 / 3)
    assert result["reasons"] == {"ring": 2, "kekulisation": 1, "syntax": 1}
    assert result["mean"]["weight"] == pytest.approx((180.159 + 46.069 + 113.204) / 3, abs=0.01)
    assert result["denominators"]["unique"] == "the 4 valid tries"
    assert result["denominators"]["novel"] == "the 3 unique valid molecules"
    assert (result["distances"], result["kl_score"]) == (None, None)


def test_quality_counts_a_molecule_once_and_over_all_tries():
    good = "CC(C)NCC(O)COc1ccccc1"  # QED 0.8, SA 2
    hard_to_make = "CCC[NH2+][C@]1(C(=O)OCC)CC[C@H](n2cc(Cl)c(C)n2)C1"  # QED 0.8, SA 4.6
    result = evaluate_set([good, good, "C1CC", "CCO", hard_to_make])
    assert (result["counts"]["quality"], result["quality"]) == (1, 1 / 5)


def test_nothing_to_share_gives_none_and_json():
    for smiles in ([], ["C1CC"]):
        result = evaluate_set(smiles, Known.of([]))
        assert (result["unique"], result["novel"], result["diversity"], result["mean"]["qed"]) == (None,) * 4
        json.dumps(result, allow_nan=False)
    assert evaluate_set([])["valid"] is None and evaluate_set(["C1CC"])["valid"] == 0


def test_diversity_is_int_div_by_the_definition():
    from rdkit import Chem
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

    smiles = molecules(np.random.default_rng(1), 25)
    unique = sorted(set(smiles))
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    bits = [set(generator.GetFingerprint(Chem.MolFromSmiles(s)).GetOnBits()) for s in unique]
    similar = np.mean([[len(a & b) / len(a | b) for a in bits] for b in bits])
    assert evaluate_set(smiles)["diversity"] == pytest.approx(1 - similar, abs=1e-6)
    assert evaluate_set(["CCO"])["diversity"] == 0


def test_the_diversity_of_many_depends_on_the_seed_alone(monkeypatch):
    monkeypatch.setattr("domains.smiles.metrics.evaluation.MOST_PAIRED", 50)
    smiles = ["C" * i + "N" + "C" * j for i in range(1, 16) for j in range(i, 16)]
    one = evaluate_set(smiles, seed=1)
    assert one["denominators"]["diversity"] == "all pairs of 50 unique valid molecules"
    assert evaluate_set(smiles[::-1], seed=1)["diversity"] == one["diversity"]
    assert evaluate_set(smiles, seed=2)["diversity"] != one["diversity"]


def test_a_sample_of_the_same_law_is_near_and_a_shifted_one_far(reference):
    rng = np.random.default_rng(7)
    same = evaluate_set(molecules(rng, 1200), reference=reference)
    heavier = evaluate_set(["CCCCCCCC" + smiles for smiles in molecules(rng, 300)], reference=reference)
    assert same["kl_score"] > 0.95
    assert max(d["wasserstein"] for d in same["distances"].values()) < 0.2
    assert heavier["kl_score"] < 0.6 * same["kl_score"]
    assert heavier["distances"]["heavy_atoms"]["wasserstein"] > 1
    shift = 8 / reference.laws["heavy_atoms"].std  # eight carbons on every molecule
    assert heavier["distances"]["heavy_atoms"]["wasserstein"] == pytest.approx(shift, rel=0.15)


def test_distances_against_closed_forms():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, 200_000)
    law = Law.of(x, counted=False)
    assert law.wasserstein(x) == pytest.approx(0, abs=1e-5) and law.kl(x) == pytest.approx(0, abs=1e-6)
    assert law.wasserstein(x + 1) == pytest.approx(1 / x.std(), rel=1e-3)  # a shift moves all mass by 1
    # W1 of N(0, 1) and N(0, 2²), in units of the first, is E|Z| = √(2/π); 101 levels cut the tails a little.
    assert law.wasserstein(2 * x - 3) == pytest.approx(math.sqrt(2 / math.pi), rel=0.02)
    assert len(law.share) == 20 and np.allclose(law.share, 1 / 20, atol=1e-4)
    # All mass in the lowest bin: Σ p ln(p / q) with q = 0.999 + 0.001/20 there and 0.001/20 elsewhere.
    low = 0.05 * math.log(0.05 / 0.99905) + 0.95 * math.log(1000)
    assert law.kl(np.full(50, -100.0)) == pytest.approx(low, rel=1e-3)


def test_counts_get_a_bin_each_and_open_ends():
    values = np.repeat([1.0, 2.0, 3.0, 4.0], [10, 20, 30, 40])
    law = Law.of(values, counted=True)
    assert law.edges == (1.5, 2.5, 3.5) and law.share == (0.1, 0.2, 0.3, 0.4)
    sample = np.repeat([0.0, 2.0, 3.0, 9.0], 25)
    p, q = np.array(law.share), np.full(4, 0.25) * 0.999 + 0.001 * np.array(law.share)
    assert law.kl(sample) == pytest.approx((p * np.log(p / q)).sum(), abs=1e-12)
    halves = Law(0.0, 1.0, (0.0,) * 101, (1.0,), (0.9, 0.1))
    assert halves.kl(np.array([1.0])) == halves.kl(np.array([0.0])) < halves.kl(np.array([1.1]))  # an edge is below


def test_a_law_without_spread_gives_no_distance():
    law = Law.of(np.full(300, 0.1), counted=False)
    assert law.std == 0 and law.wasserstein(np.array([0.1])) is None
    assert law.kl(np.full(3, 0.1)) == pytest.approx(0, abs=1e-9)


def test_json_round_trip_and_small(reference):
    text = reference.to_json()
    assert Reference.from_json(text) == reference
    assert len(text) < 12_000 and set(reference.laws) == set(METRICS)
    assert all(len(law.quantiles) == len(LEVELS) == 101 for law in reference.laws.values())


def test_damaged_statistics_are_refused_by_name(reference):
    data = json.loads(reference.to_json())

    def damaged(**changes):
        return json.dumps({**data, "laws": {**data["laws"], "logp": {**data["laws"]["logp"], **changes}}})

    for text, message in [
        ("{", "expected JSON"),
        ("[]", "expected format 'seqdiff-molecule-statistics-1', got 'list'"),
        (json.dumps({**data, "format": "other"}), "got 'other'"),
        (json.dumps({**data, "laws": {"qed": 1}}), "laws: expected qed, sa, .* got qed"),
        (json.dumps({**data, "n": "many"}), "a whole number n, got 'made up' and 'many'"),
        (damaged(mean="high"), "logp: expected the fields of a law"),
        (damaged(extra=1), "logp: expected the fields of a law"),
        (damaged(quantiles=[1.0]), "logp: expected 101 quantiles in order"),
        (damaged(edges=[2.0, 1.0]), "logp: expected edges in order and one share more than edges"),
        (damaged(std=-1.0), "logp: expected a std of at least 0"),
        (damaged(mean=math.nan), "logp: expected finite numbers"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            Reference.from_json(text)


def test_too_few_molecules_make_no_reference():
    with pytest.raises(ConfigError, match="expected at least 100 valid SMILES, got 3 of 4"):
        Reference.from_smiles(["C", "CC", "C", "C1CC"])
