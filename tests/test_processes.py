"""Every process on tokens against brute-force Bayes and the laws of a Markov chain."""

import pytest
import torch

from seqdiff.denoisers.exact import ExactDenoiser
from seqdiff.noise import Stream, uniform
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Cosine, Linear, LogLinear, Polynomial
from tests.laws import ising

SCHEDULES = {"linear": Linear(), "cosine": Cosine(), "log-linear": LogLinear(0.01), "polynomial": Polynomial(1.7)}
PROCESSES = {
    **{f"absorbing {name}": Absorbing(4, schedule) for name, schedule in SCHEDULES.items()},
    **{f"uniform {name}": Uniform(4, schedule) for name, schedule in SCHEDULES.items()},
}
TIMES = [(0.0, 0.4), (0.2, 0.5), (0.01, 0.99), (0.6, 0.61), (0.3, 1.0)]


def at(value: float):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_transitions_are_stochastic_and_compose(process):
    for s, t in TIMES:
        Q = process.between(at(s), at(t))
        assert torch.allclose(Q.sum(-1), torch.ones(process.states, dtype=torch.float64), atol=1e-12)
        assert bool((Q >= 0).all())
        middle = at((s + t) / 2)
        assert torch.allclose(process.between(at(s), middle) @ process.between(middle, at(t)), Q, atol=1e-10)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize(("s", "t"), TIMES)
def test_bridge_posterior_and_kernel_are_bayes(process, s, t):
    V, S = process.vocabulary, process.states
    q_s, Q = process.marginal(at(s)), process.between(at(s), at(t))
    q_t = process.marginal(at(t))
    x_t = torch.arange(S).unsqueeze(0)
    p_x0 = torch.softmax(torch.arange(V, dtype=torch.float64), 0).expand(1, S, V)
    expected = torch.zeros(S, S, dtype=torch.float64)
    reached = [j for j in range(S) if bool((q_t[:, j] > 0).any())]
    for j in reached:
        able = q_t[:, j] > 0
        p = torch.where(able, p_x0[0, 0], 0.0) / torch.where(able, p_x0[0, 0], 0.0).sum()
        for v in range(V):
            if not able[v]:
                continue
            joint = torch.stack([q_s[v, i] * Q[i, j] for i in range(S)])
            bridge = joint / joint.sum()
            ours = process.bridge(x_t[:, j : j + 1], torch.tensor([[v]]), at(s), at(t))[0, 0]
            assert torch.allclose(ours, bridge, atol=1e-12)
            expected[j] += p[v] * bridge
    for given in ((at(s), at(t)), (at(s).reshape(1), at(t).reshape(1))):  # a time for all, and one a row
        assert torch.allclose(process.posterior(x_t, p_x0, *given)[0][reached], expected[reached], atol=1e-10)
        generic = TokenProcess.posterior(process, x_t, p_x0, *given)[0]
        assert torch.allclose(generic[reached], expected[reached], atol=1e-10)
        for i in range(S):
            kernel = process.log_kernel(x_t, torch.full_like(x_t, i), *given).exp()[0]
            able = q_t.T > 0
            p = torch.where(able, p_x0[0], 0.0)
            ours = (kernel * p / p.sum(-1, keepdim=True)).sum(-1)
            assert torch.allclose(ours[reached], expected[reached, i], atol=1e-10)


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_likelihood_and_corruption_follow_the_marginal(process):
    n, V, S = 40_000, process.vocabulary, process.states
    t = torch.tensor([0.35, 0.8], dtype=torch.float64)
    marginal = process.marginal(t)
    x_t = torch.arange(S).expand(2, S)
    assert torch.allclose(process.likelihood(x_t, t), marginal.transpose(1, 2), atol=1e-12)
    for v in range(V):
        u = uniform(v, torch.arange(2).unsqueeze(-1), 0, torch.arange(n), Stream.CORRUPT)
        drawn = process.corrupt(torch.full((2, n), v), t, u)
        for b in range(2):
            frequency = torch.bincount(drawn[b], minlength=S).double() / n
            error = (marginal[b, v] * (1 - marginal[b, v]) / n).sqrt()
            assert bool(((frequency - marginal[b, v]).abs() <= 4.5 * error + 1e-12).all())


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_rate_is_the_derivative_of_the_transitions(process):
    t, h = at(0.4), 1e-6
    slope = (process.between(t, t + h) - torch.eye(process.states, dtype=torch.float64)) / h
    assert torch.allclose(process.rate(t), slope, atol=1e-4)


@pytest.mark.parametrize("name", ["absorbing linear", "uniform cosine"])
def test_exact_denoiser_is_bayes_under_any_process(name):
    law = ising()
    process = Absorbing(3, Linear()) if name.startswith("absorbing") else Uniform(3, Cosine())
    x_t, t = torch.tensor([[0, 2, 1, 1], [process.states - 1, 0, 2, process.states - 1]]), at(0.6).expand(2)
    ours = ExactDenoiser(law, process)(x_t, t).exp()
    for b in range(2):
        table = torch.zeros(4, 3, dtype=torch.float64)
        for outcome, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True):
            q = p
            for i, v in enumerate(outcome):
                q *= float(process.marginal(at(0.6))[v, x_t[b, i]])
            for i, v in enumerate(outcome):
                table[i, v] += q
        assert torch.allclose(ours[b], table / table.sum(-1, keepdim=True), atol=1e-12)
    if name.startswith("absorbing"):
        assert torch.allclose(ours, ExactDenoiser(law)(x_t).exp(), atol=1e-12)
