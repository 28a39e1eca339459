"""Two JSON Schemas as one that both ask for: keyword by keyword, and refused by name where that is not simple."""

import json

from seqdiff.errors import ConditionError

TYPES = ("null", "boolean", "string", "number", "array", "object")
IGNORED = {
    "$schema", "$id", "$defs", "definitions", "$comment", "title", "description", "default", "examples",
    "deprecated", "readOnly", "writeOnly",
}  # fmt: skip
KEYWORDS = {
    "type", "enum", "const", "properties", "required", "additionalProperties", "minLength", "maxLength", "pattern", "format",
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "items", "prefixItems", "minItems", "maxItems",
    "uniqueItems", "anyOf", "oneOf", "allOf", "$ref",
}  # fmt: skip
_LARGER = {"minimum", "exclusiveMinimum", "minLength", "minItems"}
_SMALLER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems"}


def refuse(at: str, why: str, keyword: str = "") -> ConditionError:
    """The error for what stands at a JSON pointer."""
    return ConditionError(f"JSON Schema at {at}{'/' + keyword if keyword else ''}: {why}")


def as_list(value, at: str, keyword: str) -> list:
    """A list, or a single type's name as a list."""
    if keyword == "type" and isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise refuse(at, f"expected a list, got {json.dumps(value)}", keyword)
    return value


def type_of(value, name: str) -> bool:
    """Whether a JSON value has this type."""
    if isinstance(value, bool) or value is None:
        return name == ("null" if value is None else "boolean")
    if isinstance(value, (int, float)):
        return name == "number" or (name == "integer" and value == int(value))
    return name == {str: "string", list: "array", dict: "object"}[type(value)]


def same(a, b) -> bool:
    """Equal as JSON values: 1 and 1.0 are, 1 and true are not."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return isinstance(a, bool) == isinstance(b, bool) and a == b


def merge(a, b, at: str):
    """A schema for the values that satisfy both; neither may begin with $ref or allOf."""
    if isinstance(a, bool) or isinstance(b, bool):
        return (b if a else False) if isinstance(a, bool) else (a if b else False)
    if not (isinstance(a, dict) and isinstance(b, dict)):
        raise refuse(at, "expected schemas")
    for name in {**a, **b}:
        if name not in KEYWORDS and name not in IGNORED:
            raise refuse(at, f"the keyword {name!r} is not supported", name)
    a, b = ({name: value for name, value in schema.items() if name in KEYWORDS} for schema in (a, b))
    merged = {**a, **b}
    for name in a.keys() & b.keys():
        if not same(a[name], b[name]):
            merged[name] = _both(name, a[name], b[name], at)
    if "properties" in merged:
        merged["properties"] = _properties(a, b, at)
    if ("prefixItems" in a or "prefixItems" in b) and any(a.get(k) != b.get(k) for k in ("items", "prefixItems")):
        raise refuse(at, "prefixItems and items of two merged schemas must be equal", "prefixItems")
    if "const" in a and "const" in b and not same(a["const"], b["const"]):
        return False
    return merged


def _both(name: str, x, y, at: str):
    if name in _LARGER:
        return max(x, y)
    if name in _SMALLER:
        return min(x, y)
    match name:
        case "type":
            x, y = as_list(x, at, name), as_list(y, at, name)
            return [
                t for t in (*TYPES, "integer") if _has(x, t) and _has(y, t) and not (t == "integer" and "number" in {*x} & {*y})
            ]
        case "required":
            return [*as_list(x, at, name), *(key for key in as_list(y, at, name) if key not in x)]
        case "enum":
            return [value for value in x if any(same(value, other) for other in y)]
        case "anyOf":
            return [{"allOf": [p, q]} for p in x for q in y]
        case "items" | "additionalProperties":
            return _and(x, y)
        case "properties" | "const" | "prefixItems":
            return x  # looked at as a whole by the caller
        case "uniqueItems":
            return True
    raise refuse(at, f"two schemas with different {name!r} are to hold together; write one", name)


def _has(types: list, name: str) -> bool:
    return name in types or (name == "integer" and "number" in types)


def _and(x, y):
    """Both schemas, left to be merged when it is compiled."""
    if isinstance(x, bool) or isinstance(y, bool):
        return merge(x, y, "#")
    return {"allOf": [x, y]}


def _properties(a: dict, b: dict, at: str) -> dict:
    """What each key asks of its value; a key that one side does not list falls under its additionalProperties."""
    mine, others = a.get("properties", {}), b.get("properties", {})
    if not (isinstance(mine, dict) and isinstance(others, dict)):
        raise refuse(at, "expected schemas by name", "properties")
    out = {}
    for key in {**mine, **others}:
        x = mine.get(key, a.get("additionalProperties", True))
        y = others.get(key, b.get("additionalProperties", True))
        out[key] = x if x == y else _and(x, y)
    return out
