"""A request made ready: model loaded, templates read, lengths and conditions planned; nothing is sampled yet."""

from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from typing import Any

import torch
from torch import Tensor

from constraints import Canvas, Template, TokenSets
from constraints.by_row import ByRow
from constraints.compilation.plan import Plan, log_mass_of, plan
from constraints.condition import Guide
from constraints.guidance.guides import LogProbability, Sum
from constraints.guidance.steered import Steered, Weighed
from constraints.language.algebra import And, Constraint, Not, Or, Within
from constraints.language.expression import Distinct, Tie
from constraints.language.notation import parse
from domains.registry import find_model, get_domain, get_wishes
from domains.spec import DEFAULT_SAMPLER, DesignSpec
from domains.variant import Variant
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.denoisers.guided import ClassifierFree
from seqdiff.errors import ConfigError, SeqdiffError
from seqdiff.processes.base import TokenProcess
from seqdiff.samplers.registry import get_sampler


@dataclass(frozen=True)
class Way:
    """A way to write the request, made ready.

    Attributes:
        plan: lengths and conditions, or None where nothing but pins and bans is asked.
    """

    variant: Variant
    plan: Plan | None = None

    def draw(self, samples: Tensor, seed: int, mask: int) -> tuple[list[Canvas], Tensor]:
        """A canvas for each place in the request, and the combination of gap lengths that it has."""
        if self.plan is not None:
            return self.plan.draw(samples, seed)
        return self.variant.template.draw(samples, seed, mask), torch.zeros_like(samples)


@dataclass(frozen=True)
class Task:
    """A spec made ready: model loaded, templates read and checked; nothing is sampled yet.

    Attributes:
        ways: the templates; place i of the request is written in way i modulo their number.
        guide: what is wished, or None.
        gradients: of a process on vectors the wishes that have one, each as a function of soft tokens.
    """

    spec: DesignSpec
    checkpoint: Checkpoint
    ways: tuple[Way, ...]
    guide: Guide | None = None
    gradients: dict[str, LogProbability] = field(default_factory=dict)

    @property
    def sampler(self) -> str:
        """The name that was given, or what works on the model's process."""
        process, system = self.checkpoint.process, self.checkpoint.system
        if self.spec.sampler is not None:
            return self.spec.sampler
        return DEFAULT_SAMPLER if get_sampler(DEFAULT_SAMPLER).works_on(process) else system.sampler

    @property
    def cloud(self) -> int:
        """N, particles of one design; one where vectors are moved up the gradients of all wishes, none of them hard."""
        if self.spec.particles is not None or not self.gradients:
            return self.spec.cloud
        read = get_wishes(self.spec.domain).read_wish
        led = all(text in self.gradients and not read(text).hard for text in self.spec.wishes)
        return 1 if led else self.spec.cloud

    @property
    def denoiser(self) -> Any:
        """The model as it is asked: guided towards fields, and towards its class, where that was wanted.

        Raises ConfigError where there is nothing to be guided to.
        """
        model, spec = self.checkpoint.denoiser, self.spec
        if spec.field_guidance != 1:
            domain = get_domain(spec.domain)
            if not hasattr(domain, "towards_fields"):
                raise ConfigError(f"field_guidance: expected a text, which fields stand before; got domain {spec.domain!r}")
            model = domain.towards_fields(model, self.checkpoint, spec.field_guidance)
        return model if spec.guidance == 1 else ClassifierFree(model, spec.guidance)

    @property
    def alphabet(self) -> Alphabet:
        return self.checkpoint.alphabet

    @property
    def template(self) -> Template:
        """The first, or only, template."""
        return self.ways[0].variant.template

    @property
    def plan(self) -> Plan | None:
        return self.ways[0].plan

    def way(self, index: int) -> Way:
        return self.ways[index % len(self.ways)]

    def canvases(self) -> tuple[list[Canvas], Tensor]:
        """The canvas of each place in the request, and the combination of gap lengths (n,) that it has within its way."""
        samples, ways = torch.arange(self.spec.n), len(self.ways)
        chosen = torch.zeros_like(samples)
        canvases: list[Any] = [None] * len(samples)
        for k, way in enumerate(self.ways):
            canvases[k::ways], chosen[k::ways] = way.draw(samples[k::ways], self.spec.seed, self.alphabet.mask)
        return canvases, chosen

    def condition(self, index: Tensor, chosen: Tensor, weighted: bool = False) -> Any:
        """The Condition of rows of one length: places `index` (B,) in the request, with combinations `chosen` (B,)."""
        if isinstance(self.checkpoint.process, TokenProcess):
            return self._held(index, chosen, weighted)
        held = self._held(index, chosen, False)
        held = Weighed(held, self.guide) if weighted else held
        ascended = tuple(self.gradients[text] for text in self.spec.wishes if text in self.gradients)
        return Steered(held, ascended) if ascended else held

    def _held(self, index: Tensor, chosen: Tensor, weighted: bool) -> Any:
        guide, plans = self.guide if weighted else None, [way.plan for way in self.ways if way.plan is not None]
        if not plans:
            return TokenSets.banning(len(self.alphabet), self.template.banned)
        if len(plans) == 1:
            return plans[0].condition(chosen, guide, weighted)
        here, part = (index % len(plans)).unique(return_inverse=True)
        conditions = []
        for k, number in enumerate(here.tolist()):
            mine = part == k  # the other rows are laid out as one of these, and not asked for
            conditions.append(plans[number].condition(torch.where(mine, chosen, chosen[mine][0]), guide, weighted))
        joint = weighted or any(ready.compiled.structure is not None for ready in plans)
        return ByRow(tuple(conditions), part, joint)


