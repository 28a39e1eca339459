"""Recipes: what defines each, by identities and enumeration; each learns a law, is saved, loaded and sampled."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import ConfigError
from seqdiff.local_times import PerPosition, Spindle, information, local_time_to_config, local_weight
from seqdiff.objective import local_cross_entropy, masked_cross_entropy
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Cosine, Linear
from seqdiff.systems.base import Rows
from seqdiff.systems.diffusion_bert import DiffusionBERT
from seqdiff.systems.given import target
from seqdiff.systems.maskgit import MaskGIT
from seqdiff.systems.mdlm import MDLM
from seqdiff.systems.rdm import RDM
from seqdiff.systems.registry import build_system
from seqdiff.training.build import build, to_checkpoint
from seqdiff.training.config import OptimizerConfig, RunConfig, TrainingConfig
from seqdiff.training.data import EncodedData
from seqdiff.training.loop import train
from tests.laws import Tabled, ising

RECIPES = {
    "diffuseq": "sqrt",
    "cdcd": "linear",
    "ssd-lm": "squared-cosine",
    "tess": "squared-cosine",
    "diffusion-bert": "linear",
    "rdm": "linear",
    "dndm": "linear",
    "maskgit": "cosine",
    "llada": "linear",
}
ON_VECTORS = ("diffuseq", "cdcd", "ssd-lm", "tess")
TIMES = {"cdcd": {"kind": "warped", "bins": 8, "weighted": False}}


def rows_of(x_0, step=0):
    B, lengths = len(x_0), torch.full((len(x_0),), x_0.shape[1])
    return Rows(x_0, torch.zeros(B, dtype=torch.int64), lengths, torch.arange(B), B, False, 0, step)


def drawn(law, n: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return law.outcomes[torch.multinomial(law.probability, n, True, generator=generator)]


def total(system, network, rows):
    return torch.stack(list(system.terms(network, rows).values())).sum(0).double()


@pytest.fixture(scope="module")
def data() -> EncodedData:
    """Source a, b or c twice, the separator, and a target of two tokens: each one of the source's plus one, mostly."""
    random = np.random.default_rng(0)
    source = random.integers(0, 3, (3000, 2))
    slip = random.random((3000, 2)) < 0.1
    rows = np.concatenate([source, np.full((3000, 1), 3), (source + 1 + slip) % 3], 1).tolist()
    return EncodedData.from_rows(Alphabet("toy", tuple("abc|")), rows, [0] * 3000, np.arange(3000) % 10 == 0, ("all",))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_learns_is_saved_loaded_and_sampled(name, data, tmp_path):
    """On vectors the target given the source, else the whole row, whose last two tokens slip in a tenth of the rows."""
    steps = 160 if name == "cdcd" else 120
    run = RunConfig(steps=steps, batch_tokens=1280, precision="fp32", eval_every=steps, checkpoint_every=steps, eval_rows=300)
    optimizer = OptimizerConfig(lr=8e-3, lr_rest=8e-3, warmup=10, ema=0.95)
    options = {"separator": 3} if name in ON_VECTORS else {}
    model = {"width": 32, "depth": 1 if name in ON_VECTORS else 2, "heads": 2, "edges": True}
    times = TIMES.get(name, {"kind": "uniform"})
    config = TrainingConfig(model, {"kind": RECIPES[name]}, options, times, optimizer, run, name)
    log: list[dict] = []
    network, system = build(config, data)
    network, _ = train(network, system, data, config, tmp_path / "run", report=log.append)
    checkpoint = to_checkpoint(network, system, data, {})
    checkpoint.save(tmp_path / "model", "a card", "float32")
    again = load_checkpoint(tmp_path / "model")
    assert again.system == system

    source = torch.tensor([[0, 1], [2, 2], [1, 0]]).repeat_interleave(100, 0)
    canvas = torch.cat([source, torch.full((300, 1), 3), torch.full((300, 2), 4)], 1)
    tokens = torch.cat([t for _, t in again.system.sample(again.network, list(canvas), 0, 32, batch_size=300)])
    before = torch.cat([t for _, t in system.sample(network, list(canvas), 0, 32, batch_size=300)])
    assert torch.equal(tokens, before)
    assert torch.equal(tokens[:, :3], canvas[:, :3]), "the source stays"
    right = float((tokens[:, 3:] == (source + 1) % 3).double().mean())
    assert right > 0.7, f"{right:.2f} of the targets follow their source; 0.9 of the data's do, 0.25 by chance"
    slips = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    per_token = slips if options else (2 * math.log(3) + 2 * slips) / 5
    bound, error = log[-1]["bound/all"], log[-1]["error/all"]
    assert per_token - 4 * error < bound < 2 * per_token + 0.3


# What defines them ---------------------------------------------------------------------------------------------------------


def test_the_target_begins_after_the_first_separator():
    x_0 = torch.tensor([[1, 3, 2, 3, 0], [1, 1, 1, 1, 1], [3, 0, 0, 5, 5]])
    real = x_0 < 5
    expected = [[False, False, True, True, True], [False] * 5, [False, True, True, False, False]]
    assert target(x_0, 3, real).tolist() == expected
    assert torch.equal(target(x_0, None, real), real)


