"""JSON Schemas and regular expressions made by chance, held in texts of a model, and checked by others.

    python -m benchmarks.text_formats --model text-small --n 200 --out docs/text-formats.json

Schema or pattern k is a function of k alone. Texts must satisfy it by the package `jsonschema` (draft 2020-12), patterns by
Python's `re.fullmatch`. Schemas are of nested objects, arrays, texts, numbers, choices and references; patterns of words,
classes, repeats and choices. Of the validation keywords of draft 2020-12 (and of patterns' constructs) each that is not
supported must be refused by name. A file in --out is gone on with.
"""

import argparse
import json
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from constraints.compilation.feasibility import Infeasible
from constraints.language.expression import JsonSchema, Regex
from domains.design import DesignSpec, design, prepare
from domains.registry import find_model
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConditionError

ROOM = {"json_schema": (40, 76), "regex": (20,)}  # tokens of a text; more where the first leave no text possible
NAMES = ("name", "food", "area", "price", "rating")
WORDS = ("cheap", "good", "new", "old", "pub", "restaurant", "river", "serves", "the", "near")
VOCABULARY = {  # JSON Schema, draft 2020-12: keywords and a value of each
    "not": {"type": "null"}, "if": True, "dependentSchemas": {"a": True}, "patternProperties": {"a": True},
    "propertyNames": {"maxLength": 2}, "contains": True, "minContains": 1, "maxContains": 2, "minProperties": 1,
    "maxProperties": 3, "dependentRequired": {"a": ["b"]}, "multipleOf": 2, "unevaluatedItems": False,
    "unevaluatedProperties": False, "$anchor": "a", "$dynamicRef": "#a", "contentEncoding": "base64",
}  # fmt: skip
UNREADABLE = {  # of a regular expression, and what its refusal names
    " (?=a)": "lookahead", " (?<!a)b": "lookbehind", r" (a)\1": "backreference", "^ a": "anchor", " a$": "anchor",
    r" a\b": "anchor", " (?i:a)": "flag", " a++": "possessive", " (?>a)": "atomic",
}  # fmt: skip


def random_schema(rng: random.Random, depth: int = 2) -> dict:
    """A schema whose shortest text is short."""
    kinds = ["string", "integer", "number", "enum", "const", "boolean", "pattern", "nullable", "ref"]
    kinds += ["object"] * 4 + ["array", "prefix", "anyOf"] if depth else []
    match rng.choice(kinds):
        case "string":
            return {"type": "string", "minLength": rng.randint(0, 2), "maxLength": rng.randint(2, 12)}
        case "integer":
            low = rng.randint(-50, 50)
            return {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 200)}
        case "number":
            low = round(rng.uniform(-5, 5), 1)
            return {"type": "number", "minimum": low, "exclusiveMaximum": round(low + rng.uniform(0.5, 9), 1)}
        case "enum":
            return {"enum": rng.sample([*WORDS[:6], 0, 7, None, True], rng.randint(1, 4))}
        case "const":
            return {"const": rng.choice([rng.choice(WORDS), 5, None, False, [], "by the river"])}
        case "boolean":
            return {"type": "boolean"}
        case "pattern":
            return {"type": "string", "pattern": rng.choice(["^[a-e]{1,4}$", "^(?:pub|river)$", r"^\d{1,2}$", "^the [a-z]{3}"])}
        case "nullable":
            return {"type": ["null", "string"], "maxLength": 6}
        case "ref":
            return {"$ref": "#/$defs/short"}
        case "object":
            shown = rng.sample(NAMES, rng.randint(1, 3))
            required = [name for name in shown if rng.random() < 0.6]
            inside = {name: random_schema(rng, depth - 1) for name in shown}
            return {"type": "object", "properties": inside, "required": required, "additionalProperties": False}
        case "array":
            low = rng.randint(0, 1)
            return {"type": "array", "items": random_schema(rng, 0), "minItems": low, "maxItems": low + rng.randint(0, 2)}
        case "prefix":
            return {"type": "array", "prefixItems": [random_schema(rng, 0)], "items": False, "minItems": 1}
        case _:
            return {"anyOf": [random_schema(rng, 0), random_schema(rng, depth - 1)]}


def random_pattern(rng: random.Random, depth: int = 2) -> str:
    """A regular expression of texts that begin with a space."""
    kind = rng.random()
    if depth == 0 or kind < 0.3:
        low = rng.randint(1, 2)
        name, words = f" [A-Z][a-z]{{{low},{low + 3}}}", f"(?: [a-z]+){{{low}}}"
        return rng.choice([f" {rng.choice(WORDS)}", name, words, r" \d{1,2}", r" [^\W\d_]{3}", " [^aeiou ]{2}"])
    parts = [random_pattern(rng, depth - 1) for _ in range(rng.randint(2, 3))]
    if kind < 0.65:
        return "".join(parts)
    if kind < 0.85:
        return f"(?:{'|'.join(parts)})"
    return f"{parts[0]}(?:{parts[1]}){rng.choice(['?', '*', '+', '{1,2}'])}"


