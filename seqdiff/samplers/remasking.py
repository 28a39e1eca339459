"""Samplers of the absorbing process that take reveals back: remasking posteriors, and corrector rounds between steps.

A revealed token may be masked again and drawn anew with more around it. Only `state.changeable` positions ever are, so
pins hold. Shapes: B rows, L length, V vocabulary, T steps, P positions.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.absorbing import Loop, places, write
from seqdiff.samplers.confidence import confidence_of, ranks
from seqdiff.samplers.state import Query, State
from seqdiff.schedules import Schedule


def largest_remasking(mask_rate_s: Tensor, mask_rate_t: Tensor) -> Tensor:
    """σ_max = min(1, (1 − α_s)/α_t): above it the posterior of a mask would be negative (Wang et al., 2025)."""
    return (mask_rate_s / (1 - mask_rate_t)).clamp(max=1.0)  # α_1 = 0 gives ∞, clamped


def unmask_probability(mask_rate_s: Tensor, mask_rate_t: Tensor, sigma: Tensor) -> Tensor:
    """(α_s − (1 − σ) α_t)/(1 − α_t): the chance that a token masked at t is revealed at s, if others are remasked with σ.

    With it q(x_s | x_0) has the marginals of the absorbing process for every σ ≤ σ_max (Wang et al., 2025):
    α_t σ + (1 − α_t)(1 − unmask) = 1 − α_s.
    """
    return (mask_rate_t - mask_rate_s + sigma * (1 - mask_rate_t)) / mask_rate_t


@dataclass(frozen=True)
class Hold:
    """ReMDM's loop: α rises to `alpha` until t = start, stays there until t = end, and rises to 1; tokens are remasked
    only while it stays (Wang et al., 2025; the defaults are those of its text scripts)."""

    alpha: float = 0.9
    start: float = 0.55
    end: float = 0.05

    def __post_init__(self):
        if not (0 < self.alpha < 1 and 0 < self.end < self.start < 1):
            raise ConfigError(
                "hold: expected 0 < alpha < 1 and 0 < end < start < 1, "
                f"got alpha {self.alpha}, start {self.start}, end {self.end}"
            )


def times_of(schedule: Schedule, steps: int, hold: Hold | None = None) -> tuple[Tensor, Tensor]:
    """(times (T + 1,), which steps remask (T,)); both other phases of a `hold` take equal steps of the schedule's time.

    Raises ConfigError if a phase has no step.
    """
    if hold is None:
        return torch.linspace(1, 0, steps + 1, dtype=torch.float64), torch.ones(steps, dtype=torch.bool)
    rise, last = (max(1, round(steps * share)) for share in (1 - hold.start, hold.end))
    stay = steps - rise - last
    if min(rise, stay, last) < 1:
        raise ConfigError(
            f"hold: expected at least one step in each of its three phases, got {rise}, {stay} and {last} of {steps} steps; "
            "take more steps or move start and end"
        )
    t_hold = float(schedule.inverse(torch.tensor(1 - hold.alpha, dtype=torch.float64)))
    times = torch.cat(
        [
            torch.linspace(1, t_hold, rise + 1, dtype=torch.float64),
            torch.full((stay - 1,), t_hold, dtype=torch.float64),
            torch.linspace(t_hold, 0, last + 1, dtype=torch.float64),
        ]
    )
    k = torch.arange(steps)
    return times, (k >= rise) & (k < rise + stay)


def remasking(
    state: State,
    process: Absorbing,
    condition: Condition,
    steps: int,
    eta: float = 0.02,
    rule: str = "cap",
    by_confidence: bool = False,
    hold: Hold | None = None,
) -> Loop:
    """ReMDM: the T-step reverse process whose posterior remasks (Wang et al., 2025, arXiv 2503.00307).

    On the way from t to s a revealed token is remasked with probability σ, and a masked one is revealed with
    (α_s − (1 − σ) α_t)/(1 − α_t) and drawn from p(x0 | x_t), all from the same x_t. σ is min(η, σ_max) ("cap") or
    η σ_max ("rescale"), with σ_max = min(1, (1 − α_s)/α_t); η = 0 is `ancestral`.

    `by_confidence` spreads σ over the revealed positions: σ_i = σ · softmax(−ψ)_i, ψ_i the probability with which token i
    was drawn, and 0 where masked. `hold` keeps α constant for a while and remasks only then.

    Law (asymptotic): for one fixed x_0 the marginals are exact. With p(x0 | x_t) in its place the tokens that a step
    reveals are independent, and with a fixed η their number does not fall as 1/T: an exact denoiser's law is reached with
    error O(1/√T) under the linear schedule, where `ancestral` has O(1/T), and with a hold with
    error O(η) + O(1/T). It pays for denoisers that err. By confidence: heuristic, since it remasks by what was drawn and
    its masks no longer follow α.

    Args:
        eta: η ∈ [0, 1].
        rule: "cap" or "rescale".
    """
    if not 0 <= eta <= 1 or rule not in ("cap", "rescale"):
        raise ConfigError(f"remasking: expected 0 ≤ eta ≤ 1 and rule cap or rescale, got eta {eta} and rule {rule!r}")
    device = state.tokens.device
    times, remasks = (x.to(device) for x in times_of(process.schedule, steps, hold))
    mask_rate = process.schedule.mask_rate(times)
    mask_rate[0], mask_rate[-1] = 1.0, 0.0
    largest = largest_remasking(mask_rate[1:], mask_rate[:-1])
    sigma_of = torch.where(remasks, largest.clamp(max=eta) if rule == "cap" else eta * largest, 0.0)
    columns = torch.arange(state.tokens.shape[1], device=device)
    while bool((state.step < steps).any()):
        k = state.step.clamp(max=steps - 1).unsqueeze(-1)
        masked = state.tokens == process.mask
        kept = state.changeable & ~masked
        sigma = sigma_of[k]
        if by_confidence:
            doubt = torch.where(kept, (-confidence_of(state)).exp(), 0.0)
            sigma = sigma * doubt / doubt.sum(-1, keepdim=True).clamp(min=1e-300)
        u = state.noise(k, columns, Stream.REVEAL)
        revealed = masked & (u < unmask_probability(mask_rate[k + 1], mask_rate[k], sigma))
        remasked = kept & (u < sigma)
        if bool(revealed.any()):
            positions, asked, commit = places(condition, revealed, masked)
            query = Query(state, None, times[k.squeeze(-1)], positions, asked)
            p_x0 = yield query
            drawn = condition.draw(query, p_x0, commit, state.noise(k, positions, Stream.TOKEN)).tokens
            if by_confidence:
                p = p_x0.gather(-1, drawn.unsqueeze(-1)).squeeze(-1)
                state = replace(state, confidence=write(confidence_of(state), positions, p, commit))
            state = state.put(write(state.tokens, positions, drawn, commit), state.step)
        state = state.put(torch.where(remasked, process.mask, state.tokens), state.step + 1)
    return state


def predictor_corrector(
    state: State, process: Absorbing, condition: Condition, steps: int, rounds: int = 1, width: int = 1
) -> Loop:
    """`ancestral` with corrector rounds after every step (Campbell et al., 2022; Lezama et al., 2022).

    A round masks `width` revealed positions, chosen uniformly, then chooses as many of all that are now masked,
    uniformly again, and draws them from p(x0 | x_t): the forward and the backward process at a fixed number of masks. When
    nothing else is masked, as after the last step, this is a Gibbs step. A round is left out while fewer than `width`
    positions are revealed. Passes: at most T(1 + rounds). The rounds after the last step ask at t = 1/(2T).

    Law: with an exact denoiser and width 1 a round leaves q_t invariant, so it only takes away error that the steps have
    made: none of O(1/T) is left as rounds → ∞, if changes of one token connect the law's support. With a
    larger width a round has an error of its own (tokens drawn together are independent).
    """
    if rounds < 0 or width < 1:
        raise ConfigError(f"predictor_corrector: expected rounds ≥ 0 and width ≥ 1, got {rounds} and {width}")
    mask_rate = process.schedule.grid(steps).to(state.tokens.device)
    columns = torch.arange(state.tokens.shape[1], device=state.tokens.device)
    period = 1 + 2 * rounds  # a step, then mask and redraw in turns: each a function of the tokens and its number alone
    while bool((state.step < steps * period).any()):
        j = state.step.clamp(max=steps * period - 1).unsqueeze(-1)
        k, phase = j // period, j % period
        masked = state.tokens == process.mask
        kept = state.changeable & ~masked
        active = state.step.unsqueeze(-1) < steps * period

        choice = state.noise(j, columns, Stream.CHOICE)
        enough = kept.sum(-1, keepdim=True) >= width
        opened = active & (phase % 2 == 1) & enough & kept & (ranks(torch.where(kept, choice, -1.0)) < width)

        stepped = (phase == 0) & (state.noise(j, columns, Stream.REVEAL) < 1 - mask_rate[k + 1] / mask_rate[k])
        redrawn = (phase > 0) & (phase % 2 == 0) & (ranks(torch.where(masked, choice, -1.0)) < width)
        revealed = active & masked & (stepped | redrawn)
        if bool(revealed.any()):
            positions, asked, commit = places(condition, revealed, masked)
            t = (1 - (k + (phase > 0)).squeeze(-1).double() / steps).clamp(min=0.5 / steps)  # there are no masks at t = 0
            query = Query(state, None, t, positions, asked)
            p_x0 = yield query
            drawn = condition.draw(query, p_x0, commit, state.noise(j, positions, Stream.TOKEN)).tokens
            state = state.put(write(state.tokens, positions, drawn, commit), state.step)
        skip = ((phase % 2 == 1) & ~enough).squeeze(-1)  # nothing was masked, so nothing may be redrawn
        state = state.put(torch.where(opened, process.mask, state.tokens), state.step + 1 + skip.long())
    return state


@dataclass(frozen=True)
class Remasking:
    """ReMDM's posterior ("cap" rule) as a kernel given x̂0, for loops that take one (`particles.chain_particles`)."""

    process: Absorbing
    eta: float = 0.02

    def rates(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """(unmask, σ) for times (): the chances that a mask is revealed and that a revealed token is masked again."""
        rate_s, rate_t = (self.process.schedule.mask_rate(x) for x in (s, t))
        sigma = largest_remasking(rate_s, rate_t).clamp(max=self.eta)
        return unmask_probability(rate_s, rate_t, sigma), sigma

    def bridge(self, x_t: Tensor, x_0: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """q(x_s | x_t, x̂0), (B, L, V + 1)."""
        unmask, sigma = self.rates(s, t)
        mask = self.process.mask
        to_mask = torch.where(x_t == mask, 1 - unmask, sigma).unsqueeze(-1)
        law = to_mask.new_zeros(*x_t.shape, mask + 1)
        law[..., mask:] = to_mask
        return law.scatter_add(-1, torch.where(x_t == mask, x_0, x_t).unsqueeze(-1), 1 - to_mask)

    def log_kernel(self, x_t: Tensor, x_s: Tensor, s: Tensor, t: Tensor) -> Tensor:
        """log q(x_s | x_t, v) for every clean v, (B, L, V)."""
        unmask, sigma = self.rates(s, t)
        mask = self.process.mask
        still = (x_s == mask).unsqueeze(-1)
        is_v = (x_s.unsqueeze(-1) == torch.arange(mask, device=x_t.device)).double()
        kept = torch.where(still, sigma, (1 - sigma) * (x_s == x_t).unsqueeze(-1)).expand_as(is_v)
        return torch.where((x_t == mask).unsqueeze(-1), torch.where(still, 1 - unmask, unmask * is_v), kept).log()
