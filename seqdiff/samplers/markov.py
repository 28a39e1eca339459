"""Reverse Markov chains of any process on tokens: draw x̂0 ~ p(x0 | x_t), then x_s given x_t and x̂0.

The two draws together have the law Σ_v p(v | x_t) K(x_s | x_t, v) at every position, and x̂0 is what a joint draw can
make whole: the last step's state is x̂0 itself, so whatever `condition.draw` guarantees holds in every output.
The kernel K is the process's own bridge (`reverse_chain`) or a leap of a continuous-time chain (`seqdiff.samplers.ctmc`).

Shapes: B rows, L length, S states, M stages of a chain, P positions.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.draws import categorical
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.absorbing import Loop, padded, write
from seqdiff.samplers.state import Query, State

# (x_t (B, P), x̂0 (B, P), s, t) → law of x_s, (B, P, S); times () for all rows, or (B,)
Kernel = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def reverse_chain(state: State, process: TokenProcess, condition: Condition, steps: int) -> Loop:
    """The T-step reverse process p(x_s | x_t) = Σ_v p(v | x_t) q(x_s | x_t, v) of any process, at t = 1 − k/T.

    Source: Austin et al., D3PM, 2021, eq. 4. Under the uniform process it is multinomial diffusion's sampler (Hoogeboom
    et al., 2021); under the absorbing one it has the law of `samplers.absorbing.ancestral`, except that the schedule's
    own α_1 stands in the first step where `ancestral` takes 0; with ratios from the exact p it is SEDD's analytic
    sampler (`ctmc.tweedie`).

    Law: the T-step law, exactly. With the exact p(x0 | x_t) it tends to the data law with error O(1/T).
    """
    return conditional_chain(state, process, condition, time_grid(steps), process.bridge)


def conditional_chain(
    state: State, process: TokenProcess, condition: Condition, times: Tensor, kernel: Kernel, renoise: bool = False
) -> Loop:
    """From times[m] to times[m + 1], each row at its own stage m: ask, draw x̂0, draw x_s by the kernel.

    At the last stage the state becomes x̂0. A position where the kernel has no mass, because no path leads from x̂0 to
    x_t, stays as it is.

    Args:
        times: (M + 1,) float64, not increasing, 0 at the end alone.
        renoise: whether the kernel also moves free positions that hold no noise any more (the revealed ones of the
            absorbing process). Nothing is asked of the denoiser for them.
    """
    times, M = times.to(state.tokens.device), len(times) - 1
    while bool((state.step < M).any()):
        running = (state.step < M).unsqueeze(-1)
        m = state.step.clamp(max=M - 1)
        at = m[0] if bool((m == m[0]).all()) else m  # rows at one stage share its matrices
        t, s = times[at], times[at + 1]
        asked = noisy(state, process) & running
        x_0 = state.tokens
        if bool(asked.any()):
            positions, real = padded(asked)
            query = Query(state, None, times[m], positions, real)
            p_x0 = yield query
            p_x0 = supported(process, p_x0, state.tokens.gather(1, positions), t)
            drawn = condition.draw(query, p_x0, real, state.noise(m.unsqueeze(-1), positions, Stream.TOKEN)).tokens
            x_0 = write(state.tokens, positions, drawn, real)
        moving = free(state) & running if renoise else asked
        if bool(moving.any()):
            positions, real = padded(moving)
            x_t, x_0_here = state.tokens.gather(1, positions), x_0.gather(1, positions)
            law = kernel(x_t, x_0_here, s, t)
            x_s = categorical(law, state.noise(m.unsqueeze(-1), positions, Stream.JUMP))
            x_s = torch.where(law.sum(-1) > 0, x_s, x_t)
            x_s = torch.where((m == M - 1).unsqueeze(-1), x_0_here, x_s)
            state = state.put(write(state.tokens, positions, x_s, real), state.step)
        state = replace(state, step=state.step + running.squeeze(-1))
    return state


def time_grid(steps: int) -> Tensor:
    """(T + 1,) float64: 1, (T − 1)/T, …, 0."""
    return 1 - torch.arange(steps + 1, dtype=torch.float64) / steps


def free(state: State) -> Tensor:
    """(B, L) bool: the positions that a sampler may change."""
    return torch.ones_like(state.tokens, dtype=torch.bool) if state.free is None else state.free


def noisy(state: State, process: TokenProcess) -> Tensor:
    """(B, L) bool: free positions that may still hold noise: the masks of the absorbing process, all of another."""
    return free(state) & (state.tokens == process.mask) if isinstance(process, Absorbing) else free(state)


def supported(process: TokenProcess, p_x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """p_x0 (B, P, V) without the tokens from which x_t (B, P) cannot come, unnormalised; as it is where none is left.

    A token that the condition rules out has no mass before and gets none here. A mask, or at t > 0 a token of the uniform
    process, may come from any token.
    """
    if isinstance(process, Absorbing | Uniform):
        return p_x0
    p = torch.where(process.likelihood(x_t, t) > 0, p_x0, 0.0)
    return torch.where(p.sum(-1, keepdim=True) > 0, p, p_x0)
