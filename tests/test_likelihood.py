"""Bounds: schedule-invariant, tight for an exact denoiser, never below the entropy."""

import pytest
import torch
from laws import LAWS, Tabled

from seqdiff.likelihood import any_order_bound, continuous_bound
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Cosine, Linear, LogLinear, Polynomial


class Blunt:
    """A denoiser that is wrong: the exact one mixed with 30 % of the uniform law."""

    def __init__(self, law):
        self.exact, self.vocabulary = Tabled(law), law.vocabulary

    def __call__(self, *arguments, **options):
        return (0.7 * self.exact(*arguments, **options).exp() + 0.3 / self.vocabulary).log()


def samples(law, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return law.outcomes[torch.multinomial(law.probability, n, True, generator=generator)]


@pytest.mark.parametrize("make", [Tabled, Blunt])
@pytest.mark.parametrize("name", ["ising", "parity"])
def test_the_continuous_bound_does_not_depend_on_the_schedule(name, make):
    law = LAWS[name]()
    x_0, denoiser = samples(law, 4000), make(law)
    bounds = [
        continuous_bound(denoiser, Absorbing(law.vocabulary, schedule), x_0, draws=32)
        for schedule in (Linear(), Cosine(), Polynomial(2.0), LogLinear(0.05))
    ]
    for bound in bounds[1:]:
        difference = (bound.nats - bounds[0].nats).mean()
        error = (bound.error.square() + bounds[0].error.square()).sum().sqrt() / len(x_0)
        assert abs(float(difference)) < 4 * float(error), (difference, error)


@pytest.mark.parametrize("name", LAWS)
def test_for_the_exact_denoiser_the_bound_is_the_entropy(name):
    law = LAWS[name]()
    each = any_order_bound(Tabled(law), law.vocabulary, law.outcomes.repeat(100, 1), draws=20).nats.reshape(100, -1)
    nats, error = each.mean(0), each.std(0) / 10
    assert torch.allclose(nats, -law.probability.log(), atol=0.15)
    assert bool(((nats + law.probability.log()).abs() < 5 * error + 1e-6).all())
    assert abs(float((law.probability * nats).sum()) - law.entropy()) < 0.02


@pytest.mark.parametrize("name", LAWS)
def test_for_a_wrong_denoiser_the_bound_exceeds_the_entropy(name):
    law = LAWS[name]()
    bound = any_order_bound(Blunt(law), law.vocabulary, law.outcomes, draws=500)
    assert float((law.probability * bound.nats).sum()) > law.entropy() + 0.05


def test_both_forms_of_the_bound_agree():
    law = LAWS["ising"]()
    x_0 = samples(law, 3000)
    one = any_order_bound(Blunt(law), law.vocabulary, x_0, draws=32)
    two = continuous_bound(Blunt(law), Absorbing(law.vocabulary, Linear()), x_0, draws=32)
    error = (one.error.square() + two.error.square()).sum().sqrt() / len(x_0)
    assert abs(float((one.nats - two.nats).mean())) < 4 * float(error)


def test_given_pins_only_the_free_positions_are_scored():
    law = LAWS["copies"]()
    free = torch.tensor([[False, True, True]]).expand(len(law.outcomes), 3)
    bound = any_order_bound(Tabled(law), law.vocabulary, law.outcomes, draws=1000, free=free)
    first = torch.tensor([float(law.probability[law.outcomes[:, 0] == x[0]].sum()) for x in law.outcomes])
    assert torch.allclose(bound.nats, -(law.probability / first).log(), atol=0.1)
    nothing = any_order_bound(Tabled(law), law.vocabulary, law.outcomes, free=torch.zeros_like(free))
    assert torch.equal(nothing.nats, torch.zeros(len(law.outcomes), dtype=torch.float64))


def test_per_token_weights_rows_by_length_and_has_an_error():
    law = LAWS["ising"]()
    mean, error = any_order_bound(Tabled(law), 3, samples(law, 2000), draws=4).per_token()
    assert abs(mean - law.entropy() / 4) < 4 * error
    assert 0 < error < 0.05
