"""Runs of the workbench in a database: what was finished is not lost, whatever becomes of the page or the process.

    queued → running → done | failed;  queued, running → cancelled | interrupted

Each design is written as its batch is finished. Stars and notes are kept beside the designs.
"""

import json
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Boolean, Column, Float, Integer, MetaData, String, Table, Text, create_engine, event, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from domains.answer import Design

ENDED = ("done", "failed", "cancelled", "interrupted")

metadata = MetaData()
runs = Table(
    "workbench_runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("title", Text, nullable=False),
    Column("parent", String(32)),
    Column("spec", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Column("error", Text),
    Column("missing", Text, nullable=False, default="{}"),
)
designs = Table(
    "workbench_designs",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("design", Text, nullable=False),
)
marks = Table(
    "workbench_marks",
    metadata,
    Column("run", String(32), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("star", Boolean, nullable=False, default=False),
    Column("note", Text, nullable=False, default=""),
)


class Store:
    """The tables of runs. Args: url, SQLAlchemy's, of SQLite or PostgreSQL."""

    def __init__(self, url: str):
        plain = url.startswith("sqlite")
        self.engine = create_engine(url, **({"poolclass": NullPool, "connect_args": {"timeout": 5}} if plain else {}))
        if plain:
            event.listen(self.engine, "connect", _durable)
        with self.engine.begin() as connection:
            metadata.create_all(connection)

    def submit(self, spec: dict[str, Any], title: str = "", parent: str | None = None) -> str:
        """A new run; its id."""
        row = {"id": uuid.uuid4().hex, "title": title, "parent": parent, "spec": json.dumps(spec), "state": "queued"}
        with self.engine.begin() as connection:
            connection.execute(runs.insert().values(**row, created=time.time(), missing="{}"))
        return row["id"]

    def state(self, run: str) -> dict[str, Any] | None:
        """A run's row, with the spec as a table; None if there is none."""
        with self.engine.begin() as connection:
            found = connection.execute(select(runs).where(runs.c.id == run)).first()
        return None if found is None else _row(found)

    def recent(self, most: int = 20) -> list[dict[str, Any]]:
        """The last runs, the newest first."""
        with self.engine.begin() as connection:
            return [_row(found) for found in connection.execute(select(runs).order_by(runs.c.created.desc()).limit(most))]

    def start(self, run: str) -> bool:
        """Whether it was waiting, and runs now."""
        return self._move(run, ("queued",), state="running", started=time.time())

    def end(self, run: str, state: str, error: str | None = None) -> bool:
        """Write how a run ended, if it has not ended before."""
        return self._move(run, ("queued", "running"), state=state, error=error, finished=time.time())

    def cancel(self, run: str) -> bool:
        return self.end(run, "cancelled")

    def interrupt(self) -> int:
        """Mark what an earlier process left unfinished; how many there were."""
        where = runs.c.state.in_(("queued", "running"))
        error = "The workbench was closed while this ran. What was finished is kept; run it again for the rest."
        with self.engine.begin() as connection:
            return connection.execute(update(runs).where(where).values(state="interrupted", error=error)).rowcount

    def add(self, run: str, made: "Iterable[Design]", missing: dict[int, str]) -> None:
        """Keep a finished batch: its designs, and place → why there is none."""
        with self.engine.begin() as connection:
            rows = [{"run": run, "place": item.index, "design": json.dumps(item.to_dict())} for item in made]
            if rows:
                _put(connection, designs, rows, {})
            if missing:
                before = json.loads(connection.execute(select(runs.c.missing).where(runs.c.id == run)).scalar_one())
                after = json.dumps({**before, **{str(place): why for place, why in missing.items()}})
                connection.execute(update(runs).where(runs.c.id == run).values(missing=after))

    def results(self, run: str) -> "list[Design]":
        """The designs that are finished, in the order of the request."""
        with self.engine.begin() as connection:
            where = select(designs.c.design).where(designs.c.run == run).order_by(designs.c.place)
            return [design_of(json.loads(text)) for text in connection.execute(where).scalars()]

    def marks(self, run: str) -> dict[int, tuple[bool, str]]:
        """Place → (star, note)."""
        with self.engine.begin() as connection:
            found = connection.execute(select(marks).where(marks.c.run == run))
            return {row.place: (row.star, row.note) for row in found}

    def mark(self, run: str, place: int, star: bool, note: str) -> None:
        with self.engine.begin() as connection:
            row = {"run": run, "place": place, "star": star, "note": note}
            _put(connection, marks, [row], {"star": star, "note": note})

    def _move(self, run: str, states: tuple[str, ...], **values) -> bool:
        with self.engine.begin() as connection:
            where = (runs.c.id == run) & runs.c.state.in_(states)
            return connection.execute(update(runs).where(where).values(**values)).rowcount == 1


def design_of(table: dict[str, Any]) -> "Design":
    """A design from its table, as JSON holds it."""
    from constraints.certificate import Certificate
    from domains.answer import Design

    told = table["certificate"]
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in told.items()}
    certificate = Certificate(**fields)
    return Design(**{**table, "pinned_atoms": tuple(table["pinned_atoms"]), "certificate": certificate})


def _row(found) -> dict[str, Any]:
    row = found._asdict()
    missing = {int(place): why for place, why in json.loads(row["missing"]).items()}
    return {**row, "spec": json.loads(row["spec"]), "missing": missing}


def _put(connection: Connection, table: Table, rows: list[dict], values: dict) -> None:
    """Insert, or with the same key write values over; without values what stands is left."""
    insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table).values(rows)
    key = list(table.primary_key.columns)
    if values:
        connection.execute(insert.on_conflict_do_update(index_elements=key, set_=values))
    else:
        connection.execute(insert.on_conflict_do_nothing(index_elements=key))


def _durable(connection, _) -> None:
    """A write-ahead log: readers and the writer do not wait for each other."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()
