"""Random-order samplers of the absorbing process: which positions are revealed never depends on what is drawn.

Each is one visible loop that yields its queries and never calls a model, and each can start from any state: what
is masked is what is left to do. Shapes: B rows, L length, V vocabulary, T steps, E events, P positions.
"""

from collections.abc import Generator

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.state import Query, State

Loop = Generator[Query, Tensor, State]


def ancestral(state: State, process: Absorbing, condition: Condition, steps: int) -> Loop:
    """The T-step reverse process, step by step: the reference that the others are held against.

    A masked token is revealed on the way from t to s with probability (α_s − α_t)/(1 − α_t), then drawn from
    p(x0 | x_t) (Austin et al., 2021; Sahoo et al., 2024). Law: the T-step law; it tends to the model's any-order law
    with error O(1/T).
    """
    mask_rate = process.schedule.grid(steps).to(state.tokens.device)
    columns = torch.arange(state.tokens.shape[1], device=state.tokens.device)
    while bool((state.step < steps).any()):
        k = state.step.clamp(max=steps - 1).unsqueeze(-1)
        unmask = 1 - mask_rate[k + 1] / mask_rate[k]
        revealed = (state.tokens == process.mask) & (state.noise(k, columns, Stream.REVEAL) < unmask)
        if bool(revealed.any()):
            positions, asked, commit = places(condition, revealed, state.tokens == process.mask)
            query = Query(state, None, 1 - k.squeeze(-1).double() / steps, positions, asked)
            p_x0 = yield query
            draw = condition.draw(query, p_x0, commit, state.noise(k, positions, Stream.TOKEN))
            state = state.put(write(state.tokens, positions, draw.tokens, commit), state.step, draw.log_weight)
        state = state.put(state.tokens, state.step + 1)
    return state


def event_driven(state: State, process: Absorbing, condition: Condition, steps: int | None = None) -> Loop:
    """The law of `ancestral` with steps = T in at most min(T, L) passes; with steps = None, first hitting.

    When a position is revealed does not depend on what is drawn, so every position's reveal time is drawn up front:
    on a grid, step k with probability α_{k+1} − α_k; in continuous time, the first-hitting time at which 1 − α_t = u
    (Zheng et al., 2409.02908). A row then visits only its own distinct times, each row at its own t, and the head is
    computed only where a token is revealed. Expected passes a row on a uniform grid: T(1 − (1 − 1/T)^L).

    First hitting reveals one position at a time in uniformly random order, with no discretisation error: its law is
    the model's any-order autoregressive law.
    """
    device, L = state.tokens.device, state.tokens.shape[1]
    columns = torch.arange(L, device=device)
    u_reveal = state.noise(0, columns, Stream.REVEAL)  # the mask rate at which a position is revealed
    if steps is None:
        step = torch.zeros_like(state.tokens)
        times = process.schedule.inverse(u_reveal)
        when = -u_reveal
    else:
        mask_rate = process.schedule.grid(steps).to(device)
        when = step = (torch.searchsorted(-mask_rate, -u_reveal) - 1).clamp(0, steps - 1)  # rate_k > u ≥ rate_{k+1}
        times = 1 - step.double() / steps
    return (yield from visit(state, condition, when, step, times, state.tokens == process.mask))


def visit(
    state: State, condition: Condition, when: Tensor, step: Tensor, times: Tensor, waiting: Tensor, done: Tensor | None = None
) -> Loop:
    """Draw every waiting position once, in the order of `when`, what falls together together; rows go at their own pace.

    Args:
        when: (B, L) sorts a row's positions; equal numbers are one event.
        step: (B, L) int64, the step that a position's noise belongs to.
        times: (B, L), the time at which the denoiser is asked for it.
        waiting: (B, L) bool.
        done: (B,) int64, events of each row that an earlier run did; None is none.
    """
    device, L = state.tokens.device, state.tokens.shape[1]
    order, event, counts = group_by_time(when, waiting)
    u = state.noise(step, torch.arange(L, device=device), Stream.TOKEN)
    starts = counts.cumsum(-1) - counts
    before = [0] * len(counts) if done is None else done.tolist()
    for e, reveals in enumerate(counts.T.tolist()):  # the whole plan on the host, once: no step waits for the device
        active = [b for b, count in enumerate(reveals) if count and before[b] <= e]
        if not active:
            continue
        rows = torch.tensor(active, device=device)
        slots = torch.arange(max(reveals[b] for b in active), device=device)
        real = slots < counts[rows, e].unsqueeze(-1)
        positions = order[rows].gather(1, (starts[rows, e].unsqueeze(-1) + slots).clamp(max=L - 1))
        positions = torch.where(real, positions, positions[:, :1])
        t = times[rows].gather(1, positions[:, :1]).squeeze(-1)
        if condition.joint:  # a position is drawn more than once until it is kept: each time with its own noise
            now = waiting[rows] & (event[rows] == e)
            positions, asked, real = places(condition, now, waiting[rows] & (event[rows] >= e))
            query = Query(state, rows, t, positions, asked)
            noise = state.rows(rows).noise(e, positions, Stream.TOKEN)
        else:
            query = Query(state, rows, t, positions, real)
            noise = u[rows].gather(1, positions)
        p_x0 = yield query
        draw = condition.draw(query, p_x0, real, noise)
        state = state.put(
            state.tokens.index_copy(0, rows, write(state.tokens[rows], positions, draw.tokens, real)),
            state.step.index_add(0, rows, torch.ones_like(rows)),
            torch.zeros_like(state.log_weight).index_copy(0, rows, draw.log_weight),
        )
    return state


def group_by_time(when: Tensor, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Group every row's free positions by distinct time: (order (B, L), event (B, L), counts (B, E)).

    `order` lists a row's positions by time, those that are not free last; `event` is the place of a position's time
    among its row's distinct times; `counts` is the number of positions of each event.
    """
    keyed = torch.where(free, when.double(), float("inf"))
    in_order, order = keyed.sort(dim=-1, stable=True)
    new = torch.ones_like(free)
    new[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    event = new.long().cumsum(-1) - 1
    finite = torch.isfinite(in_order)
    E = int(torch.where(finite, event + 1, 0).max()) if free.numel() else 0
    counts = torch.zeros(len(when), E + 1, dtype=torch.int64, device=when.device)
    counts.scatter_add_(1, event.clamp(max=E), finite.long())
    return order, torch.empty_like(order).scatter_(1, order, event), counts[:, :E]


def places(condition: Condition, commit: Tensor, still_open: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions (R, P) to ask for, which of them are asked (R, P), and which of them are kept (R, P).

    Those of `commit` (R, L), or under a joint condition all that are `still_open` (R, L).
    """
    if not condition.joint:
        positions, real = padded(commit)
        return positions, real, real
    positions, real = padded(still_open)
    return positions, real, real & commit.gather(1, positions)


def padded(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Places of the true entries of (B, L) as (B, P) positions, and which of them are real; the rest are others."""
    P = max(1, int(chosen.sum(-1).max()))
    positions = chosen.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[:, :P]
    return positions, chosen.gather(1, positions)


def write(tokens: Tensor, positions: Tensor, drawn: Tensor, real: Tensor) -> Tensor:
    """tokens (R, L) with `drawn` (R, P) at those positions (R, P) that are real."""
    L = tokens.shape[1]
    target = torch.where(real, positions, L)  # what is not real lands in a column that is cut off
    return torch.cat([tokens, tokens[:, :1]], dim=1).scatter(1, target, drawn)[:, :L]
