"""Jobs: nothing that was accepted is lost and nothing has two results, whatever ends, fills up or is locked."""

import json
import sqlite3

import pytest
from api_service import LONG, MOLECULE, ended, save_models, service, until
from sqlalchemy import event, update

from apps.api.errors import Refused
from apps.api.settings import Settings
from apps.api.store import ATTEMPTS, Store
from apps.client import Client, ServiceError
from apps.store import jobs
from benchmarks import kill
from domains.design import DesignSpec, design
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import ConfigError

SPEC = DesignSpec.from_dict(MOLECULE).to_dict()


@pytest.fixture
def store(url):
    store = Store(url, lease=0.3)
    yield store
    with store.engine.begin() as connection:
        connection.execute(jobs.delete())
    store.close()


# ── the store ──


def test_a_job_has_one_owner_and_one_result(store, url):
    other = Store(url, lease=0.3)
    first, second = (store.add({**SPEC, "seed": k}, "tiny", "f" * 64) for k in (1, 2))
    mine, theirs = store.claim(), other.claim()
    assert mine and theirs and [mine["id"], theirs["id"]] == [first["id"], second["id"]]
    assert store.claim() is None and other.claim() is None
    assert not other.finish(first["id"], result='{"stolen": true}'), "it is not theirs"
    assert store.finish(first["id"], result='{"n": 1}') and not store.finish(first["id"], result='{"n": 2}')
    row = store.get(first["id"], result=True)
    assert row and row["state"] == "done" and row["result"] == '{"n": 1}' and row["attempts"] == 1
    assert store.counts() == {"queued": 0, "running": 1, "done": 1, "failed": 0, "cancelled": 0}
    other.close()


def test_a_lease_that_is_not_renewed_is_taken_over_and_the_old_owner_writes_nothing(store, url):
    other = Store(url, lease=0.3)
    id = store.add(SPEC, "tiny", None)["id"]
    assert store.claim() and store.renew([id]) == {id}
    taken = until(other.claim)
    assert taken["id"] == id and taken["attempts"] == 2
    assert store.renew([id]) == set() and not store.finish(id, result="{}")
    assert other.finish(id, error="no")
    other.close()


def test_cancel_release_and_keys(store):
    waiting, running = (store.add({**SPEC, "seed": k}, "tiny", None, key=f"key-{k}") for k in (1, 2))
    assert store.cancel(waiting["id"]) and not store.cancel(waiting["id"])
    claimed = store.claim()
    assert claimed and claimed["id"] == running["id"]
    store.release(running["id"])
    row = store.get(running["id"])
    assert row and row["state"] == "queued" and row["attempts"] == 0 and row["owner"] is None
    assert store.add({**SPEC, "seed": 2}, "tiny", None, key="key-2")["id"] == running["id"]
    with pytest.raises(Refused, match="another request"):
        store.add({**SPEC, "seed": 9}, "tiny", None, key="key-2")
    with pytest.raises(Refused, match="1 jobs are waiting") as refused:
        store.add(SPEC, "tiny", None, most=1)
    assert refused.value.status == 429


def test_a_database_url_that_is_none():
    with pytest.raises(ConfigError, match="expected an SQLAlchemy URL"):
        Store("nonsense")
    with pytest.raises(Refused, match="cannot be used now"):
        Store("postgresql://nobody@127.0.0.1:9/none")


# ── the service over it ──


def answered(folder, **change) -> list[str]:
    spec = DesignSpec.from_dict({**MOLECULE, **change})
    return [item.sequence for item in design(spec, checkpoint=load_checkpoint(folder / "models" / "tiny")).designs]


def sequences(row: dict) -> list[str]:
    return [item["sequence"] for item in row["result"]["designs"]]


def test_jobs_run_on_postgresql(postgres, tmp_path):
    with service(tmp_path, database=postgres) as client:
        row = ended(client, client.post("/v1/jobs", json=MOLECULE).json()["id"])
    assert row["state"] == "done" and sequences(row) == answered(tmp_path)


def test_a_service_that_is_ended_gives_its_jobs_back_and_the_next_one_does_them(tmp_path):
    with service(tmp_path, jobs=1) as client:
        ids = [client.post("/v1/jobs", json={**LONG, "seed": k}).json()["id"] for k in range(2)]
        log = until(lambda: client.app.state.service.logs.get(ids[0]))
        until(lambda: log.step >= 2)
    store = Store(f"sqlite:///{tmp_path / 'jobs.db'}")
    assert store.counts()["queued"] == 2, "given back at once, not when a lease runs out"
    with store.engine.begin() as connection:  # what is left of the long ones is not the point
        for k, id in enumerate(ids):
            small = json.dumps(DesignSpec.from_dict({**MOLECULE, "seed": k}).to_dict())
            connection.execute(update(jobs).where(jobs.c.id == id).values(spec=small))
    with service(tmp_path) as client:
        rows = [ended(client, id) for id in ids]
    assert [sequences(row) for row in rows] == [answered(tmp_path, seed=k) for k in range(2)]


