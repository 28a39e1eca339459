"""What ties the published systems together, in float64 by enumeration: V = 3, L = 3, a wrong denoiser where one serves."""

import itertools
from functools import partial

import pytest
import torch
from chains import Blunt, RandomChain, at, expected, integral, law_of_3, law_of_x_t
from laws import p_x0 as brute_p_x0

from seqdiff.denoisers.exact import ExactDenoiser
from seqdiff.objective import (
    any_order_loss,
    bert_loss,
    cross_entropy,
    hide,
    lambda_dce,
    masked_cross_entropy,
    masked_step_loss,
    prior_kl,
    rdm_loss,
    score_entropy,
    step_kl,
    t_dse,
)
from seqdiff.parameterisations import p_from_logits, velocity_from_p
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Cosine, Linear, LogLinear, Polynomial

LAW = law_of_3()
X_0 = LAW.outcomes
NLL = -LAW.probability.log()
BLUNT = Blunt(LAW, Absorbing(3, Linear()))
BLUNT_UNIFORM = Blunt(LAW, Uniform(3, Linear()))
SCHEDULES = {"linear": Linear(), "cosine": Cosine(), "polynomial": Polynomial(2.0), "log-linear": LogLinear(0.05)}


def close(a, b, tolerance=1e-10):
    return float((a - b).abs().max()) < tolerance


def by_score_entropy(process, denoiser, x_0, x_t, t):
    t = t.expand(len(x_t))
    return score_entropy(process, p_from_logits(process, denoiser(x_t, t), x_t, t), x_0, x_t, t)


def continuous(process, f, nodes=40, power=1):
    """∫ E f(x_0, x_t, t) dt for every x_0, with α_1 · CE(all masked) where a masked schedule ends early."""
    total = integral(lambda t: expected(process, X_0, t, lambda x_0, x_t: f(x_0, x_t, t)), nodes, power)
    if isinstance(process, Absorbing):
        x_1 = torch.full_like(X_0, process.mask)
        total = total + process.schedule.alpha(at(1.0)) * bert_loss(process, BLUNT(x_1), X_0, x_1)
    return total


def mdlm(process, x_0, x_t, t):
    return masked_cross_entropy(process, BLUNT(x_t), x_0, x_t, t)


def mean_over_orders():
    """−log p averaged over the 3! orders, in plain Python from the blunt denoiser's table."""
    out = []
    for x in X_0.tolist():
        total = 0.0
        for order in itertools.permutations(range(3)):
            now = [3, 3, 3]
            for i in order:
                total += -float(torch.tensor(blunt_table(tuple(now))[i][x[i]], dtype=torch.float64).log()) / 6
                now[i] = x[i]
        out.append(total)
    return torch.tensor(out, dtype=torch.float64)


def blunt_table(x):
    return [[0.7 * p + 0.3 * (v + 1) / 6 for v, p in enumerate(row)] for row in brute_p_x0(LAW, x)]


ORDERS = mean_over_orders()


class ByMatrices(Absorbing):
    """The absorbing process as D3PM writes it: bridge and posterior from products of transition matrices."""

    bridge = TokenProcess.bridge
    posterior = TokenProcess.posterior


def d3pm_step(process, x_0, x_t, s, t):
    times = t.expand(len(x_t))
    denoiser = BLUNT if isinstance(process, Absorbing) else BLUNT_UNIFORM
    return step_kl(process, p_from_logits(process, denoiser(x_t, times), x_t, t), x_0, x_t, s, t)


def T_steps(process, T, step):
    """Σ_k E step(x_0, x_t, s, t) for every x_0."""
    total = torch.zeros(len(X_0), dtype=torch.float64)
    for k in range(1, T + 1):
        s, t = at((k - 1) / T), at(k / T)
        total += expected(process, X_0, t, lambda x_0, x_t, s=s, t=t: step(process, x_0, x_t, s, t))
    return total


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", [1, 2, 5])
def test_d3pm_absorbing_is_mdlm_at_T_steps(name, T):
    schedule = SCHEDULES[name]
    mdlm_steps = T_steps(Absorbing(3, schedule), T, lambda p, x_0, x_t, s, t: masked_step_loss(p, BLUNT(x_t), x_0, x_t, s, t))
    assert close(T_steps(ByMatrices(3, schedule), T, d3pm_step), mdlm_steps)
    if name == "linear" and T == 1:  # one step: the product of the marginals, all masked
        x_1 = torch.full_like(X_0, 3)
        assert close(mdlm_steps, bert_loss(Absorbing(3, schedule), BLUNT(x_1), X_0, x_1))


