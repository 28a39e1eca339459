"""Samplers on vectors against exact answers: moments of a mixture, the law of each loop on one Gaussian, orders of error."""

from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from mixture import noise_state, three
from tiny_model import tiny_checkpoint
from vector_model import on_vectors

from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.gaussian import Straight, VarianceExploding, VariancePreserving
from seqdiff.samplers.drive import drive
from seqdiff.samplers.embedded import grid, posterior
from seqdiff.samplers.state import Query, State
from seqdiff.samplers.vectors import (
    ddim,
    ddpm,
    denoised,
    dpm_solver,
    euler,
    heun,
    karras_times,
    log_snr_times,
    reverse_sde,
    uniform_times,
)
from seqdiff.schedules import LinearBeta, SquaredCosine

VP, VE, FLOW = VariancePreserving(SquaredCosine(0.0)), VarianceExploding(0.01, 30.0), Straight()
LOOPS = {
    "ddpm": ddpm,
    "ddpm, large variance": partial(ddpm, interpolation=1.0),
    "ddim": ddim,
    "ddim, eta 1/2": partial(ddim, eta=0.5),
    "dpm-solver": dpm_solver,
    "euler": euler,
    "heun": heun,
    "sde": reverse_sde,
}


# Moments of a mixture -----------------------------------------------------------------------------------------------


DRAWS = 2500


@pytest.mark.parametrize(
    ("name", "process", "steps"),
    [(name, VP, {"dpm-solver": 20, "heun": 20}.get(name, 150)) for name in LOOPS]
    + [("dpm-solver", VE, 30), ("heun", VE, 30), ("ddpm", VE, 200), ("euler", FLOW, 150), ("sde", FLOW, 150)],
)
def test_every_sampler_draws_the_mixture(name, process, steps):
    """Mean, covariance and weights of x_t at t = 0.03 within 4.5 standard errors."""
    law = three()
    grid = (karras_times if process is VE else log_snr_times)(process, steps, 0.995, 0.03)
    x = law.run(lambda s: LOOPS[name](s, process, grid), process, noise_state(process, DRAWS, 0.995)).vectors[:, 0]
    ok, message = matches(law.at(process, grid[-1]), x)
    assert ok, message


def matches(law, x):
    """Whether draws x (n, D) have the law's moments and weights, and by how many standard errors they miss."""
    n = len(x)
    mean, covariance = law.moments()
    gap = x - x.mean(0)
    products = torch.einsum("ni,nj->nij", gap, gap)
    truth = law.nearest(draws(law, 200_000))
    errors = {
        "mean": (x.mean(0) - mean) / x.std(0) * n**0.5,
        "covariance": (products.mean(0) - covariance) / products.std(0) * n**0.5,
        "weights": (law.nearest(x) - truth) / (truth * (1 - truth) / n).sqrt(),
    }
    worst = {k: float(v.abs().max()) for k, v in errors.items()}
    return max(worst.values()) < 4.5, str(worst)


def draws(law, n):
    """n independent draws from a mixture, by torch's own generator."""
    g = torch.Generator().manual_seed(0)
    component = torch.multinomial(law.weight, n, True, generator=g)
    eps = torch.randn(n, law.mean.shape[1], 1, generator=g, dtype=torch.float64)
    return law.mean[component] + (torch.linalg.cholesky(law.covariance)[component] @ eps).squeeze(-1)


@pytest.mark.parametrize("wrong", ["weight", "covariance"])
def test_a_planted_error_of_the_mixture_is_told_apart(wrong):
    law = three()
    weight = torch.tensor([0.42, 0.38, 0.2]).double()
    other = replace(law, weight=weight) if wrong == "weight" else replace(law, covariance=1.6 * law.covariance)
    grid = log_snr_times(VP, 20, 0.995, 0.03)
    x = other.run(lambda s: dpm_solver(s, VP, grid), VP, noise_state(VP, DRAWS, 0.995)).vectors[:, 0]
    assert not matches(law.at(VP, grid[-1]), x)[0]


# The law of a loop on one Gaussian, without drawing --------------------------------------------------------------------

MU, SD = 0.8, 0.6


def gaussian_x0(process):
    """E[x_0 | x_t] for x_0 ~ N(μ, s²) in every dimension."""

    def reply(query):
        a, b = (f(query.t).reshape(-1, 1, 1) for f in (process.signal, process.noise))
        return MU + a * SD**2 / (a**2 * SD**2 + b**2) * (query.x_t - a * MU)

    return reply


