"""Guidance: exact jumps give the tilted law, first-order ones where they may; rewards and gradients have closed forms."""

import functools
import math

import pytest
import torch

from constraints.guidance.gradients import ascend, embedding_gradient, fluent, guided_mean, near
from constraints.guidance.guides import (
    ClassWish,
    ExactGuide,
    FirstOrderGuide,
    RewardGuide,
    Sum,
    Wish,
)
from seqdiff.denoisers.classifier import Classifier, ClassifierConfig, ExactClassifier
from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.errors import ConditionError
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Linear
from tests.laws import ising, parity, propagate


def wished(law: EnumeratedLaw) -> torch.Tensor:
    """p(y | x_0), not affine in anything: high where the number of zeros is even, and by the last token."""
    zeros = (law.outcomes == 0).sum(-1)
    return torch.where(zeros % 2 == 0, 0.8, 0.1).double() * (0.4 + 0.6 * (law.outcomes[:, -1] == 1))


def tilted(law: EnumeratedLaw, p_y: torch.Tensor) -> dict[tuple, float]:
    p = law.probability * p_y / (law.probability * p_y).sum()
    return {tuple(x): float(q) for x, q in zip(law.outcomes.tolist(), p, strict=True)}


def distance(one: dict, two: dict) -> float:
    return sum(abs(one.get(x, 0.0) - two.get(x, 0.0)) for x in one.keys() | two.keys()) / 2


