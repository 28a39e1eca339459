"""Samplers that look at all free positions in every step and mask the worst of them again.

What stays is chosen from the tokens that were drawn: heuristic, like every confidence order; importance weights are
refused. Only `state.changeable` positions are ever masked, so pins hold. Shapes: B rows, L length, V vocabulary, P positions.
"""

from dataclasses import replace

import torch

from seqdiff.condition import Condition
from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.absorbing import Loop, padded, write
from seqdiff.samplers.confidence import confidence_of, ranks
from seqdiff.samplers.state import Query, State


def path_planning(state: State, process: Absorbing, condition: Condition, steps: int, eta: float = 1.0) -> Loop:
    """P2 with self-planning (Peng et al., "Path planning for masked diffusion model sampling", 2025, arXiv 2502.03540).

    In each step x̂0 is drawn at every masked position. A masked position scores log p(x̂0 | x_t), a revealed one
    η log p(x_t | x_t); the ⌊n (1 − α_s)⌋ of the n free positions that score lowest are masked, of the others the
    masked ones get their x̂0 and the revealed ones stay. Of equal scores a revealed position stays, then the first.

    Law (heuristic): the kernel just described. η = 0 never masks again; a larger η masks again more often. It needs
    a denoiser whose p at a revealed position says how well the token fits: one that returns the token itself with
    probability 1 makes P2 a confidence order without remasking.

    Args:
        eta: η ≥ 0.
    """
    if not eta >= 0:
        raise ConfigError(f"path_planning: expected eta ≥ 0, got {eta}")
    mask_rate = process.schedule.grid(steps).to(state.tokens.device)
    free = state.changeable
    n = free.sum(-1)
    while bool((state.step < steps).any()):
        k = state.step.clamp(max=steps - 1)
        masked = state.tokens == process.mask
        stay = torch.where(state.step < steps, n - (n * mask_rate[k + 1] + 1e-9).floor().long(), n)
        if bool((stay > 0).any()):
            M, P = (max(1, int(chosen.sum(-1).max())) for chosen in (masked, free))
            positions = (masked.to(torch.int8) + free.to(torch.int8)).argsort(dim=-1, descending=True, stable=True)[:, :P]
            query = Query(state, None, 1 - k.double() / steps, positions, free.gather(1, positions))
            p_x0 = yield query
            first, real = positions[:, :M], masked.gather(1, positions[:, :M])
            query = replace(query, positions=first, open=real)
            drawn = condition.draw(query, p_x0[:, :M], real, state.noise(k.unsqueeze(-1), first, Stream.TOKEN)).tokens
            drawn = write(state.tokens, first, drawn, real)
            p = p_x0.gather(-1, drawn.gather(1, positions).clamp(max=process.mask - 1).unsqueeze(-1)).squeeze(-1)
            log_p = write(torch.zeros_like(state.tokens, dtype=p.dtype), positions, p.log(), free.gather(1, positions))
            revealed = eta * log_p if eta > 0 else torch.full_like(log_p, float("inf"))
            score = torch.where(masked, log_p, revealed).clamp(min=-1e300)
            score = torch.where(free, score, float("-inf"))
            order = masked.to(torch.int8).argsort(dim=-1, stable=True)
            rank = torch.empty_like(order).scatter_(1, order, ranks(score.gather(1, order)))
            tokens = torch.where(free & (rank >= stay.unsqueeze(-1)), process.mask, drawn)
            state = state.put(torch.where((state.step < steps).unsqueeze(-1), tokens, state.tokens), state.step)
        state = state.put(state.tokens, state.step + 1)
    return state


def mask_predict(state: State, process: Absorbing, condition: Condition, steps: int) -> Loop:
    """Mask-Predict (Ghazvininejad et al., 2019): the likeliest tokens everywhere, the least sure ones again.

    In step k = 0 … T − 1 every masked position gets argmax p(x0 | x_t) and that probability as its confidence; then
    the ⌊n (T − k − 1)/T⌋ of the n free positions with the lowest confidence are masked. Confidences of tokens that
    stay are those of the step in which they were predicted. t is the time at which (T − k)/T are masked.

    Law (heuristic): a point mass, a function of p(x0 | x_t) alone. A condition that draws positions jointly draws from
    weights so concentrated on the argmax that they decide only where the argmax is not allowed.
    """
    free = state.changeable
    n = free.sum(-1)
    while bool((state.step < steps).any()):
        k = state.step.clamp(max=steps - 1)
        masked = state.tokens == process.mask
        active = (state.step < steps).unsqueeze(-1)
        if bool(masked.any()):
            positions, real = padded(masked)
            query = Query(state, None, process.schedule.inverse((steps - k).double() / steps), positions, real)
            p_x0 = yield query
            peaked = 1e-9 * p_x0 + torch.nn.functional.one_hot(p_x0.argmax(-1), p_x0.shape[-1])
            drawn = condition.draw(query, peaked, real, torch.full_like(positions, 0.5, dtype=torch.float64)).tokens
            p = p_x0.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
            confidence = write(confidence_of(state), positions, p, real)
            state = replace(state, tokens=write(state.tokens, positions, drawn, real), confidence=confidence)
        stay = n - n * (steps - k - 1) // steps
        rank = ranks(torch.where(free, confidence_of(state), float("-inf")))
        again = free & active & (rank >= stay.unsqueeze(-1))
        state = state.put(torch.where(again, process.mask, state.tokens), state.step + 1)
    return state
