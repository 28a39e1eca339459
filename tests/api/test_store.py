"""One database of jobs: of the service and of the workbench side by side, brought up from what was there before."""

import json
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from apps.api.store import Store as Jobs
from apps.store import VERSION, Unavailable
from apps.workbench.store import Store as Runs
from seqdiff.errors import ConfigError

SPEC = {"domain": "smiles", "n": 2, "seed": 5, "model": "tiny"}
OLD_JOBS = """CREATE TABLE jobs (id VARCHAR(32) NOT NULL PRIMARY KEY, key VARCHAR(64) UNIQUE, state VARCHAR(16) NOT NULL,
    spec TEXT NOT NULL, seed VARCHAR(20) NOT NULL, model VARCHAR(64) NOT NULL, model_sha256 VARCHAR(64),
    created FLOAT NOT NULL, started FLOAT, finished FLOAT, owner VARCHAR(32), lease FLOAT, attempts INTEGER NOT NULL,
    error TEXT, result TEXT)"""
OLD_JOB = """INSERT INTO jobs (id, key, state, spec, seed, model, created, attempts)
    VALUES (:i, 'k', 'queued', :s, '5', 'tiny', 1, 0)"""
OLD_RUN = """INSERT INTO workbench_runs (id, title, spec, state, created, missing)
    VALUES (:i, 'old', :s, 'done', 1, '{"1": "no"}')"""
OLD_RUNS = (
    """CREATE TABLE workbench_runs (id VARCHAR(32) NOT NULL PRIMARY KEY, title TEXT NOT NULL, parent VARCHAR(32),
    spec TEXT NOT NULL, state VARCHAR(16) NOT NULL, created FLOAT NOT NULL, started FLOAT, finished FLOAT, error TEXT,
    missing TEXT NOT NULL)""",
    """CREATE TABLE workbench_designs (run VARCHAR(32) NOT NULL, place INTEGER NOT NULL, design TEXT NOT NULL,
    PRIMARY KEY (run, place))""",
    """CREATE TABLE workbench_marks (run VARCHAR(32) NOT NULL, place INTEGER NOT NULL, star BOOLEAN NOT NULL,
    note TEXT NOT NULL, PRIMARY KEY (run, place))""",
)


@pytest.fixture
def raw(url):
    """Connections to the database itself; empty before and after."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    with engine.begin() as connection:
        for name in inspect(connection).get_table_names():
            connection.execute(text(f"DROP TABLE {name}"))
    engine.dispose()


def certified(place: int) -> Any:
    from constraints.certificate import Certificate
    from domains.answer import Design

    certificate = Certificate("exact", "as the model", seed=5, model=None)
    return Design("CC", "CC", True, "", True, (), {"qed": 0.5}, certificate, place)


def test_jobs_and_runs_share_a_database_and_see_their_own_alone(url, raw):
    jobs, runs = Jobs(url), Runs(url)
    job, run = jobs.add(SPEC, "tiny", None, key="k"), runs.submit(SPEC, "mine")
    assert runs.state(job["id"]) is None and jobs.get(run) is None
    assert [row["id"] for row in runs.recent()] == [run] and jobs.counts()["queued"] == 1
    claimed = jobs.claim()
    assert claimed and claimed["id"] == job["id"] and jobs.claim() is None, "a run is not the service's to work on"
    assert not jobs.cancel(run) and not runs.cancel(job["id"])
    assert runs.interrupt() == 1
    row = jobs.get(job["id"])
    assert row and row["state"] == "running", "a workbench that starts interrupts no job"
    jobs.close()
    runs.close()


def test_what_the_service_kept_before_is_kept(url, raw):
    with raw.begin() as connection:
        connection.execute(text(OLD_JOBS))
        connection.execute(text(OLD_JOB), {"i": "a" * 32, "s": json.dumps(SPEC, sort_keys=True)})
    store = Jobs(url)
    assert store.add(SPEC, "tiny", None, key="k")["id"] == "a" * 32, "accepted before, with the same key"
    claimed = store.claim()
    assert claimed and claimed["id"] == "a" * 32 and store.finish("a" * 32, result="{}")
    store.close()
    again = Jobs(url)
    assert again.counts()["done"] == 1
    again.close()


def test_what_the_workbench_kept_before_is_kept(url, raw):
    with raw.begin() as connection:
        for table in OLD_RUNS:
            connection.execute(text(table))
        old = {"i": "b" * 32, "s": json.dumps(SPEC), "d": json.dumps(certified(0).to_dict())}
        connection.execute(text(OLD_RUN), old)
        connection.execute(text("INSERT INTO workbench_designs VALUES (:i, 0, :d)"), old)
        connection.execute(text("INSERT INTO workbench_marks VALUES (:i, 0, TRUE, 'good')"), old)
    store = Runs(url)
    row = store.state("b" * 32)
    assert row and row["title"] == "old" and row["spec"] == SPEC and row["missing"] == {1: "no"}
    assert store.results("b" * 32) == [certified(0)] and store.marks("b" * 32) == {0: (True, "good")}
    assert not [name for name in inspect(raw).get_table_names() if name.startswith("workbench")]
    run = store.submit(SPEC)
    store.add(run, [certified(0)], {})
    assert len(store.results(run)) == 1
    store.close()


def test_a_migration_that_fails_leaves_what_was_there(url, raw):
    with raw.begin() as connection:
        connection.execute(text(OLD_JOBS))
        connection.execute(text(OLD_RUNS[0]))  # without its designs: not a workbench's
        connection.execute(text(OLD_RUN), {"i": "c", "s": "{}"})
    with pytest.raises(Unavailable):
        Runs(url)
    assert sorted(inspect(raw).get_table_names()) == ["jobs", "workbench_runs"]
    assert "kind" not in {column["name"] for column in inspect(raw).get_columns("jobs")}


def test_a_database_of_a_later_version_is_refused(url, raw):
    Runs(url).close()
    with raw.begin() as connection:
        connection.execute(text(f"UPDATE seqdiff_version SET version = {VERSION + 1}"))
    with pytest.raises(ConfigError, match=f"expected version {VERSION} of its tables, got {VERSION + 1}"):
        Jobs(url)
