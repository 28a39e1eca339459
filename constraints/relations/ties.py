"""Ties and all-different constraints of one row, as relations between its positions.

Shapes: V vocabulary, L length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from constraints.compilation.layout import Layout
from constraints.compilation.translate import token_id
from constraints.language.expression import Constraint, Distinct, Tie
from constraints.relations import factor_graph as relations
from constraints.relations import tied
from constraints.structure import Structure
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

Path = tuple[str, ...]


@dataclass(frozen=True)
class Links:
    """What relates the positions of one row.

    Attributes:
        ties: (first, second, map): the token at `second` is map[token at `first`].
        distinct: positions whose tokens all differ.
        runs: two runs of positions whose contents differ.
        possible: whether the layout leaves any row at all: tied regions must be equally long, for one.
    """

    length: int
    ties: tuple[tied.Tie, ...] = ()
    distinct: tuple[tuple[int, ...], ...] = ()
    runs: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()
    possible: bool = True

    @property
    def foldable(self) -> bool:
        """Whether there are only ties, under maps that can be read backwards."""
        maps = [tie.map for tie in self.ties if tie.map is not None]
        return not self.distinct and not self.runs and all(len(set(m)) == len(m) for m in maps)

    def graph(self, alphabet: Alphabet) -> Structure:
        """The factor graph of all of them."""
        V = len(alphabet)
        listed: list[relations.AnyRelation] = []
        for tie in self.ties:
            table = torch.eye(V, dtype=torch.bool) if tie.map is None else torch.zeros(V, V, dtype=torch.bool)
            if tie.map is not None:
                table[torch.arange(V), torch.tensor(tie.map)] = True
            if tie.first != tie.second:
                listed.append(relations.Relation((tie.first, tie.second), table))
        listed += [relations.Distinct(positions) for positions in self.distinct]
        listed += [relations.DifferentRuns(*pair) for pair in self.runs]
        return relations.FactorGraph.compile(listed, self.length, V)

    def fixed(self) -> list[tied.Tie]:
        """Ties of a position to itself: only fixed points of the map may stand there."""
        return [tie for tie in self.ties if tie.first == tie.second and tie.map is not None]


def links(asked: Sequence[tuple[Constraint, Path]], layout: Layout, alphabet: Alphabet) -> Links:
    """What the relations say about one row; each is asked within a path of regions."""
    ties: list[tied.Tie] = []
    distinct: list[tuple[int, ...]] = []
    runs: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    possible = True
    for c, path in asked:
        if isinstance(c, Tie):
            a, b = layout.places((*path, c.region_a)), layout.places((*path, c.region_b))
            possible &= len(a) == len(b)
            mapping = _map(c, alphabet)
            pairs = zip(a, reversed(b) if c.reverse else b, strict=False)
            ties += [tied.Tie(i, j, mapping) for i, j in pairs if i != j or mapping is not None]
        elif isinstance(c, Distinct):
            possible &= _distinct(c, path, layout, len(alphabet), distinct, runs)
    if not possible:
        return Links(layout.length, possible=False)
    return Links(layout.length, tuple(ties), tuple(distinct), tuple(runs))


def _distinct(c: Distinct, path: Path, layout: Layout, V: int, distinct: list, runs: list) -> bool:
    """Adds to distinct and runs; False if two of the regions are the same, or both empty, or there are too few tokens."""
    if isinstance(c.items[0], str):
        contents = [tuple(layout.places((*path, str(region)))) for region in c.items]
    else:
        places = layout.places(path)
        contents = [(places[i],) for i in c.items if isinstance(i, int) and i < len(places)]
    if len(set(contents)) < len(contents):
        return False
    single = tuple(content[0] for content in contents if len(content) == 1)
    if len(single) > 1:
        distinct.append(single)
    longer = [content for content in contents if len(content) > 1]
    runs += [(a, b) for a, b in combinations(longer, 2) if len(a) == len(b)]
    return len(single) <= V


def _map(c: Tie, alphabet: Alphabet) -> tied.TokenMap | None:
    if c.mapping is None:
        return None
    mapping = list(range(len(alphabet)))
    for token, image in c.mapping:
        mapping[token_id(token, alphabet, str(c))] = token_id(image, alphabet, str(c))
    return tuple(mapping)


def copies(linked: Links, alphabet: Alphabet) -> list[int]:
    """Positions that repeat an earlier one."""
    folded = tied.Tied.compile(
        linked.ties, relations.FactorGraph(linked.length, len(alphabet)), linked.length, len(alphabet), 0
    )
    return [i for i, leader in enumerate(folded.leader.tolist()) if leader != i]


def renamed(parts: Sequence[tuple[Constraint, Path]], asked: Sequence[tuple[Constraint, Path]], layout: Layout):
    """Constraints of a region that is a plain copy, asked of the region that comes first: it has the same tokens."""
    first: dict[str, str] = {}
    for c, path in asked:
        if isinstance(c, Tie) and c.mapping is None and not c.reverse and not path and c.region_a != c.region_b:
            a, b = sorted((c.region_a, c.region_b), key=lambda region: layout.places((region,)))
            first[b] = a
    moved = []
    for c, path in parts:
        for _ in first:
            if len(path) == 1:
                path = (first.get(path[0], path[0]),)
        moved.append((c, path))
    return moved


def refuse(asked: Sequence[tuple[Constraint, Path]], what: str, why: str) -> ConditionError:
    named = ", ".join(str(c) for c, _ in asked)
    return ConditionError(f"{named} with {what}: {why}")
