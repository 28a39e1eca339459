"""Pictures of the pages as SVG: templates, residue tracks, and a row on its way. A picture is shown as an image, so that
nothing in it can become a part of the page.

Colours are of Okabe and Ito (2008), which eyes of every kind tell apart; what is designed is also underlined.
"""

import base64
import re
from html import escape

from apps.workbench.parts import WORD, Part

# They are the same in light and dark: a molecule stands on white paper, a token in a box of its own colour.
INK, FAINT, PAPER = "#1f2933", "#7b8794", "#ffffff"
FILL = {"kept": "#b0dcf5", "new": "#fff1cf", "now": "#e69f00", "name": "#e4e7eb"}
CELL, LINE, ACROSS, HALF = 22, 46, 50, 25  # pixels; boxes across a page and half a page
PIECE = re.compile(r"\[[a-z]+\]|\\.|[^\W_][\w'’-]*|[^\w\s]|_")  # of a text: a field's name, a word, a sign


def data_uri(svg: str) -> str:
    """The picture as an address that needs no request."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def cells(row: list[tuple[str, str]], numbers: list[int | None] | None = None, across: int = ACROSS) -> str:
    """A row of tokens as boxes; each is (text, kind), kind one of kept, new, now, hole. Every tenth number is written."""
    numbers = [*range(1, len(row) + 1)] if numbers is None else numbers
    widths = [max(1, len(text)) for text, _ in row]
    out, x, y, widest = [], 0.0, 0, 1.0
    for (text, kind), width, place in zip(row, widths, numbers, strict=True):
        box = CELL * (1 + 0.45 * (width - 1))
        if x + box > CELL * across:
            x, y = 0.0, y + LINE
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
        x += box
        widest = max(widest, x)
    size = f'width="{widest:.0f}" height="{y + LINE}" viewBox="0 0 {widest:.0f} {y + LINE}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>' + "".join(out) + "</svg>"


def track(parts: tuple[Part, ...]) -> str:
    """A protein template: kept residues tinted and numbered, gaps as a box with their lengths."""
    row: list[tuple[str, str]] = []
    numbers: list[int | None] = []
    place = 0
    for part in parts:
        if part.designed:
            row.append((f"{part.span} new", "new"))
            numbers.append(None)
            place += len(part.text)  # what stood there counts: it can be kept again
            continue
        for letter in part.text:
            if not letter.isspace():
                place += letter.isalpha()
                row.append((letter, "kept"))
                numbers.append(place if letter.isalpha() else None)
    return cells(row, numbers, HALF)


def sentence(parts: tuple[Part, ...]) -> str:
    """A template of a text: words that stay tinted and numbered, holes as a box with their lengths, fields by their names."""
    row: list[tuple[str, str]] = []
    numbers: list[int | None] = []
    place = 0
    for part in parts:
        if part.designed:
            row.append((f"{part.span} new", "new"))
            numbers.append(None)
            place += sum(1 for _ in WORD.finditer(part.text))
            continue
        starts = {word.start() for word in WORD.finditer(part.text)}
        for piece in PIECE.finditer(part.text):
            word = piece.start() in starts
            place += word
            text = piece[0]
            row.append((f"{text[1:-1]}:", "name") if len(text) > 2 and text[0] == "[" else (text.lstrip("\\") or text, "kept"))
            numbers.append(place if word else None)
    return cells(row, numbers, HALF)


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


def template(parts: tuple[Part, ...], numbers: bool = True) -> str | None:
    """A molecule template: kept atoms tinted and numbered, gaps as points with their lengths; None if it cannot be read."""
    text, gaps = "", []
    for part in parts:
        if part.designed:
            gaps.append(part.span)
            text += f"[*:{len(gaps)}]"
        else:
            text += part.text
    return molecule(text, {k + 1: f"{span} new" for k, span in enumerate(gaps)}, numbers)


def molecule(smiles: str, names: dict[int, str], numbers: bool = True, size: tuple[int, int] = (640, 300)) -> str | None:
    """A drawing in which all atoms but attachment points are tinted; `names` are those of points by label."""
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
    for number, index in enumerate(kept, 1):
        if numbers:
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
    options.fixedBondLength = 30
    options.annotationFontScale = 0.6
    options.highlightRadius = 0.32
    options.highlightBondWidthMultiplier = 11
    bonds = [b.GetIdx() for b in found.GetBonds() if {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} <= set(kept)]
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, found, highlightAtoms=kept, highlightBonds=bonds)
    canvas.FinishDrawing()
    return on_paper(canvas.GetDrawingText())


def card(smiles: str, pinned: tuple[int, ...]) -> str:
    """A finished molecule, pinned atoms tinted, as in the files."""
    from domains.smiles.pictures import molecule_svg

    return on_paper(molecule_svg(smiles, pinned))


def on_paper(svg: str) -> str:
    at = svg.index(">", svg.index("<svg")) + 1
    return svg[:at] + f'<rect width="100%" height="100%" rx="10" fill="{PAPER}"/>' + svg[at:]
