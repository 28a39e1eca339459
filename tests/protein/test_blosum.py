"""BLOSUM62 as a process: known scores, what is alike is exchanged, the stationary law."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch

from domains.design import design
from domains.protein import AMINO_ACIDS
from domains.protein.blosum import beginning, blosum62, blosum_process, main, shares
from domains.protein.data import PROTEIN
from seqdiff.errors import AlphabetError
from seqdiff.schedules import Cosine
from seqdiff.training.build import build, to_checkpoint
from seqdiff.training.config import OptimizerConfig, RunConfig, TrainingConfig
from seqdiff.training.data import EncodedData
from seqdiff.training.loop import train

TINY = {"width": 16, "depth": 1, "heads": 2}
PRESET = Path(__file__).parents[2] / "domains" / "protein" / "presets" / "protein-blosum.toml"


def test_scores_are_the_published_ones_in_the_order_of_the_tokens():
    scores = blosum62()
    known = {"AA": 4, "WW": 11, "CC": 9, "IV": 3, "DE": 2, "KR": 2, "WP": -4, "FY": 3, "GL": -4}
    for (a, b), score in known.items():
        assert scores[AMINO_ACIDS.index(a), AMINO_ACIDS.index(b)] == score
    assert torch.equal(scores, scores.T)
    assert torch.equal(blosum62("VIW"), scores[[17, 7, 18]][:, [17, 7, 18]])


def test_noise_goes_to_what_is_alike_and_forgets_at_the_end():
    process = blosum_process(Cosine())
    t = torch.tensor(0.2, dtype=torch.float64)
    q = process.marginal(t)
    for a, likely, unlikely in (("I", "V", "D"), ("K", "R", "W"), ("F", "Y", "G"), ("D", "E", "L")):
        row = q[AMINO_ACIDS.index(a)]
        assert row[AMINO_ACIDS.index(likely)] > 3 * row[AMINO_ACIDS.index(unlikely)]
    assert torch.allclose(q, q.T, atol=1e-12)
    assert process.prior_distance() < 1e-12
    assert torch.allclose(process.prior_law(), torch.full((20,), 1 / 20).double())
    common = torch.arange(1.0, 21.0)
    given = blosum_process(Cosine(), stationary=common)
    assert torch.allclose(given.prior_law(), (common / common.sum()).double(), atol=1e-12)


def test_other_letters_are_refused():
    with pytest.raises(AlphabetError, match="expected tokens among ACDEFGHIKLMNPQRSTVWY, X and /, got 'mask'"):
        blosum_process(Cosine(), ["A", "X", "mask"])


@pytest.fixture
def data():
    """Rows of alternating K and E or of L, with a chain break and an X somewhere."""
    generator = np.random.default_rng(0)
    texts = [("KE" * 6)[i % 2 :][: generator.integers(6, 11)] for i in range(60)] + ["KEKE/EKEKE", "KEXEKE"]
    held_out = [i % 6 == 0 for i in range(len(texts))]
    return EncodedData.from_rows(PROTEIN, [PROTEIN.encode(text) for text in texts], [0] * len(texts), held_out, ["some"])


def test_noise_tends_to_the_shares_of_the_training_rows(data):
    law = beginning(data, TINY).process.prior_law()
    assert torch.allclose(law, shares(data), atol=1e-12)
    assert law[PROTEIN.ids["K"]] > 20 * law[PROTEIN.ids["W"]] and law[PROTEIN.ids["/"]] > law[PROTEIN.ids["W"]]


def test_a_network_that_has_learnt_nothing_is_written_trained_and_designs(data, tmp_path):
    """The way of the preset protein-blosum: the base folder, the loop, a checkpoint, a template."""
    run, start = tmp_path / "run", tmp_path / "start"
    data.save(run / "data.safetensors")
    main(start, run, TINY)
    table = tomllib.loads(PRESET.read_text())
    assert table["system"] == "d3pm" and set(table["model"]) == {"base"}
    small = RunConfig(steps=20, batch_tokens=100, precision="fp32", eval_every=20, eval_rows=8, checkpoint_every=20, bucket=4)
    optimizer = OptimizerConfig(lr=0.02, lr_rest=0.02, warmup=5, ema=0.8)
    config = TrainingConfig(model={"base": str(start)}, system=table["system"], run=small, optimizer=optimizer)
    network, system = build(config, data)
    before = float(system.bound(network.eval(), data.rows(np.array([0, 12]), 6), None, 32).nats.sum())
    trained, _ = train(network, system, data, config, tmp_path / "out")
    assert float(system.bound(trained.eval(), data.rows(np.array([0, 12]), 6), None, 32).nats.sum()) < before
    to_checkpoint(trained, system, data, {}).save(tmp_path / "model", "")
    asked = {"template": "KE{3}/{3}K", "constraint": "count([W], 0)", "n": 6, "steps": 6}
    made = design(domain="protein", model=str(tmp_path / "model"), **asked)
    assert made.spec.sampler is None and all(item.valid and item.sequence.startswith("KE") for item in made.designs)
    assert all(item.sequence[5] == "/" and item.sequence[-1] == "K" and "W" not in item.sequence for item in made.designs)
