"""How long texts are that tell so many things: p(length of the text | class, number of fields), from the training rows."""

import json
from collections import defaultdict

import numpy as np

from constraints.template import Gap
from domains.text.fields import TEXT
from domains.text.template import TextTemplate, lay_out
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.training.data import EncodedData

FILE = "lengths.json"


def count(data: EncodedData) -> dict[str, dict[str, list[int]]]:
    """class → number of fields → how many training texts have 0, 1, 2, … tokens."""
    found: dict[str, dict[str, list[int]]] = defaultdict(dict)
    names = data.label_names or ("all",)
    markers = [i for token, i in data.alphabet.ids.items() if token.startswith("[") and token != TEXT]
    longest = int(data.lengths.max(initial=0))
    row_of = np.repeat(np.arange(len(data.labels)), data.lengths)
    fields = np.bincount(row_of[np.isin(data.tokens, markers)], minlength=len(data.labels))
    text = data.lengths.copy()
    if TEXT in data.alphabet.ids:
        at = np.flatnonzero(data.tokens == data.alphabet.ids[TEXT])
        text[row_of[at]] = data.offsets[row_of[at] + 1] - at - 1
    for label, name in enumerate(names):
        for n in np.unique(fields[(data.labels == label) & ~data.held_out]).tolist():
            chosen = (data.labels == label) & (fields == n) & ~data.held_out
            found[name][str(n)] = np.bincount(text[chosen], minlength=longest + 1).tolist()
    return found


def law(checkpoint: Checkpoint, label: str | None, fields: int) -> np.ndarray:
    """Counts by length of the text, for the number of fields that is nearest to `fields` among those seen."""
    path = checkpoint.folder / FILE if checkpoint.folder else None
    if path is None or not path.is_file():
        probability = checkpoint.length_probability(label)
        return probability.numpy()
    table = json.loads(path.read_text())
    shown = [table[label]] if label in table else list(table.values())
    total = np.zeros(0)
    for by_fields in shown:
        nearest = min(by_fields, key=lambda n: (abs(int(n) - fields), int(n)))
        counts = np.asarray(by_fields[nearest], float)
        width = max(len(total), len(counts))
        total = np.pad(total, (0, width - len(total))) + np.pad(counts, (0, width - len(counts)))
    return total


def free_gap(read: TextTemplate, checkpoint: Checkpoint, label: str | None) -> Gap:
    """What `{}` stands for in a template: the lengths that make the text as long as those that were seen, and fit the model.

    Each `{}` of several has an equal share; other holes count with their least length.
    """
    holes = [hole for hole in read.holes if hole.low is None]
    if not holes:
        return Gap(0, 0)
    alphabet: Alphabet = checkpoint.alphabet
    rest, most = lay_out(read, alphabet, Gap(0, 0)).length_range
    before = next((k for k, (_, item) in enumerate(read.items) if item == TEXT), -1) + 1
    prefix = TextTemplate(read.items[:before])
    rest -= lay_out(prefix, alphabet, Gap(0, 0)).length_range[0] if before else 0
    counts = law(checkpoint, label, len(read.fields))
    lengths = np.flatnonzero(counts)
    room = max(1, (checkpoint.max_length - most) // len(holes))
    low = min(max(0, -(-(int(lengths.min(initial=1)) - rest) // len(holes))), room)
    high = min(max(low, 1, (int(lengths.max(initial=1)) - rest) // len(holes)), room)
    if len(holes) > 1:
        return Gap(low, high)
    low = max(low, 1)
    weights = tuple(float(counts[rest + n]) if rest + n < len(counts) else 0.0 for n in range(low, high + 1))
    return Gap(low, high, weights if sum(weights) > 0 else None)
