"""Samplers of a process on vectors: one visible loop each, from noise at times[0] to times[-1].

Each asks for x̂0 = E[x_0 | x_t] (`Query.law` False) and is sent (B, L, D); only positions in `state.free` move, the
others keep their clean vectors to the last bit (partial noising: Gong et al., DiffuSeq, 2023). A loop goes on from any
saved state: `state.step` says how many intervals of `times` a row has done.

The ends. A grid may begin at a_t = 0 except for `reverse_sde`, whose drift has a pole there. Where b_s = 0 every
step from t to s = 0 of `ddpm`, `ddim` and `dpm_solver` is x̂0 itself; the ODE and SDE loops need b > 0 where they ask.
A grid that ends at t_min > 0 leaves x with noise b_{t_min}; `denoised` then replaces it by x̂0, whose law is off by O(b²).

Shapes: B batch, L length, D width, N intervals of the grid `times` (N + 1,). x is float64.
"""

from collections.abc import Callable, Generator
from dataclasses import replace

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.gaussian import VectorProcess, spread
from seqdiff.samplers.state import Query, State

VectorLoop = Generator[Query, Tensor, State]
Move = Callable[[Tensor, Tensor, Tensor], Tensor]


def ddpm(
    state: State, process: VectorProcess, times: Tensor, interpolation: Tensor | float = 0.0, move: Move | None = None
) -> VectorLoop:
    """Ancestral sampling: x_s = mean of q(x_s | x_t, x̂0) + √var · ξ (Ho et al., 2020, alg. 2).

    `interpolation` v chooses the variance between β̃ (0) and β (1) in log space: a number, or one per interval (N,).
    `move` takes (x_s, its mean, its variance (B, 1, 1)) to where x_s is wished to be (Diffusion-LM's guidance).
    Law: tends to the data law with weak error O(1/N), at both ends of v, where nothing is moved.
    """
    N = intervals(state, times)
    while unfinished(state, N):
        k, t, s = interval(state, times)
        x0_hat = yield Query(state, None, t, None, law=False)
        mean, _ = process.bridge(x_of(state), x0_hat, s, t)
        v = interpolation[k] if isinstance(interpolation, Tensor) else interpolation
        variance = spread(process.reverse_variance(s, t, v))
        x = mean + variance.sqrt() * step_noise(state, k)
        state = advance(state, x if move is None else move(x, mean, variance), x0_hat, N)
    return state


def ddim(state: State, process: VectorProcess, times: Tensor, eta: float = 0.0) -> VectorLoop:
    """x_s = a_s x̂0 + √(b_s² − σ²) ε̂ + σ ξ with σ² = η² β̃ (Song, Meng & Ermon, DDIM, 2021, eq. 12, 16).

    η = 0 is deterministic, the probability-flow ODE to order 1; η = 1 is `ddpm` with the variance β̃.
    """
    N = intervals(state, times)
    while unfinished(state, N):
        k, t, s = interval(state, times)
        x0_hat = yield Query(state, None, t, None, law=False)
        a, b = process.signal(t), process.noise(t)
        eps_hat = (x_of(state) - spread(a) * x0_hat) / spread(b)
        sigma_2 = eta**2 * process.reverse_variance(s, t)
        x = spread(process.signal(s)) * x0_hat + spread((process.noise(s).square() - sigma_2).clamp(min=0).sqrt()) * eps_hat
        if eta > 0:
            x = x + spread(sigma_2.sqrt()) * step_noise(state, k)
        state = advance(state, x, x0_hat, N)
    return state


