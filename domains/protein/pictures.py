"""Pictures of a set of designs (the logo has a module of its own): figures against natural proteins', and pairwise identity."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from domains.protein.properties import describe
from domains.protein.scores import Scored, pairwise_identity
from seqdiff.errors import ConfigError

FIGURES = {"length": "residues", "charge": "net charge at pH 7", "pi": "isoelectric point", "gravy": "GRAVY",
           "instability": "instability index", "moment": "hydrophobic moment"}  # fmt: skip
MOST = 300  # designs of an identity map


def draw_histograms(designs: Sequence[Scored], path: str | Path, natural: Sequence[str] = ()) -> None:
    """Histograms of FIGURES of the valid designs, and of natural proteins beside them, each of area 1, to a PNG file."""
    sets = {"designs": [design.sequence for design in designs if design.valid]}
    sets |= {"natural": list(natural)} if natural else {}
    found = {name: [one.metrics for one in map(describe, texts) if one.valid] for name, texts in sets.items()}
    if not all(found.values()):
        raise ConfigError(
            f"pictures: there is nothing to draw, no valid sequence among the {min(found, key=lambda n: len(found[n]))}"
        )
    plt = _matplotlib()
    figure, axes = plt.subplots(2, 3, figsize=(11, 5.5), layout="constrained")
    for axis, (name, title) in zip(axes.flat, FIGURES.items(), strict=True):
        values = {which: np.array([float(m[name] or 0) for m in metrics]) for which, metrics in found.items()}
        low, high = min(v.min() for v in values.values()), max(v.max() for v in values.values())
        edges = np.linspace(low, high if high > low else low + 1, 25)
        for (which, numbers), color in zip(values.items(), ("#0072B2", "#999999"), strict=False):
            axis.hist(numbers, edges, density=True, alpha=0.6, color=color, label=f"{which}, n = {len(numbers):,}")
        axis.set(xlabel=title, yticks=[])
        axis.spines[["top", "right", "left"]].set_visible(False)
    axes.flat[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=130, format="png")
    plt.close(figure)


def identity_matrix(sequences: Sequence[str]) -> np.ndarray:
    """(n, n) pairwise identity."""
    n = len(sequences)
    found = np.eye(n)
    for i in range(n):
        for j in range(i):
            found[i, j] = found[j, i] = pairwise_identity(sequences[i], sequences[j])
    return found


def draw_identity_map(designs: Sequence[Scored], path: str | Path) -> np.ndarray:
    """A map of the pairwise identity of the valid designs, like ones side by side, to a PNG file; returns the matrix drawn.

    Each design is followed by the one most like it of those that are left. Of more than MOST designs the first are drawn.
    """
    valid = [design.sequence for design in designs if design.valid]
    if len(valid) < 2:
        raise ConfigError(f"pictures: expected at least two valid designs to compare, got {len(valid)}")
    matrix = identity_matrix(valid[:MOST])
    order, left = [0], set(range(1, len(matrix)))
    while left:
        order.append(max(left, key=lambda i: (matrix[order[-1], i], -i)))
        left.remove(order[-1])
    matrix = matrix[np.ix_(order, order)]
    plt = _matplotlib()
    figure, axis = plt.subplots(figsize=(6.2, 5.2), layout="constrained")
    shown = axis.imshow(matrix, vmin=0, vmax=1, cmap="viridis", interpolation="nearest")
    figure.colorbar(shown, label="identity")
    mean = matrix[~np.eye(len(matrix), dtype=bool)].mean()
    axis.set(xlabel="design", ylabel="design", title=f"{len(matrix)} of {len(valid)} valid designs, mean identity {mean:.2f}")
    figure.savefig(path, dpi=130, format="png")
    plt.close(figure)
    return matrix


def _matplotlib():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
