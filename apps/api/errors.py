"""What is refused, in one JSON shape: {"error": {"type": …, "message": …, "status": …}}."""

import json
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from seqdiff.errors import SeqdiffError

SHOWN = 2000  # characters of a message
TYPES = {400: "malformed", 401: "unauthorized", 404: "not_found", 405: "method_not_allowed", 408: "too_slow", 409: "conflict"}
TYPES |= {413: "too_large", 415: "unsupported_media_type", 421: "wrong_host", 422: "invalid", 429: "busy", 500: "internal"}
TYPES |= {503: "unavailable"}


class Refused(Exception):
    """An answer other than the one asked for: status, a message for a person, headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, dict(headers or {})


def body_of(status: int, message: str) -> dict:
    """The one shape of an error."""
    return {"error": {"type": TYPES.get(status, "error"), "message": message[:SHOWN], "status": status}}


def answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """ASCII alone: what a user typed comes back whatever it holds, lone surrogates too."""
    content = json.dumps(body_of(status, message), ensure_ascii=True)
    return Response(content, status, dict(headers or {}), "application/json")


def install(app: FastAPI) -> None:
    """Every exception becomes that shape; what was not foreseen says nothing of the inside."""

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Response:
        return answer(error.status, error.message, error.headers)

    @app.exception_handler(SeqdiffError)
    async def invalid(_: Request, error: SeqdiffError) -> Response:
        return answer(422, str(error))

    @app.exception_handler(RequestValidationError)
    async def unread(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return answer(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> Response:
        said = {
            404: "there is nothing at this path; see /openapi.json",
            405: f"{request.method} is not for this path; see /openapi.json",
        }
        return answer(error.status_code, said.get(error.status_code, str(error.detail)), error.headers)

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> Response:
        return answer(500, "the service failed on this request; it is in its log")
