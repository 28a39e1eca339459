import math

import pytest
import torch

from constraints import Gap, Template, TokenSets, de_novo
from seqdiff.draws import categorical, probabilities
from seqdiff.errors import ConditionError

MASK = 9
TEMPLATE = Template(((0, 1), Gap(2, 4), (3,), Gap(0, 1), Gap(1, 1), (4, 5, 6)))


@pytest.mark.parametrize(("low", "high"), [(3, 2), (-1, 2), (-2, -1)])
def test_a_gap_needs_a_range(low, high):
    with pytest.raises(ConditionError, match=rf"gap: expected 0 ≤ low ≤ high, got \{{{low}-{high}\}}"):
        Gap(low, high)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 2.0, 3.0, 4.0), (0.0, 0.0, 0.0), ()])
def test_a_gap_needs_a_weight_for_each_length(weights):
    with pytest.raises(ConditionError, match=r"gap: expected 3 weights ≥ 0 with a positive sum, got \[") as error:
        Gap(2, 4, weights)
    assert str(error.value).endswith(str(list(weights)))


@pytest.mark.parametrize("weights", [(3.0, -1.0, 1.0), (math.nan, 1.0, 1.0), (math.inf, 1.0, 1.0)])
def test_weights_must_be_weights(weights):
    with pytest.raises(ConditionError, match="gap: expected 3 weights"):
        Gap(2, 4, weights)


def test_lengths_have_their_probabilities():
    assert Gap(2, 5).probability().tolist() == [0.25] * 4
    assert Gap(7, 7).probability().tolist() == [1.0]
    assert Gap(0, 2, (1, 0, 3)).probability().tolist() == [0.25, 0.0, 0.75]
    assert Gap(0, 2).probability().dtype == torch.float64


def test_a_canvas_is_laid_out():
    canvas = TEMPLATE.canvas((3, 0, 1), MASK)
    assert canvas.tokens.tolist() == [0, 1, MASK, MASK, MASK, 3, MASK, 4, 5, 6]
    assert canvas.gap.tolist() == [-1, -1, 0, 0, 0, -1, 2, -1, -1, -1]
    assert canvas.pinned.tolist() == [True, True, False, False, False, True, False, True, True, True]
    assert canvas.gap_lengths == (3, 0, 1)
    assert TEMPLATE.canvas((2, 1, 1), MASK).gap.tolist() == [-1, -1, 0, 0, -1, 1, 2, -1, -1, -1]


def test_the_range_of_lengths_is_met_by_the_canvases():
    assert TEMPLATE.length_range == (9, 12) and TEMPLATE.gaps == [Gap(2, 4), Gap(0, 1), Gap(1, 1)]
    lengths = {len(canvas.tokens) for canvas in TEMPLATE.draw(torch.arange(100), 0, MASK)}
    assert lengths == {9, 10, 11, 12}
    assert Template(((1, 2),)).length_range == (2, 2) and Template((Gap(0, 3),)).length_range == (0, 3)


def test_what_cannot_be_filled_is_refused_before_it_is_drawn():
    TEMPLATE.check(12, 7)
    with pytest.raises(ConditionError, match="9 to 12 tokens with its gaps, but the model was trained on at most 11; shorten"):
        TEMPLATE.check(11, 7)
    for empty in (Template(()), Template((Gap(0, 0),)), Template((Gap(0, 2), (), Gap(0, 1)))):
        with pytest.raises(ConditionError, match="nothing is pinned and every gap may be empty; let a gap have at least"):
            empty.check(12, 7)
    every = frozenset(range(7))
    with pytest.raises(ConditionError, match="every token is banned from the gaps, so that nothing can fill them"):
        Template(((0,), Gap(0, 1)), every).check(12, 7)
    Template(((0,), Gap(0, 1)), every - {3}).check(12, 7)
    Template(((0,),), every).check(12, 7)  # no gap: nothing has to be filled


@pytest.mark.parametrize("gap", [Gap(2, 7), Gap(0, 3, (1.0, 4.0, 0.0, 2.0)), Gap(5, 5), Gap(1, 40)])
def test_gap_lengths_follow_their_law(gap):
    n = 40_000
    other = Gap(0, 9)
    lengths = Template(((0,), gap, (1,), other)).draw_gap_lengths(torch.arange(n), seed=5)
    p = gap.probability()
    counts = torch.bincount(lengths[:, 0] - gap.low, minlength=len(p)).double()
    assert counts.sum() == n and not counts[p == 0].any()
    drawn = p > 0
    chi2 = float(((counts - n * p)[drawn].square() / (n * p)[drawn]).sum())
    freedom = int(drawn.sum()) - 1
    assert chi2 <= freedom + 4 * (2 * freedom) ** 0.5 + 4 * (freedom > 0)
    # the second gap does not depend on the first: their correlation is some 1/√n
    if freedom:
        both = torch.corrcoef(lengths.double().T)[0, 1]
        assert abs(float(both)) < 4 / n**0.5


