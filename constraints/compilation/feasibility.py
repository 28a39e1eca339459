"""Whether anything can satisfy what is asked, before sampling; and if not, what contradicts what, and where.

Decided by the structure itself with every allowed token alike: Boolean reachability for an automaton. Otherwise:

    conflict    some of the constraints joined by & that cannot hold together, though without any one of them the others
                could: an irreducible conflicting set (QuickXplain: Junker, "QUICKXPLAIN: preferred explanations and
                relaxations for over-constrained problems", AAAI 2004)
    position    the first position such that the tokens allowed up to it already leave no way out
    lengths     for gaps of several possible lengths, those that work

Shapes: n rows, L length, V vocabulary.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from constraints.automata.exploration import Budget, at_most
from constraints.compilation.assemble import Syntax
from constraints.compilation.compile import Compiled, compile, top_level
from constraints.compilation.layout import Layout, Span
from constraints.language.algebra import positions_text
from constraints.language.expression import And, Constraint, Within
from constraints.structure import possible as structure_possible
from constraints.template import Template
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

SETTLED = "the pinned tokens of the template"
MOST_LENGTHS = 1_024


class Infeasible(ConditionError):
    """No sequence can satisfy everything.

    Attributes:
        conflict: the texts of constraints that cannot hold together; without any one of them the others could.
        position: the first position (from 0) by which it can be told, or None where no single position shows it.
        possible_lengths: combinations of gap lengths that would work, or None if lengths were not asked for.
    """

    def __init__(self, message: str, conflict: Sequence[str], position: int | None, possible_lengths=None):
        super().__init__(message)
        self.conflict, self.position, self.possible_lengths = tuple(conflict), position, possible_lengths


def feasible(compiled: Compiled) -> Tensor:
    """(n,) bool: which rows can be filled at all."""
    return _possible(compiled, None)


def _possible(compiled: Compiled, upto: int | None) -> Tensor:
    """(n,) bool, if the tokens allowed are minded up to position `upto` alone (all of them if None)."""
    lengths = torch.tensor([layout.length for layout in compiled.layouts])
    out = torch.zeros(len(lengths), dtype=torch.bool)
    for L in lengths.unique().tolist():  # a row must not be read beyond its end
        rows = (lengths == L).nonzero().squeeze(-1)
        index = compiled.set_index[rows, :L].clone()
        if upto is not None:
            index[:, upto:] = 0  # any token
        some = compiled.set_table.any(-1)[index].all(-1)
        if compiled.structure is not None and bool(some.any()):
            rows, index, structure = rows[some], index[some], compiled.structure
            structure = structure.rows(rows) if hasattr(structure, "rows") else structure  # type: ignore[attr-defined]
            out[rows] = structure_possible(structure, index, compiled.set_table, compiled.region[rows, :L])
        else:
            out[rows] = some
    return out


def require_feasible(
    expression: Constraint | None, alphabet: Alphabet, layouts: Sequence[Layout], budget: Budget | None = None
) -> Compiled:
    """Compile; raises Infeasible if no row at all can be filled. Rows that can are told by `feasible`."""
    compiled = compile(expression, alphabet, layouts, budget)
    if bool(feasible(compiled).any()):
        return compiled
    raise explain(expression, alphabet, layouts, budget)


def explain(
    expression: Constraint | None,
    alphabet: Alphabet,
    layouts: Sequence[Layout],
    budget: Budget | None = None,
    syntax: Syntax | None = None,
) -> Infeasible:
    """Why no row can be filled: an irreducible set of the constraints joined by &, and the position where it shows.

    A domain's syntax is named in the conflict if what is asked could hold without it.
    """
    with at_most((budget or Budget()).seconds):
        return _explained(expression, alphabet, layouts, budget, syntax)


def _explained(
    expression: Constraint | None,
    alphabet: Alphabet,
    layouts: Sequence[Layout],
    budget: Budget | None,
    syntax: Syntax | None,
) -> Infeasible:
    bare = [Layout(layout.length, _named(layout)) for layout in layouts]
    settles = any(layout.tokens is not None for layout in layouts)
    members: list[Constraint | None] = [*_split(expression), *([None] * settles)]  # None: what is settled

    def compiled(chosen: Sequence[Constraint | None]) -> Compiled:
        parts = tuple(part for part in chosen if part is not None)
        joined = And(parts) if len(parts) > 1 else parts[0] if parts else None
        return compile(joined, alphabet, layouts if None in chosen else bare, budget)

    unknown: list[ConditionError] = []

    def possible(chosen: Sequence[Constraint | None]) -> bool:
        try:
            return bool(feasible(compiled(chosen)).any())
        except (
            ConditionError
        ) as error:  # some of the constraints can be harder to compile than all: as far as is known, possible
            unknown.append(error)
            return True

    if possible(members):
        if syntax is None and not unknown:
            raise ConditionError("explain: expected constraints that cannot hold together, but they can")
        texts = [str(part) for part in top_level(expression)] + [SETTLED] * settles + ([] if syntax is None else [syntax.name])
        return Infeasible(_message(texts, None, layouts, not unknown), texts, None)
    conflict = irreducible(members, possible)
    try:
        position = _position(compiled(conflict))
    except ConditionError:
        position = None
    texts = [SETTLED if part is None else str(part) for part in conflict]
    return Infeasible(_message(texts, position, layouts, not unknown), texts, position)


def _named(layout: Layout) -> dict:
    return {name: mask for name, mask in layout.regions.items() if name != "all"}


def _split(expression: Constraint | None) -> list[Constraint]:
    """The constraints joined by &, also those joined within one region."""
    split: list[Constraint] = []
    for part in top_level(expression):
        if isinstance(part, Within) and isinstance(part.part, And):
            split += [inner for p in part.part.parts for inner in _split(Within(p, part.region))]
        else:
            split.append(part)
    return split


def irreducible(members: Sequence, possible: Callable[[list], bool]) -> list:
    """QuickXplain: members, in order, that are impossible together while without any one of them the others are possible.

    `possible` must be monotone: what is possible stays so with fewer members. About k log(n / k) calls for k of n members.
    """

    def search(background: list, changed: bool, candidates: list) -> list:
        if changed and not possible(background):
            return []
        if len(candidates) == 1:
            return candidates
        half = len(candidates) // 2
        second = search(background + candidates[:half], True, candidates[half:])
        first = search(background + second, bool(second), candidates[:half])
        return first + second

    return search([], False, list(members)) if members else []


def _position(compiled: Compiled) -> int | None:
    """The first position by which it can be told in every row, by bisection: minding more positions allows less.

    None where no position matters: a row of the wrong length, or a contradiction that no set of tokens takes part in.
    """
    longest = max(layout.length for layout in compiled.layouts)
    nothing = ~compiled.set_table.any(-1)
    if bool(nothing[compiled.set_index].all()) or not bool(_possible(compiled, 0).any()):
        return None
    low, high = 0, longest  # possible up to low positions, impossible up to high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if bool(_possible(compiled, middle).any()) else (low, middle)
    return high - 1


def _message(texts: list[str], position: int | None, layouts: Sequence[Layout], least: bool) -> str:
    """least: whether without any one of the texts the others are known to be possible."""
    lengths = sorted({layout.length for layout in layouts})
    size = f"{lengths[0]}" if len(lengths) == 1 else f"{lengths[0]} to {lengths[-1]}"
    listed = "\n".join(f"  • {text}" for text in texts)
    where = "" if position is None else f"\nIt shows at position {position} (counting from 0): nothing fits there any more."
    if len(texts) == 1:
        return (
            f"no sequence of {size} tokens can meet this, whatever else is asked:\n{listed}{where}\nLoosen it or leave it out."
        )
    if not least:
        return (
            f"no sequence of {size} tokens can satisfy these together:\n{listed}{where}\n"
            "Fewer of them may be to blame: some of them alone take too long to look at."
        )
    return (
        f"no sequence of {size} tokens can satisfy these together:\n{listed}{where}\n"
        f"Leave out or loosen any one of the {len(texts)}: the others can hold together."
    )


@dataclass(frozen=True)
class Lengths:
    """Gap lengths of a template.

    Attributes:
        possible: the combinations, one length a gap, for which there is a sequence.
        tried: how many combinations were looked at, of `total`; not all are where there are too many.
    """

    possible: tuple[tuple[int, ...], ...]
    tried: int
    total: int

    @property
    def complete(self) -> bool:
        return self.tried == self.total

    def __str__(self) -> str:
        """The lengths of each gap that occur in some combination: gap1: 2..4, 7; gap2: 1."""
        columns = [sorted(set(column)) for column in zip(*self.possible, strict=True)]
        listed = "; ".join(f"gap{g}: {', '.join(positions_text(tuple(column)))}" for g, column in enumerate(columns, 1))
        return listed if self.complete else f"{listed} ({self.tried:,} of {self.total:,} combinations were tried)"


def feasible_lengths(
    template: Template,
    expression: Constraint | None,
    alphabet: Alphabet,
    regions: Callable[[tuple[int, ...]], Mapping[str, Span]] | None = None,
    most: int = MOST_LENGTHS,
    budget: Budget | None = None,
) -> Lengths:
    """Which gap lengths can be filled. Raises Infeasible, with the conflict, if none that was tried can.

    regions(lengths) names further regions of a layout. Beyond `most` combinations, as many are tried, spread evenly over
    all of them in order.
    """
    ranges = [range(gap.low, gap.high + 1) for gap in template.gaps]
    total = math.prod(len(r) for r in ranges)
    chosen = range(total) if total <= most else sorted({k * (total - 1) // (most - 1) for k in range(most)})
    tried = [_combination(ranges, k) for k in chosen]
    tried = [lengths for lengths in tried if len(template.canvas(lengths, len(alphabet)).tokens)]
    layouts = [
        Layout.of_canvas(template.canvas(lengths, len(alphabet)), regions(lengths) if regions else None) for lengths in tried
    ]
    compiled = compile(expression, alphabet, layouts, budget)
    possible = tuple(itertools.compress(tried, feasible(compiled).tolist()))
    if not possible:
        why = explain(expression, alphabet, layouts, budget)
        note = "" if len(tried) == total else f" ({len(tried):,} of {total:,} combinations were tried)"
        raise Infeasible(f"{why}\nNo choice of gap lengths helps{note}.", why.conflict, why.position, ())
    return Lengths(possible, len(tried), total)


def _combination(ranges: Sequence[range], number: int) -> tuple[int, ...]:
    """The number-th combination, the last gap changing fastest."""
    lengths = []
    for r in reversed(ranges):
        number, place = divmod(number, len(r))
        lengths.append(r[place])
    return tuple(reversed(lengths))
