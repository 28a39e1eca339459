"""What a gap of a molecule may hold, one automaton for all templates; and a denoiser that is asked once for rows alike."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from constraints.automata.automaton import Automaton
from constraints.automata.chain import Chain
from domains.smiles.tokens import is_ring_label
from domains.smiles.wellformed import well_formed
from seqdiff.alphabet import Alphabet

LABELS, DEPTH = 3, 4  # rings and nested branches that a gap may open by itself


class Once:
    """A denoiser that is asked once for rows of one x_t and the same positions, so that draws of one template share passes.

    One that reads the time is asked for every row.
    """

    def __init__(self, denoiser):
        self.denoiser = denoiser
        self.timeless = not getattr(getattr(denoiser, "config", None), "time_input", True)

    def __call__(self, x_t: Tensor, t: Tensor, label: Tensor | None, lengths, positions: Tensor) -> Tensor:
        if not self.timeless:
            return self.denoiser(x_t, t, label, lengths, positions)
        same = torch.cat([x_t, positions], dim=1).unique(dim=0, return_inverse=True)[1]
        rows = torch.arange(len(x_t))
        first = torch.full((int(same.max()) + 1,), len(x_t)).scatter_reduce(0, same, rows, "amin")
        of = None if label is None else label[first]
        return self.denoiser(x_t[first], t[first], of, lengths, positions[first])[same]


@lru_cache(maxsize=4)
def ring_labels(alphabet: Alphabet) -> list[str]:
    return sorted((token for token in alphabet.tokens if is_ring_label(token)), key=lambda token: int(token.strip("%()")))


@lru_cache(maxsize=4)
def shared_syntax(alphabet: Alphabet) -> tuple[Chain, int]:
    """Well-formed SMILES for the gaps of any template, and the number of the region of pinned positions.

    Region k: a free position of a template that uses the first k ring labels; the gap's are the next ones. No dots in gaps.
    """
    labels = ring_labels(alphabet)
    count = min(LABELS, len(labels) - 1)
    base = well_formed(alphabet, count, DEPTH)
    free, pinned = base.classes
    never = free[alphabet.ids[labels[-1]]]  # beyond the first `count`
    rows = []
    for taken in range(len(labels) + 1):
        row = free.copy()
        row[[alphabet.ids[token] for token in labels]] = never
        for place, token in enumerate(labels[taken : taken + count]):
            row[alphabet.ids[token]] = free[alphabet.ids[labels[place]]]
        if "." in alphabet.ids:
            row[alphabet.ids["."]] = never
        rows.append(row)
    automaton = Automaton(np.stack([*rows, pinned]), base.delta, base.start, base.accepting)
    return Chain(automaton), len(rows)
