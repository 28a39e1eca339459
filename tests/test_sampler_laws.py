"""Every sampler reproduces the law of its own definition, computed by an independent enumeration."""

import pytest
import torch
from laws import (
    DRAWS,
    LAWS,
    Tabled,
    ancestral_kernel,
    as_vector,
    biased,
    confidence_kernel,
    distribution_test,
    propagate,
)

from seqdiff.condition import Unconditional
from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.confidence import confidence_ordered
from seqdiff.samplers.drive import DrawOptions, answer, drive, sample
from seqdiff.samplers.state import State
from seqdiff.schedules import Cosine, Linear, LogLinear, Polynomial

PINS = {"ising": {1: 2}, "parity": {0: 1, 4: 0}, "copies": {1: 2}}
SCHEDULES = {"linear": Linear(), "cosine": Cosine(), "log-linear": LogLinear(0.05), "polynomial": Polynomial(2.0)}


def draw(law, sampler, steps, schedule=None, pins=None, n=DRAWS, seed=3):
    mask = law.vocabulary
    start = [(pins or {}).get(i, mask) for i in range(law.outcomes.shape[1])]
    state = State.start(torch.tensor([start] * n), seed, torch.arange(n))
    return sample(Tabled(law), Absorbing(mask, schedule or Linear()), state, sampler, steps).tokens


def start_of(law, pins=None):
    return tuple((pins or {}).get(i, law.vocabulary) for i in range(law.outcomes.shape[1]))


def grid(schedule, steps):
    return schedule.grid(steps).tolist()


@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("name", LAWS)
def test_one_reveal_a_pass_draws_the_data_law(name, pinned):
    law, pins = LAWS[name](), PINS[name] if pinned else None
    target = law.given(pins) if pins else law
    ok, message = distribution_test(draw(law, "first-hitting", 1, pins=pins), target.outcomes, target.probability)
    assert ok, message