@pytest.mark.parametrize("name", ["diffuseq", "tess"])
def test_a_source_is_neither_noised_nor_scored(name):
    """With a network that answers from the source alone, terms and bound see no source token's own loss."""
    model = {"vocabulary": 4, "labels": 1, "width": 32, "depth": 1, "heads": 2}
    torch.manual_seed(0)
    network, system = build_system(name, model, {"kind": "sqrt"})
    system = dataclasses.replace(system, separator=3, **({"self_condition": False} if name == "tess" else {}))  # type: ignore[type-var]
    seen = []
    handle = network.register_forward_hook(lambda module, arguments, output: seen.append(arguments[0].detach()))
    x_0 = torch.tensor([[0, 1, 3, 2, 1]] * 8)
    system.terms(network, rows_of(x_0))
    system.bound(network, x_0, None, draws=2)
    handle.remove()
    for x_t in seen:
        assert torch.allclose(x_t[:, :3].double(), x_t[:1, :3].double().expand_as(x_t[:, :3]), atol=1e-6)
        assert float((x_t[1:, 3:] - x_t[:1, 3:]).abs().amin((1, 2)).max()) > 0
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    nothing = torch.tensor([[0, 1, 0, 2, 1]] * 8)  # no separator: no target
    assert float(total(system, network, rows_of(nothing)).abs().max().detach()) == 0
    assert float(system.bound(network, nothing, None).nats.abs().max()) == 0
    assert system.bound(network, x_0, None).lengths.tolist() == [2] * 8


def expected_loss(clock, knows_the_clock: bool) -> float:
    """∫ dt E Σ_{i masked} w_i(t) · −log p(x_0^i | x_t) over the law and all sets of masks, for the exact p of the plain
    process, or for the one that knows how likely each set of masks is given x_0."""
    law, process, schedule = ising(), Absorbing(3, Linear()), Linear()
    x_0 = law.outcomes
    nodes, shares = np.polynomial.legendre.leggauss(48)
    loss = 0.0
    for node, share in zip((nodes + 1) / 2, shares / 2, strict=True):
        t = torch.full((81,), node**2, dtype=torch.float64)  # t = s², for powers below 1
        rate, weight = schedule.mask_rate(clock(t, x_0)), local_weight(schedule, clock, t, x_0)
        for masks in range(1, 16):
            masked = torch.tensor([bool(masks >> i & 1) for i in range(4)])
            likely = torch.where(masked, rate, 1 - rate).prod(-1)
            x_t = torch.where(masked, 3, x_0)
            prior = law.probability * (likely if knows_the_clock else 1.0)
            agrees = (x_t.unsqueeze(1) == x_t).all(-1).double() * prior
            p = (agrees.unsqueeze(-1).unsqueeze(-1) * torch.nn.functional.one_hot(x_0, 3)).sum(1)
            nats = local_cross_entropy(process, p.log(), x_0, x_t, weight)
            loss += share * 2 * node * float((law.probability * likely * nats).sum())
    return loss


def test_under_a_schedule_a_token_the_objective_is_the_entropy_at_the_plain_posterior():
    """By the chain rule, in whatever order tokens are masked. The spindle's masks tell of x_0: its own minimum lies lower."""
    entropy = ising().entropy()
    position = PerPosition(torch.tensor([0.5, 1.0, 2.0, 1.0]))
    spindle = Spindle(information(torch.tensor([900, 90, 10])))
    assert expected_loss(position, False) == pytest.approx(entropy, rel=1e-6)
    assert expected_loss(position, True) == pytest.approx(entropy, rel=1e-6)
    assert expected_loss(spindle, False) == pytest.approx(entropy, rel=1e-6)
    assert expected_loss(spindle, True) < entropy - 0.04


def test_diffusion_bert_weighs_each_masked_token_by_its_own_schedule():
    clock = Spindle(information(torch.tensor([900, 90, 10])))
    system = DiffusionBERT(Absorbing(3, Cosine()), clock=local_time_to_config(clock))
    seen = []

    def network(x_t, t, *_):
        seen.append((x_t, t))
        return torch.zeros(*x_t.shape, 3, dtype=torch.float64)

    x_0 = torch.tensor([[0, 1, 2, 1]]).expand(50, 4)
    nats = total(system, network, rows_of(x_0))
    x_t, t = seen[0]
    h = 1e-6
    rise = (Cosine().mask_rate(clock((t + h).clamp(max=1), x_0)) - Cosine().mask_rate(clock(t - h, x_0))) / (
        (t + h).clamp(max=1) - (t - h)
    ).unsqueeze(-1)
    by_hand = torch.where(x_t == 3, rise / Cosine().mask_rate(clock(t, x_0)), 0.0).sum(-1) * math.log(3)
    assert torch.allclose(nats, by_hand, rtol=1e-4, atol=1e-5)


