"""Bounds on −log p(x_0), in nats, each with its standard error.

Shapes: B batch, L length, V vocabulary, K draws per row.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seqdiff.noise import Stream, uniform
from seqdiff.objective import masked_cross_entropy
from seqdiff.processes.absorbing import Absorbing


@dataclass(frozen=True)
class Bound:
    """Upper bounds on −log p(x_0) of B rows.

    Attributes:
        nats: (B,) estimate per row.
        error: (B,) standard error of each estimate over its K draws (stratified draws make it conservative).
        lengths: (B,) tokens per row.
    """

    nats: Tensor
    error: Tensor
    lengths: Tensor

    def per_token(self) -> tuple[float, float]:
        """(nats per token over all rows, its standard error over rows drawn from a population)."""
        total = self.lengths.sum()
        mean = self.nats.sum() / total
        residual = self.nats - mean * self.lengths
        error = residual.square().sum().sqrt() / total
        return float(mean), float(error)

    @staticmethod
    def cat(bounds: list["Bound"]) -> "Bound":
        """Bounds of several groups of rows, joined."""
        return Bound(*(torch.cat([getattr(b, name) for b in bounds]) for name in ("nats", "error", "lengths")))


@torch.no_grad()
def continuous_bound(
    denoiser, process: Absorbing, x_0: Tensor, draws: int = 8, seed: int = 0, label: Tensor | None = None
) -> Bound:
    """The continuous-time bound by Monte Carlo over K stratified times per row (MDLM, eq. 10); rows of one length.

    It does not depend on the schedule. If the schedule ends at α_1 > 0, the jump to 0 adds α_1 · CE(all masked).
    """
    B, L = x_0.shape
    rows = torch.arange(B, device=x_0.device)
    columns = torch.arange(L, device=x_0.device)
    start = uniform(seed, rows, 0, 0, Stream.TIME, device=x_0.device)
    estimates = []
    for k in range(draws):
        t = 1 - (start + k / draws) % 1
        u = uniform(seed, rows.unsqueeze(-1), k, columns, Stream.CORRUPT, device=x_0.device)
        x_t = process.corrupt(x_0, t, u)
        estimates.append(masked_cross_entropy(process, denoiser(x_t, t, label), x_0, x_t, t).double())
    nats = torch.stack(estimates)
    one = torch.ones(B, dtype=torch.float64, device=x_0.device)
    if (alpha_1 := float(process.schedule.alpha(one[:1]))) > 0:
        all_masked = process.prior(u)
        jump = F.cross_entropy(denoiser(all_masked, one, label).transpose(1, 2).double(), x_0, reduction="none").sum(-1)
        nats = nats + alpha_1 * jump
    return Bound(nats.mean(0), _standard_error(nats), torch.full_like(rows, L))


@torch.no_grad()
def any_order_bound(
    denoiser,
    mask: int,
    x_0: Tensor,
    draws: int = 8,
    seed: int = 0,
    label: Tensor | None = None,
    free: Tensor | None = None,
    sample: Tensor | None = None,
) -> Bound:
    """The same bound as a mean over reveal orders, with less variance; of the free positions given the others.

        E_{n ~ U(1…N)} E_{|M| = n} [ N/n · Σ_{i ∈ M} −log p(x_0^i | x_{¬M}) ]

    where N counts the free positions of a row: the any-order autoregressive form of the absorbing bound (Ou et al.,
    RADD, 2024; Hoogeboom et al., 2022). K stratified n per row. Needs a denoiser without time input.

    Args:
        x_0: (B, L) clean ids, rows of one length.
        free: (B, L) bool, positions to score; the others are given. None scores all.
        sample: (B,) numbers of the rows in the noise, so that an estimate does not depend on the batch; None is 0 … B−1.
    """
    B, L = x_0.shape
    free = torch.ones_like(x_0, dtype=torch.bool) if free is None else free
    N = free.sum(-1)
    rows = torch.arange(B, device=x_0.device) if sample is None else sample.to(x_0.device)
    start = uniform(seed, rows, 0, 0, Stream.TIME, device=x_0.device)
    estimates = []
    for k in range(draws):
        n = ((start + k / draws) % 1 * N).long() + 1
        u = uniform(seed, rows.unsqueeze(-1), k, torch.arange(L, device=x_0.device), Stream.CORRUPT, device=x_0.device)
        rank = torch.where(free, u, 2.0).argsort(-1).argsort(-1)
        masked = free & (rank < n.unsqueeze(-1))
        logits = denoiser(torch.where(masked, mask, x_0), None, label).double()
        nll = F.cross_entropy(logits.transpose(1, 2), x_0, reduction="none")
        estimates.append(N / n * (nll * masked).sum(-1))
    nats = torch.stack(estimates)
    return Bound(nats.mean(0), _standard_error(nats), N)


def _standard_error(draws: Tensor) -> Tensor:
    K = draws.shape[0]
    return draws.std(0) / K**0.5 if K > 1 else torch.full_like(draws[0], float("inf"))
