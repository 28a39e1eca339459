"""Planning, adaptive and confidence samplers draw the laws of their definitions; the entropy bound bounds what it says."""

import itertools
import math

import pytest
import torch
from laws import LAWS, as_vector, biased, confidence_kernel, distribution_test, propagate
from laws_remasking import (
    DRAWS,
    PINS,
    LeaveOneOut,
    accepted_by_entropy,
    as_dict,
    distance,
    entropy_kernel,
    free_of,
    mask_predicted,
    path_planning_kernel,
    run,
    start_of,
    threshold_kernel,
)

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.errors import ConfigError
from seqdiff.samplers.adaptive import confidence_threshold, entropy_bounded
from seqdiff.samplers.confidence import confidence_ordered
from seqdiff.samplers.planning import mask_predict, path_planning
from seqdiff.schedules import Cosine, Linear


@pytest.mark.parametrize(
    ("name", "eta", "pinned"), [("ising", 1.0, False), ("copies", 0.5, False), ("parity", 2.0, True), ("ising", 0.0, True)]
)
def test_path_planning_draws_the_law_of_its_definition(name, eta, pinned):
    law, steps, pins = LAWS[name](), 4, PINS[name] if pinned else None
    kernel = path_planning_kernel(law, Cosine().grid(steps).tolist(), free_of(law, pins), eta)
    law_T = propagate(law, start_of(law, pins), kernel, steps)
    tokens = run(path_planning, law, pins, Cosine(), denoiser=LeaveOneOut(law), steps=steps, eta=eta).tokens
    ok, message = distribution_test(tokens, *as_vector(law_T))
    assert ok, message


def test_path_planning_masks_again_and_less_with_a_smaller_eta():
    law, steps, changed = LAWS["ising"](), 4, {}
    for eta in (0.0, 1.0, 4.0):
        kernel = path_planning_kernel(law, Linear().grid(steps).tolist(), free_of(law), eta)
        now, changed[eta] = {start_of(law): 1.0}, 0.0
        for k in range(steps):
            after: dict = {}
            for x, p in now.items():
                for y, q in kernel(x, k).items():
                    after[y] = after.get(y, 0.0) + p * q
                    changed[eta] += p * q * sum(a != 3 and b == 3 for a, b in zip(x, y, strict=True))
            now = after
    assert changed[0.0] == 0 and 0.01 < changed[1.0] < changed[4.0]


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("name", LAWS)
def test_mask_predict_is_the_function_of_its_definition(name, steps):
    law = LAWS[name]()
    L, V = law.outcomes.shape[1], law.vocabulary
    starts = {
        tuple(V if hide else v for v, hide in zip(outcome, pattern, strict=True))
        for outcome in law.outcomes.tolist()[::5]
        for pattern in itertools.product([False, True], repeat=L)
    }
    for start in starts:
        pins = {i: v for i, v in enumerate(start) if v != V}
        expected = mask_predicted(law, start, free_of(law, pins), steps)
        assert tuple(run(mask_predict, law, pins, n=1, steps=steps).tokens[0].tolist()) == expected, start


@pytest.mark.parametrize(
    ("name", "epsilon", "pinned"), [("ising", 0.8, False), ("copies", 1.3, False), ("parity", 0.8, True), ("copies", 0.7, True)]
)
def test_entropy_bounded_draws_the_law_of_its_definition(name, epsilon, pinned):
    law, pins = LAWS[name](), PINS[name] if pinned else None
    target = propagate(law, start_of(law, pins), entropy_kernel(law, epsilon), 5)
    ok, message = distribution_test(run(entropy_bounded, law, pins, epsilon=epsilon).tokens, *as_vector(target))
    assert ok, message


@pytest.mark.parametrize(("name", "pinned"), [("ising", False), ("parity", True)])
def test_at_epsilon_0_entropy_bounded_draws_the_data_law(name, pinned):
    law, pins = LAWS[name](), PINS[name] if pinned else None
    target = law.given(pins) if pins else law
    assert distance(propagate(law, start_of(law, pins), entropy_kernel(law, 0.0), 5), as_dict(target)) < 1e-12
    ok, message = distribution_test(run(entropy_bounded, law, pins, epsilon=0.0).tokens, target.outcomes, target.probability)
    assert ok, message


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 0.8, 1.3, 5.0])
@pytest.mark.parametrize("name", LAWS)
def test_the_divergence_is_at_most_epsilon_times_the_expected_passes(name, epsilon):
    law = LAWS[name]()
    drawn, data, passes = propagate(law, start_of(law), entropy_kernel(law, epsilon), 5), as_dict(law), 0.0
    for outcome, p in data.items():
        x = start_of(law)
        while law.vocabulary in x:
            accepted = accepted_by_entropy(law, x, epsilon)
            x = tuple(outcome[i] if i in accepted else v for i, v in enumerate(x))
            passes += p
    divergence = sum(p * math.log(p / drawn[x]) for x, p in data.items())
    assert -1e-12 < divergence <= epsilon * passes + 1e-12
    assert epsilon < 5 or divergence > 0.1, "all at once loses the dependence"
    end = run(entropy_bounded, law, epsilon=epsilon, n=300)
    assert int(end.step.max()) <= law.outcomes.shape[1] and (epsilon < 5 or bool((end.step == 1).all()))


