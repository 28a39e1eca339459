r"""Regular expressions over the text of tokens, in Python's notation.

A word of `regex(pattern, tokens)` is a sequence of tokens whose texts, joined, match the pattern from end to end, however
the tokens cut it. Supported: literals, escapes (\d \w \s \x41 …), `.`, classes, groups, | * + ? {m,n}; named groups are
groups; lazy quantifiers have the same language as greedy ones. What is not regular, or would mean nothing where all of the
text is matched anyway, is refused by name. What a class or an escape holds is asked of Python's `re` itself.

Pattern → tree → position automaton (Glushkov 1961) → minimal automaton over characters → over tokens: a token takes a
state through all of its characters.
"""

import functools
import operator
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from constraints.automata.automaton import Automaton, trimmed
from constraints.automata.exploration import DEAD, Budget
from constraints.automata.regular import determinised
from seqdiff.errors import ConditionError

_POSITIONS = 2_000  # characters, classes and copies of them under {m,n}
_ATOM = re.compile(
    r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|N\{[^}]*\}|0[0-7]{0,2}|[0-3][0-7]{2}|.)"
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]|.",
    re.DOTALL,
)
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>|(?!\?))")
_QUANTIFIER = re.compile(r"([*+?])|\{(?!\})(\d*)(,(\d*))?\}")
_REFUSED = {
    name: (re.compile(shape), instead)
    for name, shape, instead in (
        ("a lookahead", r"\(\?[=!]", "combine two constraints with & and ~"),
        ("a lookbehind", r"\(\?<[=!]", "combine two constraints with & and ~"),
        ("a backreference", r"\(\?P=|\\(?![0-3][0-7]{2})[1-9]", "it is not regular; tie the positions that must be equal"),
        ("a conditional group", r"\(\?\(", "it is not regular; write out the cases"),
        ("an atomic group", r"\(\?>", "use (?:…)"),
        ("a comment", r"\(\?#", "leave it out"),
        ("a flag", r"\(\?[aiLmsux-]", "write out what it stands for, as [Cc]"),
        ("an anchor", r"\^|\$|\\[AZzbB]", "leave it out, all of the text is matched anyway, and .* is for anything"),
    )
}


@dataclass(frozen=True)
class _Repeat:
    """low to high copies of a part; high None has no end."""

    part: "_Node"
    low: int
    high: int | None


# A tree: an atom as it is written, ("sequence" or "choice", its parts), or a repetition.
_Node = str | tuple[str, list] | _Repeat


def regex(pattern: str, tokens: tuple[str, ...], budget: Budget | None = None) -> Automaton:
    """The minimal automaton of all token sequences whose text matches all of the pattern. Raises ConditionError."""
    budget, what = budget or Budget(), f"regex {_shown(pattern)}"
    characters = sorted({c for token in tokens for c in token})
    try:
        positions = _Positions(_parse(pattern), what)
    except RecursionError:
        raise ConditionError(f"{what}: groups are nested too deep; write it flatter") from None
    by_character = _over_characters(positions, characters, budget, what)
    return _over_tokens(by_character, characters, tokens, budget, what)


