"""Runs at work: off the script threads of the pages, a few at a time, cancelled before their next pass, kept in the store.

A run belongs to the sessions that look at it. When the last has closed its page, no further pass is made; a page that is
loaded again within some seconds finds the run and it goes on, otherwise it ends. A run that is to go on in the background does.
"""

import gc
import importlib
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from apps.workbench.maker import Failed, Makers
from apps.workbench.progress import Progress
from apps.workbench.remote import Remote
from apps.workbench.store import Store, design_of

GRACE = 30.0  # seconds that a run without a page waits for one
PAUSE = 0.1  # seconds between two looks for it
CHECKS = 256  # requests whose check is remembered
FRAMES = 400  # states of the row that is shown
ENDED = 64  # runs that have ended whose progress is kept


class Stopped(Exception):
    """The run is to end before its next pass; the reason is its state in the store."""


@dataclass(frozen=True)
class Check:
    """Whether a request can be answered: "" in `trouble`, or what is wrong; how its lengths are shared is in `ways`."""

    trouble: str = ""
    ways: tuple[str, ...] = ()


class Runner:
    """Threads over a store. They follow runs, which are made by processes of their own, or by a service.

    Args:
        folders: name → checkpoint folder of the models that are offered.
        workers: how many runs are made at a time.
        alive: whether a session's page is still open.
        remote: the service that makes the runs, None to make them here.
        makers: the processes, None for some that end with the runner.
    """

    def __init__(
        self,
        store: Store,
        folders: dict[str, Path],
        workers: int = 2,
        alive: Callable[[str], bool] = lambda _: True,
        remote: Remote | None = None,
        makers: Makers | None = None,
    ):
        self.store, self.folders, self.alive, self.remote = store, folders, alive, remote
        self.makers, self._own = makers or Makers(workers), makers is None
        self._runs: SimpleQueue[tuple[str, dict[str, Any]] | None] = SimpleQueue()
        # Daemons: the server does not wait for a run to finish when it is to end.
        self._threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(workers)]
        self._checking, self._warming = ThreadPoolExecutor(1, "check"), ThreadPoolExecutor(1, "warm")
        self._checks: dict[str, Future[Check]] = {}
        self._models: dict[str, Any] = {}
        self._progress: dict[str, Progress] = {}
        self._warmed = False
        self._lock, self._load = threading.Lock(), threading.Lock()
        store.interrupt()
        for thread in self._threads:
            thread.start()

    # ── models ──

    def warm(self, tables: Iterable[dict[str, Any]], modules: Iterable[str] = ()) -> None:
        """Load in the background, once, all that these requests need to be checked, and then modules."""
        if not self._warmed:
            self._warmed = True
            self._warming.submit(self._warm, tuple(tables), tuple(modules))

    def _warm(self, tables: tuple[dict[str, Any], ...], modules: tuple[str, ...]) -> None:
        from domains.registry import get_domain

        for table in tables:
            with self._load:  # a check loads its model before it uses the domain: it waits for these imports
                get_domain(table["domain"])
            self._check(table)
        for module in modules:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # Streamlit collects garbage after each page: a third of a second among all that was loaded here
        if self.remote is None:
            self.makers.start()

    def checkpoint(self, name: str) -> Any:
        """A model that is offered, loaded once. Raises ConfigError for another name."""
        from seqdiff.checkpoint import load_checkpoint

        folder = self._folder(name)
        with self._load:
            if name not in self._models:
                self._models[name] = load_checkpoint(folder)
            return self._models[name]

    def _folder(self, name: str) -> Path:
        from seqdiff.errors import ConfigError

        if name not in self.folders:
            raise ConfigError(f"model: expected one of {', '.join(sorted(self.folders))}; got {name!r}")
        return self.folders[name]

    # ── checks ──

    def check(self, table: dict[str, Any]) -> "Future[Check]":
        """Whether the request can be answered, found out in the background and remembered."""
        key = repr(sorted((name, value) for name, value in table.items() if name not in ("n", "seed", "batch_size")))
        with self._lock:
            if key not in self._checks:
                while len(self._checks) >= CHECKS:
                    self._checks.pop(next(iter(self._checks)))
                self._checks[key] = self._checking.submit(self._check, dict(table))
            return self._checks[key]

    def _check(self, table: dict[str, Any]) -> Check:
        from domains.design import DesignSpec, prepare
        from seqdiff.errors import SeqdiffError

        try:
            task = prepare(DesignSpec.from_dict(table), self.checkpoint(table["model"]), weigh=False)
        except SeqdiffError as error:
            return Check(str(error))
        except Exception as error:  # a page must not fall over what a person typed
            traceback.print_exc()
            return Check(f"This could not be checked ({type(error).__name__}); it may be too large. Try a smaller request.")
        return Check(ways=tuple(way.variant.text or "" for way in task.ways))

    # ── runs ──

    def submit(
        self, table: dict[str, Any], title: str = "", parent: str | None = None, session: str = "", keep: bool = False
    ) -> str:
        """Accept a request; its run's id."""
        run = self.store.submit(table, title, parent)
        for old in [name for name, kept in self._progress.items() if kept.phase == "ended"][:-ENDED]:
            del self._progress[old]
        self._progress[run] = Progress(int(table["n"]), keep, sessions={session})
        self._runs.put((run, dict(table)))
        return run

    def progress(self, run: str, session: str = "") -> Progress | None:
        """What a run does now, None if it is not one of this process; the session belongs to it from now on."""
        found = self._progress.get(run)
        if found is not None and session not in found.sessions:
            found.sessions = found.sessions | {session}
        return found

    def waiting(self, run: str) -> int:
        """How many runs are before this one in the line."""
        return sum(p.phase == "waiting" for p in list(self._progress.values())[: list(self._progress).index(run)])

    def cancel(self, run: str) -> bool:
        """Whether it had not ended; it stops before its next pass."""
        if found := self._progress.get(run):
            found.stop.set()
            if self.remote is not None and found.job:
                self._checking.submit(self.remote.cancel, found.job)
        return self.store.cancel(run)

    def _serve(self) -> None:
        while (asked := self._runs.get()) is not None:
            self._work(*asked)

    def _work(self, run: str, table: dict[str, Any]) -> None:
        from seqdiff.errors import SeqdiffError

        progress = self._progress[run]
        if not self.store.start(run):
            progress.phase = "ended"
            return
        try:
            progress.phase = "reading"
            (self._make if self.remote is None else self._make_there)(run, table, progress)
            self.store.end(run, "done")
        except Stopped:
            self.store.end(run, "interrupted", "The page was closed, so the run stopped. What was finished is kept.")
        except (SeqdiffError, Failed) as error:
            self.store.end(run, "interrupted" if progress.stop.is_set() else "failed", str(error))
        except Exception as error:
            traceback.print_exc()
            self.store.end(run, "failed", f"The run failed unexpectedly ({type(error).__name__}).")
        finally:
            progress.phase = "ended"

    def _make(self, run: str, table: dict[str, Any], progress: Progress) -> None:
        """The designs of a request, batch by batch."""

        def begun() -> None:
            progress.phase, progress.begun = "designing", time.monotonic()

        def add(told: dict[str, Any]) -> None:
            self.store.add(run, map(design_of, told["designs"]), dict(told["missing"]))
            progress.filled = {}
            progress.done += len(told["designs"]) + len(told["missing"])

        folder = self._folder(table["model"])
        with self.makers.one() as maker:
            self._go_on(progress)
            maker.make(table, folder, begun, lambda told: self._watch(progress, told), add)

    def _make_there(self, run: str, table: dict[str, Any], progress: Progress) -> None:
        """The designs of a request as a service makes them: all of them in the end."""
        assert self.remote is not None

        def taken(job: str) -> None:
            progress.job = job

        def watch(row: list[str | None], place: int) -> None:
            self._go_on(progress)
            if progress.phase != "designing":
                progress.phase, progress.begun = "designing", time.monotonic()
            if place != progress.place:
                progress.done = place
            self._show(progress, place, row, [token is None for token in row])

        made = self.remote.make(table, run, taken, watch)
        self.store.add(run, made.designs, made.missing)
        progress.done = progress.total

    def _go_on(self, progress: Progress) -> None:
        """Before each pass: return if there is to be another. Raises Stopped."""
        gone = time.monotonic()
        while not progress.stop.is_set() and not progress.keep and not any(map(self.alive, progress.sessions)):
            if time.monotonic() - gone > GRACE:
                raise Stopped
            progress.stop.wait(PAUSE)
        if progress.stop.is_set():
            raise Stopped

    def _watch(self, progress: Progress, told: dict[str, Any]) -> None:
        """Before each pass: whether to go on, and how the batch stands (`maker.Shown`)."""
        self._go_on(progress)
        progress.filled = {**progress.filled, **dict(told["filled"])}
        self._show(progress, told["place"], told["row"], told["free"])

    def _show(self, progress: Progress, place: int, row: list[str | None], free: list[bool]) -> None:
        if place != progress.place:
            progress.place, progress.frames = place, []
        if not progress.frames:
            progress.free = free
        if len(progress.frames) < FRAMES and progress.frames[-1:] != [row]:
            progress.frames = [*progress.frames, row]

    def finish(self) -> None:
        """Wait for all runs, and end the threads and processes."""
        for _ in self._threads:
            self._runs.put(None)
        for thread in self._threads:
            thread.join()
        self._checking.shutdown(cancel_futures=True)
        self._warming.shutdown(cancel_futures=True)
        if self._own:
            self.makers.close()

    def close(self) -> None:
        """Stop what runs, and end the threads and processes."""
        for progress in self._progress.values():
            progress.stop.set()
        if self._own:
            self.makers.close()
        self.finish()
