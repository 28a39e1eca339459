"""Relations between positions: masses, marginals and drawn laws against enumeration, counts against closed forms."""

import itertools
import math

import pytest
import torch

from constraints.relations import elimination
from constraints.relations import factor_graph as relations
from constraints.relations.factor_graph import DifferentRuns, Distinct, FactorGraph, Relation, at_most_one, equal, implies
from seqdiff.errors import ConditionError
from tests.laws import distribution_test
from tests.laws_relations import enumerated, marginals, noise, random_p

DRAWS = 20_000
UNEQUAL = ~torch.eye(3, dtype=torch.bool)


def random_relations(seed: int, length: int = 5, vocabulary: int = 3) -> list:
    generator = torch.Generator().manual_seed(seed)
    out: list = []
    for arity in (2, 2, 3, 2 + seed % 2):
        positions = tuple(torch.randperm(length, generator=generator)[:arity].tolist())
        out.append(Relation(positions, torch.rand((vocabulary,) * arity, generator=generator) < 0.7))
    return out if seed % 3 else [*out, Distinct(tuple(torch.randperm(length, generator=generator)[:3].tolist()))]


def holds(asked):
    """The relations read by their meaning."""

    def one(relation, x):
        if isinstance(relation, Distinct):
            return len({x[i] for i in relation.positions}) == len(relation.positions)
        if isinstance(relation, DifferentRuns):
            return [x[i] for i in relation.first] != [x[i] for i in relation.second]
        return bool(relation.table[tuple(x[i] for i in relation.positions)])

    return lambda x: all(one(relation, x) for relation in asked)


CASES = {
    **{f"random {seed}": (random_relations(seed), 5, 3) for seed in range(12)},
    "distinct": ([Distinct((4, 0, 2))], 5, 4),
    "distinct, all": ([Distinct((0, 1, 2, 3, 4))], 5, 5),
    "two distinct": ([Distinct((0, 3)), Distinct((1, 2, 4))], 5, 3),
    "overlapping distinct": ([Distinct((0, 1, 2)), Distinct((2, 3, 4))], 5, 3),
    "different runs": ([DifferentRuns((0, 3), (4, 1))], 5, 3),
    "different run of one": ([DifferentRuns((3,), (1,)), equal(0, 2, 3)], 5, 3),
    "equal, implies": ([equal(0, 4, 3), implies(4, {0, 1}, 2, {2}, 3)], 5, 3),
    "at most one": (at_most_one((0, 1, 3, 4), {1, 2}, 3), 5, 3),
    "nothing asked": ([], 4, 3),
}


@pytest.mark.parametrize("name", CASES)
def test_masses_and_marginals_are_those_of_enumeration(name):
    asked, length, vocabulary = CASES[name]
    graph = FactorGraph.compile(asked, length, vocabulary)
    p = random_p(6, length, vocabulary, seed=len(name))
    found, share = graph.log_mass(p), marginals(graph, p)
    for r in range(len(p)):
        rows, mass = enumerated(p[r], holds(asked))
        if len(rows) == 0:
            assert found[r] == -math.inf
            continue
        assert found[r].item() == pytest.approx(math.log(mass.sum()), abs=1e-12)
        one_hot = torch.nn.functional.one_hot(rows, vocabulary).double()
        expected = torch.einsum("k,kiv->iv", mass / mass.sum(), one_hot)
        assert torch.allclose(share[r], expected, atol=1e-10, rtol=0)


DRAWN = ["random 3", "distinct", "overlapping distinct", "different runs", "equal, implies"]


@pytest.mark.parametrize("name", DRAWN)
def test_draws_follow_the_law_and_independent_draws_do_not(name):
    asked, length, vocabulary = CASES[name]
    graph = FactorGraph.compile(asked, length, vocabulary)
    p = random_p(1, length, vocabulary, seed=5) ** 2 + 0.05
    rows, mass = enumerated(p[0], holds(asked))
    law = mass / mass.sum()
    many = p.expand(DRAWS, -1, -1)
    tokens, log_mass = graph.draw(many, noise(DRAWS, length))
    assert torch.equal(log_mass, graph.log_mass(many))
    ok, why = distribution_test(tokens, rows, law)
    assert ok, why
    # Each position from its own constrained marginal: every marginal is right, the joint law is not.
    share = marginals(graph, p).expand(DRAWS, -1, -1)
    independent, _ = FactorGraph.compile([], length, vocabulary).draw(share, noise(DRAWS, length))
    assert not distribution_test(independent, rows, law)[0]


