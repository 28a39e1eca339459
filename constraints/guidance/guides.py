"""What is wished, as tilts of the open positions and an estimate of the whole: the parts a Condition puts into its draws.

A guide answers `log_tilt(x_t, t, positions, p) → (g, base)`: g_i(v) is the log-ratio by which token v at position i is
wished for (None: no token more than another), base = log p(y | x_t) (or λ r̂) is what is reached at x_t itself; and
`final(x_0)`, the log of the wish at complete rows. Jumps of revealed positions are not asked for: under the absorbing process
there are none.

With exact g and one reveal a step, p(x) p(y|x)/p(y) is drawn exactly. Two reveals a step, a power γ ≠ 1 of p(y|x_t), a
clipped or a first-order g are proposals: what they leave over, weights and particles correct towards p(x) e^{final(x)}.

Sources: Nisonoff et al., "Unlocking guidance for discrete state-space diffusion and flow models", 2024 (exact and
first-order jumps); Schiff et al., "Simple guidance mechanisms for discrete diffusion models", 2024 (D-CBG); Singhal et al.,
"A general framework for inference-time scaling and steering of diffusion models", 2025 (rewards by lookahead).
Shapes: R rows, L length, P queried positions, V vocabulary, N distinct rows, k samples. The id V is a hole.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Protocol

import torch
from torch import Tensor

from constraints.condition import Guide
from constraints.guidance.gradients import embedding_gradient
from seqdiff.draws import categorical
from seqdiff.errors import ConditionError
from seqdiff.noise import Stream, uniform


class LogProbability(Protocol):
    """log p(y | x_t), (R,), of ids (R, L); for first-order guidance also of soft tokens (R, L, V + 1), column V the hole.

    Where there are thousands of tokens, one with a method `slope` spares their one-hots: x_t, t → log p (R,), its gradient with
    respect to the embeddings (R, L, D), and those of every token (V, D) and of the rows (R, L, D).
    """

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class Wish:
    """γ log P(low ≤ y ≤ high | x_t) by a regressor: QED ≥ 0.6 is `Wish(regressor, low=0.6)`. A LogProbability.

    Attributes:
        target: anything with `log_between(x_t, t, low, high)`, as `seqdiff.denoisers.classifier.Classifier`.
        strength: γ.
    """

    target: Any
    low: float = -math.inf
    high: float = math.inf
    strength: float = 1.0

    def __post_init__(self):
        if not self.low < self.high or (self.low, self.high) == (-math.inf, math.inf):
            raise ConditionError(f"wish: expected low < high and one of them finite, got {self.low} and {self.high}")
        _finite("wish: strength", self.strength)

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        return self.strength * self.target.log_between(x_t, t, self.low, self.high)


@dataclass(frozen=True)
class ClassWish:
    """γ log p(y = label | x_t) by a classifier. A LogProbability.

    Attributes:
        target: anything with `log_classes(x_t, t)` → (R, K).
        label: the class wished for.
    """

    target: Any
    label: int
    strength: float = 1.0

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        return self.strength * self.target.log_classes(x_t, t)[:, self.label]


@dataclass(frozen=True)
class ExactGuide:
    """g_i(v) = log p(y | x_t with v at i) − log p(y | x_t) by evaluating every jump, R·P·V rows; equal ones once.

    From a row that already rules y out (base −∞) every jump is alike, g = 0.

    Attributes:
        chunk: rows of one evaluation.
        everywhere: whether revealed positions are asked for too, for processes that overwrite tokens.
    """

    log_p_y: LogProbability
    chunk: int = 4096
    everywhere: bool = False

    @torch.no_grad()
    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        L, V = x_t.shape[1], p.shape[-1]
        x, times, back = _distinct(x_t, t)
        base = self._evaluate(x, times)
        asked = _asked(x_t, positions, V, self.everywhere)
        pairs, of_pair = torch.unique((back.unsqueeze(1) * L + positions)[asked], return_inverse=True)
        g = torch.zeros(p.shape, dtype=torch.float64, device=p.device)
        if len(pairs):
            jumps = torch.cat([self._jumps(x, times, part, V) for part in pairs.split(max(1, self.chunk // V))])
            before = base[pairs // L].unsqueeze(-1)
            g[asked] = torch.where(before.isneginf(), 0.0, jumps - before)[of_pair]
        return g, base[back]

    @torch.no_grad()
    def final(self, x_0: Tensor) -> Tensor:
        return self._evaluate(x_0, _nothing(x_0))

    def _jumps(self, x: Tensor, t: Tensor | None, pairs: Tensor, V: int) -> Tensor:
        """log p(y | x with v at i) for every v, (n, V), of pairs = row · L + i (n,)."""
        row, position = pairs // x.shape[1], pairs % x.shape[1]
        there = x[row].unsqueeze(1).repeat(1, V, 1)
        tokens = torch.arange(V, device=x.device).expand(len(pairs), V)
        there.scatter_(2, position[:, None, None].expand(-1, V, 1), tokens.unsqueeze(-1))
        times = None if t is None else t[row].repeat_interleave(V)
        return self.log_p_y(there.flatten(0, 1), times).double().view(len(pairs), V)

    def _evaluate(self, x: Tensor, t: Tensor | None) -> Tensor:
        parts = zip(x.split(self.chunk), [None] * len(x) if t is None else t.split(self.chunk), strict=False)
        return torch.cat([self.log_p_y(rows, times).double() for rows, times in parts])


@dataclass(frozen=True)
class FirstOrderGuide:
    """g_i(v) = ∂_{i,v} − ∂_{i,x_i} of log p(y | x_t) with respect to the one-hots: one backward pass for all jumps.

    Exact where log p(y | ·) is affine in the one-hots; elsewhere a proposal.
    """

    log_p_y: LogProbability
    everywhere: bool = False

    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        V = p.shape[-1]
        x, times, back = _distinct(x_t, t)
        if slope := getattr(self.log_p_y, "slope", None):
            base, h, table, e = slope(x, times)
            h = torch.where(base.isneginf()[:, None, None], 0.0, h)
            there = positions.unsqueeze(-1).expand(*positions.shape, h.shape[-1])
            at = h[back].gather(1, there)
            at = torch.where(_asked(x_t, positions, V, self.everywhere).unsqueeze(-1), at, 0.0)
            g = at @ table.T - (at * e[back].gather(1, there)).sum(-1, keepdim=True)
            return g.double(), base.double()[back]
        soft = torch.nn.functional.one_hot(x, V + 1).double()
        base, gradient = embedding_gradient(lambda one_hots: self.log_p_y(one_hots, times), soft)
        change = gradient[..., :V] - gradient.gather(-1, x.unsqueeze(-1))
        change = torch.where(base.isneginf()[:, None, None], 0.0, change)[back]
        g = change.gather(1, positions.unsqueeze(-1).expand(*positions.shape, V))
        return torch.where(_asked(x_t, positions, V, self.everywhere).unsqueeze(-1), g, 0.0), base[back]

    @torch.no_grad()
    def final(self, x_0: Tensor) -> Tensor:
        return self.log_p_y(x_0, _nothing(x_0)).double()


@dataclass(frozen=True)
class RewardGuide:
    """Any function of clean rows as a reward: base = λ r̂(x_t), from k completions x̂0 drawn from Π p_i; no tilt, g = 0.

    The completions are a function of (seed, x_t, t, p) alone: equal particles see equal ones, and whoever asks twice gets
    the same ψ(x_t). Equal completions are scored once.

    Attributes:
        function: ids (n, L) → n numbers.
        strength: λ.
        samples: k.
        mean: whether r̂ is the mean; otherwise λ r̂ = log mean e^{λ r}, which is the potential of the optimal twist.
    """

    function: Callable[[Tensor], Any]
    strength: float = 1.0
    samples: int = 4
    mean: bool = False
    seed: int = 0

    def __post_init__(self):
        _finite("reward: strength", self.strength)
        if self.samples < 1:
            raise ConditionError(f"reward: expected at least 1 sample, got {self.samples}")

    @torch.no_grad()
    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[None, Tensor]:
        V, k = p.shape[-1], self.samples
        asked = _asked(x_t, positions, V, False)
        if bool((torch.zeros_like(x_t).scatter(1, positions, 1) < (x_t == V)).any()):
            raise ConditionError("reward: expected every hole of x_t among the queried positions, to look ahead from there")
        place = torch.arange(k, device=x_t.device).view(1, k, 1)
        u = uniform(self.seed, _hash(x_t, t).view(-1, 1, 1), place, positions.unsqueeze(1), Stream.CHOICE, device=x_t.device)
        drawn = categorical(p.double().unsqueeze(1).expand(-1, k, -1, -1), u)
        drawn = torch.where(asked.unsqueeze(1), drawn, x_t.gather(1, positions).unsqueeze(1))
        ahead = x_t.unsqueeze(1).repeat(1, k, 1).scatter(2, positions.unsqueeze(1).expand_as(drawn), drawn)
        reward = self.final(ahead.flatten(0, 1)).view(-1, k)
        base = reward.mean(-1) if self.mean else reward.logsumexp(-1) - math.log(k)
        return None, base

    def final(self, x_0: Tensor) -> Tensor:
        """λ r(x_0), (R,). Raises ConditionError if the function fails, or does not give a finite number a row."""
        rows, back = torch.unique(x_0, dim=0, return_inverse=True)
        try:
            reward = torch.as_tensor(self.function(rows.clone()), dtype=torch.float64, device=x_0.device)
        except Exception as error:
            raise ConditionError(f"reward: the function failed on {len(rows)} rows of ids ({error!r})") from error
        if reward.shape != rows.shape[:1]:
            raise ConditionError(f"reward: expected {len(rows)} numbers for {len(rows)} rows, got shape {tuple(reward.shape)}")
        if not bool(reward.isfinite().all()):
            bad = int((~reward.isfinite()).nonzero()[0])
            raise ConditionError(
                f"reward: expected finite numbers, got {float(reward[bad])} for the ids {rows[bad].tolist()}; "
                "what must not happen is a constraint, not a reward"
            )
        return self.strength * reward[back]


@dataclass(frozen=True)
class Sum:
    """Several guides with weights γ_j: g = Σ γ_j g_j, base = Σ γ_j base_j, the target p(x) Π_j e^{γ_j final_j(x)}.

    Attributes:
        parts: pairs (guide, γ_j).
        clip: g is kept in [−clip, clip], so that a tilt never rules a token out (g = −∞ becomes −clip) nor drowns the
            denoiser. It changes the proposal alone: base and `final` stay as they are.
    """

    parts: tuple[tuple[Guide, float], ...]
    clip: float = math.inf

    def __post_init__(self):
        for _, weight in self.parts:
            _finite("guides: weight", weight)
        if not self.parts or not self.clip > 0:
            raise ConditionError(f"guides: expected at least one and a positive clip, got {len(self.parts)} and {self.clip}")

    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[Tensor | None, Tensor]:
        said = [(guide.log_tilt(x_t, t, positions, p), weight) for guide, weight in self._used()]  # type: ignore[arg-type]
        base = sum((weight * b for (_, b), weight in said), _nothing(x_t))
        tilts = [g if weight == 1 else weight * g for (g, _), weight in said if g is not None]
        if not tilts:
            return None, base
        g = reduce(add, tilts)
        g = g if self.clip == math.inf else g.clamp(-self.clip, self.clip)
        if g.numel() and not bool(g.amax() < math.inf):  # +∞, or not a number
            raise ConditionError(
                "guides: one rules a token out and another, or a negative weight, wants it infinitely; set clip"
            )
        return g, base

    def final(self, x_0: Tensor) -> Tensor:
        return sum((weight * guide.final(x_0) for guide, weight in self._used()), _nothing(x_0))

    def _used(self) -> list[tuple[Guide, float]]:
        return [(guide, weight) for guide, weight in self.parts if weight != 0]


@dataclass(frozen=True)
class Requirement:
    """What a finished row must be and no automaton can hold: final = 0 or −∞. Nothing is known of it on the way.

    A particle that fails is dead; where all of a design's are, there is no design.

    Attributes:
        function: ids (n, L) → n truth values.
    """

    function: Callable[[Tensor], Any]

    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[None, Tensor]:
        return None, _nothing(x_t)

    def final(self, x_0: Tensor) -> Tensor:
        held = torch.as_tensor(self.function(x_0), dtype=torch.bool, device=x_0.device)
        return torch.where(held, 0.0, float("-inf")).double()


@dataclass(frozen=True)
class Lookahead:
    """A wish whose final value is exact and whose estimate on the way is another's: base = log p(y | x_t).

    Attributes:
        exact: x_0 (n, L) → log of the wish (n,), −∞ for what must not be.
        ahead: a LogProbability of noisy rows, such as `Wish`; None: nothing is known on the way.
        tilts: whether draws are tilted by it too, to first order (`FirstOrderGuide`): it then reads soft tokens as well.
    """

    exact: Callable[[Tensor], Tensor]
    ahead: LogProbability | None = None
    tilts: bool = False

    @torch.no_grad()
    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[Tensor | None, Tensor]:
        if self.ahead is None:
            return None, _nothing(x_t)
        if self.tilts:
            return FirstOrderGuide(self.ahead).log_tilt(x_t, t, positions, p)
        x, times, back = _distinct(x_t, t)
        return None, self.ahead(x, times).double()[back]

    def final(self, x_0: Tensor) -> Tensor:
        return self.exact(x_0).double()


def _asked(x_t: Tensor, positions: Tensor, V: int, everywhere: bool) -> Tensor:
    """(R, P) bool: whose jumps are asked for."""
    return torch.ones_like(positions, dtype=torch.bool) if everywhere else x_t.gather(1, positions) == V


def _nothing(x: Tensor) -> Tensor:
    """(R,) float64 zeros: the time of clean rows, the log of a wish of which nothing is known."""
    return torch.zeros(len(x), dtype=torch.float64, device=x.device)


def _keys(x_t: Tensor, t: Tensor | None) -> Tensor:
    """(R, L) or (R, L + 1) int64: a row and, by its bits, its time."""
    return x_t if t is None else torch.cat([x_t, t.double().expand(len(x_t)).contiguous().view(torch.int64).unsqueeze(1)], 1)


def _distinct(x_t: Tensor, t: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
    """Rows (N, L) and times (N,) that differ, and which of them each row is (R,)."""
    keys, back = torch.unique(_keys(x_t, t), dim=0, return_inverse=True)
    L = x_t.shape[1]
    return keys[:, :L], None if t is None else keys[:, L].contiguous().view(torch.float64), back


def _hash(x_t: Tensor, t: Tensor | None) -> Tensor:
    """(R,) int64 in 0 … 2³²−1, a function of the row and its time alone (FNV-1a's steps over int64)."""
    state = torch.full((len(x_t),), 0x811C9DC5, dtype=torch.int64, device=x_t.device)
    for word in _keys(x_t, t).unbind(1):
        state = ((state ^ (word & 0xFFFFFFFF) ^ ((word >> 32) & 0xFFFFFFFF)) * 0x01000193) & 0xFFFFFFFF
    return state


def _finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ConditionError(f"{name}: expected a finite number, got {value}")
