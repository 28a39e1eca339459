"""Classes of proteins that a bundled classifier tells, on noisy input too: what a wish such as "amp >= 0.9" asks.

The figure is the classifier's p(class | x) of the finished sequence, of several chains the least. On the way its
log p(class | x_t) weighs the particles. The classifier has its own tokens, and a model of other ones (ESM's) is guided as well:
tokens are translated one by one, those that are no amino acid to X.

Shapes: R rows, L length, n sequences.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from constraints.guidance.guides import ClassWish
from domains.protein.data import BREAK, PROTEIN, UNKNOWN
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConditionError

CLASSES = {"amp": ("protein-amp", "amp")}  # figure → (bundled classifier, its class)
BATCH = 256


@lru_cache
def classifier(name: str) -> Checkpoint:
    """A bundled classifier. Raises ConditionError where it is not there."""
    from domains.registry import bundled_models

    folder = bundled_models().get(name)
    if folder is None:
        raise ConditionError(f"wish: needs the bundled classifier {name!r}, which is not there")
    return load_checkpoint(folder)


def probability(figure: str, sequences: list[str]) -> list[float]:
    """p(class | sequence) of valid sequences, in order; of several chains the least."""
    name, label = CLASSES[figure]
    return class_probability(classifier(name), label, sequences)


@torch.no_grad()
def class_probability(checkpoint: Checkpoint, label: str, sequences: list[str]) -> list[float]:
    """`probability` by any classifier of proteins."""
    network: Any = checkpoint.network
    chains = sorted({chain for sequence in sequences for chain in sequence.split(BREAK)}, key=lambda chain: (len(chain), chain))
    found: dict[str, float] = {}
    for _, group in groupby(chains, key=len):
        alike = list(group)
        for some in (alike[i : i + BATCH] for i in range(0, len(alike), BATCH)):
            x_0 = torch.tensor([PROTEIN.encode(chain) for chain in some])
            said = network.log_classes(x_0, torch.zeros(len(x_0), dtype=torch.float64))
            found |= zip(some, said[:, checkpoint.label_names.index(label)].exp().tolist(), strict=True)
    return [min(found[chain] for chain in sequence.split(BREAK)) for sequence in sequences]


@dataclass(frozen=True)
class Translated:
    """log p(class | x_t), (R,), of rows in another alphabet. A LogProbability.

    Attributes:
        table: (V + 2,) the classifier's id of each id of the rows, mask and padding among them.
    """

    wish: ClassWish
    table: Tensor

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        return self.wish(self.table[x_t], t)


def look_ahead(figure: str, alphabet: Alphabet) -> Translated:
    """What tells a figure of `CLASSES` from rows of this alphabet under noise."""
    name, label = CLASSES[figure]
    checkpoint = classifier(name)
    own = checkpoint.alphabet
    ids = [own.ids.get(token, own.ids[UNKNOWN]) for token in alphabet.tokens]
    return Translated(
        ClassWish(checkpoint.network, checkpoint.label_names.index(label)), torch.tensor([*ids, own.mask, own.pad])
    )
