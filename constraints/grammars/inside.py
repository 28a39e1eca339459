"""The inside algorithm, its outside pass and its traceback, for rules in Chomsky normal form as arrays.

    β_A(i, i) = Σ_{A → v} p_i(v)        β_A(i, j) = Σ_{A → B C} Σ_{i ≤ k < j} β_B(i, k) β_C(k + 1, j)

(Baker, 1979; Lari and Young, 1990.) All spans of one length, all rows and many pairs (B, C) are one operation. Everything
is kept as logarithms: no scaling by spans protects a nonterminal that is 10⁻³⁰⁸ times less likely than its neighbour and
yet the only one that leads to a word.

Shapes: R rows, L length, V vocabulary, N nonterminals, M binary rules, P distinct right sides (B, C), D rules of one left
side, n spans of one length, m rules and p pairs in use.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from seqdiff.draws import categorical

CELLS = 1 << 23  # numbers a block of intermediate results may take, 64 MB in float64


@dataclass(frozen=True, eq=False)
class Inside:
    """Rules A → v, lexical (N, V) bool, and A → B C, binary (M, 3) int64; the start is number 0."""

    lexical: np.ndarray
    binary: np.ndarray

    def log_mass(self, p: Tensor, lengths: Tensor) -> Tensor:
        """log β_0 of each row's first `lengths` ≥ 1 positions, (R,), of p (R, L, V). Differentiable once."""
        return _LogMass.apply(p, self, lengths)

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct right sides (P, 2), and the pair of each rule (M,)."""
        pairs, of_rule = np.unique(self.binary[:, 1:], axis=0, return_inverse=True)
        return pairs, of_rule.ravel()

    @cached_property
    def _rules_of(self) -> np.ndarray:
        """(N, D) the rules of each left side, −1 where there are no more."""
        left = self.binary[:, 0]
        count = np.bincount(left, minlength=len(self.lexical))
        table = np.full((len(count), max(1, count.max(initial=0))), -1)
        table[left, np.arange(len(left)) - (np.cumsum(count) - count)[left]] = np.arange(len(left))
        return table

    def _plan(self, L: int) -> list[list[tuple[np.ndarray, slice]]]:
        """For each length ℓ = 2 … L the pairs that can fill it, with the splits to be summed: (pairs, slice of k − 1).

        A side that only ever derives one token fixes the split; a pair whose lengths never add up to ℓ is left out.
        """
        pairs, of_rule = self.pairs
        left = self.binary[:, 0]
        possible = np.zeros((len(self.lexical), L + 1), bool)
        possible[:, 1] = self.lexical.any(1)
        single = np.bincount(left, minlength=len(possible)) == 0
        groups = np.where(single[pairs[:, 0]], 0, np.where(single[pairs[:, 1]], 1, 2))
        plan = []
        for length in range(2, L + 1):
            fits = (possible[pairs[:, 0], 1:length] & possible[pairs[:, 1], length - 1 : 0 : -1]).any(1)
            np.logical_or.at(possible[:, length], left, np.asarray(fits)[of_rule])
            splits = (slice(0, 1), slice(length - 2, length - 1), slice(0, length - 1))
            chosen = [(np.nonzero(fits & (groups == g))[0], splits[g]) for g in range(3)]
            plan.append([(which, split) for which, split in chosen if len(which)])
        return plan

    def _blocks(self, chart: Tensor, length: int, which: np.ndarray, split: slice):
        """Blocks of pairs with log β_B(i, k) + log β_C(k + 1, j) for every span of one length: (pairs, B, C, (p, R, n, k))."""
        left, right = _sides(chart, length, split)
        size = max(1, CELLS // max(1, left[0].numel()))
        for begin in range(0, len(which), size):
            pairs = which[begin : begin + size]
            b, c = torch.as_tensor(self.pairs[0][pairs], device=chart.device).unbind(1)
            yield pairs, b, c, left.index_select(0, b) + right.index_select(0, c)

    def _length_mass(self, chart: Tensor, length: int, groups) -> tuple[Tensor, Tensor, Tensor]:
        """log mass of each pair that fills spans of one length (p, R, n); of the rules that use them: left (m,), pair (m,)."""
        masses, pairs = [], []
        for which, split in groups:
            for block, _, _, x in self._blocks(chart, length, which, split):
                masses.append(x.squeeze(-1) if x.shape[-1] == 1 else x.logsumexp(-1))
                pairs.append(block)
        place = np.full(len(self.pairs[0]), -1)
        order = np.concatenate(pairs)
        place[order] = np.arange(len(order))
        used = np.nonzero(place[self.pairs[1]] >= 0)[0]
        left = torch.as_tensor(self.binary[used, 0], device=chart.device)
        return torch.cat(masses), left, torch.as_tensor(place[self.pairs[1][used]], device=chart.device)

    def chart(self, p: Tensor) -> Tensor:
        """log β (N, R, L, L): [A, r, i, j] of the span from i to j, −∞ elsewhere. No gradient goes through it."""
        p = p.detach().double()
        R, L, _ = p.shape
        N = len(self.lexical)
        chart = p.new_full((N, R, L, L), float("-inf"))
        lexical = torch.as_tensor(self.lexical, dtype=p.dtype, device=p.device)
        chart.diagonal(dim1=2, dim2=3).copy_((p @ lexical.T).log().permute(2, 0, 1))
        for length, groups in enumerate(self._plan(L), 2):
            if groups:
                mass, left, pair = self._length_mass(chart, length, groups)
                total = _log_sum_by(mass.index_select(0, pair), left, N)
                chart.diagonal(length - 1, 2, 3).copy_(total)
        return chart

    def outside(self, chart: Tensor, lengths: Tensor, grad: Tensor) -> Tensor:
        """Σ_r grad_r ∂ log Z_r / ∂p (R, L, V): mass flows from each row's whole span to the tokens.

        A span's flow goes to its rules and splits in proportion to their share of β, which is ≤ 1: nothing can overflow.
        """
        N, R, L, _ = chart.shape
        flow = torch.zeros_like(chart)
        rows = torch.arange(R, device=chart.device)
        possible = torch.isfinite(chart[0, rows, 0, lengths - 1])
        flow[0, rows, 0, lengths - 1] = torch.where(possible, grad, 0.0)
        plan = self._plan(L)
        for length in range(L, 1, -1):
            if not plan[length - 2]:
                continue
            beta, down = chart.diagonal(length - 1, 2, 3), flow.diagonal(length - 1, 2, 3)
            mass, left, pair = self._length_mass(chart, length, plan[length - 2])
            share = _share(mass.index_select(0, pair), beta.index_select(0, left)) * down.index_select(0, left)
            of_pair = torch.zeros_like(mass).index_add_(0, pair, share)
            done = 0
            for which, split in plan[length - 2]:
                for block, b, c, x in self._blocks(chart, length, which, split):
                    here = slice(done, done + len(block))
                    done += len(block)
                    part = _share(x, mass[here, ..., None]) * of_pair[here, ..., None]
                    to_left, to_right = _sides(flow, length, split)
                    to_left.index_add_(0, b, part)
                    to_right.index_add_(0, c, part)
        lexical = torch.as_tensor(self.lexical, dtype=chart.dtype, device=chart.device)
        tokens = flow.diagonal(dim1=2, dim2=3)
        beta = chart.diagonal(dim1=2, dim2=3)
        per_mass = torch.where(tokens != 0, tokens / beta.exp(), 0.0)
        return torch.einsum("nrl,nv->rlv", per_mass, lexical)

    def derive(self, chart: Tensor, p: Tensor, u: Tensor, lengths: Tensor) -> Tensor:
        """Tokens of a derivation drawn ∝ its Π p, from the top down (stochastic traceback).

        A word of ℓ tokens has ℓ − 1 binary nodes. The t-th of them, in the order of a stack, takes its rule and split by
        u_t; what the choice leaves of u_t, uniform again, draws the t-th token, and u_ℓ the last.
        """
        _, R, L, _ = chart.shape
        every = torch.arange(R, device=p.device)
        rules_of = torch.as_tensor(self._rules_of, device=p.device)
        binary = torch.as_tensor(self.binary, device=p.device)
        stack = torch.zeros(R, L + 2, 3, dtype=torch.int64, device=p.device)  # spans (A, i, j) that are still to be split
        stack[:, 0, 2] = lengths - 1
        possible = torch.isfinite(chart[0, every, 0, lengths - 1])
        depth = (possible & (lengths > 1)).long()
        symbol = torch.zeros(R, L, dtype=torch.int64, device=p.device)
        left_over = u.clone()
        splits = torch.arange(L - 1, device=p.device)
        for t in range(L - 1):
            rows = depth.nonzero().squeeze(-1)
            if not len(rows):
                break
            a, i, j = stack[rows, depth[rows] - 1].unbind(-1)
            rule = rules_of[a]
            b, c = binary[rule, 1], binary[rule, 2]
            end = (i[:, None] + splits).clamp(max=L - 2)
            x = chart[b[:, :, None], rows[:, None, None], i[:, None, None], end[:, None]]
            x = x + chart[c[:, :, None], rows[:, None, None], end[:, None] + 1, j[:, None, None]]
            x = torch.where((rule >= 0)[:, :, None] & (splits < (j - i)[:, None])[:, None], x, float("-inf")).flatten(1)
            weight = (x - x.amax(-1, keepdim=True)).exp()
            chosen = categorical(weight, u[rows, t])
            cumulative, mass = weight.cumsum(-1), weight.gather(1, chosen[:, None]).squeeze(-1)
            before = cumulative.gather(1, chosen[:, None]).squeeze(-1) - mass
            left_over[rows, t] = ((u[rows, t] * cumulative[:, -1] - before) / mass).clamp(0, 1 - 2.0**-53)
            d, k = chosen // (L - 1), chosen % (L - 1)
            chosen_rule = rule.gather(1, d[:, None]).squeeze(-1)
            depth[rows] -= 1
            for side, low, high in ((2, i + k + 1, j), (1, i, i + k)):
                child = binary[chosen_rule, side]
                leaf = low == high
                symbol[rows[leaf], low[leaf]] = child[leaf]
                stack[rows, depth[rows]] = torch.stack([child, low, high], -1)
                depth[rows] += (~leaf).long()
        lexical = torch.as_tensor(self.lexical, device=p.device)
        return categorical(p * lexical[symbol], left_over).clamp(max=p.shape[-1] - 1)


class _LogMass(torch.autograd.Function):
    """log β_S of every row's span; its backward is the outside algorithm (flows of posterior mass down the chart)."""

    @staticmethod
    def forward(ctx, p: Tensor, inside: Inside, lengths: Tensor) -> Tensor:
        chart = inside.chart(p)
        ctx.inside, ctx.lengths = inside, lengths
        ctx.save_for_backward(chart)
        return chart[0, torch.arange(len(p), device=p.device), 0, lengths - 1]

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads: Tensor):
        (chart,) = ctx.saved_tensors
        return ctx.inside.outside(chart, ctx.lengths, grads[0]), None, None


