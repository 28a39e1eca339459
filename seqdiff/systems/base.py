"""What a system is: a process, what training minimises, what bounds its likelihood, how it is sampled by default.

Training knows systems by this contract alone, so a published recipe is a file beside this one and touches nothing else.
Shapes: B rows of this process, L length.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seqdiff.likelihood import Bound
from seqdiff.noise import Stream, uniform
from seqdiff.objective import antithetic_times
from seqdiff.samplers.drive import generate
from seqdiff.times import TimeLaw, UniformTimes


@dataclass(frozen=True)
class Rows:
    """The rows of one training batch that this process works on, and their noise, a function of (seed, step, place).

    Attributes:
        x_0: (B, L) int64 clean ids, padded at the end.
        label: (B,) int64 classes; the class after the last is "any".
        lengths: (B,) int64, tokens of each row.
        place: (B,) int64, place of each row in the whole batch, which several processes may share.
        size: rows of the whole batch.
        padded: whether any row is shorter than L.
        law: of the times that are trained.
    """

    x_0: Tensor
    label: Tensor
    lengths: Tensor
    place: Tensor
    size: int
    padded: bool
    seed: int
    step: int
    law: TimeLaw = field(default_factory=UniformTimes)

    @property
    def mask_lengths(self) -> Tensor | None:
        """`lengths` where a denoiser must be told, None where no row is padded."""
        return self.lengths if self.padded else None

    @property
    def real(self) -> Tensor:
        """(B, L) bool: not padding."""
        return torch.arange(self.x_0.shape[1], device=self.x_0.device) < self.lengths.unsqueeze(1)

    def batch_times(self) -> tuple[Tensor, Tensor]:
        """Times in (0, 1] of the whole batch, stratified, and their weights, (size,) float64 each: see `TimeLaw.draw`."""
        start = uniform(self.seed, 0, self.step, 0, Stream.TIME, device=self.x_0.device)
        return self.law.draw(antithetic_times(self.size, start))

    def times(self) -> Tensor:
        """(B,) times of the rows: an objective is meant as a mean over uniform ones."""
        return self.batch_times()[0][self.place]

    def time_weights(self) -> Tensor:
        """(B,) what training multiplies the objective with, so that it is that mean whatever the law of the times."""
        return self.batch_times()[1][self.place]

    def uniform(self, columns: int | None = None, stream: Stream = Stream.CORRUPT) -> Tensor:
        """(B, columns) float64 noise of the rows; one column a position by default."""
        positions = torch.arange(columns or self.x_0.shape[1], device=self.x_0.device)
        return uniform(self.seed, self.place.unsqueeze(-1), self.step, positions, stream, device=self.x_0.device)


class System(ABC):
    """A recipe. `network` is whatever module the system was built with, or its average over training.

    Attributes:
        process: of tokens, or `EmbeddedProcess`.
        sampler: name of its own way to sample, one of `samplers.drive.SAMPLERS`.
    """

    process: Any
    sampler: str

    @abstractmethod
    def terms(self, network: Any, rows: Rows) -> dict[str, Tensor]:
        """Named terms of the objective, (B,) nats each, weights included; training minimises their sum."""

    @abstractmethod
    def bound(self, network: Any, x_0: Tensor, label: Tensor | None, draws: int = 4, seed: int = 0) -> Bound:
        """Bound on −log p(x_0) of rows of one length."""

    def denoiser(self, network: Any) -> Any:
        """The network as samplers want it: (x_t, t, label, lengths, positions) → log p(x_0 | x_t) up to a constant."""
        return network

    def process_of(self, network: Any) -> Any:
        """The process that samplers run, where it depends on what the network learnt (an embedding)."""
        return self.process

    def sample(
        self, network: Any, canvases: Sequence[Tensor], seed: int, steps: int = 128, label: int | None = None, **how
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Fill the holes of canvases by `samplers.drive.generate`; `how` goes there (`sampler`, `batch_size`, …)."""
        options: dict[str, Any] = {"sampler": self.sampler, "steps": steps} | how
        return generate(self.denoiser(network), self.process_of(network), canvases, seed, label=label, **options)

    def counted(self, counts: Tensor) -> "System":
        """This system with what it takes from the counts (V,) of the tokens in the training rows."""
        return self

    def figures(self, network: Any) -> dict[str, float]:
        """What a training log should watch besides the bound."""
        return {}
