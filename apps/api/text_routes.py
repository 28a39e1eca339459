"""Texts as an OpenAI-style client asks for them: a completion is a hole behind a prompt, an infill one before a suffix too."""

import re
import time
import uuid
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from apps.api.body import read_object
from apps.api.limits import MAX_TOKENS
from apps.api.routes import READS, finished, server_timing, service_of
from apps.api.schema import COMPLETION, INFILL, body, responses, text_schema
from apps.api.service import Service
from domains.answer import Design
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConfigError

router = APIRouter()
PLAIN = ("n", "seed", "temperature", "top_p", "constraint")
KNOWN = (*PLAIN, "model", "prompt", "suffix", "max_tokens", "stream", "user")
SPECIAL = re.compile(r"([{_\[\\])")


@router.post(
    "/v1/completions",
    responses=responses(404, 429, *READS),
    openapi_extra=body(text_schema(False), {"completion": {"value": COMPLETION}}),
)
async def completions(request: Request) -> Response:
    """Go on from a prompt, with at most max_tokens; with a suffix, up to it."""
    return await answered(request, await read_object(request))


@router.post(
    "/v1/infill", responses=responses(404, 429, *READS), openapi_extra=body(text_schema(True), {"infill": {"value": INFILL}})
)
async def infill(request: Request) -> Response:
    """Fill what stands between a prompt and a suffix."""
    table = await read_object(request)
    if not isinstance(table.get("suffix"), str) or not table["suffix"].strip():
        raise ConfigError("suffix: expected the text behind the hole; without one, ask /v1/completions")
    return await answered(request, table)


async def answered(request: Request, table: dict) -> Response:
    service = service_of(request)
    most, spec = read(table, service)
    work = await service.take(spec)
    found = await finished(request, work)
    alphabet = service.models.find(work.spec)[1].alphabet
    prompt, suffix = (tokens_of(table.get(name) or "", alphabet) for name in ("prompt", "suffix"))
    choices, total = [], 0
    for place, design in enumerate(found.designs):
        made = int(design.metrics["tokens"] or 0) - len(prompt) - len(suffix)
        total += made
        why = "length" if made >= most else "stop"
        text = between(design, prompt, suffix, alphabet)
        choices.append({"text": text, "index": place, "logprobs": None, "finish_reason": why})
    given = len(prompt) + len(suffix)
    usage = {"prompt_tokens": given, "completion_tokens": total, "total_tokens": given + total}
    content = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": work.model}
    return JSONResponse({**content, "choices": choices, "usage": usage}, headers={"Server-Timing": server_timing(work)})


def read(table: dict, service: Service) -> tuple[int, dict[str, Any]]:
    """The most tokens, and the request as a spec's table. Raises ConfigError for a field that this service does not have."""
    if unknown := table.keys() - set(KNOWN):
        raise ConfigError(f"{min(unknown)[:80]}: not a field of this service; expected {', '.join(KNOWN)}")
    if table.get("stream"):
        raise ConfigError("stream: texts come whole, tokens in no order; submit a job and follow its events instead")
    if not isinstance(table.get("model"), str):
        raise ConfigError(f"model: expected the name of a model; there are {', '.join(service.models.names)}")
    most = table.get("max_tokens", 16)
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MAX_TOKENS:
        raise ConfigError(f"max_tokens: expected a whole number from 1 to {MAX_TOKENS}")
    texts = [table.get("prompt"), table.get("suffix") or ""]
    if not all(isinstance(text, str) for text in texts):
        raise ConfigError("prompt, suffix: expected texts")
    parts = [SPECIAL.sub(r"\\\1", str(text)) for text in texts]
    template = f"{parts[0]} {{1-{most}}} {parts[1]}".strip()
    given = {name: table[name] for name in PLAIN if table.get(name) is not None}
    return most, {"domain": "text", "n": 1, **given, "model": table["model"], "template": template, "bound_draws": 0}


def tokens_of(text: str, alphabet: Alphabet) -> list[str]:
    """The tokens that a pinned text stands as."""
    from domains.text.tokens import encode

    plain = re.sub(r"\s+", " ", text).strip()
    return alphabet.decode_tokens(encode(f" {plain}", alphabet)) if plain else []


def between(design: Design, prompt: list[str], suffix: list[str], alphabet: Alphabet) -> str:
    """What was filled in."""
    from domains.text.tokens import decode

    text = design.sequence.removeprefix(decode(prompt, alphabet))
    return text.removesuffix(decode(suffix, alphabet)) if suffix else text