@pytest.mark.parametrize("process", [Absorbing(3, Linear()), Uniform(3, Linear())], ids=["absorbing", "uniform"])
def test_the_T_step_bound_falls_to_the_continuous_one_as_1_over_T(process):
    if isinstance(process, Absorbing):
        limit, start = continuous(process, partial(mdlm, process)), 8
    else:
        limit, start = continuous(process, partial(by_score_entropy, process, BLUNT_UNIFORM), 64, 4), 32
    steps = [start, 2 * start, 4 * start]
    gaps = [float((LAW.probability * (T_steps(process, T, d3pm_step) - limit)).sum()) for T in steps]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    rates = [float(torch.log2(at(a / b))) for a, b in itertools.pairwise(gaps)]
    assert rates == pytest.approx([1, 1], abs=0.08)
    assert abs(rates[1] - 1) < abs(rates[0] - 1)
    assert abs(2 * gaps[2] - gaps[1]) < 0.1 * gaps[2]  # what is left after the first order


def test_mdlm_is_sedd_absorbing_is_radds_four_losses_is_the_mean_over_orders():
    process = Absorbing(3, Linear())
    assert close(continuous(process, partial(mdlm, process)), ORDERS)
    assert close(continuous(process, partial(by_score_entropy, process, BLUNT)), ORDERS)
    t_dse_form = continuous(process, lambda x_0, x_t, t: t_dse(process, BLUNT(x_t), x_0, x_t, t))
    lambda_form = continuous(process, lambda x_0, x_t, rate: lambda_dce(process, BLUNT(x_t), x_0, x_t, rate))
    assert close(t_dse_form, ORDERS) and close(lambda_form, ORDERS)
    order_form = torch.zeros_like(ORDERS)
    for n, order in itertools.product((1, 2, 3), itertools.permutations(range(3))):
        u = torch.tensor(order, dtype=torch.float64).expand(len(X_0), 3) / 3
        x_t = hide(X_0, 3, torch.full((len(X_0),), n), u)
        order_form += any_order_loss(process, BLUNT(x_t), X_0, x_t, torch.full((len(X_0),), 3)) / 18
    assert close(order_form, ORDERS)


def every_pair(process, t):
    """All (x_0, x_t) that can occur at t."""
    x_t, q = law_of_x_t(process, X_0, at(t))
    row, column = (q > 0).nonzero(as_tuple=True)
    return X_0[row], x_t[column]


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("t", [0.001, 0.4, 0.99])
def test_the_masked_losses_agree_at_every_x_t(schedule, t):
    process, time = Absorbing(3, schedule), at(t)
    x_0, x_t = every_pair(process, t)
    loss = mdlm(process, x_0, x_t, time)
    assert close(by_score_entropy(process, BLUNT, x_0, x_t, time) / loss.clamp(min=1), loss / loss.clamp(min=1))
    masked_only = process.schedule.weight(time) * cross_entropy(BLUNT(x_t), x_0, x_t == 3)  # discrete flow matching
    assert close(masked_only, loss)
    log_c = BLUNT(x_t) + torch.tensor([0.3, -0.2, 0.5]).double()  # not normalised: the score entropy by its letter
    s = process.schedule.alpha(time) / process.schedule.mask_rate(time) * log_c.exp()
    r = process.schedule.alpha(time) / process.schedule.mask_rate(time) * torch.nn.functional.one_hot(x_0, 3)
    K = torch.where(r > 0, r * (r.clamp(min=1e-300).log() - 1), 0.0)
    sigma = process.schedule.mask_rate_prime(time) / process.schedule.alpha(time)
    letter = sigma * torch.where(x_t == 3, (s - r * s.log() + K).sum(-1), 0.0).sum(-1)
    assert close(t_dse(process, log_c, x_0, x_t, time) / letter.clamp(min=1), letter / letter.clamp(min=1))


