"""Rows under different Conditions in one pass: templates of one request whose rows have equal length go through the network
together, and what must hold is asked of each row's own.

Shapes: B rows, R queried rows, P queried positions, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from constraints.condition import Constrained
from seqdiff.condition import Draw
from seqdiff.samplers.state import Query


@dataclass(frozen=True)
class ByRow:
    """A Condition over a batch of rows.

    Attributes:
        parts: Conditions, each laid out over all B rows; a row has its own of them.
        part: (B,) int64, which.
        joint: whether any Condition of the request is joint, also outside of this batch: a sampler then takes the same way
            through its noise whatever rows share a batch.
    """

    parts: tuple[Constrained, ...]
    part: Tensor
    joint: bool

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
