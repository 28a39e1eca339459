"""Pictures of the pages as SVG: templates, residue tracks, and a row on its way. A picture is shown as an image, so that
nothing in it can become a part of the page.

Colours are of Okabe and Ito (2008), which eyes of every kind tell apart; what is designed is also underlined.
"""

import base64
import re
from functools import lru_cache
from html import escape
from typing import NamedTuple

from apps.workbench.live import Spot
from apps.workbench.parts import ATOM as ATOMS
from apps.workbench.parts import WORD, Part

# They are the same in light and dark: a molecule stands on white paper, a token in a box of its own colour.
INK, FAINT, PAPER = "#1f2933", "#7b8794", "#ffffff"
FILL = {"kept": "#b0dcf5", "new": "#fff1cf", "now": "#e69f00", "name": "#e4e7eb"}
ATOM = 14  # pixels around the middle of an atom that can be pressed
CELL, LINE, ACROSS, HALF = 22, 46, 50, 25  # pixels; boxes across a page and half a page
PIECE = re.compile(r"\[[a-z]+\]|\\.|[^\W_][\w'’-]*|[^\w\s]|_")  # of a text: a field's name, a word, a sign


class Row(NamedTuple):
    """Tokens of a template as (text, kind), and the number of each that is a position."""

    tokens: list[tuple[str, str]]
    numbers: list[int | None]

    def add(self, text: str, kind: str, number: int | None = None) -> None:
        self.tokens.append((text, kind))
        self.numbers.append(number)


def data_uri(svg: str) -> str:
    """The picture as an address that needs no request."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def boxes(row: list[tuple[str, str]], across: int = ACROSS) -> tuple[list[tuple[float, float, float]], float, float]:
    """(x, y, width) of each token's box, in lines of so many boxes of one letter; width and height of all."""
    found, x, y, widest = [], 0.0, 0.0, 1.0
    for text, _ in row:
        box = CELL * (1 + 0.45 * (max(1, len(text)) - 1))
        if x + box > CELL * across:
            x, y = 0.0, y + LINE
        found.append((x, y, box))
        x += box
        widest = max(widest, x)
    return found, widest, y + LINE


def spots(row: Row, across: int = HALF) -> list[Spot]:
    """Where the numbered tokens of a row are in its picture."""
    found, width, height = boxes(row.tokens, across)
    return [
        (number, x / width, y / height, box / width, 28 / height)
        for number, (x, y, box) in zip(row.numbers, found, strict=True)
        if number is not None
    ]


def cells(row: list[tuple[str, str]], numbers: list[int | None] | None = None, across: int = ACROSS) -> str:
    """A row of tokens as boxes; each is (text, kind), kind one of kept, new, now, hole. Every tenth number is written."""
    numbers = [*range(1, len(row) + 1)] if numbers is None else numbers
    found, widest, height = boxes(row, across)
    out = []
    for (text, kind), (x, y, box), place in zip(row, found, numbers, strict=True):
        fill = FILL.get(kind, "none")
        dashed = f'stroke="{FAINT}" stroke-dasharray="2 3" ' if kind == "hole" else ""
        out.append(f'<rect x="{x + 1:.1f}" y="{y + 1}" width="{box - 2:.1f}" height="26" rx="4" fill="{fill}" {dashed}/>')
        if kind in ("new", "now"):
            out.append(f'<rect x="{x + 4:.1f}" y="{y + 23}" width="{box - 8:.1f}" height="2" fill="{FILL["now"]}"/>')
        out.append(
            f'<text x="{x + box / 2:.1f}" y="{y + 19}" font-size="15" text-anchor="middle" fill="{INK}" '
            f'font-family="ui-monospace, Menlo, Consolas, monospace">{escape(text)}</text>'
        )
        if place is not None and (place == 1 or place % 10 == 0):
            out.append(
                f'<text x="{x + box / 2:.1f}" y="{y + 40}" font-size="10" text-anchor="middle" fill="{FAINT}" '
                f'font-family="sans-serif">{place}</text>'
            )
    size = f'width="{widest:.0f}" height="{height:.0f}" viewBox="0 0 {widest:.0f} {height:.0f}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>' + "".join(out) + "</svg>"


def track(parts: tuple[Part, ...]) -> Row:
    """A protein template: kept residues tinted and numbered, gaps as a box with their lengths."""
    found = Row([], [])
    place = 0
    for part in parts:
        if part.designed:
            found.add(f"{part.span} new", "new")
            place += len(part.text)  # what stood there counts: it can be kept again
            continue
        for letter in part.text:
            if not letter.isspace():
                place += letter.isalpha()
                found.add(letter, "kept", place if letter.isalpha() else None)
    return found


def sentence(parts: tuple[Part, ...]) -> Row:
    """A template of a text: words that stay tinted and numbered, holes as a box with their lengths, fields by their names."""
    found = Row([], [])
    place = 0
    for part in parts:
        if part.designed:
            found.add(f"{part.span} new", "new")
            place += sum(1 for _ in WORD.finditer(part.text))
            continue
        starts = {word.start() for word in WORD.finditer(part.text)}
        for piece in PIECE.finditer(part.text):
            word = piece.start() in starts
            place += word
            text, number = piece[0], place if word else None
            if len(text) > 2 and text[0] == "[":
                found.add(f"{text[1:-1]}:", "name", number)
            else:
                found.add(text.lstrip("\\") or text, "kept", number)
    return found


