"""A left-to-right transformer: the control that a diffusion model is compared with, of the same blocks.

It is no denoiser of noise: what it answers at position i is p(x_i | x_<i), whatever stands at i and after. It has an
exact likelihood, and keeps only pins that are a prefix. Like the denoisers it is told the length.

Shapes: B batch, L length, V vocabulary, P queried positions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.denoisers.block import Past, TimeEmbedding, is_real, rotary
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.draws import categorical, probabilities
from seqdiff.errors import ConditionError, ConfigError
from seqdiff.noise import Stream, uniform


@dataclass(frozen=True)
class CausalConfig(TransformerConfig):
    """Size and inputs of a `Causal`; fields that let a position see a later one, or noise, are refused.

    Attributes:
        length_input: whether a row's length enters. A denoiser sees it as it sees the holes; without it the comparison
            would not be of like with like.
    """

    length_input: bool = True

    def __post_init__(self):
        super().__post_init__()
        for name in ("time_input", "convolution", "edges", "states", "input_width", "output_width"):
            if getattr(self, name):
                raise ConfigError(f"model.{name}: expected none in a causal model, got {getattr(self, name)}; leave it out")


class Causal(Transformer):
    """`forward(x, …)` → logits of p(x_i | x_<i, label, length) at position i; the mask id V stands before the first."""

    def _build(self, config: CausalConfig) -> None:
        super()._build(config)
        self.embed_length = TimeEmbedding(config.width) if config.length_input else None

    def forward(self, x_t, t=None, label=None, lengths=None, positions=None, previous=None) -> Tensor:
        """As `Backbone.forward`; x_t holds clean tokens."""
        B, L = x_t.shape
        read = torch.cat([x_t.new_full((B, 1), self.vocabulary), x_t[:, :-1]], dim=1)
        lengths = x_t.new_full((B,), L) if lengths is None else lengths
        return self.run(read, None, label, lengths, positions)

    def _body(self, h, c, lengths, positions, start: int = 0, past: list[Past] | None = None) -> Tensor:
        """h stands at the positions start … start + L − 1, after what `past` holds; `positions` count from start."""
        L, last = h.shape[1], len(self.blocks) - 1
        end = start + L
        if self.embed_length is not None:
            h = h + self.embed_length(lengths / 1000).unsqueeze(1).to(h.dtype)
        cos, sin = rotary(end, self.config.width // self.config.heads, self.config.rotary_base, h.device)
        order = torch.arange(end, device=h.device)
        mask = (order <= order[start:].unsqueeze(1))[None, None]
        for i, block in enumerate(self.blocks):
            asked = positions if i == last else None
            seen = mask if asked is None else (order <= start + asked.unsqueeze(-1)).unsqueeze(1)
            h = block(h, cos[start:], sin[start:], seen, c, asked, past=None if past is None else past[i])
        return h

    def log_likelihood(self, x_0: Tensor, label: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """log p(x_0 | label, length) in nats, (B,) float64: the exact sum over the real positions."""
        log_p = self(x_0, None, label, lengths).double().log_softmax(-1)
        of_token = log_p.gather(-1, x_0.clamp(max=self.vocabulary - 1).unsqueeze(-1)).squeeze(-1)
        return (of_token if lengths is None else of_token * is_real(lengths, x_0.shape[1])).sum(-1)

    @torch.no_grad()
    def sample(
        self,
        canvas: Tensor,
        seed: int,
        sample: Tensor,
        label: Tensor | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
    ) -> Tensor:
        """Fill the holes (id V) of a canvas (B, L) from the left; keys and values are kept from step to step.

        Args:
            canvas: rows of one length, each a pinned prefix and then holes; other pins raise ConditionError.
            sample: (B,) numbers of the rows in the noise, so that what is drawn does not depend on the batch.
        """
        B, L = canvas.shape
        pinned = canvas != self.vocabulary
        if bool((pinned[:, 1:] & ~pinned[:, :-1]).any()):
            raise ConditionError("causal model: expected pins that are a prefix, got a pin after a hole; use a denoiser")
        lengths = canvas.new_full((B,), L)
        read = torch.cat([canvas.new_full((B, 1), self.vocabulary), canvas], dim=1)  # x_i stands at i + 1
        columns = torch.arange(L, device=canvas.device)
        u = uniform(seed, sample.to(canvas.device).unsqueeze(-1), 0, columns, Stream.TOKEN, device=canvas.device)
        past, known = [Past() for _ in self.blocks], 0
        for i in range(int(pinned.sum(-1).min()), L):
            asked = canvas.new_full((B, 1), i - known)
            logits = self.run(read[:, known : i + 1], None, label, lengths, asked, start=known, past=past)
            drawn = categorical(probabilities(logits[:, 0], temperature, top_p), u[:, i])
            read[:, i + 1] = torch.where(pinned[:, i], canvas[:, i], drawn)
            known = i + 1
        return read[:, 1:]
