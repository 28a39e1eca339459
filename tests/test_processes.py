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


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_a_time_a_position_is_the_time_of_each_position_on_its_own(process):
    check_local_times(process)


def check_local_times(process, grid: int = 0):
    """Every function at times (B, L), on a grid k/T if one is given, is entry by entry that function at the entry's time."""
    generator = torch.Generator().manual_seed(4)
    B, L, V = 2, 3, process.vocabulary
    if grid:
        steps = torch.randint(1, grid, (B, L), generator=generator)
        t, s = steps.double() / grid, (steps - 1).double() / grid
    else:
        t = 0.05 + 0.9 * torch.rand(B, L, dtype=torch.float64, generator=generator)
        s = t * torch.rand(B, L, dtype=torch.float64, generator=generator)
        s[0, 0] = 0.0
    x_0 = torch.randint(V, (B, L), generator=generator)
    u = torch.rand(B, L, dtype=torch.float64, generator=generator)
    x_t = process.corrupt(x_0, t, u)
    x_s = process.corrupt(x_0, s, u)
    p_x0 = torch.softmax(torch.randn(B, L, V, dtype=torch.float64, generator=generator), -1)
    ours = {
        "between": process.between(s, t),
        "marginal": process.marginal(t),
        "leaving": process.leaving(x_s, s, t),
        "arriving": process.arriving(x_t, s, t),
        "likelihood": process.likelihood(x_t, t),
        "bridge": process.bridge(x_t, x_0, s, t),
        "posterior": process.posterior(x_t, p_x0, s, t),
        "kernel": process.log_kernel(x_t, x_s, s, t).exp(),
        "spread": process.spread(p_x0, t),
    }
    for b in range(B):
        for i in range(L):
            here = (slice(b, b + 1), slice(i, i + 1))
            s_bi, t_bi = s[b, i], t[b, i]
            assert torch.equal(process.corrupt(x_0[here], t_bi, u[here])[0, 0], x_t[b, i])
            alone = {
                "between": process.between(s_bi, t_bi),
                "marginal": process.marginal(t_bi),
                "leaving": process.between(s_bi, t_bi)[x_s[b, i]],
                "arriving": process.between(s_bi, t_bi)[:, x_t[b, i]],
                "likelihood": process.marginal(t_bi)[:, x_t[b, i]],
                "bridge": process.bridge(x_t[here], x_0[here], s_bi, t_bi)[0, 0],
                "posterior": process.posterior(x_t[here], p_x0[here], s_bi, t_bi)[0, 0],
                "kernel": process.log_kernel(x_t[here], x_s[here], s_bi, t_bi).exp()[0, 0],
                "spread": p_x0[b, i] @ process.marginal(t_bi),
            }
            for name, value in alone.items():
                assert torch.allclose(ours[name][b, i], value, atol=1e-12), name
    if not grid:  # a time a row is a time a position that is the same along the row
        row_s, row_t = s.min(-1).values, t.max(-1).values
        for shape_s, shape_t in ((row_s, row_t), (row_s, row_t[:, None].expand(B, L)), (row_s[:, None].expand(B, L), row_t)):
            whole = process.posterior(x_t, p_x0, shape_s, shape_t)
            for b in range(B):
                one = process.posterior(x_t[b : b + 1], p_x0[b : b + 1], row_s[b], row_t[b])
                assert torch.allclose(whole[b], one[0], atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_gradients_of_the_posterior_are_finite_up_to_both_ends(process, dtype):
    check_gradients(process, dtype, [(0.0, 1e-12), (0.0, 1e-3), (0.4, 0.6), (1 - 1e-3, 1.0), (0.0, 1.0), (0.0, 0.0)])


def check_gradients(process, dtype, times):
    """D3PM's loss term, −Σ bridge · log posterior, from logits of any floating type: value and gradient are finite."""
    V = process.vocabulary
    for s, t in times:
        x_0 = torch.arange(V).unsqueeze(0)
        x_t = process.corrupt(x_0, at(t), torch.full((1, V), 0.3, dtype=torch.float64))
        logits = torch.linspace(-2, 2, V * V).reshape(1, V, V).to(dtype).requires_grad_()
        posterior = process.posterior(x_t, torch.softmax(logits, -1), at(s), at(t))
        assert torch.allclose(
            posterior.sum(-1), torch.ones(1, V, dtype=torch.float64), atol=2e-2 if dtype == torch.bfloat16 else 1e-5
        )
        bridge = process.bridge(x_t, x_0, at(s), at(t))
        loss = -torch.where(bridge > 0, bridge * posterior.clamp(min=1e-30).log(), 0.0).sum()
        loss.backward()
        assert bool(torch.isfinite(loss))
        assert bool(torch.isfinite(logits.grad).all()), (s, t)
