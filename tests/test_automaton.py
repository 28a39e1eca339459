"""Automata and their builders against enumeration of all words, and against automata-lib."""

import itertools
import math
import re
from fractions import Fraction

import numpy as np
import pytest

from constraints.automata.automaton import Automaton, everything, nothing, product
from constraints.automata.exploration import DEAD, Budget
from constraints.automata.regular import (
    avoid,
    contains,
    count,
    ends_with,
    exactly,
    length,
    mismatches,
    runs,
    starts_with,
    weighted_sum,
    window_count,
    words,
)
from seqdiff.errors import ConditionError

V, UP_TO = 3, 6
BY_LENGTH = [np.array(list(itertools.product(range(V), repeat=n)), np.int64).reshape(V**n, n) for n in range(UP_TO + 1)]
ALL = frozenset(tuple(row) for rows in BY_LENGTH for row in rows.tolist())
AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"


def language(a: Automaton) -> frozenset:
    return frozenset(tuple(row) for rows in BY_LENGTH for row in rows[a.accepts_rows(rows)].tolist())


def such(predicate) -> frozenset:
    return frozenset(word for word in ALL if predicate(word))


def text(word) -> str:
    return "".join(map(str, word))


def random_automaton(seed: int, regions: int = 1, states: int = 7) -> Automaton:
    rng = np.random.default_rng(seed)
    classes = rng.integers(4, size=(regions, V))
    delta = rng.integers(DEAD, states, size=(states, 4))
    return Automaton(classes, delta, int(rng.integers(states)), rng.random(states) < 0.3)


def as_dfa(a: Automaton):
    """automata-lib's automaton of the same language, with its dead state."""
    from automata.fa.dfa import DFA

    table = a.completed[:, a.classes[0]]
    return DFA(
        states=set(range(len(table))),
        input_symbols=set(map(str, range(a.vocabulary))),
        transitions={q: {str(v): int(after) for v, after in enumerate(row)} for q, row in enumerate(table)},
        initial_state=a.start,
        final_states=set(np.nonzero(a.accepting)[0].tolist()),
    )


def fewest_states(a: Automaton) -> int:
    """States of automata-lib's minimal automaton, the dead one not counted."""
    smallest = as_dfa(a).minify()
    dead = [
        q
        for q in smallest.states
        if q not in smallest.final_states and q != smallest.initial_state and set(smallest.transitions[q].values()) == {q}
    ]
    return len(smallest.states) - len(dead)


# ── reading and counting ──


@pytest.mark.parametrize("seed", range(20))
def test_rows_are_read_as_a_plain_walk_reads_them(seed):
    a = random_automaton(seed, regions=2)
    rng = np.random.default_rng(seed)
    tokens, region = rng.integers(V + 1, size=(200, 5)), rng.integers(2, size=(200, 5))
    for row, places, accepted in zip(tokens, region, a.accepts_rows(tokens, region), strict=True):
        state = a.start
        for v, g in zip(row, places, strict=True):
            state = a.delta[state, a.classes[g, v]] if state >= 0 and v < V else DEAD
        assert accepted == (state >= 0 and a.accepting[state]) == a.accepts(row, places)


@pytest.mark.parametrize("hole", [-1, V, V + 1])
def test_a_hole_is_never_accepted(hole):
    assert everything(V).accepts((0, 1))
    assert not everything(V).accepts((0, hole))


@pytest.mark.parametrize("seed", range(20))
def test_words_are_counted(seed):
    a = random_automaton(seed, regions=2)
    dfa = as_dfa(a)
    for n in range(UP_TO + 1):
        assert a.count_words(n) == a.accepts_rows(BY_LENGTH[n]).sum() == dfa.count_words_of_length(n)
    region = np.random.default_rng(seed).integers(2, size=UP_TO)
    rows = BY_LENGTH[UP_TO]
    assert a.count_words(UP_TO, region) == a.accepts_rows(rows, np.broadcast_to(region, rows.shape)).sum()