def text(said: str, parts: tuple[Part, ...]) -> str | None:
    """A finished text: what its template kept tinted, what was designed underlined; None where they do not fit together."""
    spans = kept_spans(said, parts)
    if spans is None:
        return None
    row = []
    for piece in re.finditer(r"[\w'’-]+|[^\w\s]", said):
        row.append((piece[0], "kept" if any(a <= piece.start() < b for a, b in spans) else "new"))
    numbers: list[int | None] = [None] * len(row)
    return cells(row, numbers, HALF)


def kept_spans(said: str, parts: tuple[Part, ...]) -> list[tuple[int, int]] | None:
    """Where a text says what its template keeps: the pieces of the template, in their order, each as early as may be."""
    start = next((k for k, part in enumerate(parts) if not part.designed and "[text]" in part.text), None)
    chosen = list(parts) if start is None else [Part(parts[start].text.partition("[text]")[2]), *parts[start + 1 :]]
    pattern = ""
    for part in chosen:
        if part.designed:
            pattern += ".*?"
        elif words := re.sub(r"\\(.)", r"\1", part.text, flags=re.DOTALL).split():
            kept = r"\s+".join(map(re.escape, words))
            pattern += rf"\s*({kept})\s*"
    found = re.fullmatch(pattern, said, re.DOTALL)
    return None if found is None else [found.span(k + 1) for k in range(len(found.groups()))]


def frame(tokens: list[str | None], before: list[str | None], free: list[bool]) -> str:
    """A row on its way: kept, still open, revealed before, revealed just now."""
    row = []
    for i, token in enumerate(tokens):
        if i < len(free) and not free[i]:
            row.append(((token or "").strip(), "kept"))
        elif token is None:
            row.append(("", "hole"))
        else:
            row.append((token.strip(), "new" if before and before[i] == token else "now"))
    return cells(row)


def sequence(letters: str, pinned: tuple[int, ...]) -> str:
    """A finished protein: what was kept tinted, what was designed underlined."""
    kept = set(pinned)
    return cells([(letter, "kept" if i in kept else "new") for i, letter in enumerate(letters)], across=HALF)


def template(parts: tuple[Part, ...], at: list[Spot] | None = None) -> str | None:
    """A molecule template: kept atoms tinted and numbered, gaps as points with their lengths; None if it cannot be read.

    Where the atoms are drawn, by their positions, is put into `at`.
    """
    text, gaps, positions, place = "", [], [], 0
    for part in parts:
        there = [*range(place + 1, place + 1 + sum(1 for _ in ATOMS.finditer(part.text)))]
        place += len(there)
        if part.designed:  # what stood there is not drawn, and counts: it can be kept again
            gaps.append(part.span.replace("–", "-"))  # the letters of the drawing have no dash
            text += f"[*:{len(gaps)}]"
        else:
            positions += there
            text += part.text
    found: list[Spot] = []
    drawn = molecule(text, dict(enumerate(gaps, 1)), found, positions=positions)
    if at is not None:
        at += found
    return drawn


def molecule(
    smiles: str,
    names: dict[int, str],
    at: list[Spot] | None = None,
    size: tuple[int, int] = (640, 300),
    positions: list[int] | None = None,
) -> str | None:
    """A drawing in which all atoms but attachment points are tinted and numbered; `names` are those of points by label.

    Where the atoms are drawn is put into `at`; `positions` are their numbers, None from 1.
    """
    from rdkit import Chem
    from rdkit.Chem import rdDepictor
    from rdkit.Chem.Draw import rdMolDraw2D

    from domains.smiles.pictures import PINNED, read_as_written
    from seqdiff.errors import ConfigError

    try:
        found = read_as_written(smiles)
    except ConfigError:
        return None
    kept = [atom.GetIdx() for atom in found.GetAtoms() if atom.GetAtomicNum()]
    if positions is None or len(positions) != len(kept):
        positions = [*range(1, len(kept) + 1)]
    for number, index in zip(positions, kept, strict=True):
        found.GetAtomWithIdx(index).SetProp("atomNote", str(number))
    for atom in found.GetAtoms():
        if atom.GetAtomicNum() == 0:
            label = names.get(atom.GetAtomMapNum(), f"point {atom.GetAtomMapNum()}" if atom.GetAtomMapNum() else "point")
            atom.SetProp("atomLabel", label)
            atom.SetAtomMapNum(0)
    Chem.GetSymmSSSR(found)
    rdDepictor.Compute2DCoords(found)
    canvas = rdMolDraw2D.MolDraw2DSVG(*size)
    options = canvas.drawOptions()
    options.clearBackground = False
    options.setHighlightColour(PINNED)
    options.fixedBondLength = 38
    options.annotationFontScale = 0.6
    options.highlightRadius = 0.32
    options.highlightBondWidthMultiplier = 11
    bonds = [b.GetIdx() for b in found.GetBonds() if {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} <= set(kept)]
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, found, highlightAtoms=kept, highlightBonds=bonds)
    canvas.FinishDrawing()
    if at is not None:
        for number, index in zip(positions, kept, strict=True):
            where = canvas.GetDrawCoords(index)
            at.append((number, (where.x - ATOM) / size[0], (where.y - ATOM) / size[1], 2 * ATOM / size[0], 2 * ATOM / size[1]))
    return on_paper(canvas.GetDrawingText())


@lru_cache(maxsize=1024)
def card(smiles: str, pinned: tuple[int, ...]) -> str:
    """A finished molecule, pinned atoms tinted, as in the files."""
    from domains.smiles.pictures import molecule_svg

    return on_paper(molecule_svg(smiles, pinned))


def on_paper(svg: str) -> str:
    at = svg.index(">", svg.index("<svg")) + 1
    return svg[:at] + f'<rect width="100%" height="100%" rx="10" fill="{PAPER}"/>' + svg[at:]
