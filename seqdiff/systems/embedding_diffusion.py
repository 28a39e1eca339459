"""Diffusion on learned token embeddings with an x_0 target: Diffusion-LM, Difformer, and flow matching on the straight path.

    x_t = a_t e_{x_0} + b_t ε,   terms  |x̂0(x_t) − e_{x_0}|²/D   +   CE(x_0 from rounding x̂0)

The cross-entropy sees the *predicted* x̂0 (Difformer's anchor): seen from the true one it falls to 0 by making the
embeddings large or alike, and the space collapses. Self-conditioning feeds the last x̂0 back, half of the time in training.
Sources: Li et al., Diffusion-LM, 2022; Gao et al., Difformer, 2022; Hu et al., FlowSeq, 2024 (straight path);
Chen et al., "Analog bits", 2022 (self-conditioning).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.embedding import EmbeddedProcess, Embedding
from seqdiff.likelihood.gaussian import embedded_bound
from seqdiff.noise import Stream, normal
from seqdiff.objective import cross_entropy, weighted
from seqdiff.processes.gaussian import VectorProcess, spread
from seqdiff.systems.base import Rows, System
from seqdiff.systems.given import target


class EmbeddingNetwork(nn.Module):
    """A transformer on vectors (B, L, E) together with the embedding that it learns: x_t → x̂0 (B, L, E).

    Args:
        config: of the transformer, with input_width = output_width = E.
        norm: of the embedding (`seqdiff.embedding.Embedding`).
    """

    def __init__(self, config: TransformerConfig, norm: str = "layer"):
        super().__init__()
        self.transformer = Transformer(config)
        self.embedding = Embedding(torch.randn(config.vocabulary, config.input_width), norm=norm)

    @property
    def config(self) -> TransformerConfig:
        return self.transformer.config

    def forward(self, x_t, t=None, label=None, lengths=None, positions=None, previous=None) -> Tensor:
        return self.transformer(x_t, t, label, lengths, positions, previous)


class Rounded:
    """The network as a denoiser of tokens: log p(x_0 | x_t) = rounding head of x̂0, up to a constant."""

    needs_time = True

    def __init__(self, network: EmbeddingNetwork, scale: VectorProcess | None = None):
        self.network, self.scale, self.config = network, scale, network.config
        self.vocabulary, self.labels = network.config.vocabulary, network.config.labels
        self.takes_previous = network.config.self_condition

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None, previous=None) -> Tensor:
        return self.network.embedding.logits(self.x0_hat(x_t, t, label, lengths, positions, previous))

    def x0_hat(self, x_t, t, label, lengths, positions, previous) -> Tensor:
        """The network's x̂0, which with a `scale` reads x_t/√(a² + b²)."""
        if self.scale is not None:
            x_t = x_t / spread((self.scale.signal(t).square() + self.scale.noise(t).square()).sqrt())
        return self.network(x_t, t, label, lengths, positions, previous).float()


@dataclass(frozen=True)
class EmbeddingDiffusion(System):
    """Process: any on vectors, over the embedding that the network learns.

    Attributes:
        regression: weight of the squared error; 0 leaves the cross-entropy alone, CDCD's score interpolation.
        anchor: weight of the cross-entropy; 0 is the ablation in which embeddings collapse.
        anchor_on_truth: Diffusion-LM's first form, the cross-entropy of the noised truth at t_min.
        scaled: whether the network reads x_t/√(a² + b²), of variance 1 at every time (Karras et al., 2022; CDCD).
        separator: token after which the target begins (`seqdiff.systems.given`); None: the whole row.
        t_min, t_max: times that are trained and sampled.
    """

    vectors: VectorProcess
    sampler: str = "embedded-ddpm"
    regression: float = 1.0
    anchor: float = 1.0
    anchor_on_truth: bool = False
    scaled: bool = False
    separator: int | None = None
    t_min: float = 0.01
    t_max: float = 0.999

    def on(self, network: EmbeddingNetwork) -> EmbeddedProcess:
        """The process on the embedding of this network."""
        return EmbeddedProcess(self.vectors, network.embedding)

    def terms(self, network, rows: Rows):
        E = network.embedding.width
        x_0 = rows.x_0.clamp(max=network.config.vocabulary - 1)
        t = self.t_min + (self.t_max - self.t_min) * rows.times()
        words = torch.arange(x_0.shape[1] * E, device=x_0.device).reshape(-1, E)
        place = rows.place[:, None, None]
        eps = normal(rows.seed, place, rows.step, words, Stream.CORRUPT, device=x_0.device).float()
        e = network.embedding.encode(x_0)
        free = target(rows.x_0, self.separator, rows.real)
        x_t = torch.where(free.unsqueeze(-1), self.vectors.corrupt(e, t, eps), e).float()
        previous = self._previous(network, rows, x_t, t)
        x0_hat = self.denoiser(network).x0_hat(x_t, t, rows.label, rows.mask_lengths, None, previous)
        mse = ((x0_hat - e).square().mean(-1) * free).sum(-1)
        rounded = e + 0.1 * eps if self.anchor_on_truth else x0_hat
        anchor = cross_entropy(network.embedding.logits(rounded), x_0, free)
        return weighted({"mse": self.regression, "anchor": self.anchor}, mse=mse, anchor=anchor)

    def _previous(self, network, rows: Rows, x_t: Tensor, t: Tensor) -> Tensor | None:
        """x̂0 of a first pass without gradient, as sampling forms it, for half of the rows; zeros for the others."""
        if not network.config.self_condition:
            return None
        previous = torch.zeros_like(x_t)
        fed_back = (rows.uniform(1, Stream.CHOICE) < 0.5).flatten().nonzero().flatten()
        given = [None if each is None else each[fed_back] for each in (t, rows.label, rows.mask_lengths)]
        with torch.no_grad():
            logits = self.denoiser(network)(x_t[fed_back], *given)
            previous[fed_back] = network.embedding.mean(logits.softmax(-1)).to(previous.dtype)
        return previous

    def bound(self, network, x_0, label, draws=4, seed=0):
        free = target(x_0, self.separator, torch.ones_like(x_0, dtype=torch.bool))
        how = {"t_max": self.t_max, "t_min": self.t_min, "free": free}
        return embedded_bound(self.denoiser(network), self.on(network), x_0, draws, seed, label, **how)

    def denoiser(self, network):
        return Rounded(network, self.vectors if self.scaled else None)

    def process_of(self, network):
        return self.on(network)

    def figures(self, network):
        return {"mean-cosine": float(network.embedding.mean_cosine())}
