"""Noise that exchanges amino acids for alike ones: BLOSUM62 as the token distance of a diffusion process.

Source: Henikoff and Henikoff, "Amino acid substitution matrices from protein blocks", 1992. The numbers come from Biopython.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from domains.protein import AMINO_ACIDS
from seqdiff.errors import AlphabetError, ConfigError
from seqdiff.processes.generators import similar
from seqdiff.processes.matrix import RateMatrix
from seqdiff.schedules import Schedule

HALF_BITS = 2 / math.log(2)  # a score is 2 log₂ of the odds q_ij / (p_i p_j): exp(score / HALF_BITS) are the odds


def blosum62(tokens: Sequence[str] = AMINO_ACIDS) -> Tensor:
    """(V, V) float64 scores between tokens, each one of the twenty amino acids in one letter, in the tokens' order.

    Raises AlphabetError for another token, ConfigError where Biopython is not installed.
    """
    try:
        from Bio.Align import substitution_matrices
    except ImportError:
        raise ConfigError("BLOSUM62: expected Biopython to be installed; run: pip install biopython") from None
    if unknown := [token for token in tokens if len(token) != 1 or token not in AMINO_ACIDS]:
        raise AlphabetError(f"BLOSUM62: expected tokens among {AMINO_ACIDS}, got {', '.join(map(repr, unknown[:5]))}")
    scores = substitution_matrices.load("BLOSUM62")
    return torch.tensor([[scores[a, b] for b in tokens] for a in tokens], dtype=torch.float64)  # type: ignore[index]


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
