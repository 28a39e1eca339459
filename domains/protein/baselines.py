"""What a trained model must beat: residues drawn without looking, and what counting alone predicts of held-out proteins.

A baseline is a checkpoint like any other, so that a request differs by `--model` alone: a network whose weights are zero says
at every position what its last bias says. "protein-random" gives the twenty amino acids equal chances, "protein-composition"
the shares they have in the training proteins; lengths are drawn from the training proteins' for both.

    python -m domains.protein.baselines RUN_FOLDER      counts on the data of a training run; writes the two models beside it
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from domains.protein import AMINO_ACIDS
from domains.protein.data import JOINED, PROTEIN
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.mdlm import MDLM
from seqdiff.training.data import EncodedData

NEVER = -1e4  # a logit whose probability is 0 in float64, and that float16 holds
KAPPA = 20.0
A = len(AMINO_ACIDS)


def baseline(probability: Sequence[float], length_counts: Sequence[int]) -> Checkpoint:
    """A model that draws every residue from p (20,), whatever stands around it."""
    network = Transformer(TransformerConfig(len(PROTEIN), width=2, depth=1, heads=1, expansion=1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        network.head.bias.copy_(torch.tensor([math.log(p) if p > 0 else NEVER for p in [*probability, 0.0, 0.0]]))  # type: ignore[union-attr, operator]
    system = MDLM(Absorbing(PROTEIN.mask, Linear()))
    return Checkpoint(network.eval().requires_grad_(False), system, PROTEIN, (), {"all": [int(n) for n in length_counts]})


def composition(data: EncodedData) -> np.ndarray:
    """(20,) shares of the amino acids in the training rows."""
    counts = np.bincount(data.tokens[np.repeat(~data.held_out, data.lengths)], minlength=A)[:A]
    return counts / counts.sum()


def lengths(data: EncodedData) -> np.ndarray:
    """Counts of the training proteins by length; rows of joined chains are left out."""
    chosen = ~data.held_out
    if JOINED in data.label_names:
        chosen = chosen & (data.labels != data.label_names.index(JOINED))
    return np.bincount(data.lengths[chosen])


def held_out_nats(data: EncodedData, order: int) -> np.ndarray:
    """−log p of each held-out row under a Markov chain of an order, in nats.

    p_k(a | context of k) = (count + κ p_{k−1}(a)) / (total + κ), κ = 20, down to p_{−1} = 1/V; contexts of fewer residues at
    the beginning of a row are contexts of their own.
    """
    V = len(data.alphabet)
    start = V  # what stands before a row
    rows = [data.tokens[a:b].astype(np.int64) for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    train = [row for row, out in zip(rows, data.held_out.tolist(), strict=True) if not out]
    test = [row for row, out in zip(rows, data.held_out.tolist(), strict=True) if out]
    p = np.full((1, V), 1 / V)
    for k in range(order + 1):
        counts = np.zeros(((V + 1) ** k, V))
        for row in train:
            np.add.at(counts, (_contexts(row, k, start), row), 1)
        shorter = np.arange((V + 1) ** k) % max(1, (V + 1) ** (k - 1)) if k else np.zeros(1, np.int64)
        p = (counts + KAPPA * p[shorter]) / (counts.sum(1, keepdims=True) + KAPPA)
    return np.array([-np.log(p[_contexts(row, order, start), row]).sum() for row in test])


def per_residue(nats: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Σ nats / Σ sizes over rows, and the standard error of this ratio."""
    mean = float(nats.sum() / sizes.sum())
    return mean, float(np.sqrt(((nats - mean * sizes) ** 2).sum()) / sizes.sum())


def _contexts(row: np.ndarray, order: int, start: int) -> np.ndarray:
    """The `order` tokens before each position as one number in base start + 1, the nearest lowest."""
    padded = np.concatenate([np.full(order, start), row])
    number = np.zeros(len(row), np.int64)
    for k in range(order):
        number = number * (start + 1) + padded[k : k + len(row)]
    return number


def main(folder: Path) -> None:
    data = EncodedData.load(folder / "data.safetensors")
    shares = composition(data)
    for name, p in (("protein-random", np.full(A, 1 / A)), ("protein-composition", shares)):
        what = "equal chances" if name == "protein-random" else "the shares of the training proteins"
        card = f"# {name}\n\nNo network to speak of: every residue is drawn alone, the twenty amino acids with {what}.\n"
        baseline(p.tolist(), lengths(data).tolist()).save(folder / name, card)
    for order in range(3):
        mean, error = per_residue(held_out_nats(data, order), data.lengths[data.held_out])
        print(f"order {order}: {mean:.4f} ± {error:.4f} nats a residue, {int(data.held_out.sum())} held-out rows")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise ConfigError("baselines: expected the folder of a training run")
    main(Path(sys.argv[1]))
