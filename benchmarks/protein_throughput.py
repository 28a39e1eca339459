"""How fast proteins are designed: `python -m benchmarks.protein_throughput [--threads 2] [--out FILE.json]`.

Free chains of a length, and the same with what must hold (no sequon, at most one cysteine, a net charge): designs a second, and
the time over that of the bare passes of the network. Seconds are of the processor, not of the clock, so that a machine with
other work to do tells the same; with one thread they are what a free core takes. Each row runs in a process of its own, whose
peak memory is told, and before it that with the libraries, the model and one design. No bound is drawn; what is spent once
before the first design, on the request, is told apart.
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
    clock, passes = [0.0, 0.0], [0, 0]

    def enter(network, inputs):
        clock[1] = time.process_time()
        passes[0] += 1
        passes[1] += inputs[0].numel()

    def leave(*_):
        clock[0] += time.process_time() - clock[1]

    hooks = [checkpoint.network.register_forward_pre_hook(enter), checkpoint.network.register_forward_hook(leave)]
    started = time.process_time()
    task = prepare(spec, checkpoint)
    ready, wall = time.process_time(), time.perf_counter()
    designs = [item for made in design_batches(task) for item in made.designs]
    seconds, wall = time.process_time() - ready, time.perf_counter() - wall
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
        "wall_seconds": round(wall, 1),
        "in_the_network": round(clock[0] / seconds, 3),
        "over_bare_passes": round(seconds / clock[0], 3),
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
                words = [
                    "--lengths",
                    str(length),
                    "--held",
                    held,
                    "--n",
                    str(options.n),
                    "--steps",
                    str(options.steps),
                    "--here",
                ]
                words += ["--threads", str(options.threads)] + (["--model", options.model] if options.model else [])
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
