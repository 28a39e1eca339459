"""What is said, good or bad, by a bundled classifier that reads texts under noise too: "positive >= 0.9" of any text.

Of a finished text the figure is p(positive | x), or p(negative | x) = 1 − p(positive | x), of its words; characters that the
classifier has no token for are left out, and a text of nothing else has no figure. On the way γ log p(positive | x_t) weighs
the particles, and its gradient tilts what they draw; of soft tokens it is what a model on vectors moves up. What stands before
the text, its fields, is not looked at.

A classifier that learned under masks takes a hole for a word that it does not know, so that a token it lacks is read as one.

Shapes: R rows, L length, V vocabulary, V′ that of the classifier.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from domains.classifiers import bundled_classifier, log_classes, translation
from domains.text.fields import TEXT
from domains.text.tokens import encode, kind_of, normal
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.classifier import leaves
from seqdiff.errors import AlphabetError

MODEL = "text-sentiment"
CLASSES = ("positive", "negative")
PHRASE = re.compile(rf"sentiment\s+is\s+({'|'.join(CLASSES)})", re.IGNORECASE)
LONGEST = 512  # tokens of a text that are looked at


def classifier() -> Checkpoint:
    """The bundled one. Raises ConditionError that says how to make it where it is not there."""
    return bundled_classifier(MODEL)


def phrase(text: str) -> tuple[str, float, float] | None:
    """ "sentiment is positive" as a figure that must be at least ½, None for another text."""
    found = PHRASE.fullmatch(text)
    return (found[1].lower(), 0.5, float("inf")) if found else None


def probability(name: str, texts: Sequence[str], checkpoint: Checkpoint | None = None) -> list[float | None]:
    """p(name | text), in order; None for a text of which the classifier knows no character."""
    checkpoint = checkpoint or classifier()
    label = checkpoint.label_names.index(name)
    ids = {text: tuple(_encoded(text, checkpoint.alphabet)[:LONGEST]) for text in dict.fromkeys(texts)}
    found = log_classes(checkpoint, ids.values())
    return [float(found[ids[text]][label].exp()) if ids[text] else None for text in texts]


def _encoded(text: str, alphabet: Alphabet) -> list[int]:
    try:
        return encode(" " + normal(text), alphabet)
    except AlphabetError:
        known = "".join(c if c in alphabet.ids or c == " " else " " for c in normal(text))
        return encode(" " + normal(known), alphabet) if known.strip() else []


@dataclass(frozen=True)
class Said:
    """γ log p(y | the text in x_t), of ids (R, L) or soft tokens (R, L, V) or (R, L, V + 1), column V the hole.

    A LogProbability.

    Attributes:
        target: the classifier's network.
        label: y.
        table: (V + 2,) the classifier's id of each id of the rows, holes and padding among them; None where they are the same.
        start: id of the mark before the text, None where there are no fields.
        strength: γ.
    """

    target: Any
    label: int
    table: Tensor | None
    start: int | None
    strength: float = 1.0

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        text, lengths = self.text(x_t)
        return self.strength * self.target.log_classes(self.translated(text), t, lengths)[:, self.label]

    def slope(self, x_t: Tensor, t: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of ids: the value (R,), its gradient by embeddings (R, L, D), these of all tokens (V, D) and of the row (R, L, D)."""
        weight, L = self.target.trunk.embed.weight.detach(), x_t.shape[1]
        with leaves() as embeddings:
            value = self(x_t, t)
            (gradient,) = torch.autograd.grad(value.sum(), embeddings)
        first, place = int(self.target.config.edges), torch.arange(L, device=x_t.device) - self.skipped(x_t).unsqueeze(1)
        gradient = gradient[:, first : first + L]
        gradient = gradient.gather(1, place.clamp(min=0).unsqueeze(-1).expand_as(gradient))  # to where the text stands
        every = torch.arange(self.target.vocabulary + 2) if self.table is None else self.table
        return value.detach(), torch.where((place >= 0).unsqueeze(-1), gradient, 0.0), weight[every[:-2]], weight[every[x_t]]

    def text(self, x_t: Tensor) -> tuple[Tensor, Tensor | None]:
        """Rows with what stands before the text taken away, filled up behind, and how long they are then."""
        skipped = self.skipped(x_t)
        if not bool(skipped.any()):
            return x_t, None
        L = x_t.shape[1]
        place = (torch.arange(L, device=x_t.device) + skipped.unsqueeze(1)).clamp(max=L - 1)
        if x_t.ndim == 3:
            place = place.unsqueeze(-1).expand_as(x_t)
        return x_t.gather(1, place), L - skipped

    def skipped(self, x_t: Tensor) -> Tensor:
        """(R,) how many tokens stand before the text."""
        if self.start is None:
            return torch.zeros(len(x_t), dtype=torch.int64, device=x_t.device)
        marks = x_t == self.start if x_t.ndim == 2 else x_t[..., self.start] > 0.5
        return torch.where(marks.any(1), x_t.shape[1] - marks.flip(1).long().argmax(1), 0)

    def translated(self, x: Tensor) -> Tensor:
        """Rows in the classifier's tokens."""
        if self.table is None:
            return x
        if x.ndim == 2:
            return self.table[x]
        own = x.new_zeros(*x.shape[:-1], int(self.target.vocabulary) + 1)
        return own.index_add(-1, self.table[: x.shape[-1]].clamp(max=own.shape[-1] - 1), x)


def said(name: str, alphabet: Alphabet, strength: float = 1.0) -> Said | None:
    """What tells a figure from rows of this alphabet under noise; None for one that is not of words."""
    if kind_of(alphabet) != "words":
        return None
    checkpoint = classifier()
    own, label = checkpoint.alphabet, checkpoint.label_names.index(name)
    table = None if own.tokens == alphabet.tokens else translation(alphabet, own, own.mask)
    return Said(checkpoint.network, label, table, alphabet.ids.get(TEXT), strength)


def towards(name: str, low: float, high: float) -> str | None:
    """The class that a range of p(name | x) asks for, None where it asks for neither alone."""
    if (low > 0) == (high < 1):
        return None
    return name if low > 0 else CLASSES[1 - CLASSES.index(name)]
