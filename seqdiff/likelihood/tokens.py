"""Bounds on −log p(x_0) under any process on tokens, by Monte Carlo. The formulas are those of `seqdiff.objective`.

Shapes: B batch, L length, V vocabulary, S states, K draws per row, T steps. Rows have one length. A denoiser returns
log p(x_0 | x_t) up to a constant; one of another parameterisation goes through `CanonicalDenoiser`.
"""

import math

import torch
from torch import Tensor

from seqdiff.draws import categorical
from seqdiff.errors import ConfigError
from seqdiff.likelihood.bound import Bound
from seqdiff.noise import Stream, uniform
from seqdiff.objective import bert_loss, masked_cross_entropy, prior_kl, score_entropy, step_kl
from seqdiff.parameterisations import p_from_logits
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess


@torch.no_grad()
def continuous_bound(
    denoiser,
    process: TokenProcess,
    x_0: Tensor,
    draws: int = 8,
    seed: int = 0,
    label: Tensor | None = None,
    free: Tensor | None = None,
) -> Bound:
    """The continuous-time bound over K stratified times per row: score entropy, and the prior's term.

    Times of the score entropy are t = v² with weight 2v, v uniform: as t → 0 a token is wrong with a probability ∝ t and
    then costs about log(1/t)/t, which has no finite second moment, hence no standard error, for uniform t.

    Under the absorbing process that is MDLM's eq. 10, which does not depend on the schedule; if the schedule ends at
    α_1 > 0, the jump to 0 adds α_1 · CE(all masked) in the place of the prior's term.

    Args:
        free: (B, L) bool, positions to score; the others are given, and clean in every x_t. None scores all.
    """
    scored, rows, columns = _free(x_0, free)
    start = uniform(seed, rows, 0, 0, Stream.TIME, device=x_0.device)
    estimates = []
    for k in range(draws):
        v = 1 - (start + k / draws) % 1
        t = v if isinstance(process, Absorbing) else v.square()
        u = uniform(seed, rows.unsqueeze(-1), k, columns, Stream.CORRUPT, device=x_0.device)
        x_t = torch.where(scored, process.corrupt(x_0, t, u), x_0)
        logits = denoiser(x_t, t, label)
        if isinstance(process, Absorbing):
            estimates.append(masked_cross_entropy(process, logits, x_0, x_t, t).double())
        else:
            p_x0 = p_from_logits(process, logits, x_t, t)
            estimates.append(2 * v * score_entropy(process, p_x0, x_0, x_t, t, scored))
    end = _jump(denoiser, process, x_0, label, scored) if isinstance(process, Absorbing) else _prior(process, x_0, scored)
    return Bound.from_draws(torch.stack(estimates) + end, scored.sum(-1))


@torch.no_grad()
def discrete_bound(
    denoiser,
    process: TokenProcess,
    x_0: Tensor,
    steps: int,
    draws: int = 8,
    seed: int = 0,
    label: Tensor | None = None,
    free: Tensor | None = None,
) -> Bound:
    """The T-step bound over K stratified steps per row: of what the T-step ancestral sampler draws.

    Under the absorbing process its mask rates are those of the sampler, 1 at the first step whatever the schedule.

    Args:
        free: as in `continuous_bound`.
    """
    scored, rows, columns = _free(x_0, free)
    start = uniform(seed, rows, 0, 0, Stream.TIME, device=x_0.device)
    estimates = []
    for j in range(draws):
        k = ((start + j / draws) % 1 * steps).long() + 1
        s, t = (k - 1).double() / steps, k.double() / steps
        u = uniform(seed, rows.unsqueeze(-1), j, columns, Stream.CORRUPT, device=x_0.device)
        if isinstance(process, Absorbing):
            rate = process.schedule.grid(steps).to(x_0.device).flip(0)
            x_t = torch.where(scored & (u < rate[k].unsqueeze(-1)), process.mask, x_0)
            nll = bert_loss(process, denoiser(x_t, t, label), x_0, x_t).double()
            estimates.append(steps * (1 - rate[k - 1] / rate[k]) * nll)
        else:
            x_t = torch.where(scored, process.corrupt(x_0, t, u), x_0)
            p_x0 = p_from_logits(process, denoiser(x_t, t, label), x_t, t)
            estimates.append(steps * step_kl(process, p_x0, x_0, x_t, s, t, scored))
    end = 0.0 if isinstance(process, Absorbing) else _prior(process, x_0, scored)
    return Bound.from_draws(torch.stack(estimates) + end, scored.sum(-1))


