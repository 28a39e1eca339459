"""Leaps of continuous-time chains: their laws by enumeration, their rates and what they leave invariant by closed forms."""

import math

import pytest
import torch

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.errors import ConfigError
from seqdiff.parameterisations import ratio_from_p
from seqdiff.processes.base import TokenProcess
from seqdiff.samplers.ctmc import (
    flow_velocity,
    forward_velocity,
    leap,
    predictor_corrector,
    reverse_velocity,
    tau_leaping,
    tweedie,
)
from seqdiff.samplers.markov import time_grid
from tests.laws import LAWS, biased
from tests.laws_markov import (
    PINS,
    Plain,
    agrees,
    bridge,
    chain_kernel,
    distance,
    drawn,
    finish,
    gap,
    p_x0,
    pair,
    product,
    push,
    start,
)
from tests.laws_markov import leap as plain_leap

KINDS = ["absorbing", "uniform"]


def at(*values):
    return torch.tensor(values, dtype=torch.float64)


def eta(t):
    return 1.5 * t**0.5 * (1 - t) ** 0.5


def enumerated(law, plain, steps, pins, local, move_all=False):
    kernel = chain_kernel(law, plain, time_grid(steps).tolist(), pins, local, move_all)
    return push(start(plain, law.outcomes.shape[1], pins), kernel, range(steps))


@pytest.mark.parametrize(("velocity", "jump"), [("reverse", "exponential"), ("flow", "first-order")])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "pins"), [("ising", PINS["ising"]), ("copies", {})])
def test_leaps_draw_the_law_of_their_kernel(name, pins, kind, velocity, jump):
    law, steps = LAWS[name](), 3
    process, plain = pair(kind, law.vocabulary, "cosine")
    theirs = enumerated(law, plain, steps, pins, plain_leap(plain, velocity, jump))
    ok, message = agrees(drawn(law, process, tau_leaping, pins, steps=steps, velocity=velocity, jump=jump).tokens, theirs)
    assert ok, message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "pins"), [("ising", PINS["ising"]), ("copies", {})])
def test_leaps_with_a_corrector_draw_the_law_of_their_kernel(name, pins, kind):
    law, steps = LAWS[name](), 3
    process, plain = pair(kind, law.vocabulary)
    theirs = enumerated(law, plain, steps, pins, plain_leap(plain, "flow", "exponential", eta, eta), move_all=True)
    ok, message = agrees(drawn(law, process, tau_leaping, pins, steps=steps, velocity="flow", corrector=1.5).tokens, theirs)
    assert ok, message


def predicted_and_corrected(law, plain, steps, pins, corrections, size):
    length = law.outcomes.shape[1]
    predict = chain_kernel(law, plain, time_grid(steps).tolist(), pins, bridge(plain))
    now = start(plain, length, pins)
    for k in range(steps):
        now = push(now, predict, [k])
        if k < steps - 1:
            s = 1 - (k + 1) / steps
            local = plain_leap(plain, "reverse", "exponential", lambda t: 1.0, size=size / steps)
            now = push(now, chain_kernel(law, plain, [s, s], pins, local, move_all=True), [0] * corrections)
    return now


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "pins"), [("ising", PINS["ising"]), ("copies", {})])
def test_predictor_and_corrector_draw_the_law_of_their_kernel(name, pins, kind):
    law, steps = LAWS[name](), 2
    process, plain = pair(kind, law.vocabulary)
    end = drawn(law, process, predictor_corrector, pins, steps=steps, corrections=2, size=0.7)
    assert bool((end.step == steps + (steps - 1) * 2).all())
    ok, message = agrees(end.tokens, predicted_and_corrected(law, plain, steps, pins, 2, 0.7))
    assert ok, message


