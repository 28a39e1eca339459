"""Clouds of weighted particles: weights, resampling, the choice of one; the loops are in `samplers.particles`, and on
vectors those of `samplers.embedded`, `weighed`.

Every function takes log-weights as they are: a cloud whose weights are all zero is dead and stays so, none is clamped.
Shapes: B rows = C clouds · N particles, the particles of one cloud after another; L length.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seqdiff.draws import categorical
from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.samplers.state import Prior, Query, State


def clouds(state: State, particles: int, process: Prior) -> State:
    """Every row N times, with slots 0 … N − 1 in the noise, its own draw of the prior, and weight 1."""
    if particles < 1:
        raise ConfigError(f"particles: expected at least 1, got {particles}")
    device = state.tokens.device
    copies = state.rows(torch.arange(len(state.tokens), device=device).repeat_interleave(particles))
    zero = torch.zeros_like(copies.log_weight)
    slot = torch.arange(particles, device=device).repeat(len(state.tokens))
    copies = replace(copies, slot=slot, log_weight=zero, log_potential=zero, log_evidence=zero)
    u = copies.noise(0, torch.arange(state.tokens.shape[1], device=device), Stream.PRIOR)
    return replace(copies, tokens=torch.where(copies.changeable, process.prior(u), copies.tokens))


@dataclass(frozen=True)
class Outcome:
    """What a cloud comes to.

    Attributes:
        row: (C,) int64, the row of the state that is returned for each cloud, drawn ∝ W; −1 where every particle is dead.
        log_evidence: (C,) float64, log Ẑ.
        sample_size: (C,) float64, (Σ W)²/Σ W² of the last weights, 0 … N.
    """

    row: Tensor
    log_evidence: Tensor
    sample_size: Tensor


def choose(state: State, particles: int) -> Outcome:
    """One particle of every cloud, by final weight."""
    log_w = log_weights(state).reshape(-1, particles)
    alive = ~log_w.isneginf().all(-1)
    weight = normalised(log_w)
    first = state.rows(torch.arange(0, len(state.tokens), particles, device=log_w.device))
    u = first.noise(0, torch.zeros(1, dtype=torch.int64, device=log_w.device), Stream.RESAMPLE).squeeze(-1)
    row = categorical(weight, u) + torch.arange(len(weight), device=log_w.device) * particles
    evidence = first.log_evidence if first.log_evidence is not None else torch.zeros_like(u)
    return Outcome(torch.where(alive, row, -1), evidence + log_mean(log_w), torch.where(alive, effective(weight), 0.0))


def log_weights(state: State) -> Tensor:
    """log W (B,), the potential included."""
    return state.log_weight if state.log_potential is None else state.log_weight + state.log_potential


def log_mean(log_w: Tensor) -> Tensor:
    """log of the mean of W over the last axis, −∞ where all are dead."""
    return torch.logsumexp(log_w, -1) - math.log(log_w.shape[-1])


def normalised(log_w: Tensor) -> Tensor:
    """W / Σ W over the last axis; all alike where all are dead."""
    dead = log_w.isneginf().all(-1, keepdim=True)
    return torch.softmax(torch.where(dead, 0.0, log_w), -1)


def effective(weight: Tensor) -> Tensor:
    """(Σ W)²/Σ W² of normalised weights."""
    return 1 / (weight**2).sum(-1)


def ancestors(state: State, N: int, threshold: float) -> tuple[Tensor, Tensor]:
    """(B,) the row that each row is to be a copy of, and (C,) which clouds are resampled.

    Systematic resampling at (j + u)/N, of clouds whose effective sample size is below threshold · N.
    """
    log_w = log_weights(state).reshape(-1, N)
    weight, device = normalised(log_w), log_w.device
    poor = (effective(weight) < threshold * N) & ~log_w.isneginf().all(-1)
    first = state.rows(torch.arange(0, len(state.tokens), N, device=device))
    u = first.noise((first.step + 1).unsqueeze(-1), torch.zeros(1, dtype=torch.int64, device=device), Stream.RESAMPLE)
    drawn = categorical(weight.unsqueeze(1).expand(-1, N, -1), (torch.arange(N, device=device) + u) / N)
    place = torch.where(poor.unsqueeze(-1), drawn, torch.arange(N, device=device))
    return (place + N * torch.arange(len(weight), device=device).unsqueeze(-1)).flatten(), poor


def inherit(state: State, ancestor: Tensor, resampled: Tensor) -> State:
    """Rows as copies of their ancestors, in the noise of their own slots; W = 1 in the clouds that were resampled."""
    N = len(ancestor) // len(resampled)
    copies = state.rows(ancestor)
    assert copies.log_potential is not None and state.log_evidence is not None
    gained = torch.where(resampled, log_mean(log_weights(state).reshape(-1, N)), 0.0).repeat_interleave(N)
    log_weight = torch.where(resampled.repeat_interleave(N), -copies.log_potential, state.log_weight)
    return replace(copies, slot=state.slot, log_weight=log_weight, log_evidence=state.log_evidence + gained)


def distinct(query: Query) -> tuple[Query, Tensor]:
    """The query of one row of each kind, and the place of every row's answer in it: equal rows are asked for once."""
    x_t, label, rows = query.x_t, query.label, query.rows
    assert query.positions is not None and query.open is not None and rows is not None
    key = x_t if label is None else torch.cat([x_t, label.unsqueeze(-1)], -1)
    _, place = torch.unique(key, dim=0, return_inverse=True)
    order = place.argsort(stable=True)
    first = order[torch.cat([torch.ones_like(place[:1], dtype=torch.bool), place[order].diff() > 0])]
    return replace(query, rows=rows[first], t=query.t[first], positions=query.positions[first], open=query.open[first]), place


def put_rows(state: State, rows: Tensor, new: State) -> State:
    """The state with its `rows` (R,) replaced."""
    fields = {name: value.index_copy(0, rows, getattr(new, name)) for name, value in vars(state).items() if value is not None}
    return replace(state, **fields)


def check(state: State, particles: int, threshold: float) -> None:
    """Raises ConfigError for a state that is not made of clouds, or a threshold out of range."""
    if particles < 1 or len(state.tokens) % particles or state.log_potential is None:
        raise ConfigError(
            f"particles: expected a state of clouds of {particles} rows, as `clouds` makes it, got {len(state.tokens)} rows"
        )
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold: expected a share of the particles, 0 to 1, got {threshold}")
