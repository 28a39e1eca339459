"""Configuration of a training run: frozen dataclasses, read from TOML with every key and type checked."""

import dataclasses
import types
import typing
from dataclasses import dataclass, field

from seqdiff.errors import ConfigError

PRECISIONS = ("fp32", "bf16")
OPTIMIZERS = ("muon", "adamw")


@dataclass(frozen=True)
class OptimizerConfig:
    """How the weights move.

    Attributes:
        kind: "muon" (matrices of the blocks by orthogonalised momentum, the rest by AdamW) or "adamw" (all).
        lr: peak learning rate of the blocks' matrices. Muon's is on AdamW's scale (update RMS matched).
        lr_rest: peak learning rate of embeddings, head and biases.
        warmup: steps of linear warm-up.
        hold: share of all steps after which the rate starts to fall along a cosine to zero; 0 is the plain cosine.
        weight_decay: decoupled weight decay of the matrices.
        clip: largest global gradient norm.
        ema: decay of the exponential moving average of the weights, which is what gets saved for use.
    """

    kind: str = "muon"
    lr: float = 4e-3
    lr_rest: float = 3e-3
    warmup: int = 200
    hold: float = 0.0
    weight_decay: float = 0.05
    clip: float = 1.0
    ema: float = 0.999

    def __post_init__(self):
        _one_of("optimizer.kind", self.kind, OPTIMIZERS)
        _in_range("optimizer.lr", self.lr, 0, 1)
        _in_range("optimizer.lr_rest", self.lr_rest, 0, 1)
        _in_range("optimizer.hold", self.hold, 0, 1)
        _in_range("optimizer.ema", self.ema, 0, 1)


@dataclass(frozen=True)
class RunConfig:
    """How long, how much at a time, and how often to look.

    Attributes:
        steps: optimiser steps in all; may be raised later to go on.
        batch_tokens: tokens of one batch.
        bucket: rows of a batch have lengths within this many tokens of each other; 1 means no padding at all.
        passes: times that an epoch goes over the rows; more of them leave fewer short batches.
        precision: "fp32", or "bf16" for mixed precision.
        compile: torch.compile the denoiser (CUDA).
        label_dropout: share of rows trained with class "any".
        eval_every, eval_rows: steps between two looks at the held-out bound, and rows of each class in it.
        checkpoint_every: steps between two resumable checkpoints.
        seed: of data order, times, masks and weights.
    """

    steps: int = 10_000
    batch_tokens: int = 6_000
    bucket: int = 1
    passes: int = 1
    precision: str = "bf16"
    compile: bool = False
    label_dropout: float = 0.1
    eval_every: int = 500
    eval_rows: int = 256
    checkpoint_every: int = 250
    seed: int = 0

    def __post_init__(self):
        _one_of("run.precision", self.precision, PRECISIONS)
        for name in ("steps", "batch_tokens", "bucket", "passes", "eval_every", "eval_rows", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"run.{name}: expected at least 1, got {getattr(self, name)}")
        _in_range("run.label_dropout", self.label_dropout, 0, 1)


@dataclass(frozen=True)
class TrainingConfig:
    """Everything of a run but the data: `model` and `schedule` are passed to the denoiser and the process of `system`.

    Attributes:
        options: other values of the fields of `system`, such as `steps` or `separator`.
        times: which times are trained, a table of `seqdiff.times.time_law_from_config`.
    """

    model: dict = field(default_factory=dict)
    schedule: dict = field(default_factory=lambda: {"kind": "linear"})
    options: dict = field(default_factory=dict)
    times: dict = field(default_factory=lambda: {"kind": "uniform"})
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    run: RunConfig = field(default_factory=RunConfig)
    system: str = "mdlm"


def from_table(cls, table: dict, where: str = ""):
    """Build a configuration dataclass from a table. Raises ConfigError naming an unknown key or a wrong type."""
    try:
        return cls(**_values(cls, table, where))
    except TypeError as error:
        raise ConfigError(f"{where or cls.__name__}: {error}") from None


def with_table(instance, table: dict, where: str = ""):
    """The dataclass `instance` with the values of a table in place of its own. Raises ConfigError as `from_table`."""
    return dataclasses.replace(instance, **_values(type(instance), table, where))


def _values(cls, table: dict, where: str) -> dict:
    if not isinstance(table, dict):
        raise ConfigError(f"{where or 'configuration'}: expected a table, got {type(table).__name__}")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    values = {}
    for key, value in table.items():
        path = f"{where}.{key}" if where else key
        if key not in names:
            raise ConfigError(f"{path}: unknown key; expected one of {', '.join(names)}")
        values[key] = _convert(hints[key], value, path)
    return values


def _convert(hint, value, path: str):
    if dataclasses.is_dataclass(hint):
        return from_table(hint, value, path)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        options = [a for a in arguments if a is not type(None)]
        return None if value is None else _convert(options[0], value, path)
    if origin in (list, tuple):
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{path}: expected a list, got {value!r}")
        return origin(_convert(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = origin or hint
    if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
        raise ConfigError(f"{path}: expected {plain.__name__}, got {value!r}")
    return value


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name}: expected {low} to {high}, got {value}")
