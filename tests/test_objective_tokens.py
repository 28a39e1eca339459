"""Objectives of any process against their formulas, and finite everywhere: values, gradients, both ends of time."""

import itertools
import math

import pytest
import torch
from chains import Blunt, RandomChain, all_states, at, expected, law_of_3

from seqdiff.noise import Stream, uniform
from seqdiff.objective import (
    any_order_loss,
    bert_loss,
    cross_entropy,
    discrete_vlb,
    draw_pair,
    hide,
    lambda_dce,
    masked_cross_entropy,
    masked_step_loss,
    mgdm_loss,
    prior_kl,
    rdm_loss,
    score_entropy,
    step_kl,
    t_dse,
    training_loss,
    weighted,
)
from seqdiff.parameterisations import p_from_leave_one_out, p_from_logits, ratio_from_p
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Cosine, Linear, LogLinear

PROCESSES = {
    "absorbing": Absorbing(3, Cosine()),
    "uniform": Uniform(3, Linear()),
    "chain": RandomChain(),
    "chain with one state more": RandomChain(3, 4),
}


@pytest.fixture(params=PROCESSES, scope="module")
def process(request):
    return PROCESSES[request.param]


def rows(process, t, L=3):
    """Every x_t with some x_0 it can come from and a random p(x0 | x_t)."""
    x_t = all_states(process, L)
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(len(x_t), L, 3, generator=generator, dtype=torch.float64)
    x_0 = torch.where(x_t < 3, x_t, torch.randint(3, x_t.shape, generator=generator))
    if not isinstance(process, Absorbing):
        x_0 = x_0.roll(1, -1)
    return x_0, x_t, p_from_logits(process, logits, x_t, t)


def test_step_kl_is_the_divergence_of_the_bridge_from_the_posterior(process):
    s, t = at(0.3), at(0.6)
    x_0, x_t, p = rows(process, t)
    Q_s, Q, Q_t = process.marginal(s), process.between(s, t), process.marginal(t)
    ours = step_kl(process, p, x_0, x_t, s, t)
    for b in range(0, len(x_t), 7):
        total = 0.0
        for i in range(3):
            j, v0 = int(x_t[b, i]), int(x_0[b, i])
            bridge = [Q_s[:, y] * Q[y, j] / torch.where(Q_t[:, j] > 0, Q_t[:, j], 1.0) for y in range(process.states)]
            for y in range(process.states):
                q, mixed = float(bridge[y][v0]), float((p[b, i] * bridge[y]).sum())
                total += q * float(torch.log(at(q / mixed))) if q > 0 else 0.0
        assert float(ours[b]) == pytest.approx(total, abs=1e-10)
    last = step_kl(process, p, x_0, x_t, at(0.0), t)
    assert torch.allclose(last, -p.gather(-1, x_0.unsqueeze(-1)).log().sum((-1, -2)), atol=1e-10)


def test_the_mean_of_the_vlb_over_steps_is_its_sum(process):
    T, x_0 = 4, law_of_3().outcomes
    denoiser = Blunt(law_of_3(), process)

    def vlb(x_0, x_t, k):
        t = at(k / T).expand(len(x_t))
        p = p_from_logits(process, denoiser(x_t, t), x_t, t)
        return discrete_vlb(process, p, x_0, x_t, torch.full((len(x_t),), k), T)

    def one(x_0, x_t, k):
        s, t = at((k - 1) / T), at(k / T)
        return step_kl(process, p_from_logits(process, denoiser(x_t, t.expand(len(x_t))), x_t, t), x_0, x_t, s, t)

    mean = sum(expected(process, x_0, at(k / T), lambda a, b, k=k: vlb(a, b, k)) for k in range(1, T + 1)) / T
    total = sum(expected(process, x_0, at(k / T), lambda a, b, k=k: one(a, b, k)) for k in range(1, T + 1))
    total = total + prior_kl(process, x_0)
    assert torch.allclose(mean, total, atol=1e-10)
    law = law_of_3()
    assert float((law.probability * (total + law.probability.log())).sum()) > 0


def test_prior_kl_is_the_divergence_of_the_end_from_the_prior():
    chain, x_0 = RandomChain(3, 4), torch.tensor([[0, 2], [1, 1]])
    q, prior = chain.marginal(at(1.0)), chain.prior_law()
    kl = (q * (q / prior).log()).sum(-1)
    assert torch.allclose(prior_kl(chain, x_0), kl[x_0].sum(-1), atol=1e-12) and float(kl.min()) > 1e-7
    assert torch.equal(prior_kl(Absorbing(3, Linear()), x_0), torch.zeros(2, dtype=torch.float64))
    assert bool(prior_kl(Absorbing(3, LogLinear()), x_0).isinf().all())  # clean tokens are left where masks begin
    assert bool((prior_kl(Uniform(3, LogLinear()), x_0) > 0).all())


