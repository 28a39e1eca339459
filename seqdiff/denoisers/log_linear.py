"""The terms of p(x0 | x_t) that need no depth: what a row is made of, and what stands beside a position.

    log p_i(v) ∝ b_v + s · log[(c_v + a u_v) / ((n + a) u_v)] + Σ_{0<|d|≤K} W_d(x_{i+d}, v),     u = softmax(b)

c_v counts the clean tokens v of the row, n all of them: with s = 1 and W = 0 it is the posterior mean of a Dirichlet prior of
weight a (the composition of a row, learned within it); W are the pair terms of a log-linear model of neighbours (Besag, 1974).
Where rows are all but random, as in proteins, these carry most of what can be known, and the terms are convex in b and W, so
that they are learned in a few hundred steps, where a deep network stays on the plateau of the single tokens for thousands.

Shapes: B batch, L length, V clean vocabulary, P queried positions, K neighbours on either side.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PRIOR_WEIGHT = 60.0  # a, in tokens, before it is learned


class LogLinear(nn.Module):
    """Logits to be added to those of a network.

    Args:
        vocabulary: V.
        states: ids below the pad.
        neighbours: K.
    """

    offsets: Tensor

    def __init__(self, vocabulary: int, states: int, neighbours: int):
        super().__init__()
        self.vocabulary, self.states, self.neighbours = vocabulary, states, neighbours
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.log_weight = nn.Parameter(torch.tensor(math.log(PRIOR_WEIGHT)))
        self.scale = nn.Parameter(torch.ones(()))
        self.pairs = nn.Parameter(torch.zeros(2 * neighbours * (states + 1), vocabulary))  # the last state is "beyond the end"
        offsets = [d for d in range(-neighbours, neighbours + 1) if d]
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64), persistent=False)

    def forward(self, x_t: Tensor, positions: Tensor | None) -> Tensor:
        """(B, P, V) logits of x_t (B, L) ids, pads at the ends of rows; P = L where positions is None."""
        return self._composition(x_t).unsqueeze(1) + self._neighbours(x_t, positions)

    def _composition(self, x_t: Tensor) -> Tensor:
        """(B, V)."""
        seen = F.pad(torch.zeros_like(self.bias), (0, 1)).expand(len(x_t), -1).contiguous()
        clean = x_t < self.vocabulary
        count = seen.scatter_add(1, x_t.clamp(max=self.vocabulary), clean.to(seen.dtype))[:, : self.vocabulary]
        log_u, a = self.bias.log_softmax(0), self.log_weight.exp()
        n = count.sum(-1, keepdim=True)
        return self.bias + self.scale * ((count + a * log_u.exp()).log() - (n + a).log() - log_u)

    def _neighbours(self, x_t: Tensor, positions: Tensor | None) -> Tensor:
        """(B, P, V) sums of pair terms."""
        K, S = self.neighbours, self.states
        framed = F.pad(x_t.clamp(max=S), (K, K), value=S)  # a pad is beyond the end, too
        at = torch.arange(x_t.shape[1], device=x_t.device).expand(len(x_t), -1) if positions is None else positions
        there = (at.unsqueeze(-1) + self.offsets + K).flatten(1)
        ids = framed.gather(1, there).view(-1, 2 * K) + torch.arange(2 * K, device=x_t.device) * (S + 1)
        return F.embedding_bag(ids, self.pairs, mode="sum").view(len(x_t), -1, self.vocabulary)
