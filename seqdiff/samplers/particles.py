"""Sequential Monte Carlo: each design is a cloud of N particles that are weighted, resampled, and of which one is returned.

A condition that restricts or tilts every step composes its steps into a biased law. The particles carry the ratio of the
model's law to the law they were drawn from, and a potential ψ(x_t), an estimate of what will hold in the end:

    W ×= p(x_s | x_t)/q(x_s | x_t) · ψ(x_s)/ψ(x_t),        ψ(x_0) = 1[x_0 ∈ C] e^{λ r(x_0)}

At the end the cloud, weighted by W, has the model's law under the condition as N → ∞, and Ẑ = Π (mean W between two
resamplings) is an unbiased estimate of its normaliser for every N.
Sources: Wu et al., "Practical and asymptotically exact conditional sampling in diffusion models" (TDS), 2023; Naesseth et
al., "Elements of sequential Monte Carlo", 2019.

Shapes: B rows = clouds · N, row by row the particles of one cloud after another; L length, P positions.
"""

from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.draws import categorical
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.samplers.absorbing import Loop, padded, write
from seqdiff.samplers.clouds import ancestors, check, distinct, inherit, put_rows
from seqdiff.samplers.confidence import ranks
from seqdiff.samplers.markov import free, noisy, supported, time_grid
from seqdiff.samplers.state import Query, State


