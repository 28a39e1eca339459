"""Relations between positions: exact sums and draws on a factor graph.

An automaton reads a row from left to right; that positions be equal, different, or fit one another is no regular language of
practical size. Here each position is a variable with p_i as its unary factor, and a relation is a 0/1 table over two or three
positions. The sum over all rows that satisfy every relation is taken by variable elimination (Dechter, "Bucket elimination",
Artificial Intelligence 113, 1999), in an order of small treewidth w: its cost is V^(w+1) numbers a variable. All-different over
more than a few positions has treewidth k − 1; where nothing else touches its positions it is summed over the sets of positions
that the tokens so far have filled, 2^k numbers a token. Whatever is too dense for either is refused by name.

Positions are places of the row, so that a graph belongs to one layout; for rows laid out differently see `tied`.

Shapes: R rows, L length, V vocabulary, k positions of a relation, w treewidth.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from constraints.relations.elimination import (
    MAX_CELLS,
    MAX_DISTINCT,
    AllDifferent,
    Elimination,
    Factor,
    SomewhereDifferent,
    named,
)
from seqdiff.draws import categorical
from seqdiff.errors import ConditionError


@dataclass(frozen=True, eq=False)
class Relation:
    """x may stand at `positions` only where table[x] is true.

    Attributes:
        positions: two or three different positions, counted from 0.
        table: (V, V) or (V, V, V) bool, one axis a position, in their order.
    """

    positions: tuple[int, ...]
    table: Tensor

    def __post_init__(self):
        k = len(self.positions)
        if k not in (2, 3) or len(set(self.positions)) < k:
            raise ConditionError(f"relation: expected two or three different positions, got {named(self.positions)}")
        if self.table.dtype != torch.bool or self.table.shape != (len(self.table),) * k:
            got = f"{str(self.table.dtype).removeprefix('torch.')} {tuple(self.table.shape)}"
            raise ConditionError(f"relation between {named(self.positions)}: expected a bool table (V,)·{k}, got {got}")


@dataclass(frozen=True)
class Distinct:
    """No token stands twice at `positions`."""

    positions: tuple[int, ...]

    def __post_init__(self):
        if len(self.positions) < 2 or len(set(self.positions)) < len(self.positions):
            raise ConditionError(f"distinct: expected two or more different positions, got {named(self.positions)}")


@dataclass(frozen=True)
class DifferentRuns:
    """Two runs of positions, of one length and apart, whose contents are not the same token by token."""

    first: tuple[int, ...]
    second: tuple[int, ...]

    def __post_init__(self):
        k = len(self.first)
        if k == 0 or len(self.second) != k or len({*self.first, *self.second}) < 2 * k:
            raise ConditionError(f"runs that differ: expected as many positions, all apart, got {self.first} and {self.second}")

    @property
    def positions(self) -> tuple[int, ...]:
        return self.first + self.second


AnyRelation = Relation | Distinct | DifferentRuns


def equal(first: int, second: int, vocabulary: int) -> Relation:
    """x_first = x_second."""
    return Relation((first, second), torch.eye(vocabulary, dtype=torch.bool))


def implies(first: int, if_in: Collection[int], second: int, then_in: Collection[int], vocabulary: int) -> Relation:
    """x_first ∈ if_in ⇒ x_second ∈ then_in."""
    a, b = _indicator(if_in, vocabulary), _indicator(then_in, vocabulary)
    return Relation((first, second), ~a.unsqueeze(1) | b)


def at_most_one(positions: Sequence[int], tokens: Collection[int], vocabulary: int) -> list[Relation]:
    """At most one of `positions` has a token of the set. Treewidth k − 1: above four positions a count is an automaton."""
    a = _indicator(tokens, vocabulary)
    return [Relation(pair, ~(a.unsqueeze(1) & a)) for pair in combinations(positions, 2)]


def _indicator(tokens: Collection[int], vocabulary: int) -> Tensor:
    inside = torch.zeros(vocabulary, dtype=torch.bool)
    inside[list(tokens)] = True
    return inside


@dataclass(frozen=True, eq=False)
class FactorGraph:
    """A Structure: rows of length L that satisfy every relation; with none, all rows. Regions do not matter to it.

    Attributes:
        components: what is connected, each with its own way of summing; independent of one another given p.
    """

    length: int
    vocabulary: int
    components: tuple[Elimination | AllDifferent | SomewhereDifferent, ...] = ()

    @classmethod
    def compile(cls, relations: Iterable[AnyRelation], length: int, vocabulary: int) -> "FactorGraph":
        """Find how to sum. Raises ConditionError, naming positions, for what is too dense, too large or outside the row."""
        import networkx as nx

        relations = list(relations)
        graph = nx.Graph()
        for relation in relations:
            _check(relation, length, vocabulary)
            nx.add_path(graph, relation.positions)
        groups = sorted(nx.connected_components(graph), key=min)
        together = [[relation for relation in relations if relation.positions[0] in members] for members in groups]
        return cls(length, vocabulary, tuple(_component(connected, vocabulary) for connected in together))

    def rows(self, index: Tensor) -> "FactorGraph":
        return self

    def log_mass(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """log Z (R,) float64."""
        return torch.cat([self._sum(part)[0] for part in self._groups(p.double())])

    def draw(self, p: Tensor, u: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (R, L) and log Z (R,): positions without a relation on their own, components backwards."""
        tokens, log_masses = [], []
        for part, noise in zip(self._groups(p.double()), self._groups(u.double()), strict=True):
            log_mass, states = self._sum(part)
            x = categorical(part, noise).clamp(max=self.vocabulary - 1)
            for component, state in zip(self.components, states, strict=True):
                component.fill(x, part, noise, state)
            tokens.append(x)
            log_masses.append(log_mass)
        return torch.cat(tokens), torch.cat(log_masses)

    def _groups(self, rows: Tensor) -> tuple[Tensor, ...]:
        cells = max(1, sum(component.cells for component in self.components))
        return rows.split(max(1, MAX_CELLS // cells))

    def _sum(self, p: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
        related = {position for component in self.components for position in component.positions}
        free = [position for position in range(self.length) if position not in related]
        log_mass, states = p[:, free].sum(-1).log().sum(-1), []
        for component in self.components:
            part, state = component.sum_out(p)
            log_mass = log_mass + part
            states.append(state)
        return log_mass, states


def _check(relation: AnyRelation, length: int, vocabulary: int) -> None:
    if not all(0 <= position < length for position in relation.positions):
        raise ConditionError(f"relation between {named(relation.positions)}: the row has {length} positions, 0 to {length - 1}")
    if isinstance(relation, Relation) and len(relation.table) != vocabulary:
        where = named(relation.positions)
        raise ConditionError(f"relation between {where}: expected {vocabulary} tokens an axis, got {len(relation.table)}")


def _component(relations: Sequence[AnyRelation], vocabulary: int) -> AllDifferent | SomewhereDifferent | Elimination:
    """The way to sum what is connected: by elimination, unless one relation alone has a better one."""
    if len(relations) == 1 and isinstance(relations[0], DifferentRuns):
        return SomewhereDifferent(relations[0].first, relations[0].second, vocabulary)
    if len(relations) == 1 and isinstance(relations[0], Distinct):
        return _all_different(relations[0], vocabulary)
    unequal = ~torch.eye(vocabulary, dtype=torch.bool)
    factors: list[Factor] = []
    for relation in relations:
        if isinstance(relation, Relation):
            factors.append(Factor(relation.positions, relation.table))
        elif isinstance(relation, Distinct):
            factors += [Factor(pair, unequal) for pair in combinations(relation.positions, 2)]
        else:
            where = named(sorted({position for other in relations for position in other.positions}))
            raise ConditionError(f"runs that differ: another relation touches the same positions ({where}); ask one of them")
    return Elimination.compile(factors, vocabulary)


def _all_different(distinct: Distinct, vocabulary: int) -> AllDifferent:
    k = len(distinct.positions)
    component = AllDifferent(distinct.positions, vocabulary)
    if k > vocabulary:
        raise ConditionError(f"distinct: {named(distinct.positions)} cannot all differ with {vocabulary} tokens")
    if k > MAX_DISTINCT or component.cells > MAX_CELLS:
        raise ConditionError(
            f"distinct: {k} positions ({named(distinct.positions)}) with {vocabulary} tokens need 2^{k} sets a token; "
            f"at most {MAX_DISTINCT} positions and {MAX_CELLS:,} numbers a row are possible; ask it of fewer positions"
        )
    return component
