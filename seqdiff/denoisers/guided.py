"""Classifier-free guidance: a denoiser made of two answers of one that was trained with its condition dropped at times.

    logits_γ = logits_any + γ (logits_label − logits_any),   that is   p_γ ∝ p_label^γ p_any^{1−γ}

γ = 1 is the conditional, γ = 0 the unconditional, γ > 1 says more than the condition does. In x̂0, for vectors, the same
line. Per position the law is exactly this; the law of a whole sample is not the tilted data law.

Sources: Ho and Salimans, 2022 (w of that paper is γ − 1); Schiff et al., "Simple guidance mechanisms for discrete
diffusion models", 2024 (D-CFG). Shapes: B batch, L length, V vocabulary, P queried positions.
"""

import math

import torch
from torch import Tensor

from seqdiff.errors import ConfigError


class ClassifierFree:
    """A denoiser like any other. Both answers come from one pass over rows twice; with γ = 0 or 1 one is enough.

    Args:
        denoiser: one with classes: class k of `denoiser.labels`, and `denoiser.labels` itself for "any". A source given
            to an encoder–decoder is such a class.
        gamma: γ.
    """

    def __init__(self, denoiser, gamma: float):
        if getattr(denoiser, "labels", 0) < 1:
            raise ConfigError("guidance: expected a denoiser with classes or a given source, got one with none")
        if not math.isfinite(gamma):
            raise ConfigError(f"guidance: expected a finite gamma, got {gamma}")
        self.denoiser, self.gamma = denoiser, float(gamma)
        self.vocabulary, self.labels, self.config = denoiser.vocabulary, denoiser.labels, denoiser.config
        self.needs_time, self.takes_previous = denoiser.needs_time, getattr(denoiser, "takes_previous", False)

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None, **more) -> Tensor:
        """As the denoiser's own; with label None there is nothing to be guided to."""
        if label is None or self.gamma == 1:
            return self.denoiser(x_t, t, label, lengths, positions, **more)
        nothing = torch.full_like(label, self.labels)
        if self.gamma == 0:
            return self.denoiser(x_t, t, nothing, lengths, positions, **more)
        t = t if t is None else torch.as_tensor(t, device=x_t.device).expand(len(x_t))
        more = {name: _twice(value) for name, value in more.items()}
        both = torch.cat([label, nothing])
        out = self.denoiser(_twice(x_t), _twice(t), both, _twice(lengths), _twice(positions), **more)
        of_label, of_any = out.chunk(2)
        guided = of_any + self.gamma * (of_label - of_any)
        return torch.where(of_label.isneginf() | of_any.isneginf(), float("-inf"), guided)  # 0^γ is 0, not ∞ − ∞


def drop_condition(condition: Tensor, nothing: int, share: float, u: Tensor) -> Tensor:
    """For training: the condition (B,) of the rows, a `share` of them replaced by `nothing`; u (B,) is uniform noise.

    Classes are replaced by the class "any" (`labels`), lengths of sources by 0.
    """
    return torch.where(u < share, nothing, condition)


def _twice(value: Tensor | None) -> Tensor | None:
    return None if value is None else torch.cat([value, value])
