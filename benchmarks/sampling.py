"""Sampling speed on the CPU: `python -m benchmarks.sampling [--threads N] [--precision bf16] [--out FILE.json]`.

The event-driven sampler against two plain T-step samplers of the same law with the same denoiser, and against a
replay of its own recorded forward passes, in one run (`benchmarks.ways`). The network of the first case is random:
speed does not depend on what it learnt.
"""

import argparse
import json
from contextlib import nullcontext
from pathlib import Path

import torch

from benchmarks.ways import compare
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear

STEPS = 128


def random_network():
    """4 layers of width 128, V = 1,000; L = 128, batch 16."""
    torch.manual_seed(0)
    network = Transformer(TransformerConfig(vocabulary=1000, width=128, depth=4, heads=4)).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return network, Absorbing(1000, Linear()), 16, 128


def molecules():
    """The bundled molecule model; L = 40, batch 64."""
    checkpoint = load_checkpoint(find_model(None, "smiles"))
    return checkpoint.denoiser, checkpoint.process, 64, 40


CASES = {"random V=1000 L=128 B=16": random_network, "smiles-small L=40 B=64": molecules}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=CASES, help="one case")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of the denoiser, in all ways alike")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {"threads": options.threads, "steps": STEPS, "torch": torch.__version__, "precision": options.precision}
    print(f"T = {STEPS}, {options.threads} threads, {options.precision}, median of {options.repeats}")
    for name, make in CASES.items():
        if options.only not in (None, name):
            continue
        network, process, batch, length = make()
        with torch.autocast("cpu", torch.bfloat16) if options.precision == "bf16" else nullcontext():
            figures = compare(network, process, batch, length, STEPS, repeats=options.repeats)
        results[name] = figures
        print(
            f"{name}: event-driven {figures['event_seconds']:.2f} s ({figures['event_rows_per_second']:.1f} rows/s), "
            f"plain / event {figures['plain_over_event']:.2f}, textbook / event {figures['textbook_over_event']:.2f}, "
            f"event / replay {figures['event_over_replay']:.3f}",
            flush=True,
        )
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