class Weighted(Condition, Protocol):
    """A condition whose draws carry weights and potentials (`constraints.condition.Constrained` with `weighted`)."""

    def factors(self, query: Query, p_x0: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """M (R, P, V) that are drawn from, the tilt g in them, or None, and the log of what is reached (R,)."""
        ...

    def log_mass(self, query: Query, M: Tensor) -> Tensor:
        """log Z (R,) of what must hold under the factors."""
        ...

    def sample(self, query: Query, M: Tensor, u: Tensor) -> Tensor:
        """x̂0 (R, P) ∝ Π M 1[x ∈ C]."""
        ...

    def final(self, x_0: Tensor) -> Tensor:
        """log ψ (B,) of complete rows (B, L)."""
        ...


class Kernel(Protocol):
    """q(x_s | x_t, v) at every position: its law given one x̂0, and its logarithm at one x_s for every v."""

    def bridge(self, x_t: Tensor, x_0: Tensor, s: Tensor, t: Tensor) -> Tensor: ...

    def log_kernel(self, x_t: Tensor, x_s: Tensor, s: Tensor, t: Tensor) -> Tensor: ...


def reveal_particles(
    state: State,
    process: Absorbing,
    condition: Weighted,
    steps: int | None = None,
    particles: int = 8,
    threshold: float = 0.5,
) -> Loop:
    """Random-order sampling with particles under the absorbing process (for an automaton alone: TWISTER, 2609.35609).

    In step k of T a particle reveals ⌈m/(T − k)⌉ of its m masks, chosen uniformly, and draws them by the condition; with
    steps = None one a step. When the effective sample size of a cloud's accumulated weights falls below threshold · N, it is
    resampled (systematically) with the potentials of the p that was just asked for, before anything is drawn from it.

    Law: that of the same reveal rule without the condition, given what must hold and tilted by what is wished, as N → ∞.
    At N = 1 nothing is corrected.

    Args:
        particles: N; the rows of the state are clouds of N, as `clouds` makes them.
        threshold: share of N in [0, 1]; 0 never resamples (importance sampling).
    """
    check(state, particles, threshold)
    while bool((masked := state.tokens == process.mask).any()):
        rows = masked.any(-1).nonzero().squeeze(-1)
        here, m = state.rows(rows), masked[rows].sum(-1)
        positions, real = padded(masked[rows])
        times = process.schedule.inverse(m.double() / here.changeable.sum(-1))
        query = Query(state, rows, times, positions, real)
        unique, place = distinct(query)
        p_x0 = (yield unique)[place]
        kept = torch.ones_like(m) if steps is None else -(m // -(steps - here.step).clamp(min=1))
        k = here.step.unsqueeze(-1)
        u = here.noise(k, positions, Stream.TOKEN)
        chosen = ranks(torch.where(real, here.noise(k, positions, Stream.CHOICE), -1.0)) < kept.unsqueeze(-1)
        draw = condition.draw(query, p_x0, real & chosen, u)
        here = replace(here, log_potential=draw.log_potential)
        ancestor, resampled = ancestors(here, particles, threshold)
        if bool(resampled.any()):  # siblings draw their own tokens at their own positions from what they inherit
            here, positions, real = inherit(here, ancestor, resampled), positions[ancestor], real[ancestor]
            state, p_x0 = put_rows(state, rows, here), p_x0[ancestor]
            query = replace(query, state=state, positions=positions, open=real)
            u = here.noise(k, positions, Stream.TOKEN)
            chosen = ranks(torch.where(real, here.noise(k, positions, Stream.CHOICE), -1.0)) < kept.unsqueeze(-1)
            draw = condition.draw(query, p_x0, real & chosen, u)
        tokens = write(here.tokens, positions, draw.tokens, real & chosen)
        here = here.put(tokens, here.step + 1, draw.log_weight)
        state = put_rows(state, rows, replace(here, log_potential=draw.log_potential_after))
    return replace(state, log_potential=condition.final(state.tokens))


def chain_particles(
    state: State,
    process: TokenProcess,
    condition: Weighted,
    steps: int,
    particles: int = 8,
    threshold: float = 0.5,
    kernel: Kernel | None = None,
) -> Loop:
    """The T-step reverse chain of any process with particles: x̂0 is drawn under the condition, x_s by the kernel.

        W ×= [Π_i Σ_v p_i(v) k_i(v)] · Z(M)/Z(M k),        k_i(v) = q(x_s^i | x_t^i, v)

    is the exact ratio of the kernels without x̂0; the rest is as in `reveal_particles`.

    Law: the T-step law given the condition, as N → ∞, where every x_s from which the row can end well may also be
    reached by an x̂0 that is well (the uniform process); with remasking, the paths that stay completable.

    Args:
        kernel: q(x_s | x_t, v) in place of the process's own, such as `remasking.Remasking`.
    """
    check(state, particles, threshold)
    kernel = process if kernel is None else kernel
    times = time_grid(steps).to(state.tokens.device)
    for i in range(steps):
        rows = (state.step == i).nonzero().squeeze(-1)
        asked = noisy(state, process)[rows] if len(rows) else None
        if asked is None or not bool(asked.any()):
            state = replace(state, step=torch.where(state.step == i, i + 1, state.step))
            continue
        here, (t, s) = state.rows(rows), (times[i], times[i + 1])
        positions, real = padded(asked)
        query = Query(state, rows, t.expand(len(rows)), positions, real)
        unique, place = distinct(query)
        p_x0 = supported(process, (yield unique)[place], here.tokens.gather(1, positions), t)
        M, _, base = condition.factors(query, p_x0)
        log_z = condition.log_mass(query, M)
        here = replace(here, log_potential=base + log_z)
        ancestor, resampled = ancestors(here, particles, threshold)
        if bool(resampled.any()):
            here, positions, real = inherit(here, ancestor, resampled), positions[ancestor], real[ancestor]
            state = put_rows(state, rows, here)
            query = replace(query, state=state, positions=positions, open=real)
            p_x0, M, base, log_z = (x[ancestor] for x in (p_x0, M, base, log_z))
        drawn = condition.sample(query, M, here.noise(i, positions, Stream.TOKEN))
        x_0 = write(here.tokens, positions, drawn, real)
        law = kernel.bridge(here.tokens, x_0, s, t)
        columns = torch.arange(x_0.shape[1], device=x_0.device)
        x_s = torch.where(free(here), categorical(law, here.noise(i, columns, Stream.JUMP)), here.tokens)
        x_s = x_0 if i == steps - 1 else x_s
        k = kernel.log_kernel(here.tokens, x_s, s, t).exp().gather(1, positions.unsqueeze(-1).expand_as(p_x0))
        log_p = torch.where(real, (p_x0 * k).sum(-1).log(), 0.0).sum(-1)
        after = condition.log_mass(query, M * k)
        log_weight = torch.where(log_z.isneginf(), float("-inf"), log_p + log_z - after)
        here = replace(
            here.put(x_s, here.step + 1, log_weight), log_potential=torch.where(log_z.isneginf(), log_z, base + after - log_p)
        )
        state = put_rows(state, rows, here)
    return replace(state, log_potential=condition.final(state.tokens))
