"""Every parameterisation against brute force, and back."""

import itertools

import pytest
import torch
from chains import RandomChain, all_states, at, law_of_3

from seqdiff.denoisers.exact import ExactDenoiser
from seqdiff.errors import ConfigError
from seqdiff.parameterisations import (
    PARAMETERISATIONS,
    CanonicalDenoiser,
    leave_one_out_from_p,
    logits_from_p,
    p_from_leave_one_out,
    p_from_logits,
    p_from_ratio,
    p_from_velocity,
    ratio_from_p,
    velocity_from_p,
)
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Cosine, Linear, LogLinear

PROCESSES = {
    "absorbing": Absorbing(3, Linear()),
    "absorbing cosine": Absorbing(5, Cosine()),
    "uniform": Uniform(3, Linear()),
    "uniform log-linear": Uniform(5, LogLinear(0.05)),
    "chain": RandomChain(),
    "chain with one state more": RandomChain(3, 4),
}
TIMES = [0.03, 0.5, 0.9]


def random_p(process, x_t, t, seed=0):
    """A random law over the clean tokens at every position, only on those from which x_t can come."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(*x_t.shape, process.vocabulary, generator=generator, dtype=torch.float64)
    return p_from_logits(process, logits, x_t, t)


@pytest.fixture(params=PROCESSES, scope="module")
def process(request):
    return PROCESSES[request.param]


@pytest.mark.parametrize("t", [*TIMES, [0.2, 0.7]])
def test_round_trips(process, t):
    t = torch.tensor(t, dtype=torch.float64)
    x_t = torch.arange(process.states).repeat(2, 2)
    p = random_p(process, x_t, t)
    assert torch.allclose(p_from_logits(process, logits_from_p(p), x_t, t), p, atol=1e-10)
    assert torch.allclose(p_from_ratio(process, ratio_from_p(process, p, x_t, t), x_t, t), p, atol=1e-10)
    loo = leave_one_out_from_p(process, p, x_t, t)
    assert torch.allclose(p_from_leave_one_out(process, loo.log(), x_t, t), p, atol=1e-10)
    full = (process.likelihood(x_t, t) > 0).all(-1)
    other = torch.softmax(torch.randn(*p.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64), -1)
    back = leave_one_out_from_p(process, p_from_leave_one_out(process, other.log(), x_t, t), x_t, t)
    assert bool(full.any()) and torch.allclose(back[full], other[full], atol=1e-10)
    if not isinstance(process, RandomChain):
        assert torch.allclose(p_from_velocity(process, velocity_from_p(process, p, x_t, t), x_t, t), p, atol=1e-10)


@pytest.mark.parametrize("t", TIMES)
def test_closed_forms_of_the_ratio_equal_the_matrix_form(process, t):
    x_t = torch.arange(process.states).unsqueeze(0)
    p = random_p(process, x_t, at(t))
    s = ratio_from_p(process, p, x_t, at(t))
    Q = process.marginal(at(t))
    for j in range(process.states):
        able = Q[:, j] > 0
        w = torch.where(able, p[0, j], 0.0) / torch.where(able, Q[:, j], 1.0)
        assert torch.allclose(s[0, j], Q.T @ w, atol=1e-12)
        assert float(s[0, j, j]) == pytest.approx(1, abs=1e-12)
        solved = torch.linalg.lstsq(Q.T, s[0, j].unsqueeze(-1)).solution.squeeze(-1)
        ours = p_from_ratio(process, s, x_t, at(t))[0, j]
        assert torch.allclose(ours[able], (solved * Q[:, j])[able], atol=1e-9)


def test_under_the_absorbing_process_the_ratio_at_a_mask_has_radds_factor():
    schedule = LogLinear(0.01)
    process, t = Absorbing(4, schedule), at(0.3)
    x_t = torch.full((1, 1), 4)
    p = random_p(process, x_t, t)
    sigma = -torch.log(1 - (1 - schedule.eps) * t)
    s = ratio_from_p(process, p, x_t, t)
    assert torch.allclose(s[..., :4], (-sigma).exp() / (1 - (-sigma).exp()) * p, atol=1e-13)
    assert float(s[0, 0, 4]) == pytest.approx(1, abs=1e-14)


def q_t(process, law, t):
    """q_t(x) of every state sequence of length 3, by enumeration: {x: probability}."""
    Q = process.marginal(t).tolist()
    out = {}
    for x in itertools.product(range(process.states), repeat=3):
        out[x] = sum(
            p * Q[o[0]][x[0]] * Q[o[1]][x[1]] * Q[o[2]][x[2]]
            for o, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True)
        )
    return out


THREE = [PROCESSES[name] for name in ("absorbing", "uniform", "chain", "chain with one state more")]


@pytest.mark.parametrize("process", THREE, ids=lambda p: f"{type(p).__name__}{p.states}")
def test_the_ratio_is_that_of_the_marginals(process):
    law, t = law_of_3(), at(0.4)
    q, x_t = q_t(process, law, t), all_states(process, 3)
    s = ratio_from_p(process, ExactDenoiser(law, process)(x_t, t.expand(len(x_t))).exp(), x_t, t)
    checked = 0
    for row, x in enumerate(x_t.tolist()):
        for i, y in itertools.product(range(3), range(process.states)):
            if isinstance(process, Absorbing) and x[i] != process.mask and y != x[i]:
                continue  # at a revealed token p(x0 | x_t) holds nothing of the other states
            other = (*x[:i], y, *x[i + 1 :])
            assert float(s[row, i, y]) == pytest.approx(q[other] / q[tuple(x)], abs=1e-10)
            checked += 1
    assert checked >= 27 * 3 * 3


@pytest.mark.parametrize("process", THREE[1:], ids=lambda p: f"{type(p).__name__}{p.states}")
def test_leave_one_out_is_the_law_given_the_other_positions(process):
    law, t = law_of_3(), at(0.4)
    x_t = all_states(process, 3)
    Q = process.marginal(t)
    loo = torch.zeros(len(x_t), 3, 3, dtype=torch.float64)
    for o, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True):
        each = torch.stack([Q[o[i], x_t[:, i]] for i in range(3)], -1)
        for i in range(3):
            loo[:, i, o[i]] += p * each.prod(-1) / each[:, i]
    exact = ExactDenoiser(law, process)(x_t, t.expand(len(x_t))).exp()
    assert torch.allclose(p_from_leave_one_out(process, loo.log(), x_t, t), exact, atol=1e-12)
    ours = leave_one_out_from_p(process, exact, x_t, t)
    assert torch.allclose(ours, loo / loo.sum(-1, keepdim=True), atol=1e-12)


@pytest.mark.parametrize("process", THREE[:2], ids=lambda p: type(p).__name__)
def test_the_velocity_carries_the_marginals_and_so_does_the_reverse_rate(process):
    law, x_t = law_of_3(), all_states(process, 3)
    t = at(0.4).requires_grad_()
    Q = process.marginal(t)
    probability = sum(
        p * Q[o[0], x_t[:, 0]] * Q[o[1], x_t[:, 1]] * Q[o[2], x_t[:, 2]]
        for o, p in zip(law.outcomes.tolist(), law.probability, strict=True)
    )
    slope = torch.stack([torch.autograd.grad(q, t, retain_graph=True)[0] for q in probability])
    q, t = probability.detach(), t.detach()
    p = ExactDenoiser(law, process)(x_t, t.expand(len(x_t))).exp()
    rate = process.rate(t).T[x_t] * ratio_from_p(process, p, x_t, t)
    rate = rate - torch.nn.functional.one_hot(x_t, process.states) * rate.sum(-1, keepdim=True)
    u = velocity_from_p(process, p, x_t, t)
    assert torch.allclose(u.sum(-1), torch.zeros(()).double(), atol=1e-12)
    place = {tuple(x): k for k, x in enumerate(x_t.tolist())}
    for field in (u, rate):
        flow = torch.zeros_like(q)
        for k, x in enumerate(x_t.tolist()):
            for i, y in itertools.product(range(3), range(process.states)):
                flow[place[(*x[:i], y, *x[i + 1 :])]] += q[k] * field[k, i, y]
        assert torch.allclose(flow, -slope, atol=1e-12)
    assert torch.allclose(u, rate, atol=1e-12) == isinstance(process, Absorbing)


def test_logits_of_impossible_tokens_are_dropped_and_revealed_tokens_carry_over():
    process, logits = Absorbing(3, Linear()), torch.tensor([[[0.0, 1.0, 2.0]] * 4], requires_grad=True)
    x_t = torch.tensor([[0, 1, 3, 3]])
    p = p_from_logits(process, logits, x_t, at(0.5))
    assert torch.equal(p[0, :2], torch.eye(3, dtype=torch.float64)[:2])
    assert torch.allclose(p[0, 2], torch.softmax(logits[0, 2].double(), -1))
    start = p_from_logits(process, logits, x_t, at(0.0))
    assert torch.allclose(start[0, 2], p[0, 2]) and torch.equal(start[0, :2], p[0, :2])
    (p[0, :, 0] + start[0, :, 0]).sum().backward()
    assert bool(logits.grad.isfinite().all()) and bool((logits.grad[0, :2] == 0).all()) and bool((logits.grad[0, 2] != 0).all())


OUTPUTS = {
    "logits": lambda process, p, x_t, t: p.log() + 3,
    "leave-one-out": lambda process, p, x_t, t: leave_one_out_from_p(process, p, x_t, t).log() - 1,
    "ratio": ratio_from_p,
    "velocity": velocity_from_p,
}


@pytest.mark.parametrize("kind", PARAMETERISATIONS)
@pytest.mark.parametrize("process", THREE[:2], ids=lambda p: type(p).__name__)
def test_a_network_of_any_kind_becomes_the_same_denoiser(process, kind):
    law, x_t = law_of_3(), all_states(process, 3)
    t = torch.linspace(0.1, 0.9, len(x_t), dtype=torch.float64)
    exact = ExactDenoiser(law, process)

    def network(x_t, t, label, lengths, positions):
        here = x_t if positions is None else x_t.gather(1, positions)
        return OUTPUTS[kind](process, exact(x_t, t, positions=positions).exp(), here, t)

    ours = CanonicalDenoiser(network, process, kind)
    assert torch.allclose(ours(x_t, t).exp(), exact(x_t, t).exp(), atol=1e-10)
    positions = torch.tensor([[2, 0]]).expand(len(x_t), 2)
    assert torch.allclose(ours(x_t, t, positions=positions).exp(), exact(x_t, t, positions=positions).exp(), atol=1e-10)


def test_what_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="expected one of logits, leave-one-out, ratio, velocity; got 'eps'"):
        CanonicalDenoiser(lambda *_: torch.zeros(()), PROCESSES["uniform"], "eps")
    x_t = torch.zeros(1, 1, dtype=torch.int64)
    with pytest.raises(ConfigError, match=r"expected a mixture path .* got RandomChain; use the ratio"):
        velocity_from_p(RandomChain(), torch.ones(1, 1, 3), x_t, at(0.5))


def test_a_ratio_that_no_law_has_still_gives_probabilities():
    for process in THREE:
        assert isinstance(process, TokenProcess)
        x_t = torch.arange(process.states).unsqueeze(0)
        s = torch.rand(1, process.states, process.states, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        p = p_from_ratio(process, s, x_t, at(0.5))
        assert bool((p >= 0).all()) and torch.allclose(p.sum(-1), torch.ones(()).double())
