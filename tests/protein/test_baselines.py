"""The baselines draw what they say, and counting is right about chains that are known."""

import math
from collections import Counter

import numpy as np
import pytest

from domains.design import design
from domains.protein.baselines import baseline, held_out_nats, per_residue
from domains.protein.data import PROTEIN
from domains.registry import find_model
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import load_checkpoint
from seqdiff.training.data import EncodedData


def shares(answer):
    counts = Counter("".join(item.sequence for item in answer.designs))
    return np.array([counts[a] for a in PROTEIN.tokens]) / counts.total(), counts.total()


@pytest.mark.parametrize("p", [[1 / 20] * 20, [0.0] * 10 + [0.05] * 8 + [0.2, 0.4]], ids=["even", "uneven"])
def test_a_baseline_draws_from_its_shares_at_every_position(p, tmp_path):
    baseline(p, [0] * 200 + [1]).save(tmp_path / "b", "card")
    asked = {"domain": "protein", "n": 50, "steps": 20, "bound_draws": 4, "seed": 5}
    answer = design(checkpoint=load_checkpoint(tmp_path / "b"), **asked)
    found, n = shares(answer)
    expected = np.array([*p, 0, 0])
    assert n == 10_000 and not found[expected == 0].any()
    seen = expected > 0
    chi2 = n * ((found - expected)[seen] ** 2 / expected[seen]).sum()
    assert chi2 < (seen.sum() - 1) + 5 * math.sqrt(2 * (seen.sum() - 1))
    one = answer.designs[0]
    bound, error = (float(one.metrics[name] or 0) for name in ("bound", "bound_error"))
    nats = -sum(math.log(p[PROTEIN.ids[letter]]) for letter in one.sequence)
    assert abs(bound - nats) < 5 * error + 2e-3 * nats  # float16 keeps three digits


def test_the_bundled_baselines_are_one_name_away():
    random, natural = (load_checkpoint(find_model(f"protein-{name}", "protein")) for name in ("random", "composition"))
    asked = {"domain": "protein", "template": "{30}CDG{30}", "constraint": "avoid(N-[^P]-[ST])", "n": 4, "steps": 4}
    for model in ("protein-random", "protein-composition"):
        for item in design(model=model, bound_draws=0, **asked).designs:
            assert item.valid and item.pins_kept and item.sequence[30:33] == "CDG" and item.metrics["n_glycosylation"] == 0
    p = natural.network.state_dict()["head.bias"][:20].exp()
    q = random.network.state_dict()["head.bias"][:20].exp()
    assert float(p.sum()) == pytest.approx(1, abs=2e-3) and float(p[PROTEIN.ids["L"]]) > 5 * float(p[PROTEIN.ids["W"]])
    assert q.tolist() == pytest.approx([0.05] * 20, rel=2e-3)


def data_of(texts, held_out):
    alphabet = Alphabet("protein", tuple("AB"))
    return EncodedData.from_rows(alphabet, [alphabet.encode(text) for text in texts], [0] * len(texts), held_out, ("all",))


def test_counting_by_hand():
    """Order 0: p(A) = (3 + κ/2) / (4 + κ); order 1 after A, κ = 20 as in the module."""
    data = data_of(["AABA", "AB"], [False, True])
    first = [(3 + 10) / 24, (1 + 10) / 24]
    assert held_out_nats(data, 0).tolist() == pytest.approx([-(math.log(first[0]) + math.log(first[1]))])
    at_start = (1 + 20 * first[0]) / 21  # one row begins, with A
    after_a = (1 + 20 * first[1]) / 22  # A is followed by A and by B
    assert held_out_nats(data, 1).tolist() == pytest.approx([-(math.log(at_start) + math.log(after_a))])


def test_an_order_finds_what_the_chain_has_and_no_more():
    """x_i repeats x_{i−2} with probability 0.9: orders 0 and 1 see a fair coin, order 2 the entropy of 0.9."""
    generator = np.random.default_rng(0)
    texts = []
    for _ in range(400):
        row = list(generator.integers(0, 2, 2))
        for _ in range(98):
            row.append(row[-2] if generator.random() < 0.9 else 1 - row[-2])
        texts.append("".join("AB"[i] for i in row))
    data = data_of(texts, [k % 4 == 0 for k in range(400)])
    entropy = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    truth = {0: math.log(2), 1: math.log(2), 2: (2 * math.log(2) + 98 * entropy) / 100}
    for order, expected in truth.items():
        mean, error = per_residue(held_out_nats(data, order), data.lengths[data.held_out])
        assert abs(mean - expected) < 4 * error + 1e-3


def test_a_share_of_residues_and_its_error():
    nats, sizes = np.array([2.0, 6.0, 4.0]), np.array([1, 2, 1])
    mean, error = per_residue(nats, sizes)
    assert mean == 3.0
    assert error == pytest.approx(math.sqrt((2 - 3) ** 2 + (6 - 6) ** 2 + (4 - 3) ** 2) / 4)
    assert per_residue(3.0 * sizes, sizes) == (3.0, 0.0)
