"""What is wished of a finished text: "words <= 12", "span 2-5 is NP", "score mood >= 0.5" (see `domains.wishes`).

What an automaton can hold (keywords, numbers of words, phrases that are banned) is better asked as a constraint.
"""

import re
from collections.abc import Callable
from functools import partial

from constraints.guidance.guides import Lookahead, Requirement
from domains import wishes
from domains.text import syntax
from domains.text.fields import TEXT
from domains.text.metrics import count_words, words_of
from seqdiff.alphabet import Alphabet

MEASURES: dict[str, Callable[[str], float]] = {
    "words": lambda text: float(count_words(text)),
    "characters": lambda text: float(len(text)),
    "sentences": lambda text: float(len(re.findall(r"[.!?]+(?=\s|$)", text))),
    "variety": lambda text: len({w.lower() for w in words_of(text)}) / max(1, len(words_of(text))),  # different words / words
}


def _measure(name: str, argument: str) -> wishes.Measure:
    if name in FIGURES.arguments:
        of_texts = syntax.measure(name, argument)
        return lambda rows: of_texts([said(row) for row in rows])
    return lambda rows: [MEASURES[name](said(row)) for row in rows]


def said(row: str) -> str:
    """The text of a row, without the fields before it."""
    return row.rpartition(TEXT)[2].strip()


FIGURES = wishes.Figures(
    names=tuple(MEASURES),
    scale={"characters": 5.0, "variety": 0.1, "score": 0.1, "span": 0.25, "tags": 0.1},
    examples="'words <= 12' or '2 <= sentences <= 3 * 2'",
    valid=lambda row: bool(said(row)),
    measure=lambda name, argument: _measure(name, argument),
    arguments={"span": "words and a kind such as 2-5:NP", "tags": "parts of speech such as DET,ADJ*,NOUN"},
    phrase=syntax.phrase,
    more="'span 2-5 is NP', 'tags are DET ADJ* NOUN VERB', 'tags DET,NOUN,VERB >= 0.9' or 'score NAME >= 0.5'",
    normal=said,
)
Wish = partial(wishes.Wish, FIGURES)


def read_wish(text: str) -> wishes.Wish:
    """Raises ConditionError that says what can be wished."""
    return wishes.read_wish(text, FIGURES)


def guide_of(text: str, alphabet: Alphabet) -> Requirement | Lookahead:
    """A wish as a part of a guide."""
    return wishes.guide_of(read_wish(text), alphabet)
