"""Runs at work: off the script threads of the pages, a few at a time, cancelled before their next pass, kept in the store.

A run belongs to the sessions that look at it. When the last has closed its page, no further pass is made; a page that is
loaded again within some seconds finds the run and it goes on, otherwise it ends. A run that is to go on in the background does.
"""

import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.workbench.remote import Failed, Remote
from apps.workbench.store import Store

GRACE = 30.0  # seconds that a run without a page waits for one
PAUSE = 0.1  # seconds between two looks for it
CHECKS = 256  # requests whose check is remembered
FRAMES = 400  # states of the row that is shown
ENDED = 64  # runs that have ended whose progress is kept


class Stopped(Exception):
    """The run is to end before its next pass; the reason is its state in the store."""


@dataclass
class Progress:
    """What a run does now, for the pages that look at it.

    Attributes:
        done: places of the request that are finished, of `total`.
        filled: of the batch at work, place → the share of its holes that is filled.
        phase: "waiting", "reading", "designing".
        frames: states of one row as tokens, None for what is not yet revealed; `place` is its place in the request.
        free: which positions of the row are designed.
        job: the service's job, where a service makes the run.
    """

    total: int
    keep: bool = False
    done: int = 0
    filled: dict[int, float] = field(default_factory=dict)
    phase: str = "waiting"
    begun: float = 0.0
    frames: list[list[str | None]] = field(default_factory=list)
    free: list[bool] = field(default_factory=list)
    place: int = -1
    job: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    sessions: set[str] = field(default_factory=set)

    @property
    def part(self) -> float:
        """What is done of the batch at work, in designs."""
        return sum(self.filled.values())

    @property
    def rate(self) -> float:
        """Designs a second, with what is done of the batch at work; 0 before there is any."""
        return (self.done + self.part) / max(time.monotonic() - self.begun, 1e-9) if self.begun else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that are left, None while nobody can tell."""
        return max(0.0, self.total - self.done - self.part) / self.rate if self.rate else None


@dataclass(frozen=True)
class Check:
    """Whether a request can be answered: "" in `trouble`, or what is wrong; how its lengths are shared is in `ways`."""

    trouble: str = ""
    ways: tuple[str, ...] = ()


class Runner:
    """Threads over a store.

    Args:
        folders: name → checkpoint folder of the models that are offered.
        alive: whether a session's page is still open.
        remote: the service that makes the runs, None to make them here.
    """

    def __init__(
        self,
        store: Store,
        folders: dict[str, Path],
        workers: int = 2,
        alive: Callable[[str], bool] = lambda _: True,
        remote: Remote | None = None,
    ):
        self.store, self.folders, self.alive, self.remote = store, folders, alive, remote
        self._runs = ThreadPoolExecutor(workers, "run")
        self._checking, self._warming = ThreadPoolExecutor(1, "check"), ThreadPoolExecutor(1, "warm")
        self._checks: dict[str, Future[Check]] = {}
        self._models: dict[str, Any] = {}
        self._progress: dict[str, Progress] = {}
        self._lock, self._load = threading.Lock(), threading.Lock()
        store.interrupt()

    # ── models ──

    def warm(self, domain: str, name: str) -> None:
        """Load a model in the background, with all that its domain imports."""
        self._warming.submit(self._warm, domain, name)

    def _warm(self, domain: str, name: str) -> None:
        from domains.registry import get_domain

        with self._load:  # a check loads its model before it uses the domain: it waits for these imports
            get_domain(domain)
        self.checkpoint(name)

    def checkpoint(self, name: str) -> Any:
        """A model that is offered, loaded once. Raises ConfigError for another name."""
        from seqdiff.checkpoint import load_checkpoint
        from seqdiff.errors import ConfigError

        if name not in self.folders:
            raise ConfigError(f"model: expected one of {', '.join(sorted(self.folders))}; got {name!r}")
        with self._load:
            if name not in self._models:
                self._models[name] = load_checkpoint(self.folders[name])
            return self._models[name]

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
        self._runs.submit(self._work, run, dict(table))
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
            self.store.end(run, "failed", str(error))
        except Exception as error:
            traceback.print_exc()
            self.store.end(run, "failed", f"The run failed unexpectedly ({type(error).__name__}).")
        finally:
            progress.phase = "ended"

    def _make(self, run: str, table: dict[str, Any], progress: Progress) -> None:
        """The designs of a request, batch by batch."""
        from domains.design import DesignSpec, design_batches, prepare

        checkpoint = self.checkpoint(table["model"])
        task = prepare(DesignSpec.from_dict(table), checkpoint)
        names: list[str | None] = [*checkpoint.alphabet.tokens, None, None]
        progress.phase, progress.begun = "designing", time.monotonic()
        asked = " and ".join(task.spec.wishes) or "what must hold"
        none = f"none of {task.spec.cloud} attempts met {asked}"
        for made in design_batches(task, lambda state: self._watch(progress, state, names)):
            self.store.add(run, made.designs, {**dict.fromkeys(made.abstained, none), **made.lost})
            progress.filled = {}
            progress.done += len(made.designs) + len(made.abstained) + len(made.lost)

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
                progress.place, progress.done, progress.frames = place, place, []
            self._show(progress, row, [token is None for token in row])

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

    def _watch(self, progress: Progress, state, names: list[str | None]) -> None:
        """Before each pass: whether to go on, and how the row that is shown stands."""
        self._go_on(progress)
        places = state.sample.tolist()
        still = ((state.tokens >= len(names) - 2) & state.changeable).sum(1) / state.changeable.sum(1).clamp(min=1)
        progress.filled = {**progress.filled, **{place: 1 - share for place, share in zip(places, still.tolist(), strict=True)}}
        if progress.place not in places:
            row = min(range(len(places)), key=lambda i: (places[i], int(state.slot[i])))
            progress.place, progress.frames = places[row], []
        else:
            row = places.index(progress.place)
        frame = [names[token] if token < len(names) else None for token in state.tokens[row].tolist()]
        self._show(progress, frame, state.free[row].tolist() if state.free is not None else [t is None for t in frame])

    def _show(self, progress: Progress, frame: list[str | None], free: list[bool]) -> None:
        if not progress.frames:
            progress.free = free
        if len(progress.frames) < FRAMES and progress.frames[-1:] != [frame]:
            progress.frames = [*progress.frames, frame]

    def finish(self) -> None:
        """Wait for all runs, and end the threads."""
        self._runs.shutdown()
        self._checking.shutdown(cancel_futures=True)
        self._warming.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Stop what runs, before its next pass, and end the threads."""
        for progress in self._progress.values():
            progress.stop.set()
        self._runs.shutdown(cancel_futures=True)
        self._checking.shutdown(cancel_futures=True)
        self._warming.shutdown(cancel_futures=True)
