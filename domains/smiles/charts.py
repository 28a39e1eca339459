"""The charts of a report: laws of properties beside the reference's, a map of chemical space, the lineage of a campaign.

Each is a matplotlib Figure on a transparent ground, in few colours: INK, FAINT and LINE for what is written, OURS and THEIRS
for designs and reference, BEST for a line of descent. Blue and vermilion are those of Okabe and Ito (2008), told apart by eyes
of every kind. `as_svg` writes them as CSS variables of the same names, so that a page can be light or dark.
"""

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from domains.smiles.metrics.sample import Sample
from seqdiff.errors import ConfigError

INK, FAINT, LINE, OURS, THEIRS, BEST = "#1f2933", "#6b7785", "#dde1e6", "#0072b2", "#b6bfc9", "#d55e00"
COLOURS = {INK: "ink", FAINT: "faint", LINE: "line", OURS: "ours", THEIRS: "theirs", BEST: "best"}
SHOWN = {
    "qed": "QED",
    "sa": "SA, 1 easy to 10 hard",
    "logp": "logP",
    "weight": "weight, g/mol",
    "tpsa": "TPSA, Å²",
    "rings": "rings",
}
BINS = 24
BITS = 2048  # of the fingerprints on the map
MOST_POINTS = 1000  # of the reference on the map
MOST_NODES = 1000  # of a lineage
NAMED = 12  # designs with their number on the map, where there is room
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
}


