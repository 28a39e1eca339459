"""A grid of molecules as a picture: what was pinned is tinted, what was designed is plain."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seqdiff.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image

    from domains.files import Written

LEGEND = (("qed", "QED", 2), ("sa", "SA", 1), ("logp", "logP", 1))  # metric, name, decimals

# Sizes in pixels; the picture is twice as fine as a page would need, so that it can be printed.
WIDTH, HEIGHT, TEXT, GAP, MARGIN, CAPTION = 520, 400, 92, 24, 48, 64
RADIUS, NAME_SIZE, LEGEND_SIZE, CAPTION_SIZE = 20, 24, 27, 30
BOND_LENGTH, LINE_WIDTH = 44, 3

# Sky blue of Okabe and Ito (2008), lightened: eyes of every kind tell it from white by its lightness.
PINNED = (0.69, 0.86, 0.96)
# RDKit's fluorine, sulphur, chlorine and bromine are too pale on white; atomic number → darker shade of the same hue.
SHADES = {9: (0.0, 0.5, 0.5), 16: (0.62, 0.5, 0.0), 17: (0.0, 0.5, 0.15), 35: (0.5, 0.25, 0.1)}
PAGE, PAPER, BORDER, INK, FAINT = "#f6f7f9", "#ffffff", "#dde1e6", "#1f2933", "#6b7785"


def read_as_written(smiles: str):
    """RDKit molecule whose atom i is the i-th atom written: hydrogens written as atoms stay, unlike by default."""
    from rdkit import Chem, rdBase

    options = Chem.SmilesParserParams()
    options.removeHs = False
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles, options)
    if molecule is None:
        raise ConfigError(f"design: expected a SMILES that RDKit reads where valid is true, got {smiles!r}")
    return molecule


def grid_png(designs: "Sequence[Written]", path: str | Path, columns: int = 4, most: int = 24) -> None:
    """Draw the first `most` valid designs, `columns` a row, to a PNG file.

    Under each stand its number among all designs, QED, SA and logP; a caption counts what is not shown. Atoms of
    `pinned_atoms`, and the bonds between them, are tinted.

    Raises ConfigError for columns or most below 1, or a pinned atom that the SMILES does not have.
    """
    from PIL import Image, ImageDraw, ImageFont

    if columns < 1 or most < 1:
        raise ConfigError(f"picture: expected columns and most of at least 1, got {columns} and {most}")
    valid = [(number, design) for number, design in enumerate(designs, 1) if design.valid]
    shown = valid[:most]
    rows, across = -(-len(shown) // columns), max(1, min(columns, len(shown)))
    caption = _caption(len(designs), len(valid), len(shown), any(design.pinned_atoms for _, design in shown))
    font = ImageFont.load_default(CAPTION_SIZE)
    wide = max(across * (WIDTH + GAP) - GAP, round(font.getlength(caption)))
    size = (wide + 2 * MARGIN, rows * (HEIGHT + TEXT + GAP) + CAPTION + 2 * MARGIN - GAP)
    picture = Image.new("RGB", size, PAGE)
    pen = ImageDraw.Draw(picture)
    for place, (number, design) in enumerate(shown):
        row, column = divmod(place, columns)
        left, top = MARGIN + column * (WIDTH + GAP), MARGIN + row * (HEIGHT + TEXT + GAP)
        pen.rounded_rectangle((left, top, left + WIDTH, top + HEIGHT + TEXT), RADIUS, PAPER, BORDER, 2)
        drawing = _drawing(design.sequence, design.pinned_atoms, number)
        picture.paste(drawing, (left + RADIUS // 2, top + RADIUS // 2))
        middle = left + WIDTH // 2
        title = f"design {number}" + ("" if design.pins_kept else ", pins not kept")
        pen.text((middle, top + HEIGHT + 10), legend(design), INK, ImageFont.load_default(LEGEND_SIZE), "mm")
        pen.text((middle, top + HEIGHT + 54), title, FAINT, ImageFont.load_default(NAME_SIZE), "mm")
    pen.text((MARGIN, size[1] - MARGIN - CAPTION // 4), caption, FAINT, font, "lm")
    picture.save(path, "PNG", optimize=True)


def legend(design: "Written") -> str:
    """The metrics that the design has a number for."""
    values = ((name, design.metrics.get(metric), decimals) for metric, name, decimals in LEGEND)
    return "    ".join(f"{name} {v:.{decimals}f}" for name, v, decimals in values if v is not None and math.isfinite(v))


def _caption(all_designs: int, valid: int, shown: int, pinned: bool) -> str:
    parts = [f"{shown} of {all_designs} designs"]
    if valid > shown:
        parts.append(f"{valid - shown} more valid")
    parts.append(f"{all_designs - valid} invalid left out" if valid < all_designs else "none invalid")
    if pinned:
        parts.append("tinted: pinned by the template")
    return "  ·  ".join(parts)


def _drawing(smiles: str, pinned: tuple[int, ...], number: int) -> "Image":
    """The molecule alone, (WIDTH − RADIUS, HEIGHT − RADIUS) pixels, so that it fits inside the round corners."""
    from PIL import Image
    from rdkit.Chem.Draw import rdMolDraw2D

    canvas = rdMolDraw2D.MolDraw2DCairo(WIDTH - RADIUS, HEIGHT - RADIUS)
    _draw(canvas, smiles, pinned, f"design {number}")
    return Image.open(io.BytesIO(canvas.GetDrawingText())).convert("RGB")


def molecule_svg(smiles: str, pinned: tuple[int, ...] = (), name: str = "design") -> str:
    """The molecule as SVG on a transparent ground, pinned atoms and the bonds between them tinted."""
    from rdkit.Chem.Draw import rdMolDraw2D

    canvas = rdMolDraw2D.MolDraw2DSVG(WIDTH // 2, HEIGHT // 2)
    canvas.drawOptions().clearBackground = False
    _draw(canvas, smiles, pinned, name, 0.5)
    return canvas.GetDrawingText()


def _draw(canvas, smiles: str, pinned: tuple[int, ...], name: str, scale: float = 1.0) -> None:
    from rdkit.Chem import rdDepictor
    from rdkit.Chem.Draw import rdMolDraw2D

    molecule = read_as_written(smiles)
    atoms = set(pinned)
    if strange := sorted(atoms - set(range(molecule.GetNumAtoms()))):
        raise ConfigError(
            f"picture: {name}: expected pinned atoms from 0 to {molecule.GetNumAtoms() - 1} of {smiles!r}, "
            f"got {', '.join(map(str, strange))}"
        )
    bonds = [b.GetIdx() for b in molecule.GetBonds() if {b.GetBeginAtomIdx(), b.GetEndAtomIdx()} <= atoms]
    rdDepictor.Compute2DCoords(molecule)
    rdDepictor.StraightenDepiction(molecule)
    options = canvas.drawOptions()
    options.fixedBondLength = BOND_LENGTH * scale  # the same scale on every card; a molecule too large for it is shrunk
    options.bondLineWidth = LINE_WIDTH * scale
    options.scaleBondWidth = False
    options.padding = 0.06
    options.setHighlightColour(PINNED)
    options.updateAtomPalette(SHADES)
    options.highlightBondWidthMultiplier = 11
    options.highlightRadius = 0.32
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, molecule, highlightAtoms=sorted(atoms), highlightBonds=bonds, kekulize=True)
    canvas.FinishDrawing()
