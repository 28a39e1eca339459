"""A text as the parser reads it: cut into sentences, and these as the treebank cuts them; words keep their numbers.

The words and signs of a text are numbered from 1, as `metrics.words_of` cuts them. The treebank cuts "isn't" in two, and reads
"4.50" or "..." as one; a piece knows the words that it covers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from domains.text.parsing.constituents import constituents
from domains.text.parsing.parser import Parser, Tree
from domains.text.tokens import WORD, normal

CLITIC = re.compile(r"(?i)(?P<stem>.+?)(?P<clitic>n['’]t|['’](?:s|re|ve|ll|d|m))|(?P<can>can)(?P<not>not)")
LONGEST = 120  # pieces of a sentence; what is longer is read in parts


@dataclass(frozen=True)
class Piece:
    """What the treebank would call a word, and the first and last word of the text that it covers."""

    text: str
    first: int
    last: int


@dataclass(frozen=True)
class Reading:
    """The sentences of a text: their pieces, and their trees."""

    words: tuple[str, ...]
    pieces: tuple[tuple[Piece, ...], ...]
    trees: tuple[Tree, ...]

    @cached_property
    def tags(self) -> list[str]:
        """The class of each word of the text: of "isn't" that of "is"."""
        found: dict[int, str] = {}
        for pieces, tree in zip(self.pieces, self.trees, strict=True):
            for piece, tag in zip(pieces, tree.tags, strict=True):
                for word in range(piece.first, piece.last + 1):
                    found.setdefault(word, tag)
        return [found[word] for word in range(1, len(self.words) + 1)]

    @cached_property
    def spans(self) -> frozenset[tuple[str, int, int]]:
        """(kind, first, last) of constituents that begin and end where words of the text do."""
        found = set()
        for pieces, tree in zip(self.pieces, self.trees, strict=True):
            for kind, i, j in constituents(tree):
                begun = i == 0 or pieces[i - 1].last < pieces[i].first
                if begun and (j + 1 == len(pieces) or pieces[j].last < pieces[j + 1].first):
                    found.add((kind, pieces[i].first, pieces[j].last))
        return frozenset(found)


def read(texts: Sequence[str], parser: Parser) -> list[Reading]:
    """Texts as this parser reads them."""
    cut = [sentences(text) for text in texts]
    trees = iter(parser.parse([[p.text for p in sentence] for _, found in cut for sentence in found]))
    return [Reading(words, found, tuple(next(trees) for _ in found)) for words, found in cut]


def sentences(text: str) -> tuple[tuple[str, ...], tuple[tuple[Piece, ...], ...]]:
    """The words of a text, and its sentences in pieces."""
    matches = [m for m in WORD.finditer(" " + normal(text)) if m[0].strip()]
    found: list[tuple[Piece, ...]] = []
    current: list[Piece] = []
    for number, match in enumerate(matches, 1):
        word, apart = match[0].strip(), match[0][0] == " "
        ended = current and current[-1].text.strip("\"'”’)") in (".", "!", "?", "...", "")
        if current and ((apart and ended and _ends(current)) or len(current) >= LONGEST):
            found.append(tuple(current))
            current = []
        if current and not apart and _joined(current[-1].text, word, matches[number:]):
            current[-1] = Piece(current[-1].text + word, current[-1].first, number)
            continue
        clitic = CLITIC.fullmatch(word)
        parts = [part for part in clitic.groups() if part] if clitic else [word]
        current += [Piece(part, number, number) for part in parts]
    if current:
        found.append(tuple(current))
    return tuple(match[0].strip() for match in matches), tuple(found)


def _joined(before: str, word: str, after: list[re.Match]) -> bool:
    """Whether a sign or a number clings to the piece before it: the parts of 4.50, 10,000 and of "..."."""
    if word in (".", ",") and before[-1].isdigit():
        return bool(after) and after[0][0][0].isdigit()
    return (word == "." and set(before) == {"."}) or (word[0].isdigit() and before[-1] in ".," and before[0].isdigit())


def _ends(pieces: list[Piece]) -> bool:
    """Whether a sentence ends here: at its sign, or at the quotation mark or bracket after it."""
    for piece in reversed(pieces):
        if piece.text in (".", "!", "?", "..."):
            return True
        if piece.text not in "\"'”’)":
            return False
    return False
