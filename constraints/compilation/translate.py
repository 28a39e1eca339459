"""From regular constraints to automata: leaves by name, and what the operators make of them.

Shapes: V vocabulary, G combinations of regions.
"""

import difflib
import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import count

import numpy as np

from constraints.automata import regular
from constraints.automata.automaton import Automaton, everything, product
from constraints.automata.exploration import DEAD, Budget
from constraints.language.distance import Edits, Identity
from constraints.language.expression import (
    Allow,
    And,
    Avoid,
    Ban,
    Constraint,
    Contains,
    Count,
    EndsWith,
    Length,
    Not,
    Or,
    Pin,
    Regex,
    Runs,
    StartsWith,
    Sum,
    Within,
    Words,
)
from constraints.language.motif import Motif, Tokens
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, ConditionError

MAX_ALTERNATIVES = 256


def token_id(token: str, alphabet: Alphabet, what: str) -> int:
    """Raises ConditionError with the nearest tokens if the alphabet has none of this name."""
    if token not in alphabet.ids:
        near = difflib.get_close_matches(token, alphabet.tokens, 3, 0.4) or alphabet.tokens[:30]
        raise ConditionError(f"{what}: {token!r} is no token of the alphabet {alphabet.name!r}; it has {' '.join(near)} …")
    return alphabet.ids[token]


def token_ids(tokens: Tokens, alphabet: Alphabet, what: str) -> frozenset[int]:
    named = {token_id(token, alphabet, what) for token in tokens.tokens}
    return frozenset(set(range(len(alphabet))) - named if tokens.negated else named)


def patterns(motif: Motif, alphabet: Alphabet, what: str) -> list[list]:
    """The motif as patterns over ids, one for each choice of how often a set of ranged repetition stands."""
    choices = []
    for element in motif.elements:
        ids = token_ids(element.tokens, alphabet, what)
        if len(ids) == len(alphabet):
            choices.append([[(element.low, element.high)]])
        else:
            choices.append([[ids] * times for times in range(element.low, element.high + 1)])
    number = int(np.prod([len(choice) for choice in choices], dtype=float))
    if number > MAX_ALTERNATIVES:
        raise ConditionError(
            f"{what}: its ranged repetitions make {number:,} patterns, at most {MAX_ALTERNATIVES} are possible; "
            "narrow them, or write a regular expression"
        )
    return [sum(pattern, []) for pattern in itertools.product(*choices)]


@lru_cache(maxsize=512)
def leaf(c: Constraint, alphabet: Alphabet, longest: int, budget: Budget) -> Automaton:
    """The minimal automaton of a regular leaf, which knows no regions; right for rows of up to `longest` positions."""
    V, what = len(alphabet), str(c)
    match c:
        case Pin():
            return regular.starts_with(V, [(c.position, c.position), {token_id(c.token, alphabet, what)}], budget)
        case Allow() | Ban():
            ids = token_ids(c.tokens, alphabet, what)
            return _places(V, ids if isinstance(c, Ban) else frozenset(range(V)) - ids, c.positions)
        case Contains() | Avoid() | StartsWith() | EndsWith():
            build = {StartsWith: regular.starts_with, EndsWith: regular.ends_with}.get(type(c), regular.contains)
            found = [(what, build(V, pattern, budget)) for pattern in patterns(c.motif, alphabet, what)]
            matches = combined(found, np.logical_or, budget)
            return (~matches).minimal() if isinstance(c, Avoid) else matches
        case Count(window=None):
            return regular.count(V, token_ids(c.tokens, alphabet, what), c.low, c.high)
        case Count(window=int(window)):
            return regular.window_count(V, token_ids(c.tokens, alphabet, what), window, c.low, c.high, budget)
        case Length():
            return regular.length(V, c.low, c.high)
        case Sum():
            weights, low, high = c.units
            units = np.zeros(V, np.int64)
            for token, weight in weights.items():
                units[token_id(token, alphabet, what)] = weight
            if low > high:
                raise ConditionError(f"{what}: no multiple of the step lies from {c.low:g} to {c.high:g}; use a finer step")
            return regular.weighted_sum(V, units.tolist(), low, high, longest, budget)
        case Runs():
            return regular.runs(V, token_ids(c.tokens, alphabet, what), c.most, budget)
        case Words():
            return regular.words(V, [_encode(word, alphabet, what) for word in c.words])
        case Edits() | Identity():
            reference = _encode(c.reference, alphabet, what)
            low, high = c.mismatches(len(reference))
            if low > high:
                raise ConditionError(f"{what}: a reference of {len(reference)} tokens cannot be met so; widen the range")
            return regular.mismatches(V, reference, low, high, budget)
        case Regex():
            from constraints.compilation.guard import guarded_regex

            return guarded_regex(c.pattern, alphabet.tokens)
    raise ConditionError(f"{what}: no automaton is known for it")


def _encode(word: str, alphabet: Alphabet, what: str) -> list[int]:
    try:
        return alphabet.encode(word)
    except AlphabetError as error:
        raise ConditionError(f"{what}: {error}") from None


