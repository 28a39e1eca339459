"""Predetermined transition times and routing by score: the laws of their definitions, and where those are known ones."""

import math

import pytest
import torch

from seqdiff.errors import ConfigError
from seqdiff.samplers.absorbing import event_driven
from seqdiff.samplers.confidence import confidence_ordered
from seqdiff.samplers.ctmc import predictor_corrector, tau_leaping
from seqdiff.samplers.markov import reverse_chain
from seqdiff.samplers.routing import routing
from seqdiff.samplers.state import State
from seqdiff.samplers.transition_times import beta_grid, predetermined
from tests.laws import LAWS, biased
from tests.laws_markov import (
    PINS,
    agrees,
    distance,
    drawn,
    finish,
    gap,
    pair,
    push,
    routing_kernel,
    start,
    tokens_of,
    transition_kernel,
)
from tests.test_ctmc_samplers import Matrices
from tests.test_markov_samplers import enumerated

KINDS = ["absorbing", "uniform"]


def beta_weights(steps, a, b):
    """P(1 − (k + 1)/T < τ ≤ 1 − k/T) for Beta(a, b), by the midpoint rule."""
    n, constant = 4000, math.gamma(a + b) / math.gamma(a) / math.gamma(b)
    density = [constant * ((i + 0.5) / n) ** (a - 1) * (1 - (i + 0.5) / n) ** (b - 1) / n for i in range(n)]
    edges = [round(n * (1 - k / steps)) for k in range(steps + 1)]
    return [sum(density[low:high]) for high, low in zip(edges[:-1], edges[1:], strict=True)]


def with_flags(plain, law, pins):
    """The start of a kernel on pairs: every free position waits, is noise."""
    length = law.outcomes.shape[1]
    flags = frozenset(i for i in range(length) if i not in pins)
    return {(x, flags): p for x, p in start(plain, length, pins).items()}


def dndm(law, plain, steps, pins, weights):
    return tokens_of(push(with_flags(plain, law, pins), transition_kernel(law, plain, steps, pins, weights), range(steps)))


def rdm(law, plain, steps, pins, tau=0.0):
    return tokens_of(push(with_flags(plain, law, pins), routing_kernel(law, plain, steps, pins, tau), range(steps)))


def schedule_weights(plain, steps):
    lost = [1.0, *(plain.lost(1 - k / steps) for k in range(1, steps)), 0.0]
    return [high - low for high, low in zip(lost[:-1], lost[1:], strict=True)]


@pytest.mark.parametrize("beta", [None, (3, 2)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "pins"), [("ising", PINS["ising"]), ("copies", {})])
def test_predetermined_times_draw_the_law_of_their_kernel(name, pins, kind, beta):
    law, steps = LAWS[name](), 4
    process, plain = pair(kind, law.vocabulary, "cosine")
    weights = beta_weights(steps, *beta) if beta else schedule_weights(plain, steps)
    theirs = dndm(law, plain, steps, pins, weights)
    ok, message = agrees(drawn(law, process, predetermined, pins, steps=steps, beta=beta).tokens, theirs)
    assert ok, message
    if beta is None and name == "copies":
        bent = drawn(biased(law), process, predetermined, pins, steps=steps).tokens
        assert not agrees(bent, theirs)[0], "a planted bias fails"


def test_under_the_absorbing_process_predetermined_times_are_event_driven_sampling():
    for name in ("ising", "copies"):
        law, pins = LAWS[name](), PINS[name]
        process, plain = pair("absorbing", law.vocabulary, "cosine")
        ours, theirs = (drawn(law, process, loop, pins, n=300, steps=5).tokens for loop in (predetermined, event_driven))
        assert torch.equal(ours, theirs)
        assert gap(dndm(law, plain, 3, pins, schedule_weights(plain, 3)), enumerated(law, plain, 3, pins)) < 1e-12


def test_under_the_uniform_process_predetermined_times_miss_the_data_law_even_at_many_steps():
    """Why it is called heuristic there; the reverse chain's error falls."""
    law, plain = LAWS["copies"](), pair("uniform", 4)[1]
    errors = [distance(dndm(law, plain, steps, {}, schedule_weights(plain, steps)), law) for steps in (8, 16)]
    assert min(errors) > 0.4
    assert distance(enumerated(law, plain, 16, {}), law) < 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_the_passes_of_a_row_are_its_distinct_times_and_only_what_transitions_is_asked_for(kind):
    law, (process, _), asked, passes, T, L = LAWS["ising"](), pair(kind, 3), 0, 0, 6, 4
    queries = []
    end = drawn(law, process, predetermined, {}, n=3000, watch=queries.append, steps=T)
    passes = end.step.double()
    expected = T * (1 - (1 - 1 / T) ** L)
    assert abs(float(passes.mean()) - expected) < 4 * float(passes.std()) / 3000**0.5
    assert int(passes.max()) <= L
    assert len(queries) == int(passes.max())
    asked = torch.zeros(3000, L, dtype=torch.int64)
    for query in queries:
        distinct = torch.zeros_like(asked).index_put((query.rows.unsqueeze(-1), query.positions), torch.tensor(1))
        asked += distinct
    assert bool((asked == 1).all()), "every position once"


