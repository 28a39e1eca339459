"""From an expression to what samplers use: sets of tokens by position, and one joint structure over the rest.

    top-level &            what it becomes
    pin, allow, ban        the set of tokens of a position; with what the template settles
    length                 rows of another length are impossible
    regular, & | ~         one minimal automaton over (combination of regions, token)
    grammar                intersected with what is regular and acts on the same positions
    json_schema            a regular expression, or a grammar where it is recursive
    tie                    copies folded into one variable; the automaton reads the first copy alone
    distinct               a factor graph, by itself or with ties

What is outside of this is refused by name. A design is checked by `Compiled.check`, in plain Python, not by these tables.

Shapes: n rows, R rows of a call, L length (the longest row's), V vocabulary, K sets of tokens, G combinations of regions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from constraints.automata.automaton import Automaton
from constraints.automata.chain import Chain
from constraints.automata.exploration import Budget, at_most
from constraints.compilation.assemble import Asked, Path, Syntax, assemble
from constraints.compilation.layout import Layout
from constraints.compilation.sets import Sets
from constraints.compilation.translate import regions_of
from constraints.language.check import holds
from constraints.language.expression import (
    CONTEXT_FREE,
    REGULAR,
    RELATION,
    Allow,
    And,
    Ban,
    Constraint,
    Distinct,
    Grammar,
    JsonSchema,
    Length,
    Not,
    Pin,
    Regex,
    Tie,
    Within,
)
from constraints.language.notation import check_size
from constraints.relations import ties
from constraints.relations.tied import Layouts, Tied
from constraints.structure import Structure
from constraints.token_sets import TokenSets
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError


@dataclass(frozen=True, eq=False)
class Compiled:
    """What must hold of n rows.

    Attributes:
        structure: what a whole row must satisfy beyond its sets of tokens, or None.
        region: (n, L) int64, combination of regions of each position, for the structure.
        set_index: (n, L) int64, the set of tokens of each position, a row of `set_table`.
        set_table: (K, V) bool; the first is "any token".
        classes: what the parts became, for the certificate.
        automaton: the regular part, or None.
        spoken: the name of the domain's syntax, if rows must speak it.
    """

    expression: Constraint | None
    alphabet: Alphabet
    layouts: tuple[Layout, ...]
    structure: Structure | None
    region: Tensor
    set_index: Tensor
    set_table: Tensor
    classes: str
    automaton: Automaton | None = field(default=None, repr=False)
    spoken: tuple[str, ...] = ()

    @property
    def sets(self) -> TokenSets | None:
        """The sets of tokens as a Condition; None if any token may stand anywhere."""
        if not bool(self.set_index.any()):
            return None
        log_allowed = torch.where(self.set_table, 0.0, float("-inf")).double()
        return TokenSets(log_allowed, self.set_index)

    def allowed(self, rows: Tensor) -> Tensor:
        """(R, L, V) bool, which tokens may stand where in rows (R,)."""
        return self.set_table[self.set_index[rows]]

    def check(self, tokens: Tensor, rows: Tensor | None = None) -> Tensor:
        """Which finished rows (R, L) satisfy everything, by plain Python: (R,) bool. rows (R,) says whose layout each has."""
        numbers = range(len(tokens)) if rows is None else rows.tolist()
        return torch.tensor([not self.violations(x, row) for x, row in zip(tokens, numbers, strict=True)], dtype=torch.bool)

    def violations(self, tokens: Tensor, row: int) -> list[str]:
        """The texts of the constraints, joined by & at the top, that a finished row (L,) breaks; settled tokens too."""
        layout = self.layouts[row]
        ids = tokens[: layout.length].tolist()
        if len(ids) != layout.length or not all(0 <= i < len(self.alphabet) for i in ids):
            return [f"expected {layout.length} tokens without holes"]
        names = [self.alphabet.tokens[i] for i in ids]
        regions = {name: layout.places((name,)) for name in layout.regions}
        parts = top_level(self.expression)
        broken = [str(part) for part in parts if not holds(part, names, regions, self.alphabet)]
        settled = [] if layout.tokens is None else layout.tokens.tolist()
        moved = [i for i, (a, b) in enumerate(zip(settled, ids, strict=False)) if 0 <= a < len(self.alphabet) and a != b]
        return broken + [str(Pin(i, self.alphabet.tokens[settled[i]])) for i in moved]


def top_level(expression: Constraint | None) -> list[Constraint]:
    """The constraints that are joined by & at the top."""
    if expression is None:
        return []
    return list(expression.parts) if isinstance(expression, And) else [expression]


def conjuncts(c: Constraint | None, path: Path = ()) -> Asked:
    """Constraints that all must hold, each with the regions it is asked within."""
    match c:
        case None:
            return []
        case And():
            return [asked for part in c.parts for asked in conjuncts(part, path)]
        case Within():
            return conjuncts(c.part, (*path, c.region))
        case Not(part=Not(part=inner)):
            return conjuncts(inner, path)
    return [(c, path)]


def compile(
    expression: Constraint | None,
    alphabet: Alphabet,
    layouts: Sequence[Layout],
    budget: Budget | None = None,
    syntax: Syntax | None = None,
) -> Compiled:
    """What must hold of each row, compiled; `syntax` is the language of a domain, which all rows must speak.

    Raises ConditionError for what is unknown, over budget, or outside what can be combined exactly."""
    if not layouts:
        raise ConditionError("constraints: expected at least one row, got none")
    if expression is not None:
        check_size(expression)
    budget = budget or Budget()
    asked = conjuncts(expression)
    for c, path in asked:
        for layout in layouts:
            layout.mask((*path, *regions_of(c)))  # refuses unknown regions
    placed = [a for a in asked if isinstance(a[0], (Pin, Allow, Ban, Length))]
    regular = [a for a in asked if a[0].kind == REGULAR and a not in placed]
    free = [a for a in asked if a[0].kind == CONTEXT_FREE]
    related = [a for a in asked if a[0].kind == RELATION]
    for c, _ in free + related:
        if not isinstance(c, (Grammar, JsonSchema, Tie, Distinct)):
            raise ConditionError(
                f"{c}: a {c.kind} constraint under ~ or | is outside what can be held exactly; join it with & alone, "
                "or ask for designs of each alternative"
            )
    schemas = [(_language(c), path) for c, path in free if isinstance(c, JsonSchema)]
    free = [a for a in free if isinstance(a[0], Grammar)] + [a for a in schemas if isinstance(a[0], Grammar)]
    regular += [a for a in schemas if isinstance(a[0], Regex)]
    linked = [ties.links(related, layout, alphabet) for layout in layouts]
    sets = Sets(alphabet, layouts)
    sets.place(placed)
    for row, link in enumerate(linked):
        sets.relate(row, link)
    if related:
        regular = ties.renamed(regular, related, layouts[0])
    with at_most(budget.seconds):
        structure, region, automaton, classes = assemble(regular, free, related, linked, alphabet, layouts, budget, syntax)
    if automaton is not None and automaton.is_empty:
        sets.nothing()
    index, table = sets.compact()
    structure = None if structure is None else told(structure, index, table, region, [layout.length for layout in layouts])
    if placed or any(layout.tokens is not None for layout in layouts):
        classes = [f"token sets ({len(table)})", *classes]
    text = " ∧ ".join(classes) or "nothing asked"
    spoken = () if syntax is None else (syntax.name,)
    return Compiled(expression, alphabet, tuple(layouts), structure, region, index, table, text, automaton, spoken)


def told(structure: Structure, index: Tensor, table: Tensor, region: Tensor, lengths: Sequence[int]) -> Structure:
    """The structure, where it can be quicker for knowing what its rows may hold: sets index (n, L) of (K, V), region (n, L)."""
    match structure:
        case Chain():
            return structure.among(index, table, region, lengths)
        case Tied(inner=Chain() as inner):
            folded = structure.fold_sets(index[:, : lengths[0]], table, region[:, : lengths[0]])
            return replace(structure, inner=inner.among(*folded, lengths))
        case Layouts():
            parts = []
            for k, part in enumerate(structure.structures):
                rows = (structure.layout == k).nonzero().squeeze(-1)
                parts.append(told(part, index[rows], table, region[rows], [lengths[row] for row in rows.tolist()]))
            return Layouts(tuple(parts), structure.layout)
    return structure


def _language(schema: JsonSchema) -> Constraint:
    """The texts that are written for a schema: a regular expression, or a grammar where it is recursive.

    All of them satisfy the schema, and other spellings of the same values are left out: it may be asked, but not negated.
    """
    from constraints.grammars.json_schema import ROOT, compile_schema

    language = compile_schema(schema.schema)
    return Grammar(language.grammar, ROOT) if language.grammar is not None else Regex(language.pattern or "")
