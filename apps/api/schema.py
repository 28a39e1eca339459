"""The OpenAPI document's schemas and examples, made from the types and tables that the service really reads."""

from typing import Any

from pydantic import TypeAdapter

from apps.api import limits
from constraints.language.kinds import KINDS
from domains.registry import DOMAINS, MODEL_NAME
from domains.spec import DesignSpec
from seqdiff.samplers.registry import SAMPLERS

MOLECULE = {"domain": "smiles", "template": "CC(=O)N{4-9}c1ccc(F)cc1", "n": 8, "seed": 1}
CONSTRAINED = {
    **MOLECULE,
    "constraint": {
        "kind": "and",
        "parts": [
            {"kind": "count", "tokens": ["O"], "low": 1, "high": 2},
            {"kind": "within", "region": "gap1", "part": {"kind": "avoid", "motif": "N-N"}},
        ],
    },
    "syntax": True,
}
EXAMPLES = {
    "molecule": {"summary": "a scaffold with a gap", "value": MOLECULE},
    "constrained": {"summary": "a constraint in its JSON form", "value": CONSTRAINED},
    "wishes": {
        "summary": "particles that are weighted towards a wish",
        "value": {**MOLECULE, "n": 2, "wishes": ["valid", "qed >= 0.6"], "particles": 4},
    },
    "protein": {"summary": "a motif in a protein", "value": {"domain": "protein", "template": "{10-20}HKMAWQ{10-20}", "n": 4}},
}
COMPLETION = {"model": "text-small", "prompt": "The restaurant near the river", "max_tokens": 24, "n": 2}
INFILL = {"model": "text-small", "prompt": "The restaurant", "suffix": "near the river.", "max_tokens": 12}


def spec_schema(job: bool) -> dict[str, Any]:
    """The schema of a request, from the fields of DesignSpec."""
    schema = TypeAdapter(DesignSpec).json_schema()
    fields = schema["properties"]
    most = {"n": limits.JOB_DESIGNS if job else limits.DESIGNS, "steps": limits.STEPS, "particles": limits.PARTICLES}
    most |= {"batch_size": limits.JOB_DESIGNS, "templates": limits.TEMPLATES}
    for name, bound in most.items():
        whole = next((part for part in fields[name].get("anyOf", ()) if part.get("type") == "integer"), fields[name])
        whole |= {"minimum": 1, "maximum": bound}
    fields["bound_draws"] |= {"minimum": 0, "maximum": limits.DRAWS}
    fields["seed"] |= {"minimum": 0, "maximum": 2**63 - 1}
    for name in ("guidance", "field_guidance"):
        fields[name] |= {"minimum": 0, "maximum": 20}
    fields["temperature"] |= {"exclusiveMinimum": 0}
    fields["top_p"] |= {"exclusiveMinimum": 0, "maximum": 1}
    fields["domain"] |= {"enum": list(DOMAINS)}
    fields["sampler"]["anyOf"][0] |= {"enum": list(SAMPLERS)}
    fields["wishes"] |= {"maxItems": limits.WISHES}
    fields["model"]["anyOf"][0]["pattern"] = f"^{MODEL_NAME.pattern}$"
    fields["template"]["anyOf"][0]["maxLength"] = limits.TEMPLATE
    fields["constraint"] = {
        "anyOf": [
            {"type": "string", "maxLength": limits.CONSTRAINT},
            {"type": "object", "description": "See /v1/constraints."},
            {"type": "null"},
        ],
        "default": None,
    }
    return {**schema, "additionalProperties": False, "title": "DesignSpec"}


def text_schema(infill: bool) -> dict[str, Any]:
    """The schema of /v1/completions and /v1/infill."""
    fields: dict[str, Any] = {
        "model": {"type": "string", "pattern": f"^{MODEL_NAME.pattern}$"},
        "prompt": {"type": "string", "maxLength": limits.TEMPLATE // 4},
        "suffix": {"type": ["string", "null"], "maxLength": limits.TEMPLATE // 4},
        "max_tokens": {"type": "integer", "minimum": 1, "maximum": limits.MAX_TOKENS},
        "n": {"type": "integer", "minimum": 1, "maximum": limits.DESIGNS},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "temperature": {"type": "number", "exclusiveMinimum": 0},
        "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "constraint": spec_schema(False)["properties"]["constraint"],
        "stream": {"const": False},
        "user": {"type": "string"},
    }
    needed = ["model", "prompt", "suffix"] if infill else ["model", "prompt"]
    return {"type": "object", "properties": fields, "required": needed, "additionalProperties": False}


def body(schema: dict[str, Any], examples: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}}


ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message", "status"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}, "status": {"type": "integer"}},
        }
    },
}
MEANINGS = {
    400: "the connection ended early",
    401: "no token, or another",
    404: "there is no such thing",
    405: "not for this path",
    408: "the body came too slowly",
    409: "it does not fit the state of the job",
    413: "the body is too large",
    415: "the body is not JSON",
    421: "sent to another host",
    422: "what was asked cannot be read, or cannot be met",
    429: "too much is waiting; Retry-After says when to ask again",
    503: "the database cannot be used now; Retry-After says when to ask again",
}


def responses(*statuses: int) -> dict[int | str, Any]:
    """Errors that a route answers, all of one shape."""
    return {
        status: {"description": MEANINGS[status], "content": {"application/json": {"schema": ERROR}}}
        for status in (401, 421, *statuses)
    }


def constraint_schema() -> dict[str, Any]:
    """What can be asked: every kind with its fields, meaning and an example as text and as JSON."""
    from constraints.language.notation import parse, to_json

    kinds = {name: {**kind, "json": to_json(parse(kind["example"]))} for name, kind in KINDS.items()}
    described = {
        name: {
            "type": "object",
            "description": f"{kind['meaning']}, as text: {kind['example']}",
            "required": ["kind"],
            "properties": {"kind": {"const": name}, **{field: {"description": text} for field, text in kind["fields"].items()}},
            "additionalProperties": False,
            "examples": [kind["json"]],
        }
        for name, kind in kinds.items()
    }
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "oneOf": list(described.values())}
    return {"kinds": kinds, "schema": schema}
