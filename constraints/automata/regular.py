"""Regular languages over token ids: motifs, counts, windows, lengths, word lists, sums of weights, distances.

A *pattern* is a tuple of elements: a set of ids (one position that holds one of them) or a gap (low, high), which is
low to high positions that hold anything; high None has no end. N-{P}-[ST]-x(2,4)-C over amino acids is
({N}, all − {P}, {S, T}, (2, 4), {C}). Everything that is returned is minimal.

Shapes: V vocabulary, S states, K classes, N states of a nondeterministic automaton, W words of 64 bits.
"""

from collections.abc import Collection, Iterable, Sequence

import numpy as np

from constraints.automata.automaton import Automaton, trimmed
from constraints.automata.exploration import DEAD, Budget, explore
from seqdiff.errors import ConditionError

Pattern = Sequence[Collection[int] | tuple[int, int | None]]


def contains(vocabulary: int, pattern: Pattern, budget: Budget | None = None) -> Automaton:
    """Rows in which the pattern stands somewhere."""
    return _pattern(vocabulary, pattern, True, True, budget)


def avoid(vocabulary: int, pattern: Pattern, budget: Budget | None = None) -> Automaton:
    """Rows in which the pattern stands nowhere."""
    return ~contains(vocabulary, pattern, budget)


def starts_with(vocabulary: int, pattern: Pattern, budget: Budget | None = None) -> Automaton:
    return _pattern(vocabulary, pattern, False, True, budget)


def ends_with(vocabulary: int, pattern: Pattern, budget: Budget | None = None) -> Automaton:
    return _pattern(vocabulary, pattern, True, False, budget)


def exactly(vocabulary: int, pattern: Pattern, budget: Budget | None = None) -> Automaton:
    """Rows that are the pattern, from their first position to their last."""
    return _pattern(vocabulary, pattern, False, False, budget)


def count(vocabulary: int, tokens: Collection[int], low: int, high: int | None = None) -> Automaton:
    """Rows with low to high tokens of the set; high None has no end."""
    _check_range("count", low, high)
    return _counter(vocabulary, _member(vocabulary, tokens, "count").astype(int), low, high)


def length(vocabulary: int, low: int, high: int | None = None) -> Automaton:
    """Rows of low to high positions; high None has no end."""
    _check_range("length", low, high)
    return _counter(vocabulary, np.ones(vocabulary, int), low, high)