def test_large_counts_are_exact():
    assert everything(20).count_words(100) == 20**100
    assert count(20, {3}, 1, 1).count_words(100) == 100 * 19**99


@pytest.mark.parametrize("seed", range(20))
def test_lengths_are_those_of_words(seed):
    a = random_automaton(seed)
    assert a.lengths(UP_TO) == {len(word) for word in language(a)}


def test_lengths_look_at_every_region():
    a = Automaton([[0, 0], [1, 0]], [[DEAD, 1], [DEAD, DEAD]], 0, [False, True])
    assert a.lengths(3) == {1}
    assert (a.count_words(1, [0]), a.count_words(1, [1])) == (0, 1)


# ── algebra ──


@pytest.mark.parametrize("seed", range(40))
def test_boolean_algebra(seed):
    a, b = random_automaton(2 * seed), random_automaton(2 * seed + 1)
    assert language(a & b) == language(a) & language(b)
    assert language(a | b) == language(a) | language(b)
    assert language(~a) == ALL - language(a)
    assert (a & a).equivalent(a)
    assert (a | a).equivalent(a)
    assert (a & ~a).is_empty
    assert (a | ~a).equivalent(everything(V))
    assert (~(a & b)).equivalent(~a | ~b)
    assert (~(a | b)).equivalent(~a & ~b)
    assert (~~a).equivalent(a)
    assert a.equivalent(b) == ((a & ~b).is_empty and (b & ~a).is_empty)


@pytest.mark.parametrize("seed", range(60))
def test_minimal_is_minimal(seed):
    a = random_automaton(seed, states=12) & ~random_automaton(seed + 1000)
    least = a.minimal()
    assert language(least) == language(a)
    assert least.states == fewest_states(a)
    assert as_dfa(least) == as_dfa(a)
    assert len(np.unique(least.delta, axis=1).T) == least.delta.shape[1] == len(np.unique(least.classes))


@pytest.mark.parametrize("seed", range(20))
def test_minimal_is_canonical(seed):
    a = random_automaton(seed)
    order = np.random.default_rng(seed).permutation(a.states)
    renamed = np.full(a.states + 1, DEAD)
    renamed[order] = np.arange(a.states)
    shuffled = Automaton(3 - a.classes, renamed[a.delta[order]][:, ::-1], int(renamed[a.start]), a.accepting[order])
    assert language(shuffled) == language(a)
    for field in ("classes", "delta", "accepting"):
        assert np.array_equal(getattr(a.minimal(), field), getattr(shuffled.minimal(), field))


@pytest.mark.parametrize("seed", range(20))
def test_results_are_trimmed_and_merged(seed):
    a = random_automaton(seed) | random_automaton(seed + 500)
    dfa, columns = as_dfa(a), a.delta.T.tolist()
    for q in range(a.states):
        reached = as_dfa(Automaton(a.classes, a.delta, a.start, np.arange(a.states) == q))
        left = as_dfa(Automaton(a.classes, a.delta, q, a.accepting))
        assert not reached.isempty()
        assert not left.isempty()
    assert len({tuple(column) for column in columns}) == len(columns)
    assert dfa.initial_state == 0
    assert list(dict.fromkeys(a.classes.ravel().tolist())) == list(range(len(columns)))


@pytest.mark.parametrize("seed", range(10))
def test_within_reads_its_regions_only(seed):
    a, b = random_automaton(seed), random_automaton(seed + 100, regions=3)
    inside = np.array([True, False, True])
    rng = np.random.default_rng(seed)
    tokens, region = rng.integers(V, size=(300, 6)), rng.integers(3, size=(300, 6))
    lifted = a.within(inside)
    both = lifted & b
    for row, places in zip(tokens, region, strict=True):
        assert lifted.accepts(row, places) == a.accepts(row[inside[places]])
        assert both.accepts(row, places) == (lifted.accepts(row, places) and b.accepts(row, places))
    assert (a.within([True, True])).equivalent(a)
    with pytest.raises(ConditionError, match="expected one that knows no regions, got 3 regions"):
        b.within(inside)
    with pytest.raises(ConditionError, match="automata over 3 and 2 regions cannot be combined"):
        b & a.within([True, False])


