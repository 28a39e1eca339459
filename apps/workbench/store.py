"""Runs of the workbench in a database: what was finished is not lost, whatever becomes of the page or the process.

    queued → running → done | failed;  queued, running → cancelled | interrupted

Each design is written as its batch is finished. Stars and notes are kept beside the designs.
"""

import json
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from apps.store import Database, designs, jobs, marks

if TYPE_CHECKING:
    from domains.answer import Design

ENDED = ("done", "failed", "cancelled", "interrupted")
COLUMNS = ("id", "title", "parent", "spec", "state", "created", "started", "finished", "error", "missing")
RUN = [jobs.columns[name] for name in COLUMNS]


class Store(Database):
    """The runs of the workbench, in the database of all jobs."""

    kind = "run"

    def submit(self, spec: dict[str, Any], title: str = "", parent: str | None = None) -> str:
        """A new run; its id."""
        row = {"id": uuid.uuid4().hex, "kind": "run", "title": title, "parent": parent, "spec": json.dumps(spec), "attempts": 0}
        row |= {"state": "queued", "seed": str(spec.get("seed", 0)), "model": spec.get("model") or "", "created": time.time()}
        with self.transaction() as connection:
            connection.execute(jobs.insert().values(row))
        return row["id"]

    def state(self, run: str) -> dict[str, Any] | None:
        """A run's row, with the spec as a table; None if there is none."""
        found = self.row(run, RUN)
        return None if found is None else _row(found)

    def recent(self, most: int = 20) -> list[dict[str, Any]]:
        """The last runs, the newest first."""
        with self.transaction() as connection:
            last = select(*RUN).where(jobs.c.kind == "run").order_by(jobs.c.created.desc()).limit(most)
            return [_row(found._asdict()) for found in connection.execute(last)]

    def start(self, run: str) -> bool:
        """Whether it was waiting, and runs now."""
        return self.move(run, ("queued",), state="running", started=time.time())

    def end(self, run: str, state: str, error: str | None = None) -> bool:
        """Write how a run ended, if it has not ended before."""
        return self.move(run, ("queued", "running"), state=state, error=error, finished=time.time())

    def cancel(self, run: str) -> bool:
        return self.end(run, "cancelled")

    def interrupt(self) -> int:
        """Mark what an earlier process left unfinished; how many there were."""
        where = jobs.c.state.in_(("queued", "running")) & (jobs.c.kind == "run")
        error = "The workbench was closed while this ran. What was finished is kept; run it again for the rest."
        with self.transaction() as connection:
            return connection.execute(update(jobs).where(where).values(state="interrupted", error=error)).rowcount

    def add(self, run: str, made: "Iterable[Design]", missing: dict[int, str]) -> None:
        """Keep a finished batch: its designs, and place → why there is none."""
        with self.transaction() as connection:
            rows = [{"job": run, "place": item.index, "design": json.dumps(item.to_dict())} for item in made]
            if rows:
                _put(connection, designs, rows, {})
            if missing:
                before = json.loads(connection.execute(select(jobs.c.missing).where(jobs.c.id == run)).scalar_one())
                after = json.dumps({**before, **{str(place): why for place, why in missing.items()}})
                connection.execute(update(jobs).where(jobs.c.id == run).values(missing=after))

    def results(self, run: str) -> "list[Design]":
        """The designs that are finished, in the order of the request."""
        with self.transaction() as connection:
            where = select(designs.c.design).where(designs.c.job == run).order_by(designs.c.place)
            return [design_of(json.loads(text)) for text in connection.execute(where).scalars()]

    def latest(self, run: str, most: int) -> "tuple[int, list[Design]]":
        """How many designs are finished, and the last of them in the order of the request."""
        with self.transaction() as connection:
            found = connection.execute(select(func.count()).where(designs.c.job == run)).scalar_one()
            last = select(designs.c.design).where(designs.c.job == run).order_by(designs.c.place.desc()).limit(most)
            return found, [design_of(json.loads(text)) for text in connection.execute(last).scalars()][::-1]

    def marks(self, run: str) -> dict[int, tuple[bool, str]]:
        """Place → (star, note)."""
        with self.transaction() as connection:
            found = connection.execute(select(marks).where(marks.c.job == run))
            return {row.place: (row.star, row.note) for row in found}

    def mark(self, run: str, place: int, star: bool, note: str) -> None:
        with self.transaction() as connection:
            row = {"job": run, "place": place, "star": star, "note": note}
            _put(connection, marks, [row], {"star": star, "note": note})


def design_of(table: dict[str, Any]) -> "Design":
    """A design from its table, as JSON holds it."""
    from constraints.certificate import Certificate
    from domains.answer import Design

    told = table["certificate"]
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in told.items()}
    certificate = Certificate(**fields)
    return Design(**{**table, "pinned_atoms": tuple(table["pinned_atoms"]), "certificate": certificate})


def _row(row: dict[str, Any]) -> dict[str, Any]:
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