@pytest.mark.parametrize("sampler", ["ancestral", "event-driven"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", LAWS)
def test_step_samplers_draw_the_T_step_law(name, schedule, sampler):
    law, steps = LAWS[name](), 3
    law_T = propagate(law, start_of(law), ancestral_kernel(law, grid(SCHEDULES[schedule], steps)), steps)
    outcomes, probability = as_vector(law_T)
    assert abs(float(probability.sum()) - 1) < 1e-12
    ok, message = distribution_test(draw(law, sampler, steps, SCHEDULES[schedule]), outcomes, probability)
    assert ok, message


@pytest.mark.parametrize("sampler", ["ancestral", "event-driven", "confidence"])
@pytest.mark.parametrize("name", LAWS)
def test_with_pins_each_sampler_draws_its_own_law(name, sampler):
    law, steps, pins = LAWS[name](), 2, PINS[name]
    kernel = confidence_kernel if sampler == "confidence" else ancestral_kernel
    law_T = propagate(law, start_of(law, pins), kernel(law, grid(Linear(), steps)), steps)
    tokens = draw(law, sampler, steps, pins=pins)
    for position, token in pins.items():
        assert bool((tokens[:, position] == token).all())
    ok, message = distribution_test(tokens, *as_vector(law_T))
    assert ok, message


@pytest.mark.parametrize("tau", [0.0, 0.7])
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("name", LAWS)
def test_confidence_order_draws_the_law_of_its_definition(name, steps, tau):
    law = LAWS[name]()
    law_T = propagate(law, start_of(law), confidence_kernel(law, grid(Cosine(), steps), tau), steps)
    state = State.start(torch.tensor([start_of(law)] * DRAWS), 5, torch.arange(DRAWS))
    process, condition_free = Absorbing(law.vocabulary, Cosine()), DrawOptions()
    loop = confidence_ordered(state, process, Unconditional(), steps, tau)
    end = drive(loop, lambda q: answer(Tabled(law), q, Unconditional(), condition_free))
    ok, message = distribution_test(end.tokens, *as_vector(law_T))
    assert ok, message


def test_the_kernel_propagated_through_posterior_is_the_T_step_law_to_1e_12():
    law, steps = LAWS["ising"](), 4
    process, denoiser = Absorbing(3, Cosine()), ExactDenoiser(LAWS["ising"]())
    rates = grid(Cosine(), steps)

    def kernel(x, k):
        s, t = (torch.tensor(1 - (k + j) / steps, dtype=torch.float64) for j in (1, 0))
        rows = process.posterior(torch.tensor([x]), denoiser(torch.tensor([x])).exp(), s, t)[0]
        out = {(): 1.0}
        for row in rows.tolist():
            out = {y + (v,): p * q for y, p in out.items() for v, q in enumerate(row) if q > 0}
        return out

    ours = propagate(law, start_of(law), kernel, steps)
    theirs = propagate(law, start_of(law), ancestral_kernel(law, rates), steps)
    assert max(abs(ours.get(x, 0) - theirs.get(x, 0)) for x in ours.keys() | theirs.keys()) < 1e-12


def test_the_T_step_law_tends_to_the_data_law():
    law = LAWS["parity"]()
    distances = []
    for steps in (1, 2, 4, 8, 16):
        law_T = propagate(law, start_of(law), ancestral_kernel(law, grid(Linear(), steps)), steps)
        exact = {tuple(x): p for x, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True)}
        distances.append(sum(abs(law_T.get(x, 0) - exact.get(x, 0)) for x in law_T.keys() | exact.keys()) / 2)
    assert distances == sorted(distances, reverse=True)
    assert 1.6 < distances[-2] / distances[-1] < 2.4, "the error should halve when the steps double, O(1/T)"


@pytest.mark.parametrize("sampler", ["ancestral", "event-driven", "first-hitting", "confidence"])
@pytest.mark.parametrize("name", ["ising", "copies"])
def test_a_planted_bias_of_3_percent_fails(name, sampler):
    """The power of the test: a model that is 0.03 away in total variation is told apart through every sampler."""
    law = LAWS[name]()
    wrong = biased(law)
    assert float((wrong.probability - law.probability).abs().sum()) / 2 == pytest.approx(0.03)
    if sampler == "confidence":  # greedy order can hide a change of the law, so the bias is planted in the outcome
        steps = law.outcomes.shape[1]
        outcomes, probability = as_vector(propagate(law, start_of(law), confidence_kernel(law, grid(Linear(), steps)), steps))
        moved = biased(EnumeratedLaw(outcomes, probability, law.vocabulary)).probability
        assert not distribution_test(draw(law, sampler, steps), outcomes, moved)[0]
        return
    steps = 3
    if sampler == "first-hitting":
        outcomes, probability = law.outcomes, law.probability
    else:
        outcomes, probability = as_vector(propagate(law, start_of(law), ancestral_kernel(law, grid(Linear(), steps)), steps))
    ok, message = distribution_test(draw(wrong, sampler, steps), outcomes, probability)
    assert not ok, message


def test_a_loop_goes_on_from_any_saved_state():
    law, process = LAWS["ising"](), Absorbing(3, Linear())
    denoiser = ExactDenoiser(law)
    for sampler, steps in (("event-driven", 6), ("first-hitting", 1), ("ancestral", 6), ("confidence", 4)):
        seen = []
        start = State.start(torch.full((64, 4), 3), 11, torch.arange(64))
        end = sample(denoiser, process, start, sampler, steps, watch=seen.append)
        for state in seen[1:]:
            again = sample(denoiser, process, state, sampler, steps)
            assert torch.equal(again.tokens, end.tokens), sampler


def test_expected_number_of_passes_of_a_row():
    """T(1 − (1 − 1/T)^L) distinct steps on a uniform grid, and never more than min(T, L)."""
    T, L, B = 16, 12, 4000
    passes = torch.zeros(B)

    class Counting:
        vocabulary = 2

        def __call__(self, x_t, t, label, lengths, positions):
            return torch.zeros(*positions.shape, 2)

    state = State.start(torch.full((B, L), 2), 0, torch.arange(B))
    end = sample(Counting(), Absorbing(2, Linear()), state, "event-driven", T)
    passes = end.step.double()
    expected = T * (1 - (1 - 1 / T) ** L)
    assert abs(float(passes.mean()) - expected) < 4 * float(passes.std()) / B**0.5
    assert int(passes.max()) <= min(T, L)
