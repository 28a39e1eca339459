"""Objectives of any process on tokens, from canonical p(x_0 | x_t) (B, L, V) float64 (see `seqdiff.parameterisations`).

    −log p(x_0) ≤ Σ_k E KL(q(x_{k−1} | x_k, x_0) ‖ p(x_{k−1} | x_k)) + KL(q(x_1 | x_0) ‖ prior)             T steps
    −log p(x_0) ≤ ∫ E Σ_i Σ_y R_t(y, x_t)[s_y − r_y log s_y + K(r_y)] dt + KL(q(x_1 | x_0) ‖ prior)       continuous time

with x_k at t = k/T, the first of the sum (to x_0) being the reconstruction. Sources: Austin et al., D3PM, 2021, eq. 1;
Campbell et al., "A continuous time framework for discrete denoising models", 2022; Lou et al., SEDD, 2024.

`scored` (B, L) bool are the positions that count, None for all: pads and given tokens do not; they may hold any id.
Where a model gives an event probability 0 the cost is 708 nats instead of infinity, so that gradients stay finite.
"""

import torch
from torch import Tensor

from seqdiff.draws import categorical
from seqdiff.objective.masked import _nll
from seqdiff.parameterisations import ratio_from_p
from seqdiff.processes.base import TokenProcess, nonzero

_TINY = torch.finfo(torch.float64).tiny
# `score_entropy` evaluates later times here: the rate has no limit at 1, its product with the rest has one, and rounding
# takes 1e-10 of it.
_LAST = 1 - 1e-6


def step_kl(
    process: TokenProcess, p_x0: Tensor, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor, scored: Tensor | None = None
) -> Tensor:
    """Σ_i KL(q(x_s | x_t, x_0) ‖ Σ_v p(v | x_t) q(x_s | x_t, v)), (B,); with s = 0 it is −log p(x_0 | x_t)."""
    x_0, x_t = _clean(process, x_0), x_t.clamp(max=process.states - 1)
    q, p = process.bridge(x_t, x_0, s, t), process.posterior(x_t, p_x0.double(), s, t)
    return _over(scored, (torch.xlogy(q, q) - q * p.clamp(min=_TINY).log()).sum(-1))


def prior_kl(process: TokenProcess, x_0: Tensor, scored: Tensor | None = None) -> Tensor:
    """Σ_i KL(q(x_1 | x_0) ‖ prior), (B,), 0 where the process reaches its prior; infinite if it leaves the prior's support."""
    one = torch.ones((), dtype=torch.float64, device=x_0.device)
    q, prior = process.marginal(one), process.prior_law().to(x_0.device)
    kl = (torch.xlogy(q, q) - torch.where(q > 0, q * prior.log(), 0.0)).sum(-1)
    return _over(scored, kl[_clean(process, x_0)])


def discrete_vlb(
    process: TokenProcess, p_x0: Tensor, x_0: Tensor, x_t: Tensor, k: Tensor, steps: int, scored: Tensor | None = None
) -> Tensor:
    """T · step_kl at step k (B,) of T, from t = k/T to (k − 1)/T, plus the prior's term: (B,), k uniform on 1 … T.

    D3PM's L_vb (Austin et al., 2021, eq. 1). D3PM's hybrid objective (eq. 5) adds λ · `cross_entropy`.
    """
    s, t = (k - 1).double() / steps, k.double() / steps
    return steps * step_kl(process, p_x0, x_0, x_t, s, t, scored) + prior_kl(process, x_0, scored)


def score_entropy(
    process: TokenProcess, p_x0: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor, scored: Tensor | None = None
) -> Tensor:
    """Σ_i Σ_{y ≠ x_t} R_t(y, x_t) [ s_y − r_y log s_y + K(r_y) ], K(a) = a (log a − 1), (B,), t uniform.

    The continuous-time bound (without the prior's term) of any process with a rate, SEDD's denoising score entropy (Lou et
    al., 2024, eq. 10): s is the model's ratio q_t(y)/q_t(x_t), r the true one given x_0, q(y | x_0)/q(x_t | x_0), and
    R_t(y, x_t) the rate from y to x_t. In code s − r − r log(s/r), which is the same.

    Under a process that overwrites tokens p must tend to x_t as t → 0, or the bound is infinite: let the network predict
    leave-one-out (`p_from_leave_one_out`). There t = v² with weight 2v, v uniform, has a finite variance, and t uniform not.
    """
    x_0, x_t = _clean(process, x_0), x_t.clamp(max=process.states - 1)
    t = t.clamp(max=_LAST)
    s = ratio_from_p(process, p_x0, x_t, t)
    r = ratio_from_p(process, torch.nn.functional.one_hot(x_0, process.vocabulary), x_t, t)
    log_ratio = (s / nonzero(r)).clamp(min=_TINY).log()
    return _over(scored, (process.rate_into(x_t, t) * (s - r - r * log_ratio)).sum(-1))


def cross_entropy(logits: Tensor, x_0: Tensor, scored: Tensor | None = None) -> Tensor:
    """Σ_i −log p(x_0 | x_t), (B,), from logits: D3PM's auxiliary term (2021, eq. 5), λ = 0.01 or 0.001 there.

    With t uniform it is the objective of discrete flow matching (Gat et al., 2024): no bound, the same minimum. On the
    mask path score the masked positions; weighted by κ'/(1 − κ) = −α'_t/(1 − α_t) it is then MDLM's.
    """
    return _over(scored, _nll(logits, x_0))


def rdm_loss(logits: Tensor, x_0: Tensor, x_t: Tensor, s: Tensor, scored: Tensor | None = None) -> Tensor:
    """(1 − s) · Σ over the positions with x_t ≠ x_0 of −log p(x_0 | x_t), (B,), for a step from t to s.

    Source: Zheng et al., "A reparameterized discrete diffusion model for text generation" (RDM), 2023: the T-step bound has
    the weight (α_s − α_t)/(1 − α_t) here, which it replaces by one that falls linearly, 1 − (k − 1)/T at step k = 1 … T.
    For the absorbing and the uniform process alike. Its coupled training averages this over `draw_pair`'s two states.
    """
    wrong = x_t != x_0
    nll = _over(wrong if scored is None else wrong & scored, _nll(logits, x_0))
    return (1 - s).to(nll.dtype) * nll


def draw_pair(process: TokenProcess, x_0: Tensor, s: Tensor, t: Tensor, u_s: Tensor, u_t: Tensor) -> tuple[Tensor, Tensor]:
    """(x_s, x_t), each (B, L), drawn jointly: x_t ~ q(x_t | x_0), then x_s ~ q(x_s | x_t, x_0); s < t.

    One path at two times, which varies less than two paths (RDM, appendix G).
    """
    x_t = process.corrupt(x_0, t, u_t)
    return categorical(process.bridge(x_t, x_0, s, t), u_s), x_t


def weighted(weights: dict[str, float], **terms: Tensor) -> dict[str, Tensor]:
    """Each named term times its weight, 1 where none is given: training minimises their sum and a log shows each."""
    return {name: weights.get(name, 1.0) * term for name, term in terms.items()}


def _clean(process: TokenProcess, x_0: Tensor) -> Tensor:
    """x_0 with some clean token where it has none, at positions that do not count."""
    return x_0.clamp(max=process.vocabulary - 1)


def _over(scored: Tensor | None, value: Tensor) -> Tensor:
    """Σ over the scored positions of value (B, L): (B,)."""
    return value.sum(-1) if scored is None else torch.where(scored, value, 0.0).sum(-1)
