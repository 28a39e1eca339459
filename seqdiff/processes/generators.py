"""Generators R of Markov chains on tokens: what moves to what, at which rate.

Every one but the first two is scaled so that a token of the stationary law moves at rate 1 on average (−Σ π_i R_ii = 1);
the uniform one keeps its paper's form, where 1/V of the moves are to the token itself.
Source: Austin et al., D3PM, 2021, appendix A.2.
"""

import torch
from torch import Tensor

from seqdiff.errors import ConfigError


def uniform(vocabulary: int) -> Tensor:
    """1/V − δ: redrawn at rate 1. `RateMatrix` of it is the process `Uniform`."""
    return torch.full((vocabulary, vocabulary), 1 / vocabulary, dtype=torch.float64) - torch.eye(vocabulary).double()


def absorbing(vocabulary: int) -> Tensor:
    """(V + 1, V + 1): every token becomes the mask V at rate 1. `RateMatrix` of it is the process `Absorbing`."""
    R = -torch.eye(vocabulary + 1, dtype=torch.float64)
    R[:, -1] += 1
    return R


def neighbours(vectors: Tensor, k: int) -> Tensor:
    """To the k nearest in Euclidean distance: (G + Gᵀ)/(2k) with G_ij = 1 where j is among the k nearest of i.

    Symmetric, so the stationary law is uniform; it takes a k that connects all tokens. vectors are (V, D).
    """
    V = len(vectors)
    if not 1 <= k < V:
        raise ConfigError(f"nearest neighbours: expected k from 1 to V − 1 = {V - 1}, got {k}")
    distance = torch.cdist(vectors.double(), vectors.double(), compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distance.fill_diagonal_(torch.inf).topk(k, largest=False).indices
    G = torch.zeros(V, V, dtype=torch.float64).scatter_(1, nearest, 1.0)
    return generator_of(G + G.T)


def similar(similarity: Tensor, temperature: float = 1.0, stationary: Tensor | None = None) -> Tensor:
    """R_ij ∝ (p_ij + p_ji) π_j, p_i = softmax over j ≠ i of similarity_ij / temperature: to what is alike, and common.

    Reversible with the given stationary law π (V,), uniform if None; then R is symmetric. similarity is (V, V).
    """
    if not temperature > 0:
        raise ConfigError(f"similarity: expected temperature > 0, got {temperature}")
    V = len(similarity)
    if similarity.shape != (V, V) or V < 2:
        raise ConfigError(f"similarity: expected a matrix (V, V) with V ≥ 2, got {tuple(similarity.shape)}")
    logits = (similarity.double() / temperature).masked_fill(torch.eye(V, dtype=torch.bool), -torch.inf)
    p = torch.softmax(logits, -1)
    return generator_of(p + p.T, stationary)


def gaussian(vocabulary: int, width: float) -> Tensor:
    """R_ij ∝ exp(−(i − j)²/(2 width²)) for ordered tokens (levels, counts): symmetric, the stationary law is uniform."""
    if not width > 0 or vocabulary < 2:
        raise ConfigError(f"gaussian band: expected width > 0 and V ≥ 2, got {width} and {vocabulary}")
    i = torch.arange(vocabulary, dtype=torch.float64)
    return generator_of(torch.exp(-(i.unsqueeze(-1) - i).square() / (2 * width**2)))


def generator_of(exchange: Tensor, stationary: Tensor | None = None) -> Tensor:
    """R_ij ∝ exchange_ij π_j off the diagonal, scaled to a mean rate of 1; exchange (S, S) is symmetric, ≥ 0."""
    S = len(exchange)
    pi = torch.full((S,), 1 / S, dtype=torch.float64) if stationary is None else stationary.double()
    if pi.shape != (S,) or not bool((pi > 0).all()):
        raise ConfigError(f"stationary law: expected {S} positive numbers, got {tuple(pi.shape)}, least {float(pi.min()):.3g}")
    pi = pi / pi.sum()
    R = exchange.double() * pi
    R = R - R.diagonal().diag()
    R = R - R.sum(-1).diag()
    return R / -(pi * R.diagonal()).sum()
