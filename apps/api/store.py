"""Jobs in a database: what was accepted is not lost, and a job has one result, whoever computed it and however often.

    queued → running → done | failed;  queued, running → cancelled

A server claims a job for a lease that it renews; a job whose server gives no sign is claimed by another, or by the same
after a restart. It then runs again from its spec, and since all noise is a function of the seed, to the same designs. A
result is written in the same statement that ends the job, by the server that still holds it: there can be no second one.
"""

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import func, insert, or_, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from apps.api.errors import Refused
from apps.store import Database, Unavailable, jobs

STATES = ("queued", "running", "done", "failed", "cancelled")
ATTEMPTS = 20  # of a job that takes its server down each time
BRIEF = [column for column in jobs.columns if column.name != "result"]
MINE = jobs.c.kind == "job"


class Store(Database):
    """The service's jobs. Every method raises Refused (503) where the database cannot be reached, is locked or is full.

    Args:
        lease: seconds.
    """

    def __init__(self, url: str, lease: float = 15.0):
        self.owner, self.lease = uuid.uuid4().hex, lease
        super().__init__(url)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        try:
            with super().transaction() as connection:
                yield connection
        except Unavailable as error:
            raise Refused(503, f"jobs: {error}; ask again", {"Retry-After": "5"}) from error

    # ── clients ──

    def add(self, spec: dict, model: str, sha256: str | None, key: str | None = None, most: int = 1000) -> dict:
        """A new job, or the one that was accepted with the same key. Raises Refused: 429 where too many wait, 409 for a key
        that belongs to another request."""
        text = json.dumps(spec, sort_keys=True)
        row = {"id": uuid.uuid4().hex, "key": key, "state": "queued", "spec": text, "seed": str(spec["seed"])}
        row |= {"model": model, "model_sha256": sha256, "created": time.time(), "attempts": 0}
        try:
            with self.transaction() as connection:
                if key is not None and (found := connection.execute(select(*BRIEF).where(jobs.c.key == key)).first()):
                    return self._same(found._asdict(), text)
                waiting = connection.execute(select(func.count()).where(jobs.c.state == "queued", MINE)).scalar_one()
                if waiting >= most:
                    raise Refused(429, f"{waiting:,} jobs are waiting; ask again later", {"Retry-After": "30"})
                connection.execute(insert(jobs).values(row))
        except IntegrityError:  # the same key at the same moment
            with self.transaction() as connection:
                return self._same(connection.execute(select(*BRIEF).where(jobs.c.key == key)).one()._asdict(), text)
        return self.get(row["id"]) or row

    @staticmethod
    def _same(found: dict, text: str) -> dict:
        if found["spec"] != text:
            raise Refused(409, "Idempotency-Key: it belongs to a job of another request; take a new one")
        return found

    def get(self, job: str, result: bool = False) -> dict | None:
        """A job's row, with its result if wanted; None if there is none."""
        return self.row(job, jobs.columns if result else BRIEF)

    def cancel(self, job: str) -> bool:
        """Whether it was waiting or running, and is cancelled now."""
        return self.move(job, ("queued", "running"), state="cancelled", finished=time.time())

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with self.transaction() as connection:
            asked = select(jobs.c.state, func.count()).where(MINE).group_by(jobs.c.state)
            found = {row[0]: row[1] for row in connection.execute(asked)}
        return {state: found.get(state, 0) for state in STATES}

    # ── servers ──

    def claim(self) -> dict | None:
        """The oldest job that waits, or whose server gives no sign; it is this server's now."""
        now = time.time()
        free = or_(jobs.c.state == "queued", (jobs.c.state == "running") & (jobs.c.lease < now))
        with self.transaction() as connection:
            for (job,) in connection.execute(select(jobs.c.id).where(free, MINE).order_by(jobs.c.created).limit(8)).all():
                values = {"state": "running", "owner": self.owner, "lease": now + self.lease, "started": now}
                taken = update(jobs).where(jobs.c.id == job, free).values(**values, attempts=jobs.c.attempts + 1)
                if connection.execute(taken).rowcount == 1:
                    return connection.execute(select(*BRIEF).where(jobs.c.id == job)).one()._asdict()
        return None

    def renew(self, mine: Iterable[str]) -> set[str]:
        """Renew the leases of jobs that run here; the others of them are cancelled, or another server's by now."""
        wanted = list(mine)
        if not wanted:
            return set()
        where = jobs.c.id.in_(wanted) & (jobs.c.owner == self.owner) & (jobs.c.state == "running")
        with self.transaction() as connection:
            connection.execute(update(jobs).where(where).values(lease=time.time() + self.lease))
            return set(connection.execute(select(jobs.c.id).where(where)).scalars())

    def finish(self, job: str, result: str | None = None, error: str | None = None) -> bool:
        """Write how a job ended, if it is still this server's; a second result is never written."""
        values = {"state": "failed" if result is None else "done", "result": result, "error": error, "finished": time.time()}
        return self.move(job, ("running",), jobs.c.owner == self.owner, **values)

    def release(self, job: str) -> None:
        """Give a job back to the line, as if it had not been begun."""
        values = {"state": "queued", "owner": None, "lease": None, "started": None, "attempts": jobs.c.attempts - 1}
        self.move(job, ("running",), jobs.c.owner == self.owner, **values)
