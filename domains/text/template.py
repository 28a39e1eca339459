"""Text templates: words that are pinned, holes between them, and fields before them that say what the text tells.

    The {2-4} near {5-12}.
    [food] Japanese [area] riverside [text] {}
    [name] The Mill [price] {1-3} [text] The Mill is a cheap pub.

`_` is a hole of one token and `{n}`, `{a-b}` of so many tokens; `{n words}`, `{a-b words}` of so many words; `{}` is a hole of
any length that the model has seen; `{DET ADJ* NOUN}` holds these parts of speech (`domains.text.tagging`). A field is named as
in training; its value may be pinned or a hole. A backslash makes the next character a letter like others. White space beside
a hole belongs to what the hole holds, which then begins a word of its own; punctuation stays where it is.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from constraints.template import Gap, Template
from domains.text.fields import TEXT
from domains.text.tagging import Pattern, gap, read_pattern
from domains.text.tokens import encode, is_marker
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, ConditionError, TemplateError, marked

HOLE = re.compile(
    r"_|\{\s*(?:(?P<low>\d{1,6})\s*(?:-\s*(?P<high>\d{1,6})\s*)?(?P<words>words?)?\s*|(?P<tags>[A-Z(][A-Z()|*+?\s]*))?\}"
)
FIELD = re.compile(r"\[[a-z]+\]")
LITERAL = re.compile(r"(?:[^{_\[\\]|\\.)+", re.DOTALL)
MAX_CHARACTERS = 10_000
TOKENS_A_WORD = 3  # a hole of words has room for so many tokens a word, on average, since some words are spelled


@dataclass(frozen=True)
class Hole:
    """A hole as it was written.

    Attributes:
        low, high: how many, None in `{}`.
        words: whether they count words, not tokens.
        apart: whether white space parts it from what stands before it in the same text or field.
        tags: parts of speech, or None.
    """

    low: int | None
    high: int | None
    words: bool
    apart: bool = False
    tags: Pattern | None = None


@dataclass(frozen=True)
class TextTemplate:
    """What a template says: in order, a field's or the text's marker, pinned words, or a hole."""

    items: tuple[tuple[str, str | Hole], ...]

    @property
    def holes(self) -> list[Hole]:
        return [item for _, item in self.items if isinstance(item, Hole)]

    @property
    def fields(self) -> list[str]:
        return [str(item)[1:-1] for kind, item in self.items if kind == "marker" and item != TEXT]


def read_template(text: str) -> TextTemplate:
    """Read a template. Raises TemplateError with the place marked."""
    if len(text) > MAX_CHARACTERS:
        raise TemplateError(f"template: expected at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
    if not text.strip():
        raise TemplateError("template: expected words and holes, got an empty text; leave it out to design freely")
    items = tuple(_items(text))
    markers = [item for kind, item in items if kind == "marker"]
    if markers and (TEXT not in markers or items[0][0] != "marker"):
        raise TemplateError(f"template: expected fields, then {TEXT}, then the text; got\n  {text}")
    return TextTemplate(items)


def _items(text: str) -> Iterator[tuple[str, str | Hole]]:
    place, seen, begun = 0, set(), False
    while place < len(text):
        if found := LITERAL.match(text, place):
            said = re.sub(r"\s+", " ", re.sub(r"\\(.)", r"\1", found[0], flags=re.DOTALL))
            said = unicodedata.normalize("NFC", said)
            if said.strip():
                yield "words", said
                begun = True
        elif found := FIELD.match(text, place):
            if found[0] in seen or TEXT in seen:
                why = f"{found[0]} stands twice" if found[0] in seen else f"fields come before {TEXT}"
                raise marked(text, place, found.end(), why)
            seen.add(found[0])
            yield "marker", found[0]
            begun = False
        elif found := HOLE.match(text, place):
            yield "hole", _hole(text, found, begun and text[place - 1].isspace())
            begun = True
        elif text[place] == "[":
            raise marked(text, place, place + 1, r"expected a field such as [food], or \[ for the bracket itself")
        elif text[place] == "\\":
            raise marked(
                text, place, place + 1, r"a backslash makes the next character a letter, and there is none; \\ is itself"
            )
        else:
            end = text.find("}", place) + 1 or len(text)
            shown = r"{5}, {4-9}, {3-5 words}, {ADJ NOUN} or {}, or \{ for the brace itself"
            raise marked(text, place, end, f"expected a hole such as {shown}")
        place = found.end()


def _hole(text: str, found: re.Match, apart: bool) -> Hole:
    if found[0] == "_":
        return Hole(1, 1, False, apart)
    if found["tags"] is not None:
        try:
            pattern = read_pattern(found["tags"])
        except ConditionError as error:
            raise marked(text, found.start(), found.end(), str(error)) from None
        return Hole(gap(pattern).low, gap(pattern).high, False, apart, pattern)
    if found["low"] is None:
        return Hole(None, None, False, apart)
    low = int(found["low"])
    high = int(found["high"] or low)
    if high < low:
        raise marked(text, found.start(), found.end(), f"the hole's range is empty: {low} is more than {high}")
    if high == 0:
        raise marked(text, found.start(), found.end(), "the hole has no room: expected at least one")
    return Hole(low, high, found["words"] is not None, apart)


def lay_out(read: TextTemplate, alphabet: Alphabet, free: Gap) -> Template:
    """Pinned ids and gaps. `free` is what `{}` stands for. Regions: "text", and each field by its name.

    Raises TemplateError for a field or a character that the model lacks.
    """
    parts: list[tuple[int, ...] | Gap] = []
    starts: list[tuple[str, int]] = [] if read.fields else [("text", 0)]
    pinned: list[int] = []
    at_start = True

    def close() -> None:
        if pinned:
            parts.append(tuple(pinned))
            pinned.clear()

    for kind, item in read.items:
        if isinstance(item, Hole):
            close()
            parts.append(gap_of(item, free))
            at_start = False
        elif kind == "marker":
            if item not in alphabet.ids:
                known = ", ".join(token for token in alphabet.tokens if is_marker(token))
                raise TemplateError(f"template: the model knows the fields {known or 'of no kind'}; got {item}")
            close()
            parts.append((alphabet.ids[item],))
            starts.append((item[1:-1], len(parts)))
            at_start = True
        else:
            said = " " + item.strip() if at_start else item.rstrip()
            try:
                pinned.extend(encode(said, alphabet))
            except AlphabetError as error:
                raise TemplateError(f"template: {error}") from None
            at_start = False
    close()
    stops = [first for _, first in starts[1:]]
    ends = [stop - 1 for stop in stops] + [len(parts)]  # a marker is of no region
    names = tuple((name, first, end) for (name, first), end in zip(starts, ends, strict=True))
    markers = frozenset(i for token, i in alphabet.ids.items() if is_marker(token))
    return Template(tuple(parts), markers, names)


def gap_of(hole: Hole, free: Gap) -> Gap:
    """The gap of a hole; of words, with room for words that are spelled."""
    if hole.low is None or hole.high is None:
        return free
    return Gap(hole.low, hole.high if not hole.words else TOKENS_A_WORD * hole.high)