def test_the_law_of_beta_times():
    for a, b in ((1, 1), (3, 2), (15, 7)):
        ours = beta_grid(8, a, b)
        assert torch.allclose(ours[:-1] - ours[1:], torch.tensor(beta_weights(8, a, b)).double(), atol=1e-6)
    assert torch.allclose(beta_grid(5, 1, 1), torch.linspace(1, 0, 6).double(), atol=1e-7)
    with pytest.raises(ConfigError, match="beta: expected two positive integers, got 0 and 2"):
        beta_grid(4, 0, 2)


@pytest.mark.parametrize("tau", [0.0, 0.7])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "pins"), [("ising", PINS["ising"]), ("copies", {})])
def test_routing_draws_the_law_of_its_definition(name, pins, kind, tau):
    law, steps = LAWS[name](), 3
    process, plain = pair(kind, law.vocabulary)
    theirs = rdm(law, plain, steps, pins, tau)
    ok, message = agrees(drawn(law, process, routing, pins, steps=steps, score_noise=tau).tokens, theirs)
    assert ok, message


@pytest.mark.parametrize("kind", KINDS)
def test_a_bias_planted_in_the_outcome_of_routing_fails(kind):
    law = LAWS["copies"]()
    process, plain = pair(kind, 4)
    theirs = rdm(law, plain, 3, {}, 0.7)
    top, low = max(theirs, key=theirs.__getitem__), min(theirs, key=theirs.__getitem__)
    moved = {**theirs, top: theirs[top] - 0.03, low: theirs[low] + 0.03}
    assert not agrees(drawn(law, process, routing, {}, steps=3, score_noise=0.7).tokens, moved)[0]


@pytest.mark.parametrize("tau", [0.0, 0.7])
def test_under_the_absorbing_process_routing_is_confidence_order(tau):
    law, (process, _) = LAWS["ising"](), pair("absorbing", 3, "cosine")
    ours = drawn(law, process, routing, {2: 1}, n=300, steps=3, score_noise=tau).tokens
    assert torch.equal(ours, drawn(law, process, confidence_ordered, {2: 1}, n=300, steps=3, confidence_noise=tau).tokens)


def test_routing_denoises_a_fixed_count_a_step_and_takes_back_what_scores_low():
    law, plain = LAWS["copies"](), pair("uniform", 4)[1]
    now, taken_back = with_flags(plain, law, {}), 0.0
    kernel = routing_kernel(law, plain, 3, {}, 0.0)
    for k in range(3):
        for (x, noise), p in now.items():
            assert len(noise) == 3 - k
            taken_back += sum(p * q for (_, after), q in kernel((x, noise), k).items() if not after <= noise)
        now = push(now, kernel, [k])
    assert taken_back > 0.05


@pytest.mark.parametrize("sampler", [predetermined, routing])
def test_a_process_without_a_noise_of_its_own_is_refused(sampler):
    with pytest.raises(ConfigError, match="expected the absorbing or the uniform process, got Matrices"):
        drawn(LAWS["parity"](), Matrices(), sampler, {}, n=2, steps=2)


@pytest.mark.parametrize("kind", KINDS)
def test_predetermined_times_go_on_from_any_saved_state(kind):
    law, (process, _), seen = LAWS["ising"](), pair(kind, 3), []
    end = drawn(law, process, predetermined, {1: 2}, n=32, watch=lambda q: seen.append(q.state), steps=4)
    for state in seen:
        assert torch.equal(finish(law, process, predetermined, state, steps=4).tokens, end.tokens)


WAYS = {
    "reverse_chain": (reverse_chain, {"steps": 4}),
    "tau_leaping": (tau_leaping, {"steps": 4, "velocity": "flow", "corrector": 1.0}),
    "predictor_corrector": (predictor_corrector, {"steps": 3}),
    "predetermined": (predetermined, {"steps": 6}),
    "routing": (routing, {"steps": 6, "score_noise": 0.5}),  # more steps than positions: rows are done early
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", WAYS)
def test_batches_of_1_7_and_64_in_any_order_give_the_same_tokens(name, kind):
    """Rows with different pins in one batch too: what one row has left to do says nothing about another."""
    sampler, how = WAYS[name]
    law, (process, _) = LAWS["ising"](), pair(kind, 3, "cosine")
    holes = torch.full((64, 4), 3)
    holes[::3, 1], holes[::5, 0] = 2, 0

    def tokens(order, size, seed=5):
        out = torch.empty(64, 4, dtype=torch.int64)
        for begin in range(0, len(order), size):
            index = order[begin : begin + size]
            state = State.from_canvas(process, holes[index], seed, index)
            out[index] = finish(law, process, sampler, state, **how).tokens
        return out

    reference = tokens(torch.arange(64), 64)
    assert torch.equal(torch.where(holes < 3, holes, reference), reference)
    alone = torch.arange(0, 64, 4)
    assert torch.equal(tokens(alone, 1)[alone], reference[alone])
    assert torch.equal(tokens(torch.randperm(64, generator=torch.Generator().manual_seed(1)), 7), reference)
    assert not torch.equal(tokens(torch.arange(64), 64, seed=6), reference)
