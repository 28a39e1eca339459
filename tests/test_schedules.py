"""Schedules: ends, monotone, derivative, inverse, weights."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdiff.errors import ConfigError
from seqdiff.schedules import (
    SCHEDULES,
    Beta,
    Cosine,
    Geometric,
    Learned,
    Linear,
    LinearBeta,
    LogLinear,
    Polynomial,
    Sqrt,
    SquaredCosine,
    Tabulated,
    schedule_from_config,
    schedule_to_config,
)

some = settings(deadline=None, max_examples=60, derandomize=True)


def table_of(increments: list[float]) -> Tabulated:
    total, rates = sum(increments), [0.0]
    for increment in increments:
        rates.append(rates[-1] + increment / total)
    return Tabulated((*rates[:-1], 1.0))


every = st.one_of(
    st.just(Linear()),
    st.just(Cosine()),
    st.floats(1e-6, 0.5).map(LogLinear),
    st.floats(0.25, 6.0).map(Polynomial),
    st.floats(1e-6, 1.0).map(Sqrt),
    st.floats(1e-6, 1.0).map(SquaredCosine),
    st.builds(LinearBeta, st.floats(0.01, 1.0), st.floats(15.0, 25.0)),
    st.builds(Geometric, st.floats(1e-5, 1e-1), st.floats(2.0, 25.0)),
    st.builds(Beta, st.floats(0.5, 20.0), st.floats(0.5, 20.0)),
    st.lists(st.floats(0.05, 1.0), min_size=1, max_size=9).map(table_of),
)
inside = st.floats(1e-3, 1 - 1e-3)


@some
@given(every, inside)
def test_derivative_weight_and_inverse_agree(schedule, t):
    t = torch.tensor(t, dtype=torch.float64, requires_grad=True)
    rate = schedule.mask_rate(t)
    (slope,) = torch.autograd.grad(rate, t)
    assert torch.allclose(schedule.mask_rate_prime(t), slope, rtol=1e-9)
    assert torch.allclose(schedule.weight(t), slope / rate, rtol=1e-9)
    assert torch.allclose(schedule.alpha(t), 1 - rate)
    assert torch.allclose(torch.exp(-schedule.total_noise(t)), schedule.alpha(t), rtol=1e-6, atol=1e-14)
    if float(schedule.alpha(t).detach()) > 1e-6:  # nearer to 1 the rate no longer tells times apart
        assert torch.allclose(schedule.inverse(rate), t, rtol=1e-8)


@some
@given(every, st.floats(0.0, 1.0))
def test_inverse_reaches_every_rate(schedule, u):
    end = float(schedule.mask_rate(torch.ones((), dtype=torch.float64)))
    t = schedule.inverse(torch.tensor(u, dtype=torch.float64))
    assert 0 <= float(t) <= 1
    assert abs(float(schedule.mask_rate(t)) - min(u, end)) < 1e-10


@some
@given(every, inside)
def test_derivative_is_that_of_finite_differences(schedule, t):
    if isinstance(schedule, Tabulated) and abs(t * (len(schedule.rates) - 1) % 1 - 0.5) > 0.49:
        return  # a knot has two slopes
    t, h = torch.tensor(t, dtype=torch.float64), 1e-6
    difference = (schedule.mask_rate(t + h) - schedule.mask_rate(t - h)) / (2 * h)
    assert torch.allclose(schedule.mask_rate_prime(t), difference, rtol=1e-4, atol=1e-8)


@some
@given(every)
def test_ends_are_exact_and_the_way_between_them_rises(schedule):
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    rate = schedule.mask_rate(t)
    assert rate[0] == 0
    assert 1 - 0.5 <= rate[-1] <= 1
    if not isinstance(schedule, LogLinear | Geometric | LinearBeta):
        assert rate[-1] == pytest.approx(1, abs=1e-15)
    assert bool((rate.diff() >= 0).all())
    assert bool((rate[rate < 1 - 1e-12].diff() > 0).all())
    for function in (schedule.alpha, schedule.total_noise, schedule.mask_rate_prime, schedule.inverse, schedule.weight):
        assert not bool(function(t).isnan().any()), function
    assert float(schedule.alpha(t[:1])) == 1
    assert float(schedule.total_noise(t[:1])) == 0


@some
@given(every)
def test_mask_rates_near_0_have_no_cancellation(schedule):
    """1 − α_t ~ c t^p as t → 0, so a rate's logarithm keeps its slope down to t = 2⁻⁵³, and the weight is p/t there."""
    t = 2.0 ** -torch.arange(20, 53, 3, dtype=torch.float64)
    if isinstance(schedule, Geometric | Sqrt | SquaredCosine | LinearBeta):
        t = t * min(1.0, *(getattr(schedule, name, 1) for name in ("sigma_min", "offset", "beta_0"))) * 1e-3
    power = {Polynomial: "power", Beta: "a"}.get(type(schedule))
    p = getattr(schedule, power) if power else 1.0
    slope = schedule.mask_rate(t).log().diff() / t.log().diff()
    assert torch.allclose(slope, torch.full_like(slope, p), rtol=1e-4)
    assert torch.allclose(schedule.weight(t) * t, torch.full_like(t, p), rtol=1e-3)


