"""Runs that a service makes: the same designs, its progress, cancelled there; a service that refuses or is not there."""

import socket
import threading
import time

import httpx
import pytest
import uvicorn
from test_workbench_runner import TABLE
from workbench_pages import PATIENCE, ended

from apps.api.app import create_app
from apps.api.settings import Settings
from apps.client import Client
from apps.workbench.remote import Remote, begins
from apps.workbench.runner import Runner
from apps.workbench.store import Store
from domains.design import DesignSpec, design
from domains.registry import bundled_models

MODEL = TABLE["model"]


class There:
    """A workbench whose runs are made by a service in this process."""

    def __init__(self, folder, url: str = "http://localhost", transport=None, **more):
        self.store = Store(f"sqlite:///{folder / 'runs.db'}")
        remote = Remote(lambda: Client(url, retries=0, transport=transport))
        self.runner = Runner(self.store, bundled_models(), remote=remote, **more)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The address of a service in this process."""
    folder = tmp_path_factory.mktemp("service")
    made = create_app(Settings(database=f"sqlite:///{folder / 'jobs.db'}", offered=(MODEL,)))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(made, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        until = time.monotonic() + PATIENCE
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def test_the_designs_are_those_of_the_engine(service, tmp_path):
    there = There(tmp_path, service)
    assert there.runner.remote.models() == [MODEL]
    table = {**TABLE, "constraint": "count([C], 0..1)"}
    run = there.runner.submit(table, "one")
    assert ended(there, run)["state"] == "done"
    assert there.store.results(run) == design(DesignSpec.from_dict(table)).designs
    progress = there.runner.progress(run)
    assert progress.done == 8
    shown = there.store.results(run)[progress.place].sequence
    assert all(token in (None, letter) for token, letter in zip(progress.frames[-1], shown, strict=True))
    pins = [letter for letter, free in zip(shown, progress.free, strict=True) if not free]
    assert "".join(pins) == "FSLF"
    there.runner.close()


def test_places_without_a_design_are_told(service, tmp_path):
    there = There(tmp_path, service)
    run = there.runner.submit({**TABLE, "n": 2, "wishes": ["valid", "charge >= 40"], "particles": 2})
    row = ended(there, run)
    assert row["state"] == "done"
    assert len(there.store.results(run)) + len(row["missing"]) == 2
    there.runner.close()


def test_what_the_service_refuses_is_told(service, tmp_path):
    there = There(tmp_path, service)
    run = there.runner.submit({**TABLE, "model": "protein-small"})
    row = ended(there, run)
    assert row["state"] == "failed"
    assert "there is no protein-small here" in row["error"]
    there.runner.close()


def test_a_service_that_is_not_there_is_told(tmp_path):
    def gone(_):
        raise httpx.ConnectError("refused")

    there = There(tmp_path, transport=httpx.MockTransport(gone))
    row = ended(there, there.runner.submit(TABLE))
    assert row["state"] == "failed"
    assert "cannot be reached" in row["error"]
    there.runner.close()


def events(going: threading.Event):
    """A service that has taken a job, shows one pass and waits; and what it was asked."""
    asked: list[str] = []
    begin = b'event: step\nid: 1\ndata: {"changed": [{"index": 0, "particle": 0, "positions": {"0": "F", "1": null}}]}\n\n'

    class Stream(httpx.SyncByteStream):
        def __iter__(self):
            yield begin
            going.wait(PATIENCE)
            yield begin

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        job = {"id": "a" * 32, "state": "running", "model": MODEL, "seed": 0, "spec": {}}
        if request.url.path.endswith("/events"):
            return httpx.Response(200, stream=Stream())
        return httpx.Response(200, json=job)

    return httpx.MockTransport(answer), asked


def test_a_cancelled_run_is_cancelled_there(tmp_path):
    going = threading.Event()
    transport, asked = events(going)
    there = There(tmp_path, transport=transport)
    run = there.runner.submit(TABLE)
    until = time.monotonic() + PATIENCE
    while not there.runner.progress(run).frames and time.monotonic() < until:
        time.sleep(0.02)
    assert there.runner.progress(run).frames == [["F", None]]
    assert there.runner.cancel(run)
    while f"DELETE /v1/jobs/{'a' * 32}" not in asked and time.monotonic() < until:
        time.sleep(0.02)
    assert f"DELETE /v1/jobs/{'a' * 32}" in asked  # at once, before it says anything more
    going.set()
    assert ended(there, run)["state"] == "cancelled"
    there.runner.close()


def test_a_closed_page_cancels_the_job(tmp_path, monkeypatch):
    from apps.workbench import runner as running

    monkeypatch.setattr(running, "GRACE", -1.0)
    going = threading.Event()
    going.set()
    transport, asked = events(going)
    there = There(tmp_path, transport=transport, alive=lambda _: False)
    assert ended(there, there.runner.submit(TABLE))["state"] == "interrupted"
    assert f"DELETE /v1/jobs/{'a' * 32}" in asked
    there.runner.close()


def test_whole_rows_begin_a_batch():
    assert begins({(0, 0): {"0": "A", "1": None}})
    assert not begins({(0, 0): {"1": "A"}})
