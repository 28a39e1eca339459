"""Likelihoods of masked denoisers without time input, as of a model that reveals one position at a time in random order.

For one order π of reveals, log p_π(x_0) = Σ_j log p(x_0^{π_j} | x_0^{π_<j}) is exact. Two things are made of it:

    E_π[−log p_π(x_0)]       the any-order bound: what the absorbing process's continuous-time bound equals
    −log E_π[p_π(x_0)]       the exact −log-likelihood of what first-hitting sampling draws, by Jensen never larger

Shapes: B batch, L length, V vocabulary, K draws per row. Sources: Uria et al., "A deep and tractable density estimator",
2014; Hoogeboom et al., "Autoregressive diffusion models", 2022; Ou et al., RADD, 2024; Burda et al., "Importance weighted
autoencoders", 2016.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seqdiff.errors import ConditionError
from seqdiff.likelihood.bound import Bound
from seqdiff.noise import Stream, uniform
from seqdiff.objective import hide

_MOST_FREE = 14  # 2^14 rows of the denoiser for each sequence
_CHUNK = 4096  # rows of the denoiser at once


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
    """The mean over reveal orders by Monte Carlo; of the free positions given the others.

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
        x_t = hide(x_0, mask, n, u, free)
        nll = F.cross_entropy(denoiser(x_t, None, label).double().transpose(1, 2), x_0, reduction="none")
        estimates.append(N / n * (nll * (x_t == mask)).sum(-1))
    return Bound.from_draws(torch.stack(estimates), N)


@dataclass(frozen=True)
class AnyOrder:
    """Both (B,) nats, without error.

    Attributes:
        bound: the mean over all N! orders of −log p_π(x_0).
        exact: −log of the mean over all orders of p_π(x_0): −log-likelihood of the random-order model.
    """

    bound: Tensor
    exact: Tensor


@torch.no_grad()
def exact_any_order(denoiser, mask: int, x_0: Tensor, label: Tensor | None = None, free: Tensor | None = None) -> AnyOrder:
    """Both means over the N! orders, by recursion over the 2^N sets M of masked positions.

        f(M) = 1/|M| Σ_{i ∈ M} [log p(x_0^i | x_{¬M}) + f(M∖i)],      g(M) = 1/|M| Σ_{i ∈ M} p(x_0^i | x_{¬M}) g(M∖i)

    Args:
        x_0: (B, L) clean ids.
        free: (L,) bool, the N ≤ 14 positions to score, given the others. None scores all.
    """
    B, L = x_0.shape
    device = x_0.device
    columns = torch.arange(L, device=device) if free is None else free.nonzero().squeeze(-1).to(device)
    N = len(columns)
    if N > _MOST_FREE:
        raise ConditionError(
            f"exact any-order likelihood: expected at most {_MOST_FREE} free positions, got {N} (2^{N} passes a row); "
            "use any_order_bound"
        )
    sets = torch.arange(2**N, device=device)
    bit = 1 << torch.arange(N, device=device)
    member = (sets.unsqueeze(-1) & bit) > 0  # (2^N, N)
    without = sets.unsqueeze(-1) ^ bit
    hidden = torch.zeros(2**N, L, dtype=torch.bool, device=device).index_copy(1, columns, member)
    x_t = torch.where(hidden, mask, x_0.unsqueeze(1)).flatten(0, 1)
    targets = x_0.repeat_interleave(2**N, 0)
    labels = None if label is None else label.repeat_interleave(2**N)
    log_p = torch.empty(len(x_t), L, dtype=torch.float64, device=device)
    for chunk in torch.arange(len(x_t), device=device).split(_CHUNK):
        log_law = denoiser(x_t[chunk], None, labels if labels is None else labels[chunk]).double().log_softmax(-1)
        log_p[chunk] = log_law.gather(-1, targets[chunk].unsqueeze(-1)).squeeze(-1)
    log_p = log_p.reshape(B, 2**N, L)[..., columns]
    f, log_g = torch.zeros(2, B, 2**N, dtype=torch.float64, device=device)
    for n in range(1, N + 1):
        here = sets[member.sum(-1) == n]
        inside, step = member[here], log_p[:, here]
        f[:, here] = torch.where(inside, step + f[:, without[here]], 0.0).sum(-1) / n
        each = torch.where(inside, step + log_g[:, without[here]], float("-inf"))
        log_g[:, here] = each.logsumexp(-1) - math.log(n)
    return AnyOrder(-f[:, -1], -log_g[:, -1])


@torch.no_grad()
def importance_any_order_bound(
    denoiser, mask: int, x_0: Tensor, orders: int = 8, draws: int = 4, seed: int = 0, label: Tensor | None = None
) -> Bound:
    """E[−log 1/K Σ_k p_{π_k}(x_0)] over K = `orders` random orders: the any-order bound at K = 1, falling to the exact value.

    A mean over `draws` sets of orders; L · K · draws passes.
    """
    B, L = x_0.shape
    rows = torch.arange(B, device=x_0.device).unsqueeze(-1)
    columns = torch.arange(L, device=x_0.device)
    log_p = torch.zeros(draws * orders, B, dtype=torch.float64, device=x_0.device)
    for k in range(draws * orders):
        u = uniform(seed, rows, k, columns, Stream.CORRUPT, device=x_0.device)
        last = u.argsort(-1)
        for n in range(L, 0, -1):
            x_t = hide(x_0, mask, torch.full((B,), n, device=x_0.device), u)
            i = last[:, n - 1 : n]  # revealed next
            log_law = denoiser(x_t, None, label).double().log_softmax(-1).gather(1, i.unsqueeze(-1).expand(B, 1, mask))
            log_p[k] += log_law.squeeze(1).gather(1, x_0.gather(1, i)).squeeze(-1)
    log_mean = log_p.reshape(draws, orders, B).logsumexp(1) - math.log(orders)
    return Bound.from_draws(-log_mean, torch.full((B,), L, device=x_0.device))
