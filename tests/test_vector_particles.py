"""Particles of a process on vectors, N runs of which one is drawn by its weight: their law by quadrature and enumeration."""

import math
from collections import Counter
from dataclasses import dataclass, replace

import pytest
import torch
from laws import distribution_test
from laws_vectors import given, law_of_steps
from test_continuous_law import LINE, LINKED, condition_of
from tiny_model import tiny_checkpoint
from vector_model import on_vectors

from apps.api.limits import check_length
from constraints.guidance.steered import Weighed
from constraints.token_sets import TokenSets
from domains.design import DesignSpec, design, prepare
from seqdiff.denoisers.exact import ExactDenoiser
from seqdiff.errors import ConfigError
from seqdiff.samplers.clouds import choose, clouds
from seqdiff.samplers.drive import DrawOptions, answer, drive, generate, generate_clouds
from seqdiff.samplers.embedded import embedded, grid, weighed
from seqdiff.samplers.state import State

T, ENDS = 6, {"spacing": "uniform", "t_max": 0.999, "t_min": 0.12}
FREE = TokenSets.banning(3, frozenset())
FOUR, NOTHING = math.log(4), float("-inf")


@dataclass(frozen=True)
class Levels:
    """A wish that is a number of the row: W is 0 where the row begins with 2, 4 where it ends with 2, and 1 otherwise."""

    share: float = 1.0

    def final(self, x_0):
        log_w = torch.where(x_0[:, -1] == 2, self.share * FOUR, 0.0)
        return torch.where(x_0[:, 0] == 2, NOTHING, log_w).double()


class Vetoes:
    """A wish that no row meets."""

    def final(self, x_0):
        return torch.full((len(x_0),), NOTHING, dtype=torch.float64)


def one_of(p, w, N):
    """E[Σ_n W(x_n) 1[x_n = x] / Σ_n W(x_n)] of N independent x_n ~ p (K,), and P(all W are 0), by all sums that W can have."""
    others = Counter({0.0: 1.0})
    for _ in range(N - 1):
        more = Counter()
        for total, chance in others.items():
            for q, weight in zip(p.tolist(), w.tolist(), strict=True):
                more[total + weight] += chance * q
        others = more
    share = [weight and sum(c * weight / (weight + total) for total, c in others.items()) for weight in w.tolist()]
    return N * p * torch.tensor(share, dtype=torch.float64), float(p[w == 0].sum()) ** N


def law_of_one_run(text):
    """The law of T steps on LINE by quadrature, over the outcomes that hold what the text says."""
    held = condition_of(text, 2, 75 * 75) if text else None
    under, ok = given(LINKED, (lambda x: x.count(0) == 1) if text else (lambda x: True))
    marginals = held.marginals if held else lambda query, p: p
    return under.outcomes, law_of_steps(LINKED, ok, LINE, marginals, grid(LINE, T, **ENDS), 75)


def run(text, particles, n, guide=None, change=lambda state: state):
    """(end, outcome) of n clouds on LINE."""
    held = condition_of(text, 2, n * particles) if text else FREE
    condition = Weighed(held, guide or Levels())
    state = State.from_canvas(LINE, torch.full((n, 2), 3), 1, torch.arange(n))
    state = change(clouds(state, particles, LINE))
    denoiser = ExactDenoiser(LINKED, LINE)
    loop = weighed(embedded(state, LINE, condition, T, **ENDS), condition)
    end = drive(loop, lambda query: answer(denoiser, query, condition, DrawOptions()))
    return end, choose(end, particles)


@pytest.mark.parametrize("text", ["", "count([A], 1)"])
@pytest.mark.parametrize("N", [2, 5])
def test_one_of_N_has_the_law_of_N_and_its_evidence_is_unbiased(text, N):
    outcomes, p = law_of_one_run(text)
    w = Levels().final(outcomes).exp()
    law, dead = one_of(p, w, N)
    assert float(law.sum()) + dead == pytest.approx(1, abs=1e-9)
    clouds_n = 5000
    end, outcome = run(text, N, clouds_n)
    alive = outcome.row >= 0
    assert abs(float((~alive).double().mean()) - dead) < 4 * (dead * (1 - dead) / clouds_n) ** 0.5
    inside = w > 0
    ok, message = distribution_test(end.tokens[outcome.row[alive]], outcomes[inside], law[inside] / (1 - dead))
    assert ok, message
    z = outcome.log_evidence.exp()
    assert abs(float(z.mean()) - float((p * w).sum())) < 4 * float(z.std()) / clouds_n**0.5


def test_as_N_grows_it_is_the_law_of_one_run_tilted():
    outcomes, p = law_of_one_run("")
    w = Levels().final(outcomes).exp()
    tilted = p * w / (p * w).sum()
    off = [float((one_of(p, w, N)[0] / (1 - one_of(p, w, N)[1]) - tilted).abs().sum() / 2) for N in (1, 4, 16, 64)]
    assert off[0] > 0.1 and all(a > 3.5 * b for a, b in zip(off[1:], off[2:], strict=False)), off
    end, outcome = run("", 64, 1000)
    inside = w > 0
    ok, message = distribution_test(end.tokens[outcome.row], outcomes[inside], tilted[inside])
    assert ok, message


