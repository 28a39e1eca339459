"""What all networks share: what comes in, what conditions it, what goes out.

Shapes: B batch, L length, V clean vocabulary, D width, E width of vectors, P queried positions.
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdiff.denoisers.block import TimeEmbedding, layer_norm
from seqdiff.errors import ConfigError


class Backbone(nn.Module, ABC):
    """Denoiser: `forward(x_t, t, label, lengths, positions) → logits`. Its body, from h to h, is the subclass's.

    Attributes:
        config: a `TransformerConfig` or one of its extensions.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        if config.input_width:
            self.embed = nn.Linear(config.input_width * (1 + config.self_condition) + config.edges, config.width)
        else:
            self.embed = nn.Embedding(max(config.states, config.vocabulary + 1) + 1 + config.edges, config.width)
            nn.init.normal_(self.embed.weight, std=0.5)
        self.embed_label = nn.Embedding(config.labels + 1, config.width) if config.labels else None
        if self.embed_label is not None:
            nn.init.zeros_(self.embed_label.weight)
        self.embed_time = TimeEmbedding(config.width) if config.time_input else None
        self._build(config)
        self.norm = layer_norm(config.width)
        head = nn.Linear(config.width, config.output_width or config.vocabulary)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        self.head: nn.Module = head

    @abstractmethod
    def _build(self, config) -> None:
        """Make the modules of the body."""

    @abstractmethod
    def _body(self, h: Tensor, c: Tensor | None, lengths: Tensor | None, positions: Tensor | None, **context) -> Tensor:
        """h (B, L, D) → (B, L, D), or (B, P, D) at `positions`; c (B, D) is the time, `context` what `run` was given."""

    @property
    def vocabulary(self) -> int:
        return self.config.vocabulary

    @property
    def labels(self) -> int:
        """Number of classes, which is also the class "any"."""
        return self.config.labels

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
        previous: Tensor | None = None,
    ) -> Tensor:
        """Logits of p(x0 | x_t), or x̂0 where the network gives vectors.

        Args:
            x_t: (B, L) int64, states of the process or the pad; (B, L, E) for a network that reads vectors.
            t: (B,) in [0, 1]; read only if the model takes time.
            label: (B,) int64 classes, None for "any"; read only if the model has classes.
            lengths: (B,) int64, real length of each row; None if all are L, which is faster. Padding never reaches a
                real position.
            positions: (B, P) int64 positions that are asked for, or None for all. What only they need (of a transformer
                the last block's queries, its feed-forward part and the head) is computed there alone.
            previous: (B, L, E), the last x̂0, for self-conditioning; None is zeros, as at the first step.

        Returns:
            (B, P, V) or (B, L, V); the output's width instead of V where it is a vector.
        """
        return self.run(x_t, t, label, lengths, positions, previous)

    def run(self, x_t, t, label, lengths, positions, previous=None, **context) -> Tensor:
        """`forward` with what a body reads besides."""
        x_t = self._input(x_t, previous)
        if self.config.edges:
            x_t = _with_edges(x_t, lengths, self._edge(x_t))
            lengths = None if lengths is None else lengths + 2
            positions = None if positions is None else positions + 1
        h, B = self.embed(x_t), len(x_t)
        if torch.is_autocast_enabled(h.device.type):
            h = h.to(torch.get_autocast_dtype(h.device.type))
        if self.embed_label is not None:
            any_label = torch.full((B,), self.config.labels, dtype=torch.int64, device=x_t.device)
            h = h + self.embed_label(any_label if label is None else label).unsqueeze(1)
        c = self.embed_time(_times(t, B, x_t.device)) if self.embed_time is not None else None
        h = self._body(h, c, lengths, positions, **context)
        if self.config.edges and positions is None:
            h = h[:, 1:-1]
        return self.head(self.norm(h))

    def _input(self, x_t: Tensor, previous: Tensor | None) -> Tensor:
        """x_t as `embed` reads it: ids; or vectors, with x̂0 of the last step and a column for the edges beside them."""
        E = self.config.input_width
        if x_t.ndim != (3 if E else 2) or (E and x_t.shape[-1] != E):
            expected = f"vectors (B, L, {E})" if E else "ids (B, L)"
            raise ConfigError(f"denoiser: expected x_t of {expected}, got shape {tuple(x_t.shape)}")
        if not E:
            return x_t
        if self.config.self_condition:
            x_t = torch.cat([x_t, torch.zeros_like(x_t) if previous is None else previous.to(x_t.dtype)], dim=-1)
        return F.pad(x_t, (0, int(self.config.edges))).to(self.embed.weight.dtype)

    def _edge(self, x_t: Tensor) -> Tensor:
        """The mark at the ends of a row, as `embed` reads it: the last id, or the last unit vector."""
        if isinstance(self.embed, nn.Embedding):
            return x_t.new_full((), self.embed.num_embeddings - 1)
        return F.pad(x_t.new_ones(1), (x_t.shape[-1] - 1, 0))


def _with_edges(x_t: Tensor, lengths: Tensor | None, edge: Tensor) -> Tensor:
    """(B, L + 2, …): an edge before each row and one after its last real position."""
    column = edge.expand(len(x_t), 1, *edge.shape)
    framed = torch.cat([column, x_t, column], dim=1)
    if lengths is None:
        return framed
    end = torch.arange(framed.shape[1], device=x_t.device) == lengths.unsqueeze(1) + 1
    return torch.where(end.view(*end.shape, *([1] * edge.ndim)), edge, framed)


def _times(t: Tensor | None, B: int, device) -> Tensor:
    if t is None:
        raise ConfigError("this denoiser takes a time: expected t of shape (B,), got None")
    return torch.as_tensor(t, device=device).expand(B)
