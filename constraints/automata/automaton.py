"""Deterministic automata over symbols = (region, token), and their algebra: and, or, not, minimal form, counting.

Tokens that no state tells apart share a *class*, a column of δ. Results of every operation are trimmed (states that the
start reaches and that reach acceptance) and class-merged, and numbered breadth first; `minimal` is therefore canonical:
two automata have one language exactly if their minimal forms are equal arrays. Needs numpy alone.

Shapes: G regions, V vocabulary, S states, K classes, R rows, L length, E edges (s, c, δ(s, c)), W words of 64 bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import numpy as np

from constraints.automata.exploration import DEAD, Budget, breadth_first, explore, refined
from seqdiff.errors import ConditionError


@dataclass(frozen=True, eq=False)
class Automaton:
    """A deterministic automaton; what has no transition is dead.

    Attributes:
        classes: (G, V) int32, the class of token v at a position of region g; G = 1: the position does not matter.
        delta: (S, K) int32, the next state, −1 where there is none.
        start: the state before the first position.
        accepting: (S,) bool.
    """

    classes: np.ndarray
    delta: np.ndarray
    start: int
    accepting: np.ndarray

    def __post_init__(self):
        fields = {"classes": np.int32, "delta": np.int32, "accepting": np.bool_}
        for name, dtype in fields.items():
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype))
        states = len(self.delta)
        if self.classes.ndim != 2 or self.delta.ndim != 2 or self.accepting.shape != (states,) or not 0 <= self.start < states:
            raise ConditionError(
                f"automaton: expected classes (G, V), delta (S, K), accepting (S,) and 0 ≤ start < S, got "
                f"{self.classes.shape}, {self.delta.shape}, {self.accepting.shape} and {self.start}"
            )
        for name, table, low, high in (("class", self.classes, 0, self.delta.shape[1]), ("state", self.delta, DEAD, states)):
            if table.size and not (low <= table.min() and table.max() < high):
                raise ConditionError(f"automaton: a {name} is outside {low} … {high - 1}")

    @property
    def states(self) -> int:
        return len(self.delta)

    @property
    def regions(self) -> int:
        return self.classes.shape[0]

    @property
    def vocabulary(self) -> int:
        return self.classes.shape[1]

    @property
    def completed(self) -> np.ndarray:
        """δ (S + 1, K) with a last state, where all that was dead goes and stays."""
        sink = len(self.delta)
        return np.vstack([np.where(self.delta < 0, sink, self.delta), np.full((1, self.delta.shape[1]), sink)])

    @cached_property
    def is_empty(self) -> bool:
        """Whether no word at all is accepted."""
        source, _, target = self.edges()
        reached, _ = breadth_first(source, target, np.array([self.start]), self.states)
        return not self.accepting[reached].any()

    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(source, class, target), each (E,), ordered by source and class; dead ones left out."""
        source, symbol = np.nonzero(self.delta >= 0)
        return source, symbol, self.delta[source, symbol]

    # ── reading ──

    def accepts_rows(self, tokens, region=None) -> np.ndarray:
        """Which rows are words: tokens (R, L), region (R, L) or None for region 0 → (R,) bool. A hole is never accepted."""
        tokens = np.asarray(tokens)
        region = np.zeros(tokens.shape, np.int64) if region is None else np.asarray(region)
        clean = (tokens >= 0) & (tokens < self.vocabulary)
        symbol = self.classes[region if self.regions > 1 else 0, np.where(clean, tokens, 0)]
        state = np.full(len(tokens), self.start)
        for i in range(tokens.shape[1]):
            state = np.where(clean[:, i] & (state >= 0), self.delta[state, symbol[:, i]], DEAD)
        return (state >= 0) & self.accepting[state]

    def accepts(self, tokens, region=None) -> bool:
        """Whether one row (L,) is a word."""
        row = np.asarray(tokens, dtype=np.int64)[None]
        return bool(self.accepts_rows(row, None if region is None else np.asarray(region)[None])[0])

    def count_words(self, length: int, region=None) -> int:
        """How many words of this length there are, exactly; region (L,) says where each position lies.

        β_L = 1[F]; β_{i−1}(q) = Σ_v β_i(δ(q, v)); the number is β_0(q0).
        """
        region = np.zeros(length, np.int64) if region is None or self.regions == 1 else np.asarray(region)
        source, symbol, target = self.edges()
        tokens = np.zeros((self.regions, self.delta.shape[1]), np.int64)
        np.add.at(tokens, (np.arange(self.regions)[:, None], self.classes), 1)
        multiplicity = tokens[:, symbol].astype(object)  # Python integers do not overflow
        rows, first = np.unique(source, return_index=True)
        words = self.accepting.astype(int).astype(object)
        for g in region[:length][::-1]:
            longer = np.zeros(self.states, object)
            if len(rows):
                longer[rows] = np.add.reduceat(multiplicity[g] * words[target], first)
            words = longer
        return int(words[self.start])

    def lengths(self, up_to: int) -> set[int]:
        """The lengths 0 … up_to for which there is a word, wherever its positions lie."""
        source, symbol, target = self.edges()
        used = np.isin(symbol, self.classes)
        source, target = source[used], target[used]
        here, found = np.arange(self.states) == self.start, set()
        for length in range(up_to + 1):
            if self.accepting[here].any():
                found.add(length)
            there = np.zeros(self.states, bool)
            there[target[here[source]]] = True
            here = there
        return found

    # ── algebra ──

    def __and__(self, other: "Automaton") -> "Automaton":
        return product(self, other, np.logical_and)

    def __or__(self, other: "Automaton") -> "Automaton":
        return product(self, other, np.logical_or)

    def __invert__(self) -> "Automaton":
        return trimmed(self.classes, self.completed, self.start, ~np.append(self.accepting, False))

    def within(self, inside) -> "Automaton":
        """The same language read only at positions whose region is inside (G,) bool; elsewhere any token may stand."""
        if self.regions != 1:
            raise ConditionError(f"automaton: expected one that knows no regions, got {self.regions} regions")
        inside = np.asarray(inside, bool)
        stay = self.delta.shape[1]
        classes = np.where(inside[:, None], self.classes, stay)
        return trimmed(classes, np.column_stack([self.delta, np.arange(self.states)]), self.start, self.accepting)

    def minimal(self) -> "Automaton":
        """The canonical automaton of the same language with fewest states.

        Moore's partition refinement. It begins with the distances to the nearest accepting and the nearest rejecting
        state, which equivalent states share, so that counters and chains need few rounds. A round tells states apart by
        a 64-bit hash of their successors' blocks; the outcome is verified in full, and repeated should hashes have met.
        """
        a = trimmed(self.classes, self.delta, self.start, self.accepting)
        delta = a.completed
        accepting = np.append(a.accepting, False)
        source, target = np.repeat(np.arange(len(delta)), delta.shape[1]), delta.ravel()
        distances = [breadth_first(target, source, np.nonzero(ends)[0], len(delta))[1] for ends in (accepting, ~accepting)]
        coarsest = np.unique(distances[0] * (len(delta) + 2) + distances[1], return_inverse=True)[1]
        for seed in count():
            block = refined(coarsest, delta, np.random.default_rng(seed))
            blocks, member = np.unique(block, return_index=True)
            quotient = block[delta[member]]
            if (quotient[block] == block[delta]).all():
                break
        sink = block[-1]
        quotient = np.where(quotient == sink, DEAD, quotient)
        if block[a.start] == sink:
            return nothing(self.vocabulary, self.regions)
        return trimmed(a.classes, quotient, int(block[a.start]), accepting[member])

    def equivalent(self, other: "Automaton") -> bool:
        """Whether both accept the same words."""
        a, b = _same_regions(self.minimal(), other.minimal())
        fields = ("classes", "delta", "accepting")
        return a.start == b.start and all(np.array_equal(getattr(a, f), getattr(b, f)) for f in fields)


