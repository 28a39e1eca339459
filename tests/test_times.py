"""Local times: ends, monotone, derivative, the published form. Times of training: densities, unbiased weights, restarts."""

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seqdiff.errors import ConfigError
from seqdiff.local_times import (
    PerExample,
    PerPosition,
    Spindle,
    information,
    local_time_from_config,
    local_time_to_config,
    local_weight,
    transition_times,
)
from seqdiff.objective import antithetic_times
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Beta, Cosine, Linear, LogLinear
from seqdiff.times import TIME_LAWS, ImportanceTimes, UniformTimes, WarpedTimes, isotonic, time_law_from_config

V = 6
COUNTS = torch.tensor([1000, 300, 40, 7, 1, 0])
TOKENS = torch.tensor([[0, 1, 2, 3, 4], [0, 0, 0, 0, 5], [3, 3, 3, V, V + 1]])
CLOCKS = {
    "spindle": Spindle(information(COUNTS)),
    "spindle at its limit": Spindle(information(COUNTS), 0.318),
    "position": PerPosition(torch.tensor([0.25, 0.5, 1.0, 2.0, 16.0])),
    "example": PerExample(torch.tensor([0.5, 1.0, 3.0])),
}
some = settings(deadline=None, max_examples=30, derandomize=True)


def row(value: float):
    return torch.full((3,), value, dtype=torch.float64)


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
def test_local_times_keep_their_ends_and_rise(clock):
    assert torch.equal(clock(row(0.0), TOKENS), torch.zeros(3, 5, dtype=torch.float64))
    assert torch.equal(clock(row(1.0), TOKENS), torch.ones(3, 5, dtype=torch.float64))
    path = torch.stack([clock(row(k / 2000), TOKENS) for k in range(2001)])
    assert bool((path.diff(dim=0) > 0).all())
    assert bool(((path >= 0) & (path <= 1)).all())
    assert not torch.allclose(path[1000], path[1000, 0, 0].expand(3, 5)), "all positions have the same time"


@pytest.mark.parametrize("clock", CLOCKS.values(), ids=CLOCKS)
def test_their_derivative_and_the_weight_of_the_bound(clock):
    for t in (0.03, 0.4, 0.97):
        t = row(t).requires_grad_()
        tau = clock(t, TOKENS)
        for i in range(5):
            (slope,) = torch.autograd.grad(tau[:, i].sum(), t, retain_graph=True)
            assert torch.allclose(clock.prime(t, TOKENS)[:, i], slope, rtol=1e-10)
            rate = Cosine().mask_rate(clock(t, TOKENS))[:, i]
            (slope,) = torch.autograd.grad(rate.sum(), t, retain_graph=True)
            assert torch.allclose(local_weight(Cosine(), clock, t, TOKENS)[:, i], slope / rate, rtol=1e-9)
    tiny = local_weight(Cosine(), clock, row(2.0**-53), TOKENS)
    for dtype in (torch.float32, torch.bfloat16):
        assert bool(torch.isfinite(tiny.to(dtype)).all())


@some
@given(st.floats(0.0, 1.0), st.floats(0.0, 0.318), st.lists(st.integers(0, V - 1), min_size=1, max_size=8))
def test_the_spindle_is_diffusion_berts(t, strength, tokens):
    H = information(COUNTS)
    clock = Spindle(H, strength)
    alpha = Linear().alpha(clock(torch.tensor([t], dtype=torch.float64), torch.tensor([tokens])))[0]
    mean = sum(float(H[v]) for v in tokens) / len(tokens)
    for i, v in enumerate(tokens):
        excess = max(-1.0, 1 - mean / float(H[v]))
        assert abs(float(alpha[i]) - (1 - t - strength * math.sin(math.pi * t) * excess)) < 1e-12


def test_a_spindle_beyond_its_limit_would_run_back():
    with pytest.raises(ConfigError, match=r"expected 0 ≤ λ < 1/π ≈ 0.318, where time cannot run back, got 0.4"):
        Spindle(information(COUNTS), 0.4)
    clock = Spindle(information(COUNTS))
    object.__setattr__(clock, "strength", 0.4)
    path = torch.stack([clock(row(k / 2000), TOKENS) for k in range(2001)])
    assert bool((path.diff(dim=0) < 0).any())


