"""A request as others can run it: a command line, Python, curl, and a TOML file."""

import json
import shlex
from typing import Any

OPTIONS = {"label": "--class", "sampler": "--sampler", "batch_size": None, "wishes": "--wish"}


def _plain(spec: dict[str, Any]) -> dict[str, Any]:
    """What was asked: without what is empty, or changes nothing in the designs."""
    return {name: v for name, v in spec.items() if v is not None and v != [] and name != "batch_size"}


def command(spec: dict[str, Any], out: str = "designs.csv") -> str:
    """The `seqdiff design` command that gives the same designs."""
    given = _plain(spec)
    words = ["seqdiff", "design", given.pop("domain")]
    template = given.pop("template", None)
    for name, value in given.items():
        option = OPTIONS.get(name) or f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words += [] if name == "syntax" and given.get("task") and value else [option if value else f"--no-{name}"]
        elif name == "lengths":
            words += [option, "-".join(map(str, value))]
        elif isinstance(value, list):
            words += [word for item in value for word in (option, str(item))]
        else:
            words += [option, str(value)]
    words += ["--out", out]
    if template is not None:
        words += ["--", template]
    return shlex.join(words)


def python(spec: dict[str, Any]) -> str:
    """The call that gives the same designs."""
    lines = [f"    {name}={value!r}," for name, value in _plain(spec).items()]
    return "\n".join(["from seqdiff import design", "", "answer = design(", *lines, ")"])


def curl(spec: dict[str, Any], address: str = "http://127.0.0.1:8000") -> str:
    """The request to a running service (`seqdiff serve`)."""
    body = json.dumps(_plain(spec), ensure_ascii=False)
    return f"curl {address}/v1/generate -H 'Content-Type: application/json' -d {shlex.quote(body)}"


def toml(spec: dict[str, Any]) -> str:
    """A specification file, for `seqdiff design … --spec FILE` and for the start page."""
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in _plain(spec).items())