def test_counts_are_the_closed_forms():
    """Proper colourings of a circle of n: (V − 1)^n + (−1)^n (V − 1); injections: V!/(V − k)!; runs: V^k (V^k − 1)."""
    n, vocabulary = 60, 3
    circle = [Relation((i, (i + 1) % n), UNEQUAL) for i in range(n)]
    graph = FactorGraph.compile(circle, n, vocabulary)
    (found,) = graph.log_mass(torch.ones(1, n, vocabulary)).tolist()
    assert found == pytest.approx(math.log((vocabulary - 1) ** n + (vocabulary - 1)), abs=1e-11)
    assert graph.components[0].treewidth == 2  # type: ignore[union-attr]

    injective = FactorGraph.compile([Distinct(tuple(range(12)))], 12, 24)
    assert injective.log_mass(torch.ones(1, 12, 24)).item() == pytest.approx(math.log(math.perm(24, 12)), abs=1e-12)

    runs = FactorGraph.compile([DifferentRuns((0, 1, 2), (3, 4, 5))], 6, 5)
    assert runs.log_mass(torch.ones(1, 6, 5)).item() == pytest.approx(math.log(5**3 * (5**3 - 1)), abs=1e-12)


def test_all_different_by_tokens_is_all_different_by_elimination():
    """Two algorithms, one mass: a relation that always holds puts the four positions into one elimination of treewidth 3."""
    p = random_p(20, 5, 6, seed=3)
    always = Relation((3, 4), torch.ones(6, 6, dtype=torch.bool))
    alone = FactorGraph.compile([Distinct((0, 1, 2, 3))], 5, 6)
    together = FactorGraph.compile([Distinct((0, 1, 2, 3)), always], 5, 6)
    assert type(alone.components[0]) is not type(together.components[0])
    assert torch.allclose(alone.log_mass(p), together.log_mass(p), atol=1e-12, rtol=0)


def test_different_runs_and_equal_runs_are_everything():
    p = random_p(20, 6, 4, seed=4)
    first, second = (0, 2, 5), (1, 3, 4)
    unlike = FactorGraph.compile([DifferentRuns(first, second)], 6, 4).log_mass(p).exp()
    alike = FactorGraph.compile([equal(i, j, 4) for i, j in zip(first, second, strict=True)], 6, 4).log_mass(p).exp()
    assert torch.allclose(unlike + alike, p.sum(-1).prod(-1), rtol=1e-12, atol=0)


def test_a_difference_that_is_nearly_impossible_keeps_its_mass():
    """Two runs that agree but for 1e-30: 1 − Σ p p would be 0."""
    p = torch.zeros(1, 2, 2, dtype=torch.float64)
    p[..., 0], p[:, 1, 1] = 1, 1e-30
    graph = FactorGraph.compile([DifferentRuns((0,), (1,))], 2, 2)
    assert graph.log_mass(p).item() == pytest.approx(math.log(1e-30), abs=1e-12)
    assert graph.draw(p, torch.full((1, 2), 0.5))[0].tolist() == [[0, 1]]


@pytest.mark.parametrize("name", ["random 3", "random 7", "overlapping distinct", "distinct, all", "different runs"])
def test_every_row_of_the_law_is_drawn_alone_under_its_pins(name):
    """Pinned to one row by one-hots: log Z is 0 where it holds and −∞ where not, and it is what is drawn."""
    asked, length, vocabulary = CASES[name]
    graph = FactorGraph.compile(asked, length, vocabulary)
    rows = torch.tensor(list(itertools.product(range(vocabulary), repeat=length)))
    p = torch.nn.functional.one_hot(rows, vocabulary).double()
    tokens, log_mass = graph.draw(p, noise(len(rows), length))
    possible = torch.tensor([holds(asked)(tuple(x)) for x in rows.tolist()])
    assert torch.equal(log_mass == 0, possible)
    assert bool((log_mass[~possible] == -math.inf).all())
    assert torch.equal(tokens[possible], rows[possible])
    assert tokens.min() >= 0 and tokens.max() < vocabulary


