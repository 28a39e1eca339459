"""Samplers of tokens through a process on their embeddings: a loop on vectors, led by p(x0 | x_t) over tokens.

Shapes: B batch, L length, V vocabulary, D width.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.embedding import EmbeddedProcess
from seqdiff.errors import ConditionError, ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.gaussian import spread
from seqdiff.samplers.absorbing import Loop, padded, write
from seqdiff.samplers.particles import Weighted
from seqdiff.samplers.state import Query, State
from seqdiff.samplers.vectors import (
    VectorLoop,
    ddim,
    ddpm,
    dpm_solver,
    euler,
    heun,
    karras_times,
    log_snr_times,
    reverse_sde,
    uniform_times,
)

SOLVERS: dict[str, Callable[..., VectorLoop]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpm-solver": dpm_solver,
    "euler": euler,
    "heun": heun,
    "sde": reverse_sde,
}
SPACINGS = ("log-snr", "karras", "uniform")


def embedded(
    state: State,
    process: EmbeddedProcess,
    condition: Condition,
    steps: int,
    solver: str = "ddpm",
    spacing: str = "log-snr",
    t_max: float = 0.999,
    t_min: float = 0.02,
    clamp: bool = False,
) -> Loop:
    """Run a loop on vectors from t_max to t_min with x̂0 = Σ_v p(v | x_t) e_v, then draw the tokens from p at t_min.

    Every query asks for p(x0 | x_t), under the condition, and the tokens come from `condition.draw` at the free positions:
    pins and hard constraints hold by construction. A condition that ties positions to each other gives its own marginals
    on the way, too, and needs a t_min at which p still has mass on what it allows (ConditionError otherwise). `clamp` moves x̂0
    onto the nearest embedding (Li et al., Diffusion-LM, 2022): for few steps, and another law. A condition with `ascend`
    moves every x_s towards what it wishes (`ddpm` alone).

    Law: that of the solver on the vectors (see `seqdiff.samplers.vectors`), plus what t_max and t_min leave: the prior
    lacks a x_0 at t_max, and positions are drawn independently given x at t_min. It tends to the data law as steps → ∞,
    t_max → 1, t_min → 0. Start from `State.from_canvas(process, canvas, …)`; a saved state goes on with the same arguments.
    The state's tokens hold the pins and holes (V) until the end; `Query.x0_hat` is there for self-conditioning.
    """
    times = grid(process, steps, spacing, t_max, t_min).to(state.tokens.device)
    if solver not in SOLVERS:
        raise ConfigError(f"solver: expected one of {', '.join(SOLVERS)}; got {solver!r}")
    if state.vectors is None:
        state = process.place(state, times[0])
    steered = hasattr(condition, "ascend")
    if steered and solver != "ddpm":
        raise ConfigError(f"wishes: vectors are moved up a gradient by the sampler embedded-ddpm; got the solver {solver!r}")
    said: list[tuple[Query, Tensor]] = []  # the last query, and what was answered

    def move(x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        law = posterior(process, times, *said[0])
        return condition.ascend(x, mean, variance, law)  # type: ignore[attr-defined]

    loop = SOLVERS[solver](state, process.process, times, **({"move": move} if steered else {}))
    try:
        query = next(loop)
        while True:
            p_x0 = yield replace(query, law=True)
            if condition.joint:  # E[x_0 | x_t, C] in place of E[x_0 | x_t]: by Tweedie's formula this adds ∇ log Z to the score
                everywhere = torch.arange(p_x0.shape[1], device=p_x0.device).expand(p_x0.shape[:2])
                opened = state.changeable if query.rows is None else state.changeable[query.rows]
                p_x0 = condition.marginals(replace(query, positions=everywhere, open=opened), p_x0)
            said[:] = [(query, p_x0)]
            x0_hat = process.embedding.mean(p_x0)
            query = loop.send((process.embedding.clamp(x0_hat) if clamp else x0_hat).detach())
    except StopIteration as end:
        state = end.value
    if bool((state.step > steps).all()):
        return state
    positions, real = padded(state.changeable)
    query = Query(state, None, times[-1].expand(len(positions)), positions, real)
    p_x0 = yield query
    draw = condition.draw(query, p_x0, real, state.noise(steps, positions, Stream.TOKEN))
    drawn = draw.tokens
    if bool((real & (drawn >= process.vocabulary)).any()):
        raise ConditionError(
            f"condition: p(x0 | x_t) at t = {t_min} has no mass on what it allows; raise t_min, or take more steps"
        )
    return state.put(write(state.tokens, positions, drawn, real), state.step + 1, draw.log_weight)


def weighed(loop: Loop, condition: Weighted) -> Loop:
    """Particles of a loop that weighs nothing on the way: N runs, each weighed when it is done, W = e^{final(x_0)}.

    Law: of one drawn ∝ W, with p̂ that of one run: E[Σ_n W(x_n) 1[x_n = x] / Σ_n W(x_n)], which is p̂ tilted by W as N → ∞
    (self-normalised importance sampling). The mean of W is unbiased for Σ_x p̂(x) W(x) at every N.
    """
    end = yield from loop
    return replace(end, log_potential=condition.final(end.tokens))


def posterior(process: EmbeddedProcess, times: Tensor, query: Query, p_x0: Tensor) -> Callable[[Tensor], Tensor]:
    """x_s ↦ p(v | x_s, x_t) ∝ p(v | x_t) q(x_s | x_t, e_v), (R, L, V), a position on its own; a pin is its own token.

    q(x_s | x_t, e_v) = N(c_1 x_t + c_2 e_v, β̃): with y = (x_s − c_1 x_t)/c_2 the weight of v is exp(−c_2² |y − e_v|²/(2 β̃)),
    of which |y|² is the same for all v; what x_s has no part in is worked out once.
    """
    k = query.state.step.clamp(max=len(times) - 2)
    s, t, x_t = times[k + 1], times[k], query.x_t
    nothing, variance = process.process.bridge(x_t, torch.zeros_like(x_t), s, t)
    c_2 = process.process.bridge(torch.zeros_like(x_t[..., :1]), torch.ones_like(x_t[..., :1]), s, t)[0]
    table = process.embedding.table().to(x_t.dtype)
    pins = torch.nn.functional.one_hot(query.tokens.clamp(max=process.vocabulary - 1), process.vocabulary)
    free = query.state.changeable.unsqueeze(-1)
    fixed = torch.where(free, p_x0, pins.to(p_x0.dtype)).log() - c_2.square() / (2 * spread(variance)) * table.square().sum(-1)

    def law(x_s: Tensor) -> Tensor:
        return (fixed + (c_2 / spread(variance) * (x_s - nothing)) @ table.T).softmax(-1)

    return law


def grid(process: EmbeddedProcess, steps: int, spacing: str, t_max: float, t_min: float) -> Tensor:
    """(steps + 1,) times. Raises ConfigError for an unknown spacing."""
    if spacing == "log-snr":
        return log_snr_times(process.process, steps, t_max, t_min)
    if spacing == "karras":
        return karras_times(process.process, steps, t_max, t_min)
    if spacing == "uniform":
        return uniform_times(steps, t_max, t_min)
    raise ConfigError(f"spacing of times: expected one of {', '.join(SPACINGS)}; got {spacing!r}")