def law_on_a_gaussian(monkeypatch, loop, process, grid):
    """(mean, variance) at the end of a loop, exactly: every step is affine in x and ξ, so each is fed on its own.

    Dimension 0 starts at 0 without noise and ends at the mean given 0; dimension 1 starts at 1; dimension 2 + k gets
    ξ = 1 in step k alone.
    """
    N = len(grid) - 1
    vectors = torch.zeros(1, 1, N + 2, dtype=torch.float64)
    vectors[..., 1] = 1

    def one_hot(self, step, position, width, stream):
        return torch.nn.functional.one_hot(2 + step.reshape(1, 1), width).double()

    monkeypatch.setattr(State, "normal", one_hot)
    state = State.start(torch.zeros(1, 1, dtype=torch.int64), 0, torch.arange(1))
    end = drive(loop(replace(state, vectors=vectors), process, grid), gaussian_x0(process)).vectors[0, 0]
    slopes = end[1:] - end[0]
    a, b = float(process.signal(grid[0])), float(process.noise(grid[0]))
    scale = torch.cat([torch.tensor([a**2 * SD**2 + b**2]).double(), torch.ones(N).double()])
    return float(end[0] + slopes[0] * a * MU), float((slopes**2 * scale).sum())


@pytest.mark.parametrize("process", [VP, VE, FLOW], ids=["VP", "VE", "straight"])
@pytest.mark.parametrize(("name", "order"), [("ddpm", 1), ("ddpm, large variance", 1), ("ddim, eta 1/2", 1), ("sde", 1)])
def test_stochastic_samplers_have_weak_order_1(monkeypatch, name, order, process):
    """Error of the variance at t_min against a² s² + b², from 32 to 256 steps, free of sampling error.

    VE ends at b = 0.5: near b = 0 the leading term of its SDE's error vanishes with b.
    """
    errors = []
    counts = (32, 64, 128, 256)
    for steps in counts:
        grid = log_snr_times(process, steps, 0.99, 0.5 if process is VE else 0.05)
        mean, variance = law_on_a_gaussian(monkeypatch, LOOPS[name], process, grid)
        a, b = float(process.signal(grid[-1])), float(process.noise(grid[-1]))
        errors.append(abs(variance - (a**2 * SD**2 + b**2)))
        assert abs(mean - a * MU) < 20 / steps
    assert slope(counts, errors) == pytest.approx(order, abs=0.2), errors


def test_ddpm_is_ddim_with_eta_1_and_flow_euler_is_ddim(monkeypatch):
    law, grid = three(), uniform_times(12, 1.0, 0.0)
    for one, other, process in (
        (ddpm, partial(ddim, eta=1.0), VP),
        (ddpm, partial(ddim, eta=1.0), FLOW),
        (euler, ddim, FLOW),
    ):
        start = noise_state(process, 50, 1.0)
        a, b = (law.run(partial(loop, process=process, times=grid), process, start).vectors for loop in (one, other))
        assert torch.allclose(a, b, atol=1e-10)
    a, b = (law.run(partial(loop, process=VP, times=grid), VP, noise_state(VP, 50, 1.0)).vectors for loop in (ddim, ddpm))
    assert not torch.allclose(a, b, atol=1e-2)


def test_learned_variance_per_step_gives_the_exact_law_of_a_gaussian(monkeypatch):
    """With the variance of p(x_s | x_t), bridge's + (slope of the mean)² · Var(x_0 | x_t), DDPM has no error at any N."""
    grid = log_snr_times(VP, 5, 0.99, 0.05)
    t, s = grid[:-1], grid[1:]
    a, b = VP.signal(t), VP.noise(t)
    left = SD**2 * b**2 / (a**2 * SD**2 + b**2)  # Var(x_0 | x_t)
    per_x0 = VP.signal(s) * VP.beta(s, t) / b**2
    wanted = VP.reverse_variance(s, t) + per_x0**2 * left
    tilde, beta = VP.reverse_variance(s, t), VP.beta(s, t)
    v = (wanted / tilde).log() / (beta / tilde).log()
    assert bool(((v > 0) & (v < 1)).all()), "the best variance lies between β̃ and β"
    mean, variance = law_on_a_gaussian(monkeypatch, partial(ddpm, interpolation=v), VP, grid)
    a, b = float(VP.signal(grid[-1])), float(VP.noise(grid[-1]))
    assert variance == pytest.approx(a**2 * SD**2 + b**2, rel=1e-10)
    assert mean == pytest.approx(a * MU, rel=1e-10)


# Orders of the deterministic solvers -----------------------------------------------------------------------------------


def slope(counts, errors):
    """Least-squares slope of −log error against log N."""
    x, y = (torch.tensor(v, dtype=torch.float64).log() for v in (counts, errors))
    return -float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