def test_a_row_does_not_depend_on_the_others(monkeypatch):
    """One by one, in other groups, and beside a row where nothing is possible."""
    for asked, length, vocabulary in (CASES["random 6"], CASES["distinct"], CASES["different runs"]):
        graph = FactorGraph.compile(asked, length, vocabulary)
        p, u = random_p(9, length, vocabulary, seed=8), noise(9, length)
        p[4] = 0
        tokens, log_mass = graph.draw(p, u)
        for r in range(9):
            one, mass = graph.draw(p[r : r + 1], u[r : r + 1])
            assert torch.equal(one[0], tokens[r])
            assert torch.allclose(mass[0], log_mass[r], atol=1e-12, rtol=0)
        monkeypatch.setattr(relations, "MAX_CELLS", 1)
        again, masses = graph.draw(p, u)
        monkeypatch.undo()
        assert torch.equal(again, tokens) and torch.allclose(masses, log_mass, atol=1e-12, rtol=0)
        assert log_mass[4] == -math.inf and bool(torch.isfinite(log_mass[[0, 1, 2]]).all())


def test_long_rows_of_tiny_masses_do_not_underflow():
    n = 400
    graph = FactorGraph.compile([equal(i, i + 1, 4) for i in range(n - 1)], n, 4)
    found = graph.log_mass(torch.full((2, n, 4), 1e-12, dtype=torch.float64))
    assert torch.allclose(found, torch.full((2,), n * math.log(1e-12) + math.log(4), dtype=torch.float64), atol=1e-8, rtol=0)


def test_noise_decides():
    """The same noise gives the same row, other noise another."""
    graph = FactorGraph.compile([Distinct((0, 1, 2))], 4, 5)
    p = torch.ones(50, 4, 5)
    first, again, other = (graph.draw(p, noise(50, 4, seed))[0] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def refused(asked, length=12, vocabulary=4) -> str:
    with pytest.raises(ConditionError) as error:
        FactorGraph.compile(asked, length, vocabulary)
    return str(error.value)


def test_what_is_too_dense_is_refused_by_name():
    five = [Relation(pair, ~torch.eye(4, dtype=torch.bool)) for pair in itertools.combinations((1, 3, 5, 7, 9), 2)]
    message = refused(five)
    assert "positions 1, 3, 5, 7, 9 depend on one another too closely" in message and "treewidth 4" in message
    message = refused(at_most_one((0, 1, 2, 3), {0}, 64), vocabulary=64)
    assert "64^4" in message and "treewidth 3" in message
    message = refused([Distinct(tuple(range(13)))], length=20, vocabulary=20)
    assert "13 positions" in message and "at most 12" in message
    assert "positions 0, 1, 2, 3, 4 cannot all differ with 4 tokens" in refused([Distinct((0, 1, 2, 3, 4))])
    assert "another relation touches the same positions (positions 0, 1, 2)" in refused(
        [DifferentRuns((0,), (1,)), equal(1, 2, 4)]
    )


def test_what_does_not_fit_the_row_is_refused():
    assert "positions 3, 12: the row has 12 positions, 0 to 11" in refused([equal(3, 12, 4)])
    assert "expected 4 tokens an axis, got 5" in refused([equal(0, 1, 5)])
    for positions in ((1, 1), (0,), (0, 1, 2, 3)):
        with pytest.raises(ConditionError, match="two or three different positions"):
            Relation(positions, UNEQUAL)
    with pytest.raises(ConditionError, match=r"bool table \(V,\)·2, got float32 \(3, 3\)"):
        Relation((0, 1), torch.ones(3, 3))
    with pytest.raises(ConditionError, match="two or more different positions, got positions 2, 2"):
        Distinct((2, 2))
    with pytest.raises(ConditionError, match="as many positions, all apart"):
        DifferentRuns((0, 1), (1, 2))


def test_treewidth_three_is_summed_exactly():
    """Four positions that all depend on one another through every pair and every triple."""
    generator = torch.Generator().manual_seed(1)
    asked = [
        Relation(s, torch.rand((3,) * k, generator=generator) < 0.85)
        for k in (2, 3)
        for s in itertools.combinations(range(4), k)
    ]
    graph = FactorGraph.compile(asked, 4, 3)
    assert graph.components[0].treewidth == elimination.MAX_TREEWIDTH  # type: ignore[union-attr]
    p = random_p(1, 4, 3, seed=2) + 0.1
    rows, mass = enumerated(p[0], holds(asked))
    assert graph.log_mass(p).item() == pytest.approx(math.log(mass.sum()), abs=1e-12)
    tokens, _ = graph.draw(p.expand(DRAWS, -1, -1), noise(DRAWS, 4))
    law = mass / mass.sum()
    ok, why = distribution_test(tokens, rows, law)
    assert ok, why
    planted = 0.97 * law
    planted[law.argmin()] += 0.03
    assert not distribution_test(tokens, rows, planted)[0]
