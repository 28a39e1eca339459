"""Parts of speech in a template: `The {ADJ* NOUN} near {DET NOUN}.` A hole holds words of these classes, by construction.

    TAG      one token of the class; `(ADJ|NOUN)` one of either, ANY any whole word or sign
    TAG*     none to four, TAG+ one to four, TAG? none or one

A token's classes are those that MASC gives to the word in three tenths of its occurrences or more (`lexicon.json.xz`, made by
`domains.text.lexicon`). Digits are NUM; a word that MASC lacks is a NOUN (most are names); what joins words by an apostrophe
is ANY alone. What is spelled in characters or clings to the word before it has no class. A class is not a reading: "watch" may
stand for VERB where a reader sees a noun; what the parser reads can be wished (`domains.text.syntax`).
"""

import json
import lzma
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from constraints.automata.automaton import Automaton
from constraints.automata.exploration import Budget
from constraints.automata.regular import determinised
from constraints.compilation.assemble import Syntax
from constraints.template import Gap, Template
from domains.text.tokens import begins_word, is_marker, kind_of
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

PENN = {
    "NOUN": "NN NNS NNP NNPS",
    "VERB": "VB VBD VBG VBN VBP VBZ MD",
    "ADJ": "JJ JJR JJS AFX",
    "ADV": "RB RBR RBS WRB",
    "PRON": "PRP PRP$ WP WP$",
    "DET": "DT PDT WDT EX",
    "ADP": "IN",
    "NUM": "CD",
    "CONJ": "CC",
    "PRT": "RP TO POS",
    "PUNCT": ", . : `` '' \" ' - ... -LRB- -RRB- LRB ( ) # $ HYPH NFP",
    "X": "FW LS SYM UH ADD GW",
}
TAGS = tuple(PENN)
BY_PENN = {penn: tag for tag, names in PENN.items() for penn in names.split()}
ANY = "ANY"
FREE = "FREE"  # any token, pieces of words among them; cannot be asked for in a template
MOST = 4  # of * and +
LEXICON = Path(__file__).parent / "models" / "parts-of-speech" / "lexicon.json.xz"
ELEMENT = re.compile(r"\s*(?:\(\s*(?P<several>[A-Z]+(?:\s*\|\s*[A-Z]+)*)\s*\)|(?P<one>[A-Z]+))(?P<times>[*+?]?)\s*")
TIMES = {"": (1, 1), "*": (0, MOST), "+": (1, MOST), "?": (0, 1)}


@dataclass(frozen=True)
class Element:
    """low to high tokens, each of one of these classes; high None: any number."""

    tags: frozenset[str]
    low: int
    high: int | None


Pattern = tuple[Element, ...]


def read_pattern(text: str) -> Pattern:
    """Read "DET ADJ* NOUN". Raises ConditionError that says what was expected."""
    elements, place = [], 0
    while place < len(text):
        found = ELEMENT.match(text, place)
        if found is None:
            example = "expected classes such as DET ADJ* (NOUN|PRON)"
            raise ConditionError(f"parts of speech, character {place + 1}: {example}, got {text[place:]!r}")
        tags = frozenset(tag.strip() for tag in (found["several"] or found["one"]).split("|"))
        if unknown := sorted(tags - {*TAGS, ANY}):
            raise ConditionError(f"parts of speech: expected some of {', '.join(TAGS)} or {ANY}, got {unknown[0]!r}")
        elements.append(Element(tags, *TIMES[found["times"]]))
        place = found.end()
    if not elements:
        raise ConditionError("parts of speech: expected at least one class such as NOUN, got none")
    return tuple(elements)


def gap(pattern: Pattern) -> Gap:
    """As many tokens as the pattern has room for."""
    return Gap(sum(e.low for e in pattern), max(1, sum(e.high or 0 for e in pattern)))


def fits(pattern: Pattern, tokens: Sequence[str]) -> bool:
    """Whether tokens can be read so, class by class: plain Python, which shares nothing with the automaton."""
    classes = [tags_of(token) for token in tokens]
    ends = {0}
    for e in pattern:
        after = set()
        for end in ends:
            for times in range(len(classes) - end + 1 if e.high is None else e.high + 1):
                if times >= e.low:
                    after.add(end + times)
                if end + times >= len(classes) or not (FREE in e.tags or e.tags & classes[end + times]):
                    break
        ends = after
    return len(classes) in ends


