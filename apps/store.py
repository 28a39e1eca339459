"""Where requests are kept: one database of jobs, for the service and the workbench, in SQLite or PostgreSQL.

A job is a request that was accepted and what became of it. Its kind says who works on it: "job" the service
(`api.store`), "run" the workbench (`workbench.store`); each sees its own alone. A job's state moves in one statement that
asks for the state before, so that no two can move it.

A database that was written before there was one schema is brought to it when it is opened, in one transaction.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Boolean,
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
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateColumn

from seqdiff.errors import ConfigError

VERSION = 2
BUSY_SECONDS = 2  # that a locked SQLite file is waited for
ONE_AT_A_TIME = 0x5E9D1FF  # PostgreSQL: the lock of who creates or migrates tables

metadata = MetaData()
version = Table("seqdiff_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))
jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(8), nullable=False, server_default="job"),
    Column("key", String(64), unique=True),
    Column("title", Text, nullable=False, server_default=""),
    Column("parent", String(32)),
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
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("result", Text),
    Column("missing", Text, nullable=False, server_default="{}"),
    Index("jobs_by_state", "state", "created"),
)
designs = Table(
    "designs",
    metadata,
    Column("job", String(32), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("design", Text, nullable=False),
)
marks = Table(
    "marks",
    metadata,
    Column("job", String(32), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("star", Boolean, nullable=False, default=False),
    Column("note", Text, nullable=False, default=""),
)


class Unavailable(Exception):
    """The database cannot be reached, is locked or is full; nothing was written."""


class Database:
    """The tables, of one kind of jobs.

    Args:
        url: SQLAlchemy's, of SQLite or PostgreSQL. Raises ConfigError for another.
    """

    kind = "job"

    def __init__(self, url: str):
        sqlite = url.startswith("sqlite:")
        # SQLite: a connection for each use costs little and holds no lock that another waits for
        how: dict[str, Any] = {"poolclass": NullPool} if sqlite else {"pool_pre_ping": True, "pool_size": 8}
        waits = {"timeout": BUSY_SECONDS} if sqlite else {"connect_timeout": 5}
        try:
            if url.startswith("postgresql://"):
                url = url.replace("postgresql://", "postgresql+psycopg://", 1)
            self.engine = create_engine(url, connect_args=waits, **how)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigError(
                f"database: expected an SQLAlchemy URL such as sqlite:///jobs.db, got {url!r} ({error})"
            ) from None
        if sqlite:
            event.listen(self.engine, "connect", durable)
        try:
            with self.transaction() as connection:
                ready = version_of(connection) == VERSION
            if not ready:
                with self.transaction() as connection:
                    connection.execute(text("BEGIN IMMEDIATE" if sqlite else f"SELECT pg_advisory_xact_lock({ONE_AT_A_TIME})"))
                    bring_up(connection)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Raises Unavailable."""
        try:
            with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", error)).splitlines()[0] if str(error) else type(error).__name__
            raise Unavailable(f"the database cannot be used now ({reason})") from error

    def row(self, job: str, columns: Any = jobs.columns) -> dict[str, Any] | None:
        """A job of this kind, None if there is none."""
        with self.transaction() as connection:
            found = connection.execute(select(*columns).where(jobs.c.id == job, jobs.c.kind == self.kind)).first()
        return None if found is None else found._asdict()

    def move(self, job: str, before: tuple[str, ...], *where: Any, **values: Any) -> bool:
        """Write values of a job of this kind, if it is in one of these states (and fits `where`); whether it was."""
        mine = (jobs.c.id == job, jobs.c.kind == self.kind, jobs.c.state.in_(before), *where)
        with self.transaction() as connection:
            return connection.execute(update(jobs).where(*mine).values(**values)).rowcount == 1

    def close(self) -> None:
        self.engine.dispose()


def durable(connection, _) -> None:
    """SQLite: a write-ahead log, so that readers and a writer do not wait for each other, written through at each commit."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def version_of(connection: Connection) -> int | None:
    """Of the tables that are there, None for none and for those of before. Raises ConfigError for a later one."""
    found = None
    if inspect(connection).has_table(version.name):
        found = connection.execute(select(version.c.version)).scalar()
    if found not in (None, VERSION):
        raise ConfigError(f"database: expected version {VERSION} of its tables, got {found}; use the seqdiff that made it")
    return found


def bring_up(connection: Connection) -> None:
    """The tables as they are here, whatever there was."""
    if version_of(connection) == VERSION:  # another process was quicker
        return
    there = inspect(connection).get_table_names()
    if jobs.name in there:  # of the service alone
        has = {column["name"] for column in inspect(connection).get_columns(jobs.name)}
        for column in jobs.columns:
            if column.name not in has:
                said = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(text(f"ALTER TABLE {jobs.name} ADD COLUMN {said}"))
    metadata.create_all(connection)
    if "workbench_runs" in there:  # of the workbench alone
        _adopt(connection)
    connection.execute(version.insert().values(version=VERSION))


def _adopt(connection: Connection) -> None:
    """The workbench's own tables of before."""
    for run in connection.execute(text("SELECT * FROM workbench_runs")).mappings().all():
        spec = json.loads(run["spec"])
        told = {"kind": "run", "attempts": 0, "seed": str(spec.get("seed", 0)), "model": spec.get("model") or ""}
        connection.execute(jobs.insert().values(**run, **told))
    for new in (designs, marks):
        old, (_, *rest) = f"workbench_{new.name}", [column.name for column in new.columns]
        names = ", ".join(rest)
        connection.execute(text(f"INSERT INTO {new.name} (job, {names}) SELECT run, {names} FROM {old}"))
        connection.execute(text(f"DROP TABLE {old}"))
    connection.execute(text("DROP TABLE workbench_runs"))