def guided_law(law: EnumeratedLaw, guide, reveals: int, power: float = 1.0) -> dict[tuple, float]:
    """The exact law of: choose `reveals` of the holes uniformly, draw each from p_i(v) e^{γ g_i(v)}, until none is left."""
    denoiser, mask, L = ExactDenoiser(law), law.vocabulary, law.outcomes.shape[1]

    def kernel(x, k):
        holes = [i for i, v in enumerate(x) if v == mask]
        if not holes:
            return {x: 1.0}
        x_t, positions = torch.tensor([x]), torch.tensor([holes])
        p = denoiser(x_t, None, None, None, positions).exp()
        g, _ = guide.log_tilt(x_t, torch.ones(1), positions, p)
        M = p if g is None else p * (power * g).exp()
        M = (M / M.sum(-1, keepdim=True))[0]
        chosen = torch.combinations(torch.arange(len(holes)), min(reveals, len(holes))).tolist()
        out: dict[tuple, float] = {}
        for places in chosen:
            for tokens in torch.cartesian_prod(*[torch.arange(mask)] * len(places)).view(-1, len(places)).tolist():
                q = math.prod(float(M[place, v]) for place, v in zip(places, tokens, strict=True)) / len(chosen)
                y = list(x)
                for place, v in zip(places, tokens, strict=True):
                    y[holes[place]] = v
                if q > 0:
                    out[tuple(y)] = out.get(tuple(y), 0.0) + q
        return out

    return propagate(law, (mask,) * L, kernel, -(-L // reveals))


@pytest.mark.parametrize("make", [ising, parity])
def test_exact_guidance_with_one_reveal_a_step_gives_the_tilted_law(make):
    law = make()
    p_y = wished(law)
    guide = ExactGuide(ExactClassifier(law, p_y))
    assert distance(guided_law(law, guide, 1), tilted(law, p_y)) < 1e-12
    assert distance(tilted(law, torch.ones_like(p_y)), tilted(law, p_y)) > 0.05  # the wish is felt


def test_two_reveals_a_step_do_not_give_it():
    law = ising()
    p_y = wished(law)
    off = distance(guided_law(law, ExactGuide(ExactClassifier(law, p_y)), 2), tilted(law, p_y))
    unguided = guided_law(law, Sum(((ExactGuide(ExactClassifier(law, p_y)), 0.0),)), 2)
    assert off > 0.02
    assert off < distance(unguided, tilted(law, p_y))  # a proposal worth having nevertheless


def test_a_power_of_the_noisy_classifier_is_not_the_power_of_the_clean_one():
    law = ising()
    p_y = wished(law)
    guide = ExactGuide(ExactClassifier(law, p_y))
    assert distance(guided_law(law, guide, 1, power=3.0), tilted(law, p_y**3)) > 0.02
    clean = ExactGuide(ExactClassifier(law, p_y**3))  # E[p(y|x_0)³ | x_t] does
    assert distance(guided_law(law, clean, 1), tilted(law, p_y**3)) < 1e-12


def test_a_wrong_guide_is_seen():
    law = ising()
    p_y = wished(law)
    half = ExactGuide(ExactClassifier(law, 0.5 + 0.5 * p_y))
    assert distance(guided_law(law, half, 1), tilted(law, p_y)) > 0.02


def rows_of(law, n=40, seed=0):
    """Rows (n, L) with holes, equal ones among them, their positions (n, L) and p there."""
    generator = torch.Generator().manual_seed(seed)
    x_0 = law.outcomes[torch.randint(len(law.outcomes), (n,), generator=generator)]
    x_t = torch.where(torch.rand(x_0.shape, generator=generator) < 0.5, law.vocabulary, x_0)
    positions = torch.arange(x_0.shape[1]).expand(n, -1)
    return x_t, positions, ExactDenoiser(law)(x_t).exp()


@pytest.mark.parametrize("everywhere", [False, True])
def test_exact_jumps_are_ratios_of_the_classifier_evaluated_one_by_one(everywhere):
    law = ising()
    process = Uniform(3, Linear()) if everywhere else None
    classifier = ExactClassifier(law, wished(law), process)
    x_t, positions, p = rows_of(law)
    if everywhere:
        x_t = x_t % 3  # tokens everywhere, of a process that overwrites them
    t = torch.linspace(0.2, 0.9, 40).double()
    g, base = ExactGuide(classifier, chunk=7, everywhere=everywhere).log_tilt(x_t, t, positions, p)
    for r in range(len(x_t)):
        now = classifier(x_t[r : r + 1], t[r : r + 1])
        assert float(base[r]) == pytest.approx(float(now), abs=1e-12)
        for i in range(4):
            for v in range(3):
                if x_t[r, i] != 3 and not everywhere:
                    assert g[r, i, v] == 0
                    continue
                jump = x_t[r].clone()
                jump[i] = v
                expected = float(classifier(jump.unsqueeze(0), t[r : r + 1]) - now)
                assert float(g[r, i, v]) == pytest.approx(expected, abs=1e-12)


def test_equal_rows_and_revealed_positions_cost_no_evaluation():
    law, seen = ising(), []
    classifier = ExactClassifier(law, wished(law))

    def counted(x_t, t=None):
        seen.append(len(x_t))
        return classifier(x_t, t)

    x_t = torch.tensor([[0, 3, 3, 1]]).repeat(20, 1)
    positions = torch.tensor([[0, 1, 2, 2]]).repeat(20, 1)
    g, base = ExactGuide(counted).log_tilt(x_t, torch.ones(20), positions, torch.full((20, 4, 3), 1 / 3))
    assert sum(seen) == 1 + 2 * 3  # itself, and three tokens at two holes
    assert torch.equal(g[0], g[19])
    assert torch.equal(g[:, 2], g[:, 3])
    seen.clear()
    done = torch.tensor([[0, 1, 2, 1]])
    ExactGuide(counted).log_tilt(done, torch.ones(1), torch.arange(4).unsqueeze(0), torch.full((1, 4, 3), 1 / 3))
    assert sum(seen) == 1


def test_from_what_is_ruled_out_every_jump_is_alike():
    law = parity()
    p_y = (law.outcomes[:, 0] == 1).double()
    x_t = torch.tensor([[0, 2, 2, 2, 2], [2, 2, 2, 2, 2]])
    positions = torch.arange(5).expand(2, -1)
    g, base = ExactGuide(ExactClassifier(law, p_y)).log_tilt(x_t, None, positions, torch.full((2, 5, 2), 0.5))
    assert base[0] == -math.inf
    assert not g[0].any()
    assert g[1, 0, 0] == -math.inf
    assert float(g[1, 0, 1].exp()) == pytest.approx(1 / float((law.probability * p_y).sum()))


class Affine:
    """A log-classifier that is affine in the one-hots, of ids or soft tokens."""

    def __init__(self, V=3, L=4):
        self.weight = torch.randn(L, V + 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

    def __call__(self, x_t, t=None):
        soft = x_t if x_t.is_floating_point() else torch.nn.functional.one_hot(x_t, self.weight.shape[1]).double()
        return (soft * self.weight).sum((1, 2)) - 2.0


class Curved(Affine):
    def __call__(self, x_t, t=None):
        return -(super().__call__(x_t, t).square())


@pytest.mark.parametrize("everywhere", [False, True])
def test_first_order_is_exact_where_the_log_classifier_is_affine_and_only_there(everywhere):
    x_t, positions, p = rows_of(ising())
    t = torch.full((len(x_t),), 0.5)
    for model, same in ((Affine(), True), (Curved(), False)):
        exact, base = ExactGuide(model, everywhere=everywhere).log_tilt(x_t, t, positions, p)
        first, again = FirstOrderGuide(model, everywhere=everywhere).log_tilt(x_t, t, positions, p)
        assert torch.allclose(base, again, atol=1e-12)
        assert torch.allclose(exact, first, atol=1e-12) == same
        assert torch.allclose(ExactGuide(model).final(x_t % 3), FirstOrderGuide(model).final(x_t % 3))


def test_weights_of_several_guides_add_and_clipping_bounds_the_tilt_alone():
    law = ising()
    one = ExactGuide(ExactClassifier(law, wished(law)))
    two = FirstOrderGuide(Curved())
    x_t, positions, p = rows_of(law)
    x_0, t = x_t % 3, torch.full((len(x_t),), 0.5)
    (g1, b1), (g2, b2) = (guide.log_tilt(x_t, t, positions, p) for guide in (one, two))
    g, base = Sum(((one, 2.0), (two, -0.5))).log_tilt(x_t, t, positions, p)
    assert torch.allclose(g, 2 * g1 - 0.5 * g2, atol=1e-12)
    assert torch.allclose(base, 2 * b1 - 0.5 * b2, atol=1e-12)
    clipped = Sum(((one, 2.0), (two, -0.5)), clip=0.3)
    assert torch.allclose(clipped.log_tilt(x_t, t, positions, p)[0], g.clamp(-0.3, 0.3))
    assert torch.equal(clipped.log_tilt(x_t, t, positions, p)[1], base)
    assert torch.allclose(clipped.final(x_0), 2 * one.final(x_0) - 0.5 * two.final(x_0))
    doubled = guided_law(law, Sum(((one, 1.0), (one, 1.0))), 1)
    assert distance(doubled, guided_law(law, one, 1, power=2.0)) < 1e-12


def test_infinite_tilts_are_clipped_or_refused():
    law = parity()
    never = ExactGuide(ExactClassifier(law, (law.outcomes[:, 0] == 1).double()))
    asked = (torch.full((1, 5), 2), None, torch.arange(5).unsqueeze(0), torch.full((1, 5, 2), 0.5))
    assert Sum(((never, 1.0),)).log_tilt(*asked)[0].min() == -math.inf
    assert Sum(((never, 1.0),), clip=4.0).log_tilt(*asked)[0].min() == -4.0
    with pytest.raises(ConditionError, match="a negative weight, wants it infinitely; set clip"):
        Sum(((never, -1.0),)).log_tilt(*asked)
    with pytest.raises(ConditionError, match="expected at least one and a positive clip"):
        Sum(())


# Rewards


def zeros(ids):
    return (ids == 0).double().sum(-1)


@pytest.mark.parametrize("mean", [True, False])
def test_a_reward_looks_ahead_by_completions_drawn_from_p(mean):
    law = ising()
    x_t, positions, p = torch.tensor([[3, 0, 3, 1]]), torch.tensor([[0, 2]]), None
    p = ExactDenoiser(law)(x_t, positions=positions).exp()
    guide = RewardGuide(zeros, 1.5, samples=20_000, mean=mean)
    g, base = guide.log_tilt(x_t, None, positions, p)
    assert g is None
    a, b = p[0, :, 0].tolist()
    law_of_zeros = {1: (1 - a) * (1 - b), 2: a * (1 - b) + b * (1 - a), 3: a * b}
    expected = sum(q * (1.5 * n if mean else math.exp(1.5 * n)) for n, q in law_of_zeros.items())
    assert float(base) == pytest.approx(expected if mean else math.log(expected), abs=0.05)


def test_completions_are_a_function_of_the_row_alone_and_scored_once():
    law, seen = ising(), []

    def counted(ids):
        seen.append(len(ids))
        return zeros(ids)

    x_t, positions, p = rows_of(law)
    t = torch.full((40,), 0.5, dtype=torch.float64)
    guide = RewardGuide(counted, samples=3)
    together = guide.log_tilt(x_t, t, positions, p)[1]
    assert max(seen) <= 81  # of 120 completions
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(guide.log_tilt(x_t[order], t[order], positions[order], p[order])[1], together[order])
    alone = torch.cat([guide.log_tilt(x_t[i : i + 1], t[i : i + 1], positions[i : i + 1], p[i : i + 1])[1] for i in range(40)])
    assert torch.equal(alone, together)
    assert not torch.equal(RewardGuide(counted, samples=3, seed=1).log_tilt(x_t, t, positions, p)[1], together)
    clean = x_t % 3
    assert torch.allclose(guide.log_tilt(clean, t, positions, p)[1], guide.final(clean))  # nothing is left to look ahead to


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda ids: 1 / 0, r"the function failed on 1 rows of ids \(ZeroDivisionError"),
        (lambda ids: [math.nan] * len(ids), r"expected finite numbers, got nan for the ids \[0, 1, 2\]"),
        (lambda ids: [math.inf] * len(ids), r"got inf for the ids .* is a constraint, not a reward"),
        (lambda ids: [1.0, 2.0, 3.0], r"expected 1 numbers for 1 rows, got shape \(3,\)"),
    ],
)
def test_a_reward_that_fails_says_how(function, message):
    with pytest.raises(ConditionError, match=message):
        RewardGuide(function).final(torch.tensor([[0, 1, 2]]))


