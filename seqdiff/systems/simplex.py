"""Diffusion on the simplex: tokens as vectors of ±K logits, a network that reads softmax(x_t), cross-entropy alone.

    x_t = √ᾱ_t s_{x_0} + √(1 − ᾱ_t) K ε,   s_v = +K at v and −K elsewhere,   x̂0 = Σ_v p(v | x_t) s_v

Sources: Han et al., SSD-LM, 2022; Karimi Mahabadi et al., TESS, 2023 (self-conditioning on the simplex: the mean of
softmax(x_t) and the last p; partial noising). Both papers project a drawn or greedy token onto ±K at each step where x̂0
here is the mean, and SSD-LM goes from block to block.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.embedding import EmbeddedProcess, Embedding
from seqdiff.likelihood.gaussian import embedded_bound
from seqdiff.noise import Stream, normal
from seqdiff.objective import cross_entropy
from seqdiff.processes.gaussian import VariancePreserving
from seqdiff.systems.base import Rows, System
from seqdiff.systems.given import target


class OnSimplex:
    """A network of vectors (B, L, V) → logits as a denoiser of x_t: it reads softmax(x_t), or its mean with the last p."""

    needs_time = True

    def __init__(self, network, K: float, takes_previous: bool):
        self.network, self.K, self.takes_previous = network, K, takes_previous

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None, previous=None) -> Tensor:
        p = x_t.softmax(-1)
        if previous is not None:  # x̂0 = K(2p − 1)
            p = (p + (previous / self.K + 1) / 2) / 2
        return self.network(p.float(), t, label, lengths, positions)


@dataclass(frozen=True)
class SimplexDiffusion(System):
    """Process: variance-preserving on the simplex, its noise factor K.

    Attributes:
        self_condition: whether the last p is read too, half of the time in training.
        separator: token after which the target begins (`seqdiff.systems.given`); None: the whole row.
        t_min, t_max: times that are trained and sampled.
    """

    vectors: VariancePreserving
    sampler: str = "embedded-ddpm"
    self_condition: bool = False
    separator: int | None = None
    t_min: float = 0.01
    t_max: float = 0.999

    def terms(self, network, rows: Rows):
        process, denoiser = self.process_of(network), self.denoiser(network)
        free = target(rows.x_0, self.separator, rows.real)
        x_0 = rows.x_0.clamp(max=process.vocabulary - 1)
        t = self.t_min + (self.t_max - self.t_min) * rows.times()
        words = torch.arange(x_0.numel() // len(x_0) * process.vocabulary, device=x_0.device)
        words = words.reshape(-1, process.vocabulary)
        eps = normal(rows.seed, rows.place[:, None, None], rows.step, words, Stream.CORRUPT, device=x_0.device)
        x_t = torch.where(free.unsqueeze(-1), process.corrupt(x_0, t, eps), process.embedding.encode(x_0))
        previous = None
        if self.self_condition:
            with torch.no_grad():
                p = denoiser(x_t, t, rows.label, rows.mask_lengths).double().softmax(-1)
            # softmax(x_t) in its place leaves the mean as if there were none, as at the first step of sampling
            p = torch.where((rows.uniform(1, Stream.CHOICE) < 0.5).unsqueeze(-1), p, x_t.softmax(-1))
            previous = process.embedding.mean(p)
        logits = denoiser(x_t, t, rows.label, rows.mask_lengths, None, previous)
        return {"cross-entropy": cross_entropy(logits, x_0, free)}

    def bound(self, network, x_0, label, draws=4, seed=0):
        free = target(x_0, self.separator, torch.ones_like(x_0, dtype=torch.bool))
        how = {"t_max": self.t_max, "t_min": self.t_min, "free": free}
        return embedded_bound(self.denoiser(network), self.process_of(network), x_0, draws, seed, label, **how)

    def denoiser(self, network):
        return OnSimplex(network, self.vectors.factor, self.self_condition)

    def process_of(self, network):
        device = next(network.parameters()).device
        return EmbeddedProcess(self.vectors, Embedding.simplex(network.vocabulary, self.vectors.factor).to(device))