def test_pads_have_the_plain_time_and_do_not_count():
    clock = CLOCKS["spindle"]
    tau = clock(row(0.3), TOKENS)
    assert torch.allclose(tau[2, 3:], row(0.3)[:2])
    assert torch.allclose(tau[2, :3], row(0.3)), "three equal tokens have no excess over their mean"
    assert float(tau[0, 4]) > 0.3 > float(tau[0, 0]), "what is rare is noised first"


@pytest.mark.parametrize("process", [Absorbing(V, Linear()), Uniform(V, Cosine())], ids=["absorbing", "uniform"])
def test_corruption_at_local_times_has_each_positions_rate(process):
    n = 20_000
    tokens = torch.tensor([[0, 1, 2, 3, 4]]).expand(n, 5)
    tau = CLOCKS["spindle"](torch.full((n,), 0.5, dtype=torch.float64), tokens)
    u = torch.rand(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kept = (process.corrupt(tokens, tau, u) == tokens).double().mean(0)
    expected = process.marginal(tau[0])[torch.arange(5), tokens[0], tokens[0]]
    assert bool(((kept - expected).abs() < 4.5 * (expected * (1 - expected) / n).sqrt()).all())
    assert float(expected.max() - expected.min()) > 0.2


def test_powers_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="expected powers from 1/16 to 16, got 0 to 1"):
        PerPosition(torch.tensor([0.0, 1.0]))


LAWS = {"linear": Linear(), "log-linear": LogLinear(0.05), "Beta(3, 3)": Beta(3, 3), "Beta(15, 7)": Beta(15, 7)}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_transition_times_follow_their_law(law):
    n, T = 20_000, 7
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    tau = transition_times(u, law)
    for t in (0.1, 0.35, 0.5, 0.8):
        share = float((tau <= t).double().mean())
        assert abs(share - float(law.mask_rate(torch.tensor(t, dtype=torch.float64)))) <= 1 / n
    k = (transition_times(u, law, T) * T).round().long()
    rate = law.mask_rate(torch.arange(T + 1, dtype=torch.float64) / T)
    rate[-1] = 1
    assert torch.allclose(torch.bincount(k, minlength=T + 1)[1:].double() / n, rate.diff(), atol=2 / n)
    assert bool((k >= 1).all())


def losses(t):
    """Small at first, then steep: what a denoiser meets."""
    return 0.05 + 3 * t**4


def learned(law):
    v = antithetic_times(4096, torch.tensor(0.3, dtype=torch.float64))
    law.record(v, losses(v))
    return law


LEARNED = {
    "uniform": UniformTimes(),
    "importance": learned(ImportanceTimes(16)),
    "importance, one loss": learned(ImportanceTimes(3, history=1)),
    "warped": learned(WarpedTimes(16)),
    "nothing seen": WarpedTimes(8),
    "one bin": learned(WarpedTimes(1)),
}


@pytest.mark.parametrize("law", LEARNED.values(), ids=LEARNED)
def test_weighted_means_are_those_over_uniform_times(law):
    v = antithetic_times(100_000, torch.tensor(0.77, dtype=torch.float64))
    t, weight = law.draw(v)
    assert bool(((t > 0) & (t <= 1)).all())
    for f, mean in ((torch.ones_like, 1.0), (lambda t: t, 1 / 2), (lambda t: t**2, 1 / 3), (losses, 0.65)):
        assert abs(float((weight * f(t)).mean()) - mean) < 1e-3


def test_importance_draws_follow_the_root_mean_square_and_lower_the_variance():
    law = LEARNED["importance"]
    v = antithetic_times(100_000, torch.tensor(0.77, dtype=torch.float64))
    t, weight = law.draw(v)
    edges = torch.linspace(0, 1, 17, dtype=torch.float64)
    share = torch.histc(t.float(), 16, 0, 1) / len(t)
    mass = losses((edges[1:] + edges[:-1]) / 2)
    assert torch.allclose(share.double(), 0.99 * mass / mass.sum() + 0.01 / 16, atol=5e-3)
    assert float((weight * losses(t)).std()) < 0.3 * float(losses(v).std())


def test_importance_waits_for_every_bin_and_forgets_what_is_old():
    law = ImportanceTimes(2, history=3)
    low, high = torch.tensor([0.2]), torch.tensor([0.9])
    even = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    for value in (9.0, 9.0, 9.0, 1.0, 1.0, 1.0):
        law.record(low, torch.tensor([value]))
        assert torch.equal(law.cdf(), even)
    law.record(high.expand(3), torch.full((3,), 3.0))
    assert torch.allclose(law.cdf()[1], torch.tensor(0.99 / 4 + 0.005).double(), atol=1e-6)


