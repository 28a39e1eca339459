"""What is minimised: the continuous-time bound of the absorbing process, with low-discrepancy times.

    −log p(x_0) ≤ E_t E_{x_t} [ −α′_t/(1 − α_t) · Σ_{i masked} −log p(x_0^i | x_t) ]  (+ α_1 · CE(all masked))

Source: Sahoo et al., "Simple and effective masked diffusion language models", 2024, eq. 10.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqdiff.noise import Stream, uniform
from seqdiff.processes.absorbing import Absorbing


def antithetic_times(B: int, u: Tensor) -> Tensor:
    """(B,) times (u + i)/B mod 1, stratified over (0, 1]: each is uniform, together they cover the interval.

    Source: Kingma et al., "Variational diffusion models", 2021, appendix I.
    """
    return 1 - (u + torch.arange(B, dtype=torch.float64, device=u.device) / B) % 1


def draw_corruption(process: Absorbing, x_0: Tensor, seed: int, step: int, sample: Tensor) -> tuple[Tensor, Tensor]:
    """(t, x_t) for the rows of x_0 (B, L): one stratified time a row, masks from counter-based noise."""
    B, L = x_0.shape
    t = antithetic_times(B, uniform(seed, 0, step, 0, Stream.TIME, device=x_0.device))
    u = uniform(seed, sample.unsqueeze(-1), step, torch.arange(L, device=x_0.device), Stream.CORRUPT, device=x_0.device)
    return t, process.corrupt(x_0, t, u)


def masked_cross_entropy(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """(B,) nats per row: weight(t) · Σ over masked positions of −log p(x_0 | x_t). Pads are never masked."""
    nll = F.cross_entropy(logits.float().transpose(1, 2), x_0.clamp(max=logits.shape[-1] - 1), reduction="none")
    masked = x_t == process.mask
    return process.schedule.weight(t).float() * (nll * masked).sum(-1)
