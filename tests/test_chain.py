"""The chain programme against brute force: laws, masses, marginals, reveals, range, and no violation ever.

The law of a draw is measured exactly: a draw is a function of its noise, each token of a position occupies one interval of
it, and bisection finds the intervals.
"""

import itertools
import math

import numpy as np
import pytest
import torch

import constraints.automata.chain as chain_module
from constraints.automata.automaton import Automaton
from constraints.automata.chain import Chain
from constraints.automata.chain_log import LogChain
from constraints.automata.chain_steps import ROWS, WORTH, Steps
from constraints.automata.chain_sweep import log_z
from seqdiff.draws import categorical
from seqdiff.errors import ConditionError
from tests.laws import distribution_test

L, V = 4, 3
F64 = torch.float64


BOTH = pytest.mark.parametrize("way", ["steps", "tree"], indirect=True)  # also where the tree is left to the longer evidence


@pytest.fixture(params=["steps", pytest.param("tree", marks=pytest.mark.slow)], autouse=True)
def way(request, monkeypatch):
    """All of it by steps one after the other, and again by a tree."""
    monkeypatch.setattr(chain_module, "FEW", {"cpu": 200 if request.param == "tree" else 0})
    return request.param


def random_automaton(seed, states=5, classes=3, vocabulary=V, regions=1, dead=0.2) -> Automaton:
    """Random transitions; the language may be empty."""
    r = np.random.default_rng(seed)
    delta = r.integers(0, states, (states, classes))
    delta[r.random(delta.shape) < dead] = -1
    table = r.integers(0, classes, (regions, vocabulary))
    return Automaton(table, delta, int(r.integers(states)), r.random(states) < 0.5)


def motif_automaton() -> Automaton:
    """`.*2.*0.*` over 0 … 4, one class a token: most classes run in parallel, so that labels are sets of them."""
    delta = np.array([[0, 0, 1, 0, 0], [2, 1, 1, 1, 1], [2, 2, 2, 2, 2]])
    return Automaton(np.arange(5)[None], delta, 0, [False, False, True])


def ring_automaton(rings: int) -> Automaton:
    """Token k < rings opens and closes ring k, the others are free; all must be closed in the end."""
    states = np.arange(2**rings)
    delta = np.stack([states ^ (1 << k) for k in range(rings)] + [states], 1)
    return Automaton(np.array([[*range(rings), rings, rings]]), delta, 0, states == 0)


