"""BLOSUM62 as a process: known scores, what is alike is exchanged, the stationary law."""

import pytest
import torch

from domains.protein import AMINO_ACIDS
from domains.protein.blosum import blosum62, blosum_process
from seqdiff.errors import AlphabetError
from seqdiff.schedules import Cosine


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
    with pytest.raises(AlphabetError, match="expected tokens among ACDEFGHIKLMNPQRSTVWY, got 'X', 'mask'"):
        blosum_process(Cosine(), ["A", "X", "mask"])
