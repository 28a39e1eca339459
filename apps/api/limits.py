"""How large a request may be; each limit is told where it is passed. The content is checked by `DesignSpec` and `prepare`."""

import re
from typing import Any

from constraints.language.notation import from_json
from domains.registry import MODEL_NAME, get_domain
from domains.request import Task, gradients
from domains.spec import DesignSpec
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConditionError, ConfigError

BODY = 1 << 20  # octets
BODY_SECONDS = 10.0
DESIGNS, JOB_DESIGNS = 64, 1000  # n of a request, of a job
LENGTH, STEPS, PARTICLES, DRAWS, WISHES, TEMPLATES = 2048, 1000, 64, 32, 16, 16
WORK = 10_000_000  # n · particles · length · steps
CONSTRAINT = 20_000  # characters
TEMPLATE = 10_000
SMILES = 1000
MAX_TOKENS = 512  # of a completion
SCORE = re.compile(r"(?:^|<=)\s*score\b", re.IGNORECASE)


def read_spec(table: dict[str, Any], job: bool = False) -> DesignSpec:
    """The request in a JSON object. Raises SeqdiffError for what it says, and for what is larger than allowed."""
    table = dict(table)
    model = table.get("model")
    if isinstance(model, str) and not MODEL_NAME.fullmatch(model):
        raise ConfigError(f"model: expected the name of a model, {MODEL_NAME.pattern}; got {model[:80]!r}")
    if isinstance(table.get("constraint"), dict):
        table["constraint"] = str(from_json(table["constraint"], "constraint"))
    for name, most in (("constraint", CONSTRAINT), ("template", SMILES if table.get("domain") == "smiles" else TEMPLATE)):
        if isinstance(table.get(name), str) and len(table[name]) > most:
            raise ConfigError(f"{name}: expected at most {most:,} characters, got {len(table[name]):,}")
    most = {"n": JOB_DESIGNS if job else DESIGNS, "steps": STEPS, "particles": PARTICLES, "bound_draws": DRAWS}
    most |= {"batch_size": JOB_DESIGNS, "templates": TEMPLATES}
    for name, bound in most.items():
        value = table.get(name)
        if isinstance(value, int) and value > bound:
            raise ConfigError(f"{name}: expected at most {bound:,} {'in a job' if job else 'here'}, got {_shown(value)}")
    wishes = table.get("wishes")
    if isinstance(wishes, list) and len(wishes) > WISHES:
        raise ConfigError(f"wishes: expected at most {WISHES}, got {len(wishes)}")
    spec = DesignSpec.from_dict(table)
    get_domain(spec.domain)
    for wish in spec.wishes:
        if SCORE.search(wish):
            raise ConditionError(f"wish: the service has no scorers and takes none from a request; got {wish[:80]!r}")
    return spec


def _shown(value: int) -> str:
    return str(value) if value.bit_length() < 64 else f"a number of {value.bit_length()} bits"


def longest(spec: DesignSpec, checkpoint: Checkpoint, ready: Task | None = None) -> int:
    """Most tokens of a row. Reads the template, unless it was `ready` before: raises TemplateError."""
    if spec.template is None:
        return checkpoint.max_length
    variants = [way.variant for way in ready.ways] if ready else get_domain(spec.domain).templates(spec, checkpoint)
    return max(variant.template.length_range[1] for variant in variants)


def check_length(spec: DesignSpec, checkpoint: Checkpoint, ready: Task | None = None) -> None:
    """Raises ConfigError for rows that are too long, or more work than one request may ask for."""
    length = longest(spec, checkpoint, ready)
    if length > LENGTH:
        raise ConfigError(f"template: expected rows of at most {LENGTH:,} tokens, got up to {length:,}")
    cloud = (ready or Task(spec, checkpoint, (), gradients=gradients(spec, checkpoint))).cloud
    work = spec.n * cloud * length * spec.steps
    if work > WORK:
        raise ConfigError(
            f"request: expected n · particles · length · steps up to {WORK:,}, got {spec.n} · {cloud} · {length} · "
            f"{spec.steps} = {work:,}; ask for fewer designs or steps, or in several requests"
        )
