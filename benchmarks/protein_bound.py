"""What a protein model knows of families it has not seen: `python -m benchmarks.protein_bound RUN_FOLDER [--model NAME|PATH]`.

The bound on −log p a residue of every held-out row of a training run, beside chains that count (orders 0, 1 and 2) on the same
rows. Differences are taken row by row, so that their standard errors are of the pairs. The bound is the any-order one
(`seqdiff.likelihood.any_order_bound`) with K draws a row; a row's noise is its own.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from domains.protein.baselines import held_out_nats, per_residue
from domains.registry import find_model
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.likelihood import any_order_bound
from seqdiff.training.data import EncodedData

ORDERS = (0, 1, 2)


def bounds(checkpoint: Checkpoint, data: EncodedData, draws: int) -> np.ndarray:
    """Nats of each held-out row, in the order of the data. The class of a row is told, where the model has classes."""
    chosen = np.flatnonzero(data.held_out)
    out = np.zeros(len(chosen))
    lengths = data.lengths[chosen]
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        rows = data.rows(chosen[places], int(length))
        label = None
        if checkpoint.label_names:
            label = torch.from_numpy(data.labels[chosen[places]].astype(np.int64))
        with torch.autocast("cpu", torch.bfloat16):
            found = any_order_bound(
                checkpoint.denoiser, data.alphabet.mask, rows, draws, 0, label, sample=torch.from_numpy(places)
            )
        out[places] = found.nats.numpy()
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a training run, which holds data.safetensors")
    parser.add_argument("--model", help="bundled name, or path of a checkpoint; default: the domain's")
    parser.add_argument("--draws", type=int, default=8, help="passes a row (default 8)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    data = EncodedData.load(options.run / "data.safetensors")
    checkpoint = load_checkpoint(find_model(options.model, "protein"))
    sizes = data.lengths[data.held_out]
    model = bounds(checkpoint, data, options.draws)
    table = {"rows": len(sizes), "residues": int(sizes.sum()), "draws": options.draws, "sha256": checkpoint.sha256}
    table["model"] = per_residue(model, sizes)
    print(f"{'model':<14}{table['model'][0]:.4f} ± {table['model'][1]:.4f} nats a residue, {len(sizes)} held-out rows")
    for order in ORDERS:
        nats = held_out_nats(data, order)
        mean, error = per_residue(nats, sizes)
        less, pair = per_residue(nats - model, sizes)
        table[f"order {order}"] = {"nats": [mean, error], "above the model by": [less, pair]}
        print(f"{f'order {order}':<14}{mean:.4f} ± {error:.4f}, above the model by {less:.4f} ± {pair:.4f}")
    if options.out:
        options.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
