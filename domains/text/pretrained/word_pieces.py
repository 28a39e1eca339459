r"""BERT's word pieces as tokens of ours: "the" is " the", "##ing" is "ing", and punctuation stands where writers put it.

A word piece does not know whether a space stood before a sign. Here a sign that closes has none (".", ","), one that opens has
one (" ("), and `tidy` takes away the spaces that no writer leaves ("it' s", "well- known", "( so )"). A text whose letters are
all small in the alphabet is read in small letters without accents, as BERT's uncased models read it.

Source: Devlin et al., BERT, 2019; the pieces of a word are the longest that fit, from the left (Wu et al., 2016).
"""

import re
import unicodedata
from functools import lru_cache

from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError

CONTINUES = "##"
CLOSES = ".,;:!?)]}%'\"”’-/_…–—"  # signs without a space before them
TIDY = (
    (r"(?<=\w)(['’]) (?=(?:s|t|re|ve|ll|d|m)\b)", r"\1"),
    (r"(?<=\w)([-/_–]) (?=\w)", r"\1"),
    (r"(?<=\d)(\.) (?=\d)", r"\1"),
    (r"(?<=\d)(,) (?=\d{3}\b)", r"\1"),
    (r"([(\[{“‘#@$]) ", r"\1"),
    (r" ?\" ?([^\"]*?) ?\"", r' "\1"'),
)


def is_sign(c: str) -> bool:
    """Whether BERT takes a character for punctuation, a word of its own."""
    return (c.isascii() and c.isprintable() and not c.isalnum() and c != " ") or unicodedata.category(c).startswith("P")


def ours(piece: str) -> str:
    """A piece of BERT's vocabulary as a token of ours."""
    if piece.startswith(CONTINUES) and len(piece) > len(CONTINUES):
        return piece[len(CONTINUES) :]
    return piece if len(piece) == 1 and piece in CLOSES else f" {piece}"


def encode(text: str, alphabet: Alphabet) -> list[int]:
    """Ids of a text as it stands. Raises AlphabetError for a word that has no pieces."""
    out: list[int] = []
    small = _is_uncased(alphabet)
    for found in re.finditer(r"\s*(\S+)", text):
        apart = found.start(1) > 0  # what a text goes on with belongs to the word before it
        for word in _cut(_plain(found[1]) if small else found[1]):
            sign = len(word) == 1 and is_sign(word)
            out += _pieces(ours(word) if sign else f" {word}" if apart else word, alphabet, text, found.start(1))
            apart = True
    return out


def tidy(text: str) -> str:
    """Text as it is written, from tokens joined."""
    for pattern, put in TIDY:
        text = re.sub(pattern, put, text)
    return text.strip()


def _cut(word: str) -> list[str]:
    """Words and signs of what stands between spaces."""
    parts: list[str] = []
    begun = False
    for c in word:
        if is_sign(c) or not begun:
            parts.append(c)
        else:
            parts[-1] += c
        begun = not is_sign(c)
    return parts


def _pieces(word: str, alphabet: Alphabet, text: str, at: int) -> list[int]:
    out, start = [], 0
    while start < len(word):
        stop = next((stop for stop in range(len(word), start, -1) if word[start:stop] in alphabet.ids), start)
        if stop == start:
            said = word.strip()
            raise AlphabetError(f"text, character {at + 1}: the model has no pieces of {said!r}\n  {text}\n  {' ' * at}^")
        out.append(alphabet.ids[word[start:stop]])
        start = stop
    return out


def _plain(word: str) -> str:
    """Small letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")


@lru_cache(maxsize=8)
def _is_uncased(alphabet: Alphabet) -> bool:
    return all(token == token.lower() for token in alphabet.tokens)
