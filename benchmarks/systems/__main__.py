"""Published systems on equal terms: the same blocks, the same data, the same processor time of training.

python -m benchmarks.systems train --data DATA --set characters --system mdlm --cpu-minutes 10 --out runs/systems
python -m benchmarks.systems report --out runs/systems --docs docs
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.systems.data import DATASETS
from benchmarks.systems.laws import conditional_entropy, entropy, jensen_shannon, ngrams
from benchmarks.systems.table import write_table
from seqdiff.denoisers.causal import Causal
from seqdiff.systems.registry import SYSTEMS, build_system
from seqdiff.training.config import OptimizerConfig, RunConfig, TrainingConfig
from seqdiff.training.data import EncodedData
from seqdiff.training.loop import evaluate, held_out_groups, train

BLOCKS = {"width": 128, "depth": 4, "heads": 4, "qk_gain": True, "rotary_base": 1000.0}
# Ablations of diffusion-lm: its first, collapsing rounding term; embeddings without the norm; both.
ABLATIONS = ("no-anchor", "no-norm", "no-anchor-no-norm")
SCHEDULE = {name: {"kind": "sqrt"} for name in ("diffusion-lm", *ABLATIONS)}
NAMES = (*SYSTEMS, *ABLATIONS)
STEPS = 64
SAMPLES = 300


def make(name: str, data: EncodedData):
    """(network, system) of a name, the same blocks in all."""
    model = BLOCKS | {"vocabulary": len(data.alphabet), "labels": 1}
    if name != "autoregressive":
        model["edges"] = True  # the control is told the length in another way
    torch.manual_seed(0)
    network, system = build_system("diffusion-lm" if name in ABLATIONS else name, model, SCHEDULE.get(name, {"kind": "linear"}))
    if "no-anchor" in name:
        system = replace(system, anchor_on_truth=True)  # type: ignore[type-var]
    if "no-norm" in name:
        network.embedding.norm = "none"  # type: ignore[union-attr]
    return network, system


def train_one(options) -> None:
    """Train one system for a while (again goes on), then measure it; `OUT/SET-SYSTEM/figures.json`."""
    torch.set_num_threads(options.threads)
    folder = options.out / f"{options.set}-{options.system}"
    data = load(options.data, options.set, options.out)
    network, system = make(options.system, data)
    run = RunConfig(steps=10**6, batch_tokens=4096, eval_every=500, eval_rows=200, checkpoint_every=200, label_dropout=0.0)
    config = TrainingConfig(optimizer=OptimizerConfig(lr=5e-3, warmup=100, hold=1.0, ema=0.998), run=run)
    started = time.process_time()

    def report(record: dict) -> None:
        if record["step"] % 100 == 0:
            print(f"{folder.name}: step {record['step']}, loss {record['loss']:.3f}, {record['seconds']:.0f} s", flush=True)

    def stop() -> bool:
        return time.process_time() - started > 60 * options.cpu_minutes

    averaged, progress = train(network, system, data, config, folder, report=report, stop=stop)
    print(f"{folder.name}: {progress.step} steps; measuring", flush=True)
    figures = measure(averaged.eval(), system, data)
    figures |= {
        "system": options.system,
        "set": options.set,
        "parameters": sum(p.numel() for p in network.parameters()),
        "steps": progress.step,
        "tokens_seen": progress.tokens_seen,
        "cpu_minutes": options.cpu_minutes,
        "threads": options.threads,
    }
    (folder / "figures.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps({k: v for k, v in figures.items() if k != "samples"}, indent=1))


def load(root: Path, name: str, out: Path) -> EncodedData:
    path = out / f"{name}.safetensors"
    if not path.exists():
        DATASETS[name](root).save(path)
    return EncodedData.load(path)


@torch.no_grad()
def measure(network, system, data: EncodedData) -> dict:
    """Held-out bound; laws of n-grams of samples, of the same lengths as held-out rows, against held-out rows."""
    held_out = held_out_groups(data, 400, "cpu")
    bound = evaluate(network, system, held_out, data.label_names)
    real = _rows(data, data.held_out)
    lengths = [len(row) for row in real[:SAMPLES]]
    rows_asked = 0

    def count(module, arguments, output):
        nonlocal rows_asked
        rows_asked += len(arguments[0])

    handle = network.register_forward_hook(count)
    drawn: list[list[int]] = [[]] * len(lengths)
    canvases = [torch.full((length,), len(data.alphabet)) for length in lengths]
    started = time.perf_counter()
    for index, tokens in system.sample(network, canvases, 0, STEPS, batch_size=SAMPLES):
        for i, row in zip(index.tolist(), tokens.tolist(), strict=True):
            drawn[i] = row
    seconds = time.perf_counter() - started
    handle.remove()
    passes = sum(lengths) if isinstance(network, Causal) else rows_asked
    separator = " " if max(map(len, data.alphabet.tokens)) > 1 else ""
    return {
        "bound": bound["bound/text"],
        "error": bound["error/text"],
        "passes": passes / len(lengths),
        "sampling_seconds": seconds,
        "entropy": entropy(ngrams(drawn, 1)),
        "conditional_entropy": conditional_entropy(drawn),
        "real_entropy": entropy(ngrams(real, 1)),
        "real_conditional_entropy": conditional_entropy(real[: len(drawn)]),
        "distance": {str(n): jensen_shannon(ngrams(drawn, n), ngrams(real[SAMPLES:], n)) for n in (1, 2, 3)},
        "floor": {str(n): jensen_shannon(ngrams(real[:SAMPLES], n), ngrams(real[SAMPLES:], n)) for n in (1, 2, 3)},
        **system.figures(network),
        "samples": [separator.join(data.alphabet.decode_tokens(row)) for row in drawn[:6]],
    }


def _rows(data: EncodedData, chosen) -> list[list[int]]:
    return [data.tokens[data.offsets[i] : data.offsets[i + 1]].tolist() for i in chosen.nonzero()[0].tolist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train one system for a while, then measure it")
    training.add_argument("--data", type=Path, required=True, help="folder that holds text/")
    training.add_argument("--set", choices=DATASETS, required=True)
    training.add_argument("--system", choices=NAMES, required=True)
    training.add_argument("--cpu-minutes", type=float, default=10.0, help="processor time: fair on a shared machine")
    training.add_argument("--threads", type=int, default=1)
    training.add_argument("--out", type=Path, default=Path("runs/systems"))
    reporting = commands.add_parser("report", help="one table of all that was trained, as JSON and Markdown")
    reporting.add_argument("--out", type=Path, default=Path("runs/systems"))
    reporting.add_argument("--docs", type=Path, default=Path("docs"))
    options = parser.parse_args()
    if options.command == "train":
        options.out.mkdir(parents=True, exist_ok=True)
        train_one(options)
    else:
        write_table(options.out, options.docs, NAMES)


if __name__ == "__main__":
    main()
