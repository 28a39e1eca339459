"""What the networks are made of: attention blocks, cross-attention, time embedding.

Rotary positions, pre-norm, normalised queries and keys, squared ReLU, output projections that begin at zero, fused
attention; with time, adaptive norm as in DiT (Peebles and Xie, 2023).

Shapes: B batch, L length, M source length, D width, H heads, d = D / H, P queried positions.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Past:
    """Keys and values (B, H, n, d) of what a causal block has read so far; None at first."""

    keys: Tensor | None = None
    values: Tensor | None = None

    def extended(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values, the new ones last; they are remembered."""
        if self.keys is not None and self.values is not None:
            k, v = torch.cat([self.keys, k], dim=2), torch.cat([self.values, v], dim=2)
        self.keys, self.values = k, v
        return k, v


class Block(nn.Module):
    """h + Attention(norm(h)), then h + MLP(norm(h)); with time, both modulated and gated by c (adaptive norm).

    With `cross`, h + CrossAttention(norm(h)) to a source stands between the two.
    """

    def __init__(self, config, cross: bool = False):
        super().__init__()
        D = config.width
        self.heads = config.heads
        self.norm_attention, self.norm_mlp = layer_norm(D), layer_norm(D)
        self.norm_q, self.norm_k = (layer_norm(D // config.heads, config.qk_gain) for _ in range(2))
        self.qkv = nn.Linear(D, 3 * D, bias=False)
        self.attention_out = nn.Linear(D, D, bias=False)
        self.mlp_in = nn.Linear(D, config.expansion * D, bias=False)
        self.mlp_out = nn.Linear(config.expansion * D, D, bias=False)
        nn.init.zeros_(self.attention_out.weight)
        nn.init.zeros_(self.mlp_out.weight)
        self.convolution = None
        if config.convolution:
            width = config.convolution
            self.convolution = nn.Conv1d(D, D, width, padding=width // 2, groups=D, bias=False)
            nn.init.zeros_(self.convolution.weight)
        self.modulation = nn.Linear(D, 6 * D) if config.time_input else None
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)
        self.cross = CrossAttention(config) if cross else None

    def forward(self, h, cos, sin, mask, c, positions, source=None, past: Past | None = None):
        """The next h: (B, L, D), or (B, P, D) at `positions`.

        Args:
            h: (B, L, D).
            cos, sin: (L, d / 2) of the rows' positions.
            mask: bool, broadcasts to (B, H, queries, keys); None if all see all. A convolution reads it as (B, 1, 1, L).
            c: (B, D) time embedding, or None.
            positions: (B, P), the queries; None for all.
            source: (keys, values, mask) of `CrossAttention.memory`, where the block has cross-attention.
            past: what was read before h, seen as well and extended.
        """
        if self.convolution is not None:
            seen = h if mask is None else h * mask[:, 0, 0].unsqueeze(-1)  # what stands in the padding must not be
            h = h + self.convolution(seen.transpose(1, 2)).transpose(1, 2)
        adapt_attention, adapt_mlp = (None, None) if self.modulation is None else self._modulation(c)
        x = adapted(self.norm_attention(h), adapt_attention)
        attended, h = self._attention(x, h, cos, sin, mask, positions, past)
        h = h + gated(attended, adapt_attention)
        if self.cross is not None:
            h = h + self.cross(h, *at_positions(cos, sin, positions), source)
        hidden = _squared_relu(self.mlp_in(adapted(self.norm_mlp(h), adapt_mlp)))
        return h + gated(self.mlp_out(hidden), adapt_mlp)

    def _modulation(self, c):
        """(scale, shift, gate) of the attention and of the feed-forward part, each (B, 1, D)."""
        parts = self.modulation(F.silu(c)).unsqueeze(1).chunk(6, dim=-1)  # type: ignore[misc]
        return parts[:3], parts[3:]

    def _attention(self, x, h, cos, sin, mask, positions, past):
        """(output, residual), both (B, P, D) where positions are given, (B, L, D) otherwise."""
        B, L, D = x.shape
        if positions is None:
            q, k, v = self.qkv(x).view(B, L, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        else:
            P = positions.shape[1]
            index = positions.unsqueeze(-1).expand(B, P, D)
            h, x_q = h.gather(1, index), x.gather(1, index)
            w_q, w_kv = self.qkv.weight.split([D, 2 * D])
            q = F.linear(x_q, w_q).view(B, P, self.heads, D // self.heads).transpose(1, 2)
            k, v = F.linear(x, w_kv).view(B, L, 2, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        q = rotate(self.norm_q(q), *at_positions(cos, sin, positions))
        k = rotate(self.norm_k(k), cos, sin)
        if past is not None:
            k, v = past.extended(k, v)
        out = attend(q, k, v, mask)
        return self.attention_out(out.transpose(1, 2).flatten(2)), h


class CrossAttention(nn.Module):
    """Attention of a row (B, P, D) to a source that was encoded before; its output projection begins at zero."""

    def __init__(self, config):
        super().__init__()
        D = config.width
        self.heads = config.heads
        self.norm = layer_norm(D)
        self.norm_q, self.norm_k = (layer_norm(D // config.heads, config.qk_gain) for _ in range(2))
        self.q, self.kv = nn.Linear(D, D, bias=False), nn.Linear(D, 2 * D, bias=False)
        self.out = nn.Linear(D, D, bias=False)
        nn.init.zeros_(self.out.weight)

    def memory(self, source: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, M, d) of source states (B, M, D): all that a step needs of them."""
        B, M, D = source.shape
        k, v = self.kv(source).view(B, M, 2, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        return rotate(self.norm_k(k), cos, sin), v

    def forward(self, h: Tensor, cos: Tensor, sin: Tensor, source: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        B, P, D = h.shape
        q = self.q(self.norm(h)).view(B, P, self.heads, D // self.heads).transpose(1, 2)
        out = attend(rotate(self.norm_q(q), cos, sin), *source)
        return self.out(out.transpose(1, 2).flatten(2))


class TimeEmbedding(nn.Module):
    """Sinusoids of t, then two layers (Ho et al., 2020)."""

    frequencies: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("frequencies", 1e4 ** -torch.linspace(0, 1, 128), persistent=False)
        self.layers = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, t: Tensor) -> Tensor:
        angles = 1000 * t.float().unsqueeze(-1) * self.frequencies
        return self.layers(torch.cat([angles.cos(), angles.sin()], dim=-1))


def rotary(L: int, head_width: int, base: float, device) -> tuple[Tensor, Tensor]:
    """cos and sin (L, head_width / 2) of rotary positions (Su et al., RoFormer, 2021)."""
    frequencies = base ** -(torch.arange(0, head_width, 2, device=device).float() / head_width)
    angles = torch.arange(L, device=device).float().unsqueeze(-1) * frequencies
    return angles.cos(), angles.sin()


def at_positions(cos: Tensor, sin: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor]:
    """The rotations of the queries, (L, d / 2) or (B, 1, P, d / 2)."""
    return (cos, sin) if positions is None else (cos[positions].unsqueeze(1), sin[positions].unsqueeze(1))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def is_real(lengths: Tensor, L: int) -> Tensor:
    """(B, L) bool: which positions are no padding."""
    return torch.arange(L, device=lengths.device) < lengths.unsqueeze(1)


def adapted(x: Tensor, adapt) -> Tensor:
    """x (1 + scale) + shift, from adapt = (scale, shift, …)."""
    return x if adapt is None else x * (1 + adapt[0]) + adapt[1]


def gated(x: Tensor, adapt) -> Tensor:
    return x if adapt is None else x * (1 + adapt[2])


def layer_norm(width: int, gain: bool = False) -> nn.LayerNorm:
    """Layer norm, mostly with no weights: the linear layer that follows has its own. Its kernel is fused everywhere."""
    return nn.LayerNorm(width, elementwise_affine=gain, bias=False)


def _squared_relu(x: Tensor) -> Tensor:
    """relu(x)² (So et al., Primer, 2021); in place where no gradient needs x: a pass over the widest tensor saved."""
    x = F.relu(x, inplace=not torch.is_grad_enabled())
    return x.square() if torch.is_grad_enabled() else x.mul_(x)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q kᵀ / √d) v, fused, except for short rows in training on a CPU.

    There the fused kernel's backward pass is slow: 23 ms against 6 ms written out (B = 128, H = 4, L = 44, d = 64, bf16).
    """
    if torch.is_grad_enabled() and q.device.type == "cpu" and q.shape[2] <= 256:
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
