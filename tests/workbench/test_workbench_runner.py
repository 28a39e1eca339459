"""Runs off the pages: the engine's own designs, cancelled at once, stopped when nobody looks, found again."""

import threading
import time

import pytest
from workbench_pages import PATIENCE, ended

from apps.workbench import runner as running
from apps.workbench.runner import Runner
from apps.workbench.store import Store
from apps.workbench.views.run import pace
from domains.design import DesignSpec, design, prepare
from domains.registry import bundled_models

TABLE = {"domain": "protein", "template": "{6-9}FSLF{4}", "n": 8, "model": "protein-composition", "batch_size": 4}


class Bare:
    def __init__(self, url: str, **more):
        self.store = Store(url)
        self.runner = Runner(self.store, bundled_models(), **more)


@pytest.fixture
def bare(tmp_path, makers):
    found = Bare(f"sqlite:///{tmp_path / 'runs.db'}", makers=makers)
    yield found
    found.runner.close()


def held(bare, monkeypatch) -> tuple[threading.Event, threading.Event]:
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


def test_the_designs_are_those_of_the_engine(bare):
    table = {**TABLE, "constraint": "count([C], 0..1)"}
    run = bare.runner.submit(table, "one")
    assert ended(bare, run)["state"] == "done"
    assert bare.store.results(run) == design(DesignSpec.from_dict(table)).designs
    progress = bare.runner.progress(run)
    assert progress.done == 8
    last = progress.frames[-1]
    shown = bare.store.results(run)[progress.place].sequence
    assert all(token in (None, letter) for token, letter in zip(last, shown, strict=True))
    pins = [letter for letter, free in zip(shown, progress.free, strict=True) if not free]
    assert "".join(pins) == "FSLF"


def test_a_cancelled_run_makes_no_further_pass(bare, monkeypatch):
    go, there = held(bare, monkeypatch)
    run = bare.runner.submit(TABLE)
    assert there.wait(PATIENCE)
    assert bare.runner.cancel(run)
    assert bare.store.state(run)["state"] == "cancelled"  # at once
    go.set()
    ended(bare, run)
    assert bare.store.state(run)["state"] == "cancelled"
    assert len(bare.store.results(run)) < 8
    assert not bare.runner.cancel(run)


@pytest.mark.parametrize("keep", [False, True])
def test_a_run_stops_when_its_page_is_closed_unless_it_is_kept(tmp_path, makers, monkeypatch, keep):
    monkeypatch.setattr(running, "GRACE", -1.0)
    there: set[str] = {"mine"}
    found = Bare(f"sqlite:///{tmp_path / 'runs.db'}", alive=there.__contains__, makers=makers)
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


def test_a_run_without_a_page_waits_and_goes_on_with_the_next(tmp_path, makers, monkeypatch):
    there: set[str] = {"mine"}
    found = Bare(f"sqlite:///{tmp_path / 'runs.db'}", alive=there.__contains__, makers=makers)
    go, reached = held(found, monkeypatch)
    run = found.runner.submit(TABLE, session="mine")
    assert reached.wait(PATIENCE)
    there.clear()
    frames = found.runner.progress(run, "mine").frames
    go.set()
    time.sleep(0.5)
    assert len(found.runner.progress(run, "mine").frames) <= len(frames) + 1  # the pass that was under way, and no other
    assert found.store.state(run)["state"] == "running"
    there.add("again")
    found.runner.progress(run, "again")
    assert ended(found, run)["state"] == "done"
    found.runner.close()


def test_another_page_that_looks_keeps_a_run_going(tmp_path, makers, monkeypatch):
    monkeypatch.setattr(running, "GRACE", -1.0)
    there = {"mine"}
    found = Bare(f"sqlite:///{tmp_path / 'runs.db'}", alive=there.__contains__, makers=makers)
    go, reached = held(found, monkeypatch)
    run = found.runner.submit(TABLE, session="mine")
    assert reached.wait(PATIENCE)
    there.symmetric_difference_update({"mine", "again"})  # loaded again: another session
    found.runner.progress(run, "again")
    go.set()
    assert ended(found, run)["state"] == "done"
    found.runner.close()


def test_what_an_earlier_process_left_is_marked_and_its_designs_are_kept(bare, monkeypatch):
    run = bare.runner.submit(TABLE)
    ended(bare, run)
    left = bare.store.submit(TABLE, "left")
    again = Runner(bare.store, bundled_models())
    assert bare.store.state(left)["state"] == "interrupted"
    assert bare.store.state(run)["state"] == "done"
    assert len(bare.store.results(run)) == 8
    again.close()


def test_conflicts_are_explained_before_a_run(bare):
    good = bare.runner.check({**TABLE, "constraint": "count([C], 0..1)"}).result(PATIENCE)
    assert good.trouble == ""
    table = {**TABLE, "constraint": "count([F], 5..) & within(gap1, ban([F])) & within(gap2, ban([F]))"}
    bad = bare.runner.check(table).result(PATIENCE)
    assert "ban([F])" in bad.trouble
    assert "within(gap2, ban([F]))" in bad.trouble
    assert bare.runner.check({**table, "n": 3}) is bare.runner.check(table)  # how many is no matter


def test_a_check_makes_no_pass(bare, monkeypatch):
    def asked(*given):
        raise RuntimeError("a pass")

    monkeypatch.setattr("seqdiff.samplers.drive.answer", asked)
    table = {**TABLE, "constraint": "count([C], 0..1)"}
    assert bare.runner.check(table).result(PATIENCE).trouble == ""
    with pytest.raises(RuntimeError, match="a pass"):  # what it would be: the lengths of the run itself are weighed
        prepare(DesignSpec.from_dict(table))


def test_a_model_that_is_not_offered_is_refused(bare):
    assert "model: expected one of" in bare.runner.check({**TABLE, "model": "./elsewhere"}).result(PATIENCE).trouble
    run = bare.runner.submit({**TABLE, "model": "/etc"})
    assert ended(bare, run)["state"] == "failed"
    assert "model: expected one of" in bare.store.state(run)["error"]


def test_places_without_a_design_are_told(bare):
    run = bare.runner.submit({**TABLE, "n": 2, "wishes": ["valid", "charge >= 1"], "particles": 2})
    row = ended(bare, run)
    assert row["state"] == "done"
    assert len(bare.store.results(run)) + len(row["missing"]) == 2


def test_marks_are_kept(bare):
    run = bare.store.submit(TABLE)
    bare.store.mark(run, 3, True, "take <b>this</b>")
    bare.store.mark(run, 3, False, "or not")
    bare.store.mark(run, 5, True, "")
    assert bare.store.marks(run) == {3: (False, "or not"), 5: (True, "")}


def test_rate_and_time_left():
    progress = running.Progress(10, done=4, begun=time.monotonic() - 2)
    assert progress.rate == pytest.approx(2, rel=0.05)
    assert progress.left == pytest.approx(3, rel=0.05)
    assert running.Progress(10).left is None
    half = running.Progress(10, done=4, filled={4: 0.5, 5: 0.25}, begun=time.monotonic() - 2)
    assert half.rate == pytest.approx(2.375, rel=0.05)
    assert pace(2.0) == "2.0 a second"
    assert pace(0.1) == "6.0 a minute"
