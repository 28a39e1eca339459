"""MDLM: masked diffusion, p(x_0 | x_t) by a transformer, the continuous-time bound, revealed tokens carried over.

Source: Sahoo et al., "Simple and effective masked diffusion language models", 2024; without time input it is RADD (Ou et
al., 2024), with other schedules MD4 (Shi et al., 2024). The bound does not depend on the schedule, so times are drawn
uniform in the mask rate.
"""

from dataclasses import dataclass

import torch

from seqdiff.likelihood import continuous_bound
from seqdiff.objective import training_loss
from seqdiff.processes.absorbing import Absorbing
from seqdiff.systems.base import Rows, System


@dataclass(frozen=True)
class MDLM(System):
    """Process: absorbing. Objective: the bound, its weight averaged over the mask rates that lead to a count of masks."""

    process: Absorbing
    sampler: str = "event-driven"

    def terms(self, network, rows: Rows):
        rate = rows.times()
        masked = (rows.uniform() < rate.unsqueeze(-1)) & rows.real
        x_t = torch.where(masked, self.process.mask, rows.x_0)
        logits = network(x_t, self.process.schedule.inverse(rate), rows.label, rows.mask_lengths)
        return {"bound": training_loss(self.process, logits, rows.x_0, x_t, rows.lengths)}

    def bound(self, network, x_0, label, draws=4, seed=0):
        return continuous_bound(network, self.process, x_0, draws, seed, label)
