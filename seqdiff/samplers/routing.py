"""Routing by score: how many positions are denoised in a step is fixed, which ones the scores decide.

Shapes: B rows, L length, V vocabulary, T steps, P positions.
Source: Zheng et al., "A reparameterized discrete diffusion model for text generation" (RDM), 2023.
"""

from dataclasses import replace

import torch

from seqdiff.condition import Condition
from seqdiff.draws import categorical
from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.absorbing import Loop, padded, write
from seqdiff.samplers.markov import free, noisy, time_grid
from seqdiff.samplers.state import Query, State


def routing(state: State, process: TokenProcess, condition: Condition, steps: int, score_noise: float = 0.0) -> Loop:
    """RDM's top-k decoding (Zheng et al., adaptive routing).

    x̂0 is drawn where a position still is noise; where it is denoised, x̂0 is the token that stands there. Of m positions
    that are noise ⌊m (1 − α_s)/(1 − α_t)⌋ remain so many. The free positions with the largest log p(x̂0 | x_t) + τ·Gumbel then
    hold x̂0; the others are noise, x_s ~ q_{t|s}(· | x_t) as RDM draws it, even if they were denoised before. Ties go to
    the first position. A step that denoises nothing in a row leaves it as it is.

    Which positions are denoised is known to the loop, not to the state: under the uniform process a loop that is started
    from a saved state takes every free position for noise again. Under the absorbing process a revealed token has
    p = 1 and is never masked again: `confidence_ordered`.

    Law (heuristic): the kernel just described.

    Args:
        score_noise: τ ≥ 0.
    """
    if not isinstance(process, Absorbing | Uniform):
        raise ConfigError(f"routing: expected the absorbing or the uniform process, got {type(process).__name__}")
    device = state.tokens.device
    mask_rate, times = process.schedule.grid(steps).to(device), time_grid(steps).to(device)
    noise = noisy(state, process)
    while bool((state.step < steps).any()):
        running = (state.step < steps).unsqueeze(-1)
        k = state.step.clamp(max=steps - 1)
        m = noise.sum(-1)
        stay = (m * mask_rate[k + 1] / mask_rate[k] + 1e-9).floor().long()
        routed = (noise if isinstance(process, Absorbing) else free(state)) & running & (stay < m).unsqueeze(-1)
        if bool(routed.any()):
            positions, real = padded(routed)
            query = Query(state, None, times[k], positions, real)
            p_x0 = yield query
            x_t, was_noise = state.tokens.gather(1, positions), noise.gather(1, positions)
            here = torch.nn.functional.one_hot(x_t.clamp(max=process.vocabulary - 1), process.vocabulary).double()
            u = state.noise(k.unsqueeze(-1), positions, Stream.TOKEN)
            drawn = condition.draw(query, torch.where(was_noise.unsqueeze(-1), p_x0, here), real, u).tokens
            score = p_x0.gather(-1, drawn.unsqueeze(-1)).squeeze(-1).log()
            if score_noise > 0:
                u = state.noise(k.unsqueeze(-1), positions, Stream.CONFIDENCE)
                score = score - score_noise * (-torch.log1p(-u)).clamp(min=1e-300).log()  # + τ · Gumbel
            score = torch.where(real, score, float("-inf"))
            rank = score.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
            kept = rank < (real.sum(-1) - stay).unsqueeze(-1)
            again = process.between(times[k + 1], times[k])
            again = again.to(device).gather(1, x_t.unsqueeze(-1).expand(*x_t.shape, process.states))
            noised = categorical(again, state.noise(k.unsqueeze(-1) + 1, positions, Stream.PRIOR))
            state = state.put(write(state.tokens, positions, torch.where(kept, drawn, noised), real), state.step)
            noise = write(noise, positions, ~kept, real)
        state = replace(state, step=state.step + running.squeeze(-1))
    return state
