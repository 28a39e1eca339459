"""Which time a token has, and which times training draws.

A `LocalTime` changes the one time t of a row into a time a position, so that any process with any schedule gets schedules
a token, a position or an example: α_t^i = α(τ_i(t)). A `TimeLaw` turns the uniform times of training into others, with
the weight that leaves a mean unchanged. Shapes: B batch, L length, V vocabulary, K bins.
"""

import math
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.processes.base import column
from seqdiff.schedules import Schedule
from seqdiff.schedules.tabulated import inverse, slope


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
    """τ_i = t^{w_i}, w (L,): positions with w < 1 are noised earlier, and so revealed later, than the others."""

    power: Tensor

    def __post_init__(self):
        _check_power(self.power)

    def __call__(self, t, tokens):
        return (column(t) ** self.power.to(tokens.device).double()).expand(tokens.shape)

    def prime(self, t, tokens):
        power = self.power.to(tokens.device).double()
        return (power * column(t) ** (power - 1)).expand(tokens.shape)


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


class TimeLaw(Protocol):
    """Times for training, and what it learns from the losses seen there. Its state is plain tensors, for a restart."""

    def draw(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """(t, weight), (B,) each, from v uniform on (0, 1] (stratified: `antithetic_times`): E[weight · f(t)] = ∫ f."""
        ...

    def record(self, t: Tensor, loss: Tensor) -> None:
        """Take note of the losses (B,) before weighting at the times t (B,)."""
        ...

    def state(self) -> dict[str, Tensor]: ...

    def restore(self, state: dict[str, Tensor]) -> None: ...


@dataclass
class UniformTimes:
    """t = v."""

    def draw(self, v):
        return v, torch.ones_like(v)

    def record(self, t, loss):
        pass

    def state(self):
        return {}

    def restore(self, state):
        pass


@dataclass
class ImportanceTimes:
    """p(t) ∝ √E[loss²] in each of K bins, by the last `history` losses of the bin; uniform until every bin has them.

    The density that gives the weighted loss its least variance (Nichol & Dhariwal, 2021, section 3.3). A share of the
    draws stays uniform, so that no weight exceeds 1/share.
    """

    bins: int = 64
    history: int = 10
    share: float = 0.01
    losses: Tensor = field(init=False)
    count: Tensor = field(init=False)

    def __post_init__(self):
        _check_bins(self.bins, self.share)
        self.losses = torch.zeros(self.bins, self.history, dtype=torch.float64)
        self.count = torch.zeros(self.bins, dtype=torch.int64)

    def cdf(self) -> Tensor:
        """(K + 1,) P(t ≤ k/K)."""
        if bool((self.count < self.history).any()):
            return torch.linspace(0, 1, self.bins + 1, dtype=torch.float64)
        return _cdf(self.losses.square().mean(-1).sqrt(), self.share)

    def draw(self, v):
        return _draw(self.cdf(), v)

    def record(self, t, loss):
        for k, value in zip(_bin(t, self.bins), loss.detach().double().tolist(), strict=True):
            self.losses[k, int(self.count[k]) % self.history] = value
            self.count[k] += 1

    def state(self):
        return {"losses": self.losses.clone(), "count": self.count.clone()}

    def restore(self, state):
        self.losses, self.count = state["losses"].clone(), state["count"].clone()


@dataclass
class WarpedTimes:
    """P(drawn time ≤ t) ∝ the loss at t: it then grows linearly in v (Dieleman et al., CDCD, 2022).

    The loss as a function of t is a running mean in each of K bins, made monotone (isotonic regression) and piecewise
    linear; its increments are the density. CDCD trains on the warped times as they come; with the weight the mean is that
    over uniform times again.
    """

    bins: int = 64
    decay: float = 0.99
    share: float = 0.01
    mean: Tensor = field(init=False)
    count: Tensor = field(init=False)

    def __post_init__(self):
        _check_bins(self.bins, self.share)
        self.mean = torch.zeros(self.bins, dtype=torch.float64)
        self.count = torch.zeros(self.bins, dtype=torch.int64)

    def cdf(self) -> Tensor:
        """(K + 1,) P(t ≤ k/K); uniform until every bin has seen a loss."""
        if bool((self.count == 0).any()):
            return torch.linspace(0, 1, self.bins + 1, dtype=torch.float64)
        level = isotonic(self.mean)
        if self.bins == 1 or float(level[-1] - level[0]) <= 0:
            return torch.linspace(0, 1, self.bins + 1, dtype=torch.float64)
        inner = (level[1:] + level[:-1]) / 2  # at the edges between bins; the two ends go on in a straight line
        edges = torch.cat([(2 * level[:1] - inner[:1]), inner, 2 * level[-1:] - inner[-1:]])
        return _cdf(edges.diff(), self.share)

    def draw(self, v):
        return _draw(self.cdf(), v)

    def record(self, t, loss):
        for k, value in zip(_bin(t, self.bins), loss.detach().double().tolist(), strict=True):
            self.count[k] += 1
            step = max(1 - self.decay, 1 / int(self.count[k]))  # a plain mean at first
            self.mean[k] += step * (value - self.mean[k])

    def state(self):
        return {"mean": self.mean.clone(), "count": self.count.clone()}

    def restore(self, state):
        self.mean, self.count = state["mean"].clone(), state["count"].clone()


def isotonic(y: Tensor) -> Tensor:
    """The rising sequence nearest to y (K,) in least squares: falling neighbours are pooled into their mean."""
    blocks: list[tuple[float, int]] = []
    for value in y.tolist():
        blocks.append((value, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, n), (b, m) = blocks[-2:]
            blocks[-2:] = [((a * n + b * m) / (n + m), n + m)]
    return torch.tensor([value for value, n in blocks for _ in range(n)], dtype=torch.float64)


def _draw(cdf: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """t = F⁻¹(v) and 1/F′(t) for a piecewise-linear F."""
    cdf = cdf.to(v.device)
    t = inverse(cdf, v)
    return t, 1 / slope(cdf, t)


def _cdf(mass: Tensor, share: float) -> Tensor:
    """(K + 1,) the cumulative sum of `mass` (K,) ≥ 0 with a share of it spread evenly; from 0 to 1 exactly."""
    total = mass.sum()
    even = torch.full_like(mass, 1 / len(mass))
    p = (1 - share) * torch.where(total > 0, mass / total, even) + share * even
    inner = p.cumsum(0)[:-1]
    return torch.cat([inner.new_zeros(1), inner, inner.new_ones(1)])


def _bin(t: Tensor, bins: int) -> list[int]:
    return (t.detach() * bins).long().clamp(0, bins - 1).tolist()


def _check_bins(bins: int, share: float) -> None:
    if bins < 1 or not 0 < share <= 1:
        raise ConfigError(f"time law: expected bins ≥ 1 and 0 < share ≤ 1, got {bins} and {share}")
