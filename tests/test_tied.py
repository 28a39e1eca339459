"""Ties folded into one variable: masses, marginals and drawn laws against enumeration, with and without an inner structure."""

import itertools
import math

import pytest
import torch

from constraints.relations.factor_graph import FactorGraph, Relation, equal
from constraints.relations.tied import Layouts, Tie, Tied, copies, mirrored
from seqdiff.errors import ConditionError
from tests.laws import distribution_test
from tests.laws_relations import Listed, enumerated, marginals, noise, random_p

DRAWS = 10_000
COMPLEMENT = (3, 2, 1, 0)  # A C G T
TURN = (1, 2, 0)
OUTSIDE = 7


def motif(x: tuple) -> bool:
    """An even number of 0, and never 2 after 2: needs every token that is read."""
    return x.count(0) % 2 == 0 and (2, 2) not in itertools.pairwise(x)


def satisfies(ties, x) -> bool:
    return all(x[t.second] == (x[t.first] if t.map is None else t.map[x[t.first]]) for t in ties)


# name: (ties, V, positions that the inner structure reads)
CASES = {
    "halves": (copies((0, 1, 2), (3, 4, 5)), 3, (0, 1, 2)),
    "interleaved copies, one free": (copies((0, 2), (1, 4)), 3, (0, 2, 3, 5)),
    "palindrome": (mirrored(range(6)), 3, (0, 1, 2)),
    "reverse complement": (mirrored(range(6), COMPLEMENT), 4, (0, 1, 2)),
    "three at once, mapped": ([Tie(3, 1, TURN), Tie(4, 3, TURN)], 3, (0, 1, 2, 5)),
    "partial map": ([Tie(0, 5, (2, -1, 0))], 3, (0, 1, 2, 3, 4)),
    "palindrome and halves": ([*mirrored(range(6)), *copies((0, 1, 2), (3, 4, 5))], 3, (0, 1)),
    "circle with one fixed point": ([Tie(0, 2), Tie(2, 4, (0, 2, 1)), Tie(4, 0)], 3, (0, 1, 3, 5)),
    "odd palindrome": (mirrored(range(5)), 3, (0, 1, 2, 5)),
}


def build(name: str, inner: bool = True) -> tuple[Tied, object, int]:
    """The structure, the predicate it stands for, V."""
    ties, vocabulary, read = CASES[name]
    within = Listed(6, vocabulary, motif, OUTSIDE) if inner else FactorGraph(6, vocabulary)
    tied = Tied.compile(ties, within, 6, vocabulary, OUTSIDE)
    return tied, lambda x: satisfies(ties, x) and (not inner or motif(tuple(x[i] for i in read))), vocabulary


@pytest.mark.parametrize("inner", [False, True], ids=["free", "with motif"])
@pytest.mark.parametrize("name", CASES)
def test_masses_and_marginals_are_those_of_enumeration(name, inner):
    tied, holds, vocabulary = build(name, inner)
    p = random_p(3, 6, vocabulary, seed=len(name))
    found, share = tied.log_mass(p), marginals(tied, p)
    for r in range(len(p)):
        rows, mass = enumerated(p[r], holds)  # type: ignore[arg-type]
        if len(rows) == 0:
            assert found[r] == -math.inf
            continue
        assert found[r].item() == pytest.approx(math.log(mass.sum()), abs=1e-12)
        one_hot = torch.nn.functional.one_hot(rows, vocabulary).double()
        assert torch.allclose(share[r], torch.einsum("k,kiv->iv", mass / mass.sum(), one_hot), atol=1e-10, rtol=0)