@pytest.mark.parametrize("process", [VP, VE, FLOW], ids=["VP", "VE", "straight"])
@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("euler", 1), ("dpm-solver", 2), ("heun", 2)])
def test_orders_on_one_gaussian_with_its_closed_flow(name, order, process):
    """x_s = a_s μ + (x_t − a_t μ) √((a_s² σ² + b_s²)/(a_t² σ² + b_t²)) is the exact flow map."""
    state = noise_state(process, 16, 0.99)
    counts, errors = (32, 64, 128, 256), []
    for steps in counts:
        grid = log_snr_times(process, steps, 0.99, 0.05)
        end = drive(LOOPS[name](state, process, grid), gaussian_x0(process)).vectors
        (a_t, a_s), (b_t, b_s) = process.signal(grid[[0, -1]]), process.noise(grid[[0, -1]])
        widening = ((a_s**2 * SD**2 + b_s**2) / (a_t**2 * SD**2 + b_t**2)).sqrt()
        exact = a_s * MU + (state.vectors - a_t * MU) * widening
        errors.append(float((end - exact).square().mean().sqrt()))
    assert slope(counts, errors) == pytest.approx(order, abs=0.15), errors


@cache
def reference(loop):
    """The end of the flow from 0.95 to 0.1 on the mixture, by Richardson extrapolation of a solver of order 2."""
    law, state = three(0.6), noise_state(VP, 32, 0.95)
    coarse, fine = (law.run(lambda s, n=n: loop(s, VP, log_snr_times(VP, n, 0.95, 0.1)), VP, state).vectors for n in (150, 300))
    return (4 * fine - coarse) / 3


def test_two_solvers_agree_on_the_reference():
    assert float((reference(heun) - reference(dpm_solver)).abs().max()) < 1e-6


@pytest.mark.parametrize("spacing", ["uniform", "log-snr", "karras"])
@pytest.mark.parametrize(("name", "order"), [("ddim", 1), ("euler", 1), ("dpm-solver", 2), ("heun", 2)])
def test_orders_on_a_mixture(name, order, spacing):
    """From the same start as the reference; broad components."""
    law, state = three(0.6), noise_state(VP, 32, 0.95)
    counts, errors = (32, 64, 128), []
    for steps in counts:
        end = law.run(lambda s, n=steps: LOOPS[name](s, VP, GRIDS[spacing](n)), VP, state).vectors
        errors.append(float((end - reference(heun)).square().mean().sqrt()))
    assert slope(counts, errors) == pytest.approx(order, abs=0.25), errors


GRIDS = {
    "uniform": lambda steps: uniform_times(steps, 0.95, 0.1),
    "log-snr": lambda steps: log_snr_times(VP, steps, 0.95, 0.1),
    "karras": lambda steps: karras_times(VP, steps, 0.95, 0.1),
}


# The loops as loops ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOOPS)
def test_pins_keep_their_bits_and_a_loop_goes_on_from_any_saved_state(name):
    law, process, grid = three(), VP, log_snr_times(VP, 6, 0.99, 0.05)
    state = noise_state(process, 8, 0.99, length=3)
    free = torch.tensor([[True, False, True], [False, True, True]]).repeat(4, 1)
    pinned = torch.linspace(-1, 1, 48, dtype=torch.float64).reshape(8, 3, 2) / 3
    state = replace(state, free=free, vectors=torch.where(free.unsqueeze(-1), state.vectors, pinned))
    seen = []

    def reply(query):
        if query.vectors is None:
            seen.append(query.state)
        assert torch.equal(query.x_t[~free], pinned[~free]), "the denoiser sees clean pins at every query"
        return law.x0_hat(process, query.x_t, query.t)

    def loop(start):
        return denoised(LOOPS[name](start, process, grid), grid)

    end = drive(loop(state), reply)
    assert torch.equal(end.vectors[~free], pinned[~free])
    assert bool((end.vectors[free] != state.vectors[free]).all())
    assert bool((end.step == 7).all())
    for saved in (seen[1], seen[3], seen[6], end):
        assert torch.allclose(law.run(loop, process, saved).vectors, end.vectors, atol=1e-12)
    mixed = State.cat([seen[2].rows(torch.arange(4)), seen[4].rows(torch.arange(4, 8))])  # rows at different steps
    assert torch.allclose(law.run(loop, process, mixed).vectors, end.vectors, atol=1e-12)


@pytest.mark.parametrize("name", ["ddpm", "dpm-solver", "sde"])
def test_draws_do_not_depend_on_the_batch(name):
    law, grid, n = three(), log_snr_times(VP, 8, 0.99, 0.05), 64

    def run(index):
        state = State.start(torch.zeros(len(index), 1, dtype=torch.int64), 4, index)
        state = replace(state, vectors=state.normal(0, torch.arange(1), 2, Stream.PRIOR))
        return law.run(lambda s: LOOPS[name](s, VP, grid), VP, state).vectors

    whole = run(torch.arange(n))
    order = torch.arange(n).flip(0)
    for size in (1, 7):
        for chunk in order.split(size)[:6]:
            assert torch.allclose(run(chunk), whole[chunk], atol=1e-10)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm-solver"])
