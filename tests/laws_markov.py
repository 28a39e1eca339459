"""Samplers of any process, enumerated in plain Python from the formulas alone: floats, tuples and dictionaries."""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from seqdiff.condition import Unconditional
from seqdiff.denoisers.exact import EnumeratedLaw
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.drive import drive
from seqdiff.samplers.state import State
from seqdiff.schedules import Cosine, Linear
from tests.laws import Tabled, as_vector, distribution_test

LINEAR = (lambda t: t, lambda t: 1.0)  # 1 − α_t and its derivative
COSINE = (lambda t: math.sin(math.pi / 2 * t), lambda t: math.pi / 2 * math.cos(math.pi / 2 * t))

PINS = {"ising": {1: 2}, "copies": {1: 2}, "parity": {0: 1, 4: 0}}


@dataclass(frozen=True)
class Plain:
    """The absorbing or uniform process by scalars: q(x | v), Q_{t|s}(i, j) and the forward rate R_t(i, j), i ≠ j."""

    vocabulary: int
    absorbing: bool
    lost: Callable[[float], float]
    lost_prime: Callable[[float], float]

    @property
    def states(self) -> int:
        return self.vocabulary + self.absorbing

    def noise(self, x: int) -> float:
        return float(x == self.vocabulary) if self.absorbing else 1 / self.vocabulary

    def between(self, i: int, j: int, s: float, t: float) -> float:
        kept = (1 - self.lost(t)) / (1 - self.lost(s)) if self.lost(s) < 1 else 0.0
        return kept * (i == j) + (1 - kept) * self.noise(j)

    def q(self, v: int, x: int, t: float) -> float:
        return self.between(v, x, 0.0, t)

    def rate(self, i: int, j: int, t: float) -> float:
        return self.lost_prime(t) / (1 - self.lost(t)) * self.noise(j)

    def holds_noise(self, x: int) -> bool:
        return x == self.vocabulary or not self.absorbing


def p_x0(law: EnumeratedLaw, plain: Plain, x: tuple, t: float, pins: dict[int, int]) -> list[list[float]]:
    """p(x0^i = v | x_t) ∝ Σ_o P(o) 1[o^i = v] Π_j q(x^j | o^j), pins without noise; uniform where x is impossible."""
    table = [[0.0] * plain.vocabulary for _ in x]
    q = [[plain.q(v, y, t) for y in range(plain.states)] for v in range(plain.vocabulary)]
    for outcome, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True):
        for j, v in enumerate(outcome):
            p *= float(x[j] == v) if j in pins else q[v][x[j]]
        for i, v in enumerate(outcome):
            table[i][v] += p
    totals = [sum(row) for row in table]
    return [[v / total if total else 1 / len(row) for v in row] for row, total in zip(table, totals, strict=True)]


def start(plain: Plain, length: int, pins: dict[int, int]) -> dict[tuple, float]:
    """The law of x_1: noise at the free positions."""
    rows = [{pins[i]: 1.0} if i in pins else {x: plain.noise(x) for x in range(plain.states)} for i in range(length)]
    return product(rows)


def product(rows: list[dict]) -> dict[tuple, float]:
    """Independent positions together."""
    out: dict[tuple, float] = {}
    for combination in itertools.product(*([(y, p) for y, p in row.items() if p > 0] for row in rows)):
        probability = math.prod(p for _, p in combination)
        y = tuple(y for y, _ in combination)
        out[y] = out.get(y, 0.0) + probability
    return out


def push(now: dict, kernel, stages) -> dict:
    """The law `now` pushed through kernel(x, m) → {x': probability} for every stage m."""
    for m in stages:
        after: dict = {}
        for x, p in now.items():
            for y, q in kernel(x, m).items():
                after[y] = after.get(y, 0.0) + p * q
        now = after
    return now


def chain_kernel(law, plain: Plain, times: list[float], pins: dict[int, int], local, move_all: bool = False):
    """Every free position on its own: Σ_v p(v | x_t) local(x, v, s, t), and x_s = v at the last stage.

    A position that holds no noise stays, or with move_all moves by local(x, x, s, t).
    """

    @cache
    def table(x, t):
        return p_x0(law, plain, x, t, pins)

    def kernel(x, m):
        t, s = times[m], times[m + 1]
        rows: list[dict] = []
        for i, here in enumerate(x):
            if i in pins or (not plain.holds_noise(here) and not (move_all and s > 0)):
                rows.append({here: 1.0})
                continue
            p = table(x, t)[i] if plain.holds_noise(here) else [float(v == here) for v in range(plain.vocabulary)]
            row: dict[int, float] = {}
            for v, weight in enumerate(p):
                if weight > 0:
                    for y, chance in ({v: 1.0} if s == 0 else local(here, v, s, t)).items():
                        row[y] = row.get(y, 0.0) + weight * chance
            rows.append(row)
        return product(rows)

    return kernel


