"""Context-free rules → Chomsky normal form over tokens, and their composition with a finite transducer.

Rules are a dict from a nonterminal to the set of its bodies; a body is a tuple of nonterminals and of terminals, and a
terminal is a frozenset of letters, any one of which it reads. Everything is done with sets, so that equal rules are one
rule: a word's number of parses may fall on the way, never rise, and an unambiguous grammar stays unambiguous.

Sources: Hopcroft and Ullman, Introduction to Automata Theory (1979), 4.4–4.5 (normal forms), 6.1 (closure under inverse
homomorphism and intersection with a regular set: Bar-Hillel, Perles and Shamir, 1961).
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from itertools import product
from typing import Any

from seqdiff.errors import ConditionError

Rules = dict[Hashable, set[tuple]]
MAX_RULES = 20_000

START = ("start",)


def check_budget(rules: int, budget: int, what: str) -> None:
    """Raises ConditionError where a construction has more rules than the budget."""
    if rules > budget:
        raise ConditionError(
            f"grammar: {what} needs more than {budget:,} rules; use fewer or shorter terminals, a smaller alphabet or fewer "
            "automaton states, or raise the budget"
        )


def binarised(rules: Rules) -> Rules:
    """Equivalent rules with bodies of at most two symbols: A → X₁ … X_n becomes a chain, tails shared by their text."""
    short: Rules = defaultdict(set)
    for left, bodies in rules.items():
        short[left] = set(short[left])
        for body in bodies:
            head = left
            while len(body) > 2:
                tail = ("tail", body[1:])
                short[head].add((body[0], tail))
                head, body = tail, body[1:]
            short[head].add(body)
    return dict(short)


def adjacent(rules: Rules) -> set[tuple]:
    """Pairs of letters that may be neighbours in a word; the rules must be binarised. There are no others.

    (a, b) with a in last(X) and b in first(Y), for a body X Y.
    """
    nullable = _least(rules, lambda body, known: all(symbol in known for symbol in body))
    first, last = _ends(rules, nullable, False), _ends(rules, nullable, True)
    sides = {(last[body[0]], first[body[1]]) for bodies in rules.values() for body in bodies if len(body) == 2}
    return {pair for a, b in sides for pair in product(a, b)}


def _ends(rules: Rules, nullable: set, last: bool) -> dict[Hashable, frozenset]:
    """The letters that a symbol's text may begin with, or end with."""
    users = defaultdict(set)
    for left, bodies in rules.items():
        for body in bodies:
            for symbol in reversed(body) if last else body:
                users[symbol].add(left)
                if symbol not in nullable:
                    break
    symbols = {symbol for bodies in rules.values() for body in bodies for symbol in body} | set(rules)
    found = {symbol: symbol if isinstance(symbol, frozenset) else frozenset() for symbol in symbols}
    agenda = [symbol for symbol in symbols if found[symbol]]
    while agenda:
        symbol = agenda.pop()
        for left in users.get(symbol, ()):
            if not found[symbol] <= found[left]:
                found[left] |= found[symbol]
                agenda.append(left)
    return found


