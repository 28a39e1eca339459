"""The jobs at work: claimed from the store, run by the engine, their end written; a thread that never gives up on the store."""

import json
import logging
import threading
import time
from collections.abc import Callable

from apps.api.engine import Engine, Work
from apps.api.errors import Refused
from apps.api.events import Logs
from apps.api.models import Models
from apps.api.passes import Stopped
from apps.api.store import ATTEMPTS, Store
from domains.spec import DesignSpec
from seqdiff.errors import SeqdiffError

LOGGER = logging.getLogger("seqdiff.api")
PAUSE = 0.5  # seconds between two looks at the store


class Jobs:
    """Runs jobs, at most `most` together.

    Args:
        seconds: a job's time.
    """

    def __init__(self, store: Store, engine: Engine, models: Models, logs: Logs, most: int, seconds: float):
        self.store, self.engine, self.models, self.logs = store, engine, models, logs
        self.most, self.seconds = most, seconds
        self._running: dict[str, Work] = {}
        self._ended: dict[str, Callable[[], object]] = {}  # job → what has to be written of its end
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something new in the store."""
        self._wake.set()

    def cancel(self, job: str) -> None:
        """End a job that runs here, before its next pass."""
        if work := self._running.get(job):
            work.cancel()

    @property
    def idle(self) -> bool:
        """Whether nothing runs here."""
        return not self._running

    def close(self) -> None:
        """Give back what runs."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _loop(self) -> None:
        renewed = time.monotonic()
        while not self._closing:
            self._wake.wait(PAUSE)
            self._wake.clear()
            try:
                self._collect()
                if time.monotonic() - renewed > self.store.lease / 3:
                    still = self.store.renew(self._running)
                    for job in self._running.keys() - still:
                        self._running[job].cancel()
                    renewed = time.monotonic()
                while len(self._running) < self.most and not self._closing and (row := self.store.claim()):
                    self._begin(row)
            except Refused as refused:  # full or locked: nothing is lost, it is tried again
                LOGGER.warning(json.dumps({"event": "store", "message": refused.message}))
                time.sleep(PAUSE)
            except Exception:
                LOGGER.exception(json.dumps({"event": "jobs"}))
                time.sleep(PAUSE)
        self._give_back()

    def _begin(self, row: dict) -> None:
        job = row["id"]
        if job in self._running:  # its lease ran out while the store could not be written: it still runs here
            return
        if row["attempts"] > ATTEMPTS:
            self._ended[job] = lambda: self.store.finish(job, error=f"its server ended {ATTEMPTS} times while it ran")
            self._wake.set()
            return
        try:
            spec = DesignSpec.from_dict(json.loads(row["spec"]))
            name, checkpoint = self.models.find(spec)
            if row["model_sha256"] != checkpoint.sha256:
                raise SeqdiffError(f"model: {name} is not the one that the job was accepted for; submit it again")
        except (Refused, SeqdiffError) as error:
            text = str(error)
            self._ended[job] = lambda: self.store.finish(job, error=text)
            self._wake.set()
            return
        log = self.logs.begin(job, checkpoint.alphabet)
        work = self.engine.submit(spec, checkpoint, name, self.seconds, log.watch, job=True)
        self._running[job] = work
        work.future.add_done_callback(lambda _: self._wake.set())

    def _collect(self) -> None:
        """Write how jobs ended; what cannot be written now is kept, and its lease renewed, until it can."""
        for job, work in list(self._running.items()):
            if work.future.done() and job not in self._ended:
                self._ended[job] = self._end(job, work)
        for job, write in list(self._ended.items()):
            write()
            self._ended.pop(job)
            self._running.pop(job, None)
            if log := self.logs.get(job):
                log.ended = True

    def _end(self, job: str, work: Work) -> Callable[[], object]:
        error = work.future.exception()
        if error is None:
            try:
                text = json.dumps(work.future.result().to_dict(), allow_nan=False)
            except ValueError as caught:
                error = caught
            else:
                return lambda: self.store.finish(job, result=text)
        if isinstance(error, Stopped):
            if error.reason == "time":
                return lambda: self.store.finish(job, error=f"it took more than {self.seconds:g} s; ask for less")
            return lambda: self.store.release(job) if error.reason == "closing" else None  # cancelled: the store knows
        if isinstance(error, SeqdiffError):
            return lambda: self.store.finish(job, error=str(error))
        LOGGER.error(json.dumps({"event": "job failed", "job": job}), exc_info=error)
        return lambda: self.store.finish(job, error="the service failed on this job; it is in its log")

    def _give_back(self) -> None:
        """At the end: results that are there are written, what runs is stopped and released."""
        try:
            self._collect()
            for job, work in self._running.items():
                work.cancel()
                self.store.release(job)
        except Refused as refused:  # its lease will run out
            LOGGER.warning(json.dumps({"event": "store", "message": refused.message}))