def test_a_locked_database_is_a_clean_refusal_and_the_result_is_written_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr("apps.store.BUSY_SECONDS", 0.1)
    with service(tmp_path) as client:
        id = client.post("/v1/jobs", json={**LONG, "n": 2}).json()["id"]
        until(lambda: not client.app.state.service.jobs.idle)
        lock = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        refused = client.post("/v1/jobs", json=MOLECULE)
        assert refused.status_code == 503 and "locked" in refused.json()["error"]["message"]
        assert refused.headers["retry-after"] == "5"
        assert client.post("/v1/generate", json=MOLECULE).status_code == 200, "designs need no database"
        work = client.app.state.service.jobs._running[id]
        until(work.future.done)
        lock.execute("ROLLBACK")
        lock.close()
        row = ended(client, id)
        assert row["state"] == "done" and len(row["result"]["designs"]) == 2
        assert ended(client, client.post("/v1/jobs", json=MOLECULE).json()["id"])["state"] == "done"


def test_a_full_disk_is_a_clean_refusal_and_nothing_accepted_is_lost(tmp_path):
    with service(tmp_path, jobs=1) as client:
        engine = client.app.state.service.store.engine
        pages = {"most": 0}

        def limit(connection, _):
            connection.execute(f"PRAGMA max_page_count={pages['most'] or 1_000_000}").close()

        event.listen(engine, "connect", limit)
        first = client.post("/v1/jobs", json=LONG).json()["id"]
        pages["most"] = 1  # SQLite: no less than there are, so the file cannot grow
        long = {**MOLECULE, "constraint": " & ".join(["avoid(N-N)"] * 200)}
        kept = [client.post("/v1/jobs", json={**long, "seed": k}) for k in range(12)]
        assert {answer.status_code for answer in kept} == {202, 503}
        full = next(answer for answer in kept if answer.status_code == 503)
        assert "full" in full.json()["error"]["message"]
        client.delete(f"/v1/jobs/{first}")
        pages["most"] = 0
        rows = [ended(client, answer.json()["id"]) for answer in kept if answer.status_code == 202]
        assert all(row["state"] == "done" for row in rows)
        counts = client.get("/readyz").json()["jobs"]
        assert counts["done"] == len(rows) and counts["cancelled"] == 1 and counts["queued"] == counts["running"] == 0


def test_a_job_that_ends_its_server_each_time_is_given_up(tmp_path):
    save_models(tmp_path / "models")
    store = Store(f"sqlite:///{tmp_path / 'jobs.db'}")
    sha256 = load_checkpoint(tmp_path / "models" / "tiny").sha256
    id = store.add(SPEC, "tiny", sha256)["id"]
    other = store.add(SPEC, "tiny", "0" * 64)["id"]
    with store.engine.begin() as connection:
        connection.execute(update(jobs).where(jobs.c.id == id).values(attempts=ATTEMPTS))
    with service(tmp_path) as client:
        assert f"ended {ATTEMPTS} times" in ended(client, id)["error"]
        assert "not the one that the job was accepted for" in ended(client, other)["error"]


def test_a_job_has_its_time(tmp_path):
    with service(tmp_path, job_seconds=0.2) as client:
        row = ended(client, client.post("/v1/jobs", json=LONG).json()["id"])
        assert row["state"] == "failed" and "more than 0.2 s" in row["error"]


# ── a process that is killed ──


@pytest.mark.slow
def test_five_kills_lose_nothing_and_double_nothing(tmp_path):
    found = kill.run(5, f"sqlite:///{tmp_path / 'jobs.db'}")
    assert found["interrupted"] > 0, "some were killed in the middle of their work"
    assert found["accepted"] == 5 * kill.JOBS and found["lost"] == found["wrong"] == found["doubled"] == 0
    assert found["exit_status"] == 0 and found["recovery_seconds_most"] < 30


def test_settings_that_are_none(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a token to listen on 0\.0\.0\.0"):
        Settings(host="0.0.0.0")
    with pytest.raises(ConfigError, match="at least 16 ASCII"):
        Settings(token="short")
    with pytest.raises(ConfigError, match="active: expected at least 1"):
        Settings(active=0)
    with pytest.raises(ConfigError, match="lease: expected more than 0"):
        Settings(lease=0.0)
    with pytest.raises(ConfigError, match="expected a folder of checkpoint folders"):
        Settings(models=tmp_path / "none").folders()


def test_the_client_says_what_the_service_said(tmp_path):
    import httpx

    def busy(request):
        seen.append(request)
        return httpx.Response(
            429, json={"error": {"type": "busy", "message": "later", "status": 429}}, headers={"retry-after": "0"}
        )

    seen = []
    with Client(transport=httpx.MockTransport(busy), retries=2, token="t" * 16) as client:
        with pytest.raises(ServiceError, match="429 busy: later") as error:
            client.generate(**MOLECULE)
        assert len(seen) == 3 and error.value.retry_after == 0.0
        assert seen[0].headers["authorization"] == "Bearer " + "t" * 16
        with pytest.raises(ServiceError):
            client.submit(**MOLECULE)
        assert len({request.headers["idempotency-key"] for request in seen[3:]}) == 1, "asked again with the same key"
