"""The sweep over live states alone against the sweep over all of them, and what is live against brute force."""

import itertools
import math

import numpy as np
import pytest
import torch

import constraints.automata.chain as chain_module
import constraints.automata.live as live_module
from constraints.automata.chain import Chain
from constraints.automata.chain_log import LogChain
from constraints.automata.chain_steps import Steps
from constraints.automata.live import Live
from constraints.automata.whole import Whole
from constraints.compilation.compile import compile
from constraints.compilation.layout import Layout
from constraints.language.notation import parse
from constraints.token_sets import distinct
from seqdiff.alphabet import Alphabet
from tests.test_chain import enumerated, motif_automaton, random_automaton, random_p, ring_automaton, uniform_noise

L = 40
CASES = {
    "one region": random_automaton(4, states=40, classes=9, vocabulary=20),
    "two regions": random_automaton(12, states=12, classes=6, vocabulary=8, regions=2, dead=0.1),
    "parallel": motif_automaton(),
    "rings": ring_automaton(5),
}


@pytest.fixture
def always(monkeypatch):
    """Live states are swept also where it gains nothing."""
    monkeypatch.setattr(live_module, "WORTH", math.inf)


@pytest.fixture(params=CASES)
def case(request, always):
    """(automaton, allowed (1, L, V), region (1, L) or None): a word pinned but for some places, where a choice is left."""
    automaton, r = CASES[request.param], np.random.default_rng(3)
    V = automaton.vocabulary
    region = torch.as_tensor(r.integers(0, automaton.regions, (1, L))) if automaton.regions > 1 else None
    word, log_z = Chain(automaton).draw(random_p(5, 1, L, V), uniform_noise(6, 1, L), region)
    assert torch.isfinite(log_z).all()
    allowed = torch.as_tensor(r.random((1, L, V)) < 0.7)
    pinned = torch.ones(L, dtype=torch.bool)  # a run of more than RUN positions, and two short ones
    pinned[[0, 3, 4, *range(25, 37), 39]] = False
    allowed[:, pinned] = False
    return automaton, allowed.scatter(2, word.unsqueeze(-1), True), region


def rows_of(case, rows, seed=7):
    """p (R, L, V) within what is allowed, and noise; most rows have some positions settled besides."""
    automaton, allowed, region = case
    p = random_p(seed, rows, L, automaton.vocabulary, scale=1.3) * allowed
    settled, _ = Chain(automaton).draw(p, uniform_noise(seed + 1, rows, L), None if region is None else region.expand(rows, -1))
    at = uniform_noise(seed + 2, rows, L) < 0.3
    p = torch.where(at.unsqueeze(-1), torch.nn.functional.one_hot(settled, p.shape[-1]).double(), p)
    region = None if region is None else region.expand(rows, -1)
    return p, uniform_noise(seed + 3, rows, L), uniform_noise(seed + 4, rows, L) < 0.2, region


def answers(chain, p, u, commit, region):
    return (*chain.draw(p, u, region), *chain.reveal(p, commit, u, region), chain.log_mass(p, region))