def window_count(
    vocabulary: int, tokens: Collection[int], window: int, low: int, high: int | None = None, budget: Budget | None = None
) -> Automaton:
    """Rows in which every `window` neighbouring positions hold low to high tokens of the set.

    A row shorter than the window has none, and is accepted. A state is what stood at the last window − 1 positions; of the
    first ones, where they already decide that the first window will not do, only how many they are.
    """
    _check_range("window_count", low, high)
    if not 1 <= window <= 60:
        raise ConditionError(f"window_count: expected a window of 1 to 60 positions, got {window}")
    member = _member(vocabulary, tokens, "window_count")
    full, one, most = np.uint64(1 << window), np.uint64(1), window if high is None else high

    def step(keys):  # a key is the bits read, after a leading 1 until they fill the window
        read = (keys << one) | np.arange(2, dtype=np.uint64)
        ones, every = _ones(read) - 1, read.copy()
        for shift in (1, 2, 4, 8, 16, 32):
            every |= every >> np.uint64(shift)  # as many bits as have been read, all of them 1
        read = np.where((read < full) & (ones > most), every, read)
        read = np.where((read < full) & (ones + window - (_ones(every) - 1) < low), every ^ (every >> one), read)
        fits = (read < full) | ((low <= ones) & (ones <= most))
        last = np.where(read < full, read, (read & (full // np.uint64(2) - one)) | full // np.uint64(2))
        return np.where(fits, last, np.uint64(0))[:, :, None]

    keys, delta = explore(np.array([1], np.uint64), step, 2, budget or Budget(), f"a window of {window} positions")
    return trimmed(member[None].astype(int), delta, 0, np.ones(len(keys), bool)).minimal()


def _ones(keys: np.ndarray) -> np.ndarray:
    """How many bits of each are 1."""
    return np.unpackbits(keys.view(np.uint8).reshape(*keys.shape, 8), axis=-1).sum(-1, dtype=np.int64)


def runs(vocabulary: int, tokens: Collection[int], longest: int, budget: Budget | None = None) -> Automaton:
    """Rows in which no token of the set stands more than `longest` times in a row (each token by itself)."""
    if longest < 1:
        raise ConditionError(f"runs: expected a longest run of at least 1, got {longest}")
    listed = np.nonzero(_member(vocabulary, tokens, "runs"))[0]
    budget = budget or Budget()
    if (edges := (1 + len(listed) * longest) * (1 + len(listed))) > budget.edges:
        raise ConditionError(
            f"runs: {len(listed):,} tokens, each counted by itself up to {longest}, need {edges:,} transitions, more than "
            f"{budget.edges:,}; name fewer tokens"
        )
    classes = np.zeros((1, vocabulary), int)
    classes[0, listed] = np.arange(len(listed)) + 1
    # State 0 is no run; state 1 + t·longest + (n − 1) is token t, n times until now.
    first = np.append(0, 1 + np.arange(len(listed)) * longest)
    delta = np.tile(first, (1 + len(listed) * longest, 1))
    for t in range(len(listed)):
        here = 1 + t * longest + np.arange(longest)
        delta[here, t + 1] = np.append(here[1:], DEAD)
    return trimmed(classes, delta, 0, np.ones(len(delta), bool)).minimal()


def words(vocabulary: int, listed: Iterable[Sequence[int]]) -> Automaton:
    """Exactly the rows listed."""
    rows: list[dict[int, int]] = [{}]
    ends = set()
    for word in listed:
        state = 0
        for v in word:
            if not 0 <= v < vocabulary:
                raise ConditionError(f"words: token id {v} is outside 0 … {vocabulary - 1}")
            if v not in rows[state]:
                rows[state][v] = len(rows)
                rows.append({})
            state = rows[state][v]
        ends.add(state)
    used = sorted({v for row in rows for v in row})
    column = {v: k + 1 for k, v in enumerate(used)}
    classes = np.zeros((1, vocabulary), int)
    classes[0, used] = list(column.values())
    delta = np.full((len(rows), len(used) + 1), DEAD)
    for state, row in enumerate(rows):
        for v, after in row.items():
            delta[state, column[v]] = after
    return trimmed(classes, delta, 0, np.isin(np.arange(len(rows)), list(ends))).minimal()


def weighted_sum(
    vocabulary: int, weights: Sequence[int], low: int, high: int, max_length: int, budget: Budget | None = None
) -> Automaton:
    """Rows whose tokens' integer weights sum to low … high, e.g. a net charge in steps of 0.1.

    No row with another sum is accepted. Every row of at most max_length positions with such a sum is; a longer one may
    be refused, since sums from which max_length positions cannot come back are no states.
    """
    w = np.asarray(weights, np.int64)
    if w.shape != (vocabulary,) or low > high or max_length < 0:
        raise ConditionError(
            f"weighted_sum: expected {vocabulary} weights, low ≤ high and max_length ≥ 0, "
            f"got {len(w)}, {low}, {high}, {max_length}"
        )
    up, down = max(int(w.max()), 0), max(-int(w.min()), 0)

    def steps(rise):  # fewest positions in which a sum can change by this much
        climb = -(-np.maximum(rise, 0) // up) if up else np.where(rise > 0, np.inf, 0)
        return climb + (-(-np.maximum(-rise, 0) // down) if down else np.where(rise < 0, np.inf, 0))

    budget = budget or Budget()
    if (up + down) * max_length > 100 * budget.states:
        raise ConditionError(
            f"weighted_sum: sums of {max_length} weights need more than {budget.states:,} states; use coarser steps"
        )
    sums = np.arange(-down * max_length, up * max_length + 1)
    back = steps(np.where(sums < low, low - sums, np.where(sums > high, high - sums, 0)))
    sums = sums[steps(sums) + back <= max_length]
    values, classes = np.unique(w, return_inverse=True)
    if not len(sums):
        return trimmed(classes[None], np.full((1, len(values)), DEAD), 0, np.zeros(1, bool))
    if len(sums) > budget.states:
        raise ConditionError(f"weighted_sum: {len(sums):,} sums need more than {budget.states:,} states; use coarser steps")
    after = sums[:, None] + values
    at = np.minimum(np.searchsorted(sums, after), len(sums) - 1)
    delta = np.where(sums[at] == after, at, DEAD)
    return trimmed(classes[None], delta, int(np.searchsorted(sums, 0)), (low <= sums) & (sums <= high)).minimal()


def mismatches(vocabulary: int, reference: Sequence[int], low: int, high: int, budget: Budget | None = None) -> Automaton:
    """Rows as long as the reference that are unlike it at low to high positions: the ball, or shell, of the Hamming distance.

    State (i, k): i positions have been read, k of them unlike. δ((i, k), v) = (i + 1, k + 1[v ≠ reference_i]), k ≤ high.
    """
    _check_range("mismatches", low, high)
    L, width = len(reference), min(high, len(reference)) + 1
    budget = budget or Budget()
    used = sorted(set(reference))
    if used and not 0 <= used[0] <= used[-1] < vocabulary:
        raise ConditionError(f"mismatches: expected token ids in 0 … {vocabulary - 1}, got {used[0]} to {used[-1]}")
    if (L + 1) * width * (len(used) + 1) > budget.edges:
        raise ConditionError(
            f"mismatches: {high} unlike of {L} positions need more than {budget.edges:,} transitions; allow fewer, or "
            "split the reference over regions"
        )
    classes = np.zeros((1, vocabulary), int)
    classes[0, used] = np.arange(len(used)) + 1
    read, unlike = np.divmod(np.arange((L + 1) * width), width)
    asked = np.append(classes[0, list(reference)], 0)[read] if L else np.zeros(width, int)
    after = unlike[:, None] + (np.arange(len(used) + 1) != asked[:, None])
    left = L - 1 - read[:, None]
    after = np.where((after >= low) & (after + left <= high), low, after)  # whatever comes, it holds: one state will do
    inside = (read[:, None] < L) & (after < width) & (after + left >= low)
    delta = np.where(inside, (read[:, None] + 1) * width + after, DEAD)
    found = trimmed(classes, delta, 0, (read == L) & (unlike >= low)).minimal()
    budget.check(f"a distance of {low} to {high} from {L} positions", found.states)
    return found


def determinised(classes, moves: np.ndarray, start: np.ndarray, accepting: np.ndarray, budget: Budget, what: str) -> Automaton:
    """The minimal deterministic automaton of a nondeterministic one, by subsets.

    moves (N, K, N) bool, start and accepting (N,) bool. A state that accepts and stays on every symbol makes the rest of
    its subset irrelevant: such subsets are one state, which is what keeps "contains" small.
    """
    n, symbols = moves.shape[:2]
    packed = _packed(moves)
    ends = _packed(accepting)
    universal = _packed(accepting & moves[np.arange(n), :, np.arange(n)].all(1))

    def absorb(keys):
        return np.where((keys & universal).any(-1, keepdims=True), universal, keys)

    def step(keys):
        row, member = np.nonzero(np.unpackbits(keys.view(np.uint8), axis=1, bitorder="little"))
        first = np.searchsorted(row, np.arange(len(keys)))
        return absorb(np.bitwise_or.reduceat(packed[member], first, axis=0))

    initial = absorb(_packed(start))
    if not initial.any():
        return trimmed(classes, np.full((1, symbols), DEAD), 0, np.zeros(1, bool))
    keys, delta = explore(initial, step, symbols, budget, what, per_state=n)
    return trimmed(classes, delta, 0, (keys & ends).any(1)).minimal()


def _packed(bits: np.ndarray) -> np.ndarray:
    """(…, N) bool → (…, W) uint64."""
    pad = [(0, 0)] * (bits.ndim - 1) + [(0, -bits.shape[-1] % 64)]
    return np.packbits(np.pad(bits, pad), axis=-1, bitorder="little").view(np.uint64)


def _pattern(vocabulary: int, pattern: Pattern, before: bool, after: bool, budget: Budget | None) -> Automaton:
    """The pattern, with anything before or after it. State j: j positions of the pattern have been read."""
    read: list[tuple[np.ndarray, bool, bool]] = []  # of each position: its tokens, may it be left out, may it be repeated
    anything = np.ones(vocabulary, bool)
    for element in pattern:
        if isinstance(element, tuple):
            low, high = element
            _check_range("pattern: gap", low, high)
            read += [(anything, False, False)] * low
            read += [(anything, True, True)] if high is None else [(anything, True, False)] * (high - low)
        else:
            read.append((_member(vocabulary, element, "pattern"), False, False))
    n = len(read) + 1
    sets = np.array([tokens for tokens, _, _ in read]).reshape(n - 1, vocabulary)
    columns, classes = np.unique(sets, axis=1, return_inverse=True)
    moves = np.zeros((n, columns.shape[1], n), bool)
    skip = np.eye(n, dtype=bool)  # skip[i, j]: from i to j reading nothing
    for j, (_, optional, repeated) in enumerate(read):
        moves[j, :, j + 1] = columns[j]
        moves[j, :, j] |= repeated
        if optional:
            skip[:, j + 1] |= skip[:, j]
    moves[0, :, 0] |= before
    moves[-1, :, -1] |= after
    closed = (moves.reshape(-1, n).astype(np.float32) @ skip > 0).reshape(moves.shape)
    shown = f"a pattern of {n - 1} positions"
    return determinised(classes.reshape(1, -1), closed, skip[0], np.arange(n) == n - 1, budget or Budget(), shown)


def _counter(vocabulary: int, step: np.ndarray, low: int, high: int | None) -> Automaton:
    """A counter that tokens v with step[v] = 1 move on; it saturates at low, or dies beyond high."""
    top = low if high is None else high
    n = np.arange(top + 1)
    further = np.append(n[1:], top if high is None else DEAD)
    return trimmed(step[None], np.column_stack([n, further]), 0, n >= low).minimal()


def _member(vocabulary: int, tokens: Collection[int], what: str) -> np.ndarray:
    """(V,) bool."""
    listed = sorted(tokens)
    if listed and not 0 <= listed[0] <= listed[-1] < vocabulary:
        raise ConditionError(f"{what}: expected token ids in 0 … {vocabulary - 1}, got {listed[0]} to {listed[-1]}")
    return np.isin(np.arange(vocabulary), listed)


def _check_range(what: str, low: int, high: int | None) -> None:
    if low < 0 or (high is not None and high < low):
        raise ConditionError(f"{what}: expected 0 ≤ low ≤ high, got {low} to {high}")
