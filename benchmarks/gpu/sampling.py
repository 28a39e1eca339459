"""Sampling times on the device, and samples to be scored elsewhere.

Three ways over the same rows, timed alternately:

    event    seqdiff's event-driven sampler: T steps, only those visited that reveal something
    plain    the textbook loop: T passes over all rows, logits at all positions, float64 Gumbel noise over all of them
    replay   the denoiser calls of `event`, recorded, with nothing between them: the floor

plain / event is what event-driven sampling gains, event / replay what its own bookkeeping costs.
"""

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.budget import Budget
from seqdiff.checkpoint import Checkpoint
from seqdiff.condition import Unconditional
from seqdiff.draws import categorical
from seqdiff.noise import Stream, uniform
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.absorbing import event_driven
from seqdiff.samplers.drive import DrawOptions, answer, drive, generate
from seqdiff.samplers.state import Query, State

BATCHES = (64, 256, 1024)
STEPS = 128
REPEATS = 5
SAMPLES = 1000


def with_precision(denoiser, device: str) -> Callable[..., Tensor]:
    """The denoiser, in bfloat16 on a GPU and in float32 on a CPU."""
    bf16 = device.startswith("cuda")

    def network(*arguments):
        with torch.autocast("cuda", torch.bfloat16) if bf16 else nullcontext():
            return denoiser(*arguments)

    return network


@torch.no_grad()
def plain(denoiser, process: Absorbing, x_t: Tensor, label: Tensor | None, steps: int, generator) -> Tensor:
    """The T-step reverse process as it is usually written: (B, L) tokens from (B, L) masks.

    In every step x̂0 = argmax(log p + Gumbel) at every position, kept where a masked token is revealed.
    """
    rate = process.schedule.grid(steps).tolist()
    how = {"dtype": torch.float64, "device": x_t.device, "generator": generator}
    for k in range(steps):
        t = torch.full((len(x_t),), 1 - k / steps, dtype=torch.float64, device=x_t.device)
        logits = denoiser(x_t, t, label, None, None).double()
        gumbel = -torch.log(-torch.log(torch.rand(logits.shape, **how).clamp(min=1e-300)))
        drawn = (logits + gumbel).argmax(-1)
        revealed = (x_t == process.mask) & (torch.rand(x_t.shape, **how) < 1 - rate[k + 1] / rate[k])
        x_t = torch.where(revealed, drawn, x_t)
    return x_t


def event(denoiser, process: Absorbing, state: State, steps: int, record: list | None = None) -> Tensor:
    """The event-driven sampler; the arguments of every denoiser call are appended to `record`."""
    condition, options = Unconditional(), DrawOptions()

    def reply(query: Query) -> Tensor:
        if record is not None:
            record.append((query.x_t, query.t, query.label, None, query.positions))
        return answer(denoiser, query, condition, options)

    return drive(event_driven(state, process, condition, steps), reply).tokens


@torch.no_grad()
def replay(denoiser, record: list) -> None:
    for arguments in record:
        denoiser(*arguments)


def seconds_of(call: Callable[[], object], device: str) -> float:
    """Wall-clock seconds of a call, the device's work included."""
    _synchronise(device)
    started = time.perf_counter()
    call()
    _synchronise(device)
    return time.perf_counter() - started


def benchmark(checkpoint: Checkpoint, device: str, budget: Budget, say=print, batches=BATCHES, steps=STEPS) -> dict:
    """Medians over REPEATS (fewer when the budget ends) at every batch size, for rows of the most frequent length."""
    denoiser, process = with_precision(checkpoint.denoiser, device), checkpoint.process
    length = int(checkpoint.length_probability().argmax())
    figures: dict = {"length": length, "steps": steps, "precision": "bf16" if device.startswith("cuda") else "fp32"}
    for batch in batches:
        if budget.left() < 0:
            say(f"sampling: no time left for batches of {batch}")
            break
        tokens = process.prior((batch, length), device)
        label = torch.zeros(batch, dtype=torch.int64, device=device) if checkpoint.label_names else None
        state = State.start(tokens, 0, torch.arange(batch), label)
        generator = torch.Generator(device).manual_seed(0)
        record: list = []
        event(denoiser, process, state, steps, record)
        ways = {
            "event": lambda s=state: event(denoiser, process, s, steps),
            "plain": lambda x=tokens, y=label, g=generator: plain(denoiser, process, x, y, steps, g),
            "replay": lambda r=record: replay(denoiser, r),
        }
        for call in ways.values():
            seconds_of(call, device)  # warm-up
        times: dict[str, list[float]] = {name: [] for name in ways}
        for repeat in range(REPEATS):
            if repeat and budget.left() < 0:
                break
            for name, call in ways.items():
                times[name].append(seconds_of(call, device))
        figures[f"batch {batch}"] = _summary(times, batch, record)
        say(f"sampling, batch {batch}: {figures[f'batch {batch}']}")
    return figures


def _summary(times: dict[str, list[float]], batch: int, record: list) -> dict:
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "repeats": len(times["event"]),
        "passes": len(record),
        "rows_in_passes": sum(len(arguments[0]) for arguments in record),
        **{f"{name}_seconds": round(value, 6) for name, value in median.items()},
        **{f"{name}_spread": [round(min(v), 6), round(max(v), 6)] for name, v in times.items()},
        "plain_over_event": round(median["plain"] / median["event"], 3),
        "event_over_replay": round(median["event"] / median["replay"], 3),
        "event_rows_per_second": round(batch / median["event"], 1),
    }


def write_samples(checkpoint: Checkpoint, path: Path, device: str, budget: Budget, count: int = SAMPLES) -> dict:
    """`count` de novo rows of every class, lengths from p(length | class), as lines `class TAB sequence`.

    Returns {class: rows written, "seconds": …}; fewer rows than asked for when the budget ends.
    """
    denoiser = with_precision(checkpoint.denoiser, device)
    started, written = time.perf_counter(), {}
    with path.open("w", encoding="utf-8") as file:
        for place, name in enumerate(checkpoint.label_names or (None,)):
            sample = torch.arange(place * count, (place + 1) * count)
            u = uniform(0, sample, 0, 0, Stream.LENGTH)
            lengths = categorical(checkpoint.length_probability(name).expand(count, -1), u)
            canvases = [torch.full((n,), checkpoint.process.mask) for n in lengths.tolist()]
            label = checkpoint.label_index(name)
            how = {"label": label, "batch_size": 256, "first_sample": place * count, "device": device, "steps": STEPS}
            lines = []
            for _, tokens in generate(denoiser, checkpoint.process, canvases, 0, **how):
                lines += [f"{name or 'all'}\t{checkpoint.alphabet.decode(row)}\n" for row in tokens.tolist()]
                if budget.left() < 0:
                    break
            file.writelines(lines)
            written[name or "all"] = len(lines)
    return written | {"seconds": round(time.perf_counter() - started, 3)}


def _synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