@some
@given(every)
def test_weights_of_a_loss_are_finite_in_float32_and_bfloat16(schedule):
    """Over the times that training can draw, (0, 1] in steps of 2⁻⁵³, and with t handed over in float32."""
    t = torch.cat([2.0 ** -torch.arange(0, 54, dtype=torch.float64), 1 - 2.0 ** -torch.arange(2, 54, dtype=torch.float64)])
    weight = schedule.weight(t)
    for dtype in (torch.float32, torch.bfloat16):
        nll = torch.ones(len(t), dtype=dtype, requires_grad=True)
        (weight.to(dtype) * nll).sum().backward()
        usual = t < 1
        assert bool(torch.isfinite(nll.grad[usual]).all())
        assert bool((nll.grad >= 0).all())
    assert bool(torch.isfinite(schedule.weight(t[:40].float())[1:]).all())


def test_beta_is_the_binomial_tail():
    """I_x(a, b) = Σ_{j ≥ a} C(n, j) x^j (1 − x)^{n − j}, n = a + b − 1, for integers."""
    x = torch.linspace(0.01, 0.99, 33, dtype=torch.float64)
    for a, b in ((1, 1), (2, 2), (3, 7), (15, 7), (40, 60)):
        n = a + b - 1
        tail = sum(float(math.comb(n, j)) * x**j * (1 - x) ** (n - j) for j in range(a, n + 1))
        assert torch.allclose(Beta(a, b).mask_rate(x), tail, rtol=1e-12)
        head = sum(float(math.comb(n, j)) * x**j * (1 - x) ** (n - j) for j in range(a))
        assert torch.allclose(Beta(a, b).alpha(x), head, rtol=1e-12)
    arcsine = 2 / math.pi * torch.asin(x.sqrt())
    assert torch.allclose(Beta(0.5, 0.5).mask_rate(x), arcsine, rtol=1e-12)


def test_papers_forms():
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    paper = 1 - (t + 1e-4).sqrt()  # Diffusion-LM; its cumulative product starts from 1
    assert torch.allclose(Sqrt(1e-4).alpha(t), paper / (1 - 1e-4**0.5), atol=1e-4)
    sigma_bar = 1e-3 ** (1 - t) * 20.0**t  # SEDD
    assert torch.allclose(Geometric(1e-3, 20.0).total_noise(t), sigma_bar - 1e-3, rtol=1e-12)
    assert torch.allclose(Beta(1, 1).mask_rate(t), t)
    cosine = (math.pi / 2 * (t + 0.008) / 1.008).cos() ** 2  # improved DDPM
    assert torch.allclose(SquaredCosine().alpha(t), cosine / math.cos(math.pi / 2 * 0.008 / 1.008) ** 2, rtol=1e-12)
    k, T = torch.arange(1, 100_001, dtype=torch.float64), 100_000  # DDPM: Π (1 − β_k), β linear
    steps = (1 - (0.1 + 19.9 * k / T) / T).cumprod(0)
    assert torch.allclose(LinearBeta().alpha(k / T), steps, atol=1e-4)


