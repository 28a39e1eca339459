"""Classifier-free guidance towards the fields before a text, by a model that knows texts with fields and with fields hidden.

    log p_γ = log p(· | hidden fields) + γ (log p(· | fields) − log p(· | hidden fields)),   γ > 1 says more of the fields

The model is a joint one of fields and text under any mask, so that a hidden field is one whose value is masked: nothing was
trained for it. Per position the law is exactly this; the law of a whole text is not the tilted one.

Sources: Ho and Salimans, 2022; unsupervised guidance, which masks the prompt: Nie et al., "Scaling up masked diffusion models
on text", 2024. Shapes: B rows, L length, V vocabulary, P queried positions.
"""

from typing import Any

import torch
from torch import Tensor

from domains.text.fields import TEXT
from domains.text.tokens import is_marker
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConfigError


class FieldsGuided:
    """A denoiser of masked tokens like any other, at twice the passes; rows without fields get the model's own answer twice.

    Args:
        denoiser: of a model with fields.
        gamma: γ.
    """

    def __init__(self, denoiser: Any, alphabet: Alphabet, gamma: float):
        if TEXT not in alphabet.ids:
            raise ConfigError("field_guidance: expected a model with fields, got one that knows none")
        self.denoiser, self.gamma, self.mask, self.text = denoiser, gamma, alphabet.mask, alphabet.ids[TEXT]
        self.markers = torch.tensor([i for token, i in alphabet.ids.items() if is_marker(token)])
        self.vocabulary, self.labels, self.config = denoiser.vocabulary, denoiser.labels, denoiser.config
        self.needs_time, self.takes_previous = denoiser.needs_time, False

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None, **more) -> Tensor:
        t = t if t is None else torch.as_tensor(t, device=x_t.device).expand(len(x_t))
        twice = [None if part is None else torch.cat([part, part]) for part in (t, label, lengths, positions)]
        told, untold = self.denoiser(torch.cat([x_t, self.hidden(x_t)]), *twice, **more).chunk(2)
        guided = untold + self.gamma * (told - untold)
        return torch.where(told.isneginf() | untold.isneginf(), float("-inf"), guided)

    def hidden(self, x_t: Tensor) -> Tensor:
        """Rows (B, L) with the values of their fields masked."""
        begun = (x_t == self.text).cumsum(-1)
        value = (begun == 0) & (begun[:, -1:] > 0) & ~torch.isin(x_t, self.markers.to(x_t.device))
        return torch.where(value, self.mask, x_t)
