"""What is wished of a finished protein, in words:

    valid             charge >= 3            5 <= pi <= 6           amp >= 0.9           score fold >= 0.5
    helix 10-25 >= 0.8                       strand 4-9 >= 0.5      coil 0-3 >= 0.5
    bias {"K": 0.5}   profile [{"A": 0.31, …}, …] * 0.5

Ranges are soft, "valid" is hard: no X, no chain without residues (see `domains.wishes`). What bundled
classifiers give (`classes`: `amp`, and states of residues, counted from 0) they also look ahead for; preferences of residues
are `profile`'s.
What an automaton can hold (counts, motifs, residue charge) is better asked as a constraint: it then holds in every design.
"""

from functools import lru_cache, partial

from constraints.guidance.guides import Lookahead, Requirement
from domains import wishes
from domains.protein.classes import CLASSES, look_ahead, probability, read_places, state_probability
from domains.protein.data import PROTEIN
from domains.protein.profile import Bias, is_profile, profile_guide
from domains.protein.properties import METRICS, describe
from domains.protein.states import STATES
from seqdiff.alphabet import Alphabet

SCALE = {
    "length": 10.0,
    "weight": 1000.0,
    "pi": 0.5,
    "gravy": 0.2,
    "instability": 5.0,
    "moment": 0.1,
    "low_complexity": 0.1,
    "amp": 0.1,
    **dict.fromkeys(STATES, 0.1),
    "score": 0.1,
}


@lru_cache(maxsize=100_000)
def look(sequence: str):
    return describe(sequence)


def _measure(name: str, argument: str) -> wishes.Measure:
    if argument:
        places = read_places(argument)
        return lambda texts: list(state_probability(name, places, texts))
    if name in CLASSES:
        return lambda texts: list(probability(name, texts))
    return lambda texts: [float(look(text).metrics[name] or 0.0) for text in texts]


FIGURES = wishes.Figures(
    names=(*METRICS, *CLASSES),
    scale=SCALE,
    examples="'charge >= 3', '5 <= pi <= 6' or 'amp >= 0.9'",
    valid=lambda sequence: look(sequence).valid,
    measure=_measure,
    arguments=dict.fromkeys(STATES, "residues counted from 0 such as 10-25"),
    more=(
        "'helix 10-25 >= 0.8' (strand, coil), 'bias {\"K\": 0.5}', 'profile [{\"A\": 0.3}, …]', "
        "or 'score NAME >= 0.5' with a scorer that was given"
    ),
)
Wish = partial(wishes.Wish, FIGURES)


def read_wish(text: str) -> wishes.Wish | Bias:
    """Raises ConditionError that says what can be wished."""
    return profile_guide(text, PROTEIN) if is_profile(text) else wishes.read_wish(text, FIGURES)


def guide_of(text: str, alphabet: Alphabet) -> Requirement | Lookahead | Bias:
    """A wish as a part of a guide."""
    if is_profile(text):
        return profile_guide(text, alphabet)
    wish = wishes.read_wish(text, FIGURES)
    told = wish.figure is not None and wish.figure.partition(" ")[0] in (*CLASSES, *STATES)
    return wishes.guide_of(wish, alphabet, look_ahead(str(wish.figure), alphabet) if told and wish.low > 0 else None)