@pytest.mark.parametrize(("name", "inner"), [("halves", True), ("reverse complement", False), ("three at once, mapped", True)])
def test_draws_follow_the_law_and_independent_draws_do_not(name, inner):
    tied, holds, vocabulary = build(name, inner)
    p = random_p(1, 6, vocabulary, seed=1) + 0.05
    rows, mass = enumerated(p[0], holds)  # type: ignore[arg-type]
    law = mass / mass.sum()
    many = p.expand(DRAWS, -1, -1)
    tokens, log_mass = tied.draw(many, noise(DRAWS, 6))
    assert torch.allclose(log_mass, mass.sum().log().expand(DRAWS), atol=1e-12, rtol=0)
    ok, why = distribution_test(tokens, rows, law)
    assert ok, why
    # One half from the inner structure's law of that half alone, copied over: the second half's p is ignored.
    plain, _ = Tied(
        tied.inner, torch.arange(6), torch.arange(vocabulary)[None], torch.zeros(6, dtype=torch.int64), OUTSIDE
    ).draw(many, noise(DRAWS, 6), tied._regions(many, None))
    copied = tied.maps[tied.which, plain[:, tied.leader]].clamp(min=0)
    assert not distribution_test(copied, rows, law)[0]


def test_folding_is_the_factor_graph_of_the_same_ties():
    """Two algorithms: one variable a group, and elimination of the relation tables."""
    p = random_p(30, 6, 4, seed=6)
    folded = Tied.compile(mirrored(range(6), COMPLEMENT), FactorGraph(6, 4), 6, 4, OUTSIDE)
    table = torch.nn.functional.one_hot(torch.tensor(COMPLEMENT), 4).bool()
    graph = FactorGraph.compile([Relation((i, 5 - i), table) for i in range(3)], 6, 4)
    assert torch.allclose(folded.log_mass(p), graph.log_mass(p), atol=1e-12, rtol=0)


def test_relations_stand_inside_a_tie():
    """Halves alike, and within a half no neighbours equal."""
    unequal = ~torch.eye(3, dtype=torch.bool)
    inner = FactorGraph.compile([Relation((0, 1), unequal), Relation((1, 2), unequal)], 6, 3)
    tied = Tied.compile(copies((0, 1, 2), (3, 4, 5)), inner, 6, 3, OUTSIDE)
    p = random_p(1, 6, 3, seed=9) + 0.01
    _, mass = enumerated(p[0], lambda x: x[:3] == x[3:] and x[0] != x[1] != x[2])
    assert tied.log_mass(p).item() == pytest.approx(math.log(mass.sum()), abs=1e-12)


def test_a_middle_that_cannot_be_its_own_complement_leaves_nothing():
    tied = Tied.compile(mirrored(range(5), COMPLEMENT), FactorGraph(5, 4), 5, 4, OUTSIDE)
    tokens, log_mass = tied.draw(torch.ones(2, 5, 4), noise(2, 5))
    assert log_mass.tolist() == [-math.inf, -math.inf]
    assert tokens.min() >= 0 and tokens.max() < 4


def test_pins_reach_the_whole_group():
    """A pin on a follower decides its leader; contradicting pins leave nothing."""
    tied, *_ = build("reverse complement", inner=False)
    p = torch.full((2, 6, 4), 0.25, dtype=torch.float64)
    p[:, 5] = torch.tensor([0.0, 0, 1, 0])
    p[1, 0] = torch.tensor([0.0, 0, 1, 0])
    tokens, log_mass = tied.draw(p, noise(2, 6))
    assert tokens[0, 0] == 1 and tokens[0, 5] == 2
    assert log_mass[0].item() == pytest.approx(math.log(0.25 * 0.25**2), abs=1e-12)
    assert log_mass[1] == -math.inf


def test_large_groups_of_tiny_masses_do_not_underflow():
    """Sixty positions, one variable: the product of their p is far below what float64 holds, and one token is impossible."""
    p = torch.full((1, 60, 3), 1e-9, dtype=torch.float64)
    p[..., 1] = 1e-10
    p[0, 30, 0] = 0
    p[0, :, 2] = 1e-10
    p[0, 59, 2] = 3e-10
    tied = Tied.compile(copies(range(59), range(1, 60)), FactorGraph(60, 3), 60, 3, OUTSIDE)
    tokens, log_mass = tied.draw(p.expand(2000, -1, -1), noise(2000, 60))
    assert log_mass[0].item() == pytest.approx(60 * math.log(1e-10) + math.log(4), abs=1e-9)
    assert bool((tokens == tokens[:, :1]).all())
    assert abs((tokens[:, 0] == 2).double().mean().item() - 0.75) < 0.04


