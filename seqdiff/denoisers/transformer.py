"""A bidirectional transformer that reads x_t and predicts every clean token, p(x0 | x_t).

Rotary positions, pre-norm, normalised queries and keys, squared ReLU, output projections that begin at
zero, fused attention. Without time input it is a function of x_t alone, which loses nothing for an absorbing
process (Ou et al., RADD, 2024) and lets rows at different steps share a pass; with it, adaptive norm as in DiT
(Peebles and Xie, 2023).

Shapes: B batch, L length, V clean vocabulary, D width, H heads, P queried positions.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdiff.errors import ConfigError


@dataclass(frozen=True)
class TransformerConfig:
    """Size and inputs of a `Transformer`.

    Attributes:
        vocabulary: V, the number of clean tokens; the mask is V, the pad V + 1.
        width, depth, heads: D, blocks, H; D must be a multiple of 2·H. 96×4 is some 0.5M parameters, 768×14 some 100M.
        expansion: hidden width of the feed-forward part over D.
        time_input: whether t enters, through adaptive norm.
        qk_gain: whether the normalised queries and keys have a learned gain, so that attention can be as sharp as it needs.
        rotary_base: slowest rotary wavelength over 2π; short rows want a small one (100 for molecules).
        convolution: width (odd) of a depthwise convolution at the head of each block, 0 for none: neighbours are seen
            without spending attention on them (So et al., Primer, 2021). It costs some 13 % of a step on a CPU.
        edges: whether a mark stands before and after each row inside the network. With relative positions alone a row of
            masks looks the same from every position; the marks let it know its length and ends.
        labels: number of classes of the class conditioning, 0 for none. The class after the last means "any".
    """

    vocabulary: int
    width: int = 256
    depth: int = 6
    heads: int = 4
    expansion: int = 4
    time_input: bool = False
    qk_gain: bool = False
    rotary_base: float = 1e4
    convolution: int = 0
    edges: bool = False
    labels: int = 0

    def __post_init__(self):
        for name in ("vocabulary", "width", "depth", "heads", "expansion"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name}: expected at least 1, got {getattr(self, name)}")
        if self.convolution < 0 or (self.convolution and self.convolution % 2 == 0):
            raise ConfigError(f"model.convolution: expected 0 or an odd width, got {self.convolution}")
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"model.width: expected a multiple of 2 · heads = {2 * self.heads} (rotary pairs), got {self.width}"
            )


class Transformer(nn.Module):
    """Denoiser: `forward(x_t, t, label, lengths, positions) → logits` over the clean vocabulary."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocabulary + 2 + config.edges, config.width)
        nn.init.normal_(self.embed.weight, std=0.5)
        self.embed_label = nn.Embedding(config.labels + 1, config.width) if config.labels else None
        if self.embed_label is not None:
            nn.init.zeros_(self.embed_label.weight)
        self.embed_time = TimeEmbedding(config.width) if config.time_input else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = _norm(config.width)
        self.head = nn.Linear(config.width, config.vocabulary)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @property
    def vocabulary(self) -> int:
        return self.config.vocabulary

    @property
    def needs_time(self) -> bool:
        return self.config.time_input

    def forward(
        self,
        x_t: Tensor,
        t: Tensor | None = None,
        label: Tensor | None = None,
        lengths: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Logits of p(x0 | x_t).

        Args:
            x_t: (B, L) int64, ids 0 … V + 1.
            t: (B,) in [0, 1]; read only if the model takes time.
            label: (B,) int64 classes, None for "any"; read only if the model has classes.
            lengths: (B,) int64, real length of each row; None if all are L, which is faster. Padding never reaches a
                real position.
            positions: (B, P) int64 positions that are asked for, or None for all. The last block's queries, its
                feed-forward part and the head are computed there alone.

        Returns:
            (B, P, V) or (B, L, V).
        """
        if self.config.edges:
            x_t = _with_edges(x_t, lengths, self.config.vocabulary + 2)
            lengths = None if lengths is None else lengths + 2
            positions = None if positions is None else positions + 1
        B, L = x_t.shape
        h = self.embed(x_t)
        if torch.is_autocast_enabled(h.device.type):
            h = h.to(torch.get_autocast_dtype(h.device.type))
        if self.embed_label is not None:
            any_label = torch.full((B,), self.config.labels, dtype=torch.int64, device=x_t.device)
            h = h + self.embed_label(any_label if label is None else label).unsqueeze(1)
        c = self.embed_time(_times(t, B, x_t.device)) if self.embed_time is not None else None
        cos, sin = _rotary(L, self.config.width // self.config.heads, self.config.rotary_base, x_t.device)
        mask = None
        if lengths is not None:
            mask = (torch.arange(L, device=x_t.device) < lengths.unsqueeze(1))[:, None, None, :]
        last = len(self.blocks) - 1
        for i, block in enumerate(self.blocks):
            h = block(h, cos, sin, mask, c, positions if i == last else None)
        if self.config.edges and positions is None:
            h = h[:, 1:-1]
        return self.head(self.norm(h))


class Block(nn.Module):
    """h + Attention(norm(h)), then h + MLP(norm(h)); with time, both modulated and gated by c (adaptive norm)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        D = config.width
        self.heads = config.heads
        self.norm_attention, self.norm_mlp = _norm(D), _norm(D)
        self.norm_q, self.norm_k = (_norm(D // config.heads, config.qk_gain) for _ in range(2))
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

    def forward(self, h, cos, sin, mask, c, positions):
        if self.convolution is not None:
            seen = h if mask is None else h * mask[:, 0, 0].unsqueeze(-1)  # what stands in the padding must not be
            h = h + self.convolution(seen.transpose(1, 2)).transpose(1, 2)
        adapt_attention, adapt_mlp = (None, None) if self.modulation is None else self._modulation(c)
        x = _adapted(self.norm_attention(h), adapt_attention)
        attended, h = self._attention(x, h, cos, sin, mask, positions)
        h = h + _gated(attended, adapt_attention)
        hidden = _squared_relu(self.mlp_in(_adapted(self.norm_mlp(h), adapt_mlp)))
        return h + _gated(self.mlp_out(hidden), adapt_mlp)

    def _modulation(self, c):
        """(scale, shift, gate) of the attention and of the feed-forward part, each (B, 1, D)."""
        parts = self.modulation(F.silu(c)).unsqueeze(1).chunk(6, dim=-1)  # type: ignore[misc]
        return parts[:3], parts[3:]

    def _attention(self, x, h, cos, sin, mask, positions):
        """(output, residual), both (B, P, D) where positions are given, (B, L, D) otherwise."""
        B, L, D = x.shape
        if positions is None:
            q, k, v = self.qkv(x).view(B, L, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
            cos_q, sin_q = cos, sin
        else:
            P = positions.shape[1]
            index = positions.unsqueeze(-1).expand(B, P, D)
            h, x_q = h.gather(1, index), x.gather(1, index)
            w_q, w_kv = self.qkv.weight.split([D, 2 * D])
            q = F.linear(x_q, w_q).view(B, P, self.heads, D // self.heads).transpose(1, 2)
            k, v = F.linear(x, w_kv).view(B, L, 2, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
            cos_q, sin_q = cos[positions].unsqueeze(1), sin[positions].unsqueeze(1)
        q, k = _rotate(self.norm_q(q), cos_q, sin_q), _rotate(self.norm_k(k), cos, sin)
        out = _attend(q, k, v, mask)
        return self.attention_out(out.transpose(1, 2).flatten(2)), h


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


def _with_edges(x_t: Tensor, lengths: Tensor | None, edge: int) -> Tensor:
    """(B, L + 2): an edge before each row and one after its last real token."""
    column = x_t.new_full((len(x_t), 1), edge)
    framed = torch.cat([column, x_t, column], dim=1)
    if lengths is None:
        return framed
    return torch.where(torch.arange(framed.shape[1], device=x_t.device) == lengths.unsqueeze(1) + 1, edge, framed)


def _times(t: Tensor | None, B: int, device) -> Tensor:
    if t is None:
        raise ConfigError("this denoiser takes a time: expected t of shape (B,), got None")
    return torch.as_tensor(t, device=device).expand(B)


def _rotary(L: int, head_width: int, base: float, device) -> tuple[Tensor, Tensor]:
    """cos and sin (L, head_width / 2) of rotary positions (Su et al., RoFormer, 2021)."""
    frequencies = base ** -(torch.arange(0, head_width, 2, device=device).float() / head_width)
    angles = torch.arange(L, device=device).float().unsqueeze(-1) * frequencies
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def _adapted(x: Tensor, adapt) -> Tensor:
    return x if adapt is None else x * (1 + adapt[0]) + adapt[1]


def _gated(x: Tensor, adapt) -> Tensor:
    return x if adapt is None else x * (1 + adapt[2])


def _squared_relu(x: Tensor) -> Tensor:
    """relu(x)² (So et al., Primer, 2021); in place where no gradient needs x: a pass over the widest tensor saved."""
    x = F.relu(x, inplace=not torch.is_grad_enabled())
    return x.square() if torch.is_grad_enabled() else x.mul_(x)


def _norm(width: int, gain: bool = False) -> nn.LayerNorm:
    """Layer norm, mostly with no weights: the linear layer that follows has its own. Its kernel is fused everywhere."""
    return nn.LayerNorm(width, elementwise_affine=gain, bias=False)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(q kᵀ / √d) v, fused, except for short rows in training on a CPU.

    There the fused kernel's backward pass is slow: 23 ms against 6 ms written out (B = 128, H = 4, L = 44, d = 64, bf16).
    """
    if torch.is_grad_enabled() and q.device.type == "cpu" and q.shape[2] <= 256:
        scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        return scores.softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
