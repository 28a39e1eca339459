"""Requests at work: so many together, each in a thread, with a bounded line before them and a time limit; see `passes`.

What a request costs beside the passes is its own part, computed in `turns`, and no request can end another or the process.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from apps.api.errors import Refused
from apps.api.limits import check_length
from apps.api.passes import Lane, Passes, Shared
from apps.api.plans import Plans
from apps.api.turns import Turns
from domains.design import Designs, DesignSpec, answer
from seqdiff.checkpoint import Checkpoint


@dataclass(frozen=True)
class SharedCheckpoint(Checkpoint):
    """A checkpoint whose denoiser shares its passes with other requests."""

    name: str = ""
    passes: Any = None
    lane: Any = None

    @property
    def denoiser(self) -> Any:
        return Shared(self.system.denoiser(self.network), self.name, self.passes, self.lane)


def sharing(checkpoint: Checkpoint, name: str, passes: Passes, lane: Lane) -> SharedCheckpoint:
    return SharedCheckpoint(**vars(checkpoint), name=name, passes=passes, lane=lane)


@dataclass
class Work:
    """A request that was taken on.

    Attributes:
        future: its Designs, or Stopped, or the error of its content.
        begun, ended: time.monotonic(), 0 before.
    """

    spec: DesignSpec
    model: str
    lane: Lane
    future: "Future[Designs]" = field(default_factory=Future)
    taken: float = field(default_factory=time.monotonic)
    begun: float = 0.0
    ended: float = 0.0

    def cancel(self) -> None:
        """It ends before its next pass; if it still waits, at once."""
        self.lane.cancelled.set()

    def timing(self) -> dict[str, float]:
        """Seconds in the line, of waiting for turns, of passes (waiting for them included), of all else, and of processor
        time in that."""
        line, turns, passes = self.begun - self.taken, self.lane.queued, self.lane.waited
        rest = self.ended - self.begun - turns - passes
        return {"line": line, "turns": turns, "denoiser": passes, "rest": rest, "cpu": self.lane.computed}


class Engine:
    """Threads for requests and threads for jobs over the same passes.

    Args:
        active, waiting: requests together, and in the line.
        jobs: jobs together; who hands them in keeps count.
    """

    def __init__(self, active: int, waiting: int, jobs: int, pass_tokens: int):
        self.turns, self.plans = Turns(), Plans()
        self.passes = Passes(self.turns, pass_tokens)
        self.active, self.waiting = active, waiting
        self._requests = ThreadPoolExecutor(active, "request")
        self._jobs = ThreadPoolExecutor(jobs, "job")
        self._held: set[int] = set()
        self._works: dict[int, Work] = {}
        self._lock = threading.Lock()

    @property
    def load(self) -> int:
        """Requests at work or in the line."""
        return len(self._held)

    def submit(
        self,
        spec: DesignSpec,
        checkpoint: Checkpoint,
        model: str,
        seconds: float,
        watch: Callable | None = None,
        job: bool = False,
    ) -> Work:
        """Take a request on. Raises Refused (429) where the line is full."""
        work = Work(spec, model, Lane(self.turns, time.monotonic() + seconds))
        with self._lock:
            if not job:
                if len(self._held) >= self.active + self.waiting:
                    raise Refused(
                        429,
                        f"{self.waiting} requests are waiting; ask again in some seconds, or submit a job",
                        {"Retry-After": "2"},
                    )
                self._held.add(id(work))
            self._works[id(work)] = work
        (self._jobs if job else self._requests).submit(self._run, work, checkpoint, watch)
        return work

    def _run(self, work: Work, checkpoint: Checkpoint, watch: Callable | None) -> None:
        work.begun = time.monotonic()
        work.lane.take_turn()
        found: Designs | None = None
        error: BaseException | None = None
        try:
            work.lane.check()
            if work.spec.task is not None:  # of a template it was checked when the request was read
                check_length(work.spec, checkpoint)
            task = self.plans.ready(work.spec, sharing(checkpoint, work.model, self.passes, work.lane), work.lane)
            found = answer(task, time.monotonic() - work.begun, watch=watch)
        except BaseException as caught:  # whatever it is, it is this request's alone
            error = caught
        finally:
            work.lane.give_turn()
            with self._lock:
                self._held.discard(id(work))
                self._works.pop(id(work), None)
            work.ended = time.monotonic()
        if error is not None:
            work.future.set_exception(error)
        elif found is not None:
            work.future.set_result(found)

    def close(self) -> None:
        """Stop what runs, before its next pass, and end the threads."""
        with self._lock:
            works = list(self._works.values())
        for work in works:
            work.cancel()
        self._requests.shutdown(wait=True)
        self._jobs.shutdown(wait=True)
        self.passes.close()
        self.turns.close()
