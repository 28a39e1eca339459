"""`seqdiff design text`: fields and wants written into the template and the constraint, then the request of every domain."""

import re
from typing import Any

from apps.cli.design import run as run_design
from constraints.language.algebra import Constraint
from domains.registry import find_model
from domains.spec import read_spec
from domains.text import constraints as text
from domains.text.fields import TEXT
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import ConfigError

WANTS = ("words", "keywords", "verbatim", "one_of", "banned", "whole_sentences")
FIELD = re.compile(r"\s*([a-z]+)\s*=\s*(\S.*?)\s*", re.DOTALL)
RANGE = re.compile(r"\s*(\d{1,6})?\s*(\.\.)?\s*(\d{1,6})?\s*")


def run(given: dict) -> None:
    """Answer a request. The spec holds template and constraint as text: what was given as options is in them."""
    wants: dict[str, Any] = {name: given.pop(name) for name in WANTS}
    fields = read_fields(given.pop("fields") or [])
    asked = {**(read_spec(given["spec"]) if given["spec"] else {}), **{k: v for k, v in given.items() if v is not None}}
    if fields:
        given["template"] = with_fields(fields, asked.get("template"))
    if any(value or value == "" for value in wants.values()):
        alphabet = load_checkpoint(find_model(asked.get("model"), "text")).alphabet
        held = [asked["constraint"]] if asked.get("constraint") else []
        held += [str(part) for part in constraints_of(wants, fields, alphabet)]
        given["constraint"] = held[0] if len(held) == 1 else " & ".join(f"({part})" for part in held)
    run_design("text", given)


def read_fields(texts: list[str]) -> dict[str, str]:
    """NAME=VALUE, each once. Raises ConfigError."""
    fields = {}
    for said in texts:
        found = FIELD.fullmatch(said)
        if found is None or found[1] in fields:
            raise ConfigError(f"field: expected NAME=VALUE such as food=Japanese, each name once; got {said!r}")
        fields[found[1]] = found[2]
    return fields


def with_fields(fields: dict[str, str], template: str | None) -> str:
    """The template of a text that tells these fields; a value may have holes of its own."""
    if template is not None and TEXT in template:
        raise ConfigError(f"field: expected fields as options or in the template, got both, with {template!r}")
    told = " ".join(f"[{name}] {value}" for name, value in fields.items())
    return f"{told} {TEXT} {template or '{}'}"


def constraints_of(wants: dict[str, Any], fields: dict[str, str], alphabet: Alphabet) -> list[Constraint]:
    """What the options ask. Raises ConfigError or ConditionError."""
    asked: list[Constraint] = [text.words(*read_range(wants["words"]), alphabet)] if wants["words"] is not None else []
    asked += [text.keyword(word, alphabet) for word in wants["keywords"] or []]
    for phrase in map(str, wants["verbatim"] or []):
        value: str = fields.get(phrase, phrase)
        if phrase in fields and re.search(r"[{_\\]", value):
            raise ConfigError(f"verbatim: expected a field whose value is known, got {phrase}={value}")
        asked.append(text.verbatim(value, alphabet))
    asked += [text.one_of(wants["one_of"], alphabet)] if wants["one_of"] else []
    asked += [text.banned(wants["banned"], alphabet)] if wants["banned"] else []
    return asked + ([text.whole_sentences(alphabet)] if wants["whole_sentences"] else [])


def read_range(said: str) -> tuple[int, int | None]:
    """ "8..14", "8..", "..14" or "8". Raises ConfigError."""
    found = RANGE.fullmatch(said)
    if found is None or not (found[1] or found[3]) or (found[1] and found[3] and not found[2]):
        raise ConfigError(f"words: expected a number or a range such as 8..14, got {said!r}")
    low = int(found[1] or 0)
    return low, (int(found[3]) if found[3] else None if found[2] else low)
