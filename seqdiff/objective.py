"""What is minimised: the continuous-time bound of the absorbing process, with low-discrepancy times.

    −log p(x_0) ≤ E_t E_{x_t} [ −α′_t/(1 − α_t) · Σ_{i masked} −log p(x_0^i | x_t) ]  (+ α_1 · CE(all masked))

Source: Sahoo et al., "Simple and effective masked diffusion language models", 2024, eq. 10. As the bound depends on
t only through u = 1 − α_t (substitute: −α′_t dt = du), training draws u itself, uniform and stratified.
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
    """(t, x_t) for the rows of x_0 (B, L): a stratified mask rate a row, its time, masks from counter-based noise."""
    B, L = x_0.shape
    rate = antithetic_times(B, uniform(seed, 0, step, 0, Stream.TIME, device=x_0.device))
    u = uniform(seed, sample.unsqueeze(-1), step, torch.arange(L, device=x_0.device), Stream.CORRUPT, device=x_0.device)
    return process.schedule.inverse(rate), torch.where(u < rate.unsqueeze(-1), process.mask, x_0)


def training_loss(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, lengths: Tensor) -> Tensor:
    """(B,) nats per row: (N + 1)/n · Σ over the n masked positions of −log p(x_0 | x_t), for rows of N = lengths tokens.

    The bound's weight 1/u, averaged over the u that lead to n masks: u | n ~ Beta(n + 1, N − n + 1) has E[1/u | n] =
    (N + 1)/n. The expectation is that of the bound and the variance smaller (Rao–Blackwell): 1/u has no finite
    second moment where a single position is masked, and such rows would lead the gradient now and then.
    """
    masked = x_t == process.mask
    n = masked.sum(-1)
    return (lengths + 1) / n.clamp(min=1) * (_nll(logits, x_0) * masked).sum(-1)


def masked_cross_entropy(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """(B,) nats per row: weight(t) · Σ over masked positions of −log p(x_0 | x_t). Pads are never masked."""
    masked = x_t == process.mask
    return process.schedule.weight(t).float() * (_nll(logits, x_0) * masked).sum(-1)


def _nll(logits: Tensor, x_0: Tensor) -> Tensor:
    """−log p(x_0 | x_t), (B, L) float32; pads are read as some token and masked out by the caller."""
    return F.cross_entropy(logits.float().transpose(1, 2), x_0.clamp(max=logits.shape[-1] - 1), reduction="none")
