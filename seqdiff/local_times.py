"""Which time a token has: schedules a token, a position or an example, and predetermined transition times.

A `LocalTime` changes the one time t of a row into a time a position, so that any process with any schedule gets schedules
a token, a position or an example: α_t^i = α(τ_i(t)). Shapes: B batch, L length, V vocabulary.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.processes.base import column
from seqdiff.schedules import Schedule


class LocalTime(Protocol):
    """A change of time τ: rising in t, with τ(0) = 0 and τ(1) = 1 exactly."""

    def __call__(self, t: Tensor, tokens: Tensor) -> Tensor:
        """τ (B, L) at t, () or (B,), for the clean tokens (B, L), or a guess of them when sampling."""
        ...

    def prime(self, t: Tensor, tokens: Tensor) -> Tensor:
        """dτ/dt (B, L)."""
        ...


def local_weight(schedule: Schedule, clock: LocalTime, t: Tensor, tokens: Tensor) -> Tensor:
    """−(dα(τ_i(t))/dt) / (1 − α(τ_i(t))), (B, L): the weight of masked position i in the continuous-time bound."""
    return schedule.weight(clock(t, tokens)) * clock.prime(t, tokens)


@dataclass(frozen=True, eq=False)
class Spindle:
    """τ_i = t + λ sin(πt) h̃_i with h̃_i = 1 − mean_j H(x_0^j) / H(x_0^i): informative tokens are noised earlier.

    With the linear schedule α = 1 − t − λ sin(πt) h̃_i (He et al., DiffusionBERT, 2023). As dτ/dt = 1 + λπ cos(πt) h̃_i, τ
    rises where λπ|h̃_i| < 1; h̃ < 1 always, but it has no lower bound: it is kept at −1 or more, and λ < 1/π.

    Attributes:
        information: (V,) H of each token, as from `information`, positive.
        strength: λ; 0.3 in the paper.
    """

    information: Tensor
    strength: float = 0.3

    def __post_init__(self):
        if not 0 <= self.strength < 1 / math.pi:
            raise ConfigError(f"spindle: expected 0 ≤ λ < 1/π ≈ 0.318, where time cannot run back, got {self.strength}")
        if self.information.ndim != 1 or not bool((self.information > 0).all()):
            raise ConfigError("spindle: expected a positive information (V,) for every token")

    def __call__(self, t, tokens):
        t = column(t)
        return t + self.strength * torch.sin(math.pi * torch.minimum(t, 1 - t)) * self.excess(tokens)

    def prime(self, t, tokens):
        return 1 + self.strength * math.pi * torch.cos(math.pi * column(t)) * self.excess(tokens)

    def excess(self, tokens: Tensor) -> Tensor:
        """h̃ (B, L) in [−1, 1); 0 for ids that are no token (pads), which do not count in the mean either."""
        H = self.information.to(tokens.device).double()
        real = tokens < len(H)
        here = torch.where(real, H[tokens.clamp(max=len(H) - 1)], 0.0)
        mean = here.sum(-1, keepdim=True) / real.sum(-1, keepdim=True).clamp(min=1)
        return torch.where(real, 1 - mean / torch.where(real, here, 1.0), 0.0).clamp(min=-1)


def information(counts: Tensor) -> Tensor:
    """−log p(v), (V,) float64, from the counts of tokens in a corpus; a token that is not there counts as one half."""
    counts = counts.double().clamp(min=0.5)
    return -torch.log(counts / (counts.sum() + 1))


@dataclass(frozen=True, eq=False)
class PerPosition:
    """τ_i = t^{w_i}, w (L,) or longer: positions with w < 1 are noised earlier, and so revealed later, than the others."""

    power: Tensor

    def __post_init__(self):
        _check_power(self.power)

    def __call__(self, t, tokens):
        return (column(t) ** self._powers(tokens)).expand(tokens.shape)

    def prime(self, t, tokens):
        power = self._powers(tokens)
        return (power * column(t) ** (power - 1)).expand(tokens.shape)

    def _powers(self, tokens: Tensor) -> Tensor:
        L, there = tokens.shape[-1], self.power.shape[-1]
        if 1 < there < L:
            raise ConfigError(f"local time: expected a power for each of {L} positions, got {there}")
        return self.power.to(tokens.device).double()[..., :L]


@dataclass(frozen=True, eq=False)
class PerExample:
    """τ = t^{w_b}, w (B,), one a row: what a policy that chooses a schedule for each example gives (Meta-DiffuB)."""

    power: Tensor

    def __post_init__(self):
        _check_power(self.power)

    def __call__(self, t, tokens):
        return PerPosition(self.power.unsqueeze(-1))(t, tokens)

    def prime(self, t, tokens):
        return PerPosition(self.power.unsqueeze(-1)).prime(t, tokens)


def _check_power(power: Tensor) -> None:
    """Bounded, so that t^w for the smallest t that is drawn, 2⁻⁵³, is not 0."""
    if not bool(((power >= 1 / 16) & (power <= 16)).all()):
        raise ConfigError(f"local time: expected powers from 1/16 to 16, got {power.min():.3g} to {power.max():.3g}")


def transition_times(u: Tensor, law: Schedule, steps: int | None = None) -> Tensor:
    """τ with P(τ ≤ t) = 1 − α_t from uniform u, in its shape: when a position goes from noise to its token.

    With `steps` the next k/T above: P(τ = k/T) = α_{(k−1)/T} − α_{k/T}. What the schedule keeps to the end (α_1 > 0) falls
    on τ = 1. The law Beta(a, b) is the schedule `Beta`. Source: Chen et al., DNDM, 2023.
    """
    tau = law.inverse(u)
    return tau if steps is None else (tau * steps).ceil().clamp(1, steps) / steps


LOCAL_TIMES: dict[str, Any] = {"spindle": Spindle, "position": PerPosition}


def local_time_from_config(config: dict) -> LocalTime:
    """Build from {"kind": "spindle", "information": […], "strength": 0.3} or {"kind": "position", "power": […]}.

    Raises ConfigError for an unknown kind or key, or numbers that do not fit.
    """
    values = dict(config)
    kind = values.pop("kind", None)
    if kind not in LOCAL_TIMES:
        raise ConfigError(f"local time: expected kind to be one of {', '.join(LOCAL_TIMES)}; got {kind!r}")
    try:
        numbers = {k: torch.tensor(v, dtype=torch.float64) if isinstance(v, list) else v for k, v in values.items()}
        return LOCAL_TIMES[kind](**numbers)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"local time {kind!r}: {error}") from None


def local_time_to_config(clock: LocalTime) -> dict:
    """The inverse of `local_time_from_config`: plain values, for the checkpoint. Raises ConfigError for one without a name."""
    for kind, cls in LOCAL_TIMES.items():
        if type(clock) is cls:
            values = {k: v.tolist() if isinstance(v, Tensor) else v for k, v in asdict(clock).items()}  # type: ignore[call-overload]
            return {"kind": kind, **values}
    raise ConfigError(f"local time: expected one of {', '.join(LOCAL_TIMES)} to save, got {type(clock).__name__}")
