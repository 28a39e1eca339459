"""Samplers by name: one literal table, with what each works on and what its law is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from seqdiff.embedding import EmbeddedProcess
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.grid import GridChain
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers import ctmc
from seqdiff.samplers.absorbing import Loop, ancestral, event_driven
from seqdiff.samplers.adaptive import confidence_threshold, entropy_bounded
from seqdiff.samplers.blocks import blockwise
from seqdiff.samplers.confidence import confidence_ordered
from seqdiff.samplers.embedded import embedded
from seqdiff.samplers.markov import reverse_chain
from seqdiff.samplers.planning import mask_predict, path_planning
from seqdiff.samplers.remasking import Hold, predictor_corrector, remasking
from seqdiff.samplers.routing import routing
from seqdiff.samplers.transition_times import predetermined

MASKED = (Absorbing,)
MIXTURE = (Absorbing, Uniform)
TOKENS = (TokenProcess,)
VECTORS = (EmbeddedProcess,)


@dataclass(frozen=True)
class Sampler:
    """A named sampling loop.

    Attributes:
        loop: (state, process, condition, steps=…) → generator of queries.
        uses_steps: whether T matters.
        certificate: "exact" (the law of the T-step reverse process of its family), "any-order" (no discretisation),
            "asymptotic" (tends to the model's law with more steps) or "heuristic" (another law, that of its own definition).
        processes: kinds of process it works on.
        summary: one line for people who choose.
        needs_rate: whether it leaps in continuous time, which a chain on a grid of times does not have.
    """

    loop: Callable[..., Loop]
    uses_steps: bool
    certificate: str
    processes: tuple[type, ...]
    summary: str
    needs_rate: bool = False

    def works_on(self, process) -> bool:
        return isinstance(process, self.processes) and not (self.needs_rate and isinstance(process, GridChain))


def _first_hitting(state, process, condition, steps=None):
    return event_driven(state, process, condition, None)


def _embedded(solver: str) -> Callable[..., Loop]:
    return partial(embedded, solver=solver)


SAMPLERS = {
    "event-driven": Sampler(
        event_driven, True, "exact", MASKED, "the T-step law, visiting only the steps that reveal something"
    ),
    "first-hitting": Sampler(_first_hitting, False, "any-order", MASKED, "one reveal a pass, no discretisation error"),
    "ancestral": Sampler(ancestral, True, "exact", MASKED, "the T-step law, step by step: the reference"),
    "reverse-chain": Sampler(reverse_chain, True, "exact", TOKENS, "the T-step reverse process of any token process"),
    "tau-leaping": Sampler(
        ctmc.tau_leaping, True, "asymptotic", TOKENS, "leaps of the reverse rates in continuous time", needs_rate=True
    ),
    "flow-euler": Sampler(
        partial(ctmc.tau_leaping, velocity="flow"), True, "asymptotic", MIXTURE, "Euler steps of discrete flow matching"
    ),
    "flow-corrector": Sampler(
        partial(ctmc.tau_leaping, velocity="flow", corrector=4.0),
        True,
        "asymptotic",
        MIXTURE,
        "flow matching that also steps back and draws again",
    ),
    "rate-corrector": Sampler(
        ctmc.predictor_corrector,
        True,
        "asymptotic",
        TOKENS,
        "leaps, each followed by one that leaves the law where it is",
        needs_rate=True,
    ),
    "transition-times": Sampler(
        predetermined, True, "heuristic", MIXTURE, "DNDM: a position keeps its noise until its own time; few passes"
    ),
    "gibbs-corrector": Sampler(
        predictor_corrector, True, "asymptotic", MASKED, "ancestral steps, each followed by redrawing one token"
    ),
    "remasking": Sampler(remasking, True, "asymptotic", MASKED, "ReMDM: revealed tokens may be masked and drawn again"),
    "remasking-rescale": Sampler(
        partial(remasking, rule="rescale", eta=0.1), True, "asymptotic", MASKED, "ReMDM, a share of the most it may"
    ),
    "remasking-confidence": Sampler(
        partial(remasking, rule="rescale", eta=1.0, by_confidence=True), True, "heuristic", MASKED, "ReMDM, unsure ones first"
    ),
    "remasking-loop": Sampler(
        partial(remasking, hold=Hold()), True, "heuristic", MASKED, "ReMDM, remasking while nearly all is revealed"
    ),
    "path-planning": Sampler(path_planning, True, "heuristic", MASKED, "P2: the least sure tokens of all are masked again"),
    "confidence": Sampler(confidence_ordered, True, "heuristic", MASKED, "surest positions first: few steps, another law"),
    "maskgit": Sampler(
        partial(confidence_ordered, confidence_noise=1.0, annealed=True),
        True,
        "heuristic",
        MASKED,
        "surest positions first, with noise that fades",
    ),
    "mask-predict": Sampler(mask_predict, True, "heuristic", MASKED, "the likeliest tokens, the least sure ones again"),
    "entropy-bounded": Sampler(entropy_bounded, False, "heuristic", MASKED, "as many positions a pass as are nearly certain"),
    "confidence-threshold": Sampler(
        confidence_threshold, False, "heuristic", MASKED, "every position that is sure enough, at least one a pass"
    ),
    "routing": Sampler(routing, True, "heuristic", MIXTURE, "RDM: the surest positions are denoised, the others renoised"),
    "blocks": Sampler(
        partial(blockwise, loop=_first_hitting), False, "any-order", MASKED, "blocks of 32 from the left, any order within"
    ),
    "embedded-ddpm": Sampler(_embedded("ddpm"), True, "asymptotic", VECTORS, "ancestral steps on the embeddings"),
    "embedded-clamped": Sampler(
        partial(embedded, solver="ddpm", clamp=True), True, "heuristic", VECTORS, "the same with x̂0 the nearest embedding"
    ),
    "embedded-ddim": Sampler(_embedded("ddim"), True, "asymptotic", VECTORS, "deterministic steps on the embeddings"),
    "embedded-dpm-solver": Sampler(
        _embedded("dpm-solver"), True, "asymptotic", VECTORS, "second-order steps on the embeddings, one pass each"
    ),
    "embedded-euler": Sampler(_embedded("euler"), True, "asymptotic", VECTORS, "Euler on the ODE; flow matching's sampler"),
    "embedded-heun": Sampler(_embedded("heun"), True, "asymptotic", VECTORS, "second order on the ODE, two passes a step"),
    "embedded-sde": Sampler(_embedded("sde"), True, "asymptotic", VECTORS, "the reverse SDE on the embeddings"),
}


def get_sampler(name: str, process=None) -> Sampler:
    """The sampler of that name. Raises ConfigError for an unknown one, or one that does not work on the process."""
    if name not in SAMPLERS:
        raise ConfigError(f"sampler: expected one of {', '.join(SAMPLERS)}; got {name!r}")
    sampler = SAMPLERS[name]
    if process is not None and not sampler.works_on(process):
        able = ", ".join(samplers_for(process))
        raise ConfigError(f"sampler: {name!r} does not work on the {type(process).__name__} process; expected one of {able}")
    return sampler


def samplers_for(process) -> list[str]:
    """Names of the samplers that work on a process."""
    return [name for name, sampler in SAMPLERS.items() if sampler.works_on(process)]
