"""Weights and particles on a toy that can be written down: the right law, an unbiased Ẑ, and wrong variants that fail."""

from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from laws import Tabled, distribution_test
from laws_constrained import Enumerated, chain_law, cloud_law, counted_law, distance, given, reward, target, toy

from constraints.condition import Constrained
from constraints.token_sets import TokenSets
from seqdiff.denoisers.exact import ExactDenoiser
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers import particles as loops
from seqdiff.samplers.clouds import choose, clouds, log_weights, normalised
from seqdiff.samplers.drive import DrawOptions, answer, drive, generate_clouds
from seqdiff.samplers.particles import chain_particles, reveal_particles
from seqdiff.samplers.remasking import Remasking
from seqdiff.samplers.state import State
from seqdiff.schedules import Linear

MASKED, UNIFORM = Absorbing(3, Linear()), Uniform(3, Linear())
LAW, OK = toy()
STRUCTURE = Enumerated(LAW.outcomes[OK])


@dataclass(frozen=True)
class Affine:
    """The toy's reward, affine in the one-hots, as a guide; `share` makes a poor proposal of it for the same wish."""

    strength: float = 1.0
    share: float = 1.0

    def log_tilt(self, x_t, t, positions, p):
        one, two = ((torch.arange(3) == v).double() for v in (1, 2))
        here = positions.unsqueeze(-1)
        g = 0.8 * two * (here == 4) + 0.5 * one * (here == 0) - 0.3 * one
        return self.strength * self.share * g.expand_as(p), self.strength * reward(x_t)

    def final(self, x_0):
        return self.strength * reward(x_0)


def run(particles, clouds_n, loop=reveal_particles, process=MASKED, steps=None, tilt=0.0, condition=None, guide=None, **how):
    """(end, outcome) of some clouds."""
    guide = guide or (Affine(tilt) if tilt else None)
    condition = condition or Constrained(3, None, STRUCTURE, None, guide, weighted=True)
    state = clouds(State.from_canvas(process, torch.full((clouds_n, 5), 3), 1, torch.arange(clouds_n)), particles, process)
    denoiser = Tabled(LAW, process)
    generator = loop(state, process, condition, steps=steps, particles=particles, **how)
    end = drive(generator, lambda query: answer(denoiser, query, condition, DrawOptions()))
    return end, choose(end, particles)