@pytest.mark.parametrize("process", [VP, FLOW, VariancePreserving(LinearBeta())], ids=["VP", "straight", "linear beta"])
def test_a_grid_may_run_from_no_signal_to_no_noise(name, process):
    """Steps to s = 0 give x̂0 itself: the end is the last answer."""
    law, last = three(), []

    def reply(query):
        last.append(law.x0_hat(process, query.x_t, query.t))
        return last[-1]

    end = drive(LOOPS[name](noise_state(process, 9, 1.0), process, uniform_times(10)), reply)
    assert torch.allclose(end.vectors, last[-1], atol=1e-12)


def test_heun_keeps_euler_s_step_where_there_is_no_noise_left():
    law, asked = three(), []

    def reply(query):
        asked.append(float(query.t[0]))
        return law.x0_hat(FLOW, query.x_t, query.t)

    drive(heun(noise_state(FLOW, 3, 1.0), FLOW, uniform_times(2)), reply)
    assert asked == [1.0, 0.5, 0.5], "two queries in the first interval, one in the last"


def test_grids_are_equally_spaced_in_what_they_say():
    for process in (VP, VE, FLOW):
        log_sigma = -process.log_snr(log_snr_times(process, 10, 0.99, 0.02)) / 2
        assert torch.allclose(log_sigma.diff(), log_sigma.diff().mean().expand(10), atol=1e-9)
        sigma = (-process.log_snr(karras_times(process, 10, 0.99, 0.02)) / 2).exp() ** (1 / 7)
        assert torch.allclose(sigma.diff(), sigma.diff().mean().expand(10), atol=1e-9)
        assert log_snr_times(process, 10, 0.99, 0.02)[[0, -1]].tolist() == [0.99, 0.02]
    assert torch.equal(uniform_times(4), torch.tensor([1, 0.75, 0.5, 0.25, 0]).double())


def test_what_cannot_be_is_refused():
    law, state = three(), noise_state(VP, 2, 1.0)
    with pytest.raises(ConfigError, match=r"not finite after step 0; let the grid begin where a > 0 \(t < 1\)"):
        law.run(lambda s: reverse_sde(s, FLOW, uniform_times(4)), FLOW, state)
    with pytest.raises(ConfigError, match="times: expected at least two numbers falling"):
        law.run(lambda s: ddim(s, VP, torch.tensor([0.1, 0.5]).double()), VP, state)
    with pytest.raises(ConfigError, match="expected a state with vectors"):
        law.run(lambda s: ddim(s, VP, uniform_times(4)), VP, replace(state, vectors=None))
    with pytest.raises(ConfigError, match="a, b > 0 at both ends, got steps 4, t from 1.0 to 0.1"):
        log_snr_times(FLOW, 4, 1.0, 0.1)


@pytest.mark.parametrize("step", [0, 3, 7])
def test_what_x_s_leaves_of_x_0_is_bayes_rule_by_densities(step):
    """p(v | x_s, x_t) ∝ p(v | x_t) N(x_s; c_1 x_t + c_2 e_v, β̃ I) token by token, and a pin is itself; another x_s is felt."""
    process = on_vectors(tiny_checkpoint()).process
    V, times = process.vocabulary, grid(process, 8, "log-snr", 0.999, 0.02)
    tokens = torch.tensor([[V, 2, V], [1, V, V]])
    state = State.from_canvas(process, tokens, 5, torch.arange(2), None)
    state = replace(process.place(state, times[0]), step=torch.full((2,), step))
    query = Query(state, None, times[step].expand(2), None)
    generator = torch.Generator().manual_seed(0)
    p_x0 = torch.rand(2, 3, V, generator=generator).double().softmax(-1)
    p_x0[0, 0, 3] = 0
    e, x_t, s, t = process.embedding.table().double(), query.x_t, times[[step + 1] * 2], times[[step] * 2]
    x_s = process.process.bridge(x_t, e[torch.tensor([[1, 2, 4], [1, 5, 0]])], s, t)[0]
    found = posterior(process, times, query, p_x0)(x_s)
    for r in range(2):
        for i in range(3):
            if tokens[r, i] != V:
                assert found[r, i, tokens[r, i]] == 1 and found[r, i].sum() == 1
                continue
            log_p = []
            for v in range(V):
                mean, variance = process.process.bridge(x_t[r : r + 1], e[v].expand(1, 3, -1), s[:1], t[:1])
                density = torch.distributions.Normal(mean[0, i], variance.sqrt().flatten()).log_prob(x_s[r, i]).sum()
                log_p.append(p_x0[r, i, v].log() + density)
            assert found[r, i].allclose(torch.stack(log_p).softmax(-1), atol=1e-9)
    assert found[0, 0, 3] == 0 and not posterior(process, times, query, p_x0)(x_s.flip(1)).allclose(found, atol=1e-3)