@pytest.mark.parametrize("how", [{"velocity": "flow"}, {"corrector": 1.5, "velocity": "flow"}, {"corrections": 1}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_bias_fails(kind, how):
    law, steps = LAWS["copies"](), 3
    process, plain = pair(kind, 4)
    if "corrections" in how:
        sampler, theirs = predictor_corrector, predicted_and_corrected(law, plain, steps, {}, 1, 1.0)
    else:
        strength = eta if "corrector" in how else lambda t: 0.0
        local = plain_leap(plain, "flow", "exponential", strength, strength)
        sampler, theirs = tau_leaping, enumerated(law, plain, steps, {}, local, move_all="corrector" in how)
    ok, message = agrees(drawn(biased(law), process, sampler, {}, steps=steps, **how).tokens, theirs)
    assert not ok, message


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("velocity", ["reverse", "flow"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_error_of_leaps_falls_as_one_over_T(kind, velocity, corrected):
    law, plain = LAWS["copies"](), pair(kind, 4)[1]
    strength = eta if corrected else lambda t: 0.0
    local = plain_leap(plain, velocity, "exponential", strength, strength)
    errors = [distance(enumerated(law, plain, steps, {}, local, corrected), law) for steps in (4, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert 1.8 < errors[-2] / errors[-1] < 2.6, errors


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("kind", KINDS)
def test_velocities_are_those_of_the_matrices_and_generate_the_path(kind, schedule):
    """d/dt q_t(y | x_0) = −Σ_x q_t(x | x_0) û(x → y): both velocities move q_t back; the noising rate moves it on."""
    process, _ = pair(kind, 3, schedule)
    S, t, e = process.states, at(0.37), 1e-6
    x_t = torch.arange(S).unsqueeze(0)
    for v in range(3):
        x_0 = torch.full((1, S), v)
        q = process.marginal(t)[0, v]
        slope = (process.marginal(t + e)[0, v] - process.marginal(t - e)[0, v]) / (2 * e)
        dense = process.rate(t)[0].T * process.marginal(t)[0, v] / process.marginal(t)[0, v].unsqueeze(-1)
        possible = q > 0  # under the absorbing process another token than v is never met
        ours = reverse_velocity(process, x_t, x_0, t)[0]
        assert torch.allclose(ours[possible], (dense - dense.diag().diag())[possible], atol=1e-12)
        for rate, sign in ((ours, -1), (flow_velocity(process, x_t, x_0, t)[0], -1), (forward_velocity(process, x_t, t)[0], 1)):
            assert bool((rate >= 0).all())
            assert torch.equal(rate.diag(), torch.zeros(S, dtype=torch.float64))
            flux = q @ rate - q * rate.sum(-1)
            assert torch.allclose(flux, sign * slope, atol=1e-6)


def test_from_a_mask_both_velocities_are_one_and_elsewhere_nothing_moves():
    process, _ = pair("absorbing", 3, "cosine")
    x_t, x_0, t = torch.tensor([[3, 3, 1]]), torch.tensor([[0, 2, 1]]), at(0.6)
    reverse, flow = reverse_velocity(process, x_t, x_0, t), flow_velocity(process, x_t, x_0, t)
    assert torch.allclose(reverse, flow, atol=1e-12)
    assert float(flow[0, 0, 0]) == pytest.approx(float(process.schedule.weight(t)))
    assert float(flow[0, 2].sum()) == 0
    process, _ = pair("uniform", 3, "cosine")
    x_t = torch.tensor([[1, 2, 1]])
    assert not torch.allclose(reverse_velocity(process, x_t, x_0, t), flow_velocity(process, x_t, x_0, t))


@pytest.mark.parametrize(("jump", "expected"), [("exponential", math.exp(1 - 0.5772156649)), ("first-order", 1.0)])
def test_masks_left_before_the_last_step(jump, expected):
    """Of the linear schedule's 1/T: e^{1 − γ} = 1.526 times as many with 1 − e^{−hΛ}, exactly as many with hΛ."""
    process, T = pair("absorbing", 2)[0], 4000
    t = time_grid(T)
    rate = flow_velocity(process, torch.full((T, 1), 2), torch.zeros(T, 1, dtype=torch.int64), t[:-1])
    stays = leap(rate, torch.full((T, 1), 2), t[:-1] - t[1:], jump)[:-1, 0, 2]
    left = float(stays.log().sum().exp()) * T
    assert left == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("velocity", "kind"), [("reverse", "absorbing"), ("reverse", "uniform"), ("flow", "uniform")])
def test_the_corrector_leaves_the_marginal_invariant_to_second_order(velocity, kind):
    """q_t K_h = q_t + O(h²) for the leap of R + R̂ with the exact p(x0 | x_t), on a correlated law of two positions."""
    law = EnumeratedLaw.from_log_weights(3, 2, lambda x: 1.1 * (x[0] == x[1]) + 0.3 * x[0])
    process, plain = pair(kind, 3)
    t = 0.45
    q_t: dict[tuple, float] = {}
    for outcome, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True):
        for x, q in product([{y: plain.q(v, y, t) for y in range(plain.states)} for v in outcome]).items():
            q_t[x] = q_t.get(x, 0.0) + p * q
    drift = []
    for h in (0.02, 0.01, 0.005):

        def kernel(x, m, h=h):
            x_t, rows = torch.tensor([x]), []
            table = p_x0(law, plain, x, t, {})
            for i in range(2):
                row = torch.zeros(plain.states, dtype=torch.float64)
                candidates = table[i] if plain.holds_noise(x[i]) else [float(v == x[i]) for v in range(3)]
                for v, p in enumerate(candidates):
                    x_0 = torch.full_like(x_t, v)
                    back = {"reverse": reverse_velocity, "flow": flow_velocity}[velocity](process, x_t, x_0, at(t))
                    row += p * leap(back + forward_velocity(process, x_t, at(t)), x_t, at(h), "exponential")[0, i]
                rows.append(dict(enumerate(row.tolist())))
            return product(rows)

        drift.append(gap(push(q_t, kernel, [0]), q_t))
    assert 3.6 < drift[0] / drift[1] < 4.4, drift
    assert 3.6 < drift[1] / drift[2] < 4.4, drift


@pytest.mark.parametrize("kind", KINDS)
def test_the_analytic_step_from_exact_ratios_is_the_posterior(kind):
    """Ratios q_t(x with y at i)/q_t(x) by enumeration; then p(x_s^i | x_t) = Σ_v p(v | x_t) q(x_s | x_t, v) to 1e-10."""
    law = LAWS["ising"]()
    process, plain = pair(kind, 3, "cosine")
    s, t = at(0.3), at(0.7)

    def q_t(x):
        return sum(
            p * math.prod(plain.q(v, y, 0.7) for v, y in zip(o, x, strict=True))
            for o, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True)
        )

    for x in ((0, 2, 1, 1), (plain.states - 1, 0, 2, plain.states - 1)):
        ratio = [[q_t((*x[:i], y, *x[i + 1 :])) / q_t(x) for y in range(plain.states)] for i in range(4)]
        x_t = torch.tensor([x])
        p = ExactDenoiser(law, process)(x_t, t).exp()
        ours = tweedie(process, torch.tensor([ratio], dtype=torch.float64), x_t, s, t)
        assert torch.allclose(ours, process.posterior(x_t, p, s, t), atol=1e-10)
        if kind == "uniform":
            assert torch.allclose(tweedie(process, ratio_from_p(process, p, x_t, t), x_t, s, t), ours, atol=1e-10)


class OnAGrid(TokenProcess):
    vocabulary = states = 2

    def prior_law(self):
        return at(0.5, 0.5)

    def between(self, s, t):
        return torch.full((*t.shape, 2, 2), 0.5, dtype=torch.float64)


class Matrices(OnAGrid):
    """The uniform process of two tokens with β = 6, by its matrices alone."""

    def rate(self, t):
        return torch.tensor([[-3.0, 3.0], [3.0, -3.0]], dtype=torch.float64).expand(*t.shape, 2, 2)

    def between(self, s, t):
        return torch.linalg.matrix_exp(self.rate(t) * (t - s)[..., None, None])


def test_a_process_of_matrices_takes_part():
    """Against the closed form: the uniform process whose α_t is e^{−6t}, and noise of its own at t = 1."""
    law, steps = LAWS["parity"]().given({0: 1, 1: 0}), 3
    plain = Plain(2, False, lambda t: 1 - math.exp(-6 * t), lambda t: 6 * math.exp(-6 * t))
    theirs = enumerated(law, plain, steps, {}, plain_leap(plain, "reverse", "exponential"))
    ok, message = agrees(drawn(law, Matrices(), tau_leaping, {}, steps=steps).tokens, theirs)
    assert ok, message


@pytest.mark.parametrize(
    ("sampler", "how", "message"),
    [
        (tau_leaping, {"velocity": "flow"}, "velocity 'flow': expected a mixture path"),
        (tau_leaping, {"velocity": "forward"}, "velocity: expected one of reverse, flow"),
        (tau_leaping, {"jump": "poisson"}, "jump: expected one of exponential, first-order"),
        (tau_leaping, {"corrector": -1.0}, "corrector: expected strength"),
        (tau_leaping, {}, "OnAGrid: expected a continuous-time process"),
        (predictor_corrector, {"corrections": -1}, "corrections: expected at least 0"),
    ],
)
def test_what_cannot_be_done_is_refused(sampler, how, message):
    with pytest.raises(ConfigError, match=message):
        drawn(LAWS["parity"](), OnAGrid(), sampler, {}, n=2, steps=2, **how)


@pytest.mark.parametrize(("sampler", "how"), [(tau_leaping, {"corrector": 2.0}), (predictor_corrector, {"corrections": 2})])
@pytest.mark.parametrize("kind", KINDS)
def test_a_chain_goes_on_from_any_saved_state(kind, sampler, how):
    law, (process, _), seen = LAWS["ising"](), pair(kind, 3), []
    end = drawn(law, process, sampler, {1: 2}, n=32, watch=lambda q: seen.append(q.state), steps=4, **how)
    for state in seen:
        assert torch.equal(finish(law, process, sampler, state, steps=4, **how).tokens, end.tokens)
