"""Sampling times on the device (`benchmarks.ways` says of what), and samples to be scored elsewhere."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu.budget import Budget
from benchmarks.ways import compare
from seqdiff.checkpoint import Checkpoint
from seqdiff.draws import categorical
from seqdiff.noise import Stream, uniform
from seqdiff.samplers.drive import generate

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


def benchmark(checkpoint: Checkpoint, device: str, budget: Budget, say=print, batches=BATCHES, steps=STEPS) -> dict:
    """`benchmarks.ways.compare` at every batch size, for rows of the most frequent length."""
    denoiser, process = with_precision(checkpoint.denoiser, device), checkpoint.process
    length = int(checkpoint.length_probability().argmax())
    figures: dict = {"length": length, "steps": steps, "precision": "bf16" if device.startswith("cuda") else "fp32"}
    for batch in batches:
        if budget.left() < 0:
            say(f"sampling: no time left for batches of {batch}")
            break
        label = torch.zeros(batch, dtype=torch.int64, device=device) if checkpoint.label_names else None
        figures[f"batch {batch}"] = compare(
            denoiser, process, batch, length, steps, device, label, REPEATS, lambda: budget.left() < 0
        )
        say(f"sampling, batch {batch}: {figures[f'batch {batch}']}")
    return figures


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