def test_rows_of_other_layouts_in_any_order():
    """A tie that lies elsewhere in each row; the rows asked for are taken in every order and one by one."""
    layouts = (
        Tied.compile(copies((0, 1), (2, 3)), FactorGraph(5, 3), 5, 3, OUTSIDE),
        Tied.compile(copies((0, 1), (3, 4)), FactorGraph(5, 3), 5, 3, OUTSIDE),
        FactorGraph.compile([equal(0, 4, 3)], 5, 3),
    )
    of_row = torch.tensor([0, 1, 2, 1, 0, 2, 2])
    structure, p, u = Layouts(layouts, of_row), random_p(7, 5, 3, seed=2) + 0.01, noise(7, 5)
    tokens, log_mass = structure.draw(p, u)
    for r, k in enumerate(of_row.tolist()):
        expected, mass = layouts[k].draw(p[r : r + 1], u[r : r + 1])
        assert torch.equal(tokens[r], expected[0]) and log_mass[r] == pytest.approx(mass.item(), abs=1e-12)
    for index in ([6, 0, 3], [5], [4, 3, 2, 1, 0], [1, 1]):
        taken = torch.tensor(index)
        part = structure.rows(taken)
        again, masses = part.draw(p[taken], u[taken])
        assert torch.equal(again, tokens[taken])
        assert torch.allclose(masses, log_mass[taken], atol=1e-12, rtol=0)
        assert torch.allclose(part.log_mass(p[taken]), log_mass[taken], atol=1e-12, rtol=0)
    assert torch.allclose(marginals(structure, p).sum(-1), torch.ones(7, 5, dtype=torch.float64), atol=1e-12, rtol=0)
    with pytest.raises(ConditionError, match="expected the 7 rows held, got 2; take rows"):
        structure.log_mass(p[:2])


def test_regions_reach_the_inner_structure():
    """Regions of leaders and untied positions pass through, of followers they do not."""
    inner = Listed(4, 2, lambda x: len(x) == 1 and x[0] == 1, outside=0)
    tied = Tied.compile([Tie(0, 2)], inner, 4, 2, outside=0)
    region = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1]])
    p = torch.tensor([0.25, 0.75], dtype=torch.float64).expand(2, 4, 2)
    expected = [math.log(0.75**2), math.log((0.25**2 + 0.75**2) * 0.75)]
    assert tied.log_mass(p, region).tolist() == pytest.approx(expected, abs=1e-12)


def test_a_row_does_not_depend_on_the_others():
    tied, *_ = build("three at once, mapped", inner=False)
    p, u = random_p(8, 6, 3, seed=4), noise(8, 6)
    p[3, 1] = 0
    tokens, log_mass = tied.draw(p, u)
    assert log_mass[3] == -math.inf
    for r in range(8):
        one, mass = tied.draw(p[r : r + 1], u[r : r + 1])
        assert torch.equal(one[0], tokens[r]) and torch.equal(mass[0], log_mass[r])


def test_ties_that_cannot_be_are_refused():
    def refused(*ties) -> str:
        with pytest.raises(ConditionError) as error:
            Tied.compile(ties, FactorGraph(4, 3), 4, 3, OUTSIDE)
        return str(error.value)

    assert "tie of positions 1 and 4: the row has 4 positions, 0 to 3" in refused(Tie(1, 4))
    assert "tokens 0 and 2 both map to 1" in refused(Tie(0, 1, (1, 0, 1)))
    assert "expected 3 tokens, each from −1 to 2, got [0, 1]" in refused(Tie(0, 1, (0, 1)))
    assert "expected 3 tokens, each from −1 to 2, got [0, 1, 3]" in refused(Tie(0, 1, (0, 1, 3)))
    with pytest.raises(ConditionError, match="as many positions on both sides, got 2 and 1"):
        copies((0, 1), (2,))
