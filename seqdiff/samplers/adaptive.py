"""Samplers that reveal in each pass as many positions as they dare: each row ends after its own number of passes.

Only rows with masks left are queried. t is the time at which the process has the row's fraction of masks among its
free positions. Shapes: B rows, L length, R queried rows, P positions, V vocabulary.
"""

from dataclasses import replace

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.absorbing import Loop, padded, write
from seqdiff.samplers.confidence import ranks
from seqdiff.samplers.state import Query, State


def entropy_bounded(
    state: State, process: Absorbing, condition: Condition, steps: int | None = None, epsilon: float = 0.1
) -> Loop:
    """EB-Sampler (Ben-Hamu et al., "Accelerated sampling from masked diffusion models via entropy bounded unmasking", 2025).

    In each pass the masked positions are ordered by the entropy H of p(x0 | x_t), and the first k are revealed, k the
    largest for which Σ H − max H ≤ ε over them; they are drawn independently. At least one is; ties go to the first.

    Law (approximate): the order comes from p(x0 | x_t) alone and not from what is drawn, so what is lost is the dependence
    of tokens revealed together, at most ε nats a pass. With an exact denoiser
    KL(data ‖ law) ≤ ε · E[passes], the mean taken over data; at ε = 0, one uncertain position a pass, the law is exact.

    Args:
        steps: not used.
        epsilon: ε ≥ 0, in nats.
    """
    if not epsilon >= 0:
        raise ConfigError(f"entropy_bounded: expected epsilon ≥ 0, got {epsilon}")
    while len(rows := unfinished(state, process)):
        asked = state.rows(rows)
        positions, real = padded(asked.tokens == process.mask)
        query = Query(state, rows, time_of(asked, process), positions, real)
        p_x0 = yield query
        H = torch.where(real, -torch.xlogy(p_x0, p_x0).sum(-1), float("inf"))
        ascending, order = H.sort(dim=-1, stable=True)
        before = torch.cat([torch.zeros_like(H[:, :1]), ascending[:, :-1].cumsum(-1)], dim=1)  # Σ H − max H of the first k
        accepted = real & torch.zeros_like(real).scatter(1, order, before <= epsilon)
        if not condition.joint:
            pick, accepted = padded(accepted)
            positions = positions.gather(1, pick)
            p_x0 = p_x0.gather(1, pick.unsqueeze(-1).expand(*pick.shape, p_x0.shape[-1]))
            query = replace(query, positions=positions, open=accepted)
        draw = condition.draw(query, p_x0, accepted, asked.noise(asked.step.unsqueeze(-1), positions, Stream.TOKEN))
        state = advance(state, rows, write(asked.tokens, positions, draw.tokens, accepted), draw.log_weight)
    return state


def confidence_threshold(
    state: State, process: Absorbing, condition: Condition, steps: int | None = None, threshold: float = 0.9
) -> Loop:
    """Fast-dLLM's parallel decoding (Wu et al., 2025): x̂0 is drawn at every masked position, and all with
    p(x̂0) > `threshold` are kept, at least the surest one (of equal ones the first).

    Law (heuristic): what is kept depends on what was drawn, so improbable tokens are drawn again rather than kept.

    Args:
        steps: not used.
        threshold: in [0, 1]; 1 keeps one position a pass.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"confidence_threshold: expected a threshold in [0, 1], got {threshold}")
    while len(rows := unfinished(state, process)):
        asked = state.rows(rows)
        positions, real = padded(asked.tokens == process.mask)
        query = Query(state, rows, time_of(asked, process), positions, real)
        p_x0 = yield query
        drawn = condition.draw(query, p_x0, real, asked.noise(asked.step.unsqueeze(-1), positions, Stream.TOKEN)).tokens
        confidence = torch.where(real, p_x0.gather(-1, drawn.unsqueeze(-1)).squeeze(-1), float("-inf"))
        kept = real & ((confidence > threshold) | (ranks(confidence) == 0))
        state = advance(state, rows, write(asked.tokens, positions, drawn, kept))
    return state


def unfinished(state: State, process: Absorbing) -> Tensor:
    """(R,) rows with a mask."""
    return (state.tokens == process.mask).any(-1).nonzero().squeeze(-1)


def time_of(state: State, process: Absorbing) -> Tensor:
    """(B,) t at which 1 − α_t is the fraction of masks among a row's free positions."""
    return process.schedule.inverse((state.tokens == process.mask).sum(-1).double() / state.changeable.sum(-1))


def advance(state: State, rows: Tensor, tokens: Tensor, log_weight: Tensor | None = None) -> State:
    """The next state of all rows: `rows` (R,) have the new tokens (R, L), one step more, and their weights added."""
    return state.put(
        state.tokens.index_copy(0, rows, tokens),
        state.step.index_add(0, rows, torch.ones_like(rows)),
        None if log_weight is None else torch.zeros_like(state.log_weight).index_copy(0, rows, log_weight),
    )
