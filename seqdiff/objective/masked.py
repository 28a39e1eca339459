"""Objectives of the absorbing process, from logits of p(x_0 | x_t); n counts the masks of a row, N its tokens.

    −log p(x_0) ≤ E_t E_{x_t} [ −α′_t/(1 − α_t) · Σ_{i masked} −log p(x_0^i | x_t) ]  (+ α_1 · CE(all masked))

Source: Sahoo et al., "Simple and effective masked diffusion language models" (MDLM), 2024, eq. 10. As the bound depends
on t only through u = 1 − α_t (substitute: −α′_t dt = du), training draws u itself, uniform and stratified. The four forms
of the same bound in Ou et al., "Your absorbing discrete diffusion secretly models the conditional distributions of clean
data" (RADD), 2024: t-DSE is `t_dse`, t-DCE `masked_cross_entropy`, λ-DCE `lambda_dce`, the any-order one `any_order_loss`.

Pads are never masked, and only masked positions count. Float64 logits are kept in float64, others computed in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqdiff.processes.absorbing import Absorbing


def antithetic_times(B: int, u: Tensor) -> Tensor:
    """(B,) times (u + i)/B mod 1, stratified over (0, 1]: each is uniform, together they cover the interval.

    Source: Kingma et al., "Variational diffusion models", 2021, appendix I.
    """
    return 1 - (u + torch.arange(B, dtype=torch.float64, device=u.device) / B) % 1


def hide(x_0: Tensor, mask: int, n: Tensor, u: Tensor, free: Tensor | None = None) -> Tensor:
    """x_0 (B, L) with n (B,) of the free positions masked, all sets equally likely; u (B, L) is uniform noise.

    Masks at the n smallest u: nested for growing n, so that one u is one order of reveals, the largest n first.
    """
    free = torch.ones_like(x_0, dtype=torch.bool) if free is None else free
    rank = torch.where(free, u, 2.0).argsort(-1).argsort(-1)
    return torch.where(free & (rank < n.unsqueeze(-1)), mask, x_0)


def training_loss(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, lengths: Tensor) -> Tensor:
    """(N + 1)/n · Σ over the n masked positions of −log p(x_0 | x_t), (B,), for rows of N = lengths tokens, u uniform.

    The bound's weight 1/u, averaged over the u that lead to n masks: u | n ~ Beta(n + 1, N − n + 1) has E[1/u | n] =
    (N + 1)/n. The expectation is that of the bound and the variance smaller (Rao–Blackwell): 1/u has no finite
    second moment where a single position is masked, and such rows would lead the gradient now and then.
    """
    n = (x_t == process.mask).sum(-1)
    return (lengths + 1) / n.clamp(min=1) * bert_loss(process, logits, x_0, x_t)


def masked_cross_entropy(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """−α′_t/(1 − α_t) · Σ over masked positions of −log p(x_0 | x_t), (B,), t uniform (MDLM eq. 10; RADD's t-DCE)."""
    nll = bert_loss(process, logits, x_0, x_t)
    return process.schedule.weight(t).to(nll.dtype) * nll


def local_cross_entropy(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, weight: Tensor) -> Tensor:
    """Σ over masked positions of w_i · −log p(x_0^i | x_t), (B,): `masked_cross_entropy` with a weight (B, L) a position.

    For the weights of a schedule a token or a position (`seqdiff.local_times.local_weight`), t uniform.
    """
    nll = _nll(logits, x_0)
    return _over_masks(process, weight.to(nll.dtype) * nll, x_t)


def masked_step_loss(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """KL(q(x_s | x_t, x_0) ‖ p(x_s | x_t)) = (α_s − α_t)/(1 − α_t) · Σ over masked positions of −log p(x_0 | x_t), (B,).

    A term of the T-step bound (MDLM, eq. 8); with s = 0 it is the reconstruction. T times it, at a random step of the
    grid, has the bound as its mean.
    """
    nll = bert_loss(process, logits, x_0, x_t)
    return process.unmask_probability(s, t).to(nll.dtype) * nll


def t_dse(process: Absorbing, log_c: Tensor, x_0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """Score entropy with the ratio s_v = α_t/(1 − α_t) · c_v, c not normalised, (B,), t uniform (RADD's t-DSE).

        σ(t) · Σ_masked Σ_v [ s_v − r_v log s_v + K(r_v) ] = −α′_t/(1 − α_t) · Σ_masked [ Σ_v c_v − 1 − log c_{x_0} ]

    with σ = −α′_t/α_t and the true ratio r_v = α_t/(1 − α_t) · 1{v = x_0}: its logarithm cancels, so nothing diverges as
    t → 1. At Σ c = 1 it is `masked_cross_entropy`.
    """
    log_c = log_c if log_c.dtype == torch.float64 else log_c.float()
    taken = log_c.gather(-1, x_0.clamp(max=log_c.shape[-1] - 1).unsqueeze(-1)).squeeze(-1)
    divergence = log_c.exp().sum(-1) - 1 - taken
    return process.schedule.weight(t).to(log_c.dtype) * _over_masks(process, divergence, x_t)


def lambda_dce(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, mask_rate: Tensor) -> Tensor:
    """1/λ · Σ over masked positions of −log p(x_0 | x_λ), (B,), the mask rate λ (B,) uniform (RADD's λ-DCE)."""
    nll = bert_loss(process, logits, x_0, x_t)
    return nll / mask_rate.to(nll.dtype)


def any_order_loss(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, lengths: Tensor) -> Tensor:
    """N/n · Σ over the n masked positions of −log p(x_0 | x_t), (B,), n uniform on 1 … N = lengths, masked by `hide`.

    The mean over all orders of the autoregressive −log p (Ou et al., 2024; Hoogeboom et al., "Autoregressive diffusion
    models", 2022).
    """
    n = (x_t == process.mask).sum(-1)
    return lengths / n.clamp(min=1) * bert_loss(process, logits, x_0, x_t)


def bert_loss(process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor) -> Tensor:
    """Σ over masked positions of −log p(x_0 | x_t), (B,), at one fixed mask rate: a masked language model.

    Source: Devlin et al., BERT, 2019 (rate 0.15; without its 10 % of random and 10 % of kept tokens). The bound at that one t
    without its weight, hence with its gradient up to a factor, and itself no bound.
    """
    return _over_masks(process, _nll(logits, x_0), x_t)


def mgdm_loss(
    process: Absorbing, logits: Tensor, x_0: Tensor, x_t: Tensor, weight: Tensor, alpha: float = 0.25, gamma: float = 2.0
) -> Tensor:
    """w(t) · Σ over masked positions of α(1 − e^{−u})^γ u with u = −log p(x_0 | x_t), (B,): hard tokens weigh more.

    Source: Ye et al., "Beyond autoregression: discrete diffusion for complex reasoning and planning" (MGDM), 2024; its
    gradient passes through the token's weight. No bound.

    Args:
        weight: (B,) w(t): the schedule's `weight(t)`, or 1 − s for MGDM's linear one.
    """
    u = _nll(logits, x_0)
    return weight.to(u.dtype) * _over_masks(process, alpha * (-torch.expm1(-u)) ** gamma * u, x_t)


def _over_masks(process: Absorbing, value: Tensor, x_t: Tensor) -> Tensor:
    """Σ over masked positions of value (B, L): (B,)."""
    return torch.where(x_t == process.mask, value, 0.0).sum(-1)


def _nll(logits: Tensor, x_0: Tensor) -> Tensor:
    """−log p(x_0 | x_t), (B, L); pads are read as some token and left out by the caller."""
    logits = logits if logits.dtype == torch.float64 else logits.float()
    return F.cross_entropy(logits.transpose(1, 2), x_0.clamp(max=logits.shape[-1] - 1), reduction="none")
