"""The protocol between samplers and whatever restricts or tilts what they draw; built by `constraints`.

Shapes: B rows of the state, R queried rows, P queried positions, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import torch
from torch import Tensor

from seqdiff.draws import categorical

if TYPE_CHECKING:
    from seqdiff.samplers.state import Query


class Draw(NamedTuple):
    """What a condition drew at the queried positions.

    Attributes:
        tokens: (R, P) int64; only those at committed positions matter.
        log_weight: (R,) float64, log p(x_R) − log q(x_R): how much likelier the committed tokens are under the product of
            p(x0 | x_t) than under the law they were drawn from. 0 where nothing restricts, or where nobody asked.
        log_potential: (R,) float64, log ψ(x_t), an estimate of the probability that what is wished will hold; after the
            draw it stands at `log_potential_after`, by the same p. None where nobody asked.
    """

    tokens: Tensor
    log_weight: Tensor
    log_potential: Tensor | None = None
    log_potential_after: Tensor | None = None


class Condition(Protocol):
    """What must hold and what is wished. A sampler calls `tilt` on logits and `draw` on probabilities, no more.

    Attributes:
        joint: whether positions depend on each other. A sampler then asks for all positions that are still open, draws
            them together and keeps those it wants (`places`), so that what is left can always be completed.
    """

    @property
    def joint(self) -> bool: ...

    def tilt(self, logits: Tensor, rows: Tensor | None, positions: Tensor | None) -> Tensor:
        """Logits (R, P, V) of p(x0 | x_t) restricted to what a position may hold."""
        ...

    def draw(self, query: Query, p_x0: Tensor, commit: Tensor, u: Tensor) -> Draw:
        """Draw the positions of a query from p_x0 (R, P, V).

        Args:
            commit: (R, P) bool, the positions that the sampler is going to keep. If it chooses by what was drawn, all.
            u: (R, P) uniform noise.
        """
        ...

    def marginals(self, query: Query, p_x0: Tensor) -> Tensor:
        """p(x0^i | x_t, what must hold), (R, P, V), from p_x0 (R, P, V): asked of a joint condition alone."""
        ...


@dataclass(frozen=True)
class Unconditional:
    """The identity: nothing is restricted, positions are drawn independently, the weight is 1."""

    joint = False

    def tilt(self, logits, rows, positions):
        return logits

    def draw(self, query, p_x0, commit, u):
        return Draw(categorical(p_x0, u), torch.zeros(len(p_x0), dtype=torch.float64, device=p_x0.device))

    def marginals(self, query, p_x0):
        return p_x0
