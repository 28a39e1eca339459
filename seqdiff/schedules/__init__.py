"""Noise schedules: α_t, the probability that a token is still clean at time t ∈ [0, 1], and their configurations."""

from dataclasses import asdict

from seqdiff.errors import ConfigError
from seqdiff.schedules.base import Schedule
from seqdiff.schedules.beta import Beta
from seqdiff.schedules.closed import Cosine, Geometric, Linear, LogLinear, Polynomial, Sqrt
from seqdiff.schedules.gaussian import LinearBeta, SquaredCosine
from seqdiff.schedules.tabulated import Learned, Tabulated

__all__ = [
    "SCHEDULES",
    "Beta",
    "Cosine",
    "Geometric",
    "Learned",
    "Linear",
    "LinearBeta",
    "LogLinear",
    "Polynomial",
    "Schedule",
    "Sqrt",
    "SquaredCosine",
    "Tabulated",
    "schedule_from_config",
    "schedule_to_config",
]

SCHEDULES = {
    "linear": Linear,
    "log-linear": LogLinear,
    "cosine": Cosine,
    "polynomial": Polynomial,
    "sqrt": Sqrt,
    "squared-cosine": SquaredCosine,
    "linear-beta": LinearBeta,
    "geometric": Geometric,
    "beta": Beta,
    "tabulated": Tabulated,
}


def schedule_from_config(config: dict) -> Schedule:
    """Build from {"kind": "cosine", …parameters}. Raises ConfigError for an unknown kind or parameter."""
    parameters = dict(config)
    kind = parameters.pop("kind", None)
    if kind not in SCHEDULES:
        raise ConfigError(f"schedule: expected kind to be one of {', '.join(SCHEDULES)}; got {kind!r}")
    try:
        return SCHEDULES[kind](**parameters)
    except TypeError as error:
        raise ConfigError(f"schedule {kind!r}: {error}") from None


def schedule_to_config(schedule: Schedule) -> dict:
    """The inverse of `schedule_from_config`, for the checkpoint; a learned schedule is written as its table.

    Raises ConfigError for a schedule that has no name here.
    """
    if isinstance(schedule, Learned):
        schedule = schedule.table()
    for kind, cls in SCHEDULES.items():
        if type(schedule) is cls:
            return {"kind": kind, **asdict(schedule)}  # type: ignore[call-overload]
    raise ConfigError(f"schedule: expected one of {', '.join(SCHEDULES)} to save, got {type(schedule).__name__}")
