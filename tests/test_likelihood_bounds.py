"""Bounds of any process against enumerations; exact any-order likelihood; tighter bounds; figures and their errors."""

import itertools
import math
from collections import Counter

import pytest
import torch
from chains import Blunt, RandomChain, all_states, at, expected, integral, law_of_3

from seqdiff.errors import ConditionError, ConfigError
from seqdiff.likelihood import (
    Bound,
    any_order_bound,
    continuous_bound,
    discrete_bound,
    exact_any_order,
    importance_any_order_bound,
    importance_bound,
    ngram_entropy,
    sample_quality,
)
from seqdiff.objective import bert_loss, prior_kl, score_entropy, step_kl
from seqdiff.parameterisations import p_from_logits
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Cosine, Linear, LogLinear

LAW = law_of_3()
X_0 = LAW.outcomes
MASKS = Absorbing(3, Cosine())
BLUNT = Blunt(LAW, MASKS)
PROCESSES = {"absorbing": MASKS, "uniform": Uniform(3, Cosine()), "chain": RandomChain(speed=1.5)}


def repeated(compute, x_0, times, *arguments, **options):
    """A bound of every row of x_0 estimated `times` times, as so many rows: the mean and its error for each row."""
    nats = compute(*arguments, x_0.repeat(times, 1), **options).nats.reshape(times, len(x_0))
    return Bound(nats.mean(0), nats.std(0) / times**0.5, torch.full((len(x_0),), x_0.shape[1]))


def agrees(bound, truth):
    """Row by row within 5 standard errors, and the mean over rows within 4 of its own."""
    assert bool(((bound.nats - truth).abs() < 5 * bound.error + 1e-9).all())
    mean, error = mean_of(bound)
    assert abs(mean - float(truth.mean())) < 4 * error + 1e-9
    assert error < 0.1


def mean_of(bound):
    return float(bound.nats.mean()), float(bound.error.square().sum().sqrt()) / len(bound.nats)


@pytest.mark.parametrize("name", PROCESSES)
def test_the_discrete_bound_is_the_enumerated_one(name):
    process, T = PROCESSES[name], 3
    denoiser = Blunt(LAW, process)
    truth = prior_kl(process, X_0)
    for k in range(1, T + 1):
        s, t = at((k - 1) / T), at(k / T)

        def step(x_0, x_t, s=s, t=t):
            p = p_from_logits(process, denoiser(x_t, t.expand(len(x_t))), x_t, t)
            return step_kl(process, p, x_0, x_t, s, t)

        truth = truth + expected(process, X_0, t, step)
    agrees(repeated(discrete_bound, X_0, 300, denoiser, process, steps=T, draws=3), truth)


def test_the_discrete_bound_of_masks_starts_all_masked_whatever_the_schedule():
    x_1 = torch.full_like(X_0, 3)
    bound = discrete_bound(BLUNT, Absorbing(3, LogLinear(0.3)), X_0, 1, draws=2)
    assert torch.allclose(bound.nats, bert_loss(MASKS, BLUNT(x_1), X_0, x_1), atol=1e-12)


@pytest.mark.parametrize("name", ["uniform", "chain"])
def test_the_continuous_bound_is_the_integral(name):
    process = PROCESSES[name]
    denoiser = Blunt(LAW, process)

    def f(t):
        def g(x_0, x_t):
            p = p_from_logits(process, denoiser(x_t, t.expand(len(x_t))), x_t, t)
            return score_entropy(process, p, x_0, x_t, t)

        return expected(process, X_0, t, g)

    agrees(repeated(continuous_bound, X_0, 300, denoiser, process, draws=4), integral(f, 24, 4) + prior_kl(process, X_0))


