"""Which run came of which, and what two runs share."""

import random

import networkx as nx
from workbench_pages import hostile

from apps.workbench.lineage import graph, places
from apps.workbench.views.compare import differences, shared


def run(name: str, born: float, parent: str | None = None) -> dict:
    return {"id": name, "created": born, "parent": parent}


def test_parents_stand_to_the_left_and_no_two_runs_in_one_place():
    draw = random.Random(0)
    for _ in range(50):
        runs: list[dict] = []
        for k in range(draw.randint(1, 30)):
            older = [None, *(row["id"] for row in runs)]
            runs.append(run(f"r{k}", float(k), draw.choice(older)))
        draw.shuffle(runs)
        found, tree = places(runs), graph(runs)
        assert nx.is_forest(tree)
        assert len(set(found.values())) == len(runs)
        for parent, child in tree.edges:
            assert found[parent][0] + 1 == found[child][0]
        for parent in tree:
            rows = [found[child][1] for child in tree.successors(parent)]
            assert not rows or min(rows) <= found[parent][1] <= max(rows)
        families = [{found[name][1] for name in family} for family in nx.weakly_connected_components(tree)]
        assert all(max(a) < min(b) or max(b) < min(a) for a in families for b in families if a is not b)


def test_a_parent_that_is_not_listed_or_not_older_is_left_out():
    runs = [run("a", 1.0, "gone"), run("b", 2.0, "b"), run("c", 3.0, "d"), run("d", 4.0, "c")]
    assert list(graph(runs).edges) == [("c", "d")]


def test_what_is_asked_differently():
    one = {"spec": {"domain": "text", "template": "A {2}.", "n": 8, "wishes": ["valid"], "batch_size": 4}}
    other = {"spec": {"domain": "text", "template": "A {3}.", "n": 8, "label": "scene", "batch_size": 8}}
    assert differences([one, other]) == {
        "label": ["–", "scene"],
        "template": ["A {2}.", "A {3}."],
        "wishes": ["valid", "–"],
    }


def test_designs_that_runs_share():
    def made(*names: str, valid: bool = True) -> list:
        from dataclasses import replace

        return [replace(hostile(name), valid=valid, canonical=name) for name in names]

    found = {"a": made("x", "y", "x"), "b": made("y", "z"), "c": [*made("y"), *made("z", valid=False)]}
    assert shared(found) == {"y": ["a", "b", "c"]}
