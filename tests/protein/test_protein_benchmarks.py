"""What the benchmarks of proteins count with: features, judge and reliability; natural stretches."""

import numpy as np
import pytest
import torch

from benchmarks.guidance_amp import Judge, features, reliability
from benchmarks.protein_designs import judged, natural
from domains.protein import AMINO_ACIDS
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint


def test_features_by_hand():
    row = features(["KKAK"])[0]
    k, a = AMINO_ACIDS.index("K"), AMINO_ACIDS.index("A")
    assert row[k] == 0.75 and row[a] == 0.25 and row[:20].sum() == pytest.approx(1)
    pairs = {(k, k): 1 / 3, (k, a): 1 / 3, (a, k): 1 / 3}
    assert all(row[20 + 20 * i + j] == pytest.approx(share) for (i, j), share in pairs.items())
    assert row[20:420].sum() == pytest.approx(1) and row[420] == pytest.approx(0.75)


def test_the_judge_learns_a_planted_rule_and_the_ridge_decides_how_sure_it_is():
    generator = np.random.default_rng(0)
    texts = ["".join(generator.choice(list(AMINO_ACIDS), 20)) for _ in range(160)]
    y = torch.tensor([text.count("K") > text.count("E") for text in texts])
    judge = Judge.fit(texts[:120], y[:120], 0.01)
    assert reliability(judge(texts[120:]), y[120:])["auc"] > 0.75
    meek = torch.tensor(Judge.fit(texts[:120], y[:120], 1000.0)(texts[120:]))
    assert float((meek - y[:120].double().mean()).abs().max()) < 0.02


def test_reliability_by_hand():
    found = reliability([0.9, 0.4, 0.4, 0.6], torch.tensor([True, True, False, False]))
    assert found == {"accuracy": 0.5, "auc": 0.625, "amps_called": 0.5, "others_called": 0.5}


def test_a_natural_stretch_has_the_motifs_where_it_says():
    chain = "".join(AMINO_ACIDS[i % 19] for i in range(300))
    task = {"chain_sequence": chain, "motifs": f"{chain[100:110]}|{chain[130:135]}", "motif_starts_0based": "100|130"}
    text, places = natural(task | {"scaffold_length_max": "80"})
    assert len(text) == 80 and text in chain and places[0] == 23
    assert "".join(text[i] for i in places) == chain[100:110] + chain[130:135]
    short, places = natural(task | {"chain_sequence": chain[:140], "scaffold_length_max": "200"})
    assert short == chain[:140] and places[0] == 100


def test_even_chances_are_judged_as_log_twenty():
    found = judged(load_checkpoint(find_model("protein-random", "protein")), [("MKVLAW", [0, 1]), ("GGHTRRAA", [])], 4, 0)
    assert found["judged_bound"] == pytest.approx(np.log(20), abs=1e-3) and found["judged_error"] == pytest.approx(0, abs=1e-3)
    assert found["pseudo_perplexity"] == pytest.approx(20, abs=0.02)
