r"""What writers ask for, as constraints: each is a regular expression over the text, held in every design.

They are joined by `&`, confined by `.within("gap1")`, and written by `str`. A text begins with a space, as its tokens do. A
word begins with a letter or a digit after a space; beside a phrase stands no letter and no digit.

Over bytes and byte pairs a pattern reads the printable letters that stand for bytes (`domains.text.tokens`): "Ġ" is the space,
and every byte beyond ASCII counts as a letter.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from constraints.language.algebra import And, Constraint, Not
from constraints.language.expression import Ban, Regex
from constraints.language.motif import Tokens
from domains.text.tokens import as_bytes, begins_word, bytes_beyond_ascii, encode, kind_of, normal
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, ConditionError

MOST_WORDS = 200
ONE_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


@dataclass(frozen=True)
class Spelling:
    """How a pattern says a space, a letter or digit, what is none, and what is neither that nor a space."""

    space: str = " "
    letter: str = r"[^\W_]"
    other: str = r"[\W_]"
    sign: str = r"(?:[^\w ]|_)"
    bytes: bool = False

    def of(self, text: str) -> str:
        """A text as a pattern."""
        return re.escape(as_bytes(text) if self.bytes else text)


@lru_cache(maxsize=8)
def spelling(alphabet: Alphabet | None) -> Spelling:
    """That of an alphabet; of words and characters without one."""
    if alphabet is None or kind_of(alphabet) not in ("bytes", "bpe"):
        return Spelling()
    space, letters = as_bytes(" "), "0-9A-Za-z" + re.escape("".join(bytes_beyond_ascii()))
    return Spelling(space, f"[{letters}]", f"[^{letters}]", f"[^{letters}{space}]", True)


def words(low: int, high: int | None = None, alphabet: Alphabet | None = None) -> Regex:
    """low to high words; None: no upper bound. Before the first word no letter stands alone."""
    if low < 0 or (high is not None and high < low):
        raise ConditionError(f"words: expected 0 ≤ low ≤ high, got {low} and {high}")
    if max(low, high or 0) > MOST_WORDS:
        raise ConditionError(f"words: expected at most {MOST_WORDS}, got {max(low, high or 0)}")
    s = spelling(alphabet)
    inside = rf"(?:{s.space}{s.other}|[^{s.space}])*"  # the rest of a word, and what begins none
    begins = rf"{s.space}{s.letter}"
    times = f"{{{low},{'' if high is None else high}}}"
    return Regex(rf"(?:(?:{s.space}{s.other}|{s.sign}){inside})?(?:{begins}{inside}){times}")


def verbatim(phrase: str, alphabet: Alphabet | None = None) -> Regex:
    """The phrase as it stands, between other words or at an end."""
    return _somewhere([_writable(phrase, alphabet)], alphabet)


def keyword(word: str, alphabet: Alphabet | None = None) -> Regex:
    """A word in any inflection, with a small or a capital letter first.

    The inflections are the words of the alphabet with the same lemma (simplemma); without an alphabet of words the word itself.
    """
    if not ONE_WORD.fullmatch(word := normal(word)):
        raise ConditionError(f"keyword: expected one word of letters and digits, got {word!r}")
    forms = {_writable(word, alphabet)}
    if alphabet is not None and not re.search("['’]", word):  # "its" is no form of "it's", though they share a lemma
        forms |= set(_by_lemma(alphabet).get(lemma(word), ()))
    return _somewhere(sorted({form for w in forms for form in (w, w[:1].upper() + w[1:])}), alphabet)


def keywords(wanted: Sequence[str], alphabet: Alphabet | None = None) -> Constraint:
    """All of these words, in any order and inflection."""
    if not wanted:
        raise ConditionError("keywords: expected at least one word, got none")
    parts = [keyword(word, alphabet) for word in wanted]
    return And(tuple(parts)) if len(parts) > 1 else parts[0]


def banned(phrases: Sequence[str], alphabet: Alphabet | None = None) -> Constraint:
    """None of these words or phrases, in small letters, in capitals, with a capital first or as given."""
    if not phrases:
        raise ConditionError("banned: expected at least one word, got none")
    forms = {form for p in phrases for form in (p, p[:1].upper() + p[1:], p[:1].lower() + p[1:], p.lower(), p.upper())}
    return Not(_somewhere(sorted(forms | {p.lower().capitalize() for p in phrases}), alphabet))


def whole_sentences(alphabet: Alphabet | None = None) -> Regex:
    """The text ends where a sentence ends."""
    quotes = "|".join(map(spelling(alphabet).of, "\"'”’)"))
    return Regex(rf".*[.!?](?:{quotes})?")


def one_of(phrases: Sequence[str], alphabet: Alphabet | None = None) -> Regex:
    """At least one of these phrases as it stands."""
    return _somewhere(list(phrases), alphabet)


def new_word(alphabet: Alphabet) -> Ban:
    """What begins does not go on with the word before it: its first token is no letter or digit without a space."""
    s = spelling(alphabet)
    return Ban(Tokens(tuple(token for token in alphabet.tokens if re.match(s.letter, token))), (0,))


def _somewhere(phrases: list[str], alphabet: Alphabet | None) -> Regex:
    for phrase in phrases:
        if not phrase.strip():
            raise ConditionError(f"expected a word or phrase, got {phrase!r}")
    s = spelling(alphabet)
    inside = "|".join(dict.fromkeys(s.of(normal(phrase)) for phrase in phrases))
    return Regex(rf"(?:.*{s.other})?(?:{inside})(?:{s.other}.*)?")


def _writable(phrase: str, alphabet: Alphabet | None) -> str:
    """The phrase. Raises ConditionError where the model lacks a character of it."""
    if alphabet is not None and phrase.strip():
        try:
            encode(f" {normal(phrase)}", alphabet)
        except AlphabetError as error:
            raise ConditionError(f"{phrase!r} cannot be written: {error}") from None
    return phrase


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