def everything(vocabulary: int, regions: int = 1) -> Automaton:
    """Every word, the empty one too."""
    return Automaton(np.zeros((regions, vocabulary)), np.zeros((1, 1)), 0, np.ones(1))


def nothing(vocabulary: int, regions: int = 1) -> Automaton:
    """No word at all."""
    return Automaton(np.zeros((regions, vocabulary)), np.full((1, 1), DEAD), 0, np.zeros(1))


def product(a: Automaton, b: Automaton, rule: Callable, budget: Budget | None = None) -> Automaton:
    """Words for which rule(a accepts, b accepts); rule is np.logical_and or np.logical_or.

    Lazy: only pairs of states that are met are built.
    """
    if a.vocabulary != b.vocabulary:
        raise ConditionError(
            f"automata over different vocabularies, {a.vocabulary} and {b.vocabulary} tokens, cannot be combined"
        )
    a, b = _same_regions(a, b)
    pairs, classes = np.unique(a.classes.astype(np.int64) * b.delta.shape[1] + b.classes, return_inverse=True)
    left, right = a.completed[:, pairs // b.delta.shape[1]], b.completed[:, pairs % b.delta.shape[1]]
    width = b.states + 1

    def encode(p, q):  # (state of a, state of b) as one number; 0 where rule says that nothing can follow
        return np.where(rule(p < a.states, q < b.states), p.astype(np.uint64) * np.uint64(width) + q.astype(np.uint64) + 1, 0)

    def step(keys):
        p, q = np.divmod(keys[:, 0].astype(np.int64) - 1, width)
        return encode(left[p], right[q])[:, :, None]

    start = encode(np.array([a.start]), np.array([b.start]))
    keys, delta = explore(start, step, len(pairs), budget or Budget(), "this combination")
    p, q = np.divmod(keys[:, 0].astype(np.int64) - 1, width)
    accepting = rule(np.append(a.accepting, False)[p], np.append(b.accepting, False)[q])
    return trimmed(classes.reshape(a.classes.shape), delta, 0, accepting)


def trimmed(classes, delta, start: int, accepting) -> Automaton:
    """The automaton without useless states and with equal columns merged, everything numbered in the order of meeting."""
    classes = np.asarray(classes)
    used, first, inverse = np.unique(classes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    delta, symbol = np.asarray(delta)[:, used[order]], np.argsort(order)[inverse].reshape(classes.shape)
    source, column = np.nonzero(delta >= 0)
    target = delta[source, column]
    reached, _ = breadth_first(source, target, np.array([start]), len(delta))
    _, to_end = breadth_first(target, source, np.nonzero(accepting)[0], len(delta))
    kept = reached[to_end[reached] >= 0]
    if not len(kept):
        return nothing(classes.shape[1], classes.shape[0])
    number = np.full(len(delta) + 1, DEAD, np.int32)
    number[kept] = np.arange(len(kept))
    columns = np.ascontiguousarray(number[delta[kept]].T)
    _, first, inverse = np.unique(
        columns.view(np.dtype((np.void, 4 * len(kept))))[:, 0], return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    return Automaton(np.argsort(order)[inverse][symbol], columns[first[order]].T, 0, np.asarray(accepting, bool)[kept])


def _same_regions(a: Automaton, b: Automaton) -> tuple[Automaton, Automaton]:
    if a.regions != b.regions and 1 not in (a.regions, b.regions):
        raise ConditionError(
            f"automata over {a.regions} and {b.regions} regions cannot be combined; expected the same number, or 1"
        )
    regions = max(a.regions, b.regions)
    widened = [Automaton(np.broadcast_to(m.classes, (regions, m.vocabulary)), m.delta, m.start, m.accepting) for m in (a, b)]
    return widened[0], widened[1]
