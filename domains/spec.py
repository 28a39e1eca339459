"""A request: one frozen `DesignSpec`, whatever front end it comes from; it can be saved and run again."""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constraints.language.expression import Constraint
from constraints.language.notation import parse
from seqdiff.errors import ConfigError
from seqdiff.samplers.drive import DrawOptions
from seqdiff.samplers.registry import get_sampler
from seqdiff.training.config import from_table

DEFAULT_SAMPLER = "event-driven"  # where it works on the process of the model
LIMITS = {"n": 100_000, "steps": 10_000, "batch_size": 4096, "particles": 1024, "templates": 1000}


@dataclass(frozen=True)
class DesignSpec:
    """A request, whatever front end it comes from; `to_dict` and `from_dict` round-trip, so it can be saved and re-run.

    Attributes:
        domain: "smiles", "protein" or "text".
        template: text with gaps, None for de novo design; what is drawn, where there is a task.
        n: number of designs, 1 to 100,000.
        seed: of all noise; the same spec gives the same designs, whatever the batch size.
        sampler: a name of `seqdiff.samplers.registry.SAMPLERS` that works on the process of the model; None: event-driven, or
            where that does not work the model's own.
        steps: T of the samplers that have one, 1 to 10,000.
        model: bundled name or path, None for the domain's default.
        label: a class of the model ("zinc", "chembl"), None for any.
        temperature, top_p: how p(x0 | x_t) is sharpened before a draw; 1 and 1 leave the model's law.
        batch_size: rows that go through the network together.
        constraint: what must hold, in the notation of docs/constraints.md, e.g. "avoid(S-S) & count([N], 1..2)".
        syntax: whether the domain's own syntax must hold (branches, ring labels and bonds of SMILES); None holds it for a task
            alone.
        wishes: what is wished, each in the domain's words ("valid", "qed >= 0.8"): particles are weighed by them, and a model
            on vectors is also moved up the gradients of those that have one.
        particles: how many each design is chosen from, at that many times the passes; None is 8 with wishes and otherwise 1, on
            vectors also where every wish is soft and has a gradient. They make the law right under constraints and bend it to
            wishes; on vectors, where they are runs that know nothing of each other, they bend it alone.
        guidance: γ of classifier-free guidance towards `label`, 0 to 20; 1 is the model's own conditional law, more than 1
            says more than the label does, at twice the passes (p ∝ p_label^γ p_any^{1−γ} at every position).
        field_guidance: the same towards the fields that stand before a text (p ∝ p_told^γ p_hidden^{1−γ}), 0 to 20; 1 is none.
        bound_draws: Monte Carlo draws of each design's likelihood bound (one pass each); 0 leaves the bound out.
        task: what is to be done with what is drawn, a name of `domains.smiles.task_names.TASKS`; None for a template.
        lengths: (low, high) tokens of every gap of a task, None for the task's own.
        ring_atoms: fewest atoms of a macrocycle's ring, None for the task's own.
        templates: at most so many ways to write a task, None for the task's own; designs are shared evenly among them.
    """

    domain: str
    template: str | None = None
    n: int = 64
    seed: int = 0
    sampler: str | None = None
    steps: int = 128
    model: str | None = None
    label: str | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    batch_size: int = 64
    bound_draws: int = 8
    constraint: str | None = None
    syntax: bool | None = None
    wishes: tuple[str, ...] = ()
    particles: int | None = None
    guidance: float = 1.0
    task: str | None = None
    lengths: tuple[int, int] | None = None
    ring_atoms: int | None = None
    templates: int | None = None
    field_guidance: float = 1.0

    def __post_init__(self):
        if self.syntax is None:
            object.__setattr__(self, "syntax", self.task is not None)
        if not 0 <= self.bound_draws <= 1000:
            raise ConfigError(f"bound_draws: expected 0 to 1000, got {self.bound_draws}")
        for name, most in LIMITS.items():
            if getattr(self, name) is not None and not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name}: expected 1 to {most}, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**63:
            raise ConfigError(f"seed: expected 0 to 2⁶³ − 1, got {self.seed}")
        if self.wishes and self.particles == 1:
            raise ConfigError(
                f"particles: expected at least 2 with wishes, to choose from; got 1 with {', '.join(self.wishes)}"
            )
        for name in ("guidance", "field_guidance"):
            if not 0 <= getattr(self, name) <= 20:
                raise ConfigError(f"{name}: expected 0 to 20, got {getattr(self, name)}")
        if self.guidance != 1 and self.label is None:
            raise ConfigError(f"guidance: expected a label to be guided to, got none with guidance {self.guidance}")
        self._check_task()
        self.expression()
        if self.sampler is not None:
            get_sampler(self.sampler)
        self.options()

    def _check_task(self) -> None:
        given = [name for name in ("lengths", "ring_atoms", "templates") if getattr(self, name) is not None]
        if self.task is None and given:
            raise ConfigError(f"{given[0]}: is of a task such as linker, and there is none; a template says it in its own text")
        if self.task is not None and self.template is None:
            raise ConfigError(f"task: {self.task} needs what is drawn, as the template; got none")

    @property
    def cloud(self) -> int:
        """N, particles of one design, of a model whatever its process (`domains.request.Task.cloud`)."""
        return self.particles or (8 if self.wishes else 1)

    def options(self) -> DrawOptions:
        return DrawOptions(self.temperature, self.top_p)

    def expression(self) -> Constraint | None:
        """The constraint, read. Raises ConditionError with the place marked."""
        return None if self.constraint is None else parse(self.constraint)

    def to_dict(self) -> dict[str, Any]:
        """As JSON and TOML hold it: lists for tuples."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()}

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
