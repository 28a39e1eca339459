"""Chains given by matrices: closed forms, Chapman–Kolmogorov, brute-force Bayes, stationary laws, identities of D3PM."""

import json

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seqdiff.errors import ConfigError
from seqdiff.processes import generators
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.grid import GridChain, betas_of
from seqdiff.processes.matrix import RateMatrix
from seqdiff.processes.registry import process_from_config, process_to_config
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Beta, Cosine, Geometric, Linear, LogLinear, Polynomial, Sqrt
from tests.test_processes import at, check_gradients, check_local_times

few = settings(deadline=None, max_examples=25, derandomize=True)

SCHEDULES = [Linear(), Cosine(), LogLinear(0.01), Polynomial(1.7), Sqrt(), Geometric(), Beta(3, 2)]
VECTORS = torch.tensor([[0.0, 0.0], [1.0, 0.2], [2.1, 0.0], [0.3, 1.4], [3.0, 3.0]])
FREQUENCY = torch.tensor([0.1, 0.3, 0.2, 0.15, 0.25], dtype=torch.float64)
SIMILARITY = -torch.cdist(VECTORS, VECTORS)

schedules = st.sampled_from(SCHEDULES)
seeds = st.integers(0, 10**6)
sizes = st.integers(2, 5)


def noise(seed: int, *shape: int):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def any_generator(seed: int, S: int, reversible: bool):
    """A dense random generator; half of its rates nearly 0."""
    rates = noise(seed, S, S) ** 4 + 1e-3
    if reversible:
        return generators.generator_of(rates + rates.T, noise(seed + 1, S) + 0.05)
    rates = rates - rates.diagonal().diag()
    return rates - rates.sum(-1).diag()


@few
@given(seeds, sizes, st.booleans(), schedules, st.tuples(*[st.floats(0, 1)] * 3))
def test_chains_of_rates_are_stochastic_and_compose(seed, S, reversible, schedule, times):
    s, m, t = sorted(times)
    process = RateMatrix(any_generator(seed, S, reversible), schedule, S)
    assert (process._modes is not None) == (reversible or S == 2)
    Q = process.between(at(s), at(t))
    assert torch.allclose(Q.sum(-1), torch.ones(S, dtype=torch.float64), atol=1e-12)
    assert bool((Q >= 0).all())
    assert torch.allclose(process.between(at(s), at(m)) @ process.between(at(m), at(t)), Q, atol=1e-10)
    elapsed = process.elapsed(at(s), at(t))
    if bool(torch.isfinite(elapsed)):
        assert torch.allclose(Q, torch.matrix_exp(elapsed * process.generator), atol=1e-10)
    if s == t and s < 1:
        assert torch.equal(Q, torch.eye(S, dtype=torch.float64))


