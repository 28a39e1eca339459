"""The dynamic programme over an automaton of few states as a balanced tree of products of matrices: log₂ L levels, not L steps.

    M_i(q, q') = Σ_{v: δ(q, v) = q'} p_i(v)      A_[a, b) = A_[a, m) A_[m, b)      Z = Σ_{q ∈ F} A_[0, L)(q_0, q)
    q_L ∝ A_[0, L)(q_0, q_L) 1[q_L ∈ F], then from above q_m ∝ A_[a, m)(q_a, q_m) A_[m, b)(q_m, q_b)
    x_i ∝ p_i(v) 1[δ(q_i, v) = q_{i+1}]

A row costs L S³ multiplications, an edge none: for few states, where steps one after the other are what takes time. All in
float64, each A scaled by a power of two, which is exact. The state after position i and then the token at i are drawn from
one uniform number: what a choice leaves of it is uniform again.

Shapes: R rows, L length, N = 2^n ≥ L leaves, V vocabulary, K classes, S states.
"""

import math

import torch
from torch import Tensor

from constraints.automata.chain_steps import Steps, class_masses
from seqdiff.draws import categorical

NEEDED = -1074 + 53  # log₂ of the smallest number, less the precision


class Tree:
    """log Z and draws as of `Chain`, for all rows at once; it says which rows are sound, that is, lost nothing of weight."""

    def __init__(self, steps: Steps):
        S, K = steps.states, steps.step_of_class.shape[1]
        self._steps, self._states = steps, S
        moves = torch.nn.functional.one_hot(steps.step_of_class[:S], S + 1)[..., :S]  # (S, K, S), nothing where dead
        self._moves = moves.transpose(0, 1).reshape(K, S * S).double()

    def bytes(self, length: int) -> int:
        """What a row of this length needs."""
        return 32 * length * self._states**2

    def log_mass(self, p: Tensor, region: Tensor | None) -> tuple[Tensor, Tensor]:
        """log Z (R,), and which rows are sound (R,)."""
        return self._log_z(*self._products(p, region), p.shape[1])

    def draw(self, p: Tensor, u: Tensor, region: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """x (R, L) from noise u (R, L), log Z, and which rows are sound."""
        L = p.shape[1]
        levels, exponent = self._products(p, region)
        N = levels[0].shape[1]
        noise = torch.cat([u.new_full((len(u), N - L), 0.5), u], 1)
        left = torch.empty_like(noise)
        start = torch.full((len(p), 1), self._steps.start, device=p.device)
        ends = levels[-1][:, :, self._steps.start] * self._steps.accepting[: self._states]
        last, left[:, N - 1 :] = _chosen(ends, noise[:, N - 1 :])
        state = torch.cat([start, last], 1)
        for level in reversed(levels[:-1]):
            above, width = state, N // level.shape[1]
            before = level[:, 0::2].gather(2, _expanded(above[:, :-1, None, None], 3, self._states)).squeeze(2)
            after = level[:, 1::2].gather(3, _expanded(above[:, 1:, None, None], 2, self._states)).squeeze(3)
            places = slice(width - 1, None, 2 * width)
            middle, left[:, places] = _chosen(before * after, noise[:, places])
            state = above.new_empty(len(p), 2 * above.shape[1] - 1)
            state[:, 0::2], state[:, 1::2] = above, middle
        tokens, held = self._tokens(p, region, state[:, N - L :], left[:, N - L :])
        log_mass, sound = self._log_z(levels, exponent, L)
        return tokens, log_mass, sound & held

    def _products(self, p: Tensor, region: Tensor | None) -> tuple[list[Tensor], Tensor]:
        """A of single positions, of pairs, … of all, (R, N, S, S) … (R, 1, S, S), and exponents (2, R) of the last.

        The first brings Σ_v p_i(v) back from ≤ 1 to what it was, the second undoes the scaling of products.

        Before the first position stand as many identities as fill the tree.
        """
        R, L, _ = p.shape
        N = 1 << max(0, L - 1).bit_length()
        total = p.sum(-1)
        _, norm = torch.frexp(total)
        scaled = p.double() * torch.exp2(-norm.double()).unsqueeze(-1)
        mass = class_masses(scaled, self._steps.classes, len(self._moves), region)
        A = torch.eye(self._states, dtype=torch.float64, device=p.device).repeat(R, N, 1, 1)
        if L:
            A[:, N - L :] = (mass.permute(2, 0, 1) @ self._moves).view(R, L, self._states, self._states)
        levels, exponent = [A], norm.new_zeros(R)
        while A.shape[1] > 1:
            A = A[:, 0::2] @ A[:, 1::2]
            _, e = torch.frexp(A.amax((-1, -2)))
            A = A * torch.exp2(-e.double())[..., None, None]
            exponent = exponent + e.sum(-1)
            levels.append(A)
        return levels, torch.stack([norm.sum(-1), exponent]).double()

    def _log_z(self, levels: list[Tensor], exponent: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Rows of M sum to at most 1, and so do those of products: no more than a smallest number is lost in each of S³ L."""
        mass = levels[-1][:, 0, self._steps.start, self._steps.accepting[: self._states]].sum(-1)
        log_mass = mass.log() + math.log(2) * exponent.sum(0)
        lost = NEEDED + math.log2(2 * (length + 1) * self._states**3)
        return log_mass, mass.log2() + exponent[1] > lost

    def _tokens(self, p: Tensor, region: Tensor | None, state: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """x_i ∝ p_i(v) 1[δ(q_i, v) = q_{i+1}] for states (R, L + 1) and noise u (R, L), and which rows have one everywhere.

        Those are words, whatever was lost: the first state is the start, the last accepts.
        """
        classes = self._steps.classes
        by_class = self._steps.step_of_class[state[:, :-1]] == state[:, 1:].unsqueeze(-1)
        if region is None or len(classes) == 1:
            fits = by_class[..., classes[0]]
        else:
            fits = by_class.gather(-1, classes[region])
        weight = p.double() * fits
        return categorical(weight, u).clamp_(max=p.shape[-1] - 1), (weight > 0).any(-1).all(-1)


def _expanded(state: Tensor, dim: int, states: int) -> Tensor:
    return state.expand(*(states if d == dim else -1 for d in range(4)))


def _chosen(weight: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """A choice (…,) ∝ weight (…, S) from noise u (…,), and what is left of u: uniform again, given the choice."""
    cumulative = weight.cumsum(-1)
    threshold = (u.clamp(max=1 - 2**-52) * cumulative[..., -1]).unsqueeze(-1)
    choice = torch.searchsorted(cumulative, threshold, right=True).clamp_(max=weight.shape[-1] - 1)
    left = 1 - (cumulative.gather(-1, choice) - threshold) / weight.gather(-1, choice)
    return choice.squeeze(-1), torch.where(left < 1, left.clamp(min=0), 0.0).squeeze(-1)
