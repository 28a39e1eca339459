"""A client for the service: requests, jobs, events, in typed Python.

with Client("http://127.0.0.1:8000") as client:
    answer = client.generate(domain="smiles", template="CC(=O)N{4-9}c1ccc(F)cc1", n=8)
    job = client.submit(domain="smiles", n=20)
    for event in client.events(job.id):
        print(event.step, event.data)
    print(client.wait(job.id).result)
"""

import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from domains.spec import DesignSpec

ENDED = ("done", "failed", "cancelled")


class ServiceError(Exception):
    """The service refused: `status`, `kind` (such as "invalid", "busy") and its message; `retry_after` seconds, if it said."""

    def __init__(self, status: int, kind: str, message: str, retry_after: float | None = None):
        super().__init__(f"{status} {kind}: {message}")
        self.status, self.kind, self.message, self.retry_after = status, kind, message, retry_after


@dataclass(frozen=True)
class Job:
    """A job as it stood when it was asked for; `result` is the document of `generate`, once its state is "done"."""

    id: str
    state: str
    model: str
    seed: int
    spec: dict[str, Any]
    error: str | None = None
    result: dict[str, Any] | None = None
    model_sha256: str | None = None
    created: float | None = None
    started: float | None = None
    finished: float | None = None

    @property
    def ended(self) -> bool:
        return self.state in ENDED


@dataclass(frozen=True)
class Event:
    """What happened to a job: kind "step", "rows" or "end", and the step it belongs to."""

    kind: str
    step: int
    data: dict[str, Any] = field(default_factory=dict)


class Client:
    """A connection to a service.

    Args:
        url: where it listens.
        token: what it asks for, if anything.
        retries: how often a busy service (429) or one that cannot be reached now (503) is asked again.
        seconds: that an answer may take.
        transport: httpx's, for tests.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        token: str | None = None,
        retries: int = 5,
        seconds: float = 90.0,
        transport: httpx.BaseTransport | None = None,
    ):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=seconds, transport=transport, trust_env=False)
        self._retries = retries

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def generate(self, spec: DesignSpec | None = None, **fields: Any) -> dict[str, Any]:
        """The answer to a request: `designs`, `spec`, `timing`, `complete`, `abstained`, `lost`, `summary`.

        Raises ServiceError, as all methods do.
        """
        return self._ask("POST", "/v1/generate", table_of(spec, fields)).json()

    def submit(self, spec: DesignSpec | None = None, *, key: str | None = None, **fields: Any) -> Job:
        """A job. With the same key (one of its own by default) it is accepted once, however often it is sent."""
        sent = {"Idempotency-Key": key or uuid.uuid4().hex}
        return job_of(self._ask("POST", "/v1/jobs", table_of(spec, fields), sent).json())

    def job(self, id: str) -> Job:
        return job_of(self._ask("GET", f"/v1/jobs/{id}").json())

    def cancel(self, id: str) -> Job:
        return job_of(self._ask("DELETE", f"/v1/jobs/{id}").json())

    def wait(self, id: str, seconds: float = 3600.0, pause: float = 0.5) -> Job:
        """The job, once it has ended. Raises TimeoutError."""
        until = time.monotonic() + seconds
        while not (found := self.job(id)).ended:
            if time.monotonic() > until:
                raise TimeoutError(f"job {id} is {found.state} after {seconds:g} s")
            time.sleep(pause)
        return found

    def events(self, id: str, after: int = 0) -> Iterator[Event]:
        """What a job does behind a step, to its end. A connection that breaks is taken up again where it was."""
        for attempt in range(self._retries + 1):
            try:
                with self._http.stream("GET", f"/v1/jobs/{id}/events", headers={"Last-Event-ID": str(after)}) as answer:
                    if answer.status_code != 200:
                        answer.read()
                        raise error_of(answer)
                    for event in events_of(answer.iter_lines(), after):
                        after = event.step
                        yield event
                        if event.kind == "end":
                            return
            except httpx.TransportError:
                if attempt == self._retries:
                    raise
            time.sleep(min(2.0**attempt * 0.2, 5.0))

    def complete(self, prompt: str, model: str = "text-small", **fields: Any) -> list[str]:
        """Texts that go on from a prompt."""
        answer = self._ask("POST", "/v1/completions", {"model": model, "prompt": prompt, **fields})
        return [choice["text"] for choice in answer.json()["choices"]]

    def infill(self, prompt: str, suffix: str, model: str = "text-small", **fields: Any) -> list[str]:
        """Texts that stand between a prompt and a suffix."""
        answer = self._ask("POST", "/v1/infill", {"model": model, "prompt": prompt, "suffix": suffix, **fields})
        return [choice["text"] for choice in answer.json()["choices"]]

    def models(self) -> list[dict[str, Any]]:
        return self._ask("GET", "/v1/models").json()["data"]

    def constraints(self) -> dict[str, Any]:
        return self._ask("GET", "/v1/constraints").json()

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> httpx.Response:
        for attempt in range(self._retries + 1):
            answer = self._http.request(method, path, json=body, headers=headers)
            if answer.status_code < 400:
                return answer
            error = error_of(answer)
            if error.status not in (429, 503) or attempt == self._retries:
                raise error
            time.sleep(error.retry_after if error.retry_after is not None else min(2.0**attempt * 0.2, 5.0))
        raise AssertionError("the last attempt returns or raises")


def table_of(spec: DesignSpec | None, fields: dict[str, Any]) -> dict[str, Any]:
    """A request as JSON: a spec's table, or the fields as they are given (the service checks them)."""
    return {**(spec.to_dict() if spec is not None else {}), **fields}


def job_of(table: dict[str, Any]) -> Job:
    return Job(**{name: table[name] for name in Job.__dataclass_fields__ if name in table})


def error_of(answer: httpx.Response) -> ServiceError:
    try:
        said = answer.json()["error"]
    except (ValueError, KeyError, TypeError):
        said = {"type": "error", "message": answer.text[:200]}
    wait = answer.headers.get("retry-after", "")
    return ServiceError(answer.status_code, said["type"], said["message"], float(wait) if wait.isdecimal() else None)


def events_of(lines: Iterator[str], step: int) -> Iterator[Event]:
    """Server-sent events from their lines."""
    kind, data = "message", ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "event":
            kind = value
        elif name == "id":
            step = int(value)
        elif name == "data":
            data += value
        elif not line and data:
            yield Event(kind, step, json.loads(data))
            kind, data = "message", ""