def test_diffusion_bert_masks_what_is_informative_earlier():
    counts = torch.tensor([900, 90, 10])
    system = DiffusionBERT(Absorbing(3, Linear())).counted(counts)
    assert system.clock is not None and system.clock["information"] == information(counts).tolist()
    seen = []

    def network(x_t, *_):
        seen.append(x_t)
        return torch.zeros(*x_t.shape, 3)

    x_0 = torch.tensor([[0, 1, 2]]).expand(4000, 3)
    system.terms(network, rows_of(x_0))
    share = (seen[0] == 3).double().mean(0)
    assert float(share[0]) < float(share[1]) < float(share[2])
    kept = DiffusionBERT(Absorbing(3, Linear()), clock={"kind": "position", "power": [1.0, 2.0, 0.5]}).counted(counts)
    assert kept.clock == {"kind": "position", "power": [1.0, 2.0, 0.5]}
    with pytest.raises(ConfigError, match="expected 0 ≤ λ < 1/π"):
        DiffusionBERT(Absorbing(3, Linear()), clock={"kind": "spindle", "strength": 0.4}).counted(counts)
    with pytest.raises(ConfigError, match="expected a power for each of 4 positions, got 3"):
        kept.terms(network, rows_of(torch.zeros(2, 4, dtype=torch.int64)))


def test_rdm_is_a_reweighted_bound_at_two_coupled_steps():
    """E L = Σ_k (1 − (k − 1)/T)/T · E[CE of the masked at k/T], whatever the coupling: enumerated over sets of masks."""
    law, T = ising(), 5
    exact, x_0 = Tabled(law), drawn(law, 40_000)
    system = RDM(Absorbing(3, Cosine()), steps=T)
    nats = total(system, lambda x_t, *_: exact(x_t), rows_of(x_0))
    expected = 0.0
    for k in range(1, T + 1):
        rate = float(Cosine().mask_rate(torch.tensor(k / T, dtype=torch.float64)))
        for masks in range(16):
            masked = torch.tensor([bool(masks >> i & 1) for i in range(4)])
            x_t = torch.where(masked, 3, law.outcomes)
            log_p = exact(x_t).log_softmax(-1).gather(-1, law.outcomes.unsqueeze(-1)).squeeze(-1)
            ce = -(law.probability * torch.where(masked, log_p, 0.0).sum(-1)).sum()
            n = int(masked.sum())
            expected += (1 - (k - 1) / T) / T * rate**n * (1 - rate) ** (4 - n) * float(ce)
    assert abs(float(nats.mean()) - expected) < 4 * float(nats.std()) / len(nats) ** 0.5
    with pytest.raises(ConfigError, match="expected at least 2 steps, got 1"):
        RDM(Absorbing(3, Cosine()), steps=1)


def test_the_two_steps_of_rdm_are_uniform_and_nested():
    seen = []

    def network(x_t, t, *_):
        seen.append((x_t, t))
        return torch.zeros(*x_t.shape, 3)

    x_0 = torch.zeros(6000, 4, dtype=torch.int64)
    RDM(Absorbing(3, Linear()), steps=5).terms(network, rows_of(x_0))
    (x_s, s), (x_t, t) = seen
    assert bool((s < t).all())
    assert bool(((x_s == 3) <= (x_t == 3)).all()), "what is masked at s is masked at t"
    counts = torch.bincount((torch.cat([s, t]) * 5).round().long(), minlength=6)[1:]
    assert torch.allclose(counts / 12_000, torch.full((5,), 0.2), atol=2e-3)


def test_maskgit_masks_as_many_as_its_rate_says_and_weighs_none():
    seen = []

    def network(x_t, t, *_):
        seen.append((x_t, t))
        return torch.zeros(*x_t.shape, 3)

    x_0 = torch.zeros(2000, 7, dtype=torch.int64)
    nats = total(MaskGIT(Absorbing(3, Cosine())), network, rows_of(x_0))
    x_t, t = seen[0]
    n = (x_t == 3).sum(-1)
    assert torch.equal(n, (torch.cos(math.pi / 2 * (1 - t)) * 7).ceil().long())
    assert torch.allclose(nats, n.double() * math.log(3), rtol=1e-6)


def test_lladas_objective_is_mdlms_in_the_mean():
    """1/t · CE over the masked at t uniform, against the objective that averages the weight over the rates of a count."""
    law, process = ising(), Absorbing(3, Linear())
    exact, x_0 = Tabled(law), drawn(law, 40_000)
    rows = rows_of(x_0)
    ours = total(MDLM(process, sampler="confidence"), lambda x_t, *_: exact(x_t), rows)
    t = rows.times()
    x_t = process.corrupt(x_0, t, rows.uniform())
    llada = masked_cross_entropy(process, exact(x_t), x_0, x_t, t)
    assert abs(float(ours.mean() - llada.mean())) < 4 * float((ours - llada).std()) / len(x_0) ** 0.5
    assert float(ours.std()) < float(llada.std())