def _sides(chart: Tensor, length: int, split: slice) -> tuple[Tensor, Tensor]:
    """Views (N, R, n, k) of a chart (N, R, L, L): spans (i, i + k) and (i + k + 1, i + length − 1), k in split."""
    N, R, L, _ = chart.shape
    size = (N, R, L - length + 1, split.stop - split.start)
    left = chart.as_strided(size, (R * L * L, L * L, L + 1, 1), split.start)
    right = chart.as_strided(size, (R * L * L, L * L, L + 1, L), (split.start + 1) * L + length - 1)
    return left, right


def _log_sum_by(x: Tensor, group: Tensor, groups: int) -> Tensor:
    """log Σ exp of x (m, …) by group (m,): (groups, …), −∞ for a group without members."""
    index = group.view(-1, *[1] * (x.dim() - 1)).expand_as(x)
    top = x.new_full((groups, *x.shape[1:]), float("-inf")).scatter_reduce_(0, index, x, "amax")
    top = torch.where(torch.isfinite(top), top, 0.0)
    return torch.zeros_like(top).index_add_(0, group, (x - top.index_select(0, group)).exp()).log() + top


def _share(part: Tensor, total: Tensor) -> Tensor:
    """exp(part − total), 0 where there is no total."""
    return torch.where(torch.isfinite(total), (part - total).exp(), 0.0)