def test_empty_and_all():
    assert nothing(V).is_empty
    assert not everything(V).is_empty
    assert (~everything(V)).is_empty
    assert (~nothing(V)).equivalent(everything(V))
    assert language(nothing(V)) == frozenset()
    assert language(everything(V)) == ALL
    assert Automaton([[0]], [[DEAD], [DEAD]], 0, [False, True]).is_empty  # accepting, but never reached
    assert nothing(V).minimal().states == 1
    with pytest.raises(ConditionError, match="different vocabularies, 3 and 4 tokens"):
        everything(3) & everything(4)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (([[0]], [[0]], 1, [True]), "0 ≤ start < S, got"),
        (([[0]], [[0]], 0, [True, False]), "0 ≤ start < S, got"),
        (([[1]], [[0]], 0, [True]), "a class is outside 0 … 0"),
        (([[0]], [[1]], 0, [True]), "a state is outside -1 … 0"),
        (([[0]], [[-2]], 0, [True]), "a state is outside -1 … 0"),
    ],
)
def test_tables_must_fit(fields, message):
    with pytest.raises(ConditionError, match=message):
        Automaton(*fields)


def test_what_is_over_budget_is_refused():
    many, few = length(2, 97, 97), count(2, {0}, 89, 89)
    message = "this combination needs more than 100 states; narrow or shorten gaps"
    with pytest.raises(ConditionError, match=message):
        product(many, few, np.logical_and, Budget(states=100))
    assert product(many, few, np.logical_and).count_words(97) == few.count_words(97)
    with pytest.raises(ConditionError, match="a pattern of 17 positions needs more than 1,000 states"):
        contains(2, ({0}, (16, 16)), Budget(states=1000))
    with pytest.raises(ConditionError, match="a pattern of 17 positions needs more than 500 transitions"):
        contains(2, ({0}, (15, 15), {0}), Budget(edges=500))
    with pytest.raises(ConditionError, match="a window of 30 positions needs more than 0 seconds"):
        window_count(2, {0}, 30, 10, 20, Budget(states=10**9, edges=10**9, seconds=0))


# ── builders ──

PATTERNS = [
    (({0}, {1}), "01"),
    (({0}, (1, 2), {1, 2}, {0}), "0.{1,2}[12]0"),
    (({0}, (0, 2), {0}, (0, 1)), "0.{0,2}0.{0,1}"),
    (({2}, (1, None), {1}), "2.{1,}1"),
    (((0, None), {1}, {1}), ".*11"),
    (((2, 3),), ".{2,3}"),
    (({0, 1, 2}, {2}), "[012]2"),
    ((), ""),
    ((set(), {1}), "[^012]1"),
    (({0}, {0}, {1}, {0}, {0}), "00100"),
]


@pytest.mark.parametrize(("pattern", "expression"), PATTERNS)
def test_patterns(pattern, expression):
    assert language(contains(V, pattern)) == such(lambda word: re.search(expression, text(word)))
    assert language(avoid(V, pattern)) == such(lambda word: not re.search(expression, text(word)))
    assert language(starts_with(V, pattern)) == such(lambda word: re.match(expression, text(word)))
    assert language(ends_with(V, pattern)) == such(lambda word: re.search(f"(?:{expression})$", text(word)))
    assert language(exactly(V, pattern)) == such(lambda word: re.fullmatch(expression, text(word)))


@pytest.mark.parametrize("seed", range(30))
def test_random_patterns(seed):
    rng = np.random.default_rng(seed)
    pattern, expression = [], ""
    for _ in range(rng.integers(1, 5)):
        if rng.random() < 0.4:
            low, more = rng.integers(3, size=2).tolist()
            pattern.append((low, low + more))
            expression += f".{{{low},{low + more}}}"
        else:
            chosen = [v for v in range(V) if rng.random() < 0.5] or [0]
            pattern.append(frozenset(chosen))
            expression += f"[{text(chosen)}]"
    a = contains(V, pattern)
    assert language(a) == such(lambda word: re.search(expression, text(word)))
    assert (a & avoid(V, pattern)).is_empty
    assert a.states == fewest_states(a)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (0, 2), (1, 1), (2, None), (0, None), (3, 5), (9, 9)])
