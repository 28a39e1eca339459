"""Finding the states of an automaton: meeting them step by step within a budget, walking them, telling them apart.

Shapes: S states, K classes, W words of 64 bits.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from seqdiff.errors import ConditionError

DEAD = -1
_BLOCK = 1 << 21  # numbers that the expansion of a block of states may take at once


@dataclass(frozen=True)
class Budget:
    """What a construction may use at most; beyond it a ConditionError says what to do. Seconds are its thread's own.

    Those of a request, which constructs several, are counted together (`at_most`).
    """

    states: int = 50_000
    edges: int = 10_000_000
    seconds: float = 5.0

    def check(self, what: str, states: int = 0, edges: int = 0, since: float | None = None) -> None:
        """Raises ConditionError if `what` is over budget; `since` is the time.thread_time() of its beginning."""
        if states > self.states:
            over = f"{self.states:,} states"
        elif edges > self.edges:
            over = f"{self.edges:,} transitions"
        elif since is not None and time.thread_time() - since > self.seconds:
            over = f"{self.seconds:g} seconds"
        elif time.thread_time() > getattr(_clock, "until", float("inf")):
            over = f"the {_clock.seconds:g} seconds that a request has"
        else:
            return
        raise ConditionError(
            f"{what} needs more than {over}; narrow or shorten gaps, windows and repetitions, split it over regions, "
            "or raise the budget"
        )


_clock = threading.local()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """What is constructed inside takes so many seconds together, of the thread's own; the outermost of several counts."""
    if hasattr(_clock, "until"):
        yield
        return
    _clock.until, _clock.seconds = time.thread_time() + seconds, seconds
    try:
        yield
    finally:
        del _clock.until


def explore(
    start: np.ndarray, step: Callable, classes: int, budget: Budget, what: str, per_state: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """States met from `start` (W,) uint64 by step: keys (n, W) → keys (n, K, W); a key of zeros is dead.

    Returns the keys (S, W) in the order in which they were met, and δ (S, K). per_state: how many numbers step takes for
    one state and one class.
    """
    since = time.thread_time()
    words = len(start)
    keys, number = [start.astype(np.uint64)], {start.astype(np.uint64).tobytes(): 0}
    rows: list[np.ndarray] = []
    done, block = 0, max(1, _BLOCK // (classes * words * per_state))
    while done < len(keys):
        after = np.ascontiguousarray(step(np.array(keys[done : done + block])), np.uint64)
        done += len(after)
        flat = after.reshape(-1, words)
        single = flat[:, 0] if words == 1 else flat.view(np.dtype((np.void, 8 * words)))[:, 0]
        _, at, inverse = np.unique(single, return_index=True, return_inverse=True)
        index = np.full(len(at), DEAD)
        alive = (flat[at] != 0).any(1).tolist()
        for k in np.argsort(at).tolist():
            if alive[k]:
                key = flat[at[k]].tobytes()
                index[k] = number.setdefault(key, len(keys))
                if index[k] == len(keys):
                    keys.append(flat[at[k]].copy())
        rows.append(index[inverse].reshape(-1, classes))
        budget.check(what, len(keys), len(keys) * classes, since)
    return np.array(keys), np.concatenate(rows)


def refined(block: np.ndarray, delta: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Split blocks (S,) until states of one block have their successors in the same blocks."""
    odd = rng.integers(1 << 62, size=(delta.shape[1], 1), dtype=np.uint64) * 2 + 1
    blocks = 0
    while int(block.max()) + 1 > blocks:
        Budget().check("making an automaton minimal")
        blocks = int(block.max()) + 1
        name = rng.integers(1 << 63, size=blocks, dtype=np.uint64)
        after = name[block] + (name[block[delta]] @ odd)[:, 0]
        block = np.unique(after, return_inverse=True)[1]
    return block


def breadth_first(source, target, seeds, states: int) -> tuple[np.ndarray, np.ndarray]:
    """States met from seeds along the edges, in the order of meeting, and every state's distance (S,), −1 where unmet."""
    by_source = np.argsort(source, kind="stable")
    target, degree = np.asarray(target)[by_source], np.bincount(source, minlength=states)
    first = np.cumsum(degree) - degree
    distance = np.full(states, -1)
    met, frontier = [], np.asarray(seeds)
    while len(frontier):
        distance[frontier] = len(met)
        met.append(frontier)
        n = degree[frontier]
        edge = np.repeat(first[frontier] - np.cumsum(n) + n, n) + np.arange(n.sum())
        after = target[edge]
        after = after[distance[after] < 0]
        frontier = after[np.sort(np.unique(after, return_index=True)[1])]
    return np.concatenate(met) if met else np.zeros(0, np.int64), distance
