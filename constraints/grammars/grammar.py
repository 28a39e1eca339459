"""Context-free grammars over tokens in Chomsky normal form: made from rules, searched for ambiguity, intersected.

Needs numpy alone; the mass and the draws of a grammar are in `grammar_structure`.
Shapes: V vocabulary, N nonterminals, M binary rules.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from constraints.automata.automaton import Automaton
from constraints.grammars.normal_form import MAX_RULES, START, Rules, normal_form, transduced
from seqdiff.errors import ConditionError


@dataclass(frozen=True, eq=False)
class Grammar:
    """A context-free grammar over tokens in Chomsky normal form, without useless nonterminals; the start is number 0.

    Attributes:
        lexical: (N, V) bool, the rules A → v.
        binary: (M, 3) int64, the rules A → B C, distinct.
        nullable: whether the empty word belongs to the language.
    """

    lexical: np.ndarray
    binary: np.ndarray
    nullable: bool = False

    @classmethod
    def from_rules(cls, rules: Rules, start, vocabulary: int, budget: int = MAX_RULES) -> "Grammar":
        """From rules whose terminals are frozensets of token ids. Raises ConditionError beyond the budget of rules."""
        lexical, binary, nullable = normal_form(rules, start, budget)
        number = {a: n for n, a in enumerate(binary)}
        table = np.zeros((len(number), vocabulary), bool)
        for a, letters in lexical.items():
            table[number[a], sorted(letters)] = True
        triples = sorted((number[a], number[b], number[c]) for a in binary for b, c in binary[a])
        return cls(table, np.array(triples, np.int64).reshape(-1, 3), nullable)

    @property
    def vocabulary(self) -> int:
        return self.lexical.shape[1]

    def rules(self) -> Rules:
        """The same grammar as a dict; nonterminals are numbers."""
        rules: Rules = {a: {(frozenset(np.nonzero(row)[0].tolist()),)} for a, row in enumerate(self.lexical)}
        for a, b, c in self.binary.tolist():
            rules[a].add((b, c))
        if self.nullable:
            rules[START] = {(0,), ()}
        return rules

    @cached_property
    def classes(self) -> np.ndarray:
        """(V,) the class of each token: tokens that no rule tells apart; −1 for those in no word."""
        _, first, inverse = np.unique(self.lexical, axis=1, return_index=True, return_inverse=True)
        number = np.where(self.lexical[:, first].any(0), np.cumsum(self.lexical[:, first].any(0)) - 1, -1)
        return number[inverse.ravel()]

    def ambiguous_up_to(self, words: int = 5_000, longest: int = 12) -> tuple[bool, int]:
        """(whether a word with two parses was found, the length up to which every word was looked at).

        Ambiguity is undecidable. Here words of classes are enumerated bottom up, with their number of parses, for ever
        longer words until there are more than `words` of one length among all nonterminals.
        """
        classes = self.classes
        parses: list[list[dict]] = [[]]
        parses.append([{(int(c),): 1 for c in set(classes[row].tolist())} for row in self.lexical])
        for length in range(2, longest + 1):
            here: list[dict] = [{} for _ in self.lexical]
            for a, b, c in self.binary.tolist():
                for k in range(1, length):
                    if len(parses[k][b]) * len(parses[length - k][c]) > words:
                        return False, length - 1
                    for x, nx in parses[k][b].items():
                        for y, ny in parses[length - k][c].items():
                            here[a][x + y] = here[a].get(x + y, 0) + nx * ny
            if any(n > 1 for n in here[0].values()):
                return True, length
            if sum(map(len, here)) > words:
                return False, length
            parses.append(here)
        return False, longest


def intersect(grammar: Grammar, automaton: Automaton, budget: int = MAX_RULES) -> Grammar:
    """The words of the grammar that the automaton accepts (Bar-Hillel): nonterminals are triples (q, A, q').

    The automaton is deterministic, so a word has as many parses as before. It must not know regions.
    """
    if automaton.regions != 1 or automaton.vocabulary != grammar.vocabulary:
        raise ConditionError(
            f"grammar ∧ automaton: expected an automaton of 1 region over {grammar.vocabulary} tokens, got {automaton.regions} "
            f"regions over {automaton.vocabulary}"
        )
    classes, delta = automaton.classes[0], automaton.delta

    def step(state, tokens):
        after: dict[int, set] = {}
        for token in tokens:
            end = int(delta[state, classes[token]])
            if end >= 0:
                after.setdefault(end, set()).add(token)
        return {end: frozenset(read) for end, read in after.items()}

    rules = grammar.rules()
    start = START if grammar.nullable else 0
    last = automaton.accepting.tolist().__getitem__
    triples = transduced(rules, start, automaton.start, step, last, budget, "grammar ∧ automaton")
    return Grammar.from_rules(triples, START, grammar.vocabulary, budget)