# ── the lexicon ──


@lru_cache(maxsize=1)
def lexicon() -> dict[str, frozenset[str]]:
    """Word → its classes, as MASC has them."""
    table = json.loads(lzma.decompress(LEXICON.read_bytes()))
    return {word: frozenset(tags.split()) for tags, words in table.items() for word in words.split()}


def tags_of(token: str) -> frozenset[str]:
    """The classes of a token, with ANY among them; none for a marker and for pieces of words."""
    word = token.strip()
    letter = len(word) == 1 and word.isalpha() and word not in "aAI"
    if not word or letter or is_marker(token) or (word[0].isalnum() and not begins_word(token)):
        return frozenset()
    if word.isdigit():
        return frozenset({"NUM", ANY})
    if len(word) > 1 and ("'" in word or "’" in word):
        return frozenset({ANY})
    known = lexicon().get(word) or lexicon().get(word.lower())
    return (known or frozenset({"NOUN"} if word.isalpha() else ())) | {ANY}


@lru_cache(maxsize=4)
def _members(alphabet: Alphabet) -> np.ndarray:
    """(classes + 1, V) bool: the tokens of each of TAGS, and of ANY."""
    found = [tags_of(token) for token in alphabet.tokens]
    return np.array([[tag in tags for tags in found] for tag in (*TAGS, ANY)])


# ── the automaton ──


def syntax(template: Template, patterns: Sequence[Pattern | None], alphabet: Alphabet) -> Syntax | None:
    """What rows of a template must be so that each hole k holds patterns[k]; None where no hole has one.

    Positions that are pinned read as one sign of their own, which keeps the holes apart.
    """
    if not any(patterns):
        return None
    if kind_of(alphabet) != "words":
        raise ConditionError(f"parts of speech: expected a model over words, got one over {kind_of(alphabet)}")
    member = _members(alphabet)
    columns, kind = np.unique(member, axis=1, return_inverse=True)  # (classes + 1, K)
    K = columns.shape[1]
    pinned, free = np.arange(K + 1) == K, np.arange(K + 1) < K
    read: list[tuple[np.ndarray, bool, bool]] = []  # of each position: its signs, may it be left out, may it be repeated
    waiting = iter(patterns)
    beside, last = False, None  # whether a hole came just before, and its pattern
    for part in template.parts:
        if not isinstance(part, Gap):
            read.append((pinned, False, True))
            beside = False
            continue
        pattern = next(waiting)
        if beside and (pattern or last):
            raise ConditionError(
                "parts of speech: two holes stand side by side; write them as one, such as {ADJ NOUN VERB ANY*}"
            )
        beside, last = True, pattern
        if pattern is None:
            read.append((free, True, True))
        else:
            for e in pattern:
                named = [(*TAGS, ANY).index(tag) for tag in e.tags - {FREE}]
                signs = free if FREE in e.tags else np.append(columns[named].any(0), False)
                if not signs.any():
                    raise ConditionError(f"parts of speech: the model has no word that is {'|'.join(sorted(e.tags))}")
                read += [(signs, False, False)] * e.low
                read += [(signs, True, True)] if e.high is None else [(signs, True, False)] * (e.high - e.low)
    classes = np.stack([kind.reshape(-1), np.full(len(alphabet), K)])
    return Syntax("parts of speech", _in_order(classes, K + 1, read), "pins")


def _in_order(classes: np.ndarray, K: int, read: list[tuple[np.ndarray, bool, bool]]) -> Automaton:
    """Rows that read the positions in order, from the first to the last."""
    n = len(read) + 1
    moves, skip = np.zeros((n, K, n), bool), np.eye(n, dtype=bool)  # skip[i, j]: from i to j reading nothing
    for j, (signs, optional, repeated) in enumerate(read):
        moves[j, :, j + 1] = signs
        if repeated:
            moves[j, :, j] = signs
        if optional:
            skip[:, j + 1] |= skip[:, j]
    closed = (moves.reshape(-1, n).astype(np.float32) @ skip > 0).reshape(moves.shape)
    return determinised(classes, closed, skip[0], np.arange(n) == n - 1, Budget(), "parts of speech")