@pytest.mark.parametrize("name", PROCESSES)
def test_given_positions_are_clean_and_not_counted(name):
    process = PROCESSES[name]
    x_0 = X_0.repeat(200, 1)
    free = torch.tensor([True, False, True]).expand_as(x_0)
    tilt = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)

    def given(x_t, t, label):
        assert bool((x_t[:, 1] == x_0[:, 1]).all())
        return tilt.log().expand(len(x_t), 3, 3) if process is MASKS else (tilt * process.likelihood(x_t, t)).log()

    truth = -tilt.log()[x_0[:, [0, 2]]].sum(-1)
    weight = (-truth).exp() / (-truth).exp().sum()
    for bound in (continuous_bound(given, process, x_0, 4, free=free), discrete_bound(given, process, x_0, 4, 4, free=free)):
        assert bool((bound.lengths == 2).all())
        gap = weight * (bound.nats - truth)  # independent positions and the exact p: the entropy, but for the prior
        slack = float(prior_kl(process, x_0, free).max())
        assert abs(float(gap.sum())) < 4 * float(gap.square().sum().sqrt()) + slack
        assert float(gap.square().sum().sqrt()) < 0.1


def test_a_process_that_keeps_clean_tokens_is_refused_where_the_prior_has_none():
    class Kept(RandomChain):
        def prior_law(self):
            return torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64)

    for bound in (discrete_bound, importance_bound):
        with pytest.raises(ConfigError, match=r"expected that Kept has left every clean token at t = 1.*use one with α_1 = 0"):
            bound(Blunt(LAW, Kept(3, 4)), Kept(3, 4), X_0[:2], 2)
    with pytest.raises(ConfigError, match="use one with α_1 = 0"):
        importance_bound(BLUNT, Absorbing(3, LogLinear()), X_0[:2], 2)


def by_permutations(x_0, free=(0, 1, 2)):
    """(mean over orders of −log p, −log of the mean over orders of p), by walking every order."""
    logs = []
    for order in itertools.permutations(free):
        now, log_p = x_0.clone(), torch.zeros(len(x_0), dtype=torch.float64)
        now[:, list(free)] = 3
        for i in order:
            log_p += BLUNT(now)[:, i].gather(-1, x_0[:, i : i + 1]).squeeze(-1)
            now[:, i] = x_0[:, i]
        logs.append(log_p)
    logs = torch.stack(logs)
    return -logs.mean(0), -(logs.logsumexp(0) - math.log(len(logs)))


@pytest.mark.parametrize("free", [(0, 1, 2), (0, 2), (1,)])
def test_the_exact_likelihoods_are_those_over_all_orders(free):
    chosen = torch.tensor([i in free for i in range(3)])
    ours = exact_any_order(BLUNT, 3, X_0, free=chosen)
    bound, exact = by_permutations(X_0, free)
    assert torch.allclose(ours.bound, bound, atol=1e-12) and torch.allclose(ours.exact, exact, atol=1e-12)
    if free == (0, 1, 2):
        assert torch.equal(exact_any_order(BLUNT, 3, X_0).exact, ours.exact)
        assert float((-ours.exact).exp().sum()) == pytest.approx(1, abs=1e-12)  # a law over all 27 sequences
        assert float((-ours.bound).exp().sum()) < 0.999
        assert bool((ours.exact <= ours.bound + 1e-12).all())
        agrees(repeated(any_order_bound, X_0, 200, BLUNT, 3, draws=3), bound)


