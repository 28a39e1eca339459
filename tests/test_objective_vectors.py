"""Objectives and bound of processes on vectors, against closed forms and enumerated laws."""

import pytest
import torch

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.embedding import EmbeddedProcess, Embedding
from seqdiff.likelihood.gaussian import embedded_bound
from seqdiff.objective.vectors import vector_mse
from seqdiff.processes.gaussian import KINDS, Straight, VarianceExploding, VariancePreserving, from_x0
from seqdiff.schedules import Cosine
from tests.laws import biased

PROCESSES = {"vp": VariancePreserving(Cosine()), "ve": VarianceExploding(), "straight": Straight()}


@pytest.mark.parametrize("name", PROCESSES)
def test_every_kind_of_error_is_the_error_of_x0_times_a_function_of_t(name):
    process = PROCESSES[name]
    generator = torch.Generator().manual_seed(0)
    x_0, eps, x0_hat = (torch.randn(5, 3, 2, dtype=torch.float64, generator=generator) for _ in range(3))
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    x_t = process.corrupt(x_0, t, eps)
    of_x0 = (x0_hat - x_0).square().mean(-1)
    a, b = process.signal(t), process.noise(t)
    slope = process.signal_prime(t) - a * process.noise_prime(t) / b
    # for v = a ε − b x_0 (VP with factor 1): v̂ − v = −(a²/b + b)(x̂0 − x_0)
    factors = {"x0": a**0, "epsilon": (a / b) ** 2, "v": (a**2 / b + b) ** 2, "velocity": slope**2, "score": (a / b**2) ** 2}
    scored = torch.tensor([[True, True, False]] * 5)
    for kind in KINDS:
        if kind == "v" and name != "vp":
            continue
        output = from_x0(process, kind, x0_hat, x_t, t)
        for mask, expected in ((None, of_x0.sum(-1)), (scored, of_x0[:, :2].sum(-1))):
            ours = vector_mse(process, kind, output, x_0, x_t, t, mask)
            assert torch.allclose(ours, factors[kind] * expected, rtol=1e-9), kind


def test_the_minimum_of_flow_matching_is_the_mean_velocity():
    """Conditional flow matching: the error to one path's velocity is least at the mean over paths through x_t."""
    process, t = Straight(), torch.tensor([0.4], dtype=torch.float64)
    points = torch.tensor([-1.0, 2.0], dtype=torch.float64)
    x_t = torch.tensor([[[0.3]]], dtype=torch.float64)
    weight = torch.softmax(-(((x_t - 0.6 * points) / 0.4) ** 2).flatten() / 2, 0)
    candidates = torch.linspace(-6, 6, 2401, dtype=torch.float64)
    loss = torch.stack([sum(_loss(process, c, p, x_t, t) * w for p, w in zip(points, weight, strict=True)) for c in candidates])
    best = candidates[loss.argmin()]
    mean = (weight * points).sum().reshape(1, 1, 1)
    assert abs(float(best - process.velocity(x_t, mean, t))) < 0.005 + 1e-9


def _loss(process, output, x_0, x_t, t):
    return vector_mse(process, "velocity", output.reshape(1, 1, 1), x_0.reshape(1, 1, 1), x_t, t)


@pytest.fixture(scope="module")
def law():
    return EnumeratedLaw.from_log_weights(3, 2, lambda x: 1.5 * (x[0] == x[1]) + 0.4 * x[0])


@pytest.mark.parametrize("name", PROCESSES)
def test_bound_of_the_exact_denoiser_is_the_entropy_within_five_percent(law, name):
    process = EmbeddedProcess(PROCESSES[name], Embedding(torch.eye(3, dtype=torch.float64), learned=False))
    generator = torch.Generator().manual_seed(0)
    x_0 = law.outcomes[torch.multinomial(law.probability, 4000, True, generator=generator)]
    bound = embedded_bound(ExactDenoiser(law, process), process, x_0, draws=16, t_min=0.02)
    mean, error = float(bound.nats.mean()), float(bound.nats.std()) / 4000**0.5
    assert mean > law.entropy() - 4 * error
    assert mean < 1.05 * law.entropy() + 4 * error
    worse = embedded_bound(ExactDenoiser(biased(law, 0.3), process), process, x_0, draws=16, t_min=0.02)
    assert float(worse.nats.mean()) > mean + 4 * error