def test_a_reward_refuses_to_look_ahead_from_half_of_the_holes():
    with pytest.raises(ConditionError, match="expected every hole of x_t among the queried positions"):
        RewardGuide(zeros).log_tilt(torch.tensor([[3, 3]]), None, torch.tensor([[0]]), torch.full((1, 1, 3), 1 / 3))


# Wishes on trained networks


def random_network(classes=0):
    torch.manual_seed(0)
    sizes = {"width": 16, "depth": 1, "heads": 2, "edges": True}
    network = Classifier(ClassifierConfig(3, classes=classes, center=0.5, scale=0.2, **sizes)).double()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return network


def test_a_wish_is_the_probability_of_its_interval_and_guides_by_gradient():
    network = random_network()
    x_t, positions, p = rows_of(ising())
    mean, deviation = network.number(x_t)
    law = torch.distributions.Normal(mean, deviation)
    with torch.no_grad():
        assert torch.allclose(Wish(network, low=0.6)(x_t), (1 - law.cdf(torch.tensor(0.6))).log())
        assert torch.allclose(Wish(network, high=0.6, strength=2.0)(x_t), 2 * law.cdf(torch.tensor(0.6)).log())
        both = law.cdf(torch.tensor(0.6)) - law.cdf(torch.tensor(0.4))
        assert torch.allclose(Wish(network, 0.4, 0.6)(x_t), both.log())
    far = Wish(network, low=100.0)
    g, base = FirstOrderGuide(far).log_tilt(x_t, None, positions, p)
    assert bool((base < -1000).all())
    assert bool(base.isfinite().all() and g.isfinite().all())
    _, slope = embedding_gradient(lambda soft: Wish(network, low=0.6)(soft), torch.full((1, 4, 4), 0.25).double())
    step = torch.zeros(1, 4, 4).double()
    step[0, 2, 1] = 1e-6
    soft = torch.full((1, 4, 4), 0.25).double()
    difference = (Wish(network, low=0.6)(soft + step) - Wish(network, low=0.6)(soft - step)) / 2e-6
    assert float(slope[0, 2, 1]) == pytest.approx(float(difference.detach()), rel=1e-5)
    with pytest.raises(ConditionError, match="expected low < high and one of them finite"):
        Wish(network)
    with pytest.raises(ConditionError, match="expected low < high"):
        Wish(network, 0.5, 0.5)


