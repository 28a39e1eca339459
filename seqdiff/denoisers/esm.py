"""The encoder of ESM-1b, ESM-1v, ESM-2 and DPLM as a denoiser: the published weights, token by token our alphabet.

A pre-norm transformer with rotary or learned positions over an alphabet of its own, in which rows stand between two marks.
Every step has the order of fair-esm's, so that the logits of equal weights are equal bit for bit.

    frame    our ids → the network's, a mark before and after; a chain break becomes a run of linker residues
    logits   of all its tokens, at all places
    forward  those of our tokens alone; what it cannot say has e^−40 of the chance of the rest: below the resolution of a draw,
             and yet a finite loss, whose gradient is zero

Token dropout, as these networks were trained: the embedding of a mask is 0, and a row's embeddings are scaled by
0.88 / (1 − masked share), which is 45 at length 100 with everything masked. `most_masked` is the share from which on the
scale stays; at 1 it is the published one.

Sources: Rives et al., 2021 (ESM-1b); Meier et al., 2021 (ESM-1v); Lin et al., 2023 (ESM-2); Rao et al., "Transformer protein
language models are unsupervised structure learners", 2021 (contacts); Wang et al., DPLM, 2024.
Shapes: B batch, L our length, T its length, V our clean vocabulary, W its tokens, D width, H heads, P queried positions.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdiff.errors import ConfigError

TRAINED_SHARE = 0.15 * 0.8  # of the tokens that training masked
LOG_BARRED = -40.0  # log chance of a token that the network cannot say, against all that it can


@dataclass(frozen=True)
class EsmConfig:
    """Size of the network, and how our tokens are its.

    Attributes:
        vocabulary: V.
        width, depth, heads, hidden: D, blocks, H, width of the feed-forward part.
        ids: (V + 2) its ids of our clean tokens, of the mask and of the pad.
        barred: our ids that it is never asked for.
        inner: W.
        edges: its ids before and after each row.
        linker: (our id, its id, n): the token of ours that it reads as a run of n of its own; () for none.
        places: longest row with both marks, for learned positions; 0 for rotary ones.
        norm_before: whether the embeddings are normalised before the first block.
        token_dropout: whether masks are read as zeros and the rest is scaled.
        most_masked: masked share from which on the scale stays.
        epsilon: of the layer norms.
        frequencies: (D/2H) rotary ones, if the weights came with others than 10000^(−2i/d).
        contacts: whether there are weights of the contact regression.
    """

    vocabulary: int
    width: int
    depth: int
    heads: int
    hidden: int
    ids: tuple[int, ...]
    barred: tuple[int, ...] = ()
    inner: int = 33
    edges: tuple[int, ...] = (0, 2)
    linker: tuple[int, ...] = ()
    places: int = 0
    norm_before: bool = False
    token_dropout: bool = True
    most_masked: float = 1.0
    epsilon: float = 1e-5
    frequencies: tuple[float, ...] = ()
    contacts: bool = False

    def __post_init__(self):
        for name in ("vocabulary", "width", "depth", "heads", "hidden"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name}: expected at least 1, got {getattr(self, name)}")
        if self.width % (2 * self.heads):
            raise ConfigError(f"model.width: expected a multiple of 2 · heads = {2 * self.heads}, got {self.width}")
        if len(self.ids) != self.vocabulary + 2 or not all(0 <= i < self.inner for i in self.ids + self.edges):
            raise ConfigError(
                f"model.ids: expected {self.vocabulary + 2} ids below {self.inner} (our tokens, mask, pad), got {self.ids}"
            )
        pairs = (0, self.width // self.heads // 2)
        if len(self.linker) not in (0, 3) or len(self.edges) != 2 or len(self.frequencies) not in pairs:
            raise ConfigError(f"model: linker {self.linker}, edges {self.edges} or frequencies {self.frequencies} do not fit")


class Block(nn.Module):
    """h + attention(norm h), then h + feed-forward(norm h); (T, B, D) throughout."""

    def __init__(self, config: EsmConfig):
        super().__init__()
        D = config.width
        self.heads = config.heads
        self.norm_attention, self.norm_feed = nn.LayerNorm(D, config.epsilon), nn.LayerNorm(D, config.epsilon)
        self.query, self.key, self.value, self.out = (nn.Linear(D, D) for _ in range(4))
        self.up, self.down = nn.Linear(D, config.hidden), nn.Linear(config.hidden, D)

    def forward(
        self, h: Tensor, padding: Tensor | None, rotation: tuple[Tensor, Tensor] | None, at: Tensor | None, maps: list | None
    ) -> Tensor:
        """(T, B, D), or (P, B, D) at the places `at` (B, P); attention (B, H, T, T) is added to `maps`."""
        x = self.norm_attention(h)
        asked, h = (x, h) if at is None else (_rows(x, at), _rows(h, at))
        h = h + self._attention(asked, x, padding, rotation, at, maps)
        return h + self.down(_gelu(self.up(self.norm_feed(h))))

    def _attention(self, asked, x, padding, rotation, at, maps) -> Tensor:
        (P, B, D), T, H = asked.shape, len(x), self.heads
        scale = (D // H) ** -0.5
        q, k, v = self.query(asked) * scale, self.key(x), self.value(x)
        q, k, v = (y.contiguous().view(-1, B * H, D // H).transpose(0, 1) for y in (q, k, v))
        if rotation is not None:
            q, k = _rotate(q, rotation, at, H), _rotate(k, rotation, None, H)
        scores = torch.bmm(q, k.transpose(1, 2))
        if padding is not None:
            scores = scores.view(B, H, P, T).masked_fill(padding[:, None, None], float("-inf")).view(B * H, P, T)
        p = F.softmax(scores, dim=-1, dtype=torch.float32)
        if maps is not None:
            maps.append(p.view(B, H, P, T))
        mixed = torch.bmm(p.type_as(scores), v).transpose(0, 1).contiguous().view(P, B, D)
        return self.out(mixed)


class Head(nn.Module):
    """Logits over W: dense, gelu, norm, then the embedding matrix again, with a bias."""

    def __init__(self, config: EsmConfig):
        super().__init__()
        self.dense, self.norm = nn.Linear(config.width, config.width), nn.LayerNorm(config.width, config.epsilon)
        self.bias = nn.Parameter(torch.zeros(config.inner))

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        return F.linear(self.norm(_gelu(self.dense(h))), embedding) + self.bias


class Esm(nn.Module):
    """Denoiser: `forward(x_t, t, label, lengths, positions) → logits` over the clean tokens; t and label are not read."""

    labels = 0
    needs_time = False
    _ids: Tensor
    _said: Tensor
    _back: Tensor
    _frequencies: Tensor

    def __init__(self, config: EsmConfig):
        super().__init__()
        self.config = config
        D, d = config.width, config.width // config.heads
        self.embed = nn.Embedding(config.inner, D)
        self.places = nn.Embedding(config.places + self._pad + 1, D) if config.places else None
        self.norm_before = nn.LayerNorm(D, config.epsilon) if config.norm_before else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm, self.head = nn.LayerNorm(D, config.epsilon), Head(config)
        self.contact = nn.Linear(config.depth * config.heads, 1) if config.contacts else None
        said = [i for i in range(config.vocabulary) if i not in config.barred]
        order = said + sorted(config.barred)
        plain = 1.0 / (10000 ** (torch.arange(0, d, 2).float() / d))
        tables = {
            "ids": torch.tensor(config.ids),
            "said": torch.tensor([config.ids[i] for i in said]),
            "back": torch.tensor([order.index(i) for i in range(config.vocabulary)]),
            "frequencies": torch.tensor(config.frequencies) if config.frequencies else plain,
        }
        for name, table in tables.items():
            self.register_buffer(f"_{name}", table, persistent=False)

    @property
    def vocabulary(self) -> int:
        return self.config.vocabulary

    @property
    def _mask(self) -> int:
        return self.config.ids[-2]

    @property
    def _pad(self) -> int:
        return self.config.ids[-1]

    def forward(
        self,
        x_t: Tensor,
        t: Tensor | None = None,
        label: Tensor | None = None,
        lengths: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Logits of p(x0 | x_t), (B, L, V), or (B, P, V) at `positions` (B, P).

        Args:
            x_t: (B, L) int64, clean ids, the mask V or the pad V + 1.
            lengths: (B,) int64, real length of each row; None if all are L.
        """
        tokens, start = self.frame(x_t, lengths)
        if positions is None:
            said = self.logits(tokens).gather(1, start.unsqueeze(-1).expand(-1, -1, self.config.inner))
        else:
            said = self.logits(tokens, start.gather(1, positions))
        said = said[..., self._said]
        if not self.config.barred:
            return said[..., self._back]
        floor = said.logsumexp(-1, keepdim=True) + LOG_BARRED
        return torch.cat([said, floor.expand(*said.shape[:-1], len(self.config.barred))], dim=-1)[..., self._back]

    def frame(self, x_t: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Its tokens (B, T), and the place (B, L) at which each of ours stands; that of padding is the end mark's."""
        B, L = x_t.shape
        first, last = self.config.edges
        real = torch.ones_like(x_t, dtype=torch.bool)
        if lengths is not None:
            real = torch.arange(L, device=x_t.device) < lengths.unsqueeze(1)
        value, width = self._ids[x_t], real.long()
        if self.config.linker:
            ours, residue, times = self.config.linker
            linked = (x_t == ours) & real
            value, width = torch.where(linked, residue, value), torch.where(linked, times, width)
        start = 1 + width.cumsum(-1) - width
        stop = 1 + width.sum(-1, keepdim=True)
        T = L + 2 if lengths is None and not self.config.linker else int(stop.max()) + 1 if B else 2
        if self.config.places and self.config.places < T:
            raise ConfigError(
                f"rows: this network has {self.config.places} places, two of them for the marks at the ends: expected at most "
                f"{self.config.places - 2} tokens, got {T - 2}"
            )
        inside = self.config.linker[1] if self.config.linker else self._pad
        tokens = torch.where(torch.arange(T, device=x_t.device) < stop, inside, self._pad)
        tokens = tokens.scatter(1, start, torch.where(real, value, last))
        tokens = tokens.scatter(1, stop, last)
        tokens[:, 0] = first
        return tokens, start

    def logits(self, tokens: Tensor, at: Tensor | None = None, maps: list | None = None) -> Tensor:
        """(B, T, W) of its own tokens (B, T), or (B, P, W) at the places `at` (B, P): what only they need of the last block is
        computed there alone. Attention of each block is added to `maps`."""
        padding = tokens == self._pad
        padding = padding if bool(padding.any()) else None
        h = self._embedded(tokens, padding).transpose(0, 1)
        rotation = None if self.config.places else self._rotation(tokens.shape[1])
        for i, block in enumerate(self.blocks):
            h = block(h, padding, rotation, at if i == len(self.blocks) - 1 else None, maps)
        return self.head(self.norm(h).transpose(0, 1), self.embed.weight)

    def contacts(self, x_0: Tensor) -> Tensor:
        """(L, L) chances that residues of one row (L,) touch: a regression on symmetrised, corrected attention.

            F = a + aᵀ,  APC(F) = F − F₁ F₂ / F₁₂ (sums over rows, columns, both),  σ(Σ_k w_k APC(F_k) + b)

        Raises ConfigError if the weights came without a contact regression.
        """
        if self.contact is None:
            raise ConfigError(
                "contacts: these weights came without a contact regression; import them again with the file "
                "NAME-contact-regression.pt beside NAME.pt (ESM-1v has none)"
            )
        tokens, start = self.frame(x_0.unsqueeze(0))
        maps: list[Tensor] = []
        self.logits(tokens, maps=maps)
        a = torch.cat(maps, 1)[0, :, 1:-1, 1:-1]
        f = a + a.transpose(-1, -2)
        f = f - f.sum(-1, keepdim=True) * f.sum(-2, keepdim=True) / f.sum((-1, -2), keepdim=True)
        touching = self.contact(f.permute(1, 2, 0)).squeeze(-1).sigmoid()
        return touching[start[0] - 1][:, start[0] - 1]

    def _embedded(self, tokens: Tensor, padding: Tensor | None) -> Tensor:
        x = self.embed(tokens)
        if self.config.token_dropout:
            masked = tokens == self._mask
            x = x.masked_fill(masked.unsqueeze(-1), 0.0)
            real = tokens.shape[1] if padding is None else (~padding).sum(-1)
            share = (masked.sum(-1).to(x.dtype) / real).clamp(max=self.config.most_masked)
            x = x * (1 - TRAINED_SHARE) / (1 - share)[:, None, None]
        if self.places is not None:
            real = (tokens != self._pad).long()
            x = x + self.places(real.cumsum(-1) * real + self._pad)
        if self.norm_before is not None:
            x = self.norm_before(x)
        return x if padding is None else x * (~padding).unsqueeze(-1).type_as(x)

    def _rotation(self, T: int) -> tuple[Tensor, Tensor]:
        """cos and sin (1, T, d)."""
        angle = torch.arange(T, device=self._frequencies.device).type_as(self._frequencies)[:, None] * self._frequencies
        angle = torch.cat((angle, angle), dim=-1)[None]
        return angle.cos(), angle.sin()


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor], at: Tensor | None, heads: int) -> Tensor:
    """Rotary positions on (B·H, P, d)."""
    cos, sin = rotation
    if at is not None:
        cos, sin = (table[0][at].repeat_interleave(heads, 0) for table in rotation)
    one, two = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-two, one), dim=-1) * sin


def _rows(x: Tensor, at: Tensor) -> Tensor:
    """(P, B, D) of x (T, B, D) at the places (B, P)."""
    return x.gather(0, at.T.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def _gelu(x: Tensor) -> Tensor:
    """By erf, in the order that gives fair-esm's bits."""
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))
