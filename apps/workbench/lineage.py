"""Which run came of which: runs and their parents as a graph, laid out as a forest from left to right."""

from typing import Any

Place = tuple[float, float]  # generation, row


def graph(runs: list[dict[str, Any]]) -> Any:
    """A networkx graph with an edge from each run to those that were begun from it; runs that are not listed are left out.

    A run has one parent at most, which is older than itself, so that the graph is a forest.
    """
    import networkx as nx

    found, born = nx.DiGraph(), {row["id"]: row["created"] for row in runs}
    found.add_nodes_from(born)
    found.add_edges_from((row["parent"], row["id"]) for row in runs if born.get(row["parent"], row["created"]) < row["created"])
    return found


def places(runs: list[dict[str, Any]]) -> dict[str, Place]:
    """Run → where it stands: a parent to the left of its children and in their middle, no two in one place.

    Each family takes rows of its own, the newest first.
    """
    import networkx as nx

    forest, born = graph(runs), {row["id"]: row["created"] for row in runs}
    found: dict[str, Place] = {}
    rows = 0
    families = sorted(nx.weakly_connected_components(forest), key=lambda family: -max(born[run] for run in family))
    for family in families:
        root = next(run for run in family if forest.in_degree(run) == 0)
        depth = nx.single_source_shortest_path_length(forest, root)
        for run in nx.dfs_postorder_nodes(forest, root, sort_neighbors=lambda around: sorted(around, key=born.__getitem__)):
            children = [found[child][1] for child in forest.successors(run)]
            if children:
                row = sum(children) / len(children)
            else:
                row, rows = float(rows), rows + 1
            found[run] = (float(depth[run]), row)
    return found
