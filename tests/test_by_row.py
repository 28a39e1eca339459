"""Rows under different Conditions in one batch get what each would get in a batch of its own."""

import pytest
import torch

from constraints.by_row import ByRow
from constraints.compilation.plan import plan
from constraints.language.notation import parse
from constraints.template import Gap, Template
from seqdiff.alphabet import Alphabet
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.state import Query, State
from seqdiff.schedules import Linear

ABC = Alphabet("abc", ("A", "B", "C"))
PLANS = [
    plan(Template(((0,), Gap(2, 3)), frozenset({2})), parse("count([A], 2..2)"), ABC),
    plan(Template((Gap(3, 4), (2,))), parse("avoid(B-B) & within(gap1, ban([A], 0))"), ABC),
    plan(Template((Gap(4, 4),)), None, ABC),  # nothing but holes: no structure
    plan(Template((Gap(3, 3), (1,)), frozenset({0})), parse("avoid(B-B) & within(gap1, ban([A], 0))"), ABC),  # as the second
    plan(Template((Gap(4, 4),)), parse("count([A], 2..2)"), ABC),  # as the first, which bans a token
]
PART = torch.tensor([0, 1, 2, 3, 4, 2])


def query_of(rows: torch.Tensor, chosen: list[int]) -> Query:
    """The rows of PART that are asked for, from a state of just them."""
    parts = PART[rows].tolist()
    canvases = [PLANS[k].template.canvas(PLANS[k].lengths[chosen[k]], ABC.mask).tokens for k in parts]
    state = State.from_canvas(Absorbing(ABC.mask, Linear()), torch.stack(canvases), 0, rows)
    positions = torch.arange(4).expand(len(rows), 4)
    return Query(state, torch.arange(len(rows)), torch.ones(len(rows)).double(), positions, state.tokens == ABC.mask)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("asked", [[0, 1, 2, 3, 4, 5], [5, 3, 0], [1, 3]], ids=str)
def test_every_answer_is_that_of_the_rows_own_condition(weighted, asked):
    generator = torch.Generator().manual_seed(3)
    length_4 = [next(k for k, x in enumerate(p.lengths) if p.template.canvas(x, 3).tokens.shape == (4,)) for p in PLANS]
    p = torch.rand(6, 4, 3, generator=generator, dtype=torch.float64)
    p, u = p / p.sum(-1, keepdim=True), torch.rand(6, 4, generator=generator, dtype=torch.float64)
    every = torch.arange(6)
    conditions = tuple(PLANS[k].condition(torch.full((6,), length_4[k]), None, weighted) for k in range(len(PLANS)))
    mixed, whole = ByRow(conditions, PART, True), query_of(every, length_4)
    assert len(mixed.parts) == 3 and mixed.part.tolist() == [0, 1, 2, 1, 0, 2]  # one for each automaton, and one without
    rows = torch.tensor(asked)
    query = Query(whole.state, rows, whole.t[rows], whole.positions[rows], whole.open[rows])
    commit = query.open & (torch.arange(4) % 2 == 1)
    got = mixed.draw(query, p[rows], commit, u[rows])
    tilted = mixed.tilt(p[rows].log(), rows, query.positions)
    M, g, base = mixed.factors(query, p[rows])
    others = mixed.log_mass(query, M), mixed.sample(query, M, u[rows]), mixed.marginals(query, p[rows])
    assert g is None
    for k in range(len(PLANS)):
        at = (PART[rows] == k).nonzero().squeeze(-1)
        if not len(at):
            continue
        own, alone = rows[at], PLANS[k].condition(torch.full((len(at),), length_4[k]), None, weighted)
        its = query_of(own, length_4)
        drawn = alone.draw(its, p[own], commit[at], u[own])
        assert torch.equal(got.tokens[at], drawn.tokens)
        torch.testing.assert_close(got.log_weight[at], drawn.log_weight)
        if weighted:
            torch.testing.assert_close(got.log_potential[at], drawn.log_potential)
            torch.testing.assert_close(got.log_potential_after[at], drawn.log_potential_after)
        torch.testing.assert_close(tilted[at], alone.tilt(p[own].log(), its.rows, its.positions))
        factors = alone.factors(its, p[own])[0]
        torch.testing.assert_close(M[at], factors.expand_as(M[at]))
        torch.testing.assert_close(base[at], alone.factors(its, p[own])[2])
        wanted = alone.log_mass(its, factors), alone.sample(its, factors, u[own]), alone.marginals(its, p[own])
        for mine, its_own in zip(others, wanted, strict=True):
            torch.testing.assert_close(mine[at], its_own)
    assert torch.equal(mixed.final(whole.state.tokens), torch.zeros(6).double())


def test_what_must_hold_does_in_every_row_of_a_mixed_batch():
    lengths = [next(k for k, x in enumerate(p.lengths) if p.template.canvas(x, 3).tokens.shape == (4,)) for p in PLANS]
    mixed = ByRow(tuple(PLANS[k].condition(torch.full((6,), lengths[k])) for k in range(len(PLANS))), PART, True)
    query = query_of(torch.arange(6), lengths)
    for seed in range(40):
        u = torch.rand(6, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        drawn = mixed.draw(query, torch.full((6, 4, 3), 1 / 3).double(), query.open, u).tokens
        rows = torch.where(query.open, drawn, query.tokens)
        assert not [v for row, k in zip(rows, PART.tolist(), strict=True) for v in PLANS[k].violations(row, lengths[k])]
