"""How fast proteins are designed: `python -m benchmarks.protein_throughput [--threads 2] [--out FILE.json]`.

    OMP_NUM_THREADS=2 taskset -c 0,1 python -m benchmarks.protein_throughput --threads 2 --out docs/protein-throughput.json

Free chains of a length, and the same with what must hold (no sequon, at most one cysteine, a net charge): designs a second, and
the time over that of the bare passes of the network. Seconds are told of the processor, so that a machine with other work to
do tells the same with one thread, and of the clock, which is what counts with several on free cores. Each row runs in a process
of its own, whose peak memory is told, and before it that with the libraries, the model and one design. No bound is drawn; what
is spent once before the first design, on the request, is told apart.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from domains.design import DesignSpec, design, design_batches, prepare
from domains.protein.constraints import composition, net_charge, no_n_glycosylation
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint

HELD = {"free": None, "held": str(no_n_glycosylation() & composition("C", 0, 1) & net_charge(-3, 3))}


def measure(length: int, held: str, n: int, model: str | None, steps: int, threads: int) -> dict:
    """A row of the table, in this process."""
    torch.set_num_threads(threads)
    checkpoint = load_checkpoint(find_model(model, "protein"))
    spec = DesignSpec("protein", f"{{{length}}}", n=n, seed=1, constraint=HELD[held], steps=steps, bound_draws=0)
    design(replace(spec, n=1), checkpoint=checkpoint)
    before = peak_memory()
    clocks, inside, since, passes = (time.process_time, time.perf_counter), [0.0, 0.0], [0.0, 0.0], [0, 0]

    def enter(network, inputs):
        since[:] = [now() for now in clocks]
        passes[0] += 1
        passes[1] += inputs[0].numel()

    def leave(*_):
        inside[:] = [total + now() - then for total, now, then in zip(inside, clocks, since, strict=True)]

    hooks = [checkpoint.network.register_forward_pre_hook(enter), checkpoint.network.register_forward_hook(leave)]
    started = time.process_time()
    task = prepare(spec, checkpoint)
    ready, then = (now() for now in clocks)
    designs = [item for made in design_batches(task) for item in made.designs]
    seconds, wall = time.process_time() - ready, time.perf_counter() - then
    for hook in hooks:
        hook.remove()
    return {
        "length": length,
        "constraint": held,
        "n": len(designs),
        "violations": sum(bool(item.certificate.violations) for item in designs),
        "cpu_seconds_before": round(ready - started, 2),
        "cpu_seconds_a_design": round(seconds / n, 3),
        "designs_per_cpu_second": round(n / seconds, 3),
        "in_the_network": round(inside[0] / seconds, 3),
        "over_bare_passes": round(seconds / inside[0], 3),
        "threads": threads,
        "wall_seconds": round(wall, 1),
        "designs_per_second": round(n / wall, 3),
        "over_bare_passes_by_the_clock": round(wall / inside[1], 3),
        "passes": passes[0],
        "tokens_a_design": round(passes[1] / n),
        "megabytes": peak_memory(),
        "megabytes_before": before,
    }


def peak_memory() -> int:
    """Megabytes that the process has held at most."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main(arguments: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 400])
    parser.add_argument("--held", nargs="+", choices=HELD, default=list(HELD))
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--model")
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--here", action="store_true", help="measure the one row asked for in this process, as the others do")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    rows = []
    for length in options.lengths:
        for held in options.held:
            if options.here:
                row = measure(length, held, options.n, options.model, options.steps, options.threads)
            else:
                asked = {"lengths": length, "held": held, "n": options.n, "steps": options.steps, "threads": options.threads}
                asked |= {"model": options.model} if options.model else {}
                words = ["--here", *(word for name, value in asked.items() for word in (f"--{name}", str(value)))]
                command = [sys.executable, "-m", "benchmarks.protein_throughput", *words]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row = json.loads(done.stdout.splitlines()[-1])
            rows.append(row)
            print(json.dumps(row), flush=True)
            if options.out:
                options.out.write_text(json.dumps(rows, indent=1) + "\n")
    return rows


if __name__ == "__main__":
    main()
