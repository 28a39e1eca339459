"""One way to write what a request asks for; a request may have several, among which its designs are shared evenly."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from constraints.compilation.assemble import Syntax
from constraints.template import Template, de_novo
from seqdiff.checkpoint import Checkpoint


def _nothing(tokens: Sequence[str], gap: Sequence[int]) -> str:
    return ""


@dataclass(frozen=True)
class Variant:
    """A template with what belongs to it.

    Attributes:
        text: as the domain writes it, None where nothing is pinned.
        template: the same, read.
        constraint: what the domain itself asks beside the pins, in the notation of constraints; "" for nothing.
        refusal: of a valid row, (its tokens, of each the number of its gap from 0, −1 where pinned) → why it must not be
            returned, in words; "" if nothing speaks against it.
        region: what the request itself asks is asked within this region, None: of the whole row.
        syntax: a language that every row of this template speaks, or None.
    """

    text: str | None
    template: Template
    constraint: str = ""
    refusal: Callable[[Sequence[str], Sequence[int]], str] = _nothing
    region: str | None = None
    syntax: Syntax | None = None


def free(checkpoint: Checkpoint, label: str | None) -> Variant:
    """Nothing is pinned, and rows are as long as those that the model was trained on."""
    return Variant(None, de_novo(checkpoint.length_probability(label)))
