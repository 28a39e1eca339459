"""Where the named regions of a row lie, and what is settled in it.

Shapes: n rows, L length, G combinations of regions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from constraints.language.algebra import ALL
from constraints.template import Canvas
from seqdiff.errors import ConditionError

Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Layout:
    """One row before it is filled.

    Attributes:
        length: L.
        regions: name → (start, stop), or (L,) bool; "all" is always there.
        tokens: (L,) ids of what is settled, V or more (a hole) elsewhere; None if nothing is.
    """

    length: int
    regions: Mapping[str, Span | Sequence[bool] | Tensor | np.ndarray] = field(default_factory=dict)
    tokens: Tensor | None = None

    def __post_init__(self):
        masks = {ALL: np.ones(self.length, bool)}
        for name, region in self.regions.items():
            if name == ALL:
                raise ConditionError(f"region {ALL!r} is the whole row; give the region another name")
            masks[name] = self._mask(name, region)
        if self.tokens is not None and self.tokens.shape != (self.length,):
            raise ConditionError(f"layout: expected {self.length} settled tokens or holes, got {tuple(self.tokens.shape)}")
        object.__setattr__(self, "regions", masks)

    def _mask(self, name: str, region) -> np.ndarray:
        if isinstance(region, tuple) and len(region) == 2 and not isinstance(region[0], bool):
            start, stop = region
            if not 0 <= start <= stop <= self.length:
                raise ConditionError(f"region {name!r}: expected 0 ≤ start ≤ stop ≤ {self.length}, got {region}")
            place = np.arange(self.length)
            return (start <= place) & (place < stop)
        mask = np.asarray(region, bool)
        if mask.shape != (self.length,):
            raise ConditionError(f"region {name!r}: expected {self.length} positions, got {mask.shape}")
        return mask

    @classmethod
    def of_canvas(cls, canvas: Canvas, regions: Mapping[str, Span] | None = None) -> "Layout":
        """The gaps of a template as regions gap1, gap2, …, its pins as settled tokens; further regions by name."""
        gap = canvas.gap.numpy()
        gaps = {f"gap{g + 1}": gap == g for g in range(len(canvas.gap_lengths))}
        return cls(len(canvas.tokens), {**gaps, **(regions or {})}, canvas.tokens)

    def mask(self, path: Sequence[str]) -> np.ndarray:
        """(L,) bool: the positions that lie in every region of the path."""
        inside = np.ones(self.length, bool)
        for name in path:
            if name not in self.regions:
                raise ConditionError(f"unknown region {name!r}; known: {', '.join(sorted(self.regions))}")
            inside = inside & np.asarray(self.regions[name])
        return inside

    def places(self, path: Sequence[str] = ()) -> list[int]:
        return np.nonzero(self.mask(path))[0].tolist()


def combinations(layouts: Sequence[Layout], names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which of the named regions a position lies in, as one number: (n, L) int64, and what each number means (G, names) bool.

    A position beyond its row's length has number 0.
    """
    index: dict[tuple[bool, ...], int] = {}
    region = np.zeros((len(layouts), max(layout.length for layout in layouts)), np.int64)
    for row, layout in enumerate(layouts):
        columns = np.stack([layout.mask((name,)) for name in names], 1) if names else np.zeros((layout.length, 0), bool)
        region[row, : layout.length] = [index.setdefault(tuple(column), len(index)) for column in columns.tolist()]
    return region, np.array(list(index) or [()], bool).reshape(max(1, len(index)), len(names))