@few
@given(seeds, sizes, st.booleans(), schedules)
def test_the_prior_is_the_stationary_law_and_the_limit(seed, S, reversible, schedule):
    process = RateMatrix(any_generator(seed, S, reversible), schedule, S)
    pi = process.prior_law()
    assert torch.allclose(pi @ process.generator, torch.zeros(S, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(torch.matrix_exp(1e4 * process.generator / process.gap), pi.expand(S, S), atol=1e-8)
    alpha_1 = float(schedule.alpha(at(1.0)))
    if alpha_1 == 0:
        assert process.prior_distance() < 1e-12
    elif reversible:  # TV(row i, π) ≤ ½ e^{−gap Λ} √(1/π_i − 1), Diaconis and Stroock, 1991
        bound = 0.5 * alpha_1**process.gap * float((1 / pi - 1).sqrt().max())
        assert process.prior_distance() <= bound + 1e-12


def brute_bayes(process, s, t, v, j):
    q_s, Q = process.marginal(at(s)), process.between(at(s), at(t))
    joint = torch.stack([q_s[v, i] * Q[i, j] for i in range(process.states)])
    return joint, joint.sum()


@few
@given(seeds, sizes, st.booleans(), schedules, st.floats(0.01, 0.98), st.floats(0.1, 1.0))
def test_bridge_posterior_and_kernel_are_bayes(seed, S, reversible, schedule, s, share):
    """V may be less than S: the last state then is no token."""
    V = max(1, S - seed % 2)
    process = RateMatrix(any_generator(seed, S, reversible), schedule, V)
    t = s + share * (0.99 - s)
    x_t = torch.arange(S).unsqueeze(0)
    p_x0 = torch.softmax(3 * noise(seed, 1, S, V), -1)
    posterior = process.posterior(x_t, p_x0, at(s), at(t))
    kernels = [process.log_kernel(x_t, torch.full_like(x_t, i), at(s), at(t)).exp() for i in range(S)]
    for j in range(S):
        expected = torch.zeros(S, dtype=torch.float64)
        for v in range(V):
            joint, total = brute_bayes(process, s, t, v, j)
            assume(float(total) > 1e-8)
            bridge = process.bridge(x_t[:, j : j + 1], torch.tensor([[v]]), at(s), at(t))[0, 0]
            assert torch.allclose(bridge, joint / total, atol=1e-8)
            for i in range(S):
                assert abs(float(kernels[i][0, j, v] - joint[i] / total)) < 1e-8
            expected += p_x0[0, j, v] * joint / total
        assert torch.allclose(posterior[0, j], expected, atol=1e-8)


@few
@given(schedules, st.integers(2, 6), st.floats(0, 1), st.floats(0, 1))
def test_closed_forms_are_their_rate_matrices(schedule, V, a, b):
    s, t = at(min(a, b)), at(max(a, b))
    pairs = [
        (RateMatrix(generators.uniform(V), schedule, V), Uniform(V, schedule)),
        (RateMatrix(generators.absorbing(V), schedule, V), Absorbing(V, schedule)),
    ]
    for chain, closed in pairs:
        assert chain.states == closed.states
        assert torch.allclose(chain.prior_law(), closed.prior_law(), atol=1e-12)
        if float(s) < 1:
            assert torch.allclose(chain.between(s, t), closed.between(s, t), atol=1e-10)
        if float(schedule.alpha(t)) > 0 and float(t) > 0:
            assert torch.allclose(chain.rate(t), closed.rate(t), rtol=1e-10)


@few
@given(schedules, st.integers(2, 5), st.integers(1, 12))
def test_d3pm_mixture_chains_are_the_closed_forms_on_the_grid(schedule, V, T):
    pairs = [
        (GridChain.uniform(V, betas_of(schedule, T)), Uniform(V, schedule)),
        (GridChain.absorbing(V, betas_of(schedule, T)), Absorbing(V, schedule)),
    ]
    k = torch.arange(T + 1, dtype=torch.float64) / T
    for chain, closed in pairs:
        assert torch.allclose(chain.marginal(k), closed.marginal(k), atol=1e-10)
        for i in range(T):
            assert torch.allclose(chain.between(k[i], k[i + 1]), closed.between(k[i], k[i + 1]), atol=1e-10)
        assert torch.allclose(chain.between(k[:1], k[-1:])[0], closed.between(k[0], k[-1]), atol=1e-10)
        assert torch.equal(chain.prior_law(), closed.prior_law())
        assert abs(chain.prior_distance() - closed.prior_distance()) < 1e-10
        x_t = torch.arange(closed.states).unsqueeze(0)
        p_x0 = torch.softmax(noise(T, 1, closed.states, V), -1)
        reached = chain.likelihood(x_t, k[-1]).sum(-1)[0] > 0
        for i in range(T):
            ours, theirs = (p.posterior(x_t, p_x0, k[i], k[-1])[0][reached] for p in (chain, closed))
            assert torch.allclose(ours, theirs, atol=1e-10)


def test_d3pm_absorbing_steps_are_1_over_what_is_left():
    assert torch.allclose(betas_of(Linear(), 4), torch.tensor([1 / 4, 1 / 3, 1 / 2, 1]).double())


@few
@given(seeds, st.integers(2, 5), st.integers(1, 8))
def test_grid_chains_compose(seed, S, T):
    steps = torch.softmax(6 * noise(seed, T, S, S), -1)
    chain = GridChain(steps, torch.full((S,), 1 / S, dtype=torch.float64), S)
    for i in range(T + 1):
        Q = torch.eye(S, dtype=torch.float64)
        for j in range(i, T + 1):
            assert torch.allclose(chain.between(at(i / T), at(j / T)), Q, atol=1e-12)
            if j < T:
                Q = Q @ steps[j]
    i = torch.randint(T + 1, (2, 3), generator=torch.Generator().manual_seed(seed))
    mixed = chain.between(i.double() / T, at(1.0))
    for b in range(2):
        for column in range(3):
            assert torch.allclose(mixed[b, column], chain.between(i[b, column].double() / T, at(1.0)), atol=1e-12)


def test_discretised_gaussian_has_the_papers_entries():
    betas = torch.tensor([0.02, 0.3, 1.0])
    V = 5
    chain = GridChain.gaussian(V, betas)
    for k, beta in enumerate(betas.double().tolist()):
        weight = {n: float(torch.tensor(-4 * n * n / ((V - 1) ** 2 * beta)).double().exp()) for n in range(1 - V, V)}
        for i in range(V):
            for j in range(V):
                if i != j:
                    assert abs(float(chain.steps[k, i, j]) - weight[i - j] / sum(weight.values())) < 1e-7
        assert torch.allclose(chain.steps[k].sum(0), torch.ones(V, dtype=torch.float64), atol=1e-12)
    near, far = (GridChain.gaussian(V, torch.full((T,), 0.2)).prior_distance() for T in (2, 200))
    assert far < 1e-6 < near


def test_nearest_neighbours_follow_the_papers_matrix():
    """R = (G + Gᵀ)/(2k) off the diagonal, up to its scale; Q_k = exp(amount R)."""
    R = generators.neighbours(VECTORS, 2)
    G = torch.zeros(5, 5, dtype=torch.float64)
    for i in range(5):
        others = sorted((j for j in range(5) if j != i), key=lambda j: float((VECTORS[i] - VECTORS[j]).norm()))
        G[i, others[:2]] = 1
    A = (G + G.T) / 4
    scale = float(R[0].clamp(min=0).sum() / (A[0].sum()))
    assert torch.allclose(R - R.diagonal().diag(), A * scale, atol=1e-12)
    assert torch.allclose(R, R.T)
    process = RateMatrix(R, Cosine(), 5)
    assert torch.allclose(process.prior_law(), torch.full((5,), 0.2).double())
    assert torch.allclose(-(process.prior_law() * R.diagonal()).sum(), at(1.0))
    chain = GridChain.of(process, 6)
    k = torch.arange(7, dtype=torch.float64) / 6
    assert torch.allclose(chain.marginal(k), process.marginal(k), atol=1e-10)


def test_similarity_moves_to_what_is_alike_with_the_law_that_is_given():
    process = RateMatrix(generators.similar(SIMILARITY, 0.7, FREQUENCY), Linear(), 5)
    assert torch.allclose(process.prior_law(), FREQUENCY, atol=1e-12)
    plain = generators.similar(SIMILARITY, 0.7)
    assert torch.allclose(plain, plain.T)
    assert torch.equal(plain[0, 1:].argsort(), SIMILARITY[0, 1:].argsort())
    hot, cold = (generators.similar(SIMILARITY, temperature)[0, 1:] for temperature in (1e3, 0.3))
    assert float(hot.max() / hot.min()) < 1.01
    assert float(cold.max() / cold.min()) > 100


def test_a_gaussian_band_prefers_near_levels():
    R = generators.gaussian(6, 1.0)
    assert abs(float(R[2, 4] / R[2, 3]) - torch.tensor(-1.5).exp()) < 1e-6
    assert torch.allclose(RateMatrix(R, Linear(), 6).prior_law(), torch.full((6,), 1 / 6).double())


PROCESSES = {
    "neighbours": RateMatrix(generators.neighbours(VECTORS, 2), Cosine(), 5),
    "similar": RateMatrix(generators.similar(SIMILARITY, 0.7, FREQUENCY), Linear(), 5),
    "band": RateMatrix(generators.gaussian(5, 1.0), LogLinear(), 5),
    "irreversible": RateMatrix(any_generator(3, 5, False), Linear(), 5),
    "one state more": RateMatrix(any_generator(3, 5, True), Cosine(), 4),
    "absorbing": RateMatrix(generators.absorbing(4), Linear(), 4),
}


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_a_time_a_position_is_the_time_of_each_position_on_its_own(process):
    check_local_times(process)


def test_a_time_a_position_on_a_grid():
    check_local_times(GridChain.of(PROCESSES["similar"], 5), grid=5)
    check_local_times(GridChain.absorbing(4, betas_of(Cosine(), 7)), grid=7)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_gradients_of_the_posterior_are_finite_up_to_both_ends(process, dtype):
    check_gradients(process, dtype, [(0.0, 1e-3), (0.4, 0.6), (1 - 1e-3, 1.0), (0.0, 1.0), (0.0, 0.0)])


@pytest.mark.parametrize("name", ["neighbours", "irreversible", "absorbing"])
def test_rates_are_the_derivative_of_the_transitions(name):
    process, t, h = PROCESSES[name], at(0.4), 1e-6
    slope = (process.between(t, t + h) - torch.eye(process.states, dtype=torch.float64)) / h
    assert torch.allclose(process.rate(t), slope, atol=1e-4)


def test_small_entries_are_right_relative_to_the_step():
    """Q_ij → Δ R_ij: eigenvectors alone would leave errors of 1e-16 there, as much as the entry."""
    process = PROCESSES["similar"]
    t = at(1e-13)
    off = ~torch.eye(5, dtype=torch.bool)
    assert torch.allclose(process.between(at(0.0), t)[off], (t * process.generator)[off], rtol=1e-6, atol=0)


def test_corruption_draws_the_marginal():
    process, n = PROCESSES["neighbours"], 40_000
    for t in (at(0.5), at(0.5).expand(1, n)):
        x_t = process.corrupt(torch.full((1, n), 2), t, noise(0, 1, n))
        frequency = torch.bincount(x_t[0], minlength=5).double() / n
        q = process.marginal(at(0.5))[2]
        assert bool(((frequency - q).abs() <= 4.5 * (q * (1 - q) / n).sqrt()).all())


R3 = generators.uniform(3)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RateMatrix(torch.zeros(2, 3), Linear(), 2), r"expected finite rates \(S, S\), got \(2, 3\)"),
        (lambda: RateMatrix(-R3, Linear(), 3), "expected rates ≥ 0 off the diagonal"),
        (lambda: RateMatrix(R3 + 1, Linear(), 3), "expected rows that sum to 0, got 3"),
        (lambda: RateMatrix(R3, Linear(), 4), "expected a vocabulary of 1 to S = 3 tokens, got 4"),
        (lambda: RateMatrix(torch.block_diag(R3, R3), Linear(), 6), "groups that never meet"),
        (lambda: generators.neighbours(VECTORS, 5), "expected k from 1 to V − 1 = 4, got 5"),
        (lambda: generators.similar(SIMILARITY, 0.0), "expected temperature > 0"),
        (lambda: generators.similar(SIMILARITY, 1.0, torch.zeros(5)), "expected 5 positive numbers"),
        (lambda: GridChain(torch.ones(2, 3, 3), torch.ones(3) / 3, 3), "rows that sum to 1, got sums off by 2"),
        (lambda: GridChain.uniform(3, torch.tensor([0.0])), "expected betas"),
        (lambda: GridChain.uniform(3, torch.tensor([0.1])).rate(at(0.5)), "only a grid of times"),
    ],
)
def test_what_is_no_chain_is_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_times_off_the_grid_are_refused():
    chain = GridChain.uniform(3, betas_of(Linear(), 4))
    chain.between(at(0.25), at(1 - 2 / 4))
    with pytest.raises(
        ConfigError, match=r"expected times k/4 with k = 0 … 4, got 0.3; sample with a number of steps that divides 4"
    ):
        chain.marginal(torch.tensor([0.25, 0.3], dtype=torch.float64))


