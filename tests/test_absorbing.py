"""The absorbing process against brute-force Bayes."""

import itertools

import pytest
import torch

from seqdiff.noise import Stream, uniform
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Cosine, Linear, LogLinear, Polynomial

K = 4
SCHEDULES = [Linear(), Cosine(), LogLinear(0.01), Polynomial(1.7)]
TIMES = [(0.2, 0.5), (0.01, 0.99), (0.6, 0.61)]


def forward(process, t: float):
    """(K + 1, K + 1) transition matrix q(x_t | x_0), mask last."""
    alpha = float(process.schedule.alpha(torch.tensor(t, dtype=torch.float64)))
    q = torch.eye(K + 1, dtype=torch.float64) * alpha
    q[:, K] += 1 - alpha
    return q


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("s", "t"), TIMES)
def test_posterior_is_bayes(schedule, s, t):
    process = Absorbing(K, schedule)
    q_s, q_t = forward(process, s), forward(process, t)
    q_ts = torch.linalg.solve(q_s, q_t)  # q(x_t | x_s): the marginals compose (Chapman–Kolmogorov)
    assert torch.allclose(q_ts.sum(-1), torch.ones(K + 1, dtype=torch.float64))
    assert bool((q_ts > -1e-12).all())
    p_x0 = torch.softmax(torch.arange(K, dtype=torch.float64), 0)
    for x_t in range(K + 1):
        expected = torch.zeros(K + 1, dtype=torch.float64)
        for v in range(K):
            joint = q_s[v] * q_ts[:, x_t]
            if joint.sum() > 0:
                expected += p_x0[v] * joint / joint.sum()
        if x_t < K:  # carried over: only v = x_t can have led here
            expected = q_s[x_t] * q_ts[:, x_t] / (q_s[x_t] * q_ts[:, x_t]).sum()
        ours = process.posterior(
            torch.tensor([[x_t]]), p_x0.expand(1, 1, K), torch.tensor(s).double(), torch.tensor(t).double()
        )
        assert torch.allclose(ours[0, 0], expected, atol=1e-10)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_kernel_of_every_clean_token_sums_to_the_posterior(schedule):
    process = Absorbing(K, schedule)
    s, t = torch.tensor([0.3], dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64)
    p_x0 = torch.softmax(torch.randn(1, 1, K, dtype=torch.float64, generator=torch.Generator().manual_seed(0)), -1)
    posterior = process.posterior(torch.tensor([[K]]), p_x0, s, t)[0, 0]
    for x_s in range(K + 1):
        kernel = process.log_kernel(torch.tensor([[K]]), torch.tensor([[x_s]]), s, t).exp()[0, 0]
        assert torch.allclose((kernel * p_x0[0, 0]).sum(), posterior[x_s], atol=1e-12)


def test_corruption_has_the_right_rate_per_row_and_never_touches_the_rest():
    process = Absorbing(K, Cosine())
    x_0 = torch.randint(K, (3, 20_000), generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    u = uniform(0, torch.arange(3).unsqueeze(-1), 0, torch.arange(20_000), Stream.CORRUPT)
    x_t = process.corrupt(x_0, t, u)
    masked = x_t == K
    assert torch.equal(x_t[~masked], x_0[~masked])
    rate = process.schedule.mask_rate(t)
    error = (rate * (1 - rate) / 20_000).sqrt()
    assert bool(((masked.double().mean(-1) - rate).abs() < 4 * error).all())


def test_prior_is_all_mask():
    assert torch.equal(Absorbing(K, Linear()).prior(torch.zeros(2, 3)), torch.full((2, 3), K))


def test_reveal_probabilities_multiply_along_any_grid():
    """Staying masked over several steps composes: the law at the end does not depend on the steps in between."""
    process = Absorbing(K, Cosine())
    grid = torch.linspace(1, 0.1, 7, dtype=torch.float64)
    stay = [1 - process.unmask_probability(s, t) for t, s in itertools.pairwise(grid)]
    whole = 1 - process.unmask_probability(grid[-1], grid[0])
    assert torch.allclose(torch.stack(stay).prod(), whole)
