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
from typing import Any

from sqlalchemy import (
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from apps.api.errors import Refused
from seqdiff.errors import ConfigError

STATES = ("queued", "running", "done", "failed", "cancelled")
BUSY_SECONDS = 2  # that a locked SQLite file is waited for
ATTEMPTS = 20  # of a job that takes its server down each time

metadata = MetaData()
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("key", String(64), unique=True),
    Column("state", String(16), nullable=False),
    Column("spec", Text, nullable=False),
    Column("seed", String(20), nullable=False),
    Column("model", String(64), nullable=False),
    Column("model_sha256", String(64)),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Column("owner", String(32)),
    Column("lease", Float),
    Column("attempts", Integer, nullable=False, default=0),
    Column("error", Text),
    Column("result", Text),
    Index("jobs_by_state", "state", "created"),
)
BRIEF = [column for column in jobs.columns if column.name != "result"]


class Store:
    """The table of jobs. Every method raises Refused (503) where the database cannot be reached, is locked or is full.

    Args:
        url: SQLAlchemy's, of SQLite or PostgreSQL.
        lease: seconds.
    """

    def __init__(self, url: str, lease: float = 15.0):
        self.owner, self.lease = uuid.uuid4().hex, lease
        try:
            if url.startswith("postgresql://"):
                url = url.replace("postgresql://", "postgresql+psycopg://", 1)
            sqlite = url.startswith("sqlite:")
            # SQLite: a connection for each use costs little and holds no lock that another waits for
            how: dict[str, Any] = {"poolclass": NullPool} if sqlite else {"pool_pre_ping": True, "pool_size": 8}
            waits = {"timeout": BUSY_SECONDS} if sqlite else {"connect_timeout": 5}
            self.engine = create_engine(url, connect_args=waits, **how)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigError(
                f"database: expected an SQLAlchemy URL such as sqlite:///jobs.db, got {url!r} ({error})"
            ) from None
        if sqlite:
            event.listen(self.engine, "connect", durable)
        with self._transaction() as connection:
            metadata.create_all(connection)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", error)).splitlines()[0] if str(error) else type(error).__name__
            raise Refused(503, f"jobs: the database cannot be used now ({reason}); ask again", {"Retry-After": "5"}) from error

    # ── clients ──

    def add(self, spec: dict, model: str, sha256: str | None, key: str | None = None, most: int = 1000) -> dict:
        """A new job, or the one that was accepted with the same key. Raises Refused: 429 where too many wait, 409 for a key
        that belongs to another request."""
        text = json.dumps(spec, sort_keys=True)
        row = {"id": uuid.uuid4().hex, "key": key, "state": "queued", "spec": text, "seed": str(spec["seed"])}
        row |= {"model": model, "model_sha256": sha256, "created": time.time(), "attempts": 0}
        try:
            with self._transaction() as connection:
                if key is not None and (found := connection.execute(select(*BRIEF).where(jobs.c.key == key)).first()):
                    return self._same(found._asdict(), text)
                waiting = connection.execute(select(func.count()).where(jobs.c.state == "queued")).scalar_one()
                if waiting >= most:
                    raise Refused(429, f"{waiting:,} jobs are waiting; ask again later", {"Retry-After": "30"})
                connection.execute(insert(jobs).values(row))
        except IntegrityError:  # the same key at the same moment
            with self._transaction() as connection:
                return self._same(connection.execute(select(*BRIEF).where(jobs.c.key == key)).one()._asdict(), text)
        return self.get(row["id"]) or row

    @staticmethod
    def _same(found: dict, text: str) -> dict:
        if found["spec"] != text:
            raise Refused(409, "Idempotency-Key: it belongs to a job of another request; take a new one")
        return found

    def get(self, job: str, result: bool = False) -> dict | None:
        """A job's row, with its result if wanted; None if there is none."""
        with self._transaction() as connection:
            found = connection.execute(select(*(jobs.columns if result else BRIEF)).where(jobs.c.id == job)).first()
        return None if found is None else found._asdict()

    def cancel(self, job: str) -> bool:
        """Whether it was waiting or running, and is cancelled now."""
        where = (jobs.c.id == job) & jobs.c.state.in_(("queued", "running"))
        with self._transaction() as connection:
            return connection.execute(update(jobs).where(where).values(state="cancelled", finished=time.time())).rowcount == 1

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state."""
        with self._transaction() as connection:
            found = {row[0]: row[1] for row in connection.execute(select(jobs.c.state, func.count()).group_by(jobs.c.state))}
        return {state: found.get(state, 0) for state in STATES}

    # ── servers ──

    def claim(self) -> dict | None:
        """The oldest job that waits, or whose server gives no sign; it is this server's now."""
        now = time.time()
        free = or_(jobs.c.state == "queued", (jobs.c.state == "running") & (jobs.c.lease < now))
        with self._transaction() as connection:
            for (job,) in connection.execute(select(jobs.c.id).where(free).order_by(jobs.c.created).limit(8)).all():
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
        with self._transaction() as connection:
            connection.execute(update(jobs).where(where).values(lease=time.time() + self.lease))
            return set(connection.execute(select(jobs.c.id).where(where)).scalars())

    def finish(self, job: str, result: str | None = None, error: str | None = None) -> bool:
        """Write how a job ended, if it is still this server's; a second result is never written."""
        where = (jobs.c.id == job) & (jobs.c.owner == self.owner) & (jobs.c.state == "running")
        values = {"state": "failed" if result is None else "done", "result": result, "error": error, "finished": time.time()}
        with self._transaction() as connection:
            return connection.execute(update(jobs).where(where).values(**values)).rowcount == 1

    def release(self, job: str) -> None:
        """Give a job back to the line, as if it had not been begun."""
        where = (jobs.c.id == job) & (jobs.c.owner == self.owner) & (jobs.c.state == "running")
        values = {"state": "queued", "owner": None, "lease": None, "started": None, "attempts": jobs.c.attempts - 1}
        with self._transaction() as connection:
            connection.execute(update(jobs).where(where).values(**values))

    def close(self) -> None:
        self.engine.dispose()


def durable(connection, _) -> None:
    """SQLite: a write-ahead log, so that readers and a writer do not wait for each other, written through at each commit."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()
