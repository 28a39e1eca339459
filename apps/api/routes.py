"""The routes: designs at once, jobs, what there is to choose from, and the state of the service."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.sse import EventSourceResponse, format_sse_event
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from apps.api.body import read_object
from apps.api.engine import Work
from apps.api.errors import Refused, answer
from apps.api.passes import Stopped
from apps.api.schema import EXAMPLES, body, constraint_schema, responses, spec_schema
from apps.api.service import Service
from domains.answer import Designs

router = APIRouter()
JOB = re.compile(r"[0-9a-f]{32}")
KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
LATE = 1.0  # seconds after its time in which a request stops by itself, before its next pass
PAUSE = 0.05  # seconds between two looks at a job that is followed
LOOK = 1.0  # seconds between two looks at the store, for a job that runs elsewhere
BEAT = 15.0  # seconds after which a silent stream says that it is there
READS = (400, 408, 413, 415, 422)


def service_of(request: Request) -> Service:
    return request.app.state.service


# ── designs at once ──


@router.post("/v1/generate", responses=responses(404, 429, *READS), openapi_extra=body(spec_schema(False), EXAMPLES))
async def generate(request: Request) -> Response:
    """Answer a request: the document that the command line prints with --json."""
    service = service_of(request)
    work = await service.take(await read_object(request))
    found = await finished(request, work)
    return JSONResponse(found.to_dict(), headers={"Server-Timing": server_timing(work)})


async def finished(request: Request, work: Work) -> Designs:
    """The designs of a request; where the client goes away, or time is over, it stops before its next pass."""
    service = service_of(request)
    request.state.log = said_of(work, service.settings.show_sequences)
    gone = asyncio.ensure_future(disconnected(request))
    wait = asyncio.wrap_future(work.future)
    wait.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to ask for it
    left = work.lane.until - time.monotonic() + LATE
    try:
        await asyncio.wait({wait, gone}, timeout=max(left, 0.0), return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not wait.done():
            raise Refused(400, "the client went away")
        if not wait.done():
            raise Stopped("time")
        found = wait.result()
    except Stopped as stopped:
        raise unfinished(work, stopped, service.settings.seconds) from None
    finally:
        gone.cancel()
        work.cancel()
    service.figures.designs.labels(work.spec.domain).inc(len(found.designs))
    request.state.log |= {name: round(1000 * seconds, 1) for name, seconds in work.timing().items()}
    return found


def unfinished(work: Work, stopped: Stopped, seconds: float) -> Refused:
    """Why a request has no answer."""
    if stopped.reason != "time":
        return Refused(503, "the service is ending; ask again", {"Retry-After": "5"})
    if not work.begun or work.begun - work.taken > seconds / 2:
        return Refused(429, f"it waited for most of its {seconds:g} s; ask again", {"Retry-After": "5"})
    return Refused(422, f"it took more than {seconds:g} s; ask for less, or submit it as a job")


async def disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def said_of(work: Work, sequences: bool) -> dict[str, Any]:
    """What the log says of a request; what it designs only if asked for."""
    spec = work.spec
    shown = {"template": spec.template, "constraint": spec.constraint} if sequences else {}
    return {"model": work.model, "n": spec.n, "sampler": spec.sampler, **shown}


def server_timing(work: Work) -> str:
    """Milliseconds in the line, of waiting for turns, in passes, of all else, and of processor time in that."""
    return ", ".join(f"{name};dur={1000 * seconds:.1f}" for name, seconds in work.timing().items())


# ── jobs ──


@router.post(
    "/v1/jobs",
    status_code=202,
    responses=responses(404, 409, 429, 503, *READS),
    openapi_extra=body(spec_schema(True), EXAMPLES),
)
async def submit(request: Request, key: Annotated[str | None, Header(alias="Idempotency-Key")] = None) -> Response:
    """Accept a request to be worked on later. With a header Idempotency-Key, asking twice makes one job."""
    service = service_of(request)
    table = await read_object(request)
    if key is not None and not KEY.fullmatch(key):
        raise Refused(422, "Idempotency-Key: expected 1 to 64 letters, digits, _ or -")
    if service.stopping.is_set():
        raise Refused(503, "the service is ending; ask again", {"Retry-After": "5"})
    spec, name, checkpoint = await run_in_threadpool(service.read, table, True)
    most = service.settings.queued_jobs
    row = await run_in_threadpool(service.store.add, spec.to_dict(), name, checkpoint.sha256, key, most)
    service.jobs.wake()
    return JSONResponse(shown(row), 202, {"Location": f"/v1/jobs/{row['id']}"})


@router.get("/v1/jobs/{id}", responses=responses(404, 503))
async def job(request: Request, id: str) -> Response:
    """A job: its state, and its result once it is done."""
    return JSONResponse(shown(await found_job(request, id, True)))


@router.delete("/v1/jobs/{id}", responses=responses(404, 409, 503))
async def cancel(request: Request, id: str) -> Response:
    """Cancel a job: one that runs stops before its next pass."""
    service = service_of(request)
    await found_job(request, id)
    await run_in_threadpool(service.store.cancel, id)
    service.jobs.cancel(id)
    row = await found_job(request, id)
    if row["state"] != "cancelled":
        raise Refused(409, f"the job is {row['state']} already")
    return JSONResponse(shown(row))


async def found_job(request: Request, id: str, result: bool = False) -> dict:
    row = await run_in_threadpool(service_of(request).store.get, id, result) if JOB.fullmatch(id) else None
    if row is None:
        raise Refused(404, "there is no job of that id")
    return row


def shown(row: dict) -> dict[str, Any]:
    """A job as clients see it."""
    kept = {name: row.get(name) for name in ("id", "state", "model", "model_sha256", "created", "started", "finished", "error")}
    links = {"self": f"/v1/jobs/{row['id']}", "events": f"/v1/jobs/{row['id']}/events"}
    result = json.loads(row["result"]) if row.get("result") else None
    return {**kept, "seed": int(row["seed"]), "spec": json.loads(row["spec"]), "result": result, "links": links}


@router.get("/v1/jobs/{id}/events", response_class=StreamingResponse, responses=responses(404, 422, 429, 503))
async def events(request: Request, id: str, last: Annotated[str, Header(alias="Last-Event-ID")] = "0") -> Response:
    """Follow a job (server-sent events): "step" with the positions that changed, "rows" with whole rows where steps are not
    kept any more, and at the end "end" with its state and sequences. The event id is the step; with Last-Event-ID a client
    goes on behind it."""
    service = service_of(request)
    if not (last.isascii() and last.isdecimal() and len(last) < 10):
        raise Refused(422, "Last-Event-ID: expected the number of a step")
    await found_job(request, id)
    if service.streams >= service.settings.streams:
        raise Refused(429, f"{service.streams} clients follow jobs already; ask again later", {"Retry-After": "10"})
    return EventSourceResponse(follow(request, id, int(last)))


async def follow(request: Request, id: str, last: int) -> AsyncIterator[bytes]:
    """The events of a job behind a step."""
    service, silent, asked = service_of(request), 0.0, LOOK
    service.streams += 1
    try:
        while not service.stopping.is_set():
            log = service.logs.get(id)
            news = log.after(last) if log else []
            for kind, last, data in news:
                yield format_sse_event(data_str=json.dumps(data), event=kind, id=str(last))
            silent = 0.0 if news else silent + PAUSE
            asked += PAUSE
            if (log is not None and log.ended and not news) or asked >= LOOK:
                asked, row = 0.0, await found_job(request, id, True)
                if row["state"] in ("done", "failed", "cancelled") and not news:
                    yield format_sse_event(data_str=json.dumps(end_of(row)), event="end")
                    return
            if silent > BEAT:
                silent = 0.0
                yield b": still there\n\n"
            await asyncio.sleep(PAUSE)
    except Refused as refused:
        yield format_sse_event(data_str=answer(refused.status, refused.message).body.decode(), event="error")  # type: ignore[union-attr]
    finally:
        service.streams -= 1


def end_of(row: dict) -> dict[str, Any]:
    """How a job ended; the tokens of the last step come with it, as sequences."""
    result = json.loads(row["result"]) if row["result"] else {"designs": []}
    designs = [{"index": item["index"], "sequence": item["sequence"]} for item in result["designs"]]
    return {"state": row["state"], "error": row["error"], "designs": designs}


# ── what there is, and how it goes ──


@router.get("/v1/models", responses=responses())
async def models(request: Request) -> Response:
    """The models that requests can name."""
    return JSONResponse({"object": "list", "data": service_of(request).models.table()})


@router.get("/v1/constraints", responses=responses())
async def constraints() -> Response:
    """What can be asked of a sequence, in words, as text and as JSON, and a schema of the JSON form."""
    return JSONResponse(constraint_schema())


@router.get("/healthz", responses=responses())
async def healthz() -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", responses=responses(503))
async def readyz(request: Request) -> Response:
    """The models are loaded and the database answers."""
    service = service_of(request)
    if not service.ready or service.stopping.is_set():
        raise Refused(503, "the service is starting or ending", {"Retry-After": "2"})
    return JSONResponse(
        {"status": "ready", "models": service.models.names, "jobs": await run_in_threadpool(service.store.counts)}
    )


@router.get("/metrics", responses=responses())
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(generate_latest(service_of(request).figures.registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