def random_p(seed, rows, length=L, vocabulary=V, temperature=1.0, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return scale * torch.softmax(torch.randn(rows, length, vocabulary, generator=g, dtype=F64) / temperature, -1)


def uniform_noise(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def words(length, vocabulary):
    return torch.tensor(list(itertools.product(range(vocabulary), repeat=length)), dtype=torch.int64).reshape(-1, length)


def enumerated(automaton, p, region=None):
    """All words (W, L) and their weights Π_i p_i(x_i) 1[x ∈ C], (R, W)."""
    x = words(p.shape[1], p.shape[2])
    rows = []
    for b in range(len(p)):
        where = None if region is None else region[b].expand(len(x), -1).numpy()
        accepted = torch.from_numpy(automaton.accepts_rows(x.numpy(), where))
        rows.append(p[b, torch.arange(p.shape[1]), x].prod(-1) * accepted)
    return x, torch.stack(rows)


def drawn_law(chain, p, region=None):
    """{word: probability} of `chain.draw` for one row p (L, V), by bisection of its noise position by position."""
    length = len(p)
    prefixes, probability = torch.zeros(1, 0, dtype=F64), torch.ones(1, dtype=F64)
    for i in range(length):

        def token(u, i=i, prefixes=prefixes):
            noise = torch.cat([prefixes, u.unsqueeze(-1), torch.full((len(u), length - i - 1), 0.5, dtype=F64)], 1)
            rows = p.expand(len(u), -1, -1)
            return chain.draw(rows, noise, None if region is None else region.expand(len(u), -1))[0][:, i]

        start, found = torch.zeros(len(prefixes), dtype=F64), []
        while bool((start < 1 - 1e-13).any()):
            now = token(start)
            low, high = start.clone(), torch.ones_like(start)
            for _ in range(48):
                middle = (low + high) / 2
                same = token(middle) == now
                low, high = torch.where(same, middle, low), torch.where(same, high, middle)
            high = torch.where(start < 1 - 1e-13, high, start)
            found.append((start, high))
            start = high + 1e-15
        low, high = torch.stack([a for a, _ in found], 1), torch.stack([b for _, b in found], 1)
        row, piece = (high - low > 1e-13).nonzero(as_tuple=True)
        middle = (low + high)[row, piece] / 2
        prefixes = torch.cat([prefixes[row], middle.unsqueeze(-1)], 1)
        probability = probability[row] * (high - low)[row, piece]
    tokens = chain.draw(
        p.expand(len(prefixes), -1, -1), prefixes, None if region is None else region.expand(len(prefixes), -1)
    )[0]
    law: dict[tuple, float] = {}
    for x, q in zip(tokens.tolist(), probability.tolist(), strict=True):
        law[tuple(x)] = law.get(tuple(x), 0.0) + q
    return law


CASES = {
    "one region": (random_automaton(1), V),
    "two regions": (random_automaton(3, regions=2), V),
    "three regions": (random_automaton(8, states=7, classes=4, regions=3), V),
    "parallel": (motif_automaton(), 5),
    "rings": (ring_automaton(1), V),
}


@pytest.fixture(params=CASES)
def case(request):
    automaton, vocabulary = CASES[request.param]
    p = random_p(11, 6, vocabulary=vocabulary, scale=3.7)
    region = None
    if automaton.regions > 1:
        region = torch.randint(0, automaton.regions, p.shape[:2], generator=torch.Generator().manual_seed(5))
    return automaton, p, region


@pytest.mark.parametrize(
    ("dtype", "limit"), [(torch.float64, 1e-12), pytest.param(torch.float32, 1e-5, marks=pytest.mark.slow)]
)
def test_the_law_of_a_draw_is_the_enumerated_law(case, dtype, limit, way):
    automaton, p, region = case
    if way == "tree":
        pytest.skip("a token depends on later noise too: the next test")
    p = p[:1, :3] if p.shape[2] > V else p[:1]
    region = None if region is None else region[:1]
    x, weight = enumerated(automaton, p, region)
    assert weight.sum() > 0
    law = drawn_law(Chain(automaton, dtype=dtype), p[0], None if region is None else region[0])
    expected = dict(zip(map(tuple, x.tolist()), (weight[0] / weight[0].sum()).tolist(), strict=True))
    assert sum(law.values()) == pytest.approx(1, abs=1e-11)
    assert sum(abs(q - law.get(word, 0.0)) for word, q in expected.items()) / 2 < limit


@BOTH
def test_the_law_of_many_draws_is_the_enumerated_law(case, way):
    automaton, p, region = case
    n = 40_000 if way == "tree" else 4_000
    p, region = p[:1, :3], None if region is None else region[:1, :3]
    x, weight = enumerated(automaton, p, region)
    possible, law = weight[0] > 0, weight[0] / weight[0].sum()
    where = None if region is None else region.expand(n, -1)
    tokens, _ = Chain(automaton).draw(p.expand(n, -1, -1), uniform_noise(61, n, 3), where)
    ok, message = distribution_test(tokens, x[possible], law[possible])
    assert ok, message


@BOTH
def test_masses_and_marginals_are_the_enumerated_ones(case):
    automaton, p, region = case
    x, weight = enumerated(automaton, p, region)
    at = torch.nn.functional.one_hot(x, p.shape[2]).double()
    marginals = torch.einsum("rw,wlv->rlv", (weight / weight.sum(-1, keepdim=True)).nan_to_num(0), at)
    for dtype, limit in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        chain = Chain(automaton, dtype=dtype)
        torch.testing.assert_close(chain.log_mass(p, region), weight.sum(-1).log(), rtol=0, atol=limit)
        torch.testing.assert_close(chain.marginals(p, region), marginals, rtol=0, atol=limit)
    slow = LogChain(Chain(automaton)._steps)
    torch.testing.assert_close(slow.log_mass(p, region), weight.sum(-1).log(), rtol=0, atol=1e-10)
    torch.testing.assert_close(p * slow.gradient(p, region), marginals, rtol=0, atol=1e-10)


def test_log_mass_is_differentiable_where_p_is_zero_too(case):
    automaton, p, region = case
    chain = Chain(automaton, dtype=F64)
    rows = chain.possible(p > 0, region)
    p, region = p[rows], None if region is None else region[rows]
    region = None if region is None else region[:2]
    assert torch.autograd.gradcheck(lambda q: chain.log_mass(q, region), p[:2].clone().requires_grad_())
    zeroed = p[:2].clone()
    zeroed[:, 1, 0] = 0
    gradient = chain.gradient(zeroed, region)
    nudged = zeroed.clone()
    nudged[:, 1, 0] = 1e-6
    rise = chain.log_mass(nudged, region).exp()
    base = chain.log_mass(zeroed, region).exp()
    torch.testing.assert_close(gradient[:, 1, 0], (rise - base) / base / 1e-6, rtol=1e-7, atol=1e-7)


def test_the_number_of_states_decides_for_the_tree(monkeypatch):
    monkeypatch.setattr(chain_module, "FEW", {"cpu": 3})
    assert Chain(motif_automaton())._tree is not None
    assert Chain(random_automaton(1, states=4))._tree is None
    monkeypatch.setattr(chain_module, "FEW", {"cuda": 3})
    assert Chain(motif_automaton())._tree is None


def test_the_motif_runs_on_labels_that_are_sets():
    assert int(Chain(motif_automaton())._steps.members.sum(1).max()) > 1


@pytest.mark.parametrize(
    "automaton", [motif_automaton(), ring_automaton(4), random_automaton(2, states=9, classes=4, vocabulary=6)]
)
def test_equal_masses_count_words_exactly(automaton):
    length = 18
    p = torch.ones(1, length, automaton.vocabulary, dtype=F64)
    assert round(math.exp(Chain(automaton, dtype=F64).log_mass(p))) == pytest.approx(automaton.count_words(length), rel=1e-13)
    p = torch.full_like(p, 2.0**-20)
    chain = Chain(automaton, dtype=F64)
    counted = chain._over(length).backward(chain._masses(p, None)).beta[0][0, automaton.start] * 2.0**length
    mantissa, _ = math.frexp(float(counted))
    assert mantissa == math.frexp(automaton.count_words(length))[0]


def test_a_pin_is_a_singleton_automaton():
    automaton, p = random_automaton(1), random_p(2, 5)
    chain = Chain(automaton, dtype=F64)
    for i, v in itertools.product(range(L), range(V)):
        pinned = p.clone()
        pinned[:, i] = torch.nn.functional.one_hot(torch.tensor(v), V)
        S, K = automaton.delta.shape
        delta = -np.ones((S * (L + 1), V), int)  # the product with a counter of positions that reads v alone at i
        for q, j, w in itertools.product(range(S), range(L), range(V)):
            after = automaton.delta[q, automaton.classes[0, w]]
            if after >= 0 and (j != i or w == v):
                delta[q * (L + 1) + j, w] = after * (L + 1) + j + 1
        accepting = np.zeros((S, L + 1), bool)
        accepting[:, L] = automaton.accepting
        both = Automaton(np.arange(V)[None], delta, automaton.start * (L + 1), accepting.reshape(-1))
        expected = Chain(both, dtype=F64).log_mass(p) - p[:, i, v].log()
        torch.testing.assert_close(chain.log_mass(pinned), expected, rtol=0, atol=1e-12)
        tokens, log_mass = chain.draw(pinned, uniform_noise(3, 5, L))
        assert (tokens[torch.isfinite(log_mass), i] == v).all()


@pytest.mark.parametrize("automaton", [random_automaton(4, states=40, classes=9, vocabulary=20), ring_automaton(5)])
def test_rows_do_not_depend_on_their_batch(automaton, monkeypatch):
    rows, length = 70, 24
    p, u = random_p(6, rows, length, automaton.vocabulary), uniform_noise(7, rows, length)
    p[:35, :6] = torch.nn.functional.one_hot(torch.tensor([0, 1, 2, 2, 1, 0]), automaton.vocabulary).double()
    commit = uniform_noise(8, rows, length) < 0.3
    chain = Chain(automaton)
    tokens, log_mass = chain.draw(p, u)
    revealed, before, after = chain.reveal(p, commit, u)
    for b in (0, 17, 36, 69):
        one = slice(b, b + 1)
        alone, mass = chain.draw(p[one], u[one])
        assert torch.equal(alone[0], tokens[b])
        torch.testing.assert_close(mass[0], log_mass[b], rtol=0, atol=1e-5)
        assert torch.equal(chain.reveal(p[one], commit[one], u[one])[0], revealed[one])
    monkeypatch.setattr(chain_module, "STORED", 200_000)
    assert torch.equal(chain.draw(p, u)[0], tokens)
    in_parts = chain.reveal(p, commit, u)
    assert torch.equal(in_parts[0], revealed)
    torch.testing.assert_close(in_parts[2], after, rtol=0, atol=1e-5)


@pytest.mark.parametrize("groups", [2, 3, 7])
@pytest.mark.parametrize("name", CASES)
def test_rows_do_not_depend_on_their_group(name, groups, monkeypatch):
    """35 rows in groups of their own for threads: filled up to 36 for two and three, 5 in each of seven."""
    automaton, vocabulary = CASES[name]
    rows, length = 35, 9
    p, u = random_p(6, rows, length, vocabulary), uniform_noise(7, rows, length)
    p[:, 3] = torch.nn.functional.one_hot(torch.tensor(1), vocabulary).double()
    p[8] = 0
    region = None
    if automaton.regions > 1:
        region = torch.randint(0, automaton.regions, (rows, length), generator=torch.Generator().manual_seed(5))
    commit = uniform_noise(8, rows, length) < 0.3
    chain = Chain(automaton)
    expected = [*chain.draw(p, u, region), *chain.reveal(p, commit, u, region), chain.gradient(p, region)]
    monkeypatch.setattr(Steps, "groups", lambda self, p: groups)
    found = [*chain.draw(p, u, region), *chain.reveal(p, commit, u, region), chain.gradient(p, region)]
    assert torch.isfinite(expected[1]).sum() > 10
    for name, a, b in zip(("tokens", "log Z", "revealed", "before", "after"), expected[:-1], found[:-1], strict=True):
        assert torch.equal(a, b), name
    torch.testing.assert_close(found[-1], expected[-1], rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(chain_module, "STORED", 20_000)
    for a, b in zip(expected[:2], chain.draw(p, u, region), strict=True):
        assert torch.equal(a, b)


def test_rows_are_grouped_by_threads_where_that_is_worth_it(monkeypatch):
    steps = Chain(random_automaton(4, states=80, classes=40, vocabulary=40))._steps
    assert len(steps.pairs) > 1000
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    many = torch.zeros(WORTH // len(steps.pairs) + 1, 0, 0)
    assert steps.groups(many) == 4
    assert steps.groups(many[:-2]) == 1, "too little work"
    assert steps.groups(many.to("meta")) == 1, "another device"
    steps.pairs = torch.zeros(WORTH)
    assert [steps.groups(many[:rows]) for rows in (1, ROWS, 2 * ROWS, 3 * ROWS + 1)] == [1, 1, 2, 3]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert steps.groups(many) == 1


@BOTH
@pytest.mark.parametrize("name", ["two regions", "parallel"])
def test_a_reveal_draws_from_the_joint_law_and_its_masses_fit(name):
    automaton, vocabulary = CASES[name]
    p = random_p(21, 1, vocabulary=vocabulary)
    region = torch.tensor([[0, 1, 1, 0]]) if automaton.regions > 1 else None
    positions = [0, 2]
    commit = torch.zeros(1, L, dtype=torch.bool)
    commit[:, positions] = True
    x, weight = enumerated(automaton, p, region)
    outcomes = words(2, vocabulary)
    joint = torch.stack([(weight[0] * (x[:, positions] == y).all(-1)).sum() for y in outcomes])
    possible, joint = joint > 0, joint / joint.sum()

    n = 50_000
    rows = p.expand(n, -1, -1), commit.expand(n, -1), uniform_noise(22, n, L), None if region is None else region.expand(n, -1)
    tokens, _, _ = Chain(automaton).reveal(*rows)
    ok, message = distribution_test(tokens[:, positions], outcomes[possible], joint[possible])
    assert ok, message

    small = [a if a is None else a[:400] for a in rows]
    tokens, before, after = Chain(automaton, dtype=F64).reveal(*small)
    index = (tokens[:, positions].unsqueeze(1) == outcomes).all(-1).to(torch.int8).argmax(-1)
    factors = torch.stack([p[0, i, tokens[:, i]] for i in positions]).log().sum(0)
    torch.testing.assert_close(joint[index].log() + before, factors + after, rtol=0, atol=1e-10)


def test_a_reveal_of_nothing_and_of_everything():
    automaton, p, u = random_automaton(1), random_p(2, 5), uniform_noise(3, 5, L)
    chain = Chain(automaton, dtype=F64)
    commit = torch.zeros(5, L, dtype=torch.bool)
    _, before, after = chain.reveal(p, commit, u)
    assert torch.equal(before, after)
    tokens, before, after = chain.reveal(p, ~commit, u)
    drawn, log_mass = chain.draw(p, u)
    assert torch.equal(tokens, drawn)
    assert torch.equal(before, log_mass)
    torch.testing.assert_close(after, torch.zeros(5, dtype=F64), rtol=0, atol=1e-12)


def test_independent_draws_from_constrained_marginals_fail_the_test_of_the_law():
    automaton, n = CASES["one region"][0], 20_000
    p = random_p(31, 1)
    x, weight = enumerated(automaton, p)
    possible, law = weight[0] > 0, weight[0] / weight[0].sum()
    chain, u = Chain(automaton), uniform_noise(32, n, L)
    assert distribution_test(chain.draw(p.expand(n, -1, -1), u)[0], x[possible], law[possible])[0]
    independent = categorical(chain.marginals(p).expand(n, -1, -1).contiguous(), u)
    assert not distribution_test(independent, x[possible], law[possible])[0]


def test_what_is_possible_is_what_enumeration_finds(case):
    automaton, p, region = case
    g = torch.Generator().manual_seed(41)
    allowed = torch.rand(p.shape, generator=g) < 0.45
    x, weight = enumerated(automaton, allowed.double(), region)
    at = torch.nn.functional.one_hot(x, p.shape[2]).bool()
    somewhere = torch.stack([at[w > 0].any(0) if bool((w > 0).any()) else torch.zeros_like(at[0]) for w in weight])
    chain = Chain(automaton)
    assert torch.equal(chain.possible(allowed, region), weight.sum(-1) > 0)
    assert torch.equal(chain.possible_at(allowed, region), somewhere)
    assert torch.equal(torch.isfinite(chain.log_mass(allowed.double(), region)), weight.sum(-1) > 0)


def open_rings(p_close: float, holes: int = 20) -> torch.Tensor:
    """Seven pinned open rings, then holes where ring tokens are improbable."""
    p = torch.full((3, 7 + holes, 9), p_close, dtype=F64)
    p[:, :, 7:] = 0.5
    p[:, :7] = torch.nn.functional.one_hot(torch.arange(7), 9).double()
    return p


def test_pinned_open_rings_are_not_refused():
    """β of the states with seven open rings is far below the largest: scaling by the maximum does not protect it."""
    chain, p = Chain(ring_automaton(7)), open_rings(1e-7)
    sweep = chain._over(27).backward(chain._masses(p, None))
    assert not log_z(chain._steps, sweep)[1].any(), "the case must leave the range of float32"
    exact = LogChain(chain._steps).log_mass(p)
    torch.testing.assert_close(chain.log_mass(p), exact, rtol=0, atol=1e-9)
    tokens, log_mass = chain.draw(p, uniform_noise(51, 3, 27))
    assert chain.automaton.accepts_rows(tokens).all()
    torch.testing.assert_close(log_mass, exact, rtol=0, atol=1e-9)
    marginals = chain.marginals(p)
    torch.testing.assert_close(marginals.sum(-1), torch.ones(3, 27, dtype=F64), rtol=0, atol=1e-6)
    torch.testing.assert_close(marginals[0, 7:].sum(0)[0], torch.tensor(1.0, dtype=F64), rtol=0, atol=1e-4)


def test_what_leaves_the_range_of_float64_is_drawn_in_logarithms():
    chain, p = Chain(ring_automaton(7)), open_rings(1e-60)
    expected = sum(math.log(20 - k) + math.log(1e-60) for k in range(7))  # places for seven rings, the rest is 1
    log_mass = chain.log_mass(p)
    torch.testing.assert_close(log_mass, torch.full_like(log_mass, expected), rtol=0, atol=1e-6)
    commit = torch.zeros(3, 27, dtype=torch.bool)
    commit[:, 10:14] = True
    tokens, before, after = chain.reveal(p, commit, uniform_noise(52, 3, 27))
    factors = p.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    assert torch.isfinite(after).all()
    assert (after <= before - (factors.log() * commit).sum(-1) + 1e-6).all()
    assert chain.automaton.accepts_rows(chain.draw(p, uniform_noise(53, 3, 27))[0]).all()
    torch.testing.assert_close(chain.marginals(p)[0, 7:, :7].sum(0), torch.ones(7, dtype=F64), rtol=0, atol=1e-6)


@BOTH
def test_a_row_out_of_range_leaves_the_others_alone():
    chain = Chain(ring_automaton(7))
    p = torch.cat([open_rings(0.01)[:1], open_rings(1e-60)[:1], open_rings(0.01)[:1]])
    p[2, 7:, 0] = 0  # ring 0 cannot be closed
    log_mass = chain.log_mass(p)
    assert log_mass[2] == float("-inf")
    assert torch.equal(log_mass[:1], chain.log_mass(p[:1]))
    assert not chain.possible(p > 0)[2]
    assert (chain.gradient(p)[2] == 0).all()


@pytest.mark.parametrize("temperature", [0.02, 0.5, 2.0])
def test_no_draw_violates_the_automaton(temperature):
    """Random automata and tables, some entries 0, some 1e-30 or less."""
    drawn = 0
    for seed in range(8):
        automaton = random_automaton(seed + 100, states=12, classes=6, vocabulary=8, regions=1 + seed % 2, dead=0.4)
        rows, length = 2_000, 12
        g = torch.Generator().manual_seed(seed)
        p = random_p(seed, rows, length, 8, temperature)
        odd = torch.rand(p.shape, generator=g)
        p = torch.where(odd < 0.2, 0.0, torch.where(odd < 0.5, p * 1e-30, torch.where(odd < 0.55, 1e-200, p)))
        region = torch.randint(0, automaton.regions, (rows, length), generator=g) if automaton.regions > 1 else None
        chain, u = Chain(automaton), uniform_noise(seed, rows, length)
        u[: rows // 10] = 1 - 2.0**-53
        u[rows // 10 : rows // 5] = 0
        tokens, log_mass = chain.draw(p, u, region)
        possible = torch.isfinite(log_mass)
        assert torch.equal(possible, chain.possible(p > 0, region))
        assert automaton.accepts_rows(tokens[possible], None if region is None else region[possible]).all()
        assert (p.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) > 0)[possible].all()
        drawn += int(possible.sum())
    assert drawn > 8_000


@BOTH
def test_an_empty_language_and_an_empty_row():
    nothing = Automaton(np.zeros((1, V)), np.full((2, 1), -1), 0, [False, True])
    p = random_p(1, 2)
    assert (Chain(nothing).log_mass(p) == float("-inf")).all()
    assert not Chain(nothing).possible(p > 0).any()
    anything = Automaton(np.zeros((1, V)), np.zeros((1, 1)), 0, [True])
    torch.testing.assert_close(Chain(anything).log_mass(2 * p), torch.full((2,), L * math.log(2), dtype=F64), rtol=0, atol=1e-6)
    tokens, log_mass = Chain(anything).draw(p[:, :0], uniform_noise(1, 2, 0))
    assert tokens.shape == (2, 0)
    assert torch.equal(log_mass, torch.zeros(2, dtype=F64))


def test_another_number_type_is_refused():
    with pytest.raises(ConditionError, match=r"expected torch\.float32 or torch\.float64, got torch\.bfloat16"):
        Chain(motif_automaton(), dtype=torch.bfloat16)
