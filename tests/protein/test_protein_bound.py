"""The bound of held-out rows: of a model without context it is that of its frequencies, row by row."""

import numpy as np
import pytest

from benchmarks.protein_bound import bounds
from domains.protein.baselines import baseline
from domains.protein.data import PROTEIN
from seqdiff.training.data import EncodedData


def test_a_model_of_frequencies_has_their_bound_in_the_order_of_the_rows():
    generator = np.random.default_rng(0)
    p = generator.dirichlet(np.ones(20))
    rows = [generator.integers(0, 20, n).tolist() for n in (7, 3, 7, 5, 3, 9)]
    data = EncodedData.from_rows(PROTEIN, rows, [0] * 6, [True, True, False, True, True, True], ("all",))
    found = bounds(baseline(p, [0] * 9 + [1]), data, 400)
    expected = [-np.log(p[row]).sum() for k, row in enumerate(rows) if k != 2]
    assert found == pytest.approx(np.array(expected), rel=0.08)  # bfloat16 and 400 draws
