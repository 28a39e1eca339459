"""The reverse chain of any process has the law of its definition, enumerated independently."""

import pytest
import torch

from seqdiff.condition import Draw, Unconditional
from seqdiff.denoisers.exact import ExactDenoiser
from seqdiff.draws import categorical
from seqdiff.processes.base import TokenProcess
from seqdiff.samplers.absorbing import ancestral
from seqdiff.samplers.markov import reverse_chain, time_grid
from seqdiff.samplers.state import State
from seqdiff.schedules import Linear
from tests.laws import LAWS, ancestral_kernel, biased, propagate
from tests.laws_markov import (
    PINS,
    agrees,
    bridge,
    canvas,
    chain_kernel,
    distance,
    drawn,
    finish,
    gap,
    pair,
    product,
    push,
    start,
)

KINDS = ["absorbing", "uniform"]


def enumerated(law, plain, steps, pins):
    kernel = chain_kernel(law, plain, time_grid(steps).tolist(), pins, bridge(plain))
    return push(start(plain, law.outcomes.shape[1], pins), kernel, range(steps))


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ising", "copies"])
def test_the_chain_draws_the_T_step_law(name, kind, pinned):
    law, pins, steps = LAWS[name](), PINS[name] if pinned else {}, 3
    process, plain = pair(kind, law.vocabulary, "cosine")
    ok, message = agrees(drawn(law, process, reverse_chain, pins, steps=steps).tokens, enumerated(law, plain, steps, pins))
    assert ok, message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ising", "copies"])
def test_a_planted_bias_fails(name, kind):
    law, steps = LAWS[name](), 2
    process, plain = pair(kind, law.vocabulary)
    assert not agrees(drawn(biased(law), process, reverse_chain, {}, steps=steps).tokens, enumerated(law, plain, steps, {}))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_posterior_propagated_is_the_enumerated_law_to_1e_12(kind):
    law, steps, pins = LAWS["copies"](), 4, PINS["copies"]
    process, plain = pair(kind, 4, "cosine")
    free = torch.tensor([i not in pins for i in range(3)])
    denoiser, times = ExactDenoiser(law, process, free), time_grid(steps)

    def kernel(x, k):
        tokens = torch.tensor([x])
        rows = process.posterior(tokens, denoiser(tokens, times[k].reshape(1)).exp(), times[k + 1], times[k])[0]
        return product([dict(enumerate(row)) if i not in pins else {x[i]: 1.0} for i, row in enumerate(rows.tolist())])

    assert gap(push(start(plain, 3, pins), kernel, range(steps)), enumerated(law, plain, steps, pins)) < 1e-12


def test_under_the_absorbing_process_its_law_is_that_of_ancestral():
    for name, law in ((name, LAWS[name]()) for name in ("ising", "copies")):
        kernel = ancestral_kernel(law, Linear().grid(3).tolist())
        theirs = propagate(law, tuple(canvas(law, PINS[name])), kernel, 3)
        process, plain = pair("absorbing", law.vocabulary)
        assert gap(enumerated(law, plain, 3, PINS[name]), theirs) < 1e-12
        ok, message = agrees(drawn(law, process, ancestral, PINS[name], steps=3).tokens, theirs)
        assert ok, message


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_falls_as_one_over_T(kind):
    law = LAWS["copies"]()
    plain = pair(kind, 4)[1]
    errors = [distance(enumerated(law, plain, steps, {}), law) for steps in (4, 8, 16, 32)]
    assert errors == sorted(errors, reverse=True)
    assert 1.8 < errors[-2] / errors[-1] < 2.6, errors


class Turning(TokenProcess):
    """Two clean tokens and a third, unclean state: 0 → 1 → 2, never back. Some x̂0 are impossible for some x_t."""

    vocabulary, states = 2, 3

    def prior_law(self):
        return torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)

    def between(self, s, t):
        R = torch.tensor([[-2.0, 2.0, 0.0], [0.0, -3.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
        return torch.linalg.matrix_exp(R * (5 * (t - s))[..., None, None])


def test_a_process_of_matrices_with_impossible_transitions():
    """A prior that noise reaches up to 10⁻⁴, x̂0 = 1 impossible at x_t = 0: the kernel is Σ_v p(v) q(x_s | x_t, v)."""
    law, process, steps = LAWS["parity"]().given({0: 1, 1: 0, 2: 1}), Turning(), 3
    times, denoiser = time_grid(steps), ExactDenoiser(law, Turning())

    def kernel(x, k):
        p = denoiser(torch.tensor([x]), times[k].reshape(1)).exp()[0].tolist()
        s, t = times[k], times[k + 1]
        Q_s, Q_t, Q = process.between(0 * s, t), process.between(0 * s, s), process.between(t, s)
        rows = []
        for i, here in enumerate(x):
            row = dict.fromkeys(range(3), 0.0)
            for v in range(2):
                if p[i][v] > 0 and Q_t[v, here] > 0:
                    for y in range(3):
                        row[y] += p[i][v] * float(Q_s[v, y] * Q[y, here] / Q_t[v, here])
            total = sum(row.values())
            rows.append({y: q / total for y, q in row.items()})
        return product(rows)

    theirs = push({(2, 2, 2, 2, 2): 1.0}, kernel, range(steps))
    ok, message = agrees(drawn(law, process, reverse_chain, {}, steps=steps).tokens, theirs)
    assert ok, message


class Ordered(Unconditional):
    """A joint draw: x̂0 is made non-decreasing from left to right over the whole row."""

    joint = True

    def draw(self, query, p_x0, commit, u):
        tokens = categorical(p_x0, u).sort(-1).values.gather(-1, query.positions.argsort(-1).argsort(-1))
        return Draw(tokens, torch.zeros(len(tokens), dtype=torch.float64))


def test_what_a_joint_draw_guarantees_holds_in_every_output():
    law, process = LAWS["ising"](), pair("uniform", 3)[0]
    state = State.from_canvas(process, torch.full((500, 4), 3), 1, torch.arange(500))
    end = finish(law, process, reverse_chain, state, condition=Ordered(), steps=4)
    assert bool((end.tokens.diff(dim=-1) >= 0).all())
    free = finish(law, process, reverse_chain, state, steps=4)
    assert not bool((free.tokens.diff(dim=-1) >= 0).all()), "the control: without the condition it does not hold"


@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_goes_on_from_any_saved_state_and_rows_may_stand_at_different_steps(kind):
    law, (process, _), seen = LAWS["ising"](), pair(kind, 3), []
    end = drawn(law, process, reverse_chain, {1: 2}, n=32, watch=lambda q: seen.append(q.state), steps=5)
    for state in seen:
        assert torch.equal(finish(law, process, reverse_chain, state, steps=5).tokens, end.tokens)
    mixed = State.cat([seen[0].rows(torch.arange(16)), seen[-1].rows(torch.arange(16, 24)), end.rows(torch.arange(24, 32))])
    again = finish(law, process, reverse_chain, mixed, steps=5)
    assert torch.equal(again.tokens, end.tokens)
    assert bool((again.step == 5).all())
