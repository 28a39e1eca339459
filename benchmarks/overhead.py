"""What every sampler costs beside its denoiser: `python -m benchmarks.overhead [--threads N] [--only NAME] [--out FILE.json]`.

Each sampler of the registry runs on each kind of process that it works on; the arguments of all its denoiser calls are
recorded, and the run and a replay of these calls, nothing in between, are timed alternately. run / replay is what the
sampler's own bookkeeping costs: 1.15 is the most it should be. A second figure, "within", compares a run with the
time that it spent in its own passes, measured inside the same runs: it is less disturbed by whatever else the machine does.

The network is random: speed does not depend on what it learnt.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from seqdiff.condition import Unconditional
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.embedding import EmbeddedProcess, Embedding
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.gaussian import VariancePreserving
from seqdiff.processes.matrix import RateMatrix
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.drive import DrawOptions, answer, drive
from seqdiff.samplers.registry import SAMPLERS, get_sampler
from seqdiff.samplers.state import Query, State
from seqdiff.schedules import Linear

LIMIT = 1.15
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class Size:
    """B, L, V, the width of embeddings, and a Transformer of 5M parameters."""

    batch: int = 64
    length: int = 64
    vocabulary: int = 64
    embedding: int = 64
    width: int = 256
    depth: int = 6
    heads: int = 4


def network(size: Size, input_width: int = 0) -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(size.vocabulary, size.width, size.depth, size.heads, input_width=input_width)
    net = Transformer(config).eval().requires_grad_(False)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return net


def processes(size: Size) -> dict[str, TokenProcess | EmbeddedProcess]:
    """One of each kind; "near" moves tokens to near ids and is reversible, "drift" is not: it goes through matrix_exp."""
    V, i = size.vocabulary, torch.arange(size.vocabulary, dtype=torch.float64)
    near = torch.exp(-((i.unsqueeze(-1) - i) ** 2) / 8)
    drift = near + torch.roll(torch.eye(V, dtype=torch.float64), 1, dims=1)
    vectors = torch.randn(V, size.embedding, generator=torch.Generator().manual_seed(0))
    return {
        "absorbing": Absorbing(V, Linear()),
        "uniform": Uniform(V, Linear()),
        "near": RateMatrix(near - near.sum(-1).diag(), Linear(), V),
        "drift": RateMatrix(drift - drift.sum(-1).diag(), Linear(), V),
        "embedded": EmbeddedProcess(VariancePreserving(Linear()), Embedding(vectors)),
    }


@dataclass
class Recorder:
    """A denoiser that keeps the arguments of its calls and the seconds spent in them.

    After `stop_at` calls it ends the run with `Enough`.
    """

    net: Callable[..., Tensor]
    clock: Callable[[], float] = time.perf_counter
    stop_at: int | None = None
    keep: bool = True
    calls: list[tuple] = field(default_factory=list)
    passes: int = 0
    seconds: float = 0.0

    def __call__(self, *arguments) -> Tensor:
        if self.passes == self.stop_at:
            raise Enough
        self.passes += 1
        if self.keep:
            self.calls.append(arguments)
        started = self.clock()
        output = self.net(*arguments)
        self.seconds += self.clock() - started
        return output


class Enough(Exception):
    """The run has made as many passes as were wanted."""


@torch.no_grad()
def run(sampler: str, process, denoiser: Recorder, size: Size, steps: int) -> Tensor | None:
    """A run from an empty canvas to its tokens (B, L); None if the recorder ended it."""
    condition, options = Unconditional(), DrawOptions()

    def reply(query: Query) -> Tensor:
        return answer(denoiser, query, condition, options)

    canvas = torch.full((size.batch, size.length), size.vocabulary)
    try:
        state = State.from_canvas(process, canvas, 0, torch.arange(size.batch))
        return drive(get_sampler(sampler, process).loop(state, process, condition, steps=steps), reply).tokens
    except Enough:
        return None


@torch.no_grad()
def replay(net: Callable[..., Tensor], calls: list[tuple]) -> None:
    for arguments in calls:
        net(*arguments)


def measure(sampler: str, process, net, size: Size, steps: int, repeats: int, passes: int | None = None, clock="wall") -> dict:
    """Medians over `repeats` alternating rounds of the run, the replay and the run's own passes; at most `passes` each."""
    now = CLOCKS[clock]
    record = Recorder(net, now, passes)
    run(sampler, process, record, size, steps)  # warm-up as well
    times: dict[str, list[float]] = {"run": [], "replay": [], "inside": []}
    for _ in range(repeats):
        inside = Recorder(net, now, passes, keep=False)
        started = now()
        run(sampler, process, inside, size, steps)
        between = now()
        replay(net, record.calls)
        ended = now()
        for name, seconds in (("run", between - started), ("replay", ended - between), ("inside", inside.seconds)):
            times[name].append(seconds)
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "passes": record.passes,
        "run_seconds": round(median["run"], 5),
        "replay_seconds": round(median["replay"], 5),
        "run_over_replay": round(median["run"] / median["replay"], 3),
        "run_over_own_passes": round(statistics.median(r / i for r, i in zip(times["run"], times["inside"], strict=True)), 3),
    }


def cases(size: Size, only: str | None = None) -> Iterator[tuple[str, str, TokenProcess | EmbeddedProcess]]:
    """(sampler, name of the process, process): every sampler on every process that it works on."""
    every = processes(size)
    for name, sampler in SAMPLERS.items():
        for kind, process in every.items():
            if isinstance(process, sampler.processes) and only in (None, name, kind):
                yield name, kind, process


def main(arguments: list[str] | None = None, size: Size | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--passes", type=int, help="end each run after so many")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on one thread, what others run counts less")
    parser.add_argument("--only", help="one sampler, or one process")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of the denoiser, in all ways alike")
    parser.add_argument("--out", type=Path)
    options, size = parser.parse_args(arguments), size or Size()
    torch.set_num_threads(options.threads)
    nets = {"tokens": network(size), "vectors": network(size, size.embedding)}
    results: dict = {**vars(options), "torch": torch.__version__, "size": vars(size), "limit": LIMIT, "cases": []}
    results["out"] = None if options.out is None else str(options.out)
    parameters = sum(p.numel() for p in nets["tokens"].parameters())
    print(
        f"B = {size.batch}, L = {size.length}, V = {size.vocabulary}, {parameters / 1e6:.1f}M parameters, T = {options.steps}"
    )
    print(f"{'sampler':22} {'process':10} {'passes':>6} {'seconds':>8} {'× replay':>8} {'within':>8}")
    for name, kind, process in cases(size, options.only):
        net = nets["vectors" if isinstance(process, EmbeddedProcess) else "tokens"]
        with torch.autocast("cpu", torch.bfloat16) if options.precision == "bf16" else nullcontext():
            row = measure(name, process, net, size, options.steps, options.repeats, options.passes, options.clock)
        results["cases"].append({"sampler": name, "process": kind, **row})
        print(
            f"{name:22} {kind:10} {row['passes']:6} {row['run_seconds']:8.2f} {row['run_over_replay']:8.3f} "
            f"{row['run_over_own_passes']:8.3f}{'   above' if row['run_over_replay'] > LIMIT else ''}",
            flush=True,
        )
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