def test_the_bound_of_the_flow_by_its_velocities_is_mdlm_on_the_mask_path():
    process, t = Absorbing(3, Cosine()), at(0.3)
    x_0, x_t = every_pair(process, 0.3)
    u = velocity_from_p(process, p_from_logits(process, BLUNT(x_t), x_t, t), x_t, t)
    truth = velocity_from_p(process, torch.nn.functional.one_hot(x_0, 3), x_t, t)
    away = torch.nn.functional.one_hot(x_t, 4) == 0  # rates of leaving: KL of two jump processes
    log_ratio = torch.where(truth > 0, truth / torch.where(u > 0, u, 1.0), 1.0).log()
    letter = torch.where(away, u - truth + truth.clamp(min=0) * log_ratio, 0.0).sum((-1, -2))
    assert close(letter, mdlm(process, x_0, x_t, t))


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Polynomial(2.0), Polynomial(3.0)], ids=str)
def test_the_continuous_bound_does_not_depend_on_the_schedule(schedule):
    process = Absorbing(3, schedule)
    assert close(continuous(process, partial(mdlm, process)), ORDERS)


def test_a_schedule_that_ends_early_is_off_by_the_square_of_where_it_ends():
    off = []
    for eps in (0.04, 0.02, 0.01):
        process = Absorbing(3, LogLinear(eps))
        off.append((continuous(process, partial(mdlm, process)) - ORDERS).abs().max())
    assert [float(off[0] / off[1]), float(off[1] / off[2])] == pytest.approx([4, 4], rel=0.05)


def test_the_bound_of_a_wrong_denoiser_is_above_the_entropy():
    assert float((LAW.probability * (ORDERS - NLL)).sum()) > 0.05
    process = Uniform(3, Linear())
    bound = continuous(process, partial(by_score_entropy, process, BLUNT_UNIFORM), 64, 4)
    assert float((LAW.probability * (bound - NLL)).sum()) > 0.01


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", [Absorbing, Uniform])
def test_with_exact_ratios_the_continuous_bound_is_the_true_likelihood(kind, name):
    process = kind(3, SCHEDULES[name])
    exact = ExactDenoiser(LAW, process)
    bound = integral(lambda t: expected(process, X_0, t, lambda x_0, x_t: by_score_entropy(process, exact, x_0, x_t, t)), 64, 4)
    assert close(bound + _start(process, exact), NLL, 1e-9)


def test_with_exact_ratios_a_chain_without_closed_forms_misses_by_its_prior_alone():
    process = RandomChain(3, 4, speed=1.0)
    exact = ExactDenoiser(LAW, process)
    bound = integral(lambda t: expected(process, X_0, t, lambda x_0, x_t: by_score_entropy(process, exact, x_0, x_t, t)), 64, 4)
    assert close(bound + _start(process, exact), NLL, 1e-9)
    assert float(prior_kl(process, X_0).min()) > 1e-4


def _start(process, exact):
    """What turns ∫ into −log p(x_0): E over x_1 of log q(x_1 | x_0)/q(x_1), and for masks the jump to α = 0."""
    x_1, q = law_of_x_t(process, X_0, at(1.0))
    total = LAW.probability @ q
    log_ratio = torch.where(q > 0, q / torch.where(total > 0, total, 1.0), 1.0).log()
    return (q * log_ratio).sum(-1)


