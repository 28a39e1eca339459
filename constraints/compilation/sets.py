"""The tokens that each position may hold: few different sets, and the number of each position's.

Alphabets of words have thousands of tokens, rows a few different sets: what is done to sets is done once for each.

Shapes: n rows, L length (the longest row's), V vocabulary, K sets of tokens.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from constraints.compilation.layout import Layout
from constraints.compilation.translate import token_ids
from constraints.language.expression import Allow, Ban, Constraint, Length, Pin
from constraints.language.motif import Tokens
from constraints.relations import ties
from constraints.token_sets import Numbered
from seqdiff.alphabet import Alphabet


class Sets:
    """The set of each position, (n, L)."""

    def __init__(self, alphabet: Alphabet, layouts: Sequence[Layout]):
        self.alphabet, self.layouts = alphabet, layouts
        V = len(alphabet)
        self.numbered = Numbered(V)
        self.index = np.zeros((len(layouts), max(layout.length for layout in layouts)), np.int64)
        for row, layout in enumerate(layouts):
            if layout.tokens is not None:
                ids = layout.tokens.numpy()
                for token in np.unique(ids[(ids >= 0) & (ids < V)]).tolist():
                    self.index[row, : len(ids)][ids == token] = self.numbered.number(np.arange(V) == token)

    def narrow(self, row: int, where, tokens: np.ndarray) -> None:
        """These tokens alone may stand at the positions `where` of a row."""
        given, here = self.numbered.number(tokens), self.index[row, where]
        self.index[row, where] = np.array([self.numbered.meet(k, given) for k in np.ravel(here).tolist()]).reshape(here.shape)

    def nothing(self, row: int | slice = slice(None)) -> None:
        """A row that cannot be filled."""
        self.index[row] = self.numbered.number(np.zeros(len(self.alphabet), bool))

    def place(self, placed: Sequence[tuple[Constraint, tuple[str, ...]]]) -> None:
        """Hold pins, allowed and banned tokens and lengths, each asked within a path of regions."""
        for c, path in placed:
            tokens = np.zeros(len(self.alphabet), bool)
            if isinstance(c, (Pin, Allow, Ban)):
                named = Tokens((c.token,)) if isinstance(c, Pin) else c.tokens
                tokens[sorted(token_ids(named, self.alphabet, str(c)))] = True
            tokens = ~tokens if isinstance(c, Ban) else tokens
            for row, layout in enumerate(self.layouts):
                places = layout.places(path)
                if isinstance(c, Length):
                    if not (c.low <= len(places) and (c.high is None or len(places) <= c.high)):
                        self.nothing(row)
                elif isinstance(c, Pin):
                    if c.position < len(places):
                        self.narrow(row, [places[c.position]], tokens)
                    else:
                        self.nothing(row)
                elif isinstance(c, (Allow, Ban)):
                    where = places if c.positions is None else [places[i] for i in c.positions if i < len(places)]
                    self.narrow(row, where, tokens)

    def relate(self, row: int, link: ties.Links) -> None:
        """Hold what ties say of single positions."""
        if not link.possible:
            self.nothing(row)
        for tie in link.fixed():
            self.narrow(row, [tie.first], np.arange(len(self.alphabet)) == np.array(tie.map))

    def compact(self) -> tuple[Tensor, Tensor]:
        """(index (n, L), table (K, V)): those sets that are used, "any token" first, in the order of meeting."""
        used, first = np.unique(np.append(0, self.index.ravel()), return_index=True)
        order = used[np.argsort(first)]
        place = np.zeros(len(self.numbered.sets), np.int64)
        place[order] = np.arange(len(order))
        return torch.as_tensor(place[self.index]), torch.as_tensor(np.stack([self.numbered.sets[k] for k in order]))
