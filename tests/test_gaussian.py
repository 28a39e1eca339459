"""Processes on vectors: marginals, bridges and parameterisations against identities, Bayes and derivatives."""

import math

import pytest
import torch
from mixture import three

from seqdiff.errors import ConfigError
from seqdiff.noise import Stream, normal, uniform
from seqdiff.processes.gaussian import (
    KINDS,
    Straight,
    VarianceExploding,
    VariancePreserving,
    from_x0,
    spread,
    to_x0,
)
from seqdiff.samplers.state import State
from seqdiff.schedules import Cosine, Linear, LinearBeta, LogLinear, SquaredCosine

SCHEDULES = {
    "squared cosine": SquaredCosine(),
    "squared cosine, no offset": SquaredCosine(0.0),
    "linear beta": LinearBeta(),
}
PROCESSES = {
    **{f"VP {name}": VariancePreserving(schedule) for name, schedule in SCHEDULES.items()},
    "VP linear": VariancePreserving(Linear()),
    "VP cosine": VariancePreserving(Cosine()),
    "VP log-linear, factor 4": VariancePreserving(LogLinear(), 4.0),
    "VE": VarianceExploding(),
    "straight": Straight(),
}
TIMES = [(0.0, 0.4), (0.2, 0.5), (0.01, 0.99), (0.6, 0.60001), (0.3, 1.0), (0.0, 1.0)]
every_process = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)


def at(value):
    return torch.tensor(value, dtype=torch.float64)