@pytest.mark.parametrize(("s", "t"), [(0.0, 0.3), (0.2, 0.6), (0.5, 1.0)])
def test_d3pm_uniform_is_multinomial_diffusion(s, t):
    K, process = 4, Uniform(4, Cosine())
    alpha_s, alpha_t = float(process.schedule.alpha(at(s))), float(process.schedule.alpha(at(t)))
    a = alpha_t / alpha_s
    z, x = (m.reshape(-1) for m in torch.meshgrid(torch.arange(K), torch.arange(K), indexing="ij"))
    Z, X = (torch.nn.functional.one_hot(i, K).double() for i in (z, x))

    def hoogeboom(x_law):
        theta = (a * Z + (1 - a) / K) * (alpha_s * x_law + (1 - alpha_s) / K)
        return theta / theta.sum(-1, keepdim=True)

    def schiff(x_law):
        top = alpha_t * K * x_law * Z + (a - alpha_t) * Z + (alpha_s - alpha_t) * x_law + (1 - a) * (1 - alpha_s) / K
        return top / (alpha_t * K * (x_law * Z).sum(-1, keepdim=True) + 1 - alpha_t)

    bridge = process.bridge(z.unsqueeze(0), x.unsqueeze(0), at(s), at(t))[0]
    assert close(bridge, hoogeboom(X)) and close(bridge, schiff(X))
    p = torch.softmax(torch.randn(16, K, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2, -1)
    right = process.posterior(z.unsqueeze(0), p.unsqueeze(0), at(s), at(t))[0]
    per_token = [process.bridge(z.unsqueeze(0), torch.full_like(z, v).unsqueeze(0), at(s), at(t))[0] for v in range(K)]
    assert close(right, torch.einsum("rv,vrs->rs", p, torch.stack(per_token)))
    off = float(((hoogeboom(p) - right).abs().sum(-1) / 2).max())
    assert close(hoogeboom(p), schiff(p)) and (off > 0.05) == (t < 1), off  # p in the place of x is another law


def test_rdm_is_d3pm_reweighted():
    T, process = 5, Absorbing(3, Cosine())
    for k in range(1, T + 1):
        s, t = at((k - 1) / T), at(k / T)
        x_0, x_t = every_pair(process, k / T)
        ours = rdm_loss(BLUNT(x_t), x_0, x_t, s)
        ratio = (1 - (k - 1) / T) / process.unmask_probability(s, t)
        assert close(ours, ratio * d3pm_step(process, x_0, x_t, s, t))


def test_rdm_on_uniform_noise_is_the_divergence_of_the_routed_step_reweighted():
    V, process, s, t = 3, Uniform(3, Linear()), at(0.4), at(0.6)
    alpha_s, alpha_t = 1 - s, 1 - t
    route = (alpha_s - alpha_t) / (1 - alpha_t)
    f = torch.softmax(torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64), -1)
    for x_0, x_t in itertools.permutations(range(V), 2):
        stay = alpha_t / alpha_s * torch.eye(V, dtype=torch.float64)[x_t] + (1 - alpha_t / alpha_s) / V
        truth = torch.stack([route * torch.eye(V, dtype=torch.float64)[x_0], (1 - route) * stay])  # (routed to x_0 or not, x_s)
        model = torch.stack([route * f, (1 - route) * stay])
        bridge = process.bridge(torch.tensor([[x_t]]), torch.tensor([[x_0]]), s, t)[0, 0]
        assert close(truth.sum(0), bridge)
        divergence = torch.where(truth > 0, truth * (truth.clamp(min=1e-300) / model).log(), 0.0).sum()
        ours = rdm_loss(f.log().reshape(1, 1, V), torch.tensor([[x_0]]), torch.tensor([[x_t]]), s)
        assert close(ours * route / (1 - s), divergence)
    right = torch.tensor([[1]])
    assert float(rdm_loss(f.log().reshape(1, 1, V), right, right, s)) == 0


def test_berts_gradient_is_mdlms_at_one_rate():
    process, t = Absorbing(3, Cosine()), Cosine().inverse(at(0.15))
    x_0, x_t = every_pair(process, 0.5)
    logits = torch.randn(len(x_t), 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    bert = torch.autograd.grad(bert_loss(process, logits, x_0, x_t).sum(), logits)[0]
    ours = torch.autograd.grad(masked_cross_entropy(process, logits, x_0, x_t, t).sum(), logits)[0]
    assert close(ours, process.schedule.weight(t) * bert)
    assert float(bert.abs().max()) > 0.1
