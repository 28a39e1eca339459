"""A request and its answer: `DesignSpec` → `design` → `Designs`, the same from Python, the command line and the API."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from constraints import Canvas, Template, TokenSets, de_novo
from constraints.certificate import Certificate, words
from constraints.compilation.compile import top_level
from constraints.compilation.plan import Plan, log_mass_of, plan
from constraints.condition import Guide
from constraints.guidance.guides import Sum
from domains.registry import find_model, get_domain
from domains.spec import DesignSpec, read_spec
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.denoisers.guided import ClassifierFree
from seqdiff.errors import ConfigError
from seqdiff.likelihood import any_order_bound
from seqdiff.processes.base import TokenProcess
from seqdiff.samplers.drive import Filled, generate, generate_clouds
from seqdiff.samplers.registry import get_sampler

__all__ = ["Design", "DesignSpec", "Designs", "Task", "design", "design_batches", "prepare", "read_spec"]


@dataclass(frozen=True)
class Design:
    """One design.

    Attributes:
        sequence: as designed; its pinned tokens are the template's.
        canonical: the domain's normal form, None if invalid.
        valid, reason: whether the domain accepts it, and why not.
        pins_kept: whether what was pinned stands unchanged (for molecules, on the graph).
        pinned_atoms: for pictures, indices of pinned atoms in the order of writing.
        metrics: figures by name; `bound` is an upper bound on −log p of the free tokens given the pins, in nats,
            and `bound_error` its standard error.
        certificate: how the design was obtained, and what an independent check found.
        index: its number in the request, which is its place in the noise.
    """

    sequence: str
    canonical: str | None
    valid: bool
    reason: str
    pins_kept: bool
    pinned_atoms: tuple[int, ...]
    metrics: dict[str, float | bool | None]
    certificate: Certificate
    index: int

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Designs:
    """The answer: designs in the order of the request, the spec, seconds by phase, and whether it was finished.

    `abstained` lists the places in the request for which no particle met what was asked: there is no design then.
    """

    designs: list[Design]
    spec: DesignSpec
    timing: dict[str, float] = field(default_factory=dict)
    complete: bool = True
    abstained: list[int] = field(default_factory=list)

    @property
    def summary(self) -> dict[str, int]:
        """Counts, each with its own denominator: asked for, returned, and of the returned those that …"""
        made = self.designs
        return {
            "asked": self.spec.n,
            "returned": len(made),
            "abstained": len(self.abstained),
            "satisfied": sum(not item.certificate.violations for item in made),
            "valid": sum(item.valid for item in made),
            "valid_and_pins_kept": sum(item.valid and item.pins_kept for item in made),
            "distinct": len({item.canonical for item in made if item.valid}),
        }


@dataclass(frozen=True)
class Task:
    """A spec made ready: model loaded, template read and checked; nothing is sampled yet.

    Attributes:
        plan: lengths and conditions, or None where nothing but pins and bans is asked.
        guide: what is wished, or None.
    """

    spec: DesignSpec
    checkpoint: Checkpoint
    template: Template
    plan: Plan | None = None
    guide: Guide | None = None

    @property
    def denoiser(self) -> Any:
        """The model as it is asked: guided towards its class, if that was wanted."""
        model = self.checkpoint.denoiser
        return model if self.spec.guidance == 1 else ClassifierFree(model, self.spec.guidance)

    @property
    def alphabet(self) -> Alphabet:
        return self.checkpoint.alphabet


def prepare(spec: DesignSpec, checkpoint: Checkpoint | None = None) -> Task:
    """Load, read and check. All errors of a request's content are raised here, before anything is sampled."""
    domain = get_domain(spec.domain)
    checkpoint = checkpoint or load_checkpoint(find_model(spec.model, spec.domain))
    label, process, alphabet = checkpoint.label_index(spec.label), checkpoint.process, checkpoint.alphabet
    get_sampler(spec.sampler, process)
    if spec.template is None:
        template = de_novo(checkpoint.length_probability(spec.label))
    else:
        template = domain.template(spec.template, alphabet)
    template.check(checkpoint.max_length, len(alphabet))
    parts = tuple((domain.wish(text, alphabet), 1.0) for text in spec.wishes)
    guide = Sum(parts) if parts else None
    task = Task(spec, checkpoint, template, None, guide)
    if spec.constraint is None and not spec.syntax and spec.cloud == 1:
        return task
    if spec.cloud > 1 and not isinstance(process, TokenProcess):
        raise ConfigError(
            f"particles: expected a model whose process is on tokens, got one on {type(process).__name__}; use particles = 1"
        )
    log_mass = log_mass_of(task.denoiser, process, label) if isinstance(process, TokenProcess) else None
    syntax = domain.syntax(alphabet, template) if spec.syntax else None
    return dataclasses.replace(task, plan=plan(template, spec.expression(), alphabet, syntax, log_mass))


