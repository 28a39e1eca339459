"""Whether a text is JSON that a schema accepts: a plain reading of JSON Schema (draft 2020-12), keyword by keyword."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from seqdiff.errors import ConditionError

TYPES: dict[str, Any] = {
    "null": lambda v: v is None,
    "boolean": lambda v: isinstance(v, bool),
    "string": lambda v: isinstance(v, str),
    "array": lambda v: isinstance(v, list),
    "object": lambda v: isinstance(v, dict),
    "number": lambda v: _is_number(v),
    "integer": lambda v: _is_number(v) and (isinstance(v, int) or v == v.to_integral_value()),
}
ANNOTATIONS = {
    "$schema", "$id", "$defs", "definitions", "$comment", "title", "description", "default", "examples", "format",
    "deprecated", "readOnly", "writeOnly",
}  # fmt: skip


def accepts(schema: str, text: str) -> bool:
    """Both as JSON text. Raises ConditionError for a keyword that is not known here."""
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=Decimal)
    except (ValueError, RecursionError):
        return False
    root = json.loads(schema, parse_float=Decimal)  # 0.3 is a multiple of 0.1
    return _valid(root, value, root)


def _no_constant(name: str):
    raise ValueError(f"{name} is not JSON")


def _is_number(value) -> bool:
    return isinstance(value, (int, Decimal)) and not isinstance(value, bool)


def _same(a, b) -> bool:
    """Equal as JSON: 1 is 1.0 but not true."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return a == b


def _valid(schema, value, root) -> bool:
    if isinstance(schema, bool):
        return schema
    return all(_holds(keyword, asked, value, schema, root) for keyword, asked in schema.items() if keyword not in ANNOTATIONS)


def _holds(keyword: str, asked, value, schema: dict, root) -> bool:
    match keyword:
        case "type":
            return any(TYPES[name](value) for name in ([asked] if isinstance(asked, str) else asked))
        case "enum":
            return any(_same(value, item) for item in asked)
        case "const":
            return _same(value, asked)
        case "allOf":
            return all(_valid(part, value, root) for part in asked)
        case "anyOf":
            return any(_valid(part, value, root) for part in asked)
        case "oneOf":
            return sum(_valid(part, value, root) for part in asked) == 1
        case "not":
            return not _valid(asked, value, root)
        case "$ref":
            return _valid(_referred(asked, root), value, root)
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "multipleOf":
            return not _is_number(value) or _number(keyword, asked, value)
        case "minLength" | "maxLength" | "pattern":
            if not isinstance(value, str):
                return True
            return re.search(asked, value) is not None if keyword == "pattern" else _sized(keyword, asked, len(value))
        case "items" | "prefixItems" | "minItems" | "maxItems" | "uniqueItems":
            return not isinstance(value, list) or _array(keyword, asked, value, schema, root)
        case "properties" | "required" | "additionalProperties" | "patternProperties" | "minProperties" | "maxProperties":
            return not isinstance(value, dict) or _object(keyword, asked, value, schema, root)
    raise ConditionError(f"JSON Schema: no way to check the keyword {keyword!r} is known; leave it out")


def _referred(reference: str, root):
    if not reference.startswith("#"):
        raise ConditionError(f"JSON Schema: expected a reference within the schema such as #/$defs/name, got {reference!r}")
    found = root
    for name in reference[1:].split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        found = found[int(name)] if isinstance(found, list) else found[name]
    return found


def _number(keyword: str, asked, value) -> bool:
    match keyword:
        case "minimum":
            return value >= asked
        case "maximum":
            return value <= asked
        case "exclusiveMinimum":
            return value > asked
        case "exclusiveMaximum":
            return value < asked
    try:
        return Decimal(value) % asked == 0
    except InvalidOperation:  # the quotient has more digits than Decimal carries
        return False


def _sized(keyword: str, asked: int, size: int) -> bool:
    return size >= asked if keyword.startswith("min") else size <= asked


def _array(keyword: str, asked, value: list, schema: dict, root) -> bool:
    match keyword:
        case "items":
            return all(_valid(asked, item, root) for item in value[len(schema.get("prefixItems", [])) :])
        case "prefixItems":
            return all(_valid(part, item, root) for part, item in zip(asked, value, strict=False))
        case "uniqueItems":
            return not asked or not any(_same(a, b) for i, a in enumerate(value) for b in value[:i])
    return _sized(keyword, asked, len(value))


def _object(keyword: str, asked, value: dict, schema: dict, root) -> bool:
    match keyword:
        case "properties":
            return all(_valid(asked[name], value[name], root) for name in asked.keys() & value.keys())
        case "required":
            return all(name in value for name in asked)
        case "patternProperties":
            return all(_valid(part, value[n], root) for pattern, part in asked.items() for n in value if re.search(pattern, n))
        case "additionalProperties":
            patterns = schema.get("patternProperties", {})
            known = [n for n in value if n in schema.get("properties", {}) or any(re.search(p, n) for p in patterns)]
            return all(_valid(asked, value[name], root) for name in value if name not in known)
    return _sized(keyword, asked, len(value))
