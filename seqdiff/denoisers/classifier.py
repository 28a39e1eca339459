"""Classifiers and regressors on noisy input: p(y | x_t, t), what guidance tilts by.

Trained on x_t ~ q(x_t | x_0) with the y of x_0, such a network learns p(y | x_t) = E[p(y | x_0) | x_t] (Dhariwal and
Nichol, 2021; Nisonoff et al., "Unlocking guidance for discrete state-space diffusion", 2024). It reads ids, or soft tokens
through the embedding matrix, so that the gradient with respect to one-hots exists.

Shapes: B batch, L length, V clean vocabulary, D width, K classes or outcomes.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdiff.denoisers.block import is_real
from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConditionError, ConfigError

LOG_VARIANCE = (-8.0, 4.0)  # of the standardised number
FAR = 1e30  # stands for ±∞ as a bound of y: the gradient of an infinite one is not a number


@dataclass(frozen=True)
class ClassifierConfig(TransformerConfig):
    """Size of the trunk, and what is told from it.

    Attributes:
        classes: K; 0 is a number, whose law is a Gaussian of learned mean and variance.
        frozen: whether the trunk keeps the weights it began with, those of a denoiser.
        center, scale: mean and standard deviation of the number over the training rows; the network works in these units.
        positions: whether a class is told of each position, and not one of the row.
    """

    classes: int = 0
    frozen: bool = False
    center: float = 0.0
    scale: float = 1.0
    positions: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.classes < 0 or self.classes == 1:
            raise ConfigError(f"model.classes: expected 0 (a number) or at least 2, got {self.classes}")
        if self.positions and not self.classes:
            raise ConfigError("model.positions: expected classes, at least 2, of each position; got a number")
        if self.input_width or self.output_width:
            raise ConfigError("model: a classifier reads tokens; leave input_width and output_width out")
        if not self.scale > 0:
            raise ConfigError(f"model.scale: expected a positive number, got {self.scale}")


_LEAVES: ContextVar[list[Tensor] | None] = ContextVar("leaves", default=None)  # of this thread's passes alone


@contextmanager
def leaves() -> Iterator[list[Tensor]]:
    """Inside, what passes of classifiers read from their embeddings, (B, L, D), is collected, as leaves of a gradient."""
    found: list[Tensor] = []
    before = _LEAVES.set(found)
    try:
        with torch.enable_grad():
            yield found
    finally:
        _LEAVES.reset(before)


class SoftEmbedding(nn.Embedding):
    """Rows of a table at ids (B, L), or their mixture under weights (B, L, rows of the table)."""

    def forward(self, input: Tensor) -> Tensor:
        e = input.to(self.weight.dtype) @ self.weight if input.is_floating_point() else super().forward(input)
        if (found := _LEAVES.get()) is not None:
            e = e.detach().requires_grad_()
            found.append(e)
        return e


class Trunk(Transformer):
    """The transformer without a head: hidden states of ids (B, L) or of soft tokens (B, L, V) or (B, L, V + 1)."""

    def __init__(self, config: TransformerConfig):
        super().__init__(config)
        soft = SoftEmbedding(self.embed.num_embeddings, config.width)  # type: ignore[arg-type]
        soft.weight = self.embed.weight  # type: ignore[assignment]
        self.embed, self.head = soft, nn.Identity()

    def _input(self, x_t: Tensor, previous: Tensor | None) -> Tensor:
        if not x_t.is_floating_point():
            return super()._input(x_t, previous)
        V, rows = self.config.vocabulary, self.embed.num_embeddings  # type: ignore[union-attr]
        if x_t.ndim != 3 or x_t.shape[-1] not in (V, V + 1):
            raise ConfigError(
                f"classifier: expected ids (B, L) or soft tokens (B, L, {V}) or (B, L, {V + 1}), got shape {tuple(x_t.shape)}"
            )
        return F.pad(x_t, (0, rows - x_t.shape[-1]))  # type: ignore[operator]

    def _edge(self, x_t: Tensor) -> Tensor:
        return F.pad(x_t.new_ones(1), (x_t.shape[-1] - 1, 0)) if x_t.is_floating_point() else super()._edge(x_t)


class Classifier(nn.Module):
    """Trunk, mean over the real positions, two layers: `forward(x_t, t, lengths)` → (B, K), or (B, 2) for a number.

    With `positions` nothing is averaged: (B, L, K).

    x_t is (B, L) ids, or (B, L, V) or (B, L, V + 1) soft tokens, column V the mask; t (B,) is read only with `time_input`;
    lengths (B,) are the real lengths, None if all are L.
    """

    def __init__(self, config: ClassifierConfig):
        super().__init__()
        self.config = config
        self.trunk = Trunk(config).requires_grad_(not config.frozen)
        self.readout = nn.Sequential(
            nn.Linear(config.width, config.width), nn.SiLU(), nn.Linear(config.width, config.classes or 2)
        )
        nn.init.zeros_(self.readout[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.readout[-1].bias)  # type: ignore[arg-type]

    @property
    def vocabulary(self) -> int:
        return self.config.vocabulary

    def take_trunk(self, denoiser: nn.Module) -> None:
        """Start from the weights of a transformer denoiser of the same size, its head left out."""
        weights = {name: w for name, w in denoiser.state_dict().items() if not name.startswith("head.")}
        self.trunk.load_state_dict(weights)

    def forward(self, x_t: Tensor, t: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        h = self.trunk(x_t, t, None, lengths)
        if self.config.positions:
            return self.readout(h)
        if lengths is None:
            return self.readout(h.mean(1))
        real = is_real(lengths, h.shape[1]).unsqueeze(-1)
        return self.readout(torch.where(real, h, 0.0).sum(1) / lengths.clamp(min=1).unsqueeze(-1))

    def log_classes(self, x_t: Tensor, t: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """log p(y | x_t), (B, K) or (B, L, K) float64. Raises ConfigError where the network tells a number."""
        if not self.config.classes:
            raise ConfigError("classifier: expected one of classes, got a regressor; ask it for `log_between`")
        return self(x_t, t, lengths).double().log_softmax(-1)

    def number(self, x_t: Tensor, t: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of y given x_t, (B,) float64 each. Raises ConfigError where there are classes."""
        if self.config.classes:
            raise ConfigError("classifier: expected a regressor, got one of classes; ask it for `log_classes`")
        mean, log_variance = split(self(x_t, t, lengths))
        return self.config.center + self.config.scale * mean, self.config.scale * (log_variance / 2).exp()

    def log_between(
        self,
        x_t: Tensor,
        t: Tensor | None = None,
        low: float = -math.inf,
        high: float = math.inf,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """log P(low ≤ y ≤ high | x_t), (B,) float64, finite and with a gradient far out in the tails."""
        mean, deviation = self.number(x_t, t, lengths)
        low, high = max(low, -FAR), min(high, FAR)
        return log_normal_between((low - mean) / deviation, (high - mean) / deviation)


def split(out: Tensor) -> tuple[Tensor, Tensor]:
    """(mean, log-variance) (B,) float64 of the standardised number, from the output (B, 2) of a regressor."""
    mean, log_variance = out.double().unbind(-1)
    return mean, log_variance.clamp(*LOG_VARIANCE)


def log_normal_between(a: Tensor, b: Tensor) -> Tensor:
    """log(Φ(b) − Φ(a)) for finite a < b, by symmetry always in the lower tail, where nothing cancels."""
    a, b = torch.where(a + b > 0, -b, a), torch.where(a + b > 0, -a, b)
    a = a.clamp(min=-1e6)  # farther out the gradient of log Φ overflows
    top = torch.special.log_ndtr(b)
    return top + torch.log1p(-(torch.special.log_ndtr(a) - top).exp())


class ExactClassifier:
    """log p(y | x_t) = log Σ_o p(o | x_t) p(y | o) of an enumerated law: what a trained one approximates.

    Where x_t has probability 0 the answer is −∞.

    Args:
        p_y: (K,) float64, p(y | outcome) of the one y that is wished for.
        process, free: as those of `ExactDenoiser`; None is the absorbing process.
    """

    def __init__(self, law: EnumeratedLaw, p_y: Tensor, process=None, free: Tensor | None = None):
        if p_y.shape != law.probability.shape:
            raise ConditionError(f"classifier: expected p(y | outcome) ({len(law.probability)},), got {tuple(p_y.shape)}")
        self.law, self.p_y = law, p_y
        self._denoiser = ExactDenoiser(law, process, free)

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        """(B,) float64."""
        denoiser = self._denoiser
        if denoiser.process is None:
            weight = denoiser._agreement(x_t) * self.law.probability
        else:
            weight = denoiser._weight(denoiser.process.log_likelihood(x_t, t), x_t) * self.law.probability
        total = weight.sum(-1)
        return torch.where(total > 0, (weight @ self.p_y) / torch.where(total > 0, total, 1.0), 0.0).log()
