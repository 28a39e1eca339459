"""Every system learns a law on its own objective, bounds it from above, samples it, and keeps pins."""

import dataclasses

import numpy as np
import pytest
import torch

from seqdiff.alphabet import Alphabet
from seqdiff.denoisers.exact import ExactDenoiser
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.base import Rows
from seqdiff.systems.mdlm import MDLM
from seqdiff.systems.registry import SYSTEMS, build_system
from seqdiff.systems.sedd import SEDD
from seqdiff.training.config import OptimizerConfig, RunConfig, TrainingConfig
from seqdiff.training.data import EncodedData
from seqdiff.training.loop import train
from tests.laws import ising

WHOLE = ("mdlm", "sedd", "d3pm-uniform", "diffusion-lm", "flow", "autoregressive")  # the others: test_recipes.py
ON_VECTORS = ("diffusion-lm", "flow")  # slower to learn and to sample
MODEL = {"vocabulary": 3, "labels": 1, "width": 32, "depth": 2, "heads": 2}


def rows_of(x_0, step=0):
    B = len(x_0)
    lengths = torch.full((B,), x_0.shape[1])
    return Rows(x_0, torch.zeros(B, dtype=torch.int64), lengths, torch.arange(B), B, False, 0, step)


@pytest.fixture(scope="module")
def data():
    """4,000 draws of a law of 81 outcomes whose entropy is known."""
    law = ising()
    generator = torch.Generator().manual_seed(0)
    drawn = law.outcomes[torch.multinomial(law.probability, 4000, True, generator=generator)].tolist()
    return EncodedData.from_rows(Alphabet("toy", tuple("abc")), drawn, [0] * 4000, np.arange(4000) % 10 == 0, ("all",))


@pytest.mark.parametrize("name", WHOLE)
def test_a_system_learns_bounds_and_samples_a_law(name, data, tmp_path):
    law = ising()
    torch.manual_seed(0)
    network, system = build_system(name, MODEL, {"kind": "linear"})
    steps, passes = (500, 64) if name in ON_VECTORS else (240, 32)
    run = RunConfig(steps=steps, batch_tokens=1024, precision="fp32", eval_every=steps, checkpoint_every=steps, eval_rows=400)
    config = TrainingConfig(optimizer=OptimizerConfig(lr=5e-3, warmup=20, ema=0.98), run=run)
    log: list[dict] = []
    network, _ = train(network, system, data, config, tmp_path, report=log.append)
    losses = [r["loss"] for r in log]
    assert np.median(losses[-10:]) < 0.95 * losses[0]
    bound, error = log[-1]["bound/all"], log[-1]["error/all"]
    per_token = law.entropy() / 4
    assert bound > per_token - 4 * error  # a bound: no model is better than the law
    assert bound < {"d3pm-uniform": 1.25, "diffusion-lm": 1.6, "flow": 1.6}.get(name, 1.1) * per_token
    n = 2000
    drawn = torch.cat([tokens for _, tokens in system.sample(network, [torch.full((4,), 3)] * n, 0, passes, batch_size=n)])
    counts = torch.bincount(law.index(drawn), minlength=82).double() / n
    distance = float((counts[:81] - law.probability).abs().sum() / 2)
    uniform = float((1 / 81 - law.probability).abs().sum() / 2)
    assert distance < 0.6 * uniform, f"TV {distance:.3f}, of the uniform law {uniform:.3f}"
    pinned = torch.tensor([2, 3, 3, 3])
    kept = torch.cat([tokens for _, tokens in system.sample(network, [pinned] * 50, 1, 8)])
    assert bool((kept[:, 0] == 2).all())
    assert bool((kept < 3).all())


@pytest.mark.parametrize("name", SYSTEMS)
def test_terms_do_not_depend_on_how_a_batch_is_shared(name):
    """Two processes with half of the rows each see the numbers of one with all."""
    torch.manual_seed(0)
    network, system = build_system(name, MODEL, {"kind": "cosine"})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x_0 = torch.randint(3, (6, 5), generator=torch.Generator().manual_seed(0))
    rows = rows_of(x_0, step=3)
    whole = sum(system.terms(network, rows).values())
    fields = {f: getattr(rows, f) for f in ("x_0", "label", "lengths", "place")}
    for half in (slice(0, None, 2), slice(1, None, 2)):
        part = dataclasses.replace(rows, **{f: v[half] for f, v in fields.items()})
        assert torch.allclose(sum(system.terms(network, part).values()), whole[half], atol=1e-4)


@pytest.mark.parametrize("name", SYSTEMS)
def test_padding_does_not_enter_the_terms(name):
    torch.manual_seed(0)
    network, system = build_system(name, MODEL, {"kind": "linear"})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x_0 = torch.randint(3, (4, 5), generator=torch.Generator().manual_seed(0))
    x_0[2:, 3:] = 4  # the pad
    rows = dataclasses.replace(rows_of(x_0), lengths=torch.tensor([5, 5, 3, 3]), padded=True)
    other = dataclasses.replace(rows, x_0=torch.where(x_0 == 4, 0, x_0))
    one, two = (sum(system.terms(network, r).values()) for r in (rows, other))
    assert torch.allclose(one, two, atol=1e-5)


def test_score_entropy_of_normalised_ratios_has_the_mean_of_mdlms_objective():
    """SEDD with c = p and MDLM estimate one bound, which at the exact p is the entropy."""
    law = ising()
    process = Absorbing(3, Linear())
    exact = ExactDenoiser(law)

    def network(x_t, t, label, lengths):
        return exact(x_t)

    generator = torch.Generator().manual_seed(0)
    x_0 = law.outcomes[torch.multinomial(law.probability, 20_000, True, generator=generator)]
    for system in (SEDD(process), MDLM(process)):
        nats = sum(system.terms(network, rows_of(x_0)).values()).double()
        assert abs(float(nats.mean()) - law.entropy()) < 4 * float(nats.std()) / 20_000**0.5


def test_unknown_system_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"expected one of mdlm, .*; got 'gpt'"):
        build_system("gpt", MODEL, {"kind": "linear"})
