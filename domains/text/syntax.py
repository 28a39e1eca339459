"""Syntax that is wished of a text: "span 2-5 is NP", "tags are DET ADJ* NOUN VERB ANY*". The parser reads what is finished.

Words and signs are numbered from 1, as `metrics.words_of` cuts them. A span is of a kind where a constituent of that kind
begins and ends with it (`parsing.constituents`): a phrase such as NP, or a relation of Universal Dependencies such as nsubj.
Both are hard of what the parser reads, which is not always what a reader does.

Where the whole text is one hole an automaton over the lexicon holds beforehand what makes them likely: the tags, as in a hole
with parts of speech, and what a phrase begins and ends with: a PP with a preposition and a noun. The parser decides.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from domains.text.tagging import ANY, FREE, TAGS, Element, Pattern, read_pattern
from seqdiff.errors import ConditionError

SPAN = re.compile(r"(?P<first>\d{1,4})(?:-(?P<last>\d{1,4}))?:(?P<kind>[A-Za-z:]+)")
PHRASE = re.compile(r"span\s+(\d+)(?:\s*-\s*(\d+))?\s+is\s+(?:an?\s+)?([A-Za-z:]+)", re.IGNORECASE)
TAGGED = re.compile(r"tags\s+are\s+(\S.*)", re.DOTALL | re.IGNORECASE)
MOST = 400  # words of a text that can have a span
INSIDE = "DET ADJ NOUN NUM ADP CONJ ADV PRON PUNCT PRT"
SHAPES = {  # classes of a phrase's first word, of those between, of its last, and of its one word
    "NP": ("DET ADJ NOUN NUM", INSIDE, "NOUN NUM", "NOUN PRON NUM"),
    "PP": ("ADP PRT", INSIDE, "NOUN NUM PRON", ""),
    "VP": ("VERB", f"{INSIDE} VERB", "NOUN NUM PRON VERB ADJ ADV", "VERB"),
    "S": ("DET ADJ NOUN NUM PRON", f"{INSIDE} VERB", "NOUN NUM PRON VERB ADJ ADV PUNCT", ""),
    "ADJP": ("ADJ ADV", f"{INSIDE} VERB", "ADJ NOUN NUM", "ADJ"),
    "ADVP": ("ADV", INSIDE, "ADV NOUN NUM", "ADV"),
}
RELATIONS = frozenset({
    "acl", "advcl", "advmod", "amod", "appos", "aux", "case", "cc", "ccomp", "compound", "conj", "cop", "csubj", "dep", "det",
    "discourse", "dislocated", "expl", "fixed", "flat", "goeswith", "iobj", "list", "mark", "nmod", "nsubj", "nummod", "obj",
    "obl", "orphan", "parataxis", "reparandum", "vocative", "xcomp",
})  # fmt: skip


@dataclass(frozen=True)
class Span:
    """Words first to last of a text are a constituent of this kind."""

    first: int
    last: int
    kind: str


def read_span(argument: str) -> Span:
    """Read "2-5:NP" or "1:nsubj". Raises ConditionError that says what was expected."""
    found = SPAN.fullmatch(argument)
    if found is None:
        raise ConditionError(f"span: expected words and a kind such as 2-5:NP or 1-2:nsubj, got {argument!r}")
    first, last, kind = int(found["first"]), int(found["last"] or found["first"]), found["kind"]
    kind = kind.upper() if kind.upper() in SHAPES else kind.lower()
    if kind not in SHAPES and kind.partition(":")[0] not in RELATIONS:
        known = f"{', '.join(SHAPES)}, or a relation of Universal Dependencies such as nsubj"
        raise ConditionError(f"span: expected one of {known}; got {found['kind']!r}")
    if not 1 <= first <= last <= MOST:
        raise ConditionError(f"span: words are numbered from 1 to {MOST}, the last not before the first; got {argument!r}")
    return Span(first, last, kind)


def phrase(text: str) -> tuple[str, float, float] | None:
    """ "span 2-5 is NP" and "tags are DET NOUN" as a figure that must be 1, None for another text."""
    if found := PHRASE.fullmatch(text):
        first, last, kind = found.groups()
        return f"span {first}-{last or first}:{kind}", 1.0, float("inf")
    if found := TAGGED.fullmatch(text):
        return f"tags {','.join(found[1].split())}", 1.0, float("inf")
    return None


def measure(name: str, argument: str) -> Callable[[list[str]], list[float | None]]:
    """The figures `span` and `tags` of texts, 0 to 1. Raises ConditionError for an argument that cannot be read."""
    if name == "span":
        span = read_span(argument)
        return lambda texts: [overlap(span, reading.spans) for reading in readings(tuple(texts))]
    pattern = read_pattern(argument.replace(",", " "))
    return lambda texts: [likeness(pattern, reading.tags) for reading in readings(tuple(texts))]


@lru_cache(maxsize=4)
def readings(texts: tuple[str, ...]) -> list:
    """The parser's readings of texts; several wishes ask for those of the same texts."""
    from domains.text.parsing.parser import bundled
    from domains.text.parsing.reading import read

    return read(texts, bundled())