def dpm_solver(state: State, process: VectorProcess, times: Tensor) -> VectorLoop:
    """DPM-Solver++ (2M): x_s = (b_s/b_t) x_t − a_s (e^{−h} − 1) D, D = (1 + 1/(2r)) x̂0 − 1/(2r) x̂0_previous.

    λ = log(a/b), h = λ_s − λ_t, r = h_previous/h (Lu et al., DPM-Solver++, 2022, alg. 2). The first interval, and one
    of infinite h, is of order 1 (D = x̂0). Deterministic, order 2 with one query an interval.
    """
    N = intervals(state, times)
    while unfinished(state, N):
        k, t, s = interval(state, times)
        x0_hat = yield Query(state, None, t, None, law=False)
        half_log_snr = process.log_snr(times) / 2
        h, h_previous = half_log_snr[k + 1] - half_log_snr[k], half_log_snr[k] - half_log_snr[(k - 1).clamp(min=0)]
        second = torch.where((k > 0) & h.isfinite(), h / (2 * h_previous), 0.0)  # 1/(2r)
        previous = x0_hat if state.x0_hat is None else state.x0_hat
        D = x0_hat + spread(second) * (x0_hat - previous)
        x = spread(process.noise(s) / process.noise(t)) * x_of(state) - spread(process.signal(s) * torch.expm1(-h)) * D
        state = advance(state, x, x0_hat, N)
    return state


def euler(state: State, process: VectorProcess, times: Tensor) -> VectorLoop:
    """x_s = x_t + (s − t) · velocity: Euler on the probability-flow ODE (Song et al., 2021, eq. 13). Order 1.

    On the straight flow this is flow matching's sampler (Lipman et al., 2023), and the same map as `ddim`.
    """
    N = intervals(state, times)
    while unfinished(state, N):
        _, t, s = interval(state, times)
        x0_hat = yield Query(state, None, t, None, law=False)
        x = x_of(state) + spread(s - t) * process.velocity(x_of(state), x0_hat, t)
        state = advance(state, x, x0_hat, N)
    return state


def heun(state: State, process: VectorProcess, times: Tensor) -> VectorLoop:
    """Euler's step to x̃_s, then x_s = x_t + (s − t)/2 · (velocity at x_t + velocity at x̃_s). Order 2, two queries.

    Where b_s = 0 the velocity has no value and Euler's step is kept (Karras et al., EDM, 2022, alg. 1).
    """
    N = intervals(state, times)
    while unfinished(state, N):
        _, t, s = interval(state, times)
        x0_hat = yield Query(state, None, t, None, law=False)
        first = process.velocity(x_of(state), x0_hat, t)
        x = x_of(state) + spread(s - t) * first
        inside = process.noise(s) > 0
        if bool(inside.any()):
            at = torch.where(_moving(state, N), x, x_of(state))
            again = yield Query(state, None, s, None, law=False, vectors=at)
            mean = (first + process.velocity(at, again, s)) / 2
            x = torch.where(spread(inside), x_of(state) + spread(s - t) * mean, x)
        state = advance(state, x, x0_hat, N)
    return state


def reverse_sde(state: State, process: VectorProcess, times: Tensor) -> VectorLoop:
    """Euler–Maruyama on the reverse SDE dx = (f x − g² score) dt + g dW (Anderson, 1982; Song et al., 2021, eq. 6).

    f = a′/a, score = −(x − a x̂0)/b². The drift is velocity − ½ g² score. Weak order 1; the grid must begin where a > 0.
    """
    N = intervals(state, times)
    while unfinished(state, N):
        k, t, s = interval(state, times)
        x0_hat = yield Query(state, None, t, None, law=False)
        x_t, g_2 = x_of(state), process.diffusion(t)
        score = (spread(process.signal(t)) * x0_hat - x_t) / spread(process.noise(t).square())
        drift = process.velocity(x_t, x0_hat, t) - spread(g_2 / 2) * score
        x = x_t + spread(s - t) * drift + spread((g_2 * (t - s)).sqrt()) * step_noise(state, k)
        state = advance(state, x, x0_hat, N)
    return state


def denoised(loop: VectorLoop, times: Tensor) -> VectorLoop:
    """A loop, then one more query at times[-1]: x becomes x̂0."""
    state = yield from loop
    N = intervals(state, times)
    if unfinished(state, N + 1):
        x0_hat = yield Query(state, None, times[-1].to(state.tokens.device).expand(len(state.step)), None, law=False)
        state = advance(state, x0_hat, x0_hat, N + 1)
    return state