EVERY_KIND = {
    "absorbing": Absorbing(4, LogLinear(0.01)),
    "uniform": Uniform(4, Cosine()),
    **PROCESSES,
    "grid": GridChain.gaussian(4, torch.linspace(0.1, 0.9, 3)),
    "grid with a mask": GridChain.absorbing(4, betas_of(Linear(), 3)),
}


@pytest.mark.parametrize("process", EVERY_KIND.values(), ids=EVERY_KIND)
def test_a_process_comes_back_from_its_configuration(process):
    config = json.loads(json.dumps(process_to_config(process)))
    again = process_from_config(config, process.vocabulary)
    assert type(again) is type(process)
    assert process_to_config(again) == config
    s, t = at(1 / 3), at(1.0)
    assert torch.equal(again.between(s, t), process.between(s, t))
    assert torch.equal(again.prior_law(), process.prior_law())
    assert again.states == process.states


LINEAR = {"kind": "linear"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "absorb"}, "expected kind to be one of absorbing, uniform, rate-matrix, grid; got 'absorb'"),
        ({}, "got None"),
        ({"kind": "uniform"}, "process 'uniform': expected the keys schedule; got none"),
        ({"kind": "uniform", "schedule": LINEAR, "speed": 2}, "expected the keys schedule; got schedule, speed"),
        ({"kind": "uniform", "schedule": {"kind": "line"}}, "schedule: expected kind"),
        ({"kind": "rate-matrix", "schedule": LINEAR, "generator": [[-1, 1], [1]]}, "expected generator to be lists of numbers"),
        ({"kind": "rate-matrix", "schedule": LINEAR, "generator": [[-1, 1], [1, -1]]}, "1 to S = 2 tokens, got 4"),
        ({"kind": "grid", "steps": [[[1]]], "law": ["a"]}, "expected law to be lists of numbers"),
    ],
)
def test_configurations_that_fit_no_process_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        process_from_config(config, 4)


def test_a_process_without_a_name_is_not_saved():
    class Another(Uniform):
        pass

    with pytest.raises(ConfigError, match="expected one of absorbing, uniform, rate-matrix, grid to save, got Another"):
        process_to_config(Another(3, Linear()))