def test_exact_likelihoods_in_chunks_with_labels_and_refused_when_long():
    mask, L = 2, 9

    def network(x_t, t, label):
        known = (x_t == 1).sum(-1) - (x_t == 0).sum(-1) + label
        return torch.stack([torch.zeros_like(known), known], -1).double().unsqueeze(1).expand(*x_t.shape, 2) / 3

    x_0 = torch.tensor([[0, 1] * 4 + [1]] * 9 + [[1] * 9])
    label = torch.arange(10)
    ours = exact_any_order(network, mask, x_0, label)
    alone = exact_any_order(network, mask, x_0[7:8], label[7:8])
    assert torch.allclose(ours.exact[7], alone.exact[0], atol=1e-12)
    counts = Counter()  # p depends on counts only: the same for every arrangement of the same tokens
    for x in (x_0[:1], x_0[:1].flip(-1), x_0[:1].roll(3, -1)):
        counts[round(float(exact_any_order(network, mask, x, label[:1]).exact), 10)] += 1
    assert len(counts) == 1
    same = torch.tensor([[1] * k + [0] * (L - k) for k in range(L + 1)])
    probability = (-exact_any_order(network, mask, same, torch.zeros(L + 1, dtype=torch.int64)).exact).exp()
    ways = torch.tensor([math.comb(L, k) for k in range(L + 1)], dtype=torch.float64)
    assert float((ways * probability).sum()) == pytest.approx(1, abs=1e-12)
    with pytest.raises(ConditionError, match="at most 14 free positions, got 15.*use any_order_bound"):
        exact_any_order(network, mask, torch.zeros(1, 15, dtype=torch.int64), label[:1])


def test_more_orders_tighten_the_bound_to_the_exact_likelihood():
    def fickle(x_t, t, label=None):  # a function of the revealed tokens that no law has: order matters
        left = torch.where(x_t == 3, 0, x_t + 1).cumsum(-1).roll(1, -1) % 4
        return 1.5 * torch.nn.functional.one_hot(left, 4)[..., :3].double()

    x_0 = X_0[[0, 5, 11, 18]]
    exact = exact_any_order(fickle, 3, x_0)
    assert float((exact.bound - exact.exact).min()) > 0.05
    means = {}
    for orders, times in ((1, 4000), (2, 2000), (8, 1000), (32, 200)):
        bound = repeated(importance_any_order_bound, x_0, times, fickle, 3, orders=orders, draws=1)
        means[orders] = mean_of(bound)
        if orders == 1:
            agrees(bound, exact.bound)
    for (a, a_error), (b, b_error) in itertools.pairwise(means.values()):
        assert a - b > 3 * (a_error**2 + b_error**2) ** 0.5
    last, error = means[32]
    limit = float(exact.exact.mean())
    assert -4 * error < last - limit < (means[1][0] - limit) / 16 + 4 * error  # what is left falls as 1/K


@pytest.mark.parametrize("process", [Uniform(2, Linear()), Absorbing(2, Linear())], ids=["uniform", "absorbing"])
def test_more_paths_tighten_the_bound_to_the_law_of_the_T_step_sampler(process):
    T, x_0 = 2, torch.tensor([[0, 0], [0, 1], [1, 1]])

    def network(x_t, t, label=None):
        tied = (x_t.roll(1, -1) == 1).double() - (x_t.roll(1, -1) == 0).double()
        return torch.stack([torch.zeros_like(tied), 1.5 * tied + 0.4], -1)

    states = all_states(process, 2)  # the exact law by propagating every state
    law = process.prior_law()[states].prod(-1)
    for k in range(T, 0, -1):
        s, t = at((k - 1) / T), at(k / T)
        p = process.posterior(states, p_from_logits(process, network(states, t), states, t), s, t)
        law = torch.einsum("x,xy->y", law, p[:, 0][:, states[:, 0]] * p[:, 1][:, states[:, 1]])
    assert float(law.sum()) == pytest.approx(1)
    exact = -torch.stack([law[(states == x).all(-1)][0] for x in x_0]).log()
    one = repeated(importance_bound, x_0, 4000, network, process, steps=T, paths=1, draws=1)
    step = repeated(discrete_bound, x_0, 4000, network, process, steps=T, draws=2)
    assert bool(((one.nats - step.nats).abs() < 4.5 * (one.error.square() + step.error.square()).sqrt()).all())
    some, many = (repeated(importance_bound, x_0, 400, network, process, steps=T, paths=k, draws=1, seed=1) for k in (4, 40))
    (a, a_error), (b, b_error), (c, c_error) = mean_of(one), mean_of(some), mean_of(many)
    assert a - b > 3 * (a_error**2 + b_error**2) ** 0.5 and b - c > 2 * (b_error**2 + c_error**2) ** 0.5
    slack = (one.nats - exact) / 20  # what is left falls as 1/K
    assert bool(((many.nats - exact).abs() < 4 * many.error + slack).all())


