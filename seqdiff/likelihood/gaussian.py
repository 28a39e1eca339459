"""A bound on −log p(x_0) of tokens under a Gaussian process on their embeddings.

    −log p(x_0) ≤ KL(q(x_{t1} | x_0) ‖ N(0, b² I)) + ½ ∫ e^λ |e_{x_0} − x̂0(x_λ)|² dλ + E[−log p(x_0 | x_{t0})]

with λ = log SNR from t1 (noise) to t0 (nearly clean), in continuous time. The last term draws every token from
p(x_0 | x_{t0}) on its own, as the sampler does.
Sources: Kingma et al., "Variational diffusion models", 2021, eq. 17; Gulrajani and Hashimoto, Plaid, 2023.
Shapes: B batch, L length, D width, V vocabulary, K draws per row.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqdiff.embedding import EmbeddedProcess
from seqdiff.likelihood.bound import Bound
from seqdiff.noise import Stream, normal, uniform


@torch.no_grad()
def embedded_bound(
    denoiser,
    process: EmbeddedProcess,
    x_0: Tensor,
    draws: int = 8,
    seed: int = 0,
    label: Tensor | None = None,
    t_max: float = 0.999,
    t_min: float = 0.01,
    free: Tensor | None = None,
    rows: Tensor | None = None,
) -> Bound:
    """K stratified λ per row, uniform from λ(t_max) to λ(t_min); x̂0 = Σ_v p(v | x_t) e_v. Rows of one length.

    The denoiser returns log p(x_0 | x_t) up to a constant.

    Args:
        free: (B, L) bool, positions to score; the others are given, and clean in every x_t. None scores all.
        rows: (B,) number of each row in the noise; None: its place.
    """
    B, L = x_0.shape
    free = torch.ones_like(x_0, dtype=torch.bool) if free is None else free
    D, device = process.embedding.width, x_0.device
    rows = torch.arange(B, device=device) if rows is None else rows.to(device)
    words = torch.arange(L * D, device=device).reshape(L, D)
    e = process.embedding.encode(x_0).double()
    t_1, t_0 = (torch.full((B,), t, dtype=torch.float64, device=device) for t in (t_max, t_min))
    low, high = process.process.log_snr(t_1), process.process.log_snr(t_0)
    prior = low.exp() / 2 * (e.square().sum(-1) * free).sum(-1)
    start = uniform(seed, rows, 0, 0, Stream.TIME, device=device)

    def noisy(t: Tensor, k: int) -> Tensor:
        eps = normal(seed, rows[:, None, None], k, words, Stream.CORRUPT, device=device)
        return torch.where(free.unsqueeze(-1), process.process.corrupt(e, t, eps), e)

    estimates = []
    for k in range(draws):
        log_snr = low + (high - low) * ((start + k / draws) % 1)
        t = process.process.time(log_snr)
        p_x0 = denoiser(noisy(t, 2 * k), t, label).double().softmax(-1)
        error = ((e - process.embedding.mean(p_x0)).square().sum(-1) * free).sum(-1)
        logits = denoiser(noisy(t_0, 2 * k + 1), t_0, label).double()
        last = F.cross_entropy(logits.transpose(1, 2), x_0, reduction="none")
        estimates.append(prior + (high - low) / 2 * log_snr.exp() * error + (last * free).sum(-1))
    return Bound.from_draws(torch.stack(estimates), free.sum(-1))
