"""`seqdiff serve` itself: a process that starts, keeps its word on addresses, and ends cleanly."""

import json
import logging

import httpx
import pytest

from apps.api.observe import Lines
from apps.api.store import Store
from apps.cli.serve import bound, run
from benchmarks.kill import MODEL, SPEC, Server
from seqdiff.errors import ConfigError


def test_a_process_that_is_told_to_end_ends_with_0_though_a_client_follows_a_job(tmp_path):
    server = Server(database=f"sqlite:///{tmp_path / 'jobs.db'}", offer=[MODEL]).wait()
    try:
        id = httpx.post(f"{server.url}/v1/jobs", json={**SPEC, "n": 1000}, trust_env=False).json()["id"]
        with httpx.stream("GET", f"{server.url}/v1/jobs/{id}/events", trust_env=False) as stream:
            assert next(stream.iter_lines()) == "event: step"
            assert server.stop() == 0
    finally:
        server.kill()
    store = Store(f"sqlite:///{tmp_path / 'jobs.db'}")
    row = store.get(id)
    assert row and (row["state"], row["attempts"]) == ("queued", 0), "given back, for the next server to begin anew"
    store.close()


def test_addresses_that_cannot_be_had(monkeypatch):
    monkeypatch.delenv("SEQDIFF_TOKEN", raising=False)
    with bound("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match="cannot listen on 127.0.0.1"):
        taken.listen()
        bound("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(ConfigError, match="port: expected 0 to 65535"):
        run(port=10**9)
    with pytest.raises(ConfigError, match="expected a token to listen on"):
        run(host="0.0.0.0")
    with pytest.raises(ConfigError, match="offer: expected some of"):
        run(offer=["none-such"])
    with pytest.raises(ConfigError, match="threads: expected at least 1"):
        run(threads=0)


def test_lines_of_the_log_are_json():
    def line(message, error=None):
        record = logging.LogRecord("seqdiff.api", logging.INFO, "", 0, message, (), error)
        return json.loads(Lines().format(record))

    assert line('{"event": "request", "status": 200}')["status"] == 200
    assert line("plain\nwords")["message"] == "plain\nwords" and line("1")["message"] == "1"
    try:
        raise RuntimeError("why")
    except RuntimeError as error:
        assert "RuntimeError: why" in line("{}", (type(error), error, None))["trace"]
