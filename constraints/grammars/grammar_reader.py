"""Grammars in lark's notation → rules over the tokens of an alphabet.

lark reads the notation: EBNF, %import, templates, terminals of strings and regular expressions. Its lexer has no part in
what follows: a word belongs to the language if its text, all tokens joined, is *some* sequence of terminals that the rules
derive. There is no longest match, no priority and no skipping; %ignore is refused, as are lookarounds in terminals.

Tokens and terminals need not meet at the same places. The grammar is read over characters, every terminal by the minimal
automaton of its text (right-linear rules, one parse a text), and then lifted to tokens: a finite transducer reads
characters and writes a token at its first character, its state being the characters of that token still owed. That is the
inverse image of the language under "join the texts", hence exact for any alphabet, tokens that span several terminals and
several spellings of one text included; a word has as many parses as its text. Where every token is one character, lifting
changes nothing. Of an alphabet of words only those tokens take part whose neighbouring characters can stand so in a text.
"""

import re
from collections import defaultdict
from itertools import compress, pairwise

from constraints.automata.exploration import Budget
from constraints.automata.regex import regex
from constraints.grammars.grammar import Grammar
from constraints.grammars.normal_form import MAX_RULES, START, Rules, adjacent, binarised, transduced
from seqdiff.errors import ConditionError


def read_grammar(text: str, tokens: tuple[str, ...], start: str = "start", budget: int = MAX_RULES) -> Grammar:
    """The grammar of all token sequences whose text is derived from `start`. Raises ConditionError."""
    characters = sorted({c for token in tokens for c in token})
    rules = binarised(_lark_rules(text, start, characters))
    neighbours = adjacent(rules)
    read = set().union(
        *(symbol for bodies in rules.values() for body in bodies for symbol in body if isinstance(symbol, frozenset))
    )
    usable = [read.issuperset(token) and neighbours.issuperset(pairwise(token)) for token in tokens]
    owed = _owing(tokens, usable)
    lifted = transduced(rules, start, "", owed, lambda rest: rest == "", budget, "the grammar over these tokens")
    return Grammar.from_rules(lifted, START, len(tokens), budget)


def _owing(tokens: tuple[str, ...], usable: list[bool]):
    """The transducer from characters to those tokens that are usable; its state is the rest of the token written last."""
    beginning: dict[str, list[int]] = defaultdict(list)
    for number in compress(range(len(tokens)), usable):
        beginning[tokens[number][0]].append(number)

    def step(rest: str, letters: frozenset) -> dict:
        if rest:
            return {rest[1:]: None} if rest[0] in letters else {}
        written: dict[str, set] = defaultdict(set)
        for letter in letters:
            for number in beginning[letter]:
                written[tokens[number][1:]].add(number)
        return {after: frozenset(numbers) for after, numbers in written.items()}

    return step


def _lark_rules(text: str, start: str, characters: list[str]) -> Rules:
    """Rules whose terminals are sets of characters."""
    from lark import Lark
    from lark.exceptions import LarkError

    try:
        grammar = Lark(text, parser="earley", lexer="dynamic", start=start)
    except (LarkError, OSError, AssertionError) as error:
        raise ConditionError(f"grammar: lark cannot read it: {str(error).strip()}") from None
    except re.error as error:
        raise ConditionError(f"grammar: a regular expression in it cannot be read: {error}") from None
    if grammar.ignore_tokens:
        raise ConditionError(
            f"grammar: %ignore {' '.join(grammar.ignore_tokens)} is not supported; write the terminal where it may stand"
        )
    rules: Rules = defaultdict(set)
    used = set()
    for rule in grammar.rules:
        body = tuple(("terminal", s.name) if s.is_term else s.name for s in rule.expansion)
        rules[str(rule.origin.name)].add(tuple(s if isinstance(s, tuple) else str(s) for s in body))
        used |= {s[1] for s in body if isinstance(s, tuple)}
    for terminal in grammar.terminals:
        if terminal.name in used:
            _spell(rules, terminal, characters)
    return dict(rules)


def _spell(rules: Rules, terminal, characters: list[str]) -> None:
    """Right-linear rules for the text of one terminal."""
    pattern, flags = terminal.pattern, set(terminal.pattern.flags)
    if not flags <= {"i", "s"} or (flags == {"s"} and pattern.type == "str"):
        raise ConditionError(f"grammar: the flags {''.join(sorted(flags))} of terminal {terminal.name} are not supported")
    name = ("terminal", terminal.name)
    if pattern.type == "str":
        rules[name].add(tuple(_either_case(c, "i" in flags) for c in pattern.value))
        return
    if flags:
        raise ConditionError(
            f"grammar: the flag {''.join(sorted(flags))} of the regular expression {terminal.name} is not supported; write "
            "out what it stands for, as [Cc]"
        )
    try:
        automaton = regex(pattern.value, tuple(characters), Budget(states=5_000))
    except ConditionError as error:
        raise ConditionError(f"grammar, terminal {terminal.name}: {error}") from None
    letters: dict[int, set] = defaultdict(set)
    for character, symbol in zip(characters, automaton.classes[0].tolist(), strict=True):
        letters[symbol].add(character)
    states = [name if q == automaton.start else (*name, q) for q in range(automaton.states)]
    if automaton.start in automaton.delta:  # the start is entered again: it needs a name of its own
        states[automaton.start] = (*name, automaton.start)
        rules[name].add((states[automaton.start],))
    for q, symbol, after in zip(*(part.tolist() for part in automaton.edges()), strict=True):
        rules[states[q]].add((frozenset(letters[symbol]), states[after]))
        if automaton.accepting[after]:
            rules[states[q]].add((frozenset(letters[symbol]),))
    if automaton.accepting[automaton.start]:
        rules[name].add(())


def _either_case(character: str, ignore: bool) -> frozenset:
    return frozenset({character.lower(), character.upper()} if ignore else character)
