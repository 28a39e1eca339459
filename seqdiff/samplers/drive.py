"""Driving a sampling loop: the only place where a denoiser is called.

A loop yields queries and is sent p(x0 | x_t) under its condition. The plain `sample` drives one loop; `generate`
draws many rows of mixed lengths, in batches of equal length.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from seqdiff.condition import Condition, Unconditional
from seqdiff.draws import probabilities
from seqdiff.embedding import EmbeddedProcess
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.samplers.absorbing import Loop
from seqdiff.samplers.clouds import choose, clouds
from seqdiff.samplers.embedded import weighed
from seqdiff.samplers.particles import Weighted, chain_particles, reveal_particles
from seqdiff.samplers.registry import get_sampler
from seqdiff.samplers.state import Query, State


@dataclass(frozen=True)
class DrawOptions:
    """How p(x0 | x_t) is sharpened before a draw; 1 and 1 leave the model's law."""

    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self):
        if not self.temperature > 0:
            raise ConfigError(f"temperature: expected more than 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p: expected more than 0, at most 1, got {self.top_p}")


@torch.no_grad()
def answer(denoiser, query: Query, condition: Condition, options: DrawOptions) -> Tensor:
    """p(x0 | x_t) under the condition, (R, P, V) float64: one pass of the denoiser."""
    again = {"previous": query.x0_hat} if getattr(denoiser, "takes_previous", False) else {}
    logits = denoiser(query.x_t, query.t, query.label, None, query.positions, **again)
    return probabilities(condition.tilt(logits, query.rows, query.positions), options.temperature, options.top_p)


def drive(loop: Loop, reply: Callable[[Query], Tensor]) -> State:
    """Run a loop to its end, answering each query."""
    try:
        query = next(loop)
        while True:
            query = loop.send(reply(query))
    except StopIteration as end:
        return end.value


def sample(
    denoiser,
    process: TokenProcess | EmbeddedProcess,
    state: State,
    sampler: str = "event-driven",
    steps: int = 128,
    condition: Condition | None = None,
    options: DrawOptions | None = None,
    watch: Callable[[State], None] | None = None,
) -> State:
    """Fill every hole of `state`; rows have one length. `watch` sees the state before each pass."""
    condition, options = condition or Unconditional(), options or DrawOptions()

    def reply(query: Query) -> Tensor:
        if watch is not None:
            watch(query.state)
        return answer(denoiser, query, condition, options)

    return drive(get_sampler(sampler, process).loop(state, process, condition, steps=steps), reply)


@dataclass(frozen=True)
class Batch:
    """Rows of one length that go through the denoiser together: their places in the request and their noise."""

    index: Tensor
    tokens: Tensor


def batches_by_length(canvases: Sequence[Tensor], batch_size: int) -> list[Batch]:
    """Rows of equal length together, at most batch_size: no padding, and the result does not depend on the batch."""
    by_length: dict[int, list[int]] = {}
    for i, canvas in enumerate(canvases):
        by_length.setdefault(len(canvas), []).append(i)
    return [
        Batch(torch.tensor(chunk), torch.stack([canvases[i] for i in chunk]))
        for _, rows in sorted(by_length.items())
        for chunk in (rows[j : j + batch_size] for j in range(0, len(rows), batch_size))
    ]


def generate(
    denoiser,
    process: TokenProcess | EmbeddedProcess,
    canvases: Sequence[Tensor],
    seed: int,
    condition_of: Callable[[Tensor], Condition] = lambda index: Unconditional(),
    label: int | None = None,
    batch_size: int = 64,
    first_sample: int = 0,
    device: str = "cpu",
    **how,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Fill the holes of n canvases of mixed lengths; yields (index (B,), tokens (B, L)) batch by batch.

    Args:
        canvases: n tensors (L_i,) of ids with holes (V) where something is to be drawn.
        condition_of: index (B,) of a batch's rows → its Condition.
        first_sample: number of the first row in the noise; row i is sample first_sample + i whatever the batches.
        how: `sampler`, `steps`, `options`, `watch` of `sample`.
    """
    run = partial(sample, denoiser, process, **how)
    for batch in batches_by_length(canvases, batch_size):
        tokens = batch.tokens.to(device)
        classes = None if label is None else torch.full((len(tokens),), label, dtype=torch.int64, device=device)
        state = State.from_canvas(process, tokens, seed, batch.index + first_sample, classes)
        yield batch.index, run(state, condition=condition_of(batch.index)).tokens.cpu()


@dataclass(frozen=True)
class Filled:
    """Designs of one batch of clouds.

    Attributes:
        index: (B,) their places in the request.
        tokens: (B, L), one particle of each cloud by final weight; meaningless where the cloud is dead.
        alive: (B,) bool; False where no particle met what was asked: there is no design then.
        log_evidence: (B,) float64, log Ẑ.
        sample_size: (B,) float64, effective number of particles at the end.
    """

    index: Tensor
    tokens: Tensor
    alive: Tensor
    log_evidence: Tensor
    sample_size: Tensor


def generate_clouds(
    denoiser,
    process: TokenProcess | EmbeddedProcess,
    canvases: Sequence[Tensor],
    seed: int,
    condition_of: Callable[[Tensor], Weighted],
    particles: int,
    label: int | None = None,
    batch_size: int = 64,
    steps: int = 128,
    options: DrawOptions | None = None,
    watch: Callable[[State], None] | None = None,
    device: str = "cpu",
    threshold: float = 0.5,
    sampler: str = "embedded-ddpm",
) -> Iterator[Filled]:
    """`generate` with N particles a design (`samplers.particles`).

    Under the absorbing process positions are revealed in random order, one a step where `steps` allows; any other process on
    tokens runs its T-step chain. On vectors the particles are N runs of the sampler, weighed when they are done.

    Args:
        condition_of: index (B·N,) of the rows of a batch, the particles of one design after another → their Condition.
        batch_size: rows that go through the network together, particles included.
        threshold: share of N; a cloud whose effective sample size falls below it is resampled, with 0 never; not on vectors.
        sampler: of a process on vectors, a name of `samplers.registry.SAMPLERS`.
    """
    options = options or DrawOptions()
    for batch in batches_by_length(canvases, max(1, batch_size // particles)):
        tokens = batch.tokens.to(device)
        classes = None if label is None else torch.full((len(tokens),), label, dtype=torch.int64, device=device)
        state = clouds(State.from_canvas(process, tokens, seed, batch.index, classes), particles, process)
        condition = condition_of(batch.index.repeat_interleave(particles))

        def reply(query: Query, condition: Weighted = condition) -> Tensor:
            if watch is not None:
                watch(query.state)
            return answer(denoiser, query, condition, options)

        if isinstance(process, EmbeddedProcess):
            loop = weighed(get_sampler(sampler, process).loop(state, process, condition, steps=steps), condition)
        elif isinstance(process, Absorbing):
            masks = int((tokens == process.mask).sum(-1).max())
            loop = reveal_particles(state, process, condition, None if steps >= masks else steps, particles, threshold)
        else:
            loop = chain_particles(state, process, condition, steps, particles, threshold)
        end = drive(loop, reply)
        outcome = choose(end, particles)
        alive = outcome.row >= 0
        chosen = end.tokens[outcome.row.clamp(min=0)].cpu()
        yield Filled(batch.index, chosen, alive.cpu(), outcome.log_evidence.cpu(), outcome.sample_size.cpu())