def test_warped_times_make_the_loss_linear():
    law = learned(WarpedTimes(64, share=1e-3))
    v = torch.linspace(0.05, 1, 50, dtype=torch.float64)
    t, _ = law.draw(v)
    line = losses(torch.zeros(())) + v * (losses(torch.ones(())) - losses(torch.zeros(())))
    assert torch.allclose(losses(t), line, atol=0.02 * 3)
    flat = WarpedTimes(4)
    flat.record(v, torch.ones_like(v))
    assert torch.allclose(flat.draw(v)[0], v)


def test_warped_times_track_a_loss_that_changes():
    law = learned(WarpedTimes(8, decay=0.98))
    v = torch.rand(8192, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float((law.draw(v)[0] - v).abs().max()) > 0.2
    law.record(v, v)
    assert torch.allclose(law.draw(v)[0], v, atol=0.03)


@some
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=7))
def test_isotonic_regression_is_the_projection(values):
    """KKT of the projection on rising sequences: Σ (y − ŷ) over every tail ≤ 0, over blocks = 0."""
    y = torch.tensor(values, dtype=torch.float64)
    fit = isotonic(y)
    assert bool((fit.diff() >= 0).all())
    tails = (y - fit).flip(0).cumsum(0).flip(0)
    assert bool((tails <= 1e-9).all())
    assert abs(float(tails[0])) < 1e-9
    assert abs(float(((y - fit) * fit).sum())) < 1e-8


@pytest.mark.parametrize("new", [lambda: ImportanceTimes(4, 2), lambda: WarpedTimes(4)], ids=["importance", "warped"])
def test_a_restart_goes_on_where_it_stopped(new):
    law, again = learned(new()), new()
    again.restore(law.state())
    more = torch.tensor([0.1, 0.1, 0.6], dtype=torch.float64)
    kept = law.cdf().clone()
    for each in (law, again):
        each.record(more, torch.tensor([5.0, 6.0, 7.0]))
    assert torch.equal(law.cdf(), again.cdf())
    assert not torch.equal(law.cdf(), kept)


def test_warped_times_as_they_come_have_no_weight():
    law = learned(WarpedTimes(16, weighted=False))
    v = antithetic_times(1000, torch.tensor(0.77, dtype=torch.float64))
    t, weight = law.draw(v)
    assert torch.equal(t, LEARNED["warped"].draw(v)[0])
    assert torch.equal(weight, torch.ones_like(v))


@pytest.mark.parametrize("kind", TIME_LAWS)
def test_time_laws_have_names(kind):
    assert type(time_law_from_config({"kind": kind})) is TIME_LAWS[kind]


@pytest.mark.parametrize("clock", [CLOCKS["spindle at its limit"], CLOCKS["position"]], ids=["spindle", "position"])
def test_local_times_round_trip(clock):
    again = local_time_from_config(json.loads(json.dumps(local_time_to_config(clock))))
    assert torch.equal(again(row(0.3), TOKENS), clock(row(0.3), TOKENS))


@pytest.mark.parametrize(
    ("build", "config", "message"),
    [
        (time_law_from_config, {"kind": "wrapped"}, "expected kind to be one of uniform, importance, warped; got 'wrapped'"),
        (time_law_from_config, {"kind": "warped", "bin": 3}, "times 'warped': .*'bin'"),
        (local_time_from_config, {}, "local time: expected kind to be one of spindle, position; got None"),
        (local_time_from_config, {"kind": "position"}, "local time 'position': .*'power'"),
        (local_time_from_config, {"kind": "position", "power": ["fast"]}, "local time 'position': .*str"),
        (local_time_from_config, {"kind": "spindle", "information": 3.0}, "local time 'spindle'"),
        (local_time_to_config, CLOCKS["example"], "expected one of spindle, position to save, got PerExample"),
    ],
)
def test_bad_tables_are_refused(build, config, message):
    with pytest.raises(ConfigError, match=message):
        build(config)


def test_bad_bins_are_refused():
    with pytest.raises(ConfigError, match="expected bins ≥ 1 and 0 < share ≤ 1, got 8 and 0"):
        WarpedTimes(8, share=0)
