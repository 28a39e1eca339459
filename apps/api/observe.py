"""What is seen of the service from outside: figures for Prometheus, and a line of JSON for each request.

Labels are bounded: the paths are those of the routes, never what a client sent. The log holds no sequence unless asked.
"""

import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = logging.getLogger("seqdiff.api")
METHODS = ("GET", "POST", "DELETE")
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Figures:
    """The service's own registry.

    Args:
        gauges: name → (what it is, its value now).
    """

    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]]):
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("seqdiff_requests", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "seqdiff_request_seconds", "Seconds of a request", ("route",), registry=self.registry, buckets=BUCKETS
        )
        self.designs = Counter("seqdiff_designs", "Designs made for requests", ("domain",), registry=self.registry)
        for name, (text, value) in gauges.items():
            Gauge(f"seqdiff_{name}", text, registry=self.registry).set_function(value)


class Watched:
    """ASGI: counts, times and logs every request."""

    def __init__(self, app: ASGIApp, figures: Figures):
        self.app, self.figures = app, figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        number = scope.setdefault("state", {})["number"] = uuid.uuid4().hex[:12]
        try:
            await self.app(scope, receive, seen)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.figures.requests.labels(method, route, str(status)).inc()
            self.figures.seconds.labels(route).observe(seconds)
            line = {"event": "request", "number": number, "method": method, "route": route, "status": status}
            LOGGER.info(json.dumps({**line, "ms": round(1000 * seconds, 1), **scope["state"].get("log", {})}))


class Lines(logging.Formatter):
    """A line of JSON for each record; messages that are JSON objects already are taken apart."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        said = {"event": record.name, "message": text}
        if text.startswith("{"):
            with contextlib.suppress(ValueError):
                said = json.loads(text)
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        return json.dumps({"time": at, "level": record.levelname.lower(), **said})
