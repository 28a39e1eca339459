"""A denoiser that is given a source: encoded once, read by cross-attention at every step.

The encoder and the denoiser are transformers of one width. A source of length 0 is no source ("any"): then a learned
state alone is attended to, as in every other row beside the source. Training drops sources by setting lengths to 0.

Shapes: B batch, K sources, M source length, L length, V clean vocabulary, D width, N longest length.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqdiff.denoisers.block import Block, is_real, rotary
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConfigError


@dataclass(frozen=True)
class EncoderDecoderConfig(TransformerConfig):
    """Size and inputs of an `EncoderDecoder`; what `TransformerConfig` has is the denoiser's.

    Attributes:
        source_vocabulary: number of tokens of the source; 0 for the target's. Its pad is any id up to that number + 1.
        source_depth: blocks of the encoder; 0 for as many as the denoiser has.
        max_length: N, the longest target that p(length | source) knows of; 0 for no such head.
    """

    source_vocabulary: int = 0
    source_depth: int = 0
    max_length: int = 0

    def __post_init__(self):
        super().__post_init__()
        for name in ("source_vocabulary", "source_depth", "max_length"):
            if getattr(self, name) < 0:
                raise ConfigError(f"model.{name}: expected 0 or more, got {getattr(self, name)}")


@dataclass(frozen=True)
class Encoded:
    """Sources as the denoiser reads them.

    Attributes:
        states: (K, M + 1, D); the first is the learned state of "no source".
        visible: (K, M + 1) bool, what is no padding.
        lengths: (K,) int64.
    """

    states: Tensor
    visible: Tensor
    lengths: Tensor


class EncoderDecoder(Transformer):
    """Denoiser: `forward(x_t, t, label, lengths, positions, source=encode(...)) → logits`; without a source, of "any".

    For sampling, `given` makes a denoiser with the plain contract of it.
    """

    def _build(self, config: EncoderDecoderConfig) -> None:
        D, N = config.width, config.max_length
        self.blocks = nn.ModuleList(Block(config, cross=True) for _ in range(config.depth))
        self.encoder = Transformer(
            TransformerConfig(
                vocabulary=config.source_vocabulary or config.vocabulary,
                width=D,
                depth=config.source_depth or config.depth,
                heads=config.heads,
                expansion=config.expansion,
                qk_gain=config.qk_gain,
                rotary_base=config.rotary_base,
                convolution=config.convolution,
                edges=config.edges,
            )
        )
        self.encoder.head = nn.Identity()  # its states are what is wanted of it
        self.no_source = nn.Parameter(torch.randn(D) * 0.5)
        self.length = nn.Linear(D, N + 1) if N else None
        self.length_difference = nn.Linear(D, 2 * N + 1) if N else None

    def encode(self, source: Tensor, source_lengths: Tensor | None = None) -> Encoded:
        """Read sources (K, M) int64 of these lengths (K,), None if all are M, 0 for "no source"."""
        K, M = source.shape
        lengths = source.new_full((K,), M) if source_lengths is None else source_lengths
        states = self.encoder(source, lengths=lengths.clamp(min=1))
        none = self.no_source.to(states.dtype).expand(K, 1, -1)
        return Encoded(torch.cat([none, states], dim=1), is_real(lengths + 1, M + 1), lengths)

    def memory(self, source: Encoded) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Keys, values (K, H, M + 1, d) and mask of the sources for every block: the same at all steps."""
        config, states = self.config, source.states
        cos, sin = rotary(states.shape[1], config.width // config.heads, config.rotary_base, states.device)
        mask = source.visible[:, None, None, :]
        return [(*block.cross.memory(states, cos, sin), mask) for block in self.blocks]  # type: ignore[union-attr]

    def forward(
        self, x_t, t=None, label=None, lengths=None, positions=None, previous=None, source: Encoded | None = None
    ) -> Tensor:
        """As `Backbone.forward`; `source` is that of each row, or of them all if it is one."""
        if source is None:
            none = x_t.new_zeros(1, dtype=torch.int64)
            source = Encoded(self.no_source.view(1, 1, -1), torch.ones_like(none, dtype=torch.bool).view(1, 1), none)
        if len(source.lengths) not in (1, len(x_t)):
            raise ConfigError(f"source: expected one, or one for each of the {len(x_t)} rows, got {len(source.lengths)}")
        memory = [tuple(part.expand(len(x_t), *part.shape[1:]) for part in block) for block in self.memory(source)]
        return self.run(x_t, t, label, lengths, positions, previous, memory=memory)

    def length_logits(self, source: Encoded) -> Tensor:
        """Logits (K, N + 1) of p(length | source): a term of the length and one of its difference from the source's.

        Both from the mean of the source's states (Ghazvininejad et al., Mask-Predict, 2019, predict the length alone).
        """
        if self.length is None or self.length_difference is None:
            raise ConfigError("model.max_length: expected the longest length for p(length | source), got 0; train with one")
        N = self.config.max_length
        visible = source.visible.unsqueeze(-1)
        mean = (source.states * visible).sum(1) / visible.sum(1)
        difference = torch.arange(N + 1, device=mean.device) - source.lengths.unsqueeze(1)
        return self.length(mean) + self.length_difference(mean).gather(1, difference.clamp(-N, N) + N)

    def given(self, source: Tensor, source_lengths: Tensor | None = None, label: Tensor | None = None) -> "Given":
        """The denoiser of the targets of these K sources (K, M), for sampling; each may have a class too, label (K,)."""
        return Given(self, source, source_lengths, label)


class Given:
    """A denoiser whose classes are its sources: a row's `label` is the number of its source, K is "no source" ("any").

    The sources are encoded once, here. As a row's label goes with it wherever a sampler takes it, rows may be drawn in
    any order and batch. None is refused: which source is meant must be said (0 where there is one).
    """

    @torch.no_grad()
    def __init__(self, network: EncoderDecoder, source: Tensor, source_lengths: Tensor | None, label: Tensor | None):
        self.network, self.config, self.vocabulary = network, network.config, network.vocabulary
        self.needs_time, self.labels = network.needs_time, len(source)
        K, M = source.shape
        lengths = source.new_full((K,), M) if source_lengths is None else source_lengths
        source, lengths = torch.cat([source, source[:1]]), torch.cat([lengths, lengths.new_zeros(1)])
        self._encoded = network.encode(source, lengths)
        self._memory = network.memory(self._encoded)
        classes = source.new_full((K + 1,), network.labels)
        self._classes = classes if label is None else torch.cat([label, classes[:1]])

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None, previous=None) -> Tensor:
        if label is None:
            raise ConfigError(
                f"denoiser given {self.labels} sources: expected label (B,), the number of each row's source "
                f"(0 … {self.labels - 1}, or {self.labels} for none), got None"
            )
        memory = [tuple(part[label] for part in block) for block in self._memory]
        return self.network.run(x_t, t, self._classes[label], lengths, positions, previous, memory=memory)

    @torch.no_grad()
    def length_probability(self) -> Tensor:
        """p(length | source), (K + 1, N + 1) float64; the last row is that of no source."""
        return self.network.length_logits(self._encoded).double().softmax(-1)
