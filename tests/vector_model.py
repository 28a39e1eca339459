"""The sibling on vectors of a checkpoint of random weights: the same alphabet, classes and lengths."""

from dataclasses import replace

import torch

from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.transformer import TransformerConfig
from seqdiff.processes.gaussian import VariancePreserving
from seqdiff.schedules import Sqrt
from seqdiff.systems.embedding_diffusion import EmbeddingDiffusion, EmbeddingNetwork


def on_vectors(checkpoint: Checkpoint, likely: dict[str, float] | None = None) -> Checkpoint:
    """likely: tokens that are to be drawn more often, and by how many nats."""
    V, D = len(checkpoint.alphabet), 8
    network = EmbeddingNetwork(TransformerConfig(V, width=16, depth=1, heads=2, labels=2, input_width=D, output_width=D))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        network.embedding.vectors.mul_(5)
        for token, nats in (likely or {}).items():
            e = network.embedding.table()[checkpoint.alphabet.ids[token]]
            network.transformer.head.bias += nats * e / e.norm()
    system = EmbeddingDiffusion(VariancePreserving(Sqrt()))
    return replace(checkpoint, network=network.eval().requires_grad_(False), system=system)
