"""Protein templates: a sequence in which letters are pinned and gaps are designed; `/` parts chains.

    {10-40}FSLFDKDGDGTITTKELGTV{10-40}      a motif between two gaps of 10 to 40 residues
    MKV____LAW{3}GHT/{60}                   four positions, three more, and a second chain of 60

A gap is `{n}` or `{a-b}` residues; `_`, `<mask>` or `[MASK]` is one position, and a run of them one gap. It holds neither X
nor a chain break. The first gap is the region gap1 of constraints, the first chain the region chain1. Spaces and line breaks
mean nothing.

A contig of lengths and letters is a template too: `10-40,FSLFDKDG,10-40`. One that names residues (A163-181) is first
turned into a template with the file that it speaks of: `domains.protein.contig`.
"""

import re
from dataclasses import replace

from constraints.template import Gap, Template
from domains.protein import AMINO_ACIDS
from domains.protein.contig import is_contig, resolve
from domains.protein.data import BANNED, BREAK, UNKNOWN
from seqdiff.alphabet import Alphabet
from seqdiff.errors import TemplateError, marked

PIECE = re.compile(
    r"(?P<space>\s+)|(?P<holes>(?:_|<mask>|\[MASK\])(?:\s*(?:_|<mask>|\[MASK\]))*)|(?P<gap>\{\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?\})|(?P<letter>[A-Za-z])|(?P<break>/)"
)
MAX_CHARACTERS = 20_000


def parse_template(text: str, alphabet: Alphabet) -> Template:
    """Read a template. Raises TemplateError with the place marked under the text."""
    if len(text) > MAX_CHARACTERS:
        raise TemplateError(f"template: expected at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
    if is_contig(text):
        resolved = resolve(text, [])
        if resolved.constraint:
            raise TemplateError(f"template: a total length is asked as a constraint: {resolved.constraint}\n  {text}")
        text = resolved.template
    parts: list[tuple[int, ...] | Gap] = []
    chains: list[tuple[str, int, int]] = []
    start, broken, first = 0, True, 0  # a chain has begun, with part `first`, and nothing is in it
    while start < len(text):
        match = PIECE.match(text, start)
        if match is None:
            what = {"{": "expected a gap such as {5} or {4-9}", ":": "':' is no amino acid; chains are parted by /"}
            what = what.get(text[start], f"{text[start]!r} is no amino acid; write _ to have a residue designed")
            raise marked(text, start, start + 1, what)
        start = match.end()
        if match["space"]:
            continue
        if match["break"] and broken:
            raise marked(text, match.start(), start, "a chain break with no chain before it")
        broken = bool(match["break"])
        if broken:
            chains.append((f"chain{len(chains) + 1}", first, len(parts)))
            parts.append((_token(text, match, alphabet),))
            first = len(parts)
            continue
        if match["holes"]:
            number = len(re.findall(r"_|<mask>|\[MASK\]", match["holes"]))
            parts.append(Gap(number, number))
        elif match["gap"]:
            parts.append(_gap(text, match))
        else:
            token = _token(text, match, alphabet)
            if len(parts) == first or isinstance(parts[-1], Gap):
                parts.append(())
            parts[-1] = (*parts[-1], token)  # type: ignore[misc]
    if not parts:
        raise TemplateError("template: expected a sequence with gaps, got an empty text; leave it out to design freely")
    if broken:
        raise marked(text, len(text.rstrip()) - 1, len(text.rstrip()), "a chain break with no chain after it")
    chains.append((f"chain{len(chains) + 1}", first, len(parts)))
    return without_unknowns(Template(tuple(parts), names=tuple(chains)), alphabet)


def without_unknowns(template: Template, alphabet: Alphabet, breaks: bool = False) -> Template:
    """The template whose gaps hold neither X nor, unless `breaks`, a chain break."""
    kept = (BREAK,) if breaks else ()
    ids = frozenset(alphabet.ids[token] for token in BANNED if token in alphabet.ids and token not in kept)
    return replace(template, banned=template.banned | ids)


def _gap(text: str, match: re.Match) -> Gap:
    low, high = (int(n) for n in (match[4], match[5] or match[4]))
    if high < low:
        raise marked(text, match.start(), match.end(), f"the gap's range is empty: {low} is more than {high}")
    if high == 0:
        raise marked(text, match.start(), match.end(), "the gap has no room: expected at least one residue")
    return Gap(low, high)


def _token(text: str, match: re.Match, alphabet: Alphabet) -> int:
    letter = match.group()
    if letter == BREAK:
        if BREAK not in alphabet.ids:
            raise marked(text, match.start(), match.end(), "this model knows no chain break; design the chains one by one")
    elif letter.upper() == UNKNOWN:
        raise marked(text, match.start(), match.end(), "X is an unknown residue; write _ to have it designed")
    elif letter.upper() not in AMINO_ACIDS:
        raise marked(
            text, match.start(), match.end(), f"{letter!r} is none of the twenty amino acids; write _ to have it designed"
        )
    elif letter.islower():
        raise marked(text, match.start(), match.end(), f"lower case means an insertion in alignments; write {letter.upper()}")
    return alphabet.ids[letter]
