"""What writers ask for, as constraints: each is a regular expression over the text, held in every design.

They are joined by `&`, confined by `.within("gap1")`, and written by `str`. A text begins with a space, as its tokens do.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from constraints.language.algebra import And, Constraint, Not
from constraints.language.expression import Regex
from domains.text.tokens import begins_word
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

LETTER = r"[^\W_]"
NOT_A_WORD = r"(?: [\W_]|[^ ])"  # a letter of a word that has begun, or what begins none
WORD = rf" {LETTER}"  # where a word begins


def words(low: int, high: int | None = None) -> Regex:
    """low to high words; None: no upper bound. A word begins with a letter or a digit after a space."""
    if low < 0 or (high is not None and high < low):
        raise ConditionError(f"words: expected 0 ≤ low ≤ high, got {low} and {high}")
    times = f"{{{low},{'' if high is None else high}}}"
    return Regex(rf"{NOT_A_WORD}*(?:{WORD}{NOT_A_WORD}*){times}")


def verbatim(phrase: str) -> Regex:
    """The phrase as it stands, between other words or at an end."""
    return _somewhere([phrase])


def keyword(word: str, alphabet: Alphabet | None = None) -> Regex:
    """A word in any inflection, with a small or a capital letter first.

    The inflections are the words of the alphabet with the same lemma (simplemma); without an alphabet the word itself.
    """
    if not re.fullmatch(rf"{LETTER}+(?:['’-]{LETTER}+)*", word):
        raise ConditionError(f"keyword: expected one word of letters and digits, got {word!r}")
    forms = {word} | (set() if alphabet is None else set(_by_lemma(alphabet).get(lemma(word), ())))
    return _somewhere(sorted({form for w in forms for form in (w, w[:1].upper() + w[1:])}))


def keywords(wanted: Sequence[str], alphabet: Alphabet | None = None) -> Constraint:
    """All of these words, in any order and inflection."""
    if not wanted:
        raise ConditionError("keywords: expected at least one word, got none")
    parts = [keyword(word, alphabet) for word in wanted]
    return And(tuple(parts)) if len(parts) > 1 else parts[0]


def banned(phrases: Sequence[str]) -> Constraint:
    """None of these words or phrases, with a small or a capital letter first."""
    if not phrases:
        raise ConditionError("banned: expected at least one word, got none")
    forms = [form for phrase in phrases for form in {phrase, phrase[:1].upper() + phrase[1:], phrase[:1].lower() + phrase[1:]}]
    return Not(_somewhere(sorted(forms)))


def whole_sentences() -> Regex:
    """The text ends where a sentence ends."""
    return Regex(r".*[.!?][\"'”’)]?")


def one_of(phrases: Sequence[str]) -> Regex:
    """At least one of these phrases as it stands."""
    return _somewhere(list(phrases))


def _somewhere(phrases: list[str]) -> Regex:
    for phrase in phrases:
        if not phrase.strip():
            raise ConditionError(f"expected a word or phrase, got {phrase!r}")
    inside = "|".join(re.escape(phrase.strip()) for phrase in phrases)
    return Regex(rf"(?:.*[\W_])?(?:{inside})(?:[\W_].*)?")


def lemma(word: str) -> str:
    """The dictionary form of an English word, in small letters."""
    import simplemma

    return simplemma.lemmatize(word.lower(), lang="en").lower()


@lru_cache(maxsize=8)
def _by_lemma(alphabet: Alphabet) -> dict[str, list[str]]:
    """Lemma → the words of the alphabet that have it, in small letters."""
    found: dict[str, list[str]] = {}
    for word in sorted({t[1:].lower() for t in alphabet.tokens if begins_word(t) and len(t) > 2}):
        found.setdefault(lemma(word), []).append(word)
    return found
