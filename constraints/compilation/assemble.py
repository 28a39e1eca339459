"""The joint structure of what sets of tokens cannot say: an automaton, a grammar, ties, a factor graph, and what goes together.

Shapes: n rows, L length, V vocabulary, G combinations of regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from constraints.automata.automaton import Automaton
from constraints.automata.exploration import Budget
from constraints.compilation.layout import Layout, combinations
from constraints.compilation.translate import Folder, combined, folded, regions_of
from constraints.language.expression import Constraint, Grammar
from constraints.relations import ties
from constraints.relations.factor_graph import FactorGraph
from constraints.relations.tied import Layouts, Tied
from constraints.structure import Structure
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

Path = tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Syntax:
    """A domain's own language, given as an automaton.

    Attributes:
        name: for the certificate.
        automaton: with one region, or two: elsewhere, and inside `region`.
        region: name of the region that it reads in its own way.
    """

    name: str
    automaton: Automaton
    region: str = "pins"

    def over(self, inside: np.ndarray) -> Automaton:
        """The automaton over G combinations of regions, inside (G,) bool being those in `region`."""
        a = self.automaton
        return Automaton(
            a.classes[inside.astype(int) if a.regions > 1 else np.zeros(len(inside), int)], a.delta, a.start, a.accepting
        )


Asked = list[tuple[Constraint, Path]]


def assemble(
    regular: Asked,
    free: Asked,
    related: Asked,
    linked: list[ties.Links],
    alphabet: Alphabet,
    layouts: Sequence[Layout],
    budget: Budget,
    syntax: Syntax | None = None,
) -> tuple[Structure | None, Tensor, Automaton | None, list[str]]:
    """The joint structure, the regions it reads, its automaton, and what the parts became, in words."""
    if syntax is not None and (free or related):
        others = ", ".join(str(c) for c, _ in free + related)
        raise ConditionError(f"{syntax.name} with {others}: an automaton of whole rows goes with what is regular alone")
    if len(free) > 1:
        raise ConditionError(
            f"{free[0][0]} & {free[1][0]}: two context-free constraints cannot be held together; join their rules"
        )
    folding = all(link.foldable for link in linked)
    if related and not folding and (regular or free):
        others = ", ".join(str(c) for c, _ in regular + free)
        why = "all-different and maps that cannot be inverted go with token sets and ties alone; leave one of them out"
        raise ties.refuse(related, others, why)
    read_by_syntax = set() if syntax is None or syntax.automaton.regions == 1 else {syntax.region}
    names = sorted({name for c, path in regular + free for name in (*path, *regions_of(c))} | read_by_syntax)
    region, table = combinations(layouts, names)
    if related:  # one more combination, which nothing reads: the copies
        table = np.vstack([table, np.zeros((1, len(names)), bool)])
    everywhere = np.ones(len(table), bool)
    everywhere[len(table) - 1 :] = not related
    member = {name: table[:, k] for k, name in enumerate(names)}
    read = [everywhere & np.logical_and.reduce([everywhere, *(member[name] for name in path)]) for _, path in regular + free]
    longest = max(layout.length for layout in layouts)
    inner: Structure | None = None
    automaton: Automaton | None = None
    classes: list[str] = []
    if free:
        inner, classes = _grammar(free[0], regular, read, longest, alphabet, budget)
    elif regular or syntax:
        automata = []
        if syntax:
            automata.append((syntax.name, syntax.over(member.get(syntax.region, everywhere))))
        if regular:
            parts = tuple((c, tuple(inside.tolist())) for (c, _), inside in zip(regular, read, strict=True))
            members = tuple((name, tuple(inside.tolist())) for name, inside in member.items())
            automata.append(("regular", folded(parts, alphabet, longest, budget, members)))
        automaton = combined(automata, np.logical_and, budget)
        kinds = " ∧ ".join(name for name, _ in automata)
        classes = [f"{kinds} ({automaton.states} states, {automaton.delta.shape[1]} token classes)"]
        inner = _chain(automaton)
    if not related:
        return inner, torch.as_tensor(region), automaton, classes
    if folding:
        _check_copies(regular + free, read, region, related, linked, alphabet)
    classes.append("ties folded" if folding else "relations")
    structures: dict[ties.Links, Structure] = {}
    for link in linked:
        if link not in structures:
            rest = inner or FactorGraph(link.length, len(alphabet))
            outside = len(table) - 1
            structures[link] = (
                Tied.compile(link.ties, rest, link.length, len(alphabet), outside) if folding else link.graph(alphabet)
            )
    numbers = {link: k for k, link in enumerate(structures)}
    several = Layouts(tuple(structures.values()), torch.tensor([numbers[link] for link in linked]))
    structure = next(iter(structures.values())) if len(structures) == 1 else several
    return structure, torch.as_tensor(region), automaton, classes


def _chain(automaton: Automaton) -> Structure | None:
    """None where every word is accepted, or none is: what is impossible stands in the sets of tokens."""
    from constraints.automata.chain import Chain

    trivial = automaton.states == 1 and bool(automaton.accepting[0]) and bool((automaton.delta >= 0).all())
    return None if trivial or automaton.is_empty else Chain(automaton)


def _check_copies(parts: Asked, read, region: np.ndarray, related: Asked, linked: list[ties.Links], alphabet: Alphabet) -> None:
    """Refuse constraints that read a copy: the automaton would need to remember the first."""
    for row, link in enumerate(linked):
        copies = ties.copies(link, alphabet)
        for (c, path), inside in zip(parts, read, strict=True):
            if copies and inside[region[row, copies]].any():
                text = str(c) if not path else f"within({path[-1]}, {c})"
                place = min(i for i in copies if inside[region[row, i]])
                why = f"it reads position {place}, a copy of an earlier one; ask it within the first of the tied regions alone"
                raise ties.refuse(related, text, why)


def _grammar(asked: tuple[Constraint, Path], regular: Asked, read, longest: int, alphabet: Alphabet, budget: Budget):
    """The grammar, intersected with what is regular, which must act on the same positions."""
    from constraints.grammars.grammar import intersect
    from constraints.grammars.grammar_structure import GrammarStructure

    c = asked[0]
    grammar = _rules(c, alphabet)
    *others, inside = read
    for (other, path), reads in zip(regular, others, strict=True):
        if regions_of(other) or not np.array_equal(reads, inside):
            text = str(other) if not path else f"within({path[-1]}, {other})"
            why = "beside a grammar only what reads the same positions, or sets of tokens (allow, ban, pin), can be held"
            raise ConditionError(f"{c} with {text}: {why}; ask both of the same region")
    if regular:
        everywhere = np.ones(1, bool)
        grammar = intersect(grammar, Folder(alphabet, longest, budget, {}).fold((other, everywhere) for other, _ in regular))
    structure = GrammarStructure(grammar, None if inside.all() else inside)
    return structure, [f"context-free ({len(grammar.lexical)} nonterminals, {len(grammar.binary)} rules)"]


@lru_cache(maxsize=32)
def _rules(c: Constraint, alphabet: Alphabet):
    """The rules of a grammar over the alphabet's tokens."""
    from constraints.compilation.guard import guarded_grammar

    assert isinstance(c, Grammar)
    return guarded_grammar(c.text, alphabet.tokens, c.start)