def bridge(plain: Plain):
    """q(x_s = y | x_t = x, x_0 = v) by Bayes."""

    def local(x, v, s, t):
        return {y: plain.q(v, y, s) * plain.between(y, x, s, t) / plain.q(v, x, t) for y in range(plain.states)}

    return local


def leap(plain: Plain, velocity: str, jump: str, eta=lambda t: 0.0, surplus=lambda t: 0.0, size=None):
    """A jump with probability 1 − e^{−hΛ} or min(1, hΛ), destination ∝ (1 + surplus) û + η R."""

    def rates(x, v, t):
        t = min(t, 1 - 1e-6)
        out = {}
        for y in range(plain.states):
            if y == x:
                continue
            if velocity == "reverse":
                back = plain.rate(y, x, t) * plain.q(v, y, t) / plain.q(v, x, t)
            else:
                back = plain.lost_prime(t) / plain.lost(t) * (y == v)
            out[y] = (1 + surplus(t)) * back + eta(t) * plain.rate(x, y, t)
        return out

    def local(x, v, s, t):
        rate, h = rates(x, v, t), (t - s if size is None else size)
        total = sum(rate.values())
        moved = 1 - math.exp(-h * total) if jump == "exponential" else min(1.0, h * total)
        out = {y: moved * r / total for y, r in rate.items() if r > 0}
        return {**out, x: 1 - moved}

    return local


def transition_kernel(law, plain: Plain, steps: int, pins: dict[int, int], weights: list[float]):
    """DNDM on pairs (tokens, positions still waiting): step k is a position's own with probability weights[k]."""

    @cache
    def table(x, t):
        return p_x0(law, plain, x, t, pins)

    def kernel(pair, k):
        x, waiting = pair
        hazard = weights[k] / sum(weights[k:]) if k < steps - 1 else 1.0
        rows: list[dict] = []
        for i, here in enumerate(x):
            row = {(here, i in waiting): 1.0}
            if i in waiting:
                row = {(here, True): 1 - hazard}
                for v, p in enumerate(table(x, 1 - k / steps)[i]):
                    row[(v, False)] = row.get((v, False), 0.0) + hazard * p
            rows.append(row)
        joint = product(rows)
        out: dict = {}
        for combination, p in joint.items():
            y = (tuple(v for v, _ in combination), frozenset(i for i, (_, w) in enumerate(combination) if w))
            out[y] = out.get(y, 0.0) + p
        return out

    return kernel


def routing_kernel(law, plain: Plain, steps: int, pins: dict[int, int], tau: float):
    """RDM on pairs (tokens, positions that are noise): the best-scored n − stay hold x̂0, the rest x_s ~ q_{t|s}(· | x_t)."""

    @cache
    def table(x, t):
        return p_x0(law, plain, x, t, pins)

    def lost(k):
        return 1.0 if k == 0 else 0.0 if k == steps else plain.lost(1 - k / steps)

    def kernel(pair, k):
        x, noise = pair
        stay = int(len(noise) * lost(k + 1) / lost(k) + 1e-9)
        if stay == len(noise):
            return {pair: 1.0}
        p = table(x, 1 - k / steps)
        routed = sorted(noise) if plain.absorbing else [i for i in range(len(x)) if i not in pins]
        choices = [[(v, q) for v, q in enumerate(p[i]) if q > 0] if i in noise else [(x[i], 1.0)] for i in routed]
        out: dict = {}
        for combination in itertools.product(*choices):
            probability = math.prod(q for _, q in combination)
            drawn = {i: v for i, (v, _) in zip(routed, combination, strict=True)}
            score = {i: p[i][v] for i, v in drawn.items()}
            for kept, chance in _best(score, len(routed) - stay, tau).items():
                rows: list[dict] = []
                for i, here in enumerate(x):
                    if i not in drawn:
                        rows.append({here: 1.0})
                    elif i in kept:
                        rows.append({drawn[i]: 1.0})
                    else:
                        s, t = 1 - (k + 1) / steps, 1 - k / steps
                        rows.append({y: plain.between(here, y, s, t) for y in range(plain.states)})
                for y, q in product(rows).items():
                    key = (y, frozenset(drawn) - kept)
                    out[key] = out.get(key, 0.0) + probability * chance * q
        return out

    return kernel


