"""SEDD (absorbing): the network gives ratios q_t(y)/q_t(x_t), trained by the denoising score entropy.

Under the absorbing process the ratio at a mask is e^{−σ̄}/(1 − e^{−σ̄}) · c(y, x_t); as SEDD's own code does, the network
gives log c, the known factor being taken out. Nothing makes c sum to 1 in training: that is what sets it apart from MDLM,
whose bound it has at normalised c (Ou et al., RADD, 2024). Samplers see c normalised.
Source: Lou, Meng, Ermon, "Discrete diffusion modeling by estimating the ratios of the data distribution", 2024, eq. 10.
"""

from dataclasses import dataclass

import torch

from seqdiff.likelihood import continuous_bound
from seqdiff.objective import t_dse
from seqdiff.processes.absorbing import Absorbing
from seqdiff.systems.base import Rows, System


@dataclass(frozen=True)
class SEDD(System):
    """Process: absorbing, log-linear in the paper; times uniform in the mask rate, with the weight that asks for."""

    process: Absorbing
    sampler: str = "event-driven"

    def terms(self, network, rows: Rows):
        t = self.process.schedule.inverse(rows.times())
        # E over t uniform equals E over the mask rate u = 1 − α_t, uniform, of the loss divided by du/dt.
        per_rate = self.process.schedule.mask_rate_prime(t)
        masked = (rows.uniform() < self.process.schedule.mask_rate(t).unsqueeze(-1)) & rows.real
        x_t = torch.where(masked, self.process.mask, rows.x_0)
        log_c = network(x_t, t, rows.label, rows.mask_lengths)
        return {"score-entropy": t_dse(self.process, log_c, rows.x_0, x_t, t) / per_rate}

    def bound(self, network, x_0, label, draws=4, seed=0):
        return continuous_bound(network, self.process, x_0, draws, seed, label)
