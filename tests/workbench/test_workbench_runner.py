"""Runs off the pages: the engine's own designs, cancelled at once, stopped when nobody looks, found again."""

import threading
import time

import pytest
from workbench_pages import PATIENCE, ended

from apps.workbench import runner as running
from apps.workbench.runner import Runner
from apps.workbench.store import Store
from domains.design import DesignSpec, design
from domains.registry import bundled_models

TABLE = {"domain": "protein", "template": "{6-9}FSLF{4}", "n": 8, "model": "protein-composition", "batch_size": 4}


class Bench:
    def __init__(self, url: str, **more):
        self.store = Store(url)
        self.runner = Runner(self.store, bundled_models(), **more)


@pytest.fixture
def bench(tmp_path):
    found = Bench(f"sqlite:///{tmp_path / 'runs.db'}")
    yield found
    found.runner.close()


def held(bench, monkeypatch) -> tuple[threading.Event, threading.Event]:
    """The next run stops before its second pass until the event is set; the other says that it got there."""
    go, there = threading.Event(), threading.Event()
    watch, passes = Runner._watch, []

    def slow(self, *given):
        watch(self, *given)
        passes.append(1)
        if len(passes) == 2:
            there.set()
            go.wait(PATIENCE)

    monkeypatch.setattr(Runner, "_watch", slow)
    return go, there


def test_the_designs_are_those_of_the_engine(bench):
    table = {**TABLE, "constraint": "count([C], 0..1)"}
    run = bench.runner.submit(table, "one")
    assert ended(bench, run)["state"] == "done"
    assert bench.store.results(run) == design(DesignSpec.from_dict(table)).designs
    progress = bench.runner.progress(run)
    assert progress.done == 8
    last = progress.frames[-1]
    shown = bench.store.results(run)[progress.place].sequence
    assert all(token in (None, letter) for token, letter in zip(last, shown, strict=True))
    pins = [letter for letter, free in zip(shown, progress.free, strict=True) if not free]
    assert "".join(pins) == "FSLF"


def test_a_cancelled_run_makes_no_further_pass(bench, monkeypatch):
    go, there = held(bench, monkeypatch)
    run = bench.runner.submit(TABLE)
    assert there.wait(PATIENCE)
    assert bench.runner.cancel(run)
    assert bench.store.state(run)["state"] == "cancelled"  # at once
    go.set()
    ended(bench, run)
    assert bench.store.state(run)["state"] == "cancelled"
    assert len(bench.store.results(run)) < 8
    assert not bench.runner.cancel(run)


@pytest.mark.parametrize("keep", [False, True])
def test_a_run_stops_when_its_page_is_closed_unless_it_is_kept(tmp_path, monkeypatch, keep):
    monkeypatch.setattr(running, "GRACE", -1.0)
    there: set[str] = {"mine"}
    found = Bench(f"sqlite:///{tmp_path / 'runs.db'}", alive=there.__contains__)
    go, reached = held(found, monkeypatch)
    run = found.runner.submit(TABLE, session="mine", keep=keep)
    assert reached.wait(PATIENCE)
    there.clear()
    go.set()
    row = ended(found, run)
    assert row["state"] == ("done" if keep else "interrupted")
    assert keep or "page was closed" in row["error"]
    assert (len(found.store.results(run)) == 8) == keep
    found.runner.close()


def test_another_page_that_looks_keeps_a_run_going(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "GRACE", -1.0)
    there = {"mine"}
    found = Bench(f"sqlite:///{tmp_path / 'runs.db'}", alive=there.__contains__)
    go, reached = held(found, monkeypatch)
    run = found.runner.submit(TABLE, session="mine")
    assert reached.wait(PATIENCE)
    there.symmetric_difference_update({"mine", "again"})  # loaded again: another session
    found.runner.progress(run, "again")
    go.set()
    assert ended(found, run)["state"] == "done"
    found.runner.close()


def test_what_an_earlier_process_left_is_marked_and_its_designs_are_kept(bench, monkeypatch):
    run = bench.runner.submit(TABLE)
    ended(bench, run)
    left = bench.store.submit(TABLE, "left")
    again = Runner(bench.store, bundled_models())
    assert bench.store.state(left)["state"] == "interrupted"
    assert bench.store.state(run)["state"] == "done"
    assert len(bench.store.results(run)) == 8
    again.close()


def test_conflicts_are_explained_before_a_run(bench):
    good = bench.runner.check({**TABLE, "constraint": "count([C], 0..1)"}).result(PATIENCE)
    assert good.trouble == ""
    table = {**TABLE, "constraint": "count([F], 5..) & within(gap1, ban([F])) & within(gap2, ban([F]))"}
    bad = bench.runner.check(table).result(PATIENCE)
    assert "ban([F])" in bad.trouble
    assert "within(gap2, ban([F]))" in bad.trouble
    assert bench.runner.check({**table, "n": 3}) is bench.runner.check(table)  # how many is no matter


def test_a_model_that_is_not_offered_is_refused(bench):
    assert "model: expected one of" in bench.runner.check({**TABLE, "model": "./elsewhere"}).result(PATIENCE).trouble
    run = bench.runner.submit({**TABLE, "model": "/etc"})
    assert ended(bench, run)["state"] == "failed"
    assert "model: expected one of" in bench.store.state(run)["error"]


def test_places_without_a_design_are_told(bench):
    run = bench.runner.submit({**TABLE, "n": 2, "wishes": ["valid", "charge >= 1"], "particles": 2})
    row = ended(bench, run)
    assert row["state"] == "done"
    assert len(bench.store.results(run)) + len(row["missing"]) == 2


def test_marks_are_kept(bench):
    run = bench.store.submit(TABLE)
    bench.store.mark(run, 3, True, "take <b>this</b>")
    bench.store.mark(run, 3, False, "or not")
    bench.store.mark(run, 5, True, "")
    assert bench.store.marks(run) == {3: (False, "or not"), 5: (True, "")}


def test_rate_and_time_left():
    progress = running.Progress(10, done=4, begun=time.monotonic() - 2)
    assert progress.rate == pytest.approx(2, rel=0.05)
    assert progress.left == pytest.approx(3, rel=0.05)
    assert running.Progress(10).left is None
