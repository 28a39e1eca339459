"""Pictures of the pages as SVG: templates, residue tracks, and a row on its way. A picture is shown as an image, so that
nothing in it can become a part of the page.

Colours are of Okabe and Ito (2008), which eyes of every kind tell apart; what is designed is also underlined.
"""

import base64
from html import escape

from apps.workbench.parts import Part

# Ground, ink, faint ink, pinned, designed, newly revealed.
LIGHT = {"ground": "#ffffff", "ink": "#1f2933", "faint": "#6b7785", "kept": "#b0dcf5", "new": "#fff1cf", "now": "#e69f00"}
DARK = {"ground": "#1b2430", "ink": "#e8edf2", "faint": "#9aa7b4", "kept": "#1f5f86", "new": "#54431a", "now": "#e69f00"}
CELL, LINE, ACROSS = 22, 46, 50


def palette(dark: bool) -> dict[str, str]:
    return DARK if dark else LIGHT


def data_uri(svg: str) -> str:
    """The picture as an address that needs no request."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def cells(row: list[tuple[str, str]], dark: bool, first: int = 1, across: int = ACROSS, count: bool = True) -> str:
    """A row of tokens as boxes, `across` a line; each is (text, kind), kind one of kept, new, now, hole."""
    colors = palette(dark)
    widths = [max(1, len(text)) for text, _ in row]
    out, x, y, place = [], 0.0, 0, first
    widest = 1.0
    for (text, kind), width in zip(row, widths, strict=True):
        box = CELL * (1 + 0.45 * (width - 1))
        if x + box > CELL * across:
            x, y = 0.0, y + LINE
        fill = colors.get(kind, "none")
        dashed = f'stroke="{colors["faint"]}" stroke-dasharray="2 3" ' if kind == "hole" else ""
        out.append(f'<rect x="{x + 1:.1f}" y="{y + 1}" width="{box - 2:.1f}" height="26" rx="4" fill="{fill}" {dashed}/>')
        if kind in ("new", "now"):
            out.append(f'<rect x="{x + 4:.1f}" y="{y + 23}" width="{box - 8:.1f}" height="2" fill="{colors["now"]}"/>')
        ink = "#1f2933" if kind == "now" else colors["ink"]
        out.append(
            f'<text x="{x + box / 2:.1f}" y="{y + 19}" font-size="15" text-anchor="middle" fill="{ink}" '
            f'font-family="ui-monospace, Menlo, Consolas, monospace">{escape(text)}</text>'
        )
        if count and (place == first or place % 10 == 0):
            out.append(
                f'<text x="{x + box / 2:.1f}" y="{y + 40}" font-size="10" text-anchor="middle" fill="{colors["faint"]}" '
                f'font-family="sans-serif">{place}</text>'
            )
        x, place = x + box, place + 1
        widest = max(widest, x)
    size = f'width="{widest:.0f}" height="{y + LINE}" viewBox="0 0 {widest:.0f} {y + LINE}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>' + "".join(out) + "</svg>"


def track(parts: tuple[Part, ...], dark: bool) -> str:
    """A protein template: kept residues tinted, gaps as a box with their lengths. Numbers count the line's boxes."""
    row: list[tuple[str, str]] = []
    for part in parts:
        if part.designed:
            span = f"{part.low}" if part.low == part.high else f"{part.low}–{part.high}"
            row.append((f"{span} new", "new"))
        else:
            row += [(letter, "kept") for letter in part.text if not letter.isspace()]
    return cells(row, dark, count=False)


def frame(tokens: list[str | None], before: list[str | None], free: list[bool], dark: bool) -> str:
    """A row on its way: kept, still open, revealed before, revealed just now."""
    row = []
    for i, token in enumerate(tokens):
        if i < len(free) and not free[i]:
            row.append((token or "", "kept"))
        elif token is None:
            row.append(("", "hole"))
        else:
            row.append((token, "new" if before and before[i] == token else "now"))
    return cells(row, dark)


def sequence(letters: str, pinned: tuple[int, ...], dark: bool) -> str:
    """A finished protein: what was kept tinted, what was designed underlined."""
    kept = set(pinned)
    return cells([(letter, "kept" if i in kept else "new") for i, letter in enumerate(letters)], dark)


def template(parts: tuple[Part, ...], dark: bool, numbers: bool = True) -> str | None:
    """A molecule template: kept atoms tinted and numbered, gaps as points with their lengths; None if it cannot be read."""
    text, gaps = "", []
    for part in parts:
        if part.designed:
            gaps.append(f"{part.low}" if part.low == part.high else f"{part.low}–{part.high}")
            text += f"[*:{len(gaps)}]"
        else:
            text += part.text
    return molecule(text, {k + 1: f"{span} new" for k, span in enumerate(gaps)}, dark, numbers)


def molecule(
    smiles: str, names: dict[int, str], dark: bool, numbers: bool = True, size: tuple[int, int] = (640, 300)
) -> str | None:
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
    if dark:
        rdMolDraw2D.SetDarkMode(canvas)
        options.clearBackground = False
    options.setHighlightColour((0.12, 0.37, 0.53) if dark else PINNED)
    options.fixedBondLength = 30
    options.annotationFontScale = 0.6
    options.highlightRadius = 0.32
    options.highlightBondWidthMultiplier = 11
    bonds = [b.GetIdx() for b in found.GetBonds() if {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} <= set(kept)]
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, found, highlightAtoms=kept, highlightBonds=bonds)
    canvas.FinishDrawing()
    return canvas.GetDrawingText()


def card(smiles: str, pinned: tuple[int, ...]) -> str:
    """A finished molecule on a light ground, pinned atoms tinted, as in the files."""
    from domains.smiles.pictures import molecule_svg

    svg = molecule_svg(smiles, pinned)
    at = svg.index(">", svg.index("<svg")) + 1
    return svg[:at] + '<rect width="100%" height="100%" rx="10" fill="#ffffff"/>' + svg[at:]