def test_score_entropy_is_its_formula(process):
    t = at(0.6)
    x_0, x_t, p = rows(process, t)
    s = ratio_from_p(process, p, x_t, t)
    R, Q = process.rate(t), process.marginal(t)
    ours = score_entropy(process, p, x_0, x_t, t)
    for b in range(0, len(x_t), 5):
        total = 0.0
        for i in range(3):
            x = int(x_t[b, i])
            for y in set(range(process.states)) - {x}:
                r = Q[x_0[b, i], y] / Q[x_0[b, i], x]
                K = r * (r.log() - 1) if r > 0 else 0.0
                total += float(R[y, x] * (s[b, i, y] - (r * s[b, i, y].log() if r > 0 else 0.0) + K))
        assert float(ours[b]) == pytest.approx(total, abs=1e-9)
    per_row = score_entropy(process, p, x_0, x_t, t.expand(len(x_t)))
    assert torch.allclose(per_row, ours, atol=1e-12)


def test_what_is_not_scored_counts_nothing_and_may_hold_any_id(process):
    t = at(0.6).expand(27 if process.states == 3 else 64)
    x_0, x_t, p = rows(process, t)
    scored = torch.tensor([True, False, True]).expand_as(x_t)
    pad = torch.tensor([0, 9, 0])
    logits = p.log().clamp(min=-50)
    for f in (
        lambda x_0, x_t, m: step_kl(process, p, x_0, x_t, t / 2, t, m),
        lambda x_0, x_t, m: score_entropy(process, p, x_0, x_t, t, m),
        lambda x_0, x_t, m: prior_kl(process, x_0, m),
        lambda x_0, x_t, m: cross_entropy(logits, x_0, m),
        lambda x_0, x_t, m: rdm_loss(logits, x_0, x_t, t, m),
    ):
        one, two = f(x_0, x_t, scored), f(x_0 + pad, x_t + pad, scored)
        assert torch.equal(one, two)
        rest = f(x_0, x_t, ~scored)
        assert torch.allclose(one + rest, f(x_0, x_t, None), atol=1e-10)


def test_a_pair_is_one_path_at_two_times(process):
    n, s, t = 60_000, at(0.25), at(0.6)
    columns = torch.arange(n)
    u = [uniform(3, 0, k, columns, Stream.CORRUPT).unsqueeze(0) for k in range(2)]
    for v in range(3):
        x_s, x_t = draw_pair(process, torch.full((1, n), v), s, t, *u)
        joint = torch.bincount((x_s * process.states + x_t)[0], minlength=process.states**2).double() / n
        law = (process.marginal(s)[v].unsqueeze(-1) * process.between(s, t)).flatten()
        assert bool(((joint - law).abs() <= 4.5 * (law * (1 - law) / n).sqrt() + 1e-12).all())


def test_hide_masks_n_free_positions_nested_and_all_sets_alike():
    n = 30_000
    u = uniform(0, torch.arange(n).unsqueeze(-1), 0, torch.arange(4), Stream.CORRUPT)
    x_0, free = torch.zeros(n, 4, dtype=torch.int64), torch.tensor([True, True, False, True]).expand(n, 4)
    two, one = (hide(x_0, 7, torch.full((n,), k), u, free) == 7 for k in (2, 1))
    assert bool((two.sum(-1) == 2).all()) and bool((one.sum(-1) == 1).all()) and bool((one <= two).all())
    assert not bool(two[:, 2].any())
    left_out = torch.stack([(~two[:, i]).double().mean() for i in (0, 1, 3)])
    assert bool(((left_out - 1 / 3).abs() < 4.5 * (2 / 9 / n) ** 0.5).all())


def test_the_masked_losses_are_their_formulas():
    process, t, s = Absorbing(3, Cosine()), at(0.6), at(0.25)
    x_0, x_t = torch.tensor([[0, 2, 1, 1]]), torch.tensor([[3, 2, 3, 3]])
    logits = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = [-float(torch.log_softmax(logits[0, i], -1)[x_0[0, i]]) for i in (0, 2, 3)]
    rate = process.schedule.mask_rate
    assert float(bert_loss(process, logits, x_0, x_t)) == pytest.approx(sum(u))
    assert float(lambda_dce(process, logits, x_0, x_t, at(0.4))) == pytest.approx(sum(u) / 0.4)
    assert float(any_order_loss(process, logits, x_0, x_t, torch.tensor([4]))) == pytest.approx(4 / 3 * sum(u))
    assert float(masked_step_loss(process, logits, x_0, x_t, s, t)) == pytest.approx(float(1 - rate(s) / rate(t)) * sum(u))
    focal = sum(0.25 * (1 - float(torch.exp(at(-v)))) ** 2 * v for v in u)
    assert float(mgdm_loss(process, logits, x_0, x_t, at(0.5))) == pytest.approx(0.5 * focal)
    assert float(mgdm_loss(process, logits, x_0, x_t, at(0.5), 1.0, 0.0)) == pytest.approx(0.5 * sum(u))


