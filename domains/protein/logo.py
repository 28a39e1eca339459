"""A sequence logo of designs: how sure they are of each position, and which positions were pinned.

Source: Schneider and Stephens, "Sequence logos", 1990. The stack at a position is R = log₂ 20 − (H + e) bits high, H the
entropy of its letters and e = 19 / (2 ln 2 · n) the correction for n sequences (Schneider et al., 1986); each letter has its
share of it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domains.protein import AMINO_ACIDS
from domains.protein.data import BREAK

if TYPE_CHECKING:
    from domains.files import Written

ACROSS = 50  # positions a line
# Groups of like residues, in the colours of Okabe and Ito (2008).
COLORS = {"AVLIMFWPC": "#1f2933", "KRH": "#0072B2", "DE": "#D55E00", "STNQGY": "#009E73"}
COLOR = {letter: color for letters, color in COLORS.items() for letter in letters}


def heights(sequences: Sequence[str]) -> list[list[tuple[str, float]]]:
    """For each position its letters with their heights in bits, the lowest first. All sequences have one length."""
    n = len(sequences)
    columns = []
    for letters in zip(*sequences, strict=True):
        counts = Counter(letter for letter in letters if letter in AMINO_ACIDS)
        entropy = -sum(k / n * math.log2(k / n) for k in counts.values())
        total = max(0.0, math.log2(20) - entropy - 19 / (2 * math.log(2) * n)) if counts else 0.0
        columns.append(sorted(((letter, total * k / n) for letter, k in counts.items()), key=lambda pair: (pair[1], pair[0])))
    return columns


def draw_logo(designs: "Sequence[Written]", path: str | Path) -> None:
    """Draw the valid designs that share the commonest length and pins, to a PNG file; a bar lies under what was pinned.

    Designs of other lengths cannot be laid over one another; the title says how many are shown.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Rectangle

    groups = Counter((len(design.sequence), design.pinned_atoms) for design in designs if design.valid)
    (length, pinned), n = groups.most_common(1)[0] if groups else ((0, ()), 0)
    shown = [d.sequence for d in designs if d.valid and (len(d.sequence), d.pinned_atoms) == (length, pinned)]
    columns = heights(shown) if shown else []
    lines = max(1, math.ceil(length / ACROSS))
    figure, axes = plt.subplots(lines, 1, figsize=(12, 1.7 * lines + 0.5), squeeze=False, layout="constrained")
    for line, axis in enumerate(axes[:, 0]):
        first = line * ACROSS
        for place in range(first, min(first + ACROSS, length)):
            _stack(axis, place, columns[place])
            if place in pinned:
                axis.add_patch(Rectangle((place + 0.5, -0.35), 1, 0.2, color="#56B4E9", lw=0))
            if shown[0][place] == BREAK:
                axis.axvline(place + 1, color="0.6", lw=1, ls=":")
        axis.set(xlim=(first + 0.5, first + ACROSS + 0.5), ylim=(-0.4, math.log2(20)), ylabel="bits")
        axis.set_xticks(range(first + 10, first + ACROSS + 1, 10))
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{n} of {len(designs)} designs: valid, of length {length}, with the same pins (blue bar)", fontsize=10)
    figure.savefig(path, dpi=130, format="png")
    plt.close(figure)


def _stack(axis, place: int, letters: list[tuple[str, float]]) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    bottom = 0.0
    for letter, height in letters:
        if height > 0.02:
            outline = TextPath((0, 0), letter, size=1)
            box = outline.get_extents()
            fit = Affine2D().translate(-box.x0, -box.y0).scale(0.9 / max(box.width, 0.3), height / box.height)
            narrow = 0.45 * (1 - min(1.0, box.width / 0.3))  # I is narrow: keep it so, in the middle of its place
            fit.translate(place + 0.55 + narrow, bottom)
            axis.add_patch(PathPatch(fit.transform_path(outline), color=COLOR[letter], lw=0))
        bottom += height
