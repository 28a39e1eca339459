"""Four ways to draw the same law, timed alternately in one run.

    event    seqdiff's event-driven sampler: T steps, only those visited that reveal something
    plain    T passes over all rows, logits at all positions, float64 Gumbel noise over all of them, written leanly
    textbook the same with the posterior q(x_s | x_t) over V + 1 states written out before the draw, as published code does
    replay   the denoiser calls of `event`, recorded, with nothing between them: the floor

plain / event and textbook / event are what event-driven sampling gains, event / replay what its own bookkeeping costs.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from seqdiff.condition import Unconditional
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.absorbing import event_driven
from seqdiff.samplers.drive import DrawOptions, answer, drive
from seqdiff.samplers.state import Query, State


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


@torch.no_grad()
def textbook(denoiser, process: Absorbing, x_t: Tensor, label: Tensor | None, steps: int, generator) -> Tensor:
    """Ancestral sampling from `process.posterior` by Gumbel-max in float64: (B, L) tokens from (B, L) masks."""
    how = {"dtype": torch.float64, "device": x_t.device, "generator": generator}
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64, device=x_t.device)
    for k in range(steps):
        t = times[k].expand(len(x_t))
        p_x0 = denoiser(x_t, t, label, None, None).double().softmax(-1)
        log_q = process.posterior(x_t, p_x0, times[k + 1], times[k]).log()
        gumbel = -torch.log(-torch.log(torch.rand(log_q.shape, **how).clamp(min=1e-300)))
        x_t = (log_q + gumbel).argmax(-1)
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


def compare(
    denoiser,
    process: Absorbing,
    batch: int,
    length: int,
    steps: int,
    device: str = "cpu",
    label: Tensor | None = None,
    repeats: int = 5,
    enough: Callable[[], bool] = lambda: False,
) -> dict:
    """Medians over `repeats` rounds (fewer once `enough()`) of the three ways, for rows of one length, all masked."""
    tokens = process.prior(torch.zeros(batch, length, device=device))
    state = State.start(tokens, 0, torch.arange(batch), label)
    generator = torch.Generator(device).manual_seed(0)
    record: list = []
    event(denoiser, process, state, steps, record)
    ways: dict[str, Callable[[], object]] = {
        "event": lambda: event(denoiser, process, state, steps),
        "plain": lambda: plain(denoiser, process, tokens, label, steps, generator),
        "textbook": lambda: textbook(denoiser, process, tokens, label, steps, generator),
        "replay": lambda: replay(denoiser, record),
    }
    for call in ways.values():
        seconds_of(call, device)  # warm-up
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats):
        if repeat and enough():
            break
        for name, call in ways.items():
            times[name].append(seconds_of(call, device))
    return _summary(times, batch, record)


def _summary(times: dict[str, list[float]], batch: int, record: list) -> dict:
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "repeats": len(times["event"]),
        "passes": len(record),
        "rows_in_passes": sum(len(arguments[0]) for arguments in record),
        **{f"{name}_seconds": round(value, 6) for name, value in median.items()},
        **{f"{name}_spread": [round(min(v), 6), round(max(v), 6)] for name, v in times.items()},
        "plain_over_event": round(median["plain"] / median["event"], 3),
        "textbook_over_event": round(median["textbook"] / median["event"], 3),
        "event_over_replay": round(median["event"] / median["replay"], 3),
        "event_rows_per_second": round(batch / median["event"], 1),
    }


def _synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
