"""A request and its answer: `DesignSpec` → `design` → `Designs`, the same from Python, the command line and the API."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from constraints import Canvas
from constraints.certificate import Certificate, brief, one_of, words
from constraints.compilation.compile import top_level
from domains.answer import Design, Designs
from domains.registry import get_domain, get_wishes
from domains.request import Task, prepare
from domains.spec import DesignSpec, read_spec
from domains.wishes import words as wish_words
from seqdiff.checkpoint import Checkpoint
from seqdiff.embedding import EmbeddedProcess
from seqdiff.likelihood import any_order_bound
from seqdiff.likelihood.gaussian import embedded_bound
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.drive import Filled, generate, generate_clouds
from seqdiff.samplers.registry import get_sampler

__all__ = ["Design", "DesignSpec", "Designs", "Task", "answer", "design", "design_batches", "prepare", "read_spec"]


@dataclass(frozen=True)
class Checked:
    """A Condition of particles whose final weight also says what no rule on tokens can: `Variant.refusal`.

    A particle that is refused is dead, as one that is not valid is, and its siblings stand for it.

    Attributes:
        weighted: the Condition.
        refused: finished rows (n, L), their places (n,) in the batch → (n,) bool.
    """

    weighted: Any
    refused: Callable[[Tensor, Tensor], Tensor]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.weighted, name)

    def final(self, x_0: Tensor) -> Tensor:
        """log ψ (B,) of complete rows (B, L)."""
        log_psi = self.weighted.final(x_0)
        alive = log_psi.isfinite().nonzero().squeeze(-1)
        return log_psi.index_fill(0, alive[self.refused(x_0[alive], alive)], float("-inf"))


@dataclass(frozen=True)
class Made:
    """What came of a batch: designs, places that were abstained from, and place → why what was made there is not returned."""

    designs: list[Design]
    abstained: list[int]
    lost: dict[int, str]


def design_batches(task: Task, watch=None) -> Iterator[Made]:
    """Designs as they are finished, batch by batch. Batches go by length, not in the order of the request."""
    spec, checkpoint = task.spec, task.checkpoint
    domain = get_domain(spec.domain)
    known = domain.load_known(checkpoint)
    canvases, chosen = task.canvases()
    for filled in _filled(task, canvases, chosen, watch):
        index = filled.index[filled.alive]
        tokens, rows = filled.tokens[filled.alive], [canvases[i] for i in index.tolist()]
        bounds, errors = _bounds(task, tokens, index, rows) if len(index) else ([], [])
        made = Made([], filled.index[~filled.alive].tolist(), {})
        for k, (i, row) in enumerate(zip(index.tolist(), tokens, strict=True)):
            fields = domain.finish(task.alphabet.decode_tokens(row), canvases[i], task.alphabet, known)
            if why := _refusal(task, i, row, canvases[i]) if fields["valid"] else "":
                made.lost[i] = why
                continue
            certificate = _certificate(task, row, i, int(chosen[i]), filled)
            metrics = {**fields.pop("metrics"), "tokens": len(row), "bound": bounds[k], "bound_error": errors[k]}
            more = {"metrics": metrics, "certificate": certificate, "index": i, "template": task.way(i).variant.text}
            made.designs.append(Design(**fields, **more))
        yield made


def _refusal(task: Task, index: int, tokens: Tensor, canvas: Canvas) -> str:
    """Why a valid row (L,) in this place of the request must not be returned, "" if nothing speaks against it."""
    return task.way(index).variant.refusal(task.alphabet.decode_tokens(tokens), canvas.gap.tolist())


def _filled(task: Task, canvases: list[Canvas], chosen: Tensor, watch) -> Iterator[Filled]:
    """The rows of the request filled, batch by batch."""
    spec, checkpoint = task.spec, task.checkpoint
    label = checkpoint.label_index(spec.label)
    rows = [canvas.tokens for canvas in canvases]
    common: dict[str, Any] = {"label": label, "steps": spec.steps, "options": spec.options(), "watch": watch}
    model = task.denoiser, checkpoint.process, rows, spec.seed
    if task.cloud > 1:

        def weighted(index: Tensor) -> Any:
            condition = task.condition(index, chosen[index], weighted=True)
            if not (spec.wishes and spec.task):  # what is not valid is not refused, and any wish asks for what is
                return condition

            def refused(tokens: Tensor, rows: Tensor) -> Tensor:
                places = index[rows].tolist()
                why = [_refusal(task, i, row, canvases[i]) for i, row in zip(places, tokens, strict=True)]
                return torch.tensor([bool(words) for words in why], dtype=torch.bool)

            return Checked(condition, refused)

        share = _threshold(spec)
        how = {"batch_size": spec.batch_size, "threshold": share, "sampler": task.sampler}
        yield from generate_clouds(*model, weighted, task.cloud, **how, **common)
        return

    def condition(index: Tensor):
        return task.condition(index, chosen[index])

    for index, tokens in generate(*model, condition, batch_size=spec.batch_size, sampler=task.sampler, **common):
        zero = torch.zeros(len(index), dtype=torch.float64)
        yield Filled(index, tokens, torch.ones(len(index), dtype=torch.bool), zero, zero)


def _threshold(spec: DesignSpec) -> float:
    """Share of the particles below which a cloud is resampled.

    Of "valid" nothing is known before the last holes, and copies share their fate: the particles of a cloud are then left to
    themselves, and eight tries seldom fail together. What is known on the way is worth the copies.
    """
    return 0.0 if {text.strip().lower() for text in spec.wishes} == {"valid"} else 0.5


def _certificate(task: Task, tokens: Tensor, index: int, chosen: int, filled: Filled) -> Certificate:
    spec, ready, place = task.spec, task.way(index).plan, int((filled.index == index).nonzero()[0])
    law, on_vectors = get_sampler(task.sampler).certificate, isinstance(task.checkpoint.process, EmbeddedProcess)
    found: dict[str, Any] = {}
    if ready is not None:
        holds = tuple(brief(str(part)) for part in top_level(ready.compiled.expression)) + ready.compiled.spoken
        found = {"holds": holds, "violations": tuple(map(brief, ready.violations(tokens, chosen)))}
        law = "uncorrected" if ready.asked and law != "heuristic" else law
    if task.cloud > 1:
        law = law if on_vectors else "particles"
        found |= {
            "log_evidence": float(filled.log_evidence[place]),
            "sample_size": float(filled.sample_size[place]),
            "particles": task.cloud,
        }
    if spec.wishes:
        found["guidance"] = " & ".join(map(brief, spec.wishes))
    law = "gradients" if task.gradients else law
    each = _wished(task, tuple(task.gradients) if on_vectors else spec.wishes)
    text = words("vectors" if law == "uncorrected" and on_vectors else law, spec.steps, task.cloud, each)
    text += one_of(task.cloud, _wished(task, spec.wishes)) if on_vectors and task.cloud > 1 else ""
    text += _sharpened(spec)
    guided = {spec.guidance, spec.field_guidance} - {0, 1}  # with γ = 0 and 1 it is a model of its own
    return Certificate("heuristic" if guided else law, text, **found, seed=spec.seed, model=task.checkpoint.sha256)


def _wished(task: Task, wishes: tuple[str, ...]) -> str:
    """What was wished, in words; "" for nothing."""
    said = wish_words(wishes, get_wishes(task.spec.domain).read_wish) if wishes else ""
    return said + (f"; what the task {task.spec.task} asks (hard)" if said and task.spec.task else "")


def _sharpened(spec: DesignSpec) -> str:
    """What "the model" is where p(x0 | x_t) is sharpened or guided: another denoiser, whose law is no power of that of rows."""
    said = [f"at temperature {spec.temperature:g}"] * (spec.temperature != 1)
    said += [f"at top-p {spec.top_p:g}"] * (spec.top_p != 1)
    said += [f"guided to the class {spec.label} (γ = {spec.guidance:g}, heuristic)"] * (spec.guidance != 1)
    said += [f"guided to the fields (γ = {spec.field_guidance:g}, heuristic)"] * (spec.field_guidance != 1)
    return f"; the model is its p(x0 | x_t) {' and '.join(said)}, position by position" if said else ""


def _bounds(task: Task, tokens: Tensor, index: Tensor, canvases: list[Canvas]) -> tuple[list, list]:
    """−log p(free tokens | pins) ≤ bound, in nats, with its standard error."""
    checkpoint, draws, seed = task.checkpoint, task.spec.bound_draws, task.spec.seed
    process: Any = checkpoint.process
    if not draws or not isinstance(process, Absorbing | EmbeddedProcess):
        return [None] * len(tokens), [None] * len(tokens)
    label = task.checkpoint.label_index(task.spec.label)
    free = torch.stack([~canvas.pinned for canvas in canvases])
    classes = None if label is None else torch.full((len(tokens),), label, dtype=torch.int64)
    denoiser = checkpoint.denoiser
    if isinstance(process, Absorbing):
        bound = any_order_bound(denoiser, process.mask, tokens, draws, seed, classes, free, index)
    else:
        bound = embedded_bound(denoiser, process, tokens, draws, seed, classes, free=free, rows=index)
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
    started = time.perf_counter()
    task = prepare(spec or DesignSpec.from_dict(fields), checkpoint)
    return answer(task, time.perf_counter() - started, progress, watch)


def answer(
    task: Task,
    load_seconds: float = 0.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    watch=None,
) -> Designs:
    """The designs of a request that is ready; `design` has the other arguments.

    Args:
        load_seconds: that went into making it ready, for `Designs.timing`.
    """
    started, asked = time.perf_counter(), task.spec.n
    done: list[Design] = []
    abstained: list[int] = []
    lost: dict[int, str] = {}
    complete = True
    try:
        progress(0, asked)
        for made in design_batches(task, watch):
            done += made.designs
            abstained += made.abstained
            lost |= made.lost
            progress(len(done) + len(abstained) + len(lost), asked)
    except KeyboardInterrupt:
        complete = False
    seconds = time.perf_counter() - started
    timing = {"load_seconds": load_seconds, "design_seconds": seconds, "designs_per_second": len(done) / max(seconds, 1e-9)}
    timing = {name: round(value, 3) for name, value in timing.items()}
    done.sort(key=lambda item: item.index)
    return Designs(done, task.spec, timing, complete, sorted(abstained), dict(sorted(lost.items())))
