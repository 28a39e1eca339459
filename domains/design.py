"""A request and its answer: `DesignSpec` → `design` → `Designs`, the same from Python, the command line and the API."""

import dataclasses
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from constraints import Canvas, Template, TokenSets, de_novo
from domains.registry import find_model, get_domain
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConfigError
from seqdiff.likelihood import any_order_bound
from seqdiff.samplers.drive import DrawOptions, generate
from seqdiff.samplers.registry import get_sampler
from seqdiff.training.config import from_table

LIMITS = {"n": 100_000, "steps": 10_000, "batch_size": 4096}


@dataclass(frozen=True)
class DesignSpec:
    """A request, whatever front end it comes from; `to_dict` and `from_dict` round-trip, so it can be saved and re-run.

    Attributes:
        domain: "smiles".
        template: text with gaps, None for de novo design.
        n: number of designs, 1 to 100,000.
        seed: of all noise; the same spec gives the same designs, whatever the batch size.
        sampler: a name of `seqdiff.samplers.registry.SAMPLERS` that works on the process of the model.
        steps: T of the samplers that have one, 1 to 10,000.
        model: bundled name or path, None for the domain's default.
        label: a class of the model ("zinc", "chembl"), None for any.
        temperature, top_p: how p(x0 | x_t) is sharpened before a draw; 1 and 1 leave the model's law.
        batch_size: rows that go through the network together.
        bound_draws: Monte Carlo draws of each design's likelihood bound (one pass each); 0 leaves the bound out.
    """

    domain: str
    template: str | None = None
    n: int = 64
    seed: int = 0
    sampler: str = "event-driven"
    steps: int = 128
    model: str | None = None
    label: str | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    batch_size: int = 64
    bound_draws: int = 8

    def __post_init__(self):
        if not 0 <= self.bound_draws <= 1000:
            raise ConfigError(f"bound_draws: expected 0 to 1000, got {self.bound_draws}")
        for name, most in LIMITS.items():
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name}: expected 1 to {most}, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed: expected 0 to 2⁶³ − 1, got {self.seed}")
        get_sampler(self.sampler)
        self.options()

    def options(self) -> DrawOptions:
        return DrawOptions(self.temperature, self.top_p)

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, table: dict) -> "DesignSpec":
        """Raises ConfigError for an unknown key, a wrong type or a value out of range."""
        return from_table(cls, table)


def read_spec(path: str | Path) -> dict[str, Any]:
    """The table of a specification file in TOML. Raises ConfigError naming the file."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"spec: could not read {path} ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"spec: {path} is not TOML ({error})") from None


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
        certificate: how the design was obtained.
        index: its number in the request, which is its place in the noise.
    """

    sequence: str
    canonical: str | None
    valid: bool
    reason: str
    pins_kept: bool
    pinned_atoms: tuple[int, ...]
    metrics: dict[str, float | bool | None]
    certificate: str
    index: int

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Designs:
    """The answer: designs in the order of the request, the spec, seconds by phase, and whether it was finished."""

    designs: list[Design]
    spec: DesignSpec
    timing: dict[str, float] = field(default_factory=dict)
    complete: bool = True


CERTIFICATES = {
    "exact": "pins and bans hold by construction; law: the model's {steps}-step law under them",
    "any-order": "pins and bans hold by construction; law: the model's any-order law under them, no discretisation",
    "asymptotic": "pins and bans hold by construction; law: tends to the model's with more steps ({steps} here)",
    "heuristic": "pins and bans hold by construction; law: heuristic, that of the sampler's own definition",
}


@dataclass(frozen=True)
class Task:
    """A spec made ready: model loaded, template read and checked; nothing is sampled yet."""

    spec: DesignSpec
    checkpoint: Checkpoint
    template: Template

    @property
    def alphabet(self) -> Alphabet:
        return self.checkpoint.alphabet


def prepare(spec: DesignSpec, checkpoint: Checkpoint | None = None) -> Task:
    """Load, read and check. All errors of a request's content are raised here, before anything is sampled."""
    domain = get_domain(spec.domain)
    checkpoint = checkpoint or load_checkpoint(find_model(spec.model, spec.domain))
    checkpoint.label_index(spec.label)
    get_sampler(spec.sampler, checkpoint.process)
    if spec.template is None:
        template = de_novo(checkpoint.length_probability(spec.label))
    else:
        template = domain.template(spec.template, checkpoint.alphabet)
    template.check(checkpoint.max_length, len(checkpoint.alphabet))
    return Task(spec, checkpoint, template)


def design_batches(task: Task, watch=None) -> Iterator[list[Design]]:
    """Designs as they are finished, batch by batch (batches go by length, not in the order of the request)."""
    spec, checkpoint = task.spec, task.checkpoint
    domain = get_domain(spec.domain)
    known = domain.load_known(checkpoint)
    canvases = task.template.draw(torch.arange(spec.n), spec.seed, len(checkpoint.alphabet))
    certificate = CERTIFICATES[get_sampler(spec.sampler).certificate].format(steps=spec.steps)
    condition = TokenSets.banning(len(task.alphabet), task.template.banned)
    label = checkpoint.label_index(spec.label)
    filled = generate(
        checkpoint.denoiser,
        checkpoint.process,
        [canvas.tokens for canvas in canvases],
        spec.seed,
        lambda index: condition,
        label,
        spec.batch_size,
        sampler=spec.sampler,
        steps=spec.steps,
        options=spec.options(),
        watch=watch,
    )
    for index, tokens in filled:
        bounds, errors = _bounds(task, tokens, index, [canvases[i] for i in index.tolist()], label)
        yield [
            _design(domain, task.alphabet, row, canvases[i], known, i, certificate, bound, error)
            for row, i, bound, error in zip(tokens, index.tolist(), bounds, errors, strict=True)
        ]


def _bounds(task: Task, tokens: torch.Tensor, index: torch.Tensor, canvases: list[Canvas], label) -> tuple[list, list]:
    """−log p(free tokens | pins) ≤ bound, in nats, with its standard error."""
    if not task.spec.bound_draws:
        return [None] * len(tokens), [None] * len(tokens)
    free = torch.stack([~canvas.pinned for canvas in canvases])
    classes = None if label is None else torch.full((len(tokens),), label, dtype=torch.int64)
    denoiser, mask = task.checkpoint.denoiser, len(task.alphabet)
    bound = any_order_bound(denoiser, mask, tokens, task.spec.bound_draws, task.spec.seed, classes, free, index)
    return bound.nats.tolist(), bound.error.tolist()


def _design(domain, alphabet, tokens, canvas, known, index, certificate, bound, error) -> Design:
    fields = domain.finish(alphabet.decode_tokens(tokens), canvas, alphabet, known)
    metrics = {**fields.pop("metrics"), "tokens": len(tokens), "bound": bound, "bound_error": error}
    return Design(**fields, metrics=metrics, certificate=certificate, index=index)


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
    complete = True
    try:
        progress(0, spec.n)
        for batch in design_batches(task, watch):
            done += batch
            progress(len(done), spec.n)
    except KeyboardInterrupt:
        complete = False
    finished = time.perf_counter()
    timing = {
        "load_seconds": round(ready - started, 3),
        "design_seconds": round(finished - ready, 3),
        "designs_per_second": round(len(done) / max(finished - ready, 1e-9), 3),
    }
    return Designs(sorted(done, key=lambda d: d.index), spec, timing, complete)