def test_a_wish_for_a_class_is_its_log_probability():
    network = random_network(classes=3)
    x_t, _, _ = rows_of(ising())
    total = sum(ClassWish(network, k)(x_t).exp() for k in range(3))
    assert torch.allclose(total, torch.ones_like(total))


# Gradients in embedding space: p(x_s | x_t) = N(μ, σ²), p(y | x) = N(y; ⟨a, x⟩ + c, τ²)


def linear_gaussian(tau=0.7, y=1.3, c=0.2):
    generator = torch.Generator().manual_seed(0)
    mean, a = (torch.randn(5, 3, 2, generator=generator, dtype=torch.float64) for _ in range(2))

    def log_p_y(x, extra=0.0):
        """log p(y | x), up to a constant; with `extra` the variance of ⟨a, x⟩, smoothed over x."""
        return -(y - c - (a * x).sum((1, 2))).square() / (2 * (tau**2 + extra))

    def posterior_mean(variance):
        gain = variance * a / (tau**2 + variance * a.square().sum((1, 2), keepdim=True))
        return mean + gain * (y - c - (a * mean).sum((1, 2), keepdim=True))

    return mean, a, log_p_y, posterior_mean


def test_the_guided_mean_is_that_of_the_posterior_to_first_order_in_the_variance():
    mean, a, log_p_y, posterior_mean = linear_gaussian()
    errors = []
    for variance in (0.002, 0.001):
        error = guided_mean(mean, torch.tensor(variance), log_p_y) - posterior_mean(variance)
        errors.append(float(error.norm()))
        smooth = functools.partial(log_p_y, extra=variance * a.square().sum((1, 2)))
        assert torch.allclose(guided_mean(mean, torch.tensor(variance), smooth), posterior_mean(variance), atol=1e-12)
    assert errors[0] / errors[1] == pytest.approx(4, abs=0.5)  # what is left is of second order
    assert torch.equal(guided_mean(mean, torch.tensor(0.5), log_p_y, 0.0), mean)
    shift = guided_mean(mean, torch.tensor(0.5), log_p_y, 2.0) - mean
    assert torch.allclose(shift, 2 * (guided_mean(mean, torch.tensor(0.5), log_p_y) - mean))