def test_counts_and_lengths(low, high):
    top = 99 if high is None else high
    assert language(count(V, {0, 2}, low, high)) == such(lambda word: low <= sum(v != 1 for v in word) <= top)
    assert language(length(V, low, high)) == such(lambda word: low <= len(word) <= top)


@pytest.mark.parametrize(
    ("window", "low", "high"), [(1, 0, 0), (1, 1, 1), (3, 1, 2), (3, 0, 1), (4, 2, None), (2, 0, 2), (8, 3, 3)]
)
def test_windows(window, low, high):
    def fits(word):
        inside = [sum(v == 1 for v in word[i : i + window]) for i in range(len(word) - window + 1)]
        return all(low <= n <= (window if high is None else high) for n in inside)

    assert language(window_count(V, {1}, window, low, high)) == such(fits)


@pytest.mark.parametrize(("tokens", "longest"), [({1}, 1), ({0, 2}, 2), ({0, 1, 2}, 1), ({0, 1, 2}, 3), (set(), 1)])
def test_runs(tokens, longest):
    longer = {v: (v,) * (longest + 1) for v in tokens}
    bad = such(lambda word: any(text(run) in text(word) for run in longer.values()))
    assert language(runs(V, tokens, longest)) == ALL - bad


@pytest.mark.parametrize(
    "listed", [[], [()], [(0,), (0, 1), (2, 2, 2)], [(1,) * 6, (0, 1), (0, 1), ()], list(BY_LENGTH[3].tolist())]
)
def test_word_lists(listed):
    assert language(words(V, listed)) == {tuple(word) for word in listed}


@pytest.mark.parametrize(
    ("reference", "low", "high"),
    [((), 0, 0), ((0, 1, 1, 2), 0, 1), ((2, 2, 0, 1, 0), 2, 4), ((1, 1, 1), 0, 3), ((0, 2), 2, 2), ((0, 2), 3, 9)],
)
def test_distances(reference, low, high):
    def fits(word):
        return len(word) == len(reference) and low <= sum(a != b for a, b in zip(word, reference, strict=True)) <= high

    found = mismatches(V, reference, low, high)
    assert language(found) == such(fits)
    assert found.is_empty or found.states == fewest_states(found)


def test_a_distance_from_a_protein_has_a_state_a_place_and_substitution():
    reference = np.random.default_rng(0).integers(0, 20, 120).tolist()
    found = mismatches(22, reference, 0, 5)
    assert found.states <= 121 * 6 and mismatches(22, reference, 0, 120).states == 121
    assert found.count_words(120) == sum(math.comb(120, k) * 21**k for k in range(6))
    with pytest.raises(ConditionError, match="a distance of 100 to 300 from 400 positions needs more than 50,000 states"):
        mismatches(22, [0, 1] * 200, 100, 300)


@pytest.mark.parametrize(
    ("weights", "low", "high"),
    [
        ((-1, 0, 1), 0, 0),
        ((-2, 3, 1), -1, 1),
        ((1, 2, 0), 3, 4),
        ((-1, -1, -3), -5, -5),
        ((0, 0, 0), 0, 1),
        ((0, 0, 0), 1, 2),
        ((5, 3, 1), 50, 60),
    ],
)
def test_weighted_sums(weights, low, high):
    a = weighted_sum(V, weights, low, high, UP_TO)
    assert language(a) == such(lambda word: low <= sum(weights[v] for v in word) <= high)