@torch.no_grad()
def importance_bound(
    denoiser,
    process: TokenProcess,
    x_0: Tensor,
    steps: int,
    paths: int = 8,
    draws: int = 4,
    seed: int = 0,
    label: Tensor | None = None,
) -> Bound:
    """E[−log 1/K Σ_k p(path_k)/q(path_k | x_0)] over K = `paths` whole paths x_1 … x_0 of the forward process.

    The T-step bound at K = 1; falls with K to the exact −log-likelihood of the T-step sampler (Burda et al., "Importance
    weighted autoencoders", 2016). A mean over `draws` sets of paths; T · K · draws passes.
    """
    B, L = x_0.shape
    _prior(process, x_0, None)
    rows, columns = torch.arange(B, device=x_0.device).unsqueeze(-1), torch.arange(L, device=x_0.device)
    one = torch.ones(B, dtype=torch.float64, device=x_0.device)
    log_w = torch.zeros(draws * paths, B, dtype=torch.float64, device=x_0.device)
    for j in range(draws * paths):
        u = uniform(seed, rows, j * (steps + 1), columns, Stream.CORRUPT, device=x_0.device)
        x_t = process.corrupt(x_0, one, u)
        prior, marginal = process.prior_law().to(x_0.device), process.likelihood(x_t, one)
        log_w[j] = (prior[x_t].log() - _at(marginal, x_0).log()).sum(-1)
        for k in range(steps, 0, -1):
            s, t = one * (k - 1) / steps, one * k / steps
            q = process.bridge(x_t, x_0, s, t)
            p_x0 = p_from_logits(process, denoiser(x_t, t, label), x_t, t)
            p = process.posterior(x_t, p_x0, s, t)
            x_t = categorical(q, uniform(seed, rows, j * (steps + 1) + k, columns, Stream.CORRUPT, device=x_0.device))
            log_w[j] += (_at(p, x_t).log() - _at(q, x_t).log()).sum(-1)
    log_mean = log_w.reshape(draws, paths, B).logsumexp(1) - math.log(paths)
    return Bound.from_draws(-log_mean, torch.full((B,), L, device=x_0.device))


def _free(x_0: Tensor, free: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    B, L = x_0.shape
    scored = torch.ones_like(x_0, dtype=torch.bool) if free is None else free
    return scored, torch.arange(B, device=x_0.device), torch.arange(L, device=x_0.device)


def _prior(process: TokenProcess, x_0: Tensor, scored: Tensor | None) -> Tensor:
    kl = prior_kl(process, x_0, scored)
    if bool(kl.isinf().any()):
        raise ConfigError(
            f"likelihood bound: expected that {type(process).__name__} has left every clean token at t = 1, as its prior has "
            "not; its schedule ends at α_1 > 0: use one with α_1 = 0, such as linear or cosine"
        )
    return kl


def _jump(denoiser, process: Absorbing, x_0: Tensor, label: Tensor | None, scored: Tensor) -> Tensor:
    """α_1 · CE(all masked), (B,)."""
    one = torch.ones(len(x_0), dtype=torch.float64, device=x_0.device)
    alpha_1 = process.schedule.alpha(one)
    if not bool((alpha_1 > 0).any()):
        return torch.zeros_like(one)
    x_1 = torch.where(scored, process.mask, x_0)
    return alpha_1 * bert_loss(process, denoiser(x_1, one, label), x_0, x_1).double()


def _at(p: Tensor, x: Tensor) -> Tensor:
    """p (B, L, S) at the states x (B, L)."""
    return p.gather(-1, x.unsqueeze(-1)).squeeze(-1)
