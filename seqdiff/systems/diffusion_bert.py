"""DiffusionBERT: masked diffusion under a schedule a token, by default the spindle, which masks informative tokens earlier.

    L = E_{t ~ U(0, 1)} Σ_{i masked} −(dα(τ_i(t))/dt)/(1 − α(τ_i(t))) · −log p(x_0^i | x_t),   masked with 1 − α(τ_i(t))

Source: He et al., "DiffusionBERT: improving generative masked language models with diffusion models", 2023, §3.1, here in
continuous time. There the network, without time input, starts as a pretrained BERT.

By the chain rule the plain p(x_0 | x_t) has the entropy as its mean under any of these schedules. Under the spindle the
masks tell of x_0, so the minimum lies lower and the objective is no bound; the paper samples with the spindle of the
predicted tokens. Here it shapes training alone: sampling and the bound are the plain process's. A schedule a position
does not look at tokens, its minimum is the plain p, and nothing is lost.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from seqdiff.local_times import LocalTime, information, local_time_from_config, local_weight
from seqdiff.objective import local_cross_entropy
from seqdiff.systems.base import Rows
from seqdiff.systems.mdlm import MDLM


@dataclass(frozen=True)
class DiffusionBERT(MDLM):
    """Process: absorbing, linear in the paper.

    Attributes:
        clock: table of a local time, {"kind": "spindle", "information": […], "strength": 0.3} or {"kind": "position",
            "power": […]}; a spindle takes a missing `information` from the counts of the training tokens. None: MDLM.
    """

    clock: dict | None = None

    @cached_property
    def local_time(self) -> LocalTime | None:
        return None if self.clock is None else local_time_from_config(self.clock)

    def counted(self, counts):
        clock = self.clock or {"kind": "spindle"}
        if clock.get("kind") == "spindle":
            clock = {"information": information(counts).tolist()} | clock
        local_time_from_config(clock)  # refused here rather than at the first step
        return replace(self, clock=clock)

    def terms(self, network, rows: Rows):
        if self.local_time is None:
            return super().terms(network, rows)
        t, schedule = rows.times(), self.process.schedule
        masked = (rows.uniform() < schedule.mask_rate(self.local_time(t, rows.x_0))) & rows.real
        x_t = torch.where(masked, self.process.mask, rows.x_0)
        logits = network(x_t, t, rows.label, rows.mask_lengths)
        weight = local_weight(schedule, self.local_time, t, rows.x_0)
        return {"bound": local_cross_entropy(self.process, logits, rows.x_0, x_t, weight)}