def the_same(found, expected):
    for name, a, b in zip(("tokens", "log Z", "revealed", "before", "after", "mass"), found, expected, strict=True):
        if a.dtype == torch.int64:
            assert torch.equal(a, b), name
        else:  # powers of two apart, of which the logarithm is rounded
            torch.testing.assert_close(a, b, rtol=1e-14, atol=1e-12, msg=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("groups", [1, 3])
def test_what_is_drawn_is_the_same_token_by_token(case, dtype, groups, monkeypatch):
    automaton, allowed, region = case
    rows = rows_of(case, 21)
    whole = Chain(automaton, dtype=dtype)
    told = whole.among(*distinct(allowed), region, [L])
    monkeypatch.setattr(Steps, "groups", lambda self, p: groups)
    assert isinstance(told._over(L), Live) and isinstance(told._over(L - 1), Whole)
    expected = answers(whole, *rows)
    assert torch.isfinite(expected[1]).all()
    the_same(answers(told, *rows), expected)
    monkeypatch.setattr(chain_module, "STORED", 20_000)
    the_same(answers(told, *rows), expected)
    torch.testing.assert_close(told.gradient(rows[0], rows[3]), whole.gradient(rows[0], rows[3]), rtol=1e-5, atol=1e-6)
    none = torch.zeros_like(rows[2])
    assert torch.equal(*told.reveal(rows[0], none, rows[1], rows[3])[1:])


def test_rows_do_not_depend_on_their_company(case):
    """Rows that hold what was not said are summed over all states, whoever is with them."""
    automaton, allowed, region = case
    p, u, commit, regions = rows_of(case, 20)
    p[::3] = random_p(99, 1, L, automaton.vocabulary)
    told = Chain(automaton).among(*distinct(allowed), region, [L])
    swept = []
    with pytest.MonkeyPatch.context() as patch:
        for over in (Live, Whole):

            def noted(self, masses, *more, usual=over.backward, over=over, **named):
                swept.append((over, masses.m.shape[-1]))
                return usual(self, masses, *more, **named)

            patch.setattr(over, "backward", noted)
        together = answers(told, p, u, commit, regions)
    assert {(Live, 13), (Whole, 7)} <= set(swept)
    the_same(together, answers(Chain(automaton), p, u, commit, regions))
    for b in range(6):
        one = slice(b, b + 1)
        alone = answers(told, p[one], u[one], commit[one], None if regions is None else regions[one])
        the_same(alone, [x[one] for x in together])


def test_what_is_live_is_what_enumeration_finds():
    r, length = np.random.default_rng(0), 4
    for seed in range(30):
        automaton = random_automaton(seed, states=7, classes=3, dead=0.3)
        allowed = r.random((length, 3)) < 0.6
        met = [set() for _ in range(length + 1)]
        for word in itertools.product(range(3), repeat=length):
            path = [automaton.start]
            for c in word:
                path.append(automaton.delta[path[-1], c] if path[-1] >= 0 else -1)
            if path[-1] >= 0 and automaton.accepting[path[-1]] and all(allowed[i, c] for i, c in enumerate(word)):
                for i, state in enumerate(path):
                    met[i].add(int(state))
        steps = Steps(automaton, "cpu")
        found = live_module._live(steps.step_of_class.numpy(), steps.start, steps.accepting.numpy(), allowed)
        assert [set(states.tolist()) for states in found] == met


def test_masses_are_the_enumerated_ones(always):
    for seed in range(12):
        automaton = random_automaton(seed, regions=2)
        allowed = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(seed)) < 0.6
        region = torch.randint(0, 2, (2, 4), generator=torch.Generator().manual_seed(seed))
        p = random_p(seed, 2) * allowed
        log_z = Chain(automaton, dtype=torch.float64).among(*distinct(allowed), region, [4, 4]).log_mass(p, region)
        torch.testing.assert_close(log_z.exp(), enumerated(automaton, p, region)[1].sum(-1), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("total", [1e-3, 1e-30])
def test_small_masses_along_a_run_stay_in_range(always, total):
    """What a token has where nothing else may stand can be small, 200 times over; rings that must close are improbable."""
    automaton, length = ring_automaton(5), 230
    allowed = torch.zeros(1, length, 7, dtype=torch.bool)
    allowed[:, :, 6] = True
    allowed[:, 200:] = True
    for ring in range(5):
        allowed[:, 20 * ring] = torch.arange(7) == ring
    p = random_p(3, 2, length, 7) * allowed
    p[:, 200:, :5] *= total
    p[:, :200] *= total
    told = Chain(automaton).among(*distinct(allowed), None, [length])
    assert isinstance(told._over(length), Live)
    torch.testing.assert_close(told.log_mass(p), LogChain(told._steps).log_mass(p), rtol=1e-6, atol=0)
    tokens, _ = told.draw(p, uniform_noise(1, 2, length))
    assert automaton.accepts_rows(tokens).all()


def test_live_states_are_swept_where_that_gains_and_only_there():
    automaton, length = ring_automaton(7), 60
    steps = Steps(automaton, "cpu")
    free = np.ones((length, automaton.delta.shape[1]), bool)
    assert Live.of(steps, free) is None
    pinned = free.copy()
    pinned[:50] = np.arange(free.shape[1]) == 7
    live = Live.of(steps, pinned)
    assert live is not None
    assert [(stage.first, stage.last) for stage in live.stages[:4]] == [(0, 16), (16, 32), (32, 48), (48, 50)]
    assert live.sizes[:6] == [1, 1, 1, 1, 1, 8], "one open ring of seven, or none"
    assert live.numbers < 0.1 * length * steps.states
    pinned[:50] = np.arange(free.shape[1]) == 0
    pinned[50:] = np.arange(free.shape[1]) == 1
    pinned[0] = np.arange(free.shape[1]) == 2
    assert Live.of(steps, pinned) is None, "nothing can stand there"


def test_tables_are_remembered_within_limits(monkeypatch):
    automaton, length = ring_automaton(5), 30
    allowed = torch.zeros(3, length, 7, dtype=torch.bool)
    allowed[..., 5] = True
    for k in range(3):
        allowed[k, 3 * k : 3 * k + 6] = True
    chain = Chain(automaton)
    told = [chain.among(*distinct(allowed[k : k + 1]), None, [length]) for k in range(3)]
    tables = [one._over(length) for one in told]
    assert isinstance(tables[0], Live)
    assert all(one._over(length) is table for one, table in zip(told, tables, strict=True))
    monkeypatch.setattr(live_module, "MOST", 2 * tables[0].bytes)
    told[1]._over(length)
    again = told[0]._over(length)
    assert again is not tables[0]
    assert sum(live.bytes for live in chain._remembered.values()) <= live_module.MOST
    assert told[0]._over(length) is again


@pytest.mark.parametrize(
    "text",
    [
        "tie(A, B) & within(A, count([A], 2..3) & avoid(C-x-C))",
        'within(A, sum({"A": 1, "C": -1}, 0..1)) & ban([G], 20..21) & runs([^], 2)',
    ],
)
def test_a_request_tells_its_structure_what_rows_may_hold(text, always):
    rna = Alphabet("rna", tuple("ACGU"))
    hole, layouts = 4, []
    for shift in (0, 2, 4):
        tokens = torch.full((24,), hole)
        tokens[shift : shift + 6] = torch.tensor([0, 1, 2, 3, 2, 2])
        layouts.append(Layout(24 + shift, {"A": (1, 9), "B": (12, 20)}, torch.cat([tokens, torch.full((shift,), hole)])))
    compiled = compile(parse(text), rna, layouts)
    assert compiled.structure is not None
    for row, layout in enumerate(layouts):
        index = torch.full((50,), row)
        allowed, region = compiled.allowed(index)[:, : layout.length], compiled.region[index][:, : layout.length]
        structure = compiled.structure.rows(index) if hasattr(compiled.structure, "rows") else compiled.structure  # type: ignore[attr-defined]
        p = random_p(row, 50, layout.length, 4) * allowed
        u, swept = uniform_noise(row, 50, layout.length), []
        usual = Live.backward

        def noted(self, *masses, usual=usual, swept=swept, **named):
            swept.append(self)
            return usual(self, *masses, **named)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Live, "backward", noted)
            tokens, log_z = structure.draw(p, u, region)
        assert swept
        assert compiled.check(tokens, index).all()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Chain, "_over", lambda self, length: Whole(self._steps, length, []))
            other, mass = structure.draw(p, u, region)
        assert torch.equal(tokens, other)
        torch.testing.assert_close(log_z, mass, rtol=1e-14, atol=1e-12)
