"""Who came from whom: the lineage of a campaign as a graph, written and drawn."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from domains.campaign.archive import Entry
from seqdiff.errors import ConfigError

SUFFIXES = (".graphml", ".json", ".png", ".svg")


def lineage(entries: Sequence[Entry]):
    """A networkx DiGraph, parent → child; nodes are calls with text, score (none where refused), generation and how."""
    import networkx as nx

    graph = nx.DiGraph()
    for entry in entries:
        graph.add_node(entry.call, text=entry.text, written=entry.written, generation=entry.generation, how=entry.how)
        if entry.score > -math.inf:
            graph.nodes[entry.call]["score"] = entry.score
        graph.add_edges_from((parent, entry.call) for parent in entry.parents)
    return graph


def ancestry(graph, calls: Iterable[int]):
    """The part of a lineage that led to `calls`."""
    import networkx as nx

    wanted = set(calls)
    return graph.subgraph(wanted.union(*(nx.ancestors(graph, call) for call in wanted))).copy()


def write_lineage(graph, path: Path) -> None:
    """As .graphml, .json (node-link), .png or .svg. Raises ConfigError for another suffix."""
    import json

    import networkx as nx

    if path.suffix == ".graphml":
        nx.write_graphml(graph, path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(nx.node_link_data(graph, edges="edges"), ensure_ascii=False) + "\n", encoding="utf-8")
    elif path.suffix in SUFFIXES:
        draw_lineage(graph, path)
    else:
        raise ConfigError(f"lineage: expected a file that ends in {', '.join(SUFFIXES)}; got {path}")


def draw_lineage(graph, path: Path) -> None:
    """Every scored node at (call, score), its edges to its parents, coloured by the move that made it."""
    import networkx as nx
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    place = {call: (call, node["score"]) for call, node in graph.nodes(data=True) if "score" in node}
    shown = graph.subgraph(place)
    figure = Figure(figsize=(9, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    nx.draw_networkx_edges(shown, place, ax=axes, arrows=False, width=0.5, edge_color="0.7")
    moves = sorted({node["how"] for _, node in shown.nodes(data=True)})
    for k, how in enumerate(moves):
        calls = [call for call, node in shown.nodes(data=True) if node["how"] == how]
        axes.scatter(*zip(*(place[call] for call in calls), strict=True), s=14, color=f"C{k}", label=how, zorder=3)
    axes.tick_params(left=True, bottom=True, labelleft=True, labelbottom=True)
    axes.set(xlabel="oracle call", ylabel="score")
    axes.legend(title="made by", frameon=False)
    figure.savefig(path, dpi=150)
