"""A template as a table of parts: pieces that are kept and gaps that are designed, the same for every domain.

A part that was opened remembers what stood there, so that it can be kept again. Positions count atoms of a molecule,
residues of a protein or words of a text, from 1, over what is kept and what is remembered.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

GAP = re.compile(r"\{\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?\}|(?:_\s*)+")
# Of a text also {}, {2-4 words} and {ADJ NOUN}; behind a backslash a sign is itself.
TEXT_GAP = re.compile(r"\\.|(?P<gap>\{\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?\}|_+|\{[^{}\\]*\})", re.DOTALL)
# The tokens of SMILES that are atoms: in brackets, two letters, or one.
ATOM = re.compile(r"\[[^\]]*\]|Br|Cl|[BCNOPSFIbcnops*]")
RESIDUE = re.compile(r"[A-Za-z]")
WORD = re.compile(r"(?<![\[\\\w])[^\W_][\w'’-]*(?!\])")  # not the name of a field, [food]
UNITS = {"smiles": ATOM, "protein": RESIDUE, "text": WORD}


@dataclass(frozen=True)
class Part:
    """A piece of a template.

    Attributes:
        text: what is written there; of a gap what stood there before it was opened, or "".
        low, high: lengths of a gap, in tokens; 0 of a piece that is kept.
        form: a gap as it was written whose length is said in another way: {}, {2-4 words}, {ADJ NOUN} of a text.
    """

    text: str
    low: int = 0
    high: int = 0
    form: str = ""

    @property
    def designed(self) -> bool:
        return self.high > 0 or bool(self.form)

    @property
    def span(self) -> str:
        """How long a gap may be, in words of a picture."""
        if self.form:
            return self.form.strip("{}").strip() or "any"
        return f"{self.low}" if self.low == self.high else f"{self.low}–{self.high}"

    def __str__(self) -> str:
        if not self.designed:
            return self.text
        return self.form or (f"{{{self.low}}}" if self.low == self.high else f"{{{self.low}-{self.high}}}")


def parts_of(text: str, domain: str = "") -> tuple[Part, ...]:
    """The parts of a template's text; what cannot be read as a gap stays text, and is refused when the request is checked."""
    parts, start, base = [], 0, domain == "text"
    for found in (TEXT_GAP if base else GAP).finditer(text):
        if base and found["gap"] is None:
            continue  # a sign behind a backslash
        if found.start() > start:
            parts.append(Part(text[start : found.start()]))
        parts.append(_gap(found.group(), found[1 + base], found[2 + base], base))
        start = found.end()
    return (*parts, *([Part(text[start:])] if start < len(text) else []))


def _gap(written: str, first: str | None, last: str | None, forms: bool) -> Part:
    low = int(first) if first else written.count("_")
    high = int(last) if last else low
    if high > 0 and low <= high:
        return Part("", low, high)
    return Part("", form=written) if forms and first is None else Part(written)


def text_of(parts: tuple[Part, ...]) -> str:
    return "".join(map(str, parts))


def as_text(said: str) -> str:
    """A finished text as a template in which all of it stays."""
    return re.sub(r"([\\{_\[])", r"\\\1", said)


def with_fact(text: str, name: str, value: str) -> str:
    """A template of a text that tells a fact, [name] value; one that it tells already gets the new value."""
    facts, mark, said = text.rpartition("[text]")
    if not mark:
        return f"[{name}] {value} [text] {text.strip() or '{}'}"
    known = re.search(rf"\[{re.escape(name)}\][^\[]*", facts)
    told = f"[{name}] {value} "
    facts = f"{facts[: known.start()]}{told}{facts[known.end() :]}" if known else f"{facts}{told}"
    return f"{facts}{mark}{said}"


def units(text: str, domain: str) -> Iterator[re.Match]:
    """The atoms, residues or words written in a text."""
    return UNITS[domain].finditer(text)


def positions(parts: tuple[Part, ...], domain: str) -> list[tuple[str, bool]]:
    """(atom or residue, whether it is kept) of every position."""
    return [(unit.group(), not part.designed) for part in parts for unit in units(part.text, domain)]


def opened(parts: tuple[Part, ...], first: int, last: int, low: int, high: int, domain: str) -> tuple[Part, ...]:
    """Positions first to last (from 1) made a gap of low to high tokens; parts in between go with them."""
    before, inside, after = _cut(parts, first, last, domain)
    text = "".join(part.text for part in inside)
    return (*before, Part(text, low, high), *after)


def kept(parts: tuple[Part, ...], first: int, last: int, domain: str) -> tuple[Part, ...]:
    """What was opened and lies among these positions as it stood before."""
    before, inside, after = _cut(parts, first, last, domain, whole=True)
    return _joined((*before, *(replace(part, low=0, high=0, form="") if part.text else part for part in inside), *after))


def _cut(parts: tuple[Part, ...], first: int, last: int, domain: str, whole: bool = False):
    """Parts before, inside and after positions first to last; parts that are kept are cut there, gaps stay whole."""
    sides: tuple[list[Part], list[Part], list[Part]] = ([], [], [])
    place = 0  # positions so far
    for part in parts:
        marks = [unit.span() for unit in units(part.text, domain)]
        low, high, place = place + 1, place + len(marks), place + len(marks)
        if not marks:
            sides[0 if low <= first else 1 if low <= last else 2].append(part)
        elif high < first:
            sides[0].append(part)
        elif low > last:
            sides[2].append(part)
        elif part.designed or whole:
            sides[1].append(part)
        else:
            a = marks[first - low][0] if first > low else 0
            b = marks[last - low][1] if last < high else len(part.text)
            for side, text in zip(sides, (part.text[:a], part.text[a:b], part.text[b:]), strict=True):
                if text:
                    side.append(Part(text))
    return sides


def _joined(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Neighbours that are both kept made one."""
    out: list[Part] = []
    for part in parts:
        if out and not part.designed and not out[-1].designed:
            out[-1] = Part(out[-1].text + part.text)
        else:
            out.append(part)
    return tuple(out)
