"""What is wished of a finished text, in words (see `domains.wishes`):

    words <= 12          positive >= 0.9          sentiment is positive
    span 2-5 is NP       tags are DET NOUN VERB   score mood >= 0.5

What a bundled classifier tells (`sentiment`) also leads on the way. What an automaton can hold (keywords, numbers of words,
phrases that are banned) is better asked as a constraint.
"""

import re
from collections.abc import Callable
from functools import partial

from constraints.guidance.guides import Lookahead, Requirement
from domains import wishes
from domains.text import sentiment, syntax
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
    if name in sentiment.CLASSES:
        return lambda rows: sentiment.probability(name, [said(row) for row in rows])
    return lambda rows: [MEASURES[name](said(row)) for row in rows]


def _phrase(text: str) -> tuple[str, float, float] | None:
    return syntax.phrase(text) or sentiment.phrase(text)


def said(row: str) -> str:
    """The text of a row, without the fields before it."""
    return row.rpartition(TEXT)[2].strip()


FIGURES = wishes.Figures(
    names=(*MEASURES, *sentiment.CLASSES),
    scale={"characters": 5.0, "variety": 0.1, "score": 0.1, "span": 0.25, "tags": 0.1, **dict.fromkeys(sentiment.CLASSES, 0.1)},
    examples="'words <= 12', '2 <= sentences <= 3 * 2' or 'positive >= 0.9'",
    valid=lambda row: bool(said(row)),
    measure=lambda name, argument: _measure(name, argument),
    arguments={"span": "words and a kind such as 2-5:NP", "tags": "parts of speech such as DET,ADJ*,NOUN"},
    phrase=_phrase,
    more="'sentiment is positive', 'span 2-5 is NP', "
    "'tags are DET ADJ* NOUN VERB', 'tags DET,NOUN,VERB >= 0.9' or 'score NAME >= 0.5'",
    normal=said,
)
Wish = partial(wishes.Wish, FIGURES)


def read_wish(text: str) -> wishes.Wish:
    """Raises ConditionError that says what can be wished."""
    return wishes.read_wish(text, FIGURES)


def guide_of(text: str, alphabet: Alphabet) -> Requirement | Lookahead:
    """A wish as a part of a guide."""
    wish = read_wish(text)
    ahead = led_by(wish, alphabet)
    return wishes.guide_of(wish, alphabet, ahead, tilts=ahead is not None)


def led_by(wish: wishes.Wish, alphabet: Alphabet) -> sentiment.Said | None:
    """What tells a wish of a class from unfinished rows, with a gradient; None for another wish."""
    if wish.figure not in sentiment.CLASSES:
        return None
    name = sentiment.towards(wish.figure, wish.low, wish.high)
    return None if name is None else sentiment.said(name, alphabet, wishes.STRENGTH if wish.hard else wish.strength)
