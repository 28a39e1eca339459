"""Transition times drawn up front: a position keeps its noise until its own time τ, then takes x̂0 and keeps it.

Shapes: B rows, L length, T steps, E events, P positions.
Source: Chen et al., "Fast sampling via discrete non-Markov diffusion models with predetermined transition time" (DNDM),
2024.
"""

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.absorbing import Loop, visit
from seqdiff.samplers.markov import free
from seqdiff.samplers.state import State


def predetermined(
    state: State, process: TokenProcess, condition: Condition, steps: int, beta: tuple[int, int] | None = None
) -> Loop:
    """DNDM: τ drawn up front for every position, x_{s} = x̂0 where t ≥ τ > s, unchanged elsewhere (Chen et al.).

    A row visits only its own distinct τ, each row at its own t, and the denoiser is asked only where a token
    transitions: at most min(T, L) passes.

    Law: the kernel just described, exactly. Under the absorbing process it is that of `event_driven`, the T-step law. Under
    the uniform process it is heuristic: it takes p(x0 | x_t), which does not know that this position still is noise, for
    the law of x0 given that it is, and this does not go away as T → ∞.

    Args:
        beta: None: step k, from t = 1 − k/T to 1 − (k + 1)/T, with probability α_{k+1} − α_k. (a, b): τ ~ Beta(a, b) on
            [0, 1] instead, another schedule than the one that the denoiser was trained with; large a/b is early.
    """
    if not isinstance(process, Absorbing | Uniform):
        raise ConfigError(
            f"predetermined transition times: expected the absorbing or the uniform process, got {type(process).__name__}; "
            "use reverse_chain"
        )
    device, L = state.tokens.device, state.tokens.shape[1]
    columns = torch.arange(L, device=device)
    rate = (process.schedule.grid(steps) if beta is None else beta_grid(steps, *beta)).to(device)
    step = (torch.searchsorted(-rate, -state.noise(0, columns, Stream.REVEAL)) - 1).clamp(0, steps - 1)
    times = 1 - step.double() / steps
    if isinstance(process, Absorbing):
        waiting = free(state) & (state.tokens == process.mask)
        done = None
    else:
        waiting, done = free(state), state.step
    return (yield from visit(state, condition, step, step, times, waiting, done))


def beta_grid(steps: int, a: int, b: int) -> Tensor:
    """P(τ ≤ t), (T + 1,) at t = 1, (T − 1)/T, …, 0, for τ ~ Beta(a, b) with positive integers a, b.

    τ is the a-th smallest of n = a + b − 1 uniform numbers: P(τ ≤ t) = P(Binomial(n, t) ≥ a).
    """
    if not (isinstance(a, int) and isinstance(b, int) and min(a, b) >= 1):
        raise ConfigError(f"beta: expected two positive integers, got {a} and {b}")
    n = a + b - 1
    t = 1 - torch.arange(steps + 1, dtype=torch.float64) / steps
    j = torch.arange(a, n + 1, dtype=torch.float64).unsqueeze(-1)
    log_choose = torch.lgamma(torch.tensor(n + 1.0, dtype=torch.float64)) - torch.lgamma(j + 1) - torch.lgamma(n - j + 1)
    grid = (log_choose + torch.special.xlogy(j, t) + torch.special.xlogy(n - j, 1 - t)).exp().sum(0)
    grid[0], grid[-1] = 1.0, 0.0
    return grid
