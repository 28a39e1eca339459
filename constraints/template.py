"""Templates: what is pinned, where the gaps are and how long they may be. Knows token ids, no domain.

A template becomes one *canvas* per sample: the lengths of its gaps are drawn first (length is external to the
diffusion; padding is never predicted), then pins and masks are laid out.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from seqdiff.alphabet import Alphabet
from seqdiff.draws import categorical
from seqdiff.errors import ConditionError
from seqdiff.noise import Stream, uniform


@dataclass(frozen=True)
class Gap:
    """A hole of `low` to `high` tokens, both included; every length equally likely unless weights are given.

    Attributes:
        weights: (high − low + 1,) relative probabilities of the lengths, or None for all alike.
    """

    low: int
    high: int
    weights: tuple[float, ...] | None = None

    def __post_init__(self):
        if not 0 <= self.low <= self.high:
            raise ConditionError(f"gap: expected 0 ≤ low ≤ high, got {{{self.low}-{self.high}}}")
        lengths = self.high - self.low + 1
        if self.weights is not None and (len(self.weights) != lengths or not _are_weights(self.weights)):
            raise ConditionError(f"gap: expected {lengths} weights ≥ 0 with a positive sum, got {list(self.weights)}")

    def probability(self) -> Tensor:
        """π(ℓ), (high − low + 1,) float64."""
        weights = torch.tensor(self.weights or [1.0] * (self.high - self.low + 1), dtype=torch.float64)
        return weights / weights.sum()


def _are_weights(values: tuple[float, ...]) -> bool:
    return all(0 <= value < math.inf for value in values) and sum(values) > 0


@dataclass(frozen=True)
class Canvas:
    """One sample's layout.

    Attributes:
        tokens: (L,) int64, pins in place and masks elsewhere.
        pinned: (L,) bool.
        gap: (L,) int64, number of the gap a position belongs to, −1 where pinned.
        gap_lengths: the length drawn for each gap.
        regions: name → (start, stop) of what the template names.
    """

    tokens: Tensor
    pinned: Tensor
    gap: Tensor
    gap_lengths: tuple[int, ...]
    regions: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def pins(self, alphabet: Alphabet) -> list[str | None]:
        """The token that is pinned at each position, None where nothing is."""
        places = zip(self.tokens.tolist(), self.pinned.tolist(), strict=True)
        return [alphabet.tokens[i] if pin else None for i, pin in places]


@dataclass(frozen=True)
class Template:
    """Pinned runs and gaps in order.

    Attributes:
        parts: tuples of pinned ids, and `Gap`s.
        banned: ids that no gap may use (for molecules, the ring labels that the pins use).
        names: (name, first, stop) of regions, in parts: "chain1" may be parts 0 to 3.
    """

    parts: tuple[tuple[int, ...] | Gap, ...]
    banned: frozenset[int] = frozenset()
    names: tuple[tuple[str, int, int], ...] = ()

    @property
    def gaps(self) -> list[Gap]:
        return [part for part in self.parts if isinstance(part, Gap)]

    @property
    def length_range(self) -> tuple[int, int]:
        """Shortest and longest canvas, in tokens."""
        pinned = sum(len(part) for part in self.parts if not isinstance(part, Gap))
        return pinned + sum(gap.low for gap in self.gaps), pinned + sum(gap.high for gap in self.gaps)

    def check(self, max_length: int, vocabulary: int) -> None:
        """Raises ConditionError, before anything is sampled, if no output is possible or a canvas would be too long."""
        low, high = self.length_range
        if high > max_length:
            raise ConditionError(
                f"template: {low} to {high} tokens with its gaps, but the model was trained on at most {max_length}; "
                "shorten the gaps or use another model"
            )
        if low == 0:
            raise ConditionError("template: nothing is pinned and every gap may be empty; let a gap have at least one token")
        if len(self.banned) >= vocabulary and any(gap.high for gap in self.gaps):
            raise ConditionError("template: every token is banned from the gaps, so that nothing can fill them")

    def draw_gap_lengths(self, samples: Tensor, seed: int) -> Tensor:
        """(n, gaps) int64 lengths, independent, each from its gap's π(ℓ); a function of (seed, sample, gap)."""
        columns = [
            gap.low + categorical(gap.probability(), uniform(seed, samples, 0, g, Stream.LENGTH))
            for g, gap in enumerate(self.gaps)
        ]
        return torch.stack(columns, -1) if columns else torch.zeros(len(samples), 0, dtype=torch.int64)

    def canvas(self, gap_lengths: tuple[int, ...], mask: int) -> Canvas:
        """Lay out one sample."""
        tokens: list[int] = []
        gap: list[int] = []
        starts: list[int] = []
        lengths = iter(enumerate(gap_lengths))
        for part in self.parts:
            starts.append(len(tokens))
            if isinstance(part, Gap):
                g, length = next(lengths)
                tokens += [mask] * length
                gap += [g] * length
            else:
                tokens += part
                gap += [-1] * len(part)
        gap_of = torch.tensor(gap, dtype=torch.int64)
        starts.append(len(tokens))
        regions = {name: (starts[first], starts[stop]) for name, first, stop in self.names}
        return Canvas(torch.tensor(tokens, dtype=torch.int64), gap_of < 0, gap_of, gap_lengths, regions)

    def draw(self, samples: Tensor, seed: int, mask: int) -> list[Canvas]:
        """One canvas per sample number."""
        return [self.canvas(tuple(row), mask) for row in self.draw_gap_lengths(samples, seed).tolist()]


def de_novo(length_probability: Tensor) -> Template:
    """A template with nothing pinned, its length drawn from p(length) (longest + 1,)."""
    possible = length_probability.nonzero().squeeze(-1)
    low, high = max(1, int(possible[0])), int(possible[-1])
    return Template((Gap(low, high, tuple(length_probability[low : high + 1].tolist())),))