@pytest.mark.parametrize("adaptive", [True, False])
def test_ascending_fluency_and_wish_ends_at_the_posterior_mean(adaptive):
    mean, _, log_p_y, posterior_mean = linear_gaussian()
    objective = fluent(mean, torch.tensor(0.3), log_p_y)
    few, many = (ascend(mean, objective, steps, 0.2 if adaptive else 0.02, adaptive) for steps in (3, 1500))
    assert torch.allclose(many, posterior_mean(0.3), atol=1e-6)
    assert bool((objective(few) > objective(mean)).all())
    alone = ascend(mean[2:3], fluent(mean[2:3], torch.tensor(0.3), lambda x: log_p_y_of(x, 2)), 3, 0.02, adaptive)
    together = ascend(mean, objective, 3, 0.02, adaptive)[2:3]
    assert torch.allclose(alone, together, atol=1e-12)


def log_p_y_of(x, row):
    """The classifier of one row of `linear_gaussian`, by itself."""
    _, a, _, _ = linear_gaussian()
    return -(1.3 - 0.2 - (a[row] * x).sum((1, 2))).square() / (2 * 0.49)


def test_ascending_value_near_the_hidden_states_ends_at_the_tilted_law():
    generator = torch.Generator().manual_seed(1)
    h = torch.randn(4, 2, 3, generator=generator, dtype=torch.float64)
    worth = torch.randn(3, generator=generator, dtype=torch.float64)

    def value(hidden):
        return (hidden.softmax(-1) * worth).sum((1, 2))

    strength = 0.8
    end = ascend(h, near(h, lambda hidden: hidden, value, strength), 4000, 0.5, adaptive=False)
    assert torch.allclose(end.softmax(-1), (h + worth / strength).softmax(-1), atol=1e-8)
    first = ascend(h, near(h, lambda hidden: hidden, value, 1e6), 1, 1e-3, adaptive=False)
    assert torch.allclose(first, h + 1e-3 * embedding_gradient(value, h)[1], atol=1e-12)  # at h itself the KL is flat
