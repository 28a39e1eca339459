"""Continuous-time reverse chains: leaps of a rate that is frozen over a step.

A velocity is the rate (B, P, S) at which x_t jumps to y ≠ x_t as t falls, given the drawn x̂0; averaged over
x̂0 ~ p(x0 | x_t) it moves q_t on to q_{t−h} with an error of O(h²). The rates of some processes grow without bound as
t → 1, where α vanishes: they are taken at min(t, 1 − 10⁻⁶).

Shapes: B rows, P positions, S states, V clean vocabulary, T steps.
Sources: Campbell et al., "A continuous time framework for discrete denoising models", 2022; Gat et al., "Discrete flow
matching", 2024; Lou et al., SEDD, 2024.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.absorbing import Loop
from seqdiff.samplers.markov import conditional_chain, time_grid
from seqdiff.samplers.state import State

LATEST = 1 - 1e-6
Mixture = Absorbing | Uniform  # q_t = α_t δ(x_0) + (1 − α_t) noise: everything in O(S) a position, no matrix


def reverse_velocity(process: TokenProcess, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
    """R̂_t(x → y | x̂0) = R_t(y, x) q_t(y | x̂0)/q_t(x | x̂0), the time reversal of the process (Campbell et al.).

    0 where q_t(x | x̂0) = 0: no path leads there.
    """
    if isinstance(process, Mixture):
        noise, alpha, beta = _mixture(process, t, x_t)
        arrive = beta * noise[x_t].unsqueeze(-1)
        q = _added((1 - alpha) * noise, x_0, alpha)
    else:
        arrive, q = _rows(process.rate(t).transpose(-1, -2), x_t), _rows(process.marginal(t), x_0)
    q_here = q.gather(-1, x_t.unsqueeze(-1))
    return _without(arrive * torch.where(q_here > 0, 1 / q_here, 0.0) * q, x_t)


def flow_velocity(process: TokenProcess, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
    """−α′_t/(1 − α_t) towards x̂0: discrete flow matching on the mixture path q_t = α_t δ(x_0) + (1 − α_t) noise.

    Gat et al. with κ = α and time reversed. It generates the same q_t as `reverse_velocity` with the fewest
    jumps (to x̂0 alone); from a mask the two are one.
    """
    if not isinstance(process, Mixture):
        raise ConfigError(
            f"velocity 'flow': expected a mixture path (the absorbing or the uniform process), got "
            f"{type(process).__name__}; use velocity='reverse'"
        )
    weight = process.schedule.weight(t).reshape(-1, 1, 1)
    return _without(_added(weight.new_zeros(process.states), x_0, weight), x_t)


def forward_velocity(process: TokenProcess, x_t: Tensor, t: Tensor) -> Tensor:
    """R_t(x → y), the noising rate: it moves q_t to q_{t+h}."""
    if isinstance(process, Mixture):
        noise, _, beta = _mixture(process, t, x_t)
        return _without((beta * noise).expand(*x_t.shape, -1), x_t)
    return _without(_rows(process.rate(t), x_t), x_t)


VELOCITIES: dict[str, Callable[[TokenProcess, Tensor, Tensor, Tensor], Tensor]] = {
    "reverse": reverse_velocity,
    "flow": flow_velocity,
}
JUMPS = ("exponential", "first-order")


def leap(rate: Tensor, x_t: Tensor, h: Tensor, jump: str) -> Tensor:
    """Law (B, P, S) after a step of h (B,): one jump at most, its destination ∝ rate, with Λ = Σ_y rate(y).

    The probability to jump is 1 − e^{−hΛ} ("exponential") or min(1, hΛ) ("first-order"). Neither leaves exactly the
    noise of the process: at constant x̂0 the masks that survive T first-order steps of a linear schedule are exactly
    1 − t, those of exponential ones e^{1−γ} ≈ 1.526 times as many at t = 1/T as T → ∞.
    """
    total = rate.sum(-1, keepdim=True)
    mean = h.reshape(-1, 1, 1) * total
    moved = -torch.expm1(-mean) if jump == "exponential" else mean.clamp(max=1)
    return _added(rate * torch.where(total > 0, moved / total, 0.0), x_t, 1 - moved)


def tau_leaping(
    state: State,
    process: TokenProcess,
    condition: Condition,
    steps: int,
    velocity: str = "reverse",
    jump: str = "exponential",
    corrector: float = 0.0,
    corrector_powers: tuple[float, float] = (0.5, 0.5),
) -> Loop:
    """Leaps of the velocity û given x̂0 on the grid t = 1 − k/T; the last step draws x̂0 itself (Gat et al.).

    With a corrector the velocity is (1 + η_t) û plus η_t times the noising rate, η_t = η t^a (1 − t)^b: the second undoes
    the surplus of the first, so that q_t is reached as before, and mistakes are drawn again on the way (Gat et al.,
    corrector sampling; Campbell et al., prop. 4). Under the absorbing process revealed tokens may then be masked again.

    Law: the kernel just described, exactly. With the exact p(x0 | x_t) it tends to the data law as T → ∞ at first
    order: the leaps and the independent draw of the positions each cost O(h²) a step. The last step costs O(1/T) too.

    Args:
        velocity: "reverse" (any process in continuous time) or "flow" (absorbing and uniform).
        jump: see `leap`.
        corrector: η ≥ 0, its strength.
        corrector_powers: (a, b) ≥ 0.
    """
    _check(velocity, jump, corrector, corrector_powers)
    a, b = corrector_powers

    def kernel(x_t: Tensor, x_0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        at = t.clamp(max=LATEST)
        rate = VELOCITIES[velocity](process, x_t, x_0, at)
        if corrector > 0:
            eta = (corrector * at**a * (1 - at) ** b).reshape(-1, 1, 1)
            rate = (1 + eta) * rate + eta * forward_velocity(process, x_t, at)
        return leap(rate, x_t, t - s, jump)

    return conditional_chain(state, process, condition, time_grid(steps), kernel, renoise=corrector > 0)


def predictor_corrector(
    state: State,
    process: TokenProcess,
    condition: Condition,
    steps: int,
    corrections: int = 1,
    size: float = 1.0,
    velocity: str = "reverse",
    jump: str = "exponential",
) -> Loop:
    """`reverse_chain` with leaps of R + R̂ at every time between two of its steps (Campbell et al., 2022, §4.4).

    Noising and denoising at once leave q_t as it is, so what the steps before did wrong is mended without moving t:
    T + (T − 1)·corrections passes, the state's `step` counts them.

    Law: the kernel just described, exactly. With the exact p(x0 | x_t) a leap of length d changes q_t by O(d²), so that the
    law tends to the data law with error O(1/T).

    Args:
        corrections: leaps at each time.
        size: length of a leap in units of 1/T.
        velocity: what R̂ is, as in `tau_leaping`.
    """
    _check(velocity, jump, size, (0.0, 0.0))
    if corrections < 0:
        raise ConfigError(f"corrections: expected at least 0, got {corrections}")
    repeats = torch.full((steps + 1,), corrections + 1)
    repeats[0] = repeats[-1] = 1

    def kernel(x_t: Tensor, x_0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        at = t.clamp(max=LATEST)
        rate = VELOCITIES[velocity](process, x_t, x_0, at) + forward_velocity(process, x_t, at)
        corrected = leap(rate, x_t, torch.full_like(t, size / steps), jump)
        return torch.where((s < t).reshape(-1, 1, 1), process.bridge(x_t, x_0, s, t), corrected)

    times = time_grid(steps).repeat_interleave(repeats)
    return conditional_chain(state, process, condition, times, kernel, renoise=corrections > 0)


def tweedie(process: TokenProcess, ratio: Tensor, x_t: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """SEDD's analytic step from ratios alone, (B, L, S): p(x_s = y | x_t = x) = [Σ_z r(z) (Q_{t|s}⁻¹)(z, y)] Q_{t|s}(y, x).

    r(z) = q_t(z)/q_t(x) (B, L, S) for every state z of a position with the others as they are (Lou et al., §4).
    With exact ratios it is the posterior Σ_v p(v | x_t) q(x_s | x_t, v); with learned ones entries may be negative, and are
    set to 0 before normalising. Q_{t|s} must be invertible: α_t > 0.
    """
    between = process.between(s, t).to(x_t.device)
    undone = torch.linalg.solve(between.transpose(-1, -2), ratio.double().transpose(-1, -2)).transpose(-1, -2)
    law = (undone * _rows(between.transpose(-1, -2), x_t)).clamp(min=0)
    return law / law.sum(-1, keepdim=True)


def _check(velocity: str, jump: str, strength: float, powers: tuple[float, float]) -> None:
    if velocity not in VELOCITIES:
        raise ConfigError(f"velocity: expected one of {', '.join(VELOCITIES)}; got {velocity!r}")
    if jump not in JUMPS:
        raise ConfigError(f"jump: expected one of {', '.join(JUMPS)}; got {jump!r}")
    if not (strength >= 0 and min(powers) >= 0):
        raise ConfigError(f"corrector: expected strength, size and powers of at least 0, got {strength}, {powers}")


def _mixture(process: Absorbing | Uniform, t: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Noise law (S,), α_t and −α′_t/α_t (B, 1, 1): R_t = −α′_t/α_t · (noise − δ)."""
    alpha = process.schedule.alpha(t).reshape(-1, 1, 1)
    return process.prior_law().to(x_t.device), alpha, process.schedule.mask_rate_prime(t).reshape(-1, 1, 1) / alpha


def _rows(matrix: Tensor, index: Tensor) -> Tensor:
    """Rows of matrix (B, R, C) at index (B, P), on the index's device: (B, P, C)."""
    matrix = matrix.to(index.device)
    if matrix.ndim == 2:
        return matrix[index]
    return matrix.gather(1, index.unsqueeze(-1).expand(*index.shape, matrix.shape[-1]))


def _added(law: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """Law (B, P, S), or (S,) for all, with weight (B, P, 1), or (B, 1, 1), added at the states x (B, P): (B, P, S)."""
    place = x.unsqueeze(-1)
    return law.expand(*x.shape, law.shape[-1]).scatter_add(-1, place, weight.expand_as(place))


def _without(rate: Tensor, x_t: Tensor) -> Tensor:
    """The rate with 0 at x_t itself: only jumps count."""
    return rate.scatter(-1, x_t.unsqueeze(-1), 0.0)