def best(end, N):
    """Wrong: the first particle of the greatest weight."""
    return end.log_potential.reshape(-1, N).argmax(-1) + N * torch.arange(len(end.tokens) // N)


WRONG = {
    "the noise of siblings is the same": {"change": lambda state: replace(state, slot=torch.zeros_like(state.slot))},
    "the wish counts half": {"guide": Levels(0.5)},
    "the best is taken": {},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_variants_fail(wrong):
    outcomes, p = law_of_one_run("")
    w, N = Levels().final(outcomes).exp(), 5
    law, dead = one_of(p, w, N)
    end, outcome = run("", N, 3000, **WRONG[wrong])
    rows = (best(end, N) if wrong == "the best is taken" else outcome.row)[outcome.row >= 0]
    inside = w > 0
    assert not distribution_test(end.tokens[rows], outcomes[inside], law[inside] / (1 - dead))[0]


# Requests of mixed lengths -----------------------------------------------------------------------------------------------

CANVASES = [torch.full((2,), 3) for _ in range(5)] + [torch.tensor([3, 0]), torch.tensor([2, 3])]
DENOISER = ExactDenoiser(LINKED, LINE)


def made(particles=4, guide=Levels(), **how):
    """Of each canvas: tokens (None: dead), log Ẑ, effective number."""
    found = {}
    asked = {"particles": particles, "steps": T} | how
    for filled in generate_clouds(DENOISER, LINE, CANVASES, 7, lambda index: Weighed(FREE, guide), **asked):
        for i, tokens, alive, *rest in zip(*(part.tolist() for part in vars(filled).values()), strict=True):
            found[i] = (tokens if alive else None, *rest)
    return [found[i] for i in range(len(CANVASES))]


@pytest.mark.parametrize("sampler", ["embedded-ddpm", "embedded-dpm-solver"])
def test_a_design_does_not_depend_on_its_batch_and_keeps_its_pins(sampler):
    whole = made(sampler=sampler)
    for size in (1, 8, 12):
        assert made(sampler=sampler, batch_size=size) == whole
    assert whole[5][0][1] == 0 and whole[6] == (None, NOTHING, 0.0), "what begins with 2 is dead"
    assert all(tokens[0] != 2 for tokens, *_ in whole[:6])
    assert len({n for *_, n in whole}) > 2


def test_the_first_particle_is_the_run_without_particles():
    ((_, alone),) = generate(DENOISER, LINE, CANVASES, 7, sampler="embedded-ddpm", steps=T)
    assert [tokens for tokens, *_ in made(1, None)] == alone.tolist()
    evenly = made(4, None)
    assert all(rest == [0.0, 4.0] for _, *rest in evenly)
    assert [tokens for tokens, *_ in evenly] != alone.tolist()


def test_a_cloud_in_which_nothing_survives_abstains():
    assert made(guide=Vetoes()) == [(None, NOTHING, 0.0)] * len(CANVASES)


def test_a_sampler_of_tokens_is_refused():
    with pytest.raises(ConfigError, match="'event-driven' does not work on the EmbeddedProcess"):
        made(sampler="event-driven")


# Designs -----------------------------------------------------------------------------------------------------------------

MOLECULES = on_vectors(tiny_checkpoint(), {"C": 6.0})


def test_a_domain_without_gradients_has_wishes_by_particles_alone():
    asked = {"template": "CC{4}O", "n": 6, "steps": 8, "bound_draws": 0}
    free = design(domain="smiles", checkpoint=MOLECULES, **asked)
    assert not all(item.valid for item in free.designs), "else nothing is tried"
    found = design(domain="smiles", checkpoint=MOLECULES, wishes=["valid", "weight >= 80"], **asked)
    assert found.designs and all(item.valid and item.pins_kept for item in found.designs)
    certificate = found.designs[0].certificate
    assert certificate.law == "asymptotic" and certificate.particles == 8
    assert "; one of 8 such rows, drawn by weight: that law tilted by valid (hard" in certificate.text
    assert certificate.guidance == "valid & weight >= 80" and 0 < certificate.sample_size <= 8
    again = design(domain="smiles", checkpoint=MOLECULES, wishes=["valid", "weight >= 80"], batch_size=8, **asked)
    assert [d.sequence for d in again.designs] == [d.sequence for d in found.designs]
    assert again.abstained == found.abstained


def test_the_particles_of_a_wish_are_work():
    spec = DesignSpec("smiles", template="C{999}", n=60, steps=100, wishes=("valid",))
    with pytest.raises(ConfigError, match="60 · 8 · 1000 · 100 = 48,000,000"):
        check_length(spec, MOLECULES)
    check_length(replace(spec, wishes=()), MOLECULES)
    short = replace(spec, template="C{9}", n=2, particles=4)
    many = replace(short, n=60, steps=5000)
    with pytest.raises(ConfigError, match="60 · 4 · 10 · 5000"):
        check_length(many, MOLECULES, prepare(short, MOLECULES))