def bias(end, particles, want) -> float:
    """Distance of the mean weighted cloud to the law that is wanted."""
    weight = normalised(log_weights(end).reshape(-1, particles)) / (len(end.tokens) // particles)
    return distance(cloud_law(LAW, end.tokens, weight.flatten()), want)


def estimate(outcome, evidence: float) -> float:
    """(mean Ẑ − Z) in standard errors."""
    z = outcome.log_evidence.exp()
    return float((z.mean() - evidence) / (z.std() / len(z) ** 0.5))


@cache
def wanted(kind: str, tilt: float):
    if kind == "any order":
        return target(LAW, OK, tilt)
    theirs = {
        "two a step": lambda: counted_law(LAW, 3),
        "masked": lambda: chain_law(LAW, MASKED, 4),
        "uniform": lambda: chain_law(LAW, UNIFORM, 4),
    }[kind]()
    return given(theirs, LAW, OK, tilt)


CASES = {
    "any order": {"loop": reveal_particles},
    "two a step": {"loop": reveal_particles, "steps": 3},
    "masked": {"loop": chain_particles, "steps": 4},
    "uniform": {"loop": chain_particles, "steps": 4, "process": UNIFORM},
}


@pytest.mark.parametrize("tilt", [0.0, 1.0])
@pytest.mark.parametrize("kind", CASES)
def test_the_cloud_has_the_law_that_is_wanted_and_its_evidence_is_unbiased(kind, tilt):
    want, evidence = wanted(kind, tilt)
    end, outcome = run(64, 400, tilt=tilt, **CASES[kind])
    alone, _ = run(1, 6000, tilt=tilt, **CASES[kind])
    assert bool(OK[[LAW.outcomes.tolist().index(x) for x in end.tokens[outcome.row].tolist()]].all())
    assert abs(estimate(outcome, evidence)) < 4
    corrected, uncorrected = bias(end, 64, want), bias(alone, 1, want)
    assert corrected < 0.025 < 0.032 < uncorrected, (corrected, uncorrected)


def test_one_returned_particle_passes_the_test_of_the_law_as_the_cloud_grows():
    want, _ = wanted("any order", 1.0)
    end, outcome = run(64, 1500, tilt=1.0)
    inside = OK.nonzero().squeeze(-1)
    ok, message = distribution_test(end.tokens[outcome.row], LAW.outcomes[inside], want[inside])
    assert ok, message
    alone, outcome = run(1, 1500, tilt=1.0)
    assert not distribution_test(alone.tokens[outcome.row], LAW.outcomes[inside], want[inside])[0]


def test_a_poor_proposal_is_divided_out():
    want, evidence = wanted("any order", 1.0)
    end, outcome = run(64, 400, guide=Affine(1.0, share=-1.0))
    assert abs(estimate(outcome, evidence)) < 4 and bias(end, 64, want) < 0.04


def test_remasking_stays_completable_and_is_corrected():
    process = Remasking(MASKED, 0.05)
    theirs = chain_law(LAW, MASKED, 6, process.bridge)
    want, evidence = given(theirs, LAW, OK)
    end, outcome = run(64, 400, loop=chain_particles, steps=6, kernel=process)
    alone, _ = run(1, 6000, loop=chain_particles, steps=6, kernel=process)
    assert bias(end, 64, want) < 0.04 < 0.08 < bias(alone, 1, want)
    assert (
        0.75 < float(outcome.log_evidence.exp().mean()) / evidence < 1.02
    )  # paths that leave C for a while are not among them


class NoRatio(Constrained):
    """Wrong: p/M̃ is left out."""

    def draw(self, query, p_x0, commit, u):
        draw = super().draw(query, p_x0, commit, u)
        kept = draw.tokens.clamp(max=2).unsqueeze(-1)
        M, _, _ = self.factors(query, p_x0)
        p, q = (x.gather(-1, kept).squeeze(-1) / x.sum(-1) for x in (p_x0, M))
        return draw._replace(log_weight=draw.log_weight - torch.where(commit, p.log() - q.log(), 0.0).sum(-1))


class KeepsFactors(Constrained):
    """Wrong: the factors of clamped positions stay in Z(x_s; x_t)."""

    def draw(self, query, p_x0, commit, u):
        draw = super().draw(query, p_x0, commit, u)
        chosen = self.factors(query, p_x0)[0].gather(-1, draw.tokens.clamp(max=2).unsqueeze(-1)).squeeze(-1)
        return draw._replace(log_weight=draw.log_weight - torch.where(commit, chosen.log(), 0.0).sum(-1))


class PicksByValue(Constrained):
    """Wrong: of what was drawn, the likeliest token is kept, and weighted as if its position had been chosen before."""

    def draw(self, query, p_x0, commit, u):
        everything = super().draw(query, p_x0, query.open, u)
        p = p_x0.gather(-1, everything.tokens.clamp(max=2).unsqueeze(-1)).squeeze(-1)
        best = torch.nn.functional.one_hot(torch.where(query.open, p, -1.0).argmax(-1), p.shape[1]).bool()
        commit.copy_(best & query.open)
        return super().draw(query, p_x0, commit, u)


@pytest.mark.parametrize("variant", [NoRatio, KeepsFactors, PicksByValue])
def test_wrong_conditions_fail(variant):
    want, evidence = wanted("any order", 1.0)
    condition = variant(3, None, STRUCTURE, None, Affine(1.0), weighted=True)
    end, outcome = run(64, 300, condition=condition)
    assert bias(end, 64, want) > 0.04 or abs(estimate(outcome, evidence)) > 8


def test_weights_that_are_not_reset_and_the_best_particle_fail(monkeypatch):
    want, evidence = wanted("any order", 1.0)
    end, outcome = run(64, 300, tilt=1.0)
    best = end.tokens.reshape(300, 64, 5)[torch.arange(300), log_weights(end).reshape(300, 64).argmax(-1)]
    assert distance(cloud_law(LAW, best, torch.full((300,), 1 / 300, dtype=torch.float64)), want) > 0.2

    def keeps(state, ancestor, resampled):
        right = inherit(state, ancestor, resampled)
        return replace(right, log_weight=state.rows(ancestor).log_weight)

    inherit = loops.inherit
    monkeypatch.setattr(loops, "inherit", keeps)
    end, outcome = run(64, 300, tilt=1.0, threshold=1.0)
    assert bias(end, 64, want) > 0.04 or abs(estimate(outcome, evidence)) > 8


def test_nothing_that_holds_anyway_weighs_anything():
    """C = everything, or all positions revealed at once: no weight, no bias."""
    everything = Constrained(3, None, Enumerated(LAW.outcomes), None, None, weighted=True)
    end, outcome = run(8, 50, condition=everything)
    assert float(log_weights(end).abs().max()) < 1e-12 and float(outcome.log_evidence.abs().max()) < 1e-12
    end, outcome = run(8, 50, steps=1)
    _, evidence = given(counted_law(LAW, 1), LAW, OK)
    assert float((outcome.log_evidence.exp() - evidence).abs().max()) < 1e-12
    assert float((outcome.sample_size - 8).abs().max()) < 1e-9


def test_token_sets_are_part_of_what_is_weighted():
    """The model given x_0 ≠ 1 and x_2 = 2, which sets say: the law and the evidence are the model's conditional ones."""
    allowed = torch.zeros(3, 3, dtype=torch.float64)
    allowed[1, 1] = allowed[2, 0] = allowed[2, 1] = float("-inf")
    sets = TokenSets(allowed, torch.tensor([1, 0, 2, 0, 0]).expand(64 * 400, 5))
    ok = (LAW.outcomes[:, 0] != 1) & (LAW.outcomes[:, 2] == 2)
    want, evidence = target(LAW, ok)
    end, outcome = run(64, 400, condition=Constrained(3, sets, None, None, None, weighted=True))
    assert abs(estimate(outcome, evidence)) < 4 and bias(end, 64, want) < 0.03


@pytest.mark.parametrize("threshold", [0.0, 0.25, 1.0])
def test_the_law_is_the_same_whenever_clouds_are_resampled(threshold):
    want, evidence = wanted("any order", 1.0)
    end, outcome = run(64, 400, tilt=1.0, threshold=threshold)
    assert abs(estimate(outcome, evidence)) < 4 and bias(end, 64, want) < 0.025


def test_the_clouds_of_a_request_are_resampled_below_the_share_that_is_given():
    found = {}
    for share in (0.0, 1.0):
        made = generate_clouds(
            Tabled(LAW, MASKED),
            MASKED,
            [torch.full((5,), 3)] * 40,
            1,
            lambda index: Constrained(3, None, STRUCTURE, None, Affine(1.0), weighted=True),
            particles=8,
            threshold=share,
        )
        found[share] = torch.cat([filled.tokens for filled in made])
        end, outcome = run(8, 40, tilt=1.0, threshold=share)
        assert torch.equal(found[share], end.tokens[outcome.row])
    assert not torch.equal(found[0.0], found[1.0])


class Vetoes:
    """A wish that no row meets."""

    def log_tilt(self, x_t, t, positions, p):
        return torch.zeros_like(p), torch.zeros(len(x_t), dtype=torch.float64)

    def final(self, x_0):
        return torch.full((len(x_0),), float("-inf"), dtype=torch.float64)


def test_a_cloud_in_which_nothing_survives_abstains():
    _, outcome = run(4, 5, guide=Vetoes())
    assert bool((outcome.row == -1).all()) and bool((outcome.sample_size == 0).all())
    assert bool(outcome.log_evidence.isneginf().all())


@pytest.mark.parametrize("kind", ["any order", "uniform"])
def test_clouds_do_not_depend_on_what_they_are_batched_with(kind):
    end, outcome = run(8, 12, tilt=1.0, **CASES[kind])
    process = CASES[kind].get("process", MASKED)
    condition = Constrained(3, None, STRUCTURE, None, Affine(1.0), weighted=True)
    for first, n in ((0, 1), (5, 3)):
        start = clouds(State.from_canvas(process, torch.full((n, 5), 3), 1, torch.arange(first, first + n)), 8, process)
        how = {k: v for k, v in CASES[kind].items() if k not in ("loop", "process")}
        loop = CASES[kind]["loop"](start, process, condition, particles=8, **how)
        again = drive(loop, lambda query: answer(ExactDenoiser(LAW, process), query, condition, DrawOptions()))
        assert torch.equal(again.tokens, end.tokens[first * 8 : (first + n) * 8])
        assert torch.equal(choose(again, 8).row + first * 8, outcome.row[first : first + n])


def test_a_state_that_is_not_made_of_clouds_is_refused():
    state = State.from_canvas(MASKED, torch.full((6, 5), 3), 1, torch.arange(6))
    with pytest.raises(ConfigError, match="clouds of 4 rows"):
        next(reveal_particles(state, MASKED, Constrained(3, None, STRUCTURE, weighted=True), particles=4))
    with pytest.raises(ConfigError, match="threshold"):
        next(
            reveal_particles(
                clouds(state, 4, MASKED), MASKED, Constrained(3, None, STRUCTURE, weighted=True), particles=4, threshold=2
            )
        )
