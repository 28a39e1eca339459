"""RDM: a reweighted masked bound at two coupled times, sampled by routing.

    L = ½ Σ_{k ∈ {j, l}} (1 − (k − 1)/T) Σ_{i masked at k} −log p(x_0^i | x_k),   x_l ~ q(x_l | x_0), x_j ~ q(x_j | x_l, x_0)

with j < l. Source: Zheng et al., "A reparameterized discrete diffusion model for text generation", 2023, eq. 8 and
appendix G. Each of the two steps is uniform on 1 … T; here they lie half of the times apart. With its checkpoints DNDM
draws the transition times first (Chen et al., 2023): the same system with the sampler "transition-times".
"""

from dataclasses import dataclass

import torch

from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.objective import draw_pair, rdm_loss
from seqdiff.systems.base import Rows
from seqdiff.systems.mdlm import MDLM


@dataclass(frozen=True)
class RDM(MDLM):
    """Process: absorbing. T = `steps` in training."""

    steps: int = 64
    sampler: str = "routing"

    def __post_init__(self):
        if self.steps < 2:
            raise ConfigError(f"rdm: expected at least 2 steps, got {self.steps}")

    def terms(self, network, rows: Rows):
        v = rows.times()
        both = torch.stack([v, 1 - (1.5 - v) % 1])  # the second is v + ½, once around
        s, t = ((both * self.steps).ceil() / self.steps).sort(0).values
        x_0 = rows.x_0.clamp(max=self.process.vocabulary - 1)
        pair = draw_pair(self.process, x_0, s, t, rows.uniform(stream=Stream.REVEAL), rows.uniform())
        nats = torch.zeros(len(x_0), device=x_0.device)
        for x, time in zip(pair, (s, t), strict=True):
            logits = network(x, time, rows.label, rows.mask_lengths)
            nats = nats + rdm_loss(logits, x_0, x, time - 1 / self.steps, rows.real) / 2
        return {"cross-entropy": nats}
