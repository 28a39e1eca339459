"""Profiles from alignments, worked out by hand, and the law that a bias bends a model to, against its enumeration."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

from constraints.condition import Constrained
from domains.protein import AMINO_ACIDS
from domains.protein.alignments import Alignment
from domains.protein.data import PROTEIN
from domains.protein.profile import (
    Bias,
    background,
    frequencies,
    is_profile,
    profile_guide,
    profile_text,
    pssm,
    sequence_weights,
)
from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.errors import ConditionError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.drive import generate_clouds
from seqdiff.schedules import Linear


def alignment(*rows):
    return Alignment(tuple(map(str, range(len(rows)))), rows, rows)


def test_rows_that_are_alike_share_a_weight():
    rows = ["MKVLAGHEWD", "MKVLAGHEWC", "MKVLA-----", "CCCCCCCCCC", "MKVLAGYYYY", "-" * 10]
    assert sequence_weights(rows).tolist() == [1 / 3, 1 / 3, 1 / 4, 1, 1 / 2, 1]  # the third is like all that share its half
    assert sequence_weights(rows, 1.0).tolist() == [1 / 2, 1 / 2, 1 / 4, 1, 1 / 2, 1]


def test_frequencies_by_hand():
    found = frequencies(alignment("MA", "MA", "CA", "-X"), pseudo_count=2.0)
    q, index = background(), AMINO_ACIDS.index
    assert q.sum() == pytest.approx(1) and found.sum(1) == pytest.approx([1, 1])
    # weights: the first two rows share one; M A and C A are half alike, and the last has no residue in common columns
    assert found[0, index("M")] == pytest.approx((1 + 2 * q[index("M")]) / 4)
    assert found[0, index("C")] == pytest.approx((1 + 2 * q[index("C")]) / 4)
    assert found[1, index("W")] == pytest.approx(2 * q[index("W")] / 4)
    bias = pssm(alignment("MA", "MA", "CA", "-X"), pseudo_count=0.0)
    assert bias[0, index("M")] == pytest.approx(math.log(0.5 / q[index("M")])) and bias[0, index("W")] == -20
    with pytest.raises(ConditionError, match="expected a positive pseudo-count"):
        pssm(alignment("M-", "C-"), pseudo_count=0.0)


def test_the_default_pseudo_count_is_the_root_of_the_total_weight():
    rows = ["MKV", "CDE", "FGH", "ILN"]
    assert np.array_equal(frequencies(alignment(*rows)), frequencies(alignment(*rows), pseudo_count=2.0))


def test_text_holds_a_profile():
    bias = pssm(alignment("MKV", "MRV"))
    text = profile_text(bias, 0.5)
    assert is_profile(text) and is_profile(' bias {"K": 1}') and not is_profile("pi >= 5") and not is_profile("profiles")
    guide = profile_guide(text, PROTEIN)
    assert guide.bias[:, :20].numpy() == pytest.approx(bias.round(2) * 0.5)
    assert guide.bias[:, 20:].abs().sum() == 0
    assert json.loads(text.removeprefix("profile ").removesuffix(" * 0.5"))[0]["M"] == round(bias[0, AMINO_ACIDS.index("M")], 2)


V = 4
TINY = Absorbing(V, Linear())


def test_particles_are_drawn_to_the_biased_law():
    """p(x) e^{Σ b_i(x_i)} of a law of 4³ words that is no product, enumerated, against draws from clouds; N = 1 must fail."""
    generator = torch.Generator().manual_seed(5)
    words = torch.tensor(list(itertools.product(range(V), repeat=3)))
    law = torch.rand(len(words), generator=generator, dtype=torch.float64) ** 3
    law /= law.sum()
    b = torch.randn(3, V, generator=generator, dtype=torch.float64)
    guide, rows = Bias(b), b.tolist()
    wanted = torch.tensor(
        [float(p) * math.exp(sum(map(list.__getitem__, rows, w))) for p, w in zip(law, words.tolist(), strict=True)]
    )
    wanted = wanted.double() / wanted.sum()
    assert torch.allclose((law.log() + guide.final(words)).softmax(0), wanted, atol=1e-7)
    n = 2000
    drawn = torch.multinomial(wanted, 200 * n, replacement=True, generator=generator).view(200, n)
    noise = max(distance(words[row], wanted) for row in drawn)

    def condition(index):
        return Constrained(V, guide=guide, weighted=True)

    def clouds(particles):
        denoiser, canvases = ExactDenoiser(EnumeratedLaw(words, law, V)), [torch.full((3,), V)] * n
        found = generate_clouds(denoiser, TINY, canvases, 11, condition, particles, batch_size=8000, steps=3)
        return torch.cat([filled.tokens for filled in found])

    assert distance(clouds(16), wanted) < noise + 0.01
    assert distance(clouds(1), wanted) > 1.4 * noise


def test_a_bias_of_residues_is_a_profile_that_says_the_same_everywhere():
    b = torch.randn(1, V, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x_t, places = torch.tensor([[V, 2, V], [1, 1, V]]), torch.tensor([[0, 2], [1, 2]])
    p = torch.full((2, 2, V), 1 / V, dtype=torch.float64)
    (g, base), (same, again) = (guide.log_tilt(x_t, x_t, places, p) for guide in (Bias(b, True), Bias(b.expand(3, -1))))
    assert torch.equal(g, same) and torch.equal(base, again)
    assert torch.equal(g[0], b.expand(2, -1)) and not g[1, 0].any()  # what stands there is not tilted, but counted
    assert base.tolist() == pytest.approx([float(b[0, 2]), float(2 * b[0, 1])])


def distance(tokens, wanted):
    counts = torch.bincount(tokens @ torch.tensor([V * V, V, 1]), minlength=V**3).double()
    return float((counts / counts.sum() - wanted).abs().sum() / 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profile", "profile: expected bias"),
        ("bias {K: 1}", "Expecting property name enclosed in double quotes"),
        ('bias {"K": 1} twice', "expected the end or a strength such as * 0.5, got ' twice'"),
        ("profile []", "profile: expected bias"),
        ("profile [3]", "profile: expected bias"),
        ('bias {"X": 1}', "bias: expected letters of ACDEFGHIKLMNPQRSTVWY, got 'X'"),
        ('bias {"k": 1}', "got 'k'"),
        ('bias {"K": 21}', "expected numbers from -20 to 20, got 21 for K"),
        ('bias {"K": true}', "got True for K"),
        ('bias {"K": NaN}', "got nan for K"),
    ],
)
def test_a_bias_that_is_none(text, message):
    with pytest.raises(ConditionError) as error:
        profile_guide(text, PROTEIN)
    assert message in str(error.value)


def test_a_profile_of_another_length_is_refused():
    guide = profile_guide('profile [{"K": 1}, {}]', PROTEIN)
    with pytest.raises(ConditionError, match="it has 2 positions, the design 3; it speaks of designs of its own length"):
        guide.final(torch.zeros(1, 3, dtype=torch.int64))
