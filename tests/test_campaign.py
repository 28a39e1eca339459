"""Campaigns on a goal that needs no chemistry: bits of a word that are ones."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

from domains.campaign.archive import Archive, Candidate, area_under_top, choose, top_curve
from domains.campaign.lineage import ancestry, lineage, write_lineage
from domains.campaign.loop import campaign
from seqdiff.errors import ConfigError


@dataclass
class Flips:
    """Words of zeros and ones; a child has one letter of its parent changed."""

    length: int = 12
    batch: int = 8

    def start(self, rng):
        return [Candidate("0" * self.length, "0" * self.length)]

    def propose(self, archive, rng):
        made = []
        for parent in choose(archive.population(50), self.batch, rng):
            at = int(rng.integers(self.length))
            text = parent.text[:at] + str(1 - int(parent.text[at])) + parent.text[at + 1 :]
            made.append(Candidate(text, text, parents=(parent.call,), how="flip"))
        return made


def ones(text: str) -> float:
    return text.count("1")


def run(path=None, goal=ones, budget=60, seed=3, proposer=None):
    return campaign(goal, proposer or Flips(), budget, seed, Archive(), {"goal": "ones"}, path, save_every=0)


def history(outcome):
    return [(e.text, e.score, e.parents, e.generation) for e in outcome.archive.entries]


def test_a_campaign_spends_its_budget_on_distinct_texts_and_gets_better():
    asked = []

    def goal(text):
        asked.append(text)
        return ones(text)

    outcome = run(goal=goal)
    assert len(asked) == len(set(asked)) == len(outcome.archive) == 60
    assert outcome.archive.best(1)[0].score >= 8
    assert history(run()) == history(outcome)
    assert history(run(seed=4)) != history(outcome)


@pytest.mark.parametrize("stop", [1, 7, 20, 21, 43, 59])
def test_after_ctrl_c_it_goes_on_as_if_unbroken_and_asks_for_nothing_twice(tmp_path, stop):
    asked = []

    def interrupted(text):
        if len(asked) == stop:
            raise KeyboardInterrupt
        asked.append(text)
        return ones(text)

    def counted(text):
        asked.append(text)
        return ones(text)

    path = tmp_path / "campaign.json"
    first = run(path, interrupted)
    assert not first.complete and path.exists()
    second = run(path, counted)
    assert second.complete and history(second) == history(run())
    assert len(asked) == len(set(asked)) == 60


def test_after_a_kill_it_goes_on_from_the_last_file(tmp_path):
    path, kept = tmp_path / "campaign.json", []

    class Killed(BaseException):
        pass

    def goal(text):
        if len(kept) == 44:
            raise Killed
        kept.append(text)
        return ones(text)

    with pytest.raises(Killed):
        run(path, goal)
    assert 0 < len(json.loads(path.read_text())["entries"]) < 44
    assert history(run(path)) == history(run())
    assert not list(tmp_path.glob("*.partial"))


def test_a_finished_campaign_is_read_back_without_a_call(tmp_path):
    path = tmp_path / "campaign.json"
    outcome = run(path)

    def never(text):
        raise AssertionError(text)

    assert history(run(path, never)) == history(outcome)


def test_a_file_of_another_campaign_is_refused(tmp_path):
    path = tmp_path / "campaign.json"
    run(path)
    with pytest.raises(ConfigError, match="its budget is 60 and here it is 61"):
        run(path, budget=61)
    path.write_text('{"version": 1}')
    with pytest.raises(ConfigError, match="expected a campaign's file of version 1"):
        run(path)


def test_it_stops_where_nothing_new_is_left():
    outcome = run(budget=100, proposer=Flips(length=3))
    assert outcome.exhausted and outcome.complete and len(outcome.archive) == 8


def test_refused_candidates_cost_a_call_and_are_no_parents():
    outcome = run(goal=lambda text: -math.inf if text[0] == "1" else ones(text))
    refused = {e.call for e in outcome.archive.entries if e.score == -math.inf}
    assert refused and not any(refused & set(e.parents) for e in outcome.archive.entries)
    with pytest.raises(ConfigError, match="expected a finite number, or −inf to refuse, got nan"):
        run(goal=lambda text: math.nan)


def test_parents_are_drawn_log_uniformly_by_rank():
    archive = Archive()
    for k in range(100):
        archive.add(Candidate(str(k), str(k)), -float(k), 0)
    drawn = choose(archive.population(100), 40_000, np.random.default_rng(0))
    ranks = np.bincount([int(e.text) for e in drawn], minlength=100) / 40_000
    # the best of m = ⌈100^u⌉ is each of the first m alike: P(rank 0) = Σ_m P(m)/m, P(m) = log(m/(m − 1))/log 100
    m = np.arange(2, 101)
    mass = np.log(m / (m - 1)) / math.log(100)
    assert ranks[0] == pytest.approx((mass / m).sum(), abs=0.01)
    assert ranks[:10].sum() == pytest.approx((mass * np.minimum(1, 10 / m)).sum(), abs=0.01)


def test_a_population_is_not_one_family():
    scored = (("a1", 9), ("a2", 8), ("a3", 7), ("b1", 6), ("a4", 5), ("c4", 4), ("c5", 3))
    families, numbers = (lambda text: text[0], 2), (lambda text: text[1], 1)
    for niches, expected in (
        ([families], ["a1", "a2", "b1", "c4"]),
        ([numbers], ["a1", "a2", "a3", "a4"]),
        ([families, numbers], ["a1", "a2", "c4", "c5"]),
        ([], ["a1", "a2", "a3", "b1"]),
    ):
        archive = Archive(niches)
        for text, score in scored:
            archive.add(Candidate(text, text), score, 0)
        assert [e.text for e in archive.population(4)] == expected
        assert [e.text for e in archive.best(3)] == ["a1", "a2", "a3"]
    with pytest.raises(ConfigError, match="crowd: expected at least 1 of a niche, got 0"):
        Archive([(str, 0)])


def test_the_area_under_the_top_curve_by_hand():
    scores = [0.5] * 100 + [1.0] * 100
    calls, means = top_curve(scores, k=10)
    assert calls.tolist() == [100, 200] and means.tolist() == [0.5, 1.0]
    # trapezes: 100·(0 + 0.5)/2 + 100·(0.5 + 1)/2, and the last value for the 200 calls that were not made
    assert area_under_top(scores, budget=400) == pytest.approx((25 + 75 + 200) / 400)


def test_the_lineage_leads_from_the_best_to_the_start(tmp_path):
    import networkx as nx

    outcome = run()
    graph = lineage(outcome.archive.entries)
    best = outcome.archive.best(1)[0]
    line = ancestry(graph, [best.call])
    assert nx.is_directed_acyclic_graph(graph) and [n for n in line if not line.in_degree(n)] == [0]
    assert all(
        sum(a != b for a, b in zip(line.nodes[p]["text"], line.nodes[c]["text"], strict=True)) == 1 for p, c in line.edges
    )
    for suffix in (".graphml", ".json", ".png"):
        write_lineage(line, tmp_path / f"lineage{suffix}")
    again = nx.read_graphml(tmp_path / "lineage.graphml", node_type=int)
    assert set(again.edges) == set(line.edges) and again.nodes[best.call]["text"] == best.text
    assert (tmp_path / "lineage.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ConfigError, match="expected a file that ends in .graphml"):
        write_lineage(line, tmp_path / "lineage.txt")