def test_figures_are_conversions_of_the_nats_per_token():
    nats = torch.tensor([3.0, 10.0, 6.0], dtype=torch.float64)
    bound = Bound(nats, torch.zeros(3), torch.tensor([2, 5, 3]))
    mean, error = bound.per_token()
    assert mean == pytest.approx(1.9)
    assert bound.bits_per_token() == pytest.approx((1.9 / math.log(2), error / math.log(2)))
    assert bound.perplexity() == pytest.approx((math.exp(1.9), math.exp(1.9) * error))
    bits, bits_error = bound.bits_per_character(torch.tensor([8, 20, 10]))
    assert bits == pytest.approx(19 / 38 / math.log(2))
    residual = nats - 0.5 * torch.tensor([8, 20, 10])
    assert bits_error == pytest.approx(float(residual.square().sum().sqrt()) / 38 / math.log(2))


def test_the_quoted_errors_cover_the_truth_as_often_as_they_should():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 12, (800, 200), generator=generator)
    nats = 1.3 * lengths + torch.randn(800, 200, generator=generator, dtype=torch.float64) * lengths.sqrt()
    inside = Counter()
    for row, size in zip(nats, lengths, strict=True):
        bound = Bound(row, torch.zeros(200), size)
        for name, truth in (("bits_per_token", 1.3 / math.log(2)), ("perplexity", math.exp(1.3))):
            value, error = getattr(bound, name)()
            inside[name] += abs(value - truth) < 1.96 * error
    assert all(0.92 < count / 800 < 0.98 for count in inside.values()), inside


def test_ngram_entropy_tells_repetition_within_rows_from_rows_that_are_alike():
    rows = [torch.tensor([0, 1, 2, 3]), torch.tensor([0, 0, 1, 1]), torch.tensor([2])]
    assert ngram_entropy(rows, 1) == pytest.approx((math.log(4) + math.log(2) + 0) / 3)
    assert ngram_entropy(rows, 2) == pytest.approx(math.log(3))  # 01 12 23; 00 01 11; the short row is left out
    pooled = [2 / 6, 1 / 6, 1 / 6, 1 / 6, 1 / 6]
    assert ngram_entropy(rows, 2, pooled=True) == pytest.approx(-sum(f * math.log(f) for f in pooled))
    alike = [torch.arange(5)] * 3
    assert ngram_entropy(alike, 1) == ngram_entropy(alike, 1, pooled=True) == pytest.approx(math.log(5))
    stuck = [torch.full((5,), v) for v in range(3)]
    assert ngram_entropy(stuck) == 0 and ngram_entropy(stuck, pooled=True) == pytest.approx(math.log(3))
    with pytest.raises(ConditionError, match="at least n = 7 tokens"):
        ngram_entropy(rows, 7)


def test_a_generative_perplexity_comes_with_its_entropy():
    rows = [torch.tensor([0, 1, 2, 3]), torch.tensor([0, 0, 1, 1])]
    judge = Bound(torch.tensor([4.0, 2.0], dtype=torch.float64), torch.zeros(2), torch.tensor([4, 4]))
    quality = sample_quality(judge, rows)
    assert (quality.perplexity, quality.perplexity_error) == judge.perplexity()
    assert quality.entropy == ngram_entropy(rows) and quality.pooled_entropy == ngram_entropy(rows, pooled=True)
    assert str(quality) == "generative perplexity 2.12 ± 0.37 at 1-gram entropy 1.04 nats a sample, 1.26 pooled"
    with pytest.raises(ConditionError, match="expected the judge's bound of these 1 samples"):
        sample_quality(judge, rows[:1])
