"""What a text tells, as fields before it in the same row: `[food] French[area] riverside[text] By the river there is …`.

One joint model of fields and text answers both ways: pin the fields and the text is written, pin the text and the fields are
read. Some or all fields are left out of training rows, so that any part of them may be given, or none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domains.text.tokens import encode, is_marker, normal
from seqdiff.alphabet import Alphabet

TEXT = "[text]"


@dataclass(frozen=True)
class Example:
    """A text with its fields, in order, and what of it must stay on one side of the split.

    Attributes:
        key: examples with equal keys are held out together (a meaning, a set of keywords).
    """

    text: str
    fields: tuple[tuple[str, str], ...]
    label: str
    key: str


def marker(field: str) -> str:
    return f"[{field}]"


def row(text: str, fields: Sequence[tuple[str, str]], alphabet: Alphabet) -> list[int]:
    """Ids of fields and text; of the text alone where there are no fields."""
    ids: list[int] = []
    for name, value in fields:
        ids += [alphabet.ids[marker(name)], *encode(" " + normal(value), alphabet)]
    if fields:
        ids.append(alphabet.ids[TEXT])
    return ids + encode(" " + normal(text), alphabet)


def parted(tokens: Sequence[str]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """Fields (name, tokens of the value) and tokens of the text of a row."""
    fields: list[tuple[str, list[str]]] = []
    current: list[str] = []
    text = current
    for token in tokens:
        if not is_marker(token):
            current.append(token)
            continue
        current = []
        if token == TEXT:
            text = current
        else:
            fields.append((token[1:-1], current))
            text = []
    return fields, text