def test_weighted_terms_keep_their_names():
    terms = weighted({"cross_entropy": 0.01}, vlb=torch.tensor([2.0]), cross_entropy=torch.tensor([3.0]))
    assert {name: float(value) for name, value in terms.items()} == pytest.approx({"vlb": 2.0, "cross_entropy": 0.03})


def losses(process, logits, x_0, x_t, t):
    """Every objective that the process has, by name."""
    s, lengths = (t - 0.01).clamp(min=0), torch.full((len(x_0),), x_0.shape[1])
    to_p = p_from_logits if isinstance(process, Absorbing) else p_from_leave_one_out
    p = to_p(process, logits, x_t, t)
    out = {
        "step_kl": step_kl(process, p, x_0, x_t, s, t),
        "reconstruction": step_kl(process, p, x_0, x_t, torch.zeros_like(t), t),
        "score_entropy": score_entropy(process, p, x_0, x_t, t),
        "cross_entropy": cross_entropy(logits, x_0),
        "rdm": rdm_loss(logits, x_0, x_t, s),
    }
    if isinstance(process, Absorbing):
        out |= {
            "training": training_loss(process, logits, x_0, x_t, lengths),
            "mdlm": masked_cross_entropy(process, logits, x_0, x_t, t),
            "step": masked_step_loss(process, logits, x_0, x_t, s, t),
            "t_dse": t_dse(process, logits.float().log_softmax(-1), x_0, x_t, t),
            "lambda": lambda_dce(process, logits, x_0, x_t, t),
            "any_order": any_order_loss(process, logits, x_0, x_t, lengths),
            "bert": bert_loss(process, logits, x_0, x_t),
            "mgdm": mgdm_loss(process, logits, x_0, x_t, process.schedule.weight(t)),
        }
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 1.0, 60.0])
@pytest.mark.parametrize("schedule", [Linear(), Cosine(), LogLinear()], ids=str)
@pytest.mark.parametrize("kind", [Absorbing, Uniform])
def test_values_and_gradients_are_finite_at_both_ends_of_time(kind, schedule, scale, dtype):
    process = kind(3, schedule)
    generator = torch.Generator().manual_seed(1)
    for time in (1e-15, 1e-9, 1e-4, 0.5, 1 - 1e-4, 1 - 1e-9, 1 - 2**-53, 1.0):
        t = at(time).expand(64)
        x_0 = torch.randint(3, (64, 3), generator=generator)
        x_t = process.corrupt(x_0, t, torch.rand(64, 3, generator=generator, dtype=torch.float64))
        x_t[:8] = process.states - 1 if kind is Absorbing else x_t[:8]  # the rare events of small t, too
        x_t[8:16] = (x_0[8:16] + 1) % 3 if kind is Uniform else x_t[8:16]
        logits = (scale * torch.randn(64, 3, 3, generator=generator)).to(dtype).requires_grad_()
        for name, loss in losses(process, logits, x_0, x_t, t).items():
            (gradient,) = torch.autograd.grad(loss.sum(), logits, retain_graph=True)
            assert bool(loss.isfinite().all()), (name, time)
            assert bool(gradient.isfinite().all()), (name, time)
            assert bool((loss > -1e-5).all()), (name, time)


@pytest.mark.parametrize("kind", [Absorbing, Uniform])
def test_score_entropy_keeps_its_digits_towards_both_ends(kind):
    """Against its limits: 1/t · Σ −log p of the masked, log(1/t)/t of a wrong token as t → 0; continuous at t = 1."""
    process = kind(3, Linear())
    logits = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x_0 = torch.tensor([[0, 1, 2]])
    x_t = torch.tensor([[3, 3, 2]]) if kind is Absorbing else torch.tensor([[1, 2, 2]])
    to_p = p_from_logits if kind is Absorbing else p_from_leave_one_out

    def value(t):
        return float(score_entropy(process, to_p(process, logits, x_t, at(t)), x_0, x_t, at(t)))

    ends = [value(1 - 10.0**-k) for k in (4, 5, 6, 9)]
    assert ends[2] == pytest.approx(ends[1], abs=2e-4) and ends[3] == pytest.approx(ends[2], abs=1e-5)
    if kind is Absorbing:
        for t in (1e-3, 1e-8, 1e-14):
            assert value(t) * t == pytest.approx(float(bert_loss(process, logits, x_0, x_t)), rel=1e-9)
    else:
        small = [value(t) * t for t in (1e-6, 1e-9, 1e-12)]  # each of the two wrong positions grows as log(1/t)/t
        assert [b - a for a, b in itertools.pairwise(small)] == pytest.approx([2 * math.log(1000)] * 2, abs=1e-4)
