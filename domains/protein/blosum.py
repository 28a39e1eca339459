"""Noise that exchanges amino acids for alike ones: BLOSUM62 as the token distance of a diffusion process.

A model of such noise begins as one that knows nothing, and is trained like any other (the preset protein-blosum):

    python -m domains.protein.blosum FOLDER RUN_FOLDER     the shares of tokens are counted in the run's data
    seqdiff train protein-blosum --data … --out …          with model.base = FOLDER

Source: Henikoff and Henikoff, "Amino acid substitution matrices from protein blocks", 1992. The numbers come from Biopython.
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from domains.protein import AMINO_ACIDS
from domains.protein.data import BREAK, UNKNOWN
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import AlphabetError, ConfigError
from seqdiff.processes.generators import similar
from seqdiff.processes.matrix import RateMatrix
from seqdiff.schedules import Cosine, Schedule
from seqdiff.systems.d3pm import D3PM
from seqdiff.training.data import EncodedData

HALF_BITS = 2 / math.log(2)  # a score is 2 log₂ of the odds q_ij / (p_i p_j): exp(score / HALF_BITS) are the odds
COLUMNS = {**{letter: letter for letter in AMINO_ACIDS}, UNKNOWN: "X", BREAK: "*"}  # token → its column of the matrix
SIZE = {"width": 96, "depth": 3, "heads": 4, "qk_gain": True, "rotary_base": 100.0, "convolution": 5, "edges": True}


def blosum62(tokens: Sequence[str] = AMINO_ACIDS) -> Tensor:
    """(V, V) float64 scores between tokens, in their order: amino acids in one letter, X, and the chain break as "none".

    Raises AlphabetError for another token, ConfigError where Biopython is not installed.
    """
    try:
        from Bio.Align import substitution_matrices
    except ImportError:
        raise ConfigError("BLOSUM62: expected Biopython to be installed; run: pip install biopython") from None
    if unknown := [token for token in tokens if token not in COLUMNS]:
        raise AlphabetError(f"BLOSUM62: expected tokens among {AMINO_ACIDS}, X and /, got {', '.join(map(repr, unknown[:5]))}")
    scores = substitution_matrices.load("BLOSUM62")
    columns = [COLUMNS[token] for token in tokens]
    return torch.tensor([[scores[a, b] for b in columns] for a in columns], dtype=torch.float64)  # type: ignore[index]


def blosum_process(
    schedule: Schedule,
    tokens: Sequence[str] = AMINO_ACIDS,
    temperature: float = HALF_BITS,
    stationary: Tensor | None = None,
) -> RateMatrix:
    """The chain whose rates follow BLOSUM62: at the default temperature proportional to its odds, row by row, symmetrised.

    Args:
        stationary: (V,) frequencies of the tokens that noise tends to; None: all alike.
    """
    return RateMatrix(similar(blosum62(tokens), temperature, stationary), schedule, len(tokens))


def shares(data: EncodedData) -> Tensor:
    """(V,) shares of the tokens in the training rows, one count added to each."""
    tokens = data.tokens[np.repeat(~data.held_out, data.lengths)]
    counts = torch.from_numpy(np.bincount(tokens, minlength=len(data.alphabet))).double() + 1
    return counts / counts.sum()


def beginning(data: EncodedData, size: dict | None = None, seed: int = 0) -> Checkpoint:
    """A network that has learnt nothing, for this noise over the data's tokens and classes: D3PM, T = 128, cosine schedule."""
    torch.manual_seed(seed)
    sizes = {"vocabulary": len(data.alphabet), "labels": len(data.label_names), "time_input": True, **(size or SIZE)}
    network = Transformer(TransformerConfig(**sizes))
    system = D3PM(blosum_process(Cosine(), data.alphabet.tokens, stationary=shares(data)))
    lengths = {name: [0] * int(data.lengths.max()) + [0] for name in data.label_names or ("all",)}
    return Checkpoint(network, system, data.alphabet, data.label_names, lengths)


def main(folder: Path, run: Path, size: dict | None = None) -> None:
    data = EncodedData.load(run / "data.safetensors")
    beginning(data, size).save(folder, "# BLOSUM62 noise\n\nA network that has learnt nothing, to be trained.\n", "float32")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise ConfigError("blosum: expected a folder to write and the folder of a training run, which holds data.safetensors")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
