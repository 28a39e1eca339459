"""Which noise for proteins: `python -m benchmarks.protein_noise RUN_FOLDER [--steps 1500] [--out FILE.json]`.

One small network, one set of batches, as many steps: trained under masks (MDLM), under uniform noise and under BLOSUM62's
(both D3PM, T = 128, so with time input), and the bound on −log p a residue of the same held-out rows for each. Rows are those
of a training run, of one chain and up to `--longest` residues. Uniform noise tends to even chances, BLOSUM62's to the shares
of residues. Standard errors are over rows; the differences to masks are of pairs.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from domains.protein.baselines import held_out_nats, per_residue
from domains.protein.blosum import SIZE, blosum_process, shares
from domains.protein.data import JOINED
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Cosine, Linear
from seqdiff.systems.base import System
from seqdiff.systems.d3pm import D3PM
from seqdiff.systems.mdlm import MDLM
from seqdiff.training.config import OptimizerConfig, RunConfig, TrainingConfig
from seqdiff.training.data import EncodedData
from seqdiff.training.loop import train

DRAWS = 16


def some(data: EncodedData, longest: int, held_out: int) -> EncodedData:
    """Rows of one chain of at most so many residues, and at most so many held-out ones; classes are left out."""
    kept = data.lengths <= longest
    if JOINED in data.label_names:
        kept &= data.labels != data.label_names.index(JOINED)
    kept[np.flatnonzero(kept & data.held_out)[held_out:]] = False
    rows = [data.tokens[data.offsets[i] : data.offsets[i + 1]].tolist() for i in np.flatnonzero(kept)]
    return EncodedData.from_rows(data.alphabet, rows, [0] * len(rows), data.held_out[kept].tolist())


def systems(data: EncodedData) -> dict[str, System]:
    V = len(data.alphabet)
    return {
        "masks": MDLM(Absorbing(V, Linear())),
        "uniform": D3PM(Uniform(V, Cosine())),
        "blosum": D3PM(blosum_process(Cosine(), data.alphabet.tokens, stationary=shares(data))),
    }


def network_for(system: System, data: EncodedData, seed: int = 0) -> Transformer:
    torch.manual_seed(seed)
    return Transformer(TransformerConfig(len(data.alphabet), time_input=isinstance(system, D3PM), **SIZE))


def bounds(system: System, network, data: EncodedData, draws: int) -> np.ndarray:
    """Nats of each held-out row, in the order of the data."""
    chosen = np.flatnonzero(data.held_out)
    out = np.zeros(len(chosen))
    for k, group in enumerate(data.rows_of(data.held_out, len(chosen))):
        found = system.bound(network, data.rows(group, int(data.lengths[group[0]])), None, draws, seed=k)
        out[np.searchsorted(chosen, group)] = found.nats.numpy()
    return out


def trained(system: System, data: EncodedData, steps: int, batch_tokens: int, folder: Path):
    """The averaged network, and the seconds of its steps."""
    run = RunConfig(steps=steps, batch_tokens=batch_tokens, precision="bf16", label_dropout=0.0, eval_every=10**9,
                    eval_rows=8, checkpoint_every=20)  # fmt: skip
    config = TrainingConfig(optimizer=OptimizerConfig(warmup=min(100, steps // 10), hold=0.6, ema=0.99), run=run)
    network, progress = train(network_for(system, data), system, data, config, folder)
    return network.eval(), progress.seconds


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a training run, which holds data.safetensors")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch-tokens", type=int, default=4000)
    parser.add_argument("--longest", type=int, default=200)
    parser.add_argument("--held-out", type=int, default=300, help="at most so many held-out rows")
    parser.add_argument("--draws", type=int, default=DRAWS, help="passes a row of a bound")
    parser.add_argument("--kinds", nargs="*", help="masks, uniform, blosum")
    parser.add_argument("--work", type=Path, help="folder of the runs, which go on where they stopped")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data = some(EncodedData.load(options.run / "data.safetensors"), options.longest, options.held_out)
    sizes = data.lengths[data.held_out]
    answer: dict = {"rows": int((~data.held_out).sum()), "held_out": len(sizes), "residues": int(sizes.sum())}
    answer |= {
        "steps": options.steps,
        "batch_tokens": options.batch_tokens,
        "order 0": per_residue(held_out_nats(data, 0), sizes),
    }
    answer |= {"order 2": per_residue(held_out_nats(data, 2), sizes)}
    print(json.dumps(answer), flush=True)
    answer["kinds"], masks = {}, None
    with tempfile.TemporaryDirectory() as temporary:
        for name, system in systems(data).items():
            if options.kinds and name not in options.kinds:
                continue
            folder = (options.work or Path(temporary)) / name
            network, seconds = trained(system, data, options.steps, options.batch_tokens, folder)
            started = time.perf_counter()
            nats = bounds(system, network, data, options.draws)
            row = {
                "bound": per_residue(nats, sizes),
                "training_seconds": round(seconds),
                "parameters": sum(p.numel() for p in network.parameters()),
            }
            row["bound_seconds"] = round(time.perf_counter() - started)
            masks = nats if name == "masks" else masks
            if masks is not None and name != "masks":
                row["above masks by"] = per_residue(nats - masks, sizes)
            answer["kinds"][name] = row
            print(name, json.dumps(row), flush=True)
            if options.out:
                options.out.write_text(json.dumps(answer, indent=1) + "\n")
    return answer


if __name__ == "__main__":
    main()