def intervals(state: State, times: Tensor) -> int:
    """N of the grid. Raises ConfigError unless the state has vectors and `times` is a grid."""
    if state.vectors is None:
        raise ConfigError("sampler on vectors: expected a state with vectors (B, L, D), got None; draw them from the prior")
    falling = times.ndim == 1 and len(times) > 1 and bool((times.diff() < 0).all())
    if not (falling and float(times[-1]) >= 0 and float(times[0]) <= 1):
        raise ConfigError(f"times: expected at least two numbers falling from at most 1 to at least 0, got {times.tolist()}")
    return len(times) - 1


def unfinished(state: State, N: int) -> bool:
    return bool((state.step < N).any())


def interval(state: State, times: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The number k (B,) of each row's interval, and its ends t > s (B,)."""
    k = state.step.clamp(max=len(times) - 2)
    times = times.to(k.device)
    return k, times[k], times[k + 1]


def x_of(state: State) -> Tensor:
    """x_t (B, L, D), which `intervals` has made sure of."""
    return state.vectors  # type: ignore[return-value]


def step_noise(state: State, k: Tensor) -> Tensor:
    """ξ (B, L, D), standard normal, of the rows' intervals k (B,)."""
    L, D = x_of(state).shape[1:]
    return state.normal(k.unsqueeze(-1), torch.arange(L, device=k.device), D, Stream.GAUSS)


def advance(state: State, x: Tensor, x0_hat: Tensor, N: int) -> State:
    """The next state: x at the positions that may move, in the rows that have not done N steps."""
    moving = _moving(state, N)
    if not bool((torch.isfinite(x) | ~moving).all()):
        raise ConfigError(
            f"sampler on vectors: x is not finite after step {int(state.step.max())}; let the grid begin where a > 0 "
            f"(t < 1) and end where b > 0 (t > 0)"
        )
    step = state.step + (state.step < N).long()
    return replace(state, vectors=torch.where(moving, x, x_of(state)), step=step, x0_hat=x0_hat)


def _moving(state: State, N: int) -> Tensor:
    """(B, L or 1, 1) bool: whether a position carries noise, in a row that is not done."""
    active = spread(state.step < N)
    return active if state.free is None else active & state.free.unsqueeze(-1)


def uniform_times(steps: int, t_max: float = 1.0, t_min: float = 0.0) -> Tensor:
    """(N + 1,) times from t_max to t_min in equal steps."""
    return torch.linspace(t_max, t_min, steps + 1, dtype=torch.float64)


def log_snr_times(process: VectorProcess, steps: int, t_max: float = 0.999, t_min: float = 1e-3) -> Tensor:
    """Times from t_max to t_min, equally spaced in log SNR (Lu et al., 2022)."""
    return karras_times(process, steps, t_max, t_min, rho=None)


def karras_times(
    process: VectorProcess, steps: int, t_max: float = 0.999, t_min: float = 1e-3, rho: float | None = 7.0
) -> Tensor:
    """Times from t_max to t_min, equally spaced in σ^{1/ρ}, σ = b/a (Karras et al., 2022, eq. 5); ρ = None: in log σ."""
    ends = torch.tensor([t_max, t_min], dtype=torch.float64)
    first, last = (-process.log_snr(ends) / 2).tolist()  # log σ
    if not (abs(first) < float("inf") and abs(last) < float("inf") and steps >= 1):
        raise ConfigError(f"times: expected steps ≥ 1 and a, b > 0 at both ends, got steps {steps}, t from {t_max} to {t_min}")
    w = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    if rho is None:
        log_sigma = first + w * (last - first)
    else:
        top = torch.tensor([first, last], dtype=torch.float64).div(rho).exp()
        log_sigma = rho * (top[0] + w * (top[1] - top[0])).log()
    times = process.time(-2 * log_sigma)
    times[0], times[-1] = t_max, t_min
    return times
