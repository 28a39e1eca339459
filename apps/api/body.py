"""The body of a request: JSON that says no more than JSON may, within its size and time."""

import asyncio
import json
import math
import re
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from apps.api.errors import Refused
from apps.api.limits import BODY, BODY_SECONDS

DEEPEST = 64
BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)  # texts are skipped: brackets in them open nothing


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object of a request. Raises Refused: 413, 415, 408, or 422 for what is not such an object."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, f"expected a body of content type application/json, got {kind[:80] or 'none'!r}")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await read_bytes(request)
    except TimeoutError:
        raise Refused(408, f"expected the whole body within {BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise Refused(400, "the connection ended before the body did") from None
    return parse_object(raw)


async def read_bytes(request: Request) -> bytes:
    """At most BODY octets; what is declared to be longer is not read."""
    declared = request.headers.get("content-length", "")
    parts, size = [], int(declared) if declared.isdecimal() and len(declared) < 20 else 0
    if size <= BODY:
        size = 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > BODY:
                break
    if size > BODY:
        raise Refused(413, f"expected a body of at most {BODY:,} octets")
    return b"".join(parts)


def parse_object(raw: bytes) -> dict[str, Any]:
    """Raises Refused (422): bytes that are no UTF-8, no JSON, NaN or Infinity (1e999 too), lone surrogates, deep nesting."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Refused(
            422, f"body: expected UTF-8, got an octet {raw[error.start]:#04x} at {error.start} that is none"
        ) from None
    if too_deep(text):
        raise Refused(422, f"body: nested more than {DEEPEST} deep")
    try:
        value = json.loads(text, parse_constant=not_finite, parse_float=finite)
    except json.JSONDecodeError as error:
        raise Refused(422, f"body: expected JSON ({error.msg} at line {error.lineno}, column {error.colno})") from None
    except ValueError:  # an integer of thousands of digits
        raise Refused(422, "body: a number with too many digits") from None
    if not isinstance(value, dict):
        raise Refused(422, f"body: expected a JSON object, got {type(value).__name__}")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(422, "body: a lone surrogate, which is half a character") from None
    return value


def too_deep(text: str) -> bool:
    """Whether brackets stand more than DEEPEST deep in each other, found before a parser goes down there."""
    depth = 0
    if text.count("[") + text.count("{") > DEEPEST:
        for bracket in BRACKET.finditer(text):
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(bracket[0], 0)
            if depth > DEEPEST:
                return True
    return False


def finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Refused(422, f"body: expected finite numbers, got {text[:40]}")
    return value


def not_finite(text: str) -> float:
    raise Refused(422, f"body: expected finite numbers, got {text}")