def test_a_learned_schedule_starts_as_given_and_keeps_its_ends():
    t = torch.linspace(0, 1, 17, dtype=torch.float64)
    learned = Learned(Cosine(), knots=16)
    assert torch.allclose(learned.mask_rate(t), Cosine().mask_rate(t), atol=1e-12)
    target = Polynomial(3.0).mask_rate(t)
    losses = []
    for k in range(60):
        loss = (learned.mask_rate(t) - target).square().sum()
        losses.append(float(loss.detach()))
        (slope,) = torch.autograd.grad(loss, learned.logits)
        with torch.no_grad():
            learned.logits -= 0.5 * 0.93**k * slope.sign()
        rate = learned.mask_rate(t).detach()
        assert rate[0] == 0
        assert rate[-1] == 1
        assert bool((rate.diff() > 0).all())
    assert losses[-1] < losses[0] / 100
    fine = torch.linspace(0, 1, 101, dtype=torch.float64)
    for schedule in (learned.table(), schedule_from_config(json.loads(json.dumps(schedule_to_config(learned))))):
        assert torch.equal(schedule.mask_rate(fine), learned.mask_rate(fine).detach())
        assert torch.equal(schedule.inverse(fine), learned.inverse(fine).detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_a_learned_schedule_are_finite_at_both_ends(dtype):
    learned = Learned(Linear(), knots=8).to(dtype)
    t = torch.tensor([0.0, 1e-9, 0.5, 1.0], dtype=torch.float64)
    (learned.mask_rate(t).sum() + learned.mask_rate_prime(t).sum() + learned.weight(t[1:]).float().sum()).backward()
    assert bool(torch.isfinite(learned.logits.grad).all())
    assert float(learned.logits.grad.abs().max()) > 0


@some
@given(every, st.integers(1, 200))
def test_grids_fall_from_all_masked_to_clean(schedule, steps):
    grid = schedule.grid(steps)
    assert grid.shape == (steps + 1,)
    assert grid[0] == 1
    assert grid[-1] == 0
    assert bool((grid.diff() <= 0).all())
    assert bool((grid[(grid > 0) & (grid < 1 - 1e-12)].diff() < 0).all())


def test_weights_are_finite_and_right_as_t_tends_to_0():
    t = torch.tensor([1e-12], dtype=torch.float64)
    for schedule, factor in ((Linear(), 1.0), (Cosine(), 1.0), (LogLinear(), 1.0), (Polynomial(3.0), 3.0)):
        assert torch.allclose(schedule.weight(t) * t, torch.tensor(factor, dtype=torch.float64), rtol=1e-6)


@pytest.mark.parametrize("kind", SCHEDULES)
def test_configurations_round_trip(kind):
    schedule = schedule_from_config({"kind": kind})
    assert schedule_from_config(schedule_to_config(schedule)) == schedule


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "lineer"}, "expected kind to be one of linear, log-linear, .*, tabulated; got 'lineer'"),
        ({}, "got None"),
        ({"kind": "cosine", "eps": 1}, "eps"),
        ({"kind": "squared-cosine", "offset": -1.0}, "expected offset ≥ 0, got -1.0"),
        ({"kind": "linear-beta", "beta_1": 0.1}, "expected 0 < beta_0 < beta_1, got 0.1 and 0.1"),
        ({"kind": "polynomial", "power": 0}, "expected power > 0, got 0"),
        ({"kind": "sqrt", "offset": 0}, "expected offset > 0, got 0"),
        ({"kind": "geometric", "sigma_min": 3, "sigma_max": 2}, "expected 0 < sigma_min < sigma_max, got 3 and 2"),
        ({"kind": "beta", "a": -1}, "expected a > 0 and b > 0, got -1 and 2.0"),
        ({"kind": "tabulated", "rates": [0, 0.5]}, r"expected two or more rates from 0.0 to 1.0, got \[0.0, 0.5\]"),
        ({"kind": "tabulated", "rates": [0, 0.5, 0.5, 1]}, "expected rates that rise from each to the next"),
    ],
)
def test_bad_configurations_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        schedule_from_config(config)
