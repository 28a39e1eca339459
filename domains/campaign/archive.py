"""Everything a campaign has scored, ranked: whom to breed from, how well it goes.

Shapes: n entries, k of the best.
"""

import bisect
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seqdiff.errors import ConfigError


@dataclass(frozen=True)
class Candidate:
    """Something that could be scored.

    Attributes:
        text: its normal form; two candidates of one text are the same thing.
        written: as it was designed.
        pins: where what the user pinned stands in `written`, in the domain's own numbers.
        parents: calls of the entries that it was made from.
        how: the move that made it.
    """

    text: str
    written: str
    pins: tuple[int, ...] = ()
    parents: tuple[int, ...] = ()
    how: str = "start"


@dataclass(frozen=True)
class Entry(Candidate):
    """A candidate with what the oracle said; −∞ where it refused. `call` counts from 0."""

    score: float = -math.inf
    call: int = 0
    generation: int = 0


class Archive:
    """Entries in the order of their calls.

    niches: pairs of a function of a text, and how many of one value of it a population holds at most.
    """

    def __init__(self, niches: Sequence[tuple[Callable[[str], str], int]] = ()):
        for _, crowd in niches:
            if crowd < 1:
                raise ConfigError(f"crowd: expected at least 1 of a niche, got {crowd}")
        self.entries: list[Entry] = []
        self.niches = list(niches)
        self._call: dict[str, int] = {}
        self._ranked: list[tuple[float, int]] = []
        self._niches: list[list[str]] = []  # of each entry, its value of each niche

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, text: str) -> bool:
        return text in self._call

    def add(self, candidate: Candidate, score: float, generation: int) -> Entry:
        if math.isnan(score) or score == math.inf:
            raise ConfigError(f"goal: expected a finite number, or −inf to refuse, got {score} for {candidate.text}")
        if candidate.text in self:
            raise ConfigError(f"archive: {candidate.text} was scored before")
        entry = Entry(**vars(candidate), score=score, call=len(self), generation=generation)
        self._call[entry.text] = entry.call
        self.entries.append(entry)
        self._niches.append([niche(entry.text) for niche, _ in self.niches])
        if score > -math.inf:
            bisect.insort(self._ranked, (-score, entry.call))
        return entry

    def best(self, k: int) -> list[Entry]:
        """The k of the highest score, of equal ones the earlier; fewer if there are fewer."""
        return [self.entries[call] for _, call in self._ranked[:k]]

    def population(self, size: int) -> list[Entry]:
        """The best `size`, of each niche no more than it holds."""
        taken = [Counter[str]() for _ in self.niches]
        chosen = []
        for _, call in self._ranked:
            values = self._niches[call]
            if all(seen[value] < crowd for seen, value, (_, crowd) in zip(taken, values, self.niches, strict=True)):
                for seen, value in zip(taken, values, strict=True):
                    seen[value] += 1
                chosen.append(self.entries[call])
                if len(chosen) == size:
                    break
        return chosen


def choose(population: Sequence[Entry], n: int, rng: np.random.Generator) -> list[Entry]:
    """n parents with replacement, each uniform among the best share ε of the population, log ε uniform on [log 1/size, 0].

    The law of ranks is scale-free: the first tenth is drawn as often as the next nine tenths are (Tripp and
    Hernández-Lobato, "Genetic algorithms are strong baselines for molecule generation", 2023).
    """
    if not population:
        raise ConfigError("population: expected at least one scored entry to breed from, all were refused")
    size = len(population)
    within = np.ceil(size ** rng.uniform(0, 1, n)).astype(int)
    return [population[i] for i in rng.integers(0, within).tolist()]


def top_curve(scores: Sequence[float], k: int = 10, every: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """(calls, mean of the k best so far) after every `every` calls and after the last."""
    calls = sorted({*range(every, len(scores) + 1, every), len(scores)} - {0})
    finite = np.array([s if s > -math.inf else np.nan for s in scores], dtype=float)
    means = []
    for c in calls:
        seen = finite[:c][~np.isnan(finite[:c])]
        means.append(float(np.sort(seen)[-k:].mean()) if len(seen) else math.nan)
    return np.array(calls), np.array(means)


def area_under_top(scores: Sequence[float], budget: int, k: int = 10, every: int = 100) -> float:
    """Area under the curve of the mean of the k best, over the budget, by trapezes from 0 at call 0.

    A campaign that ended early keeps its last value. As the AUC top-10 of Gao, Fu, Sun, Coley, "Sample efficiency
    matters: a benchmark for practical molecular optimization", NeurIPS 2022; between 0 and 1 where scores are.
    """
    calls, means = top_curve(scores, k, every)
    if not len(calls):
        return 0.0
    x, y = np.concatenate([[0], calls]), np.concatenate([[0.0], means])
    area = float((np.diff(x) * (y[1:] + y[:-1]) / 2).sum())
    return (area + (budget - int(x[-1])) * float(y[-1])) / budget