def prepare(spec: DesignSpec, checkpoint: Checkpoint | None = None, weigh: bool = True) -> Task:
    """Load, read and check. All errors of a request's content are raised here, before anything is sampled.

    Args:
        weigh: draw lengths ∝ π(ℓ) Z_ℓ, which takes a pass over every possible one; without, ∝ π(ℓ), enough to look for errors.
    """
    domain = get_domain(spec.domain)
    checkpoint = checkpoint or load_checkpoint(find_model(spec.model, spec.domain))
    checkpoint.label_index(spec.label)
    process = checkpoint.process
    task = Task(spec, checkpoint, ())
    _ = task.denoiser  # what the model cannot be guided to is refused before the template
    variants = domain.templates(spec, checkpoint)
    task = replace(task, **wished(spec, checkpoint))
    get_sampler(task.sampler, process)
    ways, troubles = [], []
    for variant in variants:
        try:
            ways.append(Way(variant, _plan(task, variant, weigh)))
        except SeqdiffError as error:  # another way to write it may be shorter
            troubles.append(error)
        if len(ways) == spec.n:
            break
    if not ways:
        raise troubles[0]
    return replace(task, ways=tuple(ways))


def wished(spec: DesignSpec, checkpoint: Checkpoint) -> dict[str, Any]:
    """What is wished: the guide that weighs particles, and for a process on vectors what is ascended.

    Raises ConditionError for a wish that cannot be read.
    """
    domain, alphabet = get_domain(spec.domain), checkpoint.alphabet
    if not spec.wishes:
        return {}
    guide = Sum(tuple((domain.wish(text, alphabet), 1.0) for text in spec.wishes))
    return {"guide": guide, "gradients": gradients(spec, checkpoint)}


def gradients(spec: DesignSpec, checkpoint: Checkpoint) -> dict[str, LogProbability]:
    """The wishes that a process on vectors is moved up the gradient of; none for a domain or a process that has none."""
    domain = get_domain(spec.domain)
    if isinstance(checkpoint.process, TokenProcess) or not hasattr(domain, "gradient"):
        return {}
    found = {text: domain.gradient(text, checkpoint.alphabet) for text in spec.wishes}
    return {text: function for text, function in found.items() if function is not None}


def _plan(task: Task, variant: Variant, weigh: bool) -> Plan | None:
    """Lengths and conditions of one template; those of a task's are all alike where they are possible."""
    spec, process, alphabet = task.spec, task.checkpoint.process, task.alphabet
    variant.template.check(task.checkpoint.max_length, len(alphabet))
    wanted = spec.expression()
    asked = [parse(variant.constraint)] if variant.constraint else []
    asked += [] if wanted is None else [confined(wanted, variant.region) if variant.region else wanted]
    if not (asked or spec.syntax or variant.syntax or task.cloud > 1 or spec.task):
        return None
    weigh = weigh and isinstance(process, TokenProcess) and spec.task is None
    log_mass = log_mass_of(task.denoiser, process, task.checkpoint.label_index(spec.label)) if weigh else None
    syntax = get_domain(spec.domain).syntax(alphabet, variant.template) if spec.syntax else variant.syntax
    return plan(variant.template, reduce(and_, asked) if asked else None, alphabet, syntax, log_mass)


def confined(asked: Constraint, region: str) -> Constraint:
    """What is asked of this region alone; a part that names a region of its own is left as it is."""
    match asked:
        case And() | Or():
            return type(asked)(tuple(confined(part, region) for part in asked.parts))
        case Not():
            return Not(confined(asked.part, region))
        case Within() | Tie():
            return asked
        case Distinct() if isinstance(asked.items[0], str):
            return asked
    return asked.within(region)
