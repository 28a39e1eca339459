"""Samplers that mask again draw the laws of their definitions; ReMDM's marginals and the corrector's invariance are exact."""

import itertools
from functools import partial

import pytest
import torch
from laws import LAWS, ancestral_kernel, as_vector, biased, distribution_test, p_x0, propagate
from laws_remasking import (
    PINS,
    as_dict,
    corrector_round,
    distance,
    free_of,
    pair,
    remasking_by_confidence_kernel,
    remasking_kernel,
    run,
    start_of,
    tokens_of,
)

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.errors import ConfigError
from seqdiff.samplers.remasking import (
    Hold,
    largest_remasking,
    predictor_corrector,
    remasking,
    times_of,
    unmask_probability,
)
from seqdiff.schedules import Cosine, Linear, LogLinear, Polynomial

SCHEDULES = {"linear": Linear(), "cosine": Cosine(), "log-linear": LogLinear(0.05), "polynomial": Polynomial(2.0)}


def alphas(schedule, steps):
    return [0.0] + [1 - float(schedule.mask_rate(torch.tensor(1 - k / steps).double())) for k in range(1, steps)] + [1.0]


def sigmas(alpha, eta, rule):
    """σ of each step in plain Python: min(η, σ_max) or η σ_max."""
    largest = [min(1.0, (1 - s) / t) if t > 0 else 1.0 for t, s in itertools.pairwise(alpha)]
    return [min(eta, most) if rule == "cap" else eta * most for most in largest]


@pytest.mark.parametrize("hold", [None, Hold(0.7, 0.6, 0.2)])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_for_a_fixed_x0_the_marginals_are_those_of_the_process_to_1e_12(schedule, hold):
    """P(masked) pushed through the step: α_t σ + (1 − α_t)(1 − unmask) = 1 − α_s, for every σ up to σ_max and no further."""
    times, remasks = times_of(SCHEDULES[schedule], 20, hold)
    rate = SCHEDULES[schedule].mask_rate(times)
    rate[0], rate[-1] = 1.0, 0.0
    for share in (0.0, 0.03, 0.5, 1.0):
        masked = torch.tensor(1.0, dtype=torch.float64)
        for k in range(20):
            sigma = share * largest_remasking(rate[k + 1], rate[k]) * remasks[k]
            unmask = unmask_probability(rate[k + 1], rate[k], sigma)
            assert -1e-12 <= float(unmask) <= 1 + 1e-12
            masked = masked * (1 - unmask) + (1 - masked) * sigma
            assert abs(float(masked - rate[k + 1])) < 1e-12
    late = rate[:-1] < 0.5  # where σ_max < 1, a larger σ would need a negative chance to stay masked
    most = largest_remasking(rate[1:], rate[:-1])
    assert bool((unmask_probability(rate[1:], rate[:-1], most + 1e-3)[late & (most < 1)] > 1).all())


@pytest.mark.parametrize(
    ("name", "rule", "eta", "pinned"),
    [
        ("ising", "cap", 0.3, False),
        ("copies", "rescale", 0.6, False),
        ("parity", "cap", 0.3, True),
        ("ising", "rescale", 0.6, True),
    ],
)
def test_remasking_draws_the_law_of_its_definition(name, rule, eta, pinned):
    law, steps, pins = LAWS[name](), 3, PINS[name] if pinned else None
    alpha = alphas(Cosine(), steps)
    kernel = remasking_kernel(law, alpha, sigmas(alpha, eta, rule), free_of(law, pins))
    law_T = propagate(law, start_of(law, pins), kernel, steps)
    tokens = run(remasking, law, pins, Cosine(), steps=steps, eta=eta, rule=rule).tokens
    ok, message = distribution_test(tokens, *as_vector(law_T))
    assert ok, message


@pytest.mark.parametrize(("name", "pinned"), [("copies", False), ("ising", True)])
def test_remasking_by_confidence_draws_the_law_of_its_definition(name, pinned):
    law, steps, pins = LAWS[name](), 3, PINS[name] if pinned else None
    alpha = alphas(Linear(), steps)
    kernel = remasking_by_confidence_kernel(law, alpha, sigmas(alpha, 0.9, "rescale"), free_of(law, pins))
    start = start_of(law, pins)
    law_T = tokens_of(propagate(law, (start, (1.0,) * len(start)), kernel, steps))
    tokens = run(remasking, law, pins, steps=steps, eta=0.9, rule="rescale", by_confidence=True).tokens
    ok, message = distribution_test(tokens, *as_vector(law_T))
    assert ok, message


