"""Rows under different Conditions in one pass: templates of one request whose rows have equal length go through the network
together, and what must hold is asked of each row's own. Templates often differ in their pins alone, and come to one automaton:
its rows are then drawn in one sweep.

Shapes: B rows, R queried rows, P queried positions, V vocabulary, L length.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from constraints.automata.chain import Chain
from constraints.condition import Constrained
from constraints.structure import Structure
from constraints.token_sets import TokenSets
from seqdiff.condition import Draw
from seqdiff.samplers.state import Query


@dataclass(frozen=True)
class ByRow:
    """A Condition over a batch of rows.

    Attributes:
        parts: Conditions, each laid out over all B rows; a row has its own of them. Those that are alike but for the regions
            and sets of their rows are made one.
        part: (B,) int64, which.
        joint: whether any Condition of the request is joint, also outside of this batch: a sampler then takes the same way
            through its noise whatever rows share a batch.
    """

    parts: tuple[Constrained, ...]
    part: Tensor
    joint: bool

    def __post_init__(self):
        groups: list[list[int]] = []
        for k, condition in enumerate(self.parts):
            group = next((group for group in groups if _alike(self.parts[group[0]], condition)), None)
            if group is None:
                groups.append([k])
            else:
                group.append(k)
        number = torch.tensor([next(g for g, group in enumerate(groups) if k in group) for k in range(len(self.parts))])
        merged = tuple(_merged([self.parts[k] for k in group], group, self.part) for group in groups)
        object.__setattr__(self, "parts", merged)
        object.__setattr__(self, "part", number[self.part])

    def tilt(self, logits: Tensor, rows: Tensor | None, positions: Tensor | None) -> Tensor:
        rows = torch.arange(len(self.part)) if rows is None else rows

        def tilted(condition: Constrained, at: Tensor) -> tuple[Tensor]:
            return (condition.tilt(logits[at], rows[at], None if positions is None else positions[at]),)

        return self._of_each(rows, tilted)[0]

    def draw(self, query: Query, p_x0: Tensor, commit: Tensor, u: Tensor) -> Draw:
        return Draw(*self._asked(query, lambda c, q, at: c.draw(q, p_x0[at], commit[at], u[at])))

    def marginals(self, query: Query, p_x0: Tensor) -> Tensor:
        return self._asked(query, lambda c, q, at: (c.marginals(q, p_x0[at]),))[0]

    def factors(self, query: Query, p_x0: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        M, g, base = self._asked(query, lambda c, q, at: c.factors(q, p_x0[at]))
        return M, g, base

    def log_mass(self, query: Query, M: Tensor) -> Tensor:
        return self._asked(query, lambda c, q, at: (c.log_mass(q, M[at]),))[0]

    def sample(self, query: Query, M: Tensor, u: Tensor) -> Tensor:
        return self._asked(query, lambda c, q, at: (c.sample(q, M[at], u[at]),))[0]

    def final(self, x_0: Tensor) -> Tensor:
        return self._of_each(torch.arange(len(x_0)), lambda c, at: (c.final(x_0[at]),))[0]

    def _asked(self, query: Query, ask: Callable[[Constrained, Query, Tensor], tuple]) -> tuple:
        """The answers to a query, each row's from its own Condition."""
        rows = torch.arange(len(self.part)) if query.rows is None else query.rows

        def part_of(field: Tensor | None, at: Tensor) -> Tensor | None:
            return None if field is None else field[at]

        def answered(condition: Constrained, at: Tensor) -> tuple:
            of_rows = {name: part_of(getattr(query, name), at) for name in ("positions", "open", "vectors")}
            return ask(condition, replace(query, rows=rows[at], t=query.t[at], **of_rows), at)

        return self._of_each(rows, answered)

    def _of_each(self, rows: Tensor, ask: Callable[[Constrained, Tensor], tuple]) -> tuple:
        """Columns of answers in the order of rows (R,); `at` are the places in it of one Condition's rows."""
        mine = self.part[rows]
        places = [(mine == k).nonzero().squeeze(-1) for k in range(len(self.parts))]
        found = [(at, ask(condition, at)) for condition, at in zip(self.parts, places, strict=True) if len(at)]
        back = torch.cat([at for at, _ in found]).argsort()
        columns = zip(*(answer for _, answer in found), strict=True)
        return tuple(None if column[0] is None else torch.cat(column)[back] for column in columns)


def _alike(a: Constrained, b: Constrained) -> bool:
    """Whether two Conditions differ in the regions and sets of their rows alone."""
    same = (a.guide is b.guide, a.weighted == b.weighted, a.vocabulary == b.vocabulary, _same(a.structure, b.structure))
    return all(same) and (a.region is None) == (b.region is None)


def _same(a: Structure | None, b: Structure | None) -> bool:
    if a is b:
        return True
    if not (type(a) is Chain and type(b) is Chain and a.dtype == b.dtype):
        return False
    mine, other = a.automaton, b.automaton
    fields = ("classes", "delta", "accepting")
    return mine.start == other.start and all(np.array_equal(getattr(mine, f), getattr(other, f)) for f in fields)


def _merged(parts: Sequence[Constrained], numbers: Sequence[int], part: Tensor) -> Constrained:
    """Conditions that are alike as one, each row with the region and the sets of its own; numbers: theirs in part."""
    first = parts[0]
    if len(parts) == 1:
        return first
    region, sets = first.region, None
    if first.region is not None:
        region = _of_own([condition.region for condition in parts], numbers, part)
    if any(condition.sets is not None for condition in parts):
        L = next(x.shape[1] for c in parts for x in (c.region, c.sets and c.sets.index) if x is not None)
        free, tables, index, before = torch.zeros(1, first.vocabulary, dtype=torch.float64), [], [], 0
        for condition in parts:
            own = condition.sets or TokenSets(free)
            tables.append(own.log_allowed)
            index.append(before + (torch.zeros(len(part), L, dtype=torch.int64) if own.index is None else own.index))
            before += len(own.log_allowed)
        sets = TokenSets(torch.cat(tables), _of_own(index, numbers, part))
    return replace(first, region=region, sets=sets)


def _of_own(fields: Sequence[Tensor | None], numbers: Sequence[int], part: Tensor) -> Tensor:
    """(B, L), each row from the field of its own part; rows of other parts from the first."""
    out = fields[0]
    assert out is not None
    for field, number in zip(fields[1:], numbers[1:], strict=True):
        out = torch.where((part == number).unsqueeze(-1), field, out)  # type: ignore[arg-type]
    return out
