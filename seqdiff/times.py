"""Which times training draws.

A `TimeLaw` turns the uniform times of training into others, with the weight that leaves a mean unchanged.
Shapes: B batch, K bins.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.schedules.tabulated import inverse, slope


class TimeLaw(Protocol):
    """Times for training, and what it learns from the losses seen there. Its state is plain tensors, for a restart.

    An objective that is a mean over some t uniform on (0, 1], whatever t means there (a mask rate, a step), may draw it so.
    """

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
    linear; its increments are the density. With the weight the mean is that over uniform times again; CDCD trains on the
    warped times as they come: `weighted` False.
    """

    bins: int = 64
    decay: float = 0.99
    share: float = 0.01
    weighted: bool = True
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
        t, weight = _draw(self.cdf(), v)
        return t, weight if self.weighted else torch.ones_like(weight)

    def record(self, t, loss):
        for k, value in zip(_bin(t, self.bins), loss.detach().double().tolist(), strict=True):
            self.count[k] += 1
            step = max(1 - self.decay, 1 / int(self.count[k]))  # a plain mean at first
            self.mean[k] += step * (value - self.mean[k])

    def state(self):
        return {"mean": self.mean.clone(), "count": self.count.clone()}

    def restore(self, state):
        self.mean, self.count = state["mean"].clone(), state["count"].clone()


TIME_LAWS: dict[str, Any] = {"uniform": UniformTimes, "importance": ImportanceTimes, "warped": WarpedTimes}


def time_law_from_config(config: dict) -> TimeLaw:
    """Build from {"kind": "warped", "bins": 64, …}. Raises ConfigError for an unknown kind or key, or numbers out of range."""
    options = dict(config)
    kind = options.pop("kind", None)
    if kind not in TIME_LAWS:
        raise ConfigError(f"times: expected kind to be one of {', '.join(TIME_LAWS)}; got {kind!r}")
    try:
        return TIME_LAWS[kind](**options)
    except TypeError as error:
        raise ConfigError(f"times {kind!r}: {error}") from None


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
