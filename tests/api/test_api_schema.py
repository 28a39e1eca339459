"""Requests made from the service's own OpenAPI document, as it says and not: no answer of 5xx, and all of them documented."""

import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import schemathesis
import uvicorn
from api_service import LONG, MOLECULE, OFFERED, save_models, until
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from apps.api.app import create_app
from apps.api.settings import Settings
from apps.client import Client
from benchmarks.kill import free_port

QUIET = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


@contextmanager
def serving(folder: Path, seconds: float = 2.0):
    """A service on a real socket: (its URL, its application)."""
    port = free_port()
    save_models(folder / "models")
    options = {"offered": OFFERED, "queued_jobs": 30, "seconds": seconds, "job_seconds": 2.0, "streams": 2}
    app = create_app(Settings(database=f"sqlite:///{folder / 'jobs.db'}", models=folder / "models", **options))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, 60)
    yield f"http://127.0.0.1:{port}", app
    app.state.service.stopping.set()
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("served")) as it:
        yield it


@pytest.fixture(scope="module")
def operations(served):
    document = httpx.get(f"{served[0]}/openapi.json", trust_env=False).json()
    schema = schemathesis.openapi.from_dict(document)
    return {result.ok().label: result.ok() for result in schema.get_all_operations()}, document


def examine(operations, url: str, label: str, examples: int) -> set[int]:
    """The statuses that requests of an operation were answered with."""
    operation, document = operations[0][label], operations[1]
    method, path = label.split(" ")
    documented = document["paths"][path][method.lower()]["responses"].keys()
    seen: list[int] = []

    def one(case) -> None:
        answer = case.call(base_url=url, timeout=60)
        seen.append(answer.status_code)
        assert answer.status_code < 500, (case.as_curl_command(), answer.text[:500])
        assert str(answer.status_code) in {*documented, "405"}, (case.as_curl_command(), answer.text[:500])

    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        if mode is GenerationMode.NEGATIVE and not operation.body:
            break  # any text may stand in a path or a header: nothing is wrong of itself
        how = settings(max_examples=examples, phases=[Phase.explicit, Phase.generate], **QUIET)
        how(given(case=operation.as_strategy(generation_mode=mode))(one))()
    return set(seen)


LABELS = (
    "POST /v1/generate",
    "POST /v1/jobs",
    "GET /v1/jobs/{id}",
    "DELETE /v1/jobs/{id}",
    "GET /v1/jobs/{id}/events",
    "POST /v1/completions",
    "POST /v1/infill",
    "GET /v1/models",
    "GET /v1/constraints",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
)


def test_every_operation_is_examined(operations):
    assert operations[0].keys() == set(LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_no_answer_of_5xx(served, operations, label):
    assert examine(operations, served[0], label, 5)


@pytest.mark.slow
@pytest.mark.parametrize("label", LABELS)
def test_no_answer_of_5xx_in_200_requests(served, operations, label):
    assert examine(operations, served[0], label, 200)


# ── a real socket ──


def test_a_client_that_goes_away_stops_its_request(tmp_path):
    # a service of its own, since jobs that other tests left behind would run passes too, and one that has time
    with serving(tmp_path, seconds=120.0) as (url, app):
        engine = app.state.service.engine
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v1/generate", json={**LONG, "steps": 1000}, timeout=0.5, trust_env=False)
        until(lambda: engine.load == 0)
        runs = engine.passes.runs
        assert runs < 6 * 1000  # batches × steps
        assert httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        assert engine.passes.runs == runs


def test_the_client_speaks_to_the_service(served):
    with Client(served[0]) as client:
        made = client.generate(**MOLECULE)
        job = client.submit(**MOLECULE)
        events = list(client.events(job.id))
        done = client.wait(job.id, pause=0.05)
        assert done.ended and done.result is not None and done.seed == 0
        sequences = [item["sequence"] for item in made["designs"]]
        assert [item["sequence"] for item in done.result["designs"]] == sequences
        assert events[-1].kind == "end" and [item["sequence"] for item in events[-1].data["designs"]] == sequences
        assert [event.step for event in client.events(job.id, after=events[1].step)][0] == events[2].step
        long = client.submit(**{**LONG, "steps": 900})
        assert client.cancel(long.id).state == "cancelled"
        assert {row["id"] for row in client.models()} == set(OFFERED) and "avoid" in client.constraints()["kinds"]
        assert len(client.complete("the mill", max_tokens=3, n=2)) == 2
        assert len(client.infill("the mill", "by zizzi", max_tokens=3)) == 1


def test_so_many_clients_follow_jobs_and_no_more(served):
    url = served[0]
    with httpx.Client(base_url=url, trust_env=False) as http:
        id = http.post("/v1/jobs", json={**LONG, "steps": 900}).json()["id"]
        with http.stream("GET", f"/v1/jobs/{id}/events") as one, http.stream("GET", f"/v1/jobs/{id}/events") as two:
            lines = one.iter_lines(), two.iter_lines()
            assert all(next(each).startswith("event: step") for each in lines)
            third = http.get(f"/v1/jobs/{id}/events")
            assert third.status_code == 429 and third.headers["retry-after"] == "10"
        http.delete(f"/v1/jobs/{id}")
