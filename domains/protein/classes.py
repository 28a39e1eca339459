"""Classes that bundled classifiers tell, under noise too: of proteins ("amp >= 0.9") and of residues ("helix 10-25 >= 0.8").

Of a protein the figure is the classifier's p(class | x) of the finished sequence, of several chains the least; of residues the
mean of p(state_i | x) over those asked for, counted from 0, places behind the end as 0. On the way log p(class | x_t), of
residues Σ_i log p(state_i | x_t), weighs the particles. A classifier has its own tokens, and a model of other ones (ESM's) is
guided as well: tokens are translated one by one, those that are no amino acid to X.

Shapes: R rows, L length, n sequences.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from constraints.guidance.guides import ClassWish, LogProbability
from domains.classifiers import bundled_classifier, log_classes, translation
from domains.protein.data import BREAK, PROTEIN, UNKNOWN
from domains.protein.states import STATES
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConditionError

CLASSES = {"amp": ("protein-amp", "amp")}  # figure → (bundled classifier, its class)
STATES_MODEL = "protein-states"
PLACES = re.compile(r"(\d{1,4})-(\d{1,4})")


def read_places(text: str) -> tuple[int, int]:
    """First and last of "10-25". Raises ConditionError."""
    found = PLACES.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        raise ConditionError(f"wish: expected residues counted from 0 such as 10-25, got {text!r}")
    return int(found[1]), int(found[2])


def probability(figure: str, sequences: list[str]) -> list[float]:
    """p(class | sequence) of valid sequences, in order; of several chains the least."""
    name, label = CLASSES[figure]
    return class_probability(bundled_classifier(name), label, sequences)


def class_probability(checkpoint: Checkpoint, label: str, sequences: list[str]) -> list[float]:
    """`probability` by any classifier of proteins."""
    chains = sorted({chain for sequence in sequences for chain in sequence.split(BREAK)})
    said = _log_classes(checkpoint, chains)
    found = {chain: float(row[checkpoint.label_names.index(label)].exp()) for chain, row in said.items()}
    return [min(found[chain] for chain in sequence.split(BREAK)) for sequence in sequences]


def state_probability(state: str, places: tuple[int, int], sequences: list[str], checkpoint: Checkpoint | None = None):
    """Mean p(state | sequence) over the residues first … last of valid sequences, in order."""
    said, k = _log_classes(checkpoint or bundled_classifier(STATES_MODEL), sorted(set(sequences))), STATES.index(state)
    first, last = places
    return [float(said[sequence][first : last + 1, k].exp().sum()) / (last + 1 - first) for sequence in sequences]


def state_shares(sequences: list[str], checkpoint: Checkpoint | None = None) -> list[tuple[float, ...]]:
    """For each valid sequence the mean p of each of STATES over its residues; chains are looked at one by one."""
    chains = sorted({chain for sequence in sequences for chain in sequence.split(BREAK)})
    said = _log_classes(checkpoint or bundled_classifier(STATES_MODEL), chains)
    whole = [torch.cat([said[chain] for chain in sequence.split(BREAK)]) for sequence in sequences]
    return [tuple(row.exp().mean(0).tolist()) for row in whole]


def _log_classes(checkpoint: Checkpoint, texts: list[str]) -> dict[str, Tensor]:
    """What the network says of each clean text."""
    ids = {text: tuple(PROTEIN.encode(text)) for text in texts}
    found = log_classes(checkpoint, ids.values())
    return {text: found[row] for text, row in ids.items()}


@dataclass(frozen=True)
class StateWish:
    """Σ_i log p(y_i = state | x_t) over the residues first … last, as if they were independent. A LogProbability."""

    target: Any
    state: int
    places: tuple[int, int]

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        first, last = self.places
        return self.target.log_classes(x_t, t)[:, first : last + 1, self.state].sum(1)


@dataclass(frozen=True)
class Translated:
    """log p(class | x_t), (R,), of rows in another alphabet. A LogProbability.

    Attributes:
        table: (V + 2,) the classifier's id of each id of the rows, mask and padding among them.
    """

    wish: LogProbability
    table: Tensor

    def __call__(self, x_t: Tensor, t: Tensor | None = None) -> Tensor:
        return self.wish(self.table[x_t], t)


def look_ahead(figure: str, alphabet: Alphabet) -> Translated:
    """What tells a figure from rows of this alphabet under noise: a name of `CLASSES`, or a state and its residues."""
    state, _, places = figure.partition(" ")
    name, label = CLASSES.get(figure, (STATES_MODEL, state))
    checkpoint = bundled_classifier(name)
    own = checkpoint.alphabet
    if places:
        wish: LogProbability = StateWish(checkpoint.network, STATES.index(state), read_places(places))
    else:
        wish = ClassWish(checkpoint.network, checkpoint.label_names.index(label))
    return Translated(wish, translation(alphabet, own, own.ids[UNKNOWN]))