def test_a_hold_draws_the_law_of_its_definition():
    """α in 2 steps up to 0.6 by time, 3 steps there that remask, 1 step to 1."""
    law, steps, hold = LAWS["copies"](), 6, Hold(0.6, 0.67, 0.17)
    middle = float(Polynomial(2.0).inverse(torch.tensor(0.4).double()))
    alpha = [0.0, 1 - ((1 + middle) / 2) ** 2, 0.6, 0.6, 0.6, 0.6, 1.0]
    sigma = [0.0, 0.0, 0.25, 0.25, 0.25, 0.0]
    law_T = propagate(law, start_of(law), remasking_kernel(law, alpha, sigma, free_of(law)), steps)
    tokens = run(remasking, law, None, Polynomial(2.0), steps=steps, eta=0.25, hold=hold).tokens
    ok, message = distribution_test(tokens, *as_vector(law_T))
    assert ok, message


def test_without_remasking_it_is_the_T_step_law():
    law, steps = LAWS["copies"](), 3
    rate = Linear().grid(steps).tolist()
    ours = propagate(law, start_of(law), remasking_kernel(law, [1 - r for r in rate], [0.0] * steps, free_of(law)), steps)
    assert distance(ours, propagate(law, start_of(law), ancestral_kernel(law, rate), steps)) < 1e-12
    tokens = run(remasking, law, steps=steps, eta=0.0).tokens
    ok, message = distribution_test(tokens, *as_vector(ours))
    assert ok, message


@pytest.mark.parametrize(("rule", "eta"), [("cap", 0.4), ("rescale", 0.9)])
def test_the_error_of_remasking_halves_when_the_steps_are_four_times_as_many(rule, eta):
    law, errors = pair(), []
    for steps in (16, 64, 256):
        alpha = alphas(Linear(), steps)
        kernel = remasking_kernel(law, alpha, sigmas(alpha, eta, rule), free_of(law))
        errors.append(distance(propagate(law, start_of(law), kernel, steps), as_dict(law)))
    assert all(1.8 < a / b < 2.5 for a, b in itertools.pairwise(errors)), errors


def test_the_error_of_a_hold_is_of_order_eta_at_many_steps():
    law, steps, errors = pair(), 240, []
    times, remasks = times_of(Linear(), steps, Hold(0.5, 0.6, 0.2))
    alpha = [1 - t for t in times.tolist()]
    for eta in (0.4, 0.2):
        kernel = remasking_kernel(law, alpha, [eta * on for on in remasks.tolist()], free_of(law))
        errors.append(distance(propagate(law, start_of(law), kernel, steps), as_dict(law)))
    assert 1.8 < errors[0] / errors[1] < 2.4, errors


