"""Schedules: ends, monotone, derivative, inverse, weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqdiff.errors import ConfigError
from seqdiff.schedules import (
    SCHEDULES,
    Cosine,
    Linear,
    LogLinear,
    Polynomial,
    schedule_from_config,
    schedule_to_config,
)

every = st.one_of(
    st.just(Linear()),
    st.just(Cosine()),
    st.floats(1e-6, 0.5).map(LogLinear),
    st.floats(0.25, 6.0).map(Polynomial),
)
inside = st.floats(1e-3, 1 - 1e-3)


@given(every, inside)
def test_derivative_weight_and_inverse_agree(schedule, t):
    t = torch.tensor(t, dtype=torch.float64, requires_grad=True)
    rate = schedule.mask_rate(t)
    (slope,) = torch.autograd.grad(rate, t)
    assert torch.allclose(schedule.mask_rate_prime(t), slope, rtol=1e-9)
    assert torch.allclose(schedule.weight(t), slope / rate, rtol=1e-9)
    assert torch.allclose(schedule.inverse(rate), t, rtol=1e-9)
    assert torch.allclose(schedule.alpha(t), 1 - rate)


@given(every, st.integers(1, 200))
def test_grids_fall_from_all_masked_to_clean(schedule, steps):
    grid = schedule.grid(steps)
    assert grid.shape == (steps + 1,)
    assert grid[0] == 1
    assert grid[-1] == 0
    assert bool((grid.diff() < 0).all())


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
        ({"kind": "lineer"}, "expected kind to be one of linear, log-linear, cosine, polynomial; got 'lineer'"),
        ({}, "got None"),
        ({"kind": "cosine", "eps": 1}, "eps"),
        ({"kind": "polynomial", "power": 0}, "expected power > 0, got 0"),
    ],
)
def test_bad_configurations_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        schedule_from_config(config)
