"""Molecule templates: a SMILES string in which `{n}` or `{a-b}` is a gap and everything else is pinned.

    CC(=O)N{4-9}c1ccc(F)cc1

A gap is a number of tokens (atoms, bonds, parentheses, ring labels), not of atoms. Read with every gap as one atom,
the template must be a well-formed SMILES: branches and rings that it opens, it closes. A gap may use neither a
ring label of the template (it would capture the template's ring) nor a dot (it would take the molecule apart). RDKit meets the
user's text in a child process first (`fragments_worker`).
"""

import re
from dataclasses import dataclass

from constraints.template import Gap, Template
from domains.smiles.fragments_worker import limited
from domains.smiles.tokens import TOKEN, is_ring_label
from domains.smiles.valence import ORDER, hopeless
from seqdiff.alphabet import Alphabet
from seqdiff.errors import TemplateError, marked

GAP = re.compile(r"\{\s*(\d{1,6})\s*(?:-\s*(\d{1,6})\s*)?\}")
MAX_CHARACTERS = 1000


@dataclass(frozen=True)
class Piece:
    """A token or a gap of the template text, with its place for messages."""

    start: int
    end: int
    token: str | None
    gap: Gap | None


def parse_template(text: str, alphabet: Alphabet) -> Template:
    """Read a template. Raises TemplateError with the place marked under the text."""
    if len(text) > MAX_CHARACTERS:
        raise TemplateError(f"template: expected at most {MAX_CHARACTERS} characters, got {len(text)}")
    pieces = _pieces(text)
    if not pieces:
        raise TemplateError("template: expected a SMILES with gaps, got an empty text; leave it out to design freely")
    for piece in pieces:
        if piece.token is not None and piece.token not in alphabet.ids:
            raise marked(text, piece.start, piece.end, f"{piece.token!r} is not among the model's {len(alphabet)} tokens")
    _check_rings(text, pieces)
    _check_reads(text, pieces)
    labels = {alphabet.ids[piece.token] for piece in pieces if piece.token and is_ring_label(piece.token)}
    dot = {i for token, i in alphabet.ids.items() if token == "."}
    return Template(_join(pieces, alphabet), frozenset(labels | dot))


def _pieces(text: str) -> list[Piece]:
    pieces, start = [], 0
    while start < len(text):
        if text[start] == "{":
            match = GAP.match(text, start)
            if match is None:
                end = text.find("}", start) + 1 or len(text)
                raise marked(text, start, end, "expected a gap such as {5} or {4-9}")
            low = int(match[1])
            high = int(match[2]) if match[2] else low
            if high < low:
                raise marked(text, start, match.end(), f"the gap's range is empty: {low} is more than {high}")
            if high == 0:
                raise marked(text, start, match.end(), "the gap has no room: expected at least one token")
            pieces.append(Piece(start, match.end(), None, Gap(low, high)))
        else:
            match = TOKEN.match(text, start)
            if match is None:
                raise marked(text, start, start + 1, f"{text[start]!r} starts no SMILES token")
            pieces.append(Piece(start, match.end(), match.group(), None))
        start = match.end()
    return pieces


def _check_rings(text: str, pieces: list[Piece]) -> None:
    """Every ring label that the template opens it must close, because no gap may, and by the same bond."""
    opened: dict[str, tuple[Piece, int | None]] = {}
    bond = None
    for piece in pieces:
        if piece.token and is_ring_label(piece.token):
            if piece.token in opened:
                _, before = opened.pop(piece.token)
                if bond is not None and before is not None and bond != before:
                    raise marked(text, piece.start, piece.end, f"ring label {piece.token} opens and closes by different bonds")
            else:
                opened[piece.token] = piece, bond
        bond = ORDER.get(piece.token) if piece.token else None
    for label, (piece, _) in opened.items():
        message = (
            f"ring label {label} is opened and never closed; a gap cannot close a ring of the template: begin the SMILES at "
            "another atom, or let the gap reach over both ends of the ring bond"
        )
        raise marked(text, piece.start, piece.end, message)


def _check_reads(text: str, pieces: list[Piece]) -> None:
    """The template must read as SMILES with every gap as one atom, and with those gaps left out that may be empty."""
    depth: list[Piece] = []
    for piece in pieces:
        if piece.token == "(":
            depth.append(piece)
        elif piece.token == ")":
            if not depth:
                raise marked(text, piece.start, piece.end, "this branch is closed but was never opened")
            depth.pop()
    if depth:
        raise marked(text, depth[-1].start, depth[-1].end, "this branch is opened and never closed")
    empties = [False, True] if any(piece.gap and piece.gap.low == 0 for piece in pieces) else [False]
    written = [as_smiles(pieces, empty) for empty in empties]
    for empty, smiles, reads in zip(empties, written, limited("domains.smiles.pins:readable", written), strict=True):
        if not reads:
            how = "its gaps left empty" if empty else "every gap as one atom *"
            raise TemplateError(f"template: with {how} it does not read as SMILES: {smiles}\n  {text}")
    if fault := hopeless([piece.token for piece in pieces]):
        raise TemplateError(f"template: whatever is in its gaps, it is no molecule: {fault}\n  {text}")


def as_smiles(pieces: list[Piece], empty: bool = False) -> str:
    """The template as SMILES: a gap is one atom `*`, or nothing if `empty` and it may be."""
    return "".join(
        piece.token if piece.gap is None else ("" if empty and piece.gap.low == 0 else "*")  # type: ignore[misc]
        for piece in pieces
    )


def _join(pieces: list[Piece], alphabet: Alphabet) -> tuple[tuple[int, ...] | Gap, ...]:
    parts: list[list[int] | Gap] = []
    for piece in pieces:
        if piece.gap is not None:
            parts.append(piece.gap)
            continue
        if not parts or isinstance(parts[-1], Gap):
            parts.append([])
        parts[-1].append(alphabet.ids[piece.token])  # type: ignore[union-attr, index]
    return tuple(part if isinstance(part, Gap) else tuple(part) for part in parts)
