"""The protocol between samplers and whatever restricts or tilts what they draw; built by `constraints`.

Shapes: B rows of the state, R queried rows, P queried positions, V vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from seqdiff.draws import categorical


class Condition(Protocol):
    """What must hold and what is wished. A sampler calls `tilt` on logits and `draw` on probabilities, no more."""

    def tilt(self, logits: Tensor, rows: Tensor | None, positions: Tensor | None) -> Tensor:
        """Logits (R, P, V) of p(x0 | x_t) restricted to what a position may hold."""
        ...

    def draw(self, x_t: Tensor, p_x0: Tensor, positions: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (R, P) for the positions and the log-weight (R,) of drawing them so; u (R, P) is uniform noise."""
        ...


@dataclass(frozen=True)
class Unconditional:
    """The identity: nothing is restricted, positions are drawn independently, the weight is 1."""

    def tilt(self, logits, rows, positions):
        return logits

    def draw(self, x_t, p_x0, positions, u):
        return categorical(p_x0, u), torch.zeros(len(x_t), dtype=torch.float64, device=x_t.device)