def eps(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_fall_and_know_their_derivative_and_inverse(schedule):
    t = torch.linspace(0.001, 0.999, 333, dtype=torch.float64).requires_grad_()
    rate = schedule.mask_rate(t)
    (slope,) = torch.autograd.grad(rate.sum(), t)
    t = t.detach()
    assert torch.allclose(schedule.mask_rate_prime(t), slope, rtol=1e-10, atol=0)
    assert torch.allclose(schedule.inverse(schedule.mask_rate(t)), t, atol=1e-4 if rate.max() > 0.99999 else 1e-9)
    assert torch.allclose(schedule.mask_rate(t) + schedule.alpha(t), torch.ones(333).double(), atol=1e-14)
    assert bool((schedule.mask_rate(t).diff() > 0).all())
    assert float(schedule.alpha(at(1.0))) < 1e-4
    assert float(schedule.mask_rate(at(0.0))) == 0


@every_process
def test_derivatives_and_the_inverse_of_log_snr(process):
    t = torch.linspace(0.01, 0.99, 99, dtype=torch.float64).requires_grad_()
    for value, prime in ((process.signal(t), process.signal_prime(t)), (process.noise(t), process.noise_prime(t))):
        slope = torch.autograd.grad(value.sum(), t)[0] if value.requires_grad else torch.zeros(99).double()
        assert torch.allclose(prime.detach(), slope, rtol=1e-8, atol=1e-12)
    log_snr = process.log_snr(t)
    (slope,) = torch.autograd.grad(log_snr.sum(), t, retain_graph=True)
    assert torch.allclose(process.diffusion(t), -process.noise(t).square() * slope, rtol=1e-8)
    assert torch.allclose(log_snr, 2 * (process.signal(t) / process.noise(t)).log(), atol=1e-9)
    assert torch.allclose(process.time(log_snr), t, atol=1e-8)
    if isinstance(process, VariancePreserving):
        assert torch.allclose(process.signal(t) ** 2 + (process.noise(t) / process.factor) ** 2, torch.ones(99).double())


@every_process
@pytest.mark.parametrize(("s", "t"), TIMES)
def test_the_bridge_is_bayes(process, s, t):
    """q(x_s | x_t, x_0) ∝ q(x_s | x_0) q(x_t | x_s), by completing the square, on numbers of a scalar chain."""
    a_s, b_s, a_t, b_t = (float(f(at(x))) for x in (s, t) for f in (process.signal, process.noise))
    a_ts, x_0, x_t = a_t / a_s, 0.7, -1.3
    beta = b_t**2 - a_ts**2 * b_s**2
    mean, variance = process.bridge(at([[[x_t]]]), at([[[x_0]]]), at(s), at(t))
    if b_s == 0:
        assert float(mean) == pytest.approx(x_0, abs=1e-12)
        assert float(variance) == 0
        return
    precision = 1 / b_s**2 + a_ts**2 / beta
    tolerance = 1e-10 / (t - s)
    assert float(process.beta(at(s), at(t))) == pytest.approx(beta, rel=tolerance)
    assert float(variance) == pytest.approx(1 / precision, rel=tolerance)
    assert float(mean) == pytest.approx((a_s * x_0 / b_s**2 + a_ts * x_t / beta) / precision, rel=tolerance, abs=1e-12)
    assert float(variance) == pytest.approx(beta * b_s**2 / b_t**2, rel=tolerance), "β̃, never its inverse"
    assert float(variance) <= beta * (1 + 1e-9)


@every_process
def test_bridges_compose_with_the_marginal(process):
    """Mean and variance of x_s under q(x_s | x_t, x_0) q(x_t | x_0) are those of q(x_s | x_0); a time per row."""
    s, t = at([0.1, 0.5, 0.05]), at([0.7, 0.6, 0.95])
    x_0 = eps(3, 4, 2)
    mean_t = process.corrupt(x_0, t, torch.zeros_like(x_0))
    mean, variance = process.bridge(mean_t, x_0, s, t)
    assert torch.allclose(mean, spread(process.signal(s)) * x_0, atol=1e-10)
    slope = process.bridge(torch.ones_like(x_0), torch.zeros_like(x_0), s, t)[0][:, 0, 0]
    assert torch.allclose(variance + slope**2 * process.noise(t) ** 2, process.noise(s) ** 2, rtol=1e-10)


@every_process
def test_a_time_per_position_is_each_position_at_its_time(process):
    s, t = at([[0.1, 0.2], [0.3, 0.4]]), at([[0.7, 0.3], [0.9, 0.5]])
    x_t, x_0 = eps(2, 2, 3), eps(2, 2, 3, seed=1)
    mean, variance = process.bridge(x_t, x_0, s, t)
    velocity = process.velocity(x_t, x_0, t)
    for b in range(2):
        for i in range(2):
            one = process.bridge(x_t[b : b + 1, i : i + 1], x_0[b : b + 1, i : i + 1], s[b, i], t[b, i])
            assert torch.allclose(mean[b, i], one[0][0, 0], atol=1e-14)
            assert torch.allclose(variance[b, i], one[1], atol=1e-14)
            assert torch.allclose(velocity[b, i], process.velocity(x_t[b, i], x_0[b, i], t[b, i]), atol=1e-12)


@every_process
def test_reverse_variance_runs_from_the_bridge_to_beta_in_log_space(process):
    s, t = at([0.3, 0.4]), at([0.35, 0.9])
    tilde, beta = process.reverse_variance(s, t), process.reverse_variance(s, t, 1.0)
    assert torch.allclose(tilde, process.bridge(at([0.0]), at([0.0]), s, t)[1], rtol=1e-12)
    assert torch.allclose(beta, process.beta(s, t), rtol=1e-12)
    assert torch.allclose(process.reverse_variance(s, t, 0.25).log(), 0.25 * beta.log() + 0.75 * tilde.log(), atol=1e-12)
    learned = process.reverse_variance(s, t, torch.full((2, 3, 2), 0.25).double())
    assert torch.allclose(learned, spread(process.reverse_variance(s, t, 0.25)).expand(2, 3, 2))


@every_process
@pytest.mark.parametrize("kind", KINDS)
def test_parameterisations_give_x0_back_to_1e_10(process, kind):
    t = at([0.05, 0.3, 0.6, 0.95])
    x_0, e = eps(4, 3, 2), eps(4, 3, 2, seed=1)
    x_t = process.corrupt(x_0, t, e)
    a, b = spread(process.signal(t)), spread(process.noise(t))
    expected = {
        "x0": x_0,
        "epsilon": e,
        "v": a * e - b * x_0,
        "velocity": spread(process.signal_prime(t)) * x_0 + spread(process.noise_prime(t)) * e,
        "score": -e / b,
    }[kind]
    assert torch.allclose(from_x0(process, kind, x_0, x_t, t), expected, rtol=1e-10, atol=1e-10)
    assert torch.allclose(to_x0(process, kind, expected, x_t, t), x_0, rtol=1e-10, atol=1e-10)
    with pytest.raises(ConfigError, match="expected one of x0, epsilon"):
        to_x0(process, "noise", x_0, x_t, t)
    with pytest.raises(ConfigError, match="got 'noise'"):
        from_x0(process, "noise", x_0, x_t, t)


@every_process
def test_the_mixture_s_denoiser_obeys_tweedie(process):
    """score = −(x − a x̂0)/b² is the gradient of log q_t: the exact denoiser that the samplers are tested with is right."""
    law, t = three(), at([0.1, 0.4, 0.7, 0.9])
    x_t = (eps(4, 1, 2) * spread(process.noise(t) + process.signal(t))).requires_grad_()
    density = law.log_density(x_t[:, 0], process.signal(t), process.noise(t)).sum()
    (score,) = torch.autograd.grad(density, x_t)
    x0_hat = law.x0_hat(process, x_t.detach(), t)
    assert torch.allclose(from_x0(process, "score", x0_hat, x_t.detach(), t), score, rtol=1e-8, atol=1e-8)


def test_corruption_and_prior_have_their_moments():
    process, n = VariancePreserving(SquaredCosine(), 2.0), 40_000
    t = at([0.3, 0.8])
    noise = normal(3, torch.arange(2).reshape(-1, 1, 1), 0, torch.arange(n).reshape(1, -1, 1), Stream.GAUSS)
    x_t = process.corrupt(torch.full((2, n, 1), 1.5).double(), t, noise)
    for row in range(2):
        a, b = float(process.signal(t[row])), float(process.noise(t[row]))
        assert float(x_t[row].mean()) == pytest.approx(1.5 * a, abs=5 * b / n**0.5)
        assert float(x_t[row].var()) == pytest.approx(b**2, rel=5 * (2 / n) ** 0.5)
    assert float(process.prior(noise, at(1.0)).std()) == pytest.approx(2.0, rel=0.02)


def test_normal_numbers_are_normal_and_invert_the_uniform_ones(monkeypatch):
    words = torch.arange(100_000)
    x, u = (f(5, 1, 2, words, Stream.GAUSS) for f in (normal, uniform))
    assert torch.allclose((1 + torch.erf(x / math.sqrt(2))) / 2, u, atol=1e-14)
    n = len(x)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((x**power).mean()) - moment) < 4.5 * (variance / n) ** 0.5
    monkeypatch.setattr("seqdiff.noise.uniform", lambda *args: at([0.0, 1 - 2.0**-53]))
    assert bool((normal(5, 1, 2, words[:2], Stream.GAUSS).abs() < 8.3).all()), "the ends of the uniform numbers are finite"


def test_noise_of_a_state_is_that_of_its_row_position_and_dimension():
    state = State.start(torch.zeros(3, 4, dtype=torch.int64), 9, torch.tensor([5, 6, 7]))
    whole = state.normal(torch.tensor([[1], [2], [2]]), torch.arange(4), 3, Stream.GAUSS)
    for row, step in enumerate((1, 2, 2)):
        for position in range(4):
            for d in range(3):
                one = normal(9, 5 + row, step, position * 3 + d, Stream.GAUSS)
                assert float(whole[row, position, d]) == float(one)
    some = state.rows(torch.tensor([2])).normal(2, torch.tensor([[3, 1]]), 3, Stream.GAUSS)
    assert torch.equal(some[0], whole[2, [3, 1]])


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="noise factor: expected more than 0, got 0"):
        VariancePreserving(Linear(), 0.0)
    with pytest.raises(ConfigError, match="expected 0 < sigma_min < sigma_max, got 2.0 and 1.0"):
        VarianceExploding(2.0, 1.0)