@pytest.mark.parametrize(
    ("name", "rounds", "width", "pinned"),
    [("ising", 2, 1, False), ("copies", 2, 1, True), ("copies", 1, 2, False), ("ising", 1, 2, True)],
)
def test_predictor_corrector_draws_the_law_of_its_definition(name, rounds, width, pinned):
    law, steps, pins = LAWS[name](), 3, PINS[name] if pinned else None
    free = free_of(law, pins)
    step, correct = ancestral_kernel(law, Linear().grid(steps).tolist()), corrector_round(law, free, width)
    kernel = lambda x, j: step(x, j // (1 + rounds)) if j % (1 + rounds) == 0 else correct(x, j)  # noqa: E731
    law_T = propagate(law, start_of(law, pins), kernel, steps * (1 + rounds))
    tokens = run(predictor_corrector, law, pins, steps=steps, rounds=rounds, width=width).tokens
    ok, message = distribution_test(tokens, *as_vector(law_T))
    assert ok, message


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("name", LAWS)
def test_a_corrector_round_leaves_q_t_invariant_to_1e_12(name, rate):
    law = LAWS[name]()
    q_t: dict = {}
    for outcome, p in as_dict(law).items():
        for pattern in itertools.product([False, True], repeat=len(outcome)):
            x = tuple(law.vocabulary if hide else v for v, hide in zip(outcome, pattern, strict=True))
            q_t[x] = q_t.get(x, 0.0) + p * rate ** sum(pattern) * (1 - rate) ** (len(outcome) - sum(pattern))

    def after(width):
        kernel, out = corrector_round(law, free_of(law), width), {}
        for x, p in q_t.items():
            for y, q in (kernel(x, 0) if p > 0 else {}).items():
                out[y] = out.get(y, 0.0) + p * q
        return out

    assert distance(after(1), q_t) < 1e-12
    assert distance(after(2), q_t) > 1e-3, "two drawn at once are independent: the comparison can fail"


def test_more_rounds_take_the_error_of_the_steps_away():
    law, steps, errors = pair(), 2, []
    step, correct = ancestral_kernel(law, Linear().grid(steps).tolist()), corrector_round(law, [0, 1, 2], 1)
    for rounds in (0, 2, 8, 40):
        kernel = lambda x, j, n=1 + rounds: correct(x, j) if j % n else step(x, j // n)  # noqa: E731
        errors.append(distance(propagate(law, start_of(law), kernel, steps * (1 + rounds)), as_dict(law)))
    assert errors == sorted(errors, reverse=True) and errors[0] > 0.05 and errors[-1] < 1e-6, errors


@pytest.mark.parametrize(
    "loop", [partial(remasking, steps=3, eta=0.2), partial(predictor_corrector, steps=3)], ids=["remasking", "predictor"]
)
@pytest.mark.parametrize("name", ["ising", "copies"])
def test_a_planted_bias_of_3_percent_fails(name, loop):
    law, steps = LAWS[name](), 3
    alpha = alphas(Linear(), steps)
    if loop.func is remasking:
        law_T = propagate(law, start_of(law), remasking_kernel(law, alpha, sigmas(alpha, 0.2, "cap"), free_of(law)), steps)
    else:
        step, correct = ancestral_kernel(law, Linear().grid(steps).tolist()), corrector_round(law, free_of(law), 1)
        law_T = propagate(law, start_of(law), lambda x, j: correct(x, j) if j % 2 else step(x, j // 2), steps * 2)
    assert distribution_test(run(loop, law).tokens, *as_vector(law_T))[0]
    ok, message = distribution_test(run(loop, law, denoiser=ExactDenoiser(biased(law))).tokens, *as_vector(law_T))
    assert not ok, message


def test_pins_that_the_model_finds_improbable_are_never_masked():
    """A pinned sequence of probability 0 elsewhere: the rest is redrawn again and again, the pins stand."""
    law = EnumeratedLaw.from_log_weights(3, 5, lambda x: sum(a == b for a, b in itertools.pairwise(x)))
    pins = {1: 0, 2: 2, 4: 1}
    for loop in (
        partial(remasking, steps=12, eta=1.0, rule="rescale"),
        partial(remasking, steps=12, eta=1.0, by_confidence=True),
        partial(predictor_corrector, steps=4, rounds=4, width=2),
    ):
        tokens = run(loop, law, pins, n=500).tokens
        assert all(bool((tokens[:, i] == v).all()) for i, v in pins.items())
        assert len(tokens[:, [0, 3]].unique(dim=0)) == 9 and bool((tokens < 3).all())


def test_wrong_options_are_refused():
    law = pair()
    with pytest.raises(ConfigError, match="expected 0 ≤ eta ≤ 1 and rule cap or rescale, got eta 1.5"):
        run(remasking, law, n=1, steps=2, eta=1.5)
    with pytest.raises(ConfigError, match="one step in each of its three phases, got 1, 0 and 1 of 2"):
        run(remasking, law, n=1, steps=2, hold=Hold())
    with pytest.raises(ConfigError, match="0 < end < start < 1"):
        Hold(0.5, 0.2, 0.4)
    with pytest.raises(ConfigError, match="rounds ≥ 0 and width ≥ 1"):
        run(predictor_corrector, law, n=1, steps=1, width=0)


def test_the_tables_of_the_enumeration_are_normalised():
    law = LAWS["copies"]()
    for x in itertools.product(range(5), repeat=3):
        assert all(abs(sum(row) - 1) < 1e-12 for row in p_x0(law, x))
