"""Sweeps over all positions of a batch of rows: masses of labels, β from the end, α from the start.

Numbers are scaled by powers of two, which are exact, so that what is lost is what falls below the smallest number of the
type, 2^−149 in float32. A row is *sound* if its Z is far above what all such losses together could amount to.

Shapes: B = H W rows in groups (`chain_steps`), L length, V vocabulary, K classes, D labels, S states, N clamped positions.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from constraints.automata.chain_steps import Steps, class_masses

HIGHEST = 1 - 2**-52  # noise: times a sum it stays below the sum
RESCALE = 4  # positions between two rescalings
LOWEST = {torch.float32: (-149, -24), torch.float64: (-1074, -53)}  # log₂ of the smallest number, and of the precision


class Counted(Protocol):
    """What β is over."""

    states: int
    start: int


@dataclass
class Masses:
    """Label masses m (L, H, D, W), to be multiplied by 2^(norm + shift).

    Attributes:
        norm: (L, B) int64, from p as it came to Σ_v p_i(v) ≤ 1.
        shift: (L, B) int64, from there to what keeps β in range.
        only: for each position the class that every row has to itself there, or None.
    """

    m: Tensor
    norm: Tensor
    shift: Tensor
    only: list[int | None]

    @classmethod
    def of(cls, p: Tensor, steps: Steps, region: Tensor | None, dtype: torch.dtype, groups: int) -> "Masses":
        """From p (B, L, V) and region (B, L); H = `groups`."""
        total = p.sum(-1)
        _, norm = torch.frexp(total * (1 - 2**-20))  # a sum of 1, give or take the rounding, is left alone
        by_class = class_masses(
            (p * power(-norm, total).unsqueeze(-1)).to(dtype), steps.classes, steps.members.shape[1], region
        )
        support = by_class.amax(2) > 0
        single, only = (support.sum(1) == 1).tolist(), support.to(torch.int8).argmax(1).tolist()
        return cls(
            steps.label_masses(by_class, groups),
            norm.T.to(torch.int64),
            torch.zeros_like(norm.T, dtype=torch.int64),
            [c if alone else None for c, alone in zip(only, single, strict=True)],
        )

    def clamped(self, row: Tensor, i: Tensor, labels: Tensor, upto: int) -> "Masses":
        """Factor 1 for a token with labels (N, D) bool at positions i (N,) of rows (N,); no shift before position `upto`."""
        m, norm, shift = self.m.clone(), self.norm.clone(), self.shift.clone()
        _, H, _, W = m.shape
        m[:upto] *= power(shift[:upto], m).view(upto, H, 1, W)
        shift[:upto] = 0
        m[i, row // W, :, row % W] = labels.to(m)
        norm[i, row] = 0
        return Masses(m, norm, shift, self.only)


@dataclass
class Sweep:
    """What going backward leaves: β_i (H, S + 1, W) in beta[i], β_0 alone unless kept, and the masses as scaled on the way."""

    beta: list[Tensor]
    masses: Masses


def power(exponent: Tensor, like: Tensor) -> Tensor:
    """2^exponent, exactly, in the type of `like`."""
    return torch.exp2(exponent.to(like.dtype))


def accepted(steps: Steps, m: Tensor) -> Tensor:
    """β_L (H, S + 1, W) = 1[F]."""
    _, H, _, W = m.shape
    return steps.accepting.to(m).view(1, -1, 1).expand(H, -1, W).contiguous()


def started(steps: Steps, m: Tensor) -> Tensor:
    """α_0 (H, S + 1, W) = 1[q_0]."""
    _, H, _, W = m.shape
    alpha = m.new_zeros(H, steps.states + 1, W)
    alpha[:, steps.start] = 1
    return alpha


def backward(steps: Steps, masses: Masses, beta: Tensor, upto: int, room: Tensor | None = None) -> Sweep:
    """From β at position `upto` down to β_0, kept in `room` (L + 1, H, S + 1, W) if given; rescales the masses in place.

    It is the masses of the next position that are multiplied, for they are fewer than the states.
    """
    m, scratch = masses.m, steps.scratch(beta)
    blocks, kept = [block.unbind(0) for block in steps.by_block(m)], [] if room is None else room.unbind(0)
    if kept:
        kept[upto].copy_(beta)
    for i in reversed(range(upto)):
        if i % RESCALE == 0:
            _, shift = torch.frexp(beta.amax(1, keepdim=True))
            m[i].mul_(power(-shift, m))
            masses.shift[i] = shift.flatten()
        c = masses.only[i]
        beta = steps.backward(beta, [b[i] for b in blocks], scratch) if c is None else steps.follow(beta, m[i], c)
        if kept:
            kept[i].copy_(beta)
    return Sweep(list(kept) or [beta], masses)


def log_z(steps: Counted, sweep: Sweep) -> tuple[Tensor, Tensor]:
    """log Z (B,) float64 and which rows are sound.

    At position i at most `lost` · 2^(shifts from i on) · (forward mass ≤ 1) is lost.
    """
    masses, mass = sweep.masses, sweep.beta[0][:, steps.start].flatten().double()
    shifts = torch.cat([masses.shift.new_zeros(1, len(mass)), masses.shift.flip(0).cumsum(0)])
    sound = mass.log2() + shifts[-1] - shifts.amax(0) > _needed(steps, masses.m)
    return mass.log() + math.log(2) * (shifts[-1] + masses.norm.sum(0)).double(), sound & torch.isfinite(mass)


class Choices:
    """Labels of n positions for B rows, drawn one position after the other, and what each choice leaves of its noise.

    What is chosen goes into tables made once: of so few numbers, making a table costs as much as filling it.
    """

    def __init__(self, n: int, rows: int, like: Tensor):
        self._label = torch.empty(n, rows, 1, dtype=torch.int64, device=like.device)
        self._threshold, self._upper = like.new_empty(2, n, rows, 1, dtype=torch.float64).unbind(0)
        self._weight = like.new_empty(n, rows, 1)
        self._tables = [table.unbind(0) for table in (self._label, self._threshold, self._upper, self._weight)]

    def pick(self, k: int, weight: Tensor, u: Tensor, cumulative: Tensor) -> Tensor:
        """The k-th label (B, 1) ∝ weight (B, D) from noise u (B, 1); `cumulative` (B, D) float64 is room for its sums."""
        label, threshold, upper, own = (table[k] for table in self._tables)
        torch.cumsum(weight, -1, dtype=torch.float64, out=cumulative)
        torch.mul(u, cumulative[:, -1:], out=threshold)
        torch.searchsorted(cumulative, threshold, right=True, out=label)
        label.clamp_(max=weight.shape[1] - 1)
        torch.gather(cumulative, -1, label, out=upper)
        torch.gather(weight, -1, label, out=own)
        return label

    def labels(self) -> Tensor:
        """(B, n) int64."""
        return self._label.squeeze(-1).T

    def left(self) -> Tensor:
        """What the choices leave of their noise, (B, n): uniform again, given the choice."""
        left = 1 - (self._upper - self._threshold) / self._weight
        return torch.where(left < 1, left.clamp(min=0), 0.0).squeeze(-1).T


def _needed(steps: Counted, m: Tensor) -> float:
    """log₂ of the least Z that what is lost in L positions, D labels and S states does not touch."""
    smallest, precision = LOWEST[m.dtype]
    return smallest - precision + math.log2((len(m) + 1) * (m.shape[2] + 1) * (steps.states + 1))


def gradient(steps: Steps, sweep: Sweep) -> tuple[Tensor, Tensor]:
    """∂ log Z/∂m_i(d) = g_i(d)/Σ_d m_i(d) g_i(d), (L, H, D, W) float64, and which rows are sound.

    g_i(d) = Σ_q α_{i−1}(q) β_i(δ(q, d)).
    """
    masses, alpha = sweep.masses, started(steps, sweep.masses.m)
    enough = sweep.beta[0][:, steps.start].double().log2() - _needed(steps, masses.m)
    shift, sound = torch.zeros_like(enough), torch.ones_like(enough, dtype=torch.bool)
    found = torch.zeros_like(masses.m, dtype=torch.float64)
    for i, m in enumerate(masses.m):
        alpha, g = steps.forward(alpha, m, sweep.beta[i + 1])
        total = (m.double() * g).sum(1)
        found[i] = g / total.unsqueeze(1)
        sound &= (total > 0) & torch.isfinite(total) & (shift < enough)
        _, e = torch.frexp(alpha.amax(1))
        alpha *= power(-e, alpha).unsqueeze(1)
        shift = shift + e
    scale = power(-(masses.norm + masses.shift), found)
    return found * scale.view(-1, len(alpha), 1, alpha.shape[-1]), sound.flatten()


def reachable(steps: Steps, masses: Masses) -> list[Tensor]:
    """β_0 … β_L in zeros and ones, for masses of zeros and ones: from where the rest can be completed."""
    beta = [accepted(steps, masses.m)]
    scratch = steps.scratch(beta[0])
    for m in masses.m.flip(0):
        beta.append(steps.backward(beta[-1], steps.by_block(m), scratch).clamp_(max=1))
    return beta[::-1]


def usable(steps: Steps, masses: Masses) -> Tensor:
    """(L, H, D, W) bool: the labels that stand at a position in some word, for masses of zeros and ones."""
    beta, alpha = reachable(steps, masses), started(steps, masses.m)
    uses = torch.zeros_like(masses.m, dtype=torch.bool)
    for i, m in enumerate(masses.m):
        alpha, g = steps.forward(alpha, m, beta[i + 1])
        alpha.clamp_(max=1)
        uses[i] = g > 0
    return uses
