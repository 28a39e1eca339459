"""Confidence-ordered sampling: which positions are revealed depends on what was drawn there.

A class of its own. It usually needs fewer passes for the same look, but its law is not the model's: hard constraints
hold, importance weights are refused, and its designs are certified `heuristic`.
"""

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.absorbing import Loop, padded, write
from seqdiff.samplers.state import Query, State


def confidence_ordered(
    state: State, process: Absorbing, condition: Condition, steps: int, confidence_noise: float = 0.0, annealed: bool = False
) -> Loop:
    """MaskGIT's parallel decoding (Chang et al., 2022), LLaDA's low-confidence remasking (Nie et al., 2025).

    In each step x̂0 is drawn at every masked position; the positions with the largest log p(x̂0) + τ·Gumbel are
    kept, so many that ⌊n · (1 − α_s)/(1 − α_t)⌋ of the n now masked stay masked. Ties go to the first position.
    Under the linear schedule these are LLaDA's counts: the masks in T equal parts, the larger ones first.

    Law (heuristic): the kernel just described, which for τ > 0 keeps a set drawn without replacement with weights
    p(x̂0)^{1/τ}.

    Args:
        confidence_noise: τ ≥ 0.
        annealed: MaskGIT's τ (1 − (k + 1)/T) in step k = 0 … T − 1 in place of τ.
    """
    mask_rate = process.schedule.grid(steps).to(state.tokens.device)
    while bool((state.step < steps).any()):
        k = state.step.clamp(max=steps - 1)
        masked = state.tokens == process.mask
        n = masked.sum(-1)
        keep = n - (n * mask_rate[k + 1] / mask_rate[k] + 1e-9).floor().long()
        if bool((keep > 0).any()):
            positions, real = padded(masked)
            query = Query(state, None, 1 - k.double() / steps, positions, real)
            p_x0 = yield query
            drawn = condition.draw(query, p_x0, real, state.noise(k.unsqueeze(-1), positions, Stream.TOKEN)).tokens
            confidence = p_x0.gather(-1, drawn.unsqueeze(-1)).squeeze(-1).log()
            if confidence_noise > 0:
                u = state.noise(k.unsqueeze(-1), positions, Stream.CONFIDENCE)
                tau = confidence_noise * ((1 - (k + 1).double() / steps).unsqueeze(-1) if annealed else 1)
                confidence = confidence - tau * (-torch.log1p(-u)).clamp(min=1e-300).log()  # + τ · Gumbel
            confidence = torch.where(real, confidence, float("-inf"))
            kept = real & (ranks(confidence) < keep.unsqueeze(-1))
            state = state.put(write(state.tokens, positions, drawn, kept), state.step)
        state = state.put(state.tokens, state.step + 1)
    return state


def confidence_of(state: State) -> Tensor:
    """(B, L): the probability with which each token was drawn; 1 for those that were there from the beginning."""
    return torch.ones_like(state.tokens, dtype=torch.float64) if state.confidence is None else state.confidence


def ranks(score: Tensor) -> Tensor:
    """(B, P) places of the scores in their row from the largest, 0 … P − 1; of equal ones the first comes first."""
    order = score.argsort(dim=-1, descending=True, stable=True)
    places = torch.arange(score.shape[1], device=score.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)