def transduced(
    rules: Rules,
    start: Hashable,
    first: Hashable,
    step: Callable[[Any, frozenset], dict],
    last: Callable[[Any], bool],
    budget: int = MAX_RULES,
    what: str = "the composition",
) -> Rules:
    """Rules, from START, over what a transducer writes while it reads the words of `start` from `first` to a `last` state.

    step(s, letters) → {s': written}: a frozenset of tokens of which one is written, or None for none. Nonterminals are
    triples (s, A, s'): "A is read on the way from s to s'". Only triples met from (first, start) are built, by tabulation
    of the goals (s, A). The rules must be binarised.
    """
    found: Rules = defaultdict(set)
    ends: dict[tuple, dict] = {}  # goal (s, X) → {s': the body's part that says so}
    waiting: dict[tuple, list] = defaultdict(list)
    agenda: list[tuple] = []

    def ask(state, symbol, asker) -> None:
        goal = (state, symbol)
        waiting[goal].append(asker)
        if goal in ends:
            agenda.extend((asker, goal, end) for end in ends[goal])
            return
        ends[goal] = {}
        if isinstance(symbol, frozenset):
            for end, written in step(state, symbol).items():
                arrive(goal, end, () if written is None else (written,))
            return
        for body in rules.get(symbol, ()):
            if body:
                ask(state, body[0], (goal, body[1:], ()))
            else:
                derive(goal, state, ())

    def arrive(goal, end, part) -> None:
        if end not in ends[goal]:
            ends[goal][end] = part
            agenda.extend((asker, goal, end) for asker in waiting[goal])

    def derive(goal, end, body) -> None:
        found[(*goal, end)].add(body)
        arrive(goal, end, ((*goal, end),))

    ask(first, start, None)
    steps = 0
    while agenda:
        asker, goal, end = agenda.pop()
        steps += 1
        check_budget(steps // 8, budget, what)  # a rule is met a few times; most are useless in the end
        if asker is None:
            continue
        parent, rest, before = asker
        body = before + ends[goal][end]
        if rest:
            ask(end, rest[0], (parent, rest[1:], body))
        else:
            derive(parent, end, body)
    found[START] = {part for end, part in ends[first, start].items() if last(end)}
    return dict(found)


def normal_form(rules: Rules, start: Hashable, budget: int = MAX_RULES) -> tuple[dict, dict, bool]:
    """(lexical {A: frozenset of letters}, binary {A: {(B, C)}}, whether the empty word belongs), trimmed and merged.

    In this order: bodies of at most two symbols, no ε, no unit rules, no useless nonterminals, bisimilar nonterminals
    merged. `start` comes first.
    """
    rules = binarised(rules)
    nullable = _least(rules, lambda body, known: all(symbol in known for symbol in body))
    bodies: Rules = {left: set() for left in rules}
    for left, alternatives in rules.items():
        for body in alternatives:
            bodies[left].add(body)
            if len(body) == 2:
                bodies[left] |= {(body[1 - i],) for i in range(2) if body[i] in nullable}
        bodies[left].discard(())
    lexical: dict[Hashable, frozenset] = {}
    binary: dict[Hashable, set] = {}
    total = 0
    for left in list(bodies):
        letters, pairs = set(), set()
        for reached in _closure([left], lambda a: [b[0] for b in bodies.get(a, ()) if len(b) == 1]):
            if isinstance(reached, frozenset):
                letters |= reached
            else:
                pairs |= {body for body in bodies.get(reached, ()) if len(body) == 2}
        for terminal in {symbol for pair in pairs for symbol in pair if isinstance(symbol, frozenset)}:
            lexical[terminal], binary[terminal] = terminal, set()
        lexical[left], binary[left] = frozenset(letters), pairs
        total += len(pairs)
        check_budget(total, 4 * budget, "its normal form")  # not yet trimmed
    productive = _least(
        {a: {*binary[a], *([()] if lexical[a] else [])} for a in binary}, lambda body, known: all(b in known for b in body)
    )
    kept = {a: {pair for pair in binary[a] if set(pair) <= productive} for a in productive | {start}}
    useful = _closure([start], lambda a: [symbol for pair in kept.get(a, ()) for symbol in pair])
    check_budget(sum(len(kept.get(a, ())) for a in useful), budget, "its normal form")
    lexical = {a: lexical.get(a, frozenset()) for a in useful}
    return *_merged(lexical, {a: kept.get(a, set()) for a in useful}), start in nullable


def _least(rules: Rules, holds: Callable) -> set:
    """The least set of nonterminals such that A belongs to it if one of its bodies holds given the set."""
    users = defaultdict(set)
    for left, bodies in rules.items():
        for body in bodies:
            for symbol in body:
                users[symbol].add(left)
    known: set = set()
    agenda = list(rules)
    while agenda:
        left = agenda.pop()
        if left in rules and left not in known and any(holds(body, known) for body in rules[left]):
            known.add(left)
            agenda.extend(users[left])
    return known


def _closure(seeds: Iterable, after: Callable) -> list:
    """What is reached from the seeds, in the order of meeting."""
    met = dict.fromkeys(seeds)
    agenda = list(met)
    while agenda:
        for symbol in after(agenda.pop()):
            if symbol not in met:
                met[symbol] = None
                agenda.append(symbol)
    return list(met)


def _merged(lexical: dict, binary: dict) -> tuple[dict, dict]:
    """One nonterminal for each class of bisimilar ones: same letters, same pairs of classes (so the same language).

    Partition refinement from "all alike"; the first member stands for its class.
    """
    block = dict.fromkeys(binary, 0)
    blocks = 0
    while True:
        number: dict = {}
        signature = {a: (block[a], lexical[a], frozenset((block[b], block[c]) for b, c in binary[a])) for a in binary}
        block = {a: number.setdefault(signature[a], len(number)) for a in binary}
        if len(number) == blocks:
            break
        blocks = len(number)
    member: dict = {}
    for a in binary:
        member.setdefault(block[a], a)
    stands = {a: member[block[a]] for a in binary}
    pairs = {a: {(stands[b], stands[c]) for b, c in binary[a]} for a in member.values()}
    return {a: lexical[a] for a in pairs}, pairs