def test_gap_lengths_are_a_function_of_seed_and_sample():
    whole = TEMPLATE.draw_gap_lengths(torch.arange(200), 11)
    assert torch.equal(TEMPLATE.draw_gap_lengths(torch.arange(50, 60), 11), whole[50:60])
    assert torch.equal(TEMPLATE.draw_gap_lengths(torch.tensor([190, 3]), 11), whole[[190, 3]])
    assert not torch.equal(TEMPLATE.draw_gap_lengths(torch.arange(200), 12), whole)
    assert not torch.equal(whole[:100], whole[100:])
    canvases = TEMPLATE.draw(torch.arange(200), 11, MASK)
    assert [canvas.gap_lengths for canvas in canvases] == [tuple(row) for row in whole.tolist()]
    assert Template(((1, 2),)).draw_gap_lengths(torch.arange(3), 0).tolist() == [[], [], []]


def test_free_design_draws_the_length_of_the_training_rows():
    p = torch.tensor([0, 0, 0.5, 0, 0.3, 0.2, 0], dtype=torch.float64)
    template = de_novo(p)
    assert template.length_range == (2, 5) and template.banned == frozenset()
    lengths = template.draw_gap_lengths(torch.arange(20_000), 3)[:, 0]
    share = torch.bincount(lengths, minlength=7).double() / 20_000
    assert ((share - p).abs() <= 4 * (p * (1 - p) / 20_000).sqrt()).all()
    canvas = template.draw(torch.arange(1), 3, MASK)[0]
    assert canvas.tokens.tolist() == [MASK] * len(canvas.tokens) and not canvas.pinned.any()


def test_free_design_draws_no_empty_row():
    template = de_novo(torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64))
    assert template.gaps == [Gap(1, 2, (0.25, 0.25))]


def test_banned_tokens_are_never_drawn():
    generator = torch.Generator().manual_seed(0)
    drawn, rows = 0, 2000
    for banned in (frozenset({0}), frozenset({6}), frozenset({0, 1, 5, 6}), frozenset({0, 1, 2, 3, 4, 5})):
        condition = TokenSets.banning(7, banned)
        for scale in (0.1, 3.0, 60.0):
            logits = torch.randn(rows, 5, 7, generator=generator) * scale
            logits[: rows // 2, :, sorted(banned)] += 1000  # what the model is sure of is banned
            p = probabilities(condition.tilt(logits, None, None))
            assert not p[..., sorted(banned)].any()
            u = torch.rand(rows, 5, generator=generator, dtype=torch.float64)
            u[:50], u[50:100] = 0.0, 1 - 2.0**-53
            x = categorical(p, u)
            assert not torch.isin(x, torch.tensor(sorted(banned))).any() and x.max() < 7
            drawn += x.numel()
    assert drawn > 1e5


def test_what_is_left_is_renormalised():
    logits = torch.log(torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)).expand(1, 1, 4)
    p = probabilities(TokenSets.banning(4, frozenset({1, 3})).tilt(logits, None, None))[0, 0]
    torch.testing.assert_close(p, torch.tensor([0.25, 0, 0.75, 0], dtype=torch.float64))
    torch.testing.assert_close(TokenSets.banning(4, frozenset()).tilt(logits, None, None), logits)
    draws = categorical(p.expand(40_000, 4), torch.rand(40_000, dtype=torch.float64, generator=torch.manual_seed(1)))
    assert abs(float((draws == 0).double().mean()) - 0.25) < 4 * (0.25 * 0.75 / 40_000) ** 0.5


def test_where_the_model_leaves_nothing_all_that_is_allowed_is_alike():
    inf = float("inf")
    logits = torch.tensor([[[0.0, -inf, -inf, -inf], [0.0, 1.0, -inf, -inf]]])
    p = probabilities(TokenSets.banning(4, frozenset({0})).tilt(logits, None, None))[0]
    torch.testing.assert_close(p, torch.tensor([[0, 1 / 3, 1 / 3, 1 / 3], [0, 1, 0, 0]], dtype=torch.float64))


def test_banning_everything_is_refused():
    with pytest.raises(ConditionError, match="every token is banned: nothing can fill a free position"):
        TokenSets.banning(3, frozenset({0, 1, 2}))


def test_each_position_has_its_own_set():
    inf = float("inf")
    allowed = torch.tensor([[0, 0, 0], [-inf, 0, 0], [-inf, -inf, 0]], dtype=torch.float64)
    index = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])
    condition = TokenSets(allowed, index)
    flat = torch.zeros(2, 4, 3)
    p = probabilities(condition.tilt(flat, None, None))
    law = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0, 0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(p, law[index])
    positions = torch.tensor([[3, 0], [2, 1]])
    some = probabilities(condition.tilt(torch.zeros(2, 2, 3), None, positions))
    torch.testing.assert_close(some, law[torch.tensor([[1, 0], [0, 2]])])
    second = probabilities(condition.tilt(torch.zeros(1, 4, 3), torch.tensor([1]), None))
    torch.testing.assert_close(second, law[index[1:]])
    both = probabilities(condition.tilt(torch.zeros(1, 1, 3), torch.tensor([1]), torch.tensor([[2]])))
    torch.testing.assert_close(both, law[torch.tensor([[0]])])
