"""A bidirectional transformer that reads x_t and predicts every clean token, p(x0 | x_t).

Without time input it is a function of x_t alone, which loses nothing for an absorbing process (Ou et al., RADD, 2024)
and lets rows at different steps share a pass; with it, adaptive norm as in DiT (Peebles and Xie, 2023). It reads ids
or vectors, and gives logits or vectors: for processes on embeddings and on the simplex.

Shapes: B batch, L length, V clean vocabulary, D width, H heads, P queried positions.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from seqdiff.denoisers.backbone import Backbone
from seqdiff.denoisers.block import Block, is_real, rotary
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
        states: number of states of the process, if more than V + 1; the pad is an id after the last.
        input_width: width of the vectors that x_t holds; 0 if it holds ids.
        output_width: width of the vectors that come out, x̂0; 0 for logits over V.
        self_condition: whether the last x̂0 is read beside vectors x_t (Chen et al., "Analog bits", 2022).
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
    states: int = 0
    input_width: int = 0
    output_width: int = 0
    self_condition: bool = False

    def __post_init__(self):
        for name in ("vocabulary", "width", "depth", "heads", "expansion"):
            if getattr(self, name) < 1:
                raise ConfigError(f"model.{name}: expected at least 1, got {getattr(self, name)}")
        for name in ("labels", "states", "input_width", "output_width"):
            if getattr(self, name) < 0:
                raise ConfigError(f"model.{name}: expected 0 or more, got {getattr(self, name)}")
        if self.convolution < 0 or (self.convolution and self.convolution % 2 == 0):
            raise ConfigError(f"model.convolution: expected 0 or an odd width, got {self.convolution}")
        if self.width % (2 * self.heads):
            raise ConfigError(
                f"model.width: expected a multiple of 2 · heads = {2 * self.heads} (rotary pairs), got {self.width}"
            )
        if self.self_condition and not self.input_width:
            raise ConfigError(
                "model.self_condition: expected an input_width, x̂0 is read beside vectors; set one, or leave it out"
            )


class Transformer(Backbone):
    """Denoiser: `forward(x_t, t, label, lengths, positions) → logits` over the clean vocabulary."""

    def _build(self, config: TransformerConfig) -> None:
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))

    def _body(self, h, c, lengths, positions, memory=None) -> Tensor:
        L, last = h.shape[1], len(self.blocks) - 1
        cos, sin = rotary(L, self.config.width // self.config.heads, self.config.rotary_base, h.device)
        mask = None if lengths is None else is_real(lengths, L)[:, None, None, :]
        for i, block in enumerate(self.blocks):
            source = None if memory is None else memory[i]
            h = block(h, cos, sin, mask, c, positions if i == last else None, source)
        return h
