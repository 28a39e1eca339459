"""The training objective: an unbiased estimate of the bound, with less variance than the plain weight."""

import pytest
import torch
from laws import LAWS

from seqdiff.denoisers.exact import ExactDenoiser
from seqdiff.noise import Stream, uniform
from seqdiff.objective import antithetic_times, masked_cross_entropy, training_loss
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Cosine, Linear, LogLinear, Polynomial


def test_times_are_stratified_and_cover_the_interval():
    u = torch.tensor(0.37, dtype=torch.float64)
    t = antithetic_times(8, u).sort().values
    assert bool(((t > 0) & (t <= 1)).all())
    assert torch.allclose(t.diff(), torch.full((7,), 1 / 8, dtype=torch.float64))


def both(law, schedule, n=20_000):
    generator = torch.Generator().manual_seed(0)
    x_0 = law.outcomes[torch.multinomial(law.probability, n, True, generator=generator)]
    process = Absorbing(law.vocabulary, schedule)
    rate = antithetic_times(n, uniform(0, 0, 0, 0, Stream.TIME))
    u = uniform(0, torch.arange(n).unsqueeze(-1), 0, torch.arange(x_0.shape[1]), Stream.CORRUPT)
    t, x_t = process.schedule.inverse(rate), torch.where(u < rate.unsqueeze(-1), process.mask, x_0)
    logits = ExactDenoiser(law)(x_t)
    lengths = torch.full((n,), x_0.shape[1])
    return training_loss(process, logits, x_0, x_t, lengths), masked_cross_entropy(process, logits, x_0, x_t, t), t


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Polynomial(2.0), LogLinear()])
@pytest.mark.parametrize("name", ["ising", "parity"])
def test_for_the_exact_denoiser_its_mean_is_the_entropy_whatever_the_schedule(name, schedule):
    law = LAWS[name]()
    loss, _, _ = both(law, schedule)
    assert abs(float(loss.mean()) - law.entropy()) < 4 * float(loss.std()) / len(loss) ** 0.5


def test_it_agrees_with_the_time_weighted_bound_and_varies_less():
    loss, plain, t = both(LAWS["ising"](), Linear())
    error = float((loss - plain).std()) / len(loss) ** 0.5
    assert abs(float((loss - plain).mean())) < 5 * error
    assert float(loss.std()) < float(plain.std())
    assert float(loss.max()) < float(plain.max())


def test_the_weight_is_the_mean_of_1_over_u_given_the_number_of_masks():
    N, n = 6, 2
    u = torch.distributions.Beta(n + 1.0, N - n + 1.0)
    torch.manual_seed(0)
    assert abs(float((1 / u.sample((200_000,))).mean()) - (N + 1) / n) < 0.05
