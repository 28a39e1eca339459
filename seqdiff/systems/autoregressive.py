"""The autoregressive control: a left-to-right transformer with its exact likelihood. It keeps no pins but a prefix."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.likelihood import Bound
from seqdiff.objective import cross_entropy
from seqdiff.samplers.drive import batches_by_length
from seqdiff.systems.base import Rows, System


@dataclass(frozen=True)
class Autoregressive(System):
    """Objective: −log p(x_0), exactly. As many passes as tokens."""

    process: None = None
    sampler: str = "left-to-right"

    def terms(self, network, rows: Rows):
        logits = network(rows.x_0, None, rows.label, rows.mask_lengths)
        return {"nll": cross_entropy(logits, rows.x_0, rows.real)}

    def bound(self, network, x_0, label, draws=4, seed=0):
        nats = -network.log_likelihood(x_0, label)
        return Bound(nats, torch.zeros_like(nats), torch.full_like(x_0[:, 0], x_0.shape[1]))

    def sample(self, network, canvases, seed, steps=0, label=None, batch_size: int = 64, first_sample: int = 0, **how):
        for batch in batches_by_length(canvases, batch_size):
            classes: Tensor | None = None if label is None else torch.full((len(batch.index),), label)
            yield batch.index, network.sample(batch.tokens, seed, batch.index + first_sample, classes, **how)