def _best(score: dict[int, float], keep: int, tau: float) -> dict[frozenset, float]:
    if tau == 0:
        return {frozenset(sorted(score, key=lambda i: (-score[i], i))[:keep]): 1.0}
    weight = {i: c ** (1 / tau) for i, c in score.items()}
    out: dict[frozenset, float] = {}
    for order in itertools.permutations(weight, keep):  # the largest of log w + Gumbel: drawing without replacement
        q, left = 1.0, sum(weight.values())
        for i in order:
            q, left = q * weight[i] / left, left - weight[i]
        out[frozenset(order)] = out.get(frozenset(order), 0.0) + q
    return out


def tokens_of(law: dict) -> dict[tuple, float]:
    """The law of the tokens alone, from one of pairs."""
    out: dict[tuple, float] = {}
    for (x, _), p in law.items():
        out[x] = out.get(x, 0.0) + p
    return out


def distance(ours: dict[tuple, float], law: EnumeratedLaw) -> float:
    """Total variation to a law."""
    exact = {tuple(x): p for x, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True)}
    return sum(abs(ours.get(x, 0) - exact.get(x, 0)) for x in ours.keys() | exact.keys()) / 2


def pair(kind: str, vocabulary: int, schedule: str = "linear"):
    """The same process twice: the package's and the plain one."""
    ours, plain = {"linear": (Linear(), LINEAR), "cosine": (Cosine(), COSINE)}[schedule]
    process = (Absorbing if kind == "absorbing" else Uniform)(vocabulary, ours)
    return process, Plain(vocabulary, kind == "absorbing", *plain)


def canvas(law: EnumeratedLaw, pins: dict[int, int]) -> list[int]:
    return [pins.get(i, law.vocabulary) for i in range(law.outcomes.shape[1])]


def drawn(
    law: EnumeratedLaw, process, sampler, pins: dict[int, int], n: int = 6_000, seed: int = 3, watch=None, **how
) -> State:
    """The end of n rows of sampler(state, process, condition, …) with the exact denoiser of the law; pins checked."""
    holes = torch.tensor([canvas(law, pins)] * n)
    state = State.from_canvas(process, holes, seed, torch.arange(n))
    return finish(law, process, sampler, state, watch, **how)


class Denoiser:
    """ExactDenoiser for rows whose pins differ: each set of pins by its own."""

    def __init__(self, law: EnumeratedLaw, process, free: torch.Tensor | None):
        self.law, self.process, self.free = law, process, free

    def __call__(self, x_t, t, positions, rows) -> torch.Tensor:
        if self.free is None:
            return Tabled(self.law, self.process)(x_t, t, positions=positions)
        free = self.free if rows is None else self.free[rows]
        out = torch.empty(*positions.shape, self.law.vocabulary, dtype=torch.float64)
        for pattern in free.unique(dim=0):
            same = (free == pattern).all(-1)
            out[same] = Tabled(self.law, self.process, pattern)(x_t[same], t[same], positions=positions[same])
        return out


def finish(law: EnumeratedLaw, process, sampler, state: State, watch=None, condition=None, **how) -> State:
    denoiser, condition = Denoiser(law, process, state.free), condition or Unconditional()

    def reply(query):
        if watch is not None:
            watch(query)
        return denoiser(query.x_t, query.t, query.positions, query.rows).exp()

    end = drive(sampler(state, process, condition, **how), reply)
    if state.free is not None:
        assert torch.equal(end.tokens[~state.free], state.tokens[~state.free]), "pins hold"
    return end


def agrees(tokens: torch.Tensor, law: dict[tuple, float]) -> tuple[bool, str]:
    assert abs(sum(law.values()) - 1) < 1e-9
    return distribution_test(tokens, *as_vector(law))


def gap(a: dict, b: dict) -> float:
    """Largest difference of two laws."""
    return max(abs(a.get(x, 0) - b.get(x, 0)) for x in a.keys() | b.keys())