def schema_of(k: int) -> dict:
    return {"$defs": {"short": {"type": "string", "maxLength": 3}}, **random_schema(random.Random(k))}


def pattern_of(k: int) -> str:
    rng = random.Random(k)
    return random_pattern(rng) + rng.choice(["", "", r"\.", "[.!?]"])


def satisfies(schema: dict, text: str) -> bool:
    """By `jsonschema`, of what Python reads."""
    from jsonschema import Draft202012Validator

    try:
        value = json.loads(text)
    except ValueError:
        return False
    return Draft202012Validator(schema).is_valid(value)


@dataclass(frozen=True)
class Format:
    """A kind of constraint: its k-th, as a constraint and as a check of a text."""

    constraint: Callable[[int], str]
    check: Callable[[int, str], bool]


FORMATS = {
    "json_schema": Format(lambda k: str(JsonSchema(json.dumps(schema_of(k)))), lambda k, text: satisfies(schema_of(k), text)),
    "regex": Format(lambda k: str(Regex(pattern_of(k))), lambda k, text: re.fullmatch(pattern_of(k), f" {text}") is not None),
}


def hold(checkpoint: Checkpoint, kind: str, k: int, samples: int, steps: int) -> tuple[int, list[str]]:
    """How many texts were written under the k-th constraint, and those that do not satisfy it. Raises ConditionError."""
    form = FORMATS[kind]
    asked = {"domain": "text", "constraint": form.constraint(k), "n": samples, "seed": k, "steps": steps, "bound_draws": 0}
    for most in ROOM[kind]:
        try:
            made = design(checkpoint=checkpoint, template=f"{{1-{most}}}", **asked).designs
            break
        except Infeasible:
            if most == ROOM[kind][-1]:
                raise
    return len(made), [item.sequence for item in made if not form.check(k, item.sequence)]


def refusals(checkpoint: Checkpoint) -> dict[str, list[str]]:
    """Keywords and constructs that are not supported: those that are refused by name, and those that are not."""
    found: dict[str, list[str]] = {"refused": [], "not refused": []}
    cases = [(name, JsonSchema(json.dumps({name: value})), name) for name, value in VOCABULARY.items()]
    cases += [(pattern, Regex(pattern), name) for pattern, name in UNREADABLE.items()]
    for shown, constraint, name in cases:
        try:
            prepare(DesignSpec("text", template="{1-8}", n=1, constraint=str(constraint)), checkpoint)
            by_name = False
        except ConditionError as error:
            by_name = name.lower() in str(error).lower()
        found["refused" if by_name else "not refused"].append(shown)
    return found


def main(arguments: Sequence[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_formats")
    parser.add_argument("--model", help="bundled name or folder")
    parser.add_argument("--kinds", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--n", type=int, default=200, help="schemas, and as many patterns")
    parser.add_argument("--samples", type=int, default=1, help="texts of each")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    checkpoint = load_checkpoint(find_model(given.model, "text"))
    settings = {"model": checkpoint.sha256, "samples": given.samples, "steps": given.steps}
    table = json.loads(given.out.read_text()) if given.out and given.out.is_file() else {}
    if any(table.get(name) != value for name, value in settings.items()):
        table = {**settings, "kinds": {}}
    table["keywords"] = refusals(checkpoint)
    for kind in given.kinds:
        cell = table["kinds"].setdefault(kind, {"made": 0, "texts": 0, "invalid": [], "infeasible": [], "seconds": 0.0})
        for k in range(cell["made"], given.n):
            started = time.perf_counter()
            try:
                texts, wrong = hold(checkpoint, kind, k, given.samples, given.steps)
                cell["texts"] += texts
                cell["invalid"] += [[k, text] for text in wrong]
            except ConditionError as error:
                cell["infeasible"].append([k, str(error).splitlines()[0]])
            cell["made"] = k + 1
            cell["seconds"] = round(cell["seconds"] + time.perf_counter() - started, 1)
            if given.out:
                given.out.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
        counts = f"{len(cell['infeasible'])} infeasible, {cell['texts']} texts, {len(cell['invalid'])} invalid"
        print(f"{kind}: {cell['made']} made, {counts}", flush=True)
    named = table["keywords"]
    print(f"not supported, refused by name: {len(named['refused'])}; otherwise: {named['not refused']}")
    return table


if __name__ == "__main__":
    main()
