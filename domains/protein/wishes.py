"""What is wished of a finished protein, in words: "valid", "charge >= 3", "5 <= pi <= 6", "score fold >= 0.5".

Ranges are soft, "valid" is hard: no X, no chain without residues (see `domains.wishes`).
What an automaton can hold (counts, motifs, residue charge) is better asked as a constraint: it then holds in every design.
"""

from functools import lru_cache, partial

from constraints.guidance.guides import Lookahead, Requirement
from domains import wishes
from domains.protein.properties import METRICS, describe
from seqdiff.alphabet import Alphabet

SCALE = {"length": 10.0, "weight": 1000.0, "pi": 0.5, "gravy": 0.2, "instability": 5.0, "score": 0.1}


@lru_cache(maxsize=100_000)
def look(sequence: str):
    return describe(sequence)


FIGURES = wishes.Figures(
    names=METRICS,
    scale=SCALE,
    examples="'charge >= 3', '5 <= pi <= 6' or 'instability <= 40 * 2'",
    valid=lambda sequence: look(sequence).valid,
    measure=lambda name, _: lambda texts: [float(look(text).metrics[name] or 0.0) for text in texts],
)
Wish = partial(wishes.Wish, FIGURES)


def read_wish(text: str) -> wishes.Wish:
    """Raises ConditionError that says what can be wished."""
    return wishes.read_wish(text, FIGURES)


def guide_of(text: str, alphabet: Alphabet) -> Requirement | Lookahead:
    """A wish as a part of a guide."""
    return wishes.guide_of(read_wish(text), alphabet)