def design_batches(task: Task, watch=None) -> Iterator[tuple[list[Design], list[int]]]:
    """Designs as they are finished, and the places of those that were abstained from, batch by batch.

    Batches go by length, not in the order of the request.
    """
    spec, checkpoint = task.spec, task.checkpoint
    domain = get_domain(spec.domain)
    known = domain.load_known(checkpoint)
    samples = torch.arange(spec.n)
    if task.plan is None:
        canvases, chosen = task.template.draw(samples, spec.seed, len(checkpoint.alphabet)), torch.zeros_like(samples)
    else:
        canvases, chosen = task.plan.draw(samples, spec.seed)
    for filled in _filled(task, canvases, chosen, watch):
        index = filled.index[filled.alive]
        tokens, rows = filled.tokens[filled.alive], [canvases[i] for i in index.tolist()]
        bounds, errors = _bounds(task, tokens, index, rows) if len(index) else ([], [])
        designs = []
        for k, (i, row) in enumerate(zip(index.tolist(), tokens, strict=True)):
            place = int((filled.index == i).nonzero()[0])
            certificate = _certificate(task, row, int(chosen[i]), filled, place)
            fields = domain.finish(task.alphabet.decode_tokens(row), canvases[i], task.alphabet, known)
            metrics = {**fields.pop("metrics"), "tokens": len(row), "bound": bounds[k], "bound_error": errors[k]}
            designs.append(Design(**fields, metrics=metrics, certificate=certificate, index=i))
        yield designs, filled.index[~filled.alive].tolist()


def _filled(task: Task, canvases: list[Canvas], chosen: Tensor, watch) -> Iterator[Filled]:
    """The rows of the request filled, batch by batch."""
    spec, checkpoint, ready = task.spec, task.checkpoint, task.plan
    label = checkpoint.label_index(spec.label)
    rows = [canvas.tokens for canvas in canvases]
    common: dict[str, Any] = {"label": label, "steps": spec.steps, "options": spec.options(), "watch": watch}
    model = task.denoiser, checkpoint.process, rows, spec.seed
    if ready is not None and spec.cloud > 1:

        def weighted(index: Tensor):
            return ready.condition(chosen[index], task.guide, weighted=True)

        yield from generate_clouds(*model, weighted, spec.cloud, batch_size=spec.batch_size, **common)
        return
    banning = TokenSets.banning(len(task.alphabet), task.template.banned)

    def condition(index: Tensor):
        return banning if ready is None else ready.condition(chosen[index])

    for index, tokens in generate(*model, condition, batch_size=spec.batch_size, sampler=spec.sampler, **common):
        zero = torch.zeros(len(index), dtype=torch.float64)
        yield Filled(index, tokens, torch.ones(len(index), dtype=torch.bool), zero, zero)


def _certificate(task: Task, tokens: Tensor, chosen: int, filled: Filled, place: int) -> Certificate:
    spec, ready = task.spec, task.plan
    law = get_sampler(spec.sampler).certificate
    found: dict[str, Any] = {}
    if ready is not None:
        holds = tuple(str(part) for part in top_level(ready.compiled.expression)) + ready.compiled.spoken
        found = {"holds": holds, "violations": tuple(ready.violations(tokens, chosen))}
        law = "uncorrected" if ready.compiled.structure is not None and law != "heuristic" else law
        if spec.cloud > 1:
            law = "particles"
            found |= {
                "log_evidence": float(filled.log_evidence[place]),
                "sample_size": float(filled.sample_size[place]),
                "particles": spec.cloud,
                "guidance": " & ".join(spec.wishes),
            }
    text = words(law, spec.steps, spec.cloud, " & ".join(spec.wishes))
    return Certificate(law, text, **found, seed=spec.seed, model=task.checkpoint.sha256)


def _bounds(task: Task, tokens: Tensor, index: Tensor, canvases: list[Canvas]) -> tuple[list, list]:
    """−log p(free tokens | pins) ≤ bound, in nats, with its standard error."""
    if not task.spec.bound_draws:
        return [None] * len(tokens), [None] * len(tokens)
    label = task.checkpoint.label_index(task.spec.label)
    free = torch.stack([~canvas.pinned for canvas in canvases])
    classes = None if label is None else torch.full((len(tokens),), label, dtype=torch.int64)
    denoiser, mask = task.checkpoint.denoiser, len(task.alphabet)
    bound = any_order_bound(denoiser, mask, tokens, task.spec.bound_draws, task.spec.seed, classes, free, index)
    return bound.nats.tolist(), bound.error.tolist()


def design(
    spec: DesignSpec | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
    checkpoint: Checkpoint | None = None,
    watch=None,
    **fields,
) -> Designs:
    """Answer a request.

        >>> designs = design(domain="smiles", template="CC(=O)N{4-9}c1ccc(F)cc1", n=8)  # doctest: +SKIP

    Args:
        spec: the request; or give its fields as keywords.
        progress: called with (designs done, designs asked for).
        checkpoint: a model that is already loaded.
        watch: called with the sampler's state before each pass of the network.

    Ctrl-C (KeyboardInterrupt) keeps what is done: the answer then has `complete` False.
    """
    spec = spec or DesignSpec.from_dict(fields)
    started = time.perf_counter()
    task = prepare(spec, checkpoint)
    ready = time.perf_counter()
    done: list[Design] = []
    abstained: list[int] = []
    complete = True
    try:
        progress(0, spec.n)
        for batch, none in design_batches(task, watch):
            done += batch
            abstained += none
            progress(len(done) + len(abstained), spec.n)
    except KeyboardInterrupt:
        complete = False
    finished = time.perf_counter()
    timing = {
        "load_seconds": round(ready - started, 3),
        "design_seconds": round(finished - ready, 3),
        "designs_per_second": round(len(done) / max(finished - ready, 1e-9), 3),
    }
    return Designs(sorted(done, key=lambda d: d.index), spec, timing, complete, sorted(abstained))
