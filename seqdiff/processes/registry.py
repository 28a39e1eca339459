"""Processes on tokens as configurations of plain values, for the checkpoint: a name, numbers, lists of numbers."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.grid import GridChain
from seqdiff.processes.matrix import RateMatrix
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import schedule_from_config, schedule_to_config


@dataclass(frozen=True)
class Kind:
    """A class, the keys of its configuration beside `kind`, and how to build it from their values."""

    cls: type[TokenProcess]
    keys: tuple[str, ...]
    build: Callable[..., TokenProcess]


def _matrix(name: str, numbers) -> torch.Tensor:
    try:
        return torch.tensor(numbers, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"process: expected {name} to be lists of numbers of one length ({error})") from None


PROCESSES = {
    "absorbing": Kind(Absorbing, ("schedule",), lambda V, schedule: Absorbing(V, schedule_from_config(schedule))),
    "uniform": Kind(Uniform, ("schedule",), lambda V, schedule: Uniform(V, schedule_from_config(schedule))),
    "rate-matrix": Kind(
        RateMatrix,
        ("schedule", "generator"),
        lambda V, schedule, generator: RateMatrix(_matrix("generator", generator), schedule_from_config(schedule), V),
    ),
    "grid": Kind(GridChain, ("steps", "law"), lambda V, steps, law: GridChain(_matrix("steps", steps), _matrix("law", law), V)),
}


def process_from_config(config: dict, vocabulary: int) -> TokenProcess:
    """Build from {"kind": "absorbing", "schedule": {…}} for V clean tokens.

    Raises ConfigError for an unknown kind, a missing or unknown key, a value that does not fit.
    """
    values = dict(config)
    name = values.pop("kind", None)
    if name not in PROCESSES:
        raise ConfigError(f"process: expected kind to be one of {', '.join(PROCESSES)}; got {name!r}")
    kind = PROCESSES[name]
    if set(values) != set(kind.keys):
        raise ConfigError(f"process {name!r}: expected the keys {', '.join(kind.keys)}; got {', '.join(values) or 'none'}")
    return kind.build(vocabulary, **values)


def process_to_config(process: TokenProcess) -> dict:
    """The inverse of `process_from_config`. Raises ConfigError for a process that has no name here."""
    for name, kind in PROCESSES.items():
        if type(process) is kind.cls:
            return {"kind": name, **{key: _plain(key, getattr(process, key)) for key in kind.keys}}
    raise ConfigError(f"process: expected one of {', '.join(PROCESSES)} to save, got {type(process).__name__}")


def _plain(key: str, value):
    return schedule_to_config(value) if key == "schedule" else value.tolist()