def overlap(span: Span, found: frozenset[tuple[str, int, int]]) -> float:
    """1 where the span is there, else the largest share |a ∩ b| / |a ∪ b| of words with one of the same kind."""
    best = 0.0
    for kind, first, last in found:
        if kind == span.kind:
            both = max(0, min(last, span.last) - max(first, span.first) + 1)
            best = max(best, both / (last - first + span.last - span.first + 2 - both))
    return best


def likeness(pattern: Pattern, tags: Sequence[str]) -> float:
    """1 − the fewest words to change, leave out or put in until the tags fit the pattern, as a share of the words."""
    slots = [(e.tags, k >= e.low) for e in pattern for k in range(e.high if e.high is not None else len(tags))]
    row = [0]
    for _, optional in slots:
        row.append(row[-1] + (not optional))
    for tag in tags:
        after = [row[0] + 1]
        for j, (wanted, optional) in enumerate(slots):
            changed = row[j] + (tag not in wanted and ANY not in wanted)
            after.append(min(changed, row[j + 1] + 1, after[j] + (not optional)))
        row = after
    return 1 - min(1.0, row[-1] / max(1, len(tags)))


def held(wishes: Sequence[str]) -> Pattern | None:
    """What the words of a text can be by its wishes: the tags if those are wished, else what spans begin and end with.

    None where nothing is said. Raises ConditionError for what no text can have.
    """
    asked = [figure.split(" ", 1) for figure, *_ in filter(None, (phrase(text.strip()) for text in wishes))]
    spans = shape([read_span(argument) for name, argument in asked if name == "span"])
    tags = [read_pattern(argument.replace(",", " ")) for name, argument in asked if name == "tags"]
    return tags[0] if tags else spans


def shape(spans: Sequence[Span]) -> Pattern | None:
    """What the words of a text can be if it has these spans, None where nothing is said of them.

    Raises ConditionError for spans that no words can have together, or that cross.
    """
    wanted = [span for span in spans if span.kind in SHAPES]
    for a in spans:
        for b in spans:
            if a.first < b.first <= a.last < b.last:
                raise ConditionError(f"span: {_said(a)} and {_said(b)} cross; one must hold the other, or stand beside it")
    classes = [set(TAGS) | {ANY} for _ in range(max((span.last for span in wanted), default=0))]
    for span in wanted:
        first, inside, last, alone = (set(names.split()) for names in SHAPES[span.kind])
        for word in range(span.first, span.last + 1):
            one = span.first == span.last
            allowed = alone if one else first if word == span.first else last if word == span.last else inside
            if not allowed:
                raise ConditionError(f"span: {_said(span)}: expected two words or more, got one")
            classes[word - 1] = classes[word - 1] & allowed
            if not classes[word - 1]:
                others = " and ".join(_said(s) for s in wanted if s.first <= word <= s.last)
                raise ConditionError(f"span: no class of words at {word} is left by {others}")
    if not classes:
        return None
    parts = [Element(frozenset({ANY} if ANY in kept else kept), 1, 1) for kept in classes]
    return (*parts, Element(frozenset({FREE}), 0, None))


def _said(span: Span) -> str:
    return f"{span.first}-{span.last} is {span.kind}"