def _over_characters(positions: "_Positions", characters: list[str], budget: Budget, what: str) -> Automaton:
    """State p of the position automaton: the p-th atom was read last; its successors are the atoms that may follow it."""
    n = len(positions.atoms)
    matched = {atom: _matched(atom, characters) for atom in set(positions.atoms)}
    sets = np.array([matched[atom] for atom in positions.atoms], bool).reshape(n, len(characters))
    columns, classes = np.unique(sets, axis=1, return_inverse=True)
    budget.check(what, edges=n * n * columns.shape[1] // 8)
    follow = np.array([_bits(after, n) for after in [*positions.follow, positions.first]])
    moves = np.zeros((n + 1, columns.shape[1], n + 1), bool)  # the last state is the one before any atom was read
    moves[:, :, :n] = follow[:, None, :] & columns.T
    accepting = np.append(_bits(positions.last, n), positions.nullable)
    return determinised(classes.reshape(1, -1), moves, np.arange(n + 1) == n, accepting, budget, what)


def _over_tokens(a: Automaton, characters: list[str], tokens: tuple[str, ...], budget: Budget, what: str) -> Automaton:
    """δ(q, token) = δ(… δ(q, first character) …, last character)."""
    symbol = dict(zip(characters, a.classes[0].tolist(), strict=True))
    longest, stay = max(map(len, tokens)), a.delta.shape[1]
    spelled = [[symbol[c] for c in token] + [stay] * (longest - len(token)) for token in tokens]
    spellings, classes = np.unique(spelled, axis=0, return_inverse=True)
    budget.check(what, edges=a.states * len(spellings))
    stepwise = np.column_stack([a.completed, np.arange(a.states + 1)])
    state = np.repeat(np.arange(a.states)[:, None], len(spellings), axis=1)
    for i in range(longest):
        state = stepwise[state, spellings[:, i]]
    return trimmed(classes.reshape(1, -1), np.where(state == a.states, DEAD, state), a.start, a.accepting).minimal()


class _Positions:
    """Every atom of a tree at its own position, and which may come first, last and after which; sets are bits of integers."""

    def __init__(self, tree: _Node, what: str):
        self.atoms: list[str] = []
        self.follow: list[int] = []
        self.what = what
        self.nullable, self.first, self.last = self._add(tree)

    def _add(self, node: _Node) -> tuple[bool, int, int]:
        """(may be empty, first positions, last positions) of a part, its positions being added."""
        if isinstance(node, str):
            if len(self.atoms) == _POSITIONS:
                raise ConditionError(f"{self.what} needs more than {_POSITIONS:,} characters; shorten its repetitions")
            self.atoms.append(node)
            self.follow.append(0)
            return False, 1 << len(self.atoms) - 1, 1 << len(self.atoms) - 1
        if isinstance(node, _Repeat):
            return self._add_repeat(node)
        kind, parts = node
        if kind == "choice":
            added = [self._add(part) for part in parts]
            return any(n for n, _, _ in added), _union(f for _, f, _ in added), _union(e for _, _, e in added)
        whole = (True, 0, 0)
        for part in parts:
            whole = self._then(whole, self._add(part))
        return whole

    def _add_repeat(self, node: _Repeat) -> tuple[bool, int, int]:
        whole, before = (True, 0, 0), len(self.atoms)
        copies = max(node.low, 1) if node.high is None else node.high
        for copy in range(copies):
            nullable, first, last = self._add(node.part)
            if len(self.atoms) == before:
                break  # nothing but the empty text, however often
            if node.high is None and copy == copies - 1:
                self._link(last, first)
            whole = self._then(whole, (nullable or copy >= node.low, first, last))
        return whole

    def _then(self, a: tuple[bool, int, int], b: tuple[bool, int, int]) -> tuple[bool, int, int]:
        self._link(a[2], b[1])
        return a[0] and b[0], a[1] | (b[1] if a[0] else 0), b[2] | (a[2] if b[0] else 0)

    def _link(self, last: int, first: int) -> None:
        while last:
            self.follow[(last & -last).bit_length() - 1] |= first
            last &= last - 1


def _parse(pattern: str) -> _Node:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise _refusal(pattern, getattr(error, "pos", None) or 0, getattr(error, "msg", str(error))) from None
    node, _ = _choice(pattern, 0)
    return node


def _choice(pattern: str, at: int) -> tuple[_Node, int]:
    """The alternatives from `at` to the end of their group, and where that is."""
    alternatives: list[tuple[str, list]] = [("sequence", [])]
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "|":
            alternatives.append(("sequence", []))
            at += 1
            continue
        node, at = _atom(pattern, at)
        quantifier = _QUANTIFIER.match(pattern, at)
        if quantifier:
            node = _Repeat(node, *_range(quantifier))
            at = quantifier.end()
            if pattern[at : at + 1] == "+":
                raise _refusal(pattern, at, "a possessive quantifier is not supported: leave its + out")
            at += pattern[at : at + 1] == "?"  # lazy: which match is preferred does not change the language
        alternatives[-1][1].append(node)
    return (alternatives[0] if len(alternatives) == 1 else ("choice", alternatives)), at


def _atom(pattern: str, at: int) -> tuple[_Node, int]:
    for name, (shape, instead) in _REFUSED.items():
        if shape.match(pattern, at):
            raise _refusal(pattern, at, f"{name} is not supported: {instead}")
    group = _GROUP.match(pattern, at)
    if group:
        node, at = _choice(pattern, group.end())
        return node, at + 1
    atom = _ATOM.match(pattern, at)
    if atom is None:  # re accepted the pattern, so that something of its syntax is unknown here
        raise _refusal(pattern, at, "this is not supported")
    return atom.group(), atom.end()


def _range(quantifier: re.Match) -> tuple[int, int | None]:
    sign, low, comma, high = quantifier.groups()
    if sign:
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
    if comma is None:
        return int(low), int(low)
    return int(low or 0), int(high) if high else None


def _matched(atom: str, characters: list[str]) -> list[bool]:
    if atom[0] not in "\\[.":
        return [c == atom for c in characters]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [re.fullmatch(atom, c) is not None for c in characters]


def _union(sets: Iterable[int]) -> int:
    return functools.reduce(operator.or_, sets, 0)


def _bits(positions: int, n: int) -> np.ndarray:
    """(n,) bool."""
    octets = np.frombuffer(positions.to_bytes(n // 8 + 1, "little"), np.uint8)
    return np.unpackbits(octets, count=n, bitorder="little").astype(bool)


def _shown(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 60 else pattern[:57] + "…")


def _refusal(pattern: str, at: int, why: str) -> ConditionError:
    return ConditionError(f"regex, character {at + 1}: {why}\n  {pattern}\n  {' ' * at}^")
