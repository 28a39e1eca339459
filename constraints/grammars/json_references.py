"""What a JSON Schema refers to, and whether alternatives exclude each other."""

import json
from dataclasses import dataclass
from typing import Any

from constraints.grammars.json_merge import IGNORED, TYPES, as_list, merge, refuse, same, type_of


@dataclass
class Resolver:
    """Pointers into one schema."""

    root: Any

    def target(self, pointer, at: str):
        if not isinstance(pointer, str) or not (pointer == "#" or pointer.startswith("#/")):
            raise refuse(at, f"expected a reference within the schema such as #/$defs/name, got {json.dumps(pointer)}", "$ref")
        found = self.root
        for name in pointer.split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise refuse(at, f"{pointer} leads nowhere", "$ref")
        return found

    def recursive(self, pointer: str, at: str) -> bool:
        """Whether the definition refers to itself, through others or not."""
        met, agenda = set(), [pointer]
        while agenda:
            for found in _references(self.target(agenda.pop(), at)):
                if found == pointer:
                    return True
                if found not in met:
                    met.add(found)
                    agenda.append(found)
        return False

    def resolved(self, schema, at: str):
        """A schema with $ref and allOf at its top replaced by what they mean, for merging."""
        while isinstance(schema, dict) and ("$ref" in schema or "allOf" in schema):
            rest = dict(schema)
            if "$ref" in rest:
                pointer = rest.pop("$ref")
                target = self.target(pointer, at)
                if self.recursive(pointer, at):
                    raise refuse(at, f"the recursive $ref {pointer} cannot be merged with other keywords", "$ref")
                schema = merge(target, rest, at)
                continue
            parts = as_list(rest.pop("allOf"), at, "allOf")
            for i, part in enumerate(parts):
                rest = merge(rest, self.resolved(part, f"{at}/allOf/{i}"), at)
            schema = rest
        return schema

    def checkdisjoint(self, parts: list, at: str) -> None:
        shown = []
        for i, part in enumerate(parts):
            part = self.target(part["$ref"], at) if isinstance(part, dict) and set(part) == {"$ref"} else part
            here = self.resolved(part, f"{at}/oneOf/{i}")
            for j, other in enumerate(shown):
                if not disjoint(here, other):
                    why = f"alternatives {j} and {i} are not seen to exclude each other; use anyOf if both may hold"
                    raise refuse(at, why, "oneOf")
            shown.append(here)


def _references(schema) -> list[str]:
    """Every $ref anywhere in a schema."""
    if isinstance(schema, list):
        return [found for part in schema for found in _references(part)]
    if not isinstance(schema, dict):
        return []
    here = [schema["$ref"]] if isinstance(schema.get("$ref"), str) else []
    return here + [
        found for name, part in schema.items() if name not in ("enum", "const", *IGNORED) for found in _references(part)
    ]


def disjoint(a, b) -> bool:
    """Whether no value satisfies both, as far as types, listed values and required constants show it."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is False or b is False
    listed = [_values(schema) for schema in (a, b)]
    if listed[0] is not None and listed[1] is not None:
        return not any(same(x, y) for x in listed[0] for y in listed[1])
    types = [as_list(schema.get("type", list(TYPES)), "#", "type") for schema in (a, b)]
    for values, other in zip(listed, reversed(types), strict=True):
        if values is not None:
            return not any(type_of(value, t) for value in values for t in other)
    wide = [{"number" if t == "integer" else t for t in one} for one in types]
    if not wide[0] & wide[1]:
        return True
    if wide[0] & wide[1] != {"object"}:
        return False
    fields = [(s.get("properties", {}), s.get("required", [])) for s in (a, b)]
    shared = set(fields[0][1]) & set(fields[1][1]) & set(fields[0][0]) & set(fields[1][0])
    return any(_values(fields[0][0][k]) is not None and disjoint(fields[0][0][k], fields[1][0][k]) for k in shared)


def _values(schema) -> list | None:
    if not isinstance(schema, dict):
        return None
    return [schema["const"]] if "const" in schema else schema.get("enum")
