"""The explicit state of a sampling loop, and what a loop asks of whoever drives it.

Shapes: B rows, L length, R queried rows, P queried positions, V vocabulary.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from seqdiff.noise import Stream, normal, uniform


class Prior(Protocol):
    """What a canvas needs of a process: V, whose id marks a hole, and x_1 (B, L) from uniform noise."""

    @property
    def vocabulary(self) -> int: ...

    def prior(self, u: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class State:
    """B sequences on their way from noise to data. Every field is per row, so rows may be split, joined and reordered.

    Attributes:
        tokens: (B, L) int64, x_t.
        step: (B,) int64, how many steps (or events) of its loop a row has done.
        seed, sample, slot: (B,) int64, the row's place in the noise (`seqdiff.noise`).
        log_weight: (B,) float64, log of the accumulated importance weight; 0 unless a condition is corrected for.
        label: (B,) int64 class for the denoiser, or None for "any".
        free: (B, L) bool, positions that a sampler may change; the others are pins and keep their clean tokens. None:
            all may change. The absorbing samplers that only reveal never look at it: what is masked is what is left.
        vectors: (B, L, D), x_t of a process on vectors; `tokens` then holds the pins, and in the end the result.
        x0_hat: (B, L, D), the x̂0 that a loop on vectors was sent last: multistep solvers and self-conditioning read it.
        confidence: (B, L) float64, the probability with which each token was drawn, for samplers that look back at it.
        log_potential: (B,) float64, log ψ, what a particle's weight says of its future (`samplers.particles`).
        log_evidence: (B,) float64, log Ẑ of a row's cloud up to its last resampling.
    """

    tokens: Tensor
    step: Tensor
    seed: Tensor
    sample: Tensor
    slot: Tensor
    log_weight: Tensor
    label: Tensor | None = None
    free: Tensor | None = None
    vectors: Tensor | None = None
    x0_hat: Tensor | None = None
    confidence: Tensor | None = None
    log_potential: Tensor | None = None
    log_evidence: Tensor | None = None

    @classmethod
    def start(
        cls, tokens: Tensor, seed: int, sample: Tensor, label: Tensor | None = None, free: Tensor | None = None
    ) -> "State":
        """Rows at the beginning: tokens (B, L) as drawn from the prior, with pins in place."""
        zeros = torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device)
        return cls(tokens, zeros, zeros + seed, sample.to(tokens.device), zeros, zeros.double(), label, free)

    @classmethod
    def from_canvas(cls, process: Prior, canvas: Tensor, seed: int, sample: Tensor, label: Tensor | None = None) -> "State":
        """Rows at the beginning for a canvas (B, L): the process's prior where it has holes (id V), pins elsewhere."""
        free = canvas == process.vocabulary
        state = cls.start(canvas, seed, sample, label, free)
        u = state.noise(0, torch.arange(canvas.shape[1], device=canvas.device), Stream.PRIOR)
        return replace(state, tokens=torch.where(free, process.prior(u), canvas))

    @property
    def changeable(self) -> Tensor:
        """(B, L) bool: `free`, or all positions where none is pinned."""
        return torch.ones_like(self.tokens, dtype=torch.bool) if self.free is None else self.free

    def put(self, tokens: Tensor, step: Tensor, log_weight: Tensor | None = None) -> "State":
        """The next state: new tokens and steps, weights added."""
        weight = self.log_weight if log_weight is None else self.log_weight + log_weight
        return replace(self, tokens=tokens, step=step, log_weight=weight)

    def noise(self, step, position: Tensor, stream: Stream) -> Tensor:
        """Uniform noise (B, P) of the rows at `position` (P,) or (B, P) and `step` (an integer, (B, 1) or (B, P))."""
        seed, sample, slot = (field.unsqueeze(-1) for field in (self.seed, self.sample, self.slot))
        return uniform(seed, sample, step, position, stream, slot, device=self.tokens.device)

    def normal(self, step, position: Tensor, width: int, stream: Stream) -> Tensor:
        """Standard normal noise (B, P, D) for vectors of `width` D; arguments as in `noise`."""
        seed, sample, slot = (field.reshape(-1, 1, 1) for field in (self.seed, self.sample, self.slot))
        step = step.unsqueeze(-1) if isinstance(step, Tensor) and step.ndim else step
        word = position.unsqueeze(-1) * width + torch.arange(width, device=position.device)
        return normal(seed, sample, step, word, stream, slot, device=self.tokens.device)

    def rows(self, index: Tensor) -> "State":
        """The rows of `index`, in its order."""
        return State(*(value if value is None else value[index] for value in vars(self).values()))  # type: ignore[arg-type]

    @staticmethod
    def cat(states: list["State"]) -> "State":
        """States of one length, joined."""
        columns = zip(*(vars(state).values() for state in states), strict=True)
        return State(*(None if column[0] is None else torch.cat(column) for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Query:
    """A loop asks for p(x0 | x_t); the answer is (R, P, V) float64 probabilities under the condition.

    Attributes:
        state: where the loop stands; whoever drives it may watch.
        rows: (R,) int64 rows of the state that are asked for, None for all.
        t: (R,) float64 time of each of them.
        positions: (R, P) int64 positions asked for, None for all L.
        open: (R, P) bool, which of them are really asked for; the others only fill up the rows. None: all.
        law: False from a loop on vectors that wants x̂0 = E[x_0 | x_t] (R, L, D) instead.
        vectors: (R, L, D), where a solver asks between two states; None: at the state.
    """

    state: State
    rows: Tensor | None
    t: Tensor
    positions: Tensor | None
    open: Tensor | None = None
    law: bool = True
    vectors: Tensor | None = None

    @property
    def x_t(self) -> Tensor:
        if self.vectors is not None:
            return self.vectors
        x_t = self.state.tokens if self.state.vectors is None else self.state.vectors
        return x_t if self.rows is None else x_t[self.rows]

    @property
    def tokens(self) -> Tensor:
        """(R, L) the rows' tokens, those of a loop on vectors too: pins and holes."""
        return self.state.tokens if self.rows is None else self.state.tokens[self.rows]

    @property
    def label(self) -> Tensor | None:
        label = self.state.label
        return label if label is None or self.rows is None else label[self.rows]

    @property
    def x0_hat(self) -> Tensor | None:
        """The estimate before this one, for a denoiser that conditions on it (Chen et al., "Analog bits", 2022)."""
        x0_hat = self.state.x0_hat
        return x0_hat if x0_hat is None or self.rows is None else x0_hat[self.rows]