def as_svg(figure, name: str) -> str:
    """SVG text, the same every time; `name` keeps its ids apart from those of other figures on a page."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return with_variables(out.getvalue())


def with_variables(svg: str, colours: dict[str, str] | None = None) -> str:
    """SVG text in which fixed colours (#rrggbb → name) are CSS variables with these colours to fall back on."""
    names = {colour.lower(): name for colour, name in (colours or COLOURS).items()}

    def variable(found: re.Match) -> str:
        colour = found[0].lower()
        return f"var(--{names[colour]}, {colour})" if colour in names else found[0]

    svg = re.sub(r"""\b(fill|stroke)=(['"])(#[0-9A-Fa-f]{6})\2""", r"style=\2\1:\3\2", svg)  # no variables in attributes
    return re.sub(r"#[0-9A-Fa-f]{6}\b", variable, svg)


def save_png(figure, path: Path) -> None:
    """On white."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure.savefig(path, format="png", dpi=160, facecolor="white")


def _figure(width: float, height: float, rows: int = 1, columns: int = 1):
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False)


def histograms(values: Mapping[str, Sequence[float]], reference: Sample | None):
    """Shares of designs (line) and reference (grey) in equal bins of six properties; what lies beyond is in the end bins.

    values: name → (n,) of the designs; the bins go from the 1st to the 99th percentile of both.
    """
    figure, axes = _figure(8.6, 4.4, 2, 3)
    for axis, (name, title) in zip(axes.flat, SHOWN.items(), strict=True):
        ours = np.array(values.get(name, ()), float)
        theirs = np.zeros(0) if reference is None else reference.figures[name].astype(float)
        if len(ours) or len(theirs):
            _histogram(axis, ours, theirs, name == "rings")
        axis.set_xlabel(title)
        axis.tick_params(left=False, labelleft=False)
        axis.spines["left"].set_visible(False)
    return figure


def _histogram(axis, ours: np.ndarray, theirs: np.ndarray, counted: bool) -> None:
    low, high = np.quantile(np.concatenate([np.quantile(x, (0.01, 0.99)) for x in (ours, theirs) if len(x)]), (0, 1))
    if counted:
        edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5
    else:
        edges = np.linspace(low, high, BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    inner = (edges[:-1] + edges[1:]) / 2

    def shares(x: np.ndarray) -> np.ndarray:
        return np.histogram(np.clip(x, inner[0], inner[-1]), edges)[0] / len(x)

    if len(theirs):
        axis.stairs(shares(theirs), edges, fill=True, color=THEIRS, label="reference")
    if len(ours):
        axis.stairs(shares(ours), edges, color=OURS, lw=1.6, label="designs")
        axis.plot([np.median(ours)], [0], marker="^", color=OURS, ms=6, clip_on=False, zorder=4)
    axis.set_ylim(bottom=0)


def principal_axes(prints: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """(mean (m,), axes (m, 2), share of the variance on them) of fingerprints (n, m), n ≥ 3.

    The eigenvectors of the covariance with the two largest eigenvalues (Pearson 1901), the largest entry of each positive.
    """
    mean = prints.mean(0)
    centred = (prints - mean).astype(np.float64)
    few = len(centred) < centred.shape[1]  # the smaller of the two matrices of products has the same eigenvalues
    values, vectors = np.linalg.eigh(centred @ centred.T if few else centred.T @ centred)
    axes = vectors[:, [-1, -2]]
    if few:
        axes = centred.T @ axes
        axes /= np.maximum(np.linalg.norm(axes, axis=0), 1e-12)
    axes *= np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1.0, 1.0)
    return mean, axes, float(values[-2:].clip(min=0).sum() / max(values.clip(min=0).sum(), 1e-12))


def chemical_map(smiles: Sequence[str], numbers: Sequence[int], reference: Sample | None):
    """(figure, share of variance shown, how many of the reference are shown); None where fewer than 3 molecules fix the axes.

    Molecules on the two principal axes of the reference's fingerprints, or of the designs' own without one. The first
    designs have their numbers beside them, as far as there is room.
    """
    made = Sample.of(smiles).fingerprints(BITS) if smiles else np.zeros((0, BITS), np.float32)
    base = made if reference is None else reference.fingerprints(BITS)
    if len(base) < 3 or not np.ptp(base, axis=0).any():
        return None
    mean, axes, share = principal_axes(base)
    x, y = ((made - mean) @ axes).T
    figure, grid = _figure(6.4, 4.6)
    axis = grid[0, 0]
    shown = 0
    if reference is not None:
        every = -(-len(base) // MOST_POINTS)  # the classes of a model stand one after the other: take of all of them
        theirs = ((base - mean) @ axes)[::every]
        shown = len(theirs)
        axis.scatter(*theirs.T, s=7, color=THEIRS, lw=0, label="reference")
    axis.scatter(x, y, s=20, color=OURS, lw=0, label="designs", zorder=3)
    room = 0.05 * max(np.ptp(x), np.ptp(y), 1e-9) if reference is None else 0.05 * float(np.ptp(theirs, axis=0).max())
    named: list[int] = []
    for k, number in enumerate(numbers[:NAMED]):
        if any(np.hypot(x[k] - x[j], y[k] - y[j]) < room for j in named):
            continue
        named.append(k)
        axis.annotate(str(number), (x[k], y[k]), (3, 3), textcoords="offset points", fontsize=8, color=INK, zorder=4)
    axis.set(xlabel="first principal axis", ylabel="second", xticks=[], yticks=[])
    axis.set_aspect("equal", "datalim")
    return figure, share, shown


def score_of(node: dict) -> float:
    """NaN where a node has no score, or none that is a number."""
    value = node.get("score")
    return float(value) if isinstance(value, (int, float)) and np.isfinite(value) else float("nan")


def line_of_descent(graph) -> list:
    """From the best-scored node back, at each step to the best-scored parent; the ancestor first."""
    scored = [node for node, data in graph.nodes(data=True) if np.isfinite(score_of(data))]
    if not scored:
        return []
    line = [max(scored, key=lambda node: score_of(graph.nodes[node]))]
    while parents := [p for p in graph.predecessors(line[-1]) if np.isfinite(score_of(graph.nodes[p]))]:
        line.append(max(parents, key=lambda node: score_of(graph.nodes[node])))
    return line[::-1]


def lineage_chart(graph):
    """(figure, nodes shown, nodes in all): scores by generation, the longest way from a node without parents.

    Of more than 1,000 nodes the best-scored are shown. Raises ConfigError for a graph with a cycle or without scores.
    """
    import networkx as nx
    from matplotlib.collections import LineCollection

    if not nx.is_directed_acyclic_graph(graph):
        raise ConfigError("lineage: expected a directed graph without cycles, parents before children, got another")
    line = line_of_descent(graph)
    if not line:
        raise ConfigError("lineage: expected nodes with a `score`, got none")
    depth: dict = {}
    for node in nx.topological_sort(graph):
        depth[node] = max((depth[parent] + 1 for parent in graph.predecessors(node)), default=0)
    scored = {node: score_of(data) for node, data in graph.nodes(data=True) if np.isfinite(score_of(data))}
    shown = {*sorted(scored, key=lambda node: -scored[node])[:MOST_NODES], *line}
    place = {node: (depth[node], scored[node]) for node in shown}
    figure, grid = _figure(6.4, 3.8)
    axis = grid[0, 0]
    edges = [(place[a], place[b]) for a, b in graph.edges if a in shown and b in shown]
    axis.add_collection(LineCollection(edges, colors=LINE, linewidths=0.6, zorder=1))
    axis.scatter(*zip(*place.values(), strict=True), s=10, color=OURS, lw=0, zorder=2)
    axis.plot(*zip(*(place[node] for node in line), strict=True), color=BEST, lw=1.6, marker="o", ms=4, zorder=3)
    axis.set(xlabel="generation", ylabel="score")
    axis.xaxis.get_major_locator().set_params(integer=True)
    return figure, len(shown), graph.number_of_nodes()