def test_only_rows_with_masks_are_queried():
    law = LAWS["copies"]()
    asked = []

    class Counting(ExactDenoiser):
        def __call__(self, x_t, *rest, **more):
            assert bool((x_t == self.vocabulary).any(-1).all())
            asked.append(len(x_t))
            return super().__call__(x_t, *rest, **more)

    for loop in (entropy_bounded, confidence_threshold):
        asked.clear()
        end = run(loop, law, n=200, denoiser=Counting(law))
        assert sum(asked) == int(end.step.sum()) and asked[0] == 200 and asked[-1] < 200


@pytest.mark.parametrize(
    ("name", "threshold", "pinned"),
    [("ising", 0.5, False), ("copies", 0.45, False), ("copies", 1.0, True), ("ising", 0.0, True)],
)
def test_confidence_threshold_draws_the_law_of_its_definition(name, threshold, pinned):
    law, pins = LAWS[name](), PINS[name] if pinned else None
    target = propagate(law, start_of(law, pins), threshold_kernel(law, threshold), 5)
    ok, message = distribution_test(run(confidence_threshold, law, pins, threshold=threshold).tokens, *as_vector(target))
    assert ok, message


def test_annealed_confidence_noise_draws_the_law_of_its_definition():
    law, steps, tau = LAWS["ising"](), 3, 1.5
    rates = Cosine().grid(steps).tolist()
    kernels = [confidence_kernel(law, rates, tau * (1 - (k + 1) / steps)) for k in range(steps)]
    law_T = propagate(law, start_of(law), lambda x, k: kernels[k](x, k), steps)
    options = {"steps": steps, "confidence_noise": tau}
    ok, message = distribution_test(
        run(confidence_ordered, law, None, Cosine(), annealed=True, **options).tokens, *as_vector(law_T)
    )
    assert ok, message
    assert not distribution_test(run(confidence_ordered, law, None, Cosine(), **options).tokens, *as_vector(law_T))[0]


@pytest.mark.parametrize(("L", "steps"), [(7, 3), (5, 5), (4, 6), (12, 5)])
def test_under_the_linear_schedule_confidence_order_has_lladas_counts(L, steps):
    law, seen = EnumeratedLaw(torch.zeros(1, L, dtype=torch.int64), torch.ones(1).double(), 2), []

    class Watching(ExactDenoiser):
        def __call__(self, x_t, *rest, **more):
            seen.append(int((x_t == 2).sum()))
            return super().__call__(x_t, *rest, **more)

    run(confidence_ordered, law, n=1, steps=steps, denoiser=Watching(law))
    counts = [a - b for a, b in itertools.pairwise([*seen, 0])]
    assert counts == [c for c in (L // steps + (k < L % steps) for k in range(steps)) if c]


@pytest.mark.parametrize("name", ["ising", "copies"])
def test_a_planted_bias_of_3_percent_fails(name):
    """In the model, where the law follows it; in the outcome, where a greedy order can hide a change of the model."""
    law, steps = LAWS[name](), 3
    tokens = run(entropy_bounded, law, epsilon=0.0, denoiser=ExactDenoiser(biased(law))).tokens
    assert not distribution_test(tokens, law.outcomes, law.probability)[0]
    for loop, kernel, passes, options in (
        (path_planning, path_planning_kernel(law, Linear().grid(steps).tolist(), free_of(law), 1.0), steps, {"steps": steps}),
        (confidence_threshold, threshold_kernel(law, 0.5), 4, {"threshold": 0.5}),
    ):
        outcomes, probability = as_vector(propagate(law, start_of(law), kernel, passes))
        moved = biased(EnumeratedLaw(outcomes, probability, law.vocabulary)).probability
        tokens = run(loop, law, denoiser=LeaveOneOut(law), **options).tokens
        assert len(tokens) == DRAWS and distribution_test(tokens, outcomes, probability)[0]
        assert not distribution_test(tokens, outcomes, moved)[0]


def test_wrong_options_are_refused():
    law = LAWS["copies"]()
    with pytest.raises(ConfigError, match="expected epsilon ≥ 0, got -1"):
        run(entropy_bounded, law, n=1, epsilon=-1)
    with pytest.raises(ConfigError, match=r"expected a threshold in \[0, 1\], got 2"):
        run(confidence_threshold, law, n=1, threshold=2)
    with pytest.raises(ConfigError, match="expected eta ≥ 0, got -0.5"):
        run(path_planning, law, n=1, steps=2, eta=-0.5)
