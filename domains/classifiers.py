"""Bundled classifiers, whatever the domain: loaded, asked of finished sequences, and of rows in the tokens of another model."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from domains.registry import bundled_models
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConditionError

BATCH = 256


@lru_cache
def bundled_classifier(name: str) -> Checkpoint:
    """Raises ConditionError that says how to make it where it is not there."""
    folder = bundled_models().get(name)
    if folder is None:
        domain = name.partition("-")[0]
        raise ConditionError(
            f"wish: needs the classifier {name!r} in domains/{domain}/models, where it is not; `seqdiff train {name}` makes it"
        )
    return load_checkpoint(folder)


@torch.no_grad()
def log_classes(checkpoint: Checkpoint, rows: Iterable[Sequence[int]]) -> dict[tuple[int, ...], Tensor]:
    """What the network says of each clean row of ids, (K,) or (L, K), those of a length together; of empty rows nothing."""
    network: Any = checkpoint.network
    found: dict[tuple[int, ...], Tensor] = {}
    for _, group in groupby(sorted({tuple(row) for row in rows if len(row)}, key=len), key=len):
        alike = list(group)
        for some in (alike[i : i + BATCH] for i in range(0, len(alike), BATCH)):
            t = torch.zeros(len(some), dtype=torch.float64)
            found |= zip(some, network.log_classes(torch.tensor(some), t), strict=True)
    return found


def translation(alphabet: Alphabet, own: Alphabet, other: int) -> Tensor:
    """(V + 2,) the classifier's id of each id of an alphabet, hole and padding among them; `other` of a token that it lacks."""
    return torch.tensor([*(own.ids.get(token, other) for token in alphabet.tokens), own.mask, own.pad])
