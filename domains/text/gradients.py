"""What is wished of a text, as a function of soft tokens that has a gradient: figures that tokens add up to, and what a
classifier tells of them (`sentiment`).

With p_i(v) the chance of token v at position i and f(v) what it adds ("words": 1 for a token that begins a word), y ≈ Σ_i Σ_v
p_i(v) f(v); outside the range the log of the wish falls by the distance in units of the figure's scale, times the strength.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from constraints.guidance.guides import LogProbability
from domains.text.fields import TEXT
from domains.text.tokens import begins_word, decode, is_marker, kind_of
from domains.text.wishes import FIGURES, led_by, read_wish
from seqdiff.alphabet import Alphabet

ADDED = ("words", "characters")


@dataclass(frozen=True)
class Expected:
    """−strength · distance of E[y] from low … high. A LogProbability of soft tokens (R, L, V).

    Attributes:
        added: (V,) float64, f.
        start: id of the mark before the text, None where there are no fields; what stands before it does not count.
    """

    added: Tensor
    start: int | None
    low: float
    high: float
    strength: float

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        y = self.expectation(x_t)
        return -self.strength * torch.maximum((self.low - y).clamp(min=0), (y - self.high).clamp(min=0))

    def expectation(self, p: Tensor) -> Tensor:
        """E[y] (R,)."""
        each = p @ self.added.to(p)
        if self.start is None:
            return each.sum(-1)
        begun = p[..., self.start].cumsum(-1)
        return (each * (begun + 1 - begun[:, -1:])).sum(-1)


def gradient(text: str, alphabet: Alphabet) -> LogProbability | None:
    """A wish such as "words <= 12 * 8"; None for one that has no gradient. Raises ConditionError for what is no wish."""
    wish = read_wish(text)
    if wish.figure not in ADDED or wish.hard:
        return led_by(wish, alphabet)
    scale = FIGURES.scale.get(wish.figure, 1.0)
    return Expected(_added(wish.figure, alphabet), alphabet.ids.get(TEXT), wish.low, wish.high, wish.strength / scale)


@lru_cache(maxsize=16)
def _added(figure: str, alphabet: Alphabet) -> Tensor:
    """What each token adds."""
    by_bytes = kind_of(alphabet) in ("bytes", "bpe")

    def of(token: str) -> float:
        if is_marker(token):
            return 0.0
        said = decode([token], alphabet) if by_bytes else token
        if figure == "characters":
            return float(len(said) + (by_bytes and token.startswith("Ġ")))
        return float(begins_word(f" {said}" if by_bytes and token.startswith("Ġ") else token))

    return torch.tensor([of(token) for token in alphabet.tokens], dtype=torch.float64)