def _places(V: int, banned: frozenset[int], positions: tuple[int, ...] | None) -> Automaton:
    """Rows without banned tokens at the positions that exist. State i reads position i; the last one reads the rest."""
    classes = np.isin(np.arange(V), sorted(banned))[None].astype(int)
    asked = [True] if positions is None else [*np.isin(np.arange(positions[-1] + 1), positions).tolist(), False]
    following = [min(i + 1, len(asked) - 1) for i in range(len(asked))]
    delta = [[after, DEAD if here else after] for after, here in zip(following, asked, strict=True)]
    return Automaton(classes, np.array(delta), 0, np.ones(len(asked), bool)).minimal()


def combined(parts: Iterable[tuple[str, Automaton]], rule: Callable, budget: Budget) -> Automaton:
    """All of them under np.logical_and or np.logical_or, the two smallest first; minimal."""
    order = count()
    heap = [(automaton.states, next(order), text, automaton) for text, automaton in parts]
    heapq.heapify(heap)
    while len(heap) > 1:
        (_, _, text, a), (_, _, other, b) = heapq.heappop(heap), heapq.heappop(heap)
        sign = "&" if rule is np.logical_and else "|"
        both = text if text == other else f"{text} {sign} {other}"
        try:
            ab = product(a, b, rule, budget).minimal()
        except ConditionError as error:
            raise ConditionError(f"{both}: {error}") from None
        heapq.heappush(heap, (ab.states, next(order), both, ab))
    return heap[0][3]


@lru_cache(maxsize=16)
def folded(
    parts: tuple[tuple[Constraint, tuple[bool, ...]], ...],
    alphabet: Alphabet,
    longest: int,
    budget: Budget,
    member: tuple[tuple[str, tuple[bool, ...]], ...],
) -> Automaton:
    """`Folder.fold`, remembered: a plan compiles what it weighs beside what must hold, and requests are asked again."""
    folder = Folder(alphabet, longest, budget, {name: np.array(inside) for name, inside in member})
    return folder.fold((c, np.array(inside)) for c, inside in parts)


class Folder:
    """Folds regular constraints over G combinations of regions into one automaton.

    inside (G,) bool are the combinations that "all" reads; member[name] (G,) bool those of a region.
    """

    def __init__(self, alphabet: Alphabet, longest: int, budget: Budget, member: Mapping[str, np.ndarray]):
        self.alphabet, self.longest, self.budget, self.member = alphabet, longest, budget, member

    def fold(self, parts: Iterable[tuple[Constraint, np.ndarray]]) -> Automaton:
        """All constraints, each read at the combinations (G,) bool given with it; those read alike meet first."""
        alike: dict[bytes, tuple[np.ndarray, list[tuple[str, Automaton]]]] = {}
        mixed: list[tuple[str, Automaton]] = []
        for c, inside in parts:
            if has_region(c):
                mixed.append((str(c), self._over(c, inside)))
            else:
                alike.setdefault(inside.tobytes(), (inside, []))[1].append((str(c), self._flat(c)))
        for inside, automata in alike.values():
            texts = " & ".join(text for text, _ in automata)
            mixed.append((texts, self._within(combined(automata, np.logical_and, self.budget), inside)))
        return combined(mixed, np.logical_and, self.budget) if mixed else everything(len(self.alphabet))

    def _within(self, automaton: Automaton, inside: np.ndarray) -> Automaton:
        return automaton if inside.all() else automaton.within(inside)

    def _flat(self, c: Constraint) -> Automaton:
        """Of a constraint without regions."""
        match c:
            case And() | Or():
                parts = [(str(part), self._flat(part)) for part in c.parts]
                return combined(parts, np.logical_and if isinstance(c, And) else np.logical_or, self.budget)
            case Not():
                return (~self._flat(c.part)).minimal()
        try:
            return leaf(c, self.alphabet, self.longest if isinstance(c, Sum) else 0, self.budget)
        except ConditionError as error:
            raise error if str(error).startswith(str(c)) else ConditionError(f"{c}: {error}") from None

    def _over(self, c: Constraint, inside: np.ndarray) -> Automaton:
        if not has_region(c):
            return self._within(self._flat(c), inside)
        match c:
            case And():
                return self.fold((part, inside) for part in c.parts)
            case Or():
                return combined([(str(part), self._over(part, inside)) for part in c.parts], np.logical_or, self.budget)
            case Not():
                return (~self._over(c.part, inside)).minimal()
            case Within():
                return self._over(c.part, inside & self.member[c.region])
        raise ConditionError(f"{c}: no automaton is known for it")


def has_region(c: Constraint) -> bool:
    return bool(regions_of(c))


def regions_of(c: Constraint) -> frozenset[str]:
    """Names of the regions that a constraint reads within."""
    match c:
        case And() | Or():
            return frozenset().union(*(regions_of(part) for part in c.parts))
        case Not():
            return regions_of(c.part)
        case Within():
            return regions_of(c.part) | {c.region}
    return frozenset()