def test_sums_of_longer_rows_are_never_accepted_wrongly():
    weights = (-2, 3, 1)
    short, full = weighted_sum(V, weights, -1, 1, 3), weighted_sum(V, weights, -1, 1, UP_TO)
    assert language(short) <= language(full)
    assert {w for w in language(short) if len(w) <= 3} == {w for w in language(full) if len(w) <= 3}
    assert language(short) != language(full)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: count(V, {0}, 3, 2), "count: expected 0 ≤ low ≤ high, got 3 to 2"),
        (lambda: length(V, -1), "length: expected 0 ≤ low ≤ high, got -1 to None"),
        (lambda: count(V, {3}, 0), "count: expected token ids in 0 … 2, got 3 to 3"),
        (lambda: contains(V, ({0}, (2, 1))), "pattern: gap: expected 0 ≤ low ≤ high, got 2 to 1"),
        (lambda: contains(V, ({-1},)), "pattern: expected token ids in 0 … 2, got -1 to -1"),
        (lambda: window_count(V, {0}, 0, 0), "expected a window of 1 to 60 positions, got 0"),
        (lambda: runs(V, {0}, 0), "expected a longest run of at least 1, got 0"),
        (lambda: words(V, [(0, 7)]), "words: token id 7 is outside 0 … 2"),
        (lambda: weighted_sum(V, (1, 2), 0, 1, 3), "expected 3 weights, low ≤ high and max_length ≥ 0, got 2, 0, 1, 3"),
        (
            lambda: weighted_sum(V, (1, 2, 10**6), 0, 1, 100),
            "sums of 100 weights need more than 50,000 states; use coarser steps",
        ),
        (lambda: weighted_sum(V, (1, 300, -300), 0, 1, 300), "90,[0-9]* sums need more than 50,000 states; use coarser steps"),
    ],
)
def test_what_cannot_be_built_is_refused(build, message):
    with pytest.raises(ConditionError, match=message):
        build()


# ── motifs of proteins ──


def motif(prosite: str) -> tuple:
    """N-{P}-[ST]-x(2,4)-C as a pattern of ids."""
    pattern = []
    for element in prosite.split("-"):
        core, _, numbers = element.rstrip(")").partition("(")
        low, _, high = numbers.partition(",")
        repeat = (int(low or 1), int(high or low or 1))
        if core == "x":
            pattern.append(repeat)
            continue
        chosen = frozenset(AMINO_ACIDS.index(letter) for letter in core.strip("[]{}"))
        assert repeat[0] == repeat[1]
        pattern += [frozenset(range(20)) - chosen if core[0] == "{" else chosen] * repeat[0]
    return tuple(pattern)


@pytest.mark.parametrize(
    ("prosite", "expression"),
    [
        ("N-{P}-[ST]-{P}", "N[^P][ST][^P]"),
        ("[AG]-x(4)-G-K-[ST]", "[AG].{4}GK[ST]"),
        ("C-x(2,4)-C-x(3)-[LIVMFYWC]", "C.{2,4}C.{3}[LIVMFYWC]"),
    ],
)
def test_protein_motifs_against_re(prosite, expression):
    a = contains(20, motif(prosite))
    rng = np.random.default_rng(0)
    likely = [AMINO_ACIDS.index(letter) for letter in AMINO_ACIDS if letter in expression]
    rows = rng.choice(likely, size=(4000, 14))
    found = [bool(re.search(expression, "".join(AMINO_ACIDS[v] for v in row))) for row in rows]
    assert 100 < sum(found) < 3900
    assert a.accepts_rows(rows).tolist() == found
    assert a.states == fewest_states(a)


def test_the_zinc_finger_is_solved():
    """35,384 subsets, within the budget, are 12,955 minimal states."""
    finger = motif("C-x(2,4)-C-x(3)-[LIVMFYWC]-x(8)-H-x(3,5)-H")
    a = contains(20, finger)
    assert a.states == 12_955
    shortest = 21
    assert min(a.lengths(40)) == shortest
    # At the shortest length there is one placement with every gap at its least.
    assert Fraction(a.count_words(shortest), 20**shortest) == Fraction(8, 20**5)
