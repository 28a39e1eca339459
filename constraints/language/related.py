"""Relations between positions or regions: alike, or different."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from constraints.language.algebra import NAME, RELATION, Constraint, bare, positions_text


@dataclass(frozen=True)
class Tie(Constraint):
    """Region b is region a, token by token: as it is, by a token → token map (others stay), or read backwards.

    Regions of unequal lengths are not tied. `Tie("all", "all", reverse=True)` is a palindrome.
    """

    region_a: str
    region_b: str
    mapping: tuple[tuple[str, str], ...] | None = None
    reverse: bool = False
    name = "tie"
    _kind = RELATION

    def __post_init__(self):
        self._need_text("a region", self.region_a)
        self._need_text("a region", self.region_b)
        if not isinstance(self.reverse, bool):
            raise self._refuse("reverse true or false", self.reverse)
        if self.mapping is None:
            return
        pairs = self.mapping.items() if isinstance(self.mapping, Mapping) else self._list("mapping", self.mapping)
        try:
            mapping = dict(pairs)
        except (TypeError, ValueError):
            raise self._refuse("a mapping {token: token}", self.mapping) from None
        for text in (*mapping, *mapping.values()):
            self._need_text("tokens of the mapping", text)
        self._set(mapping=tuple(sorted(mapping.items())))

    def _arguments(self):
        mapping = [] if self.mapping is None else [f"map={json.dumps(dict(self.mapping), ensure_ascii=False)}"]
        return [bare(self.region_a, NAME), bare(self.region_b, NAME), *mapping, *["reverse"] * self.reverse]


@dataclass(frozen=True)
class Distinct(Constraint):
    """All different: the tokens at these positions (those that exist), or the contents of these regions."""

    items: tuple[int, ...] | tuple[str, ...]
    name = "distinct"
    _kind = RELATION

    def __post_init__(self):
        items = self._list("positions or regions", self.items)
        if all(isinstance(item, str) and item for item in items):
            items = tuple(sorted(set(items)))
        else:
            for item in items:
                self._need_whole(position=item)
            items = tuple(sorted(set(items)))
        if len(items) < 2:
            raise self._refuse("at least two positions or two regions", items)
        self._set(items=items)

    def _arguments(self):
        if isinstance(self.items[0], int):
            return positions_text(self.items)  # type: ignore[arg-type]
        return [bare(str(item), NAME) for item in self.items]
