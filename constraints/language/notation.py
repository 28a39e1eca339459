"""Constraints as text, for the command line and for files, and as JSON, for the API; both come back exactly.

    avoid(N-[^P]-[ST]) & count([C], 0..1) & within(linker, length(4..9)) & ~regex("A+B")

`~` binds tighter than `&`, and `&` tighter than `|`. Positions count from 0; ranges a..b include both ends, a.. is open
above. Tokens and motifs are written as `motif` says, texts as JSON strings. `str(constraint)` gives the text.
"""

import dataclasses
import difflib
import json
import re
from typing import Any

from constraints.language.algebra import MOST, NAME, And, Constraint, Not, Or, Within
from constraints.language.kinds import CLASSES, KINDS
from constraints.language.motif import WORD, Motif, Reader, Tokens, read_motif, read_tokens
from seqdiff.errors import ConditionError

MAX_CHARACTERS, MAX_DEPTH, MAX_SIZE = 50_000, 32, 1_000
POSITION = re.compile(r"(\d{1,7})(?:\s*\.\.\s*(\d{1,7}))?")
RANGE = re.compile(r"(\d{1,7})?\s*(\.\.)?\s*(\d{1,7})?")
DECIMAL = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
PERCENT = re.compile(rf"({DECIMAL})(?:\s*\.\.\s*({DECIMAL}))?\s*%")
DECIMALS = re.compile(rf"({DECIMAL})(?:\s*\.\.\s*({DECIMAL}))?")


def check_size(constraint: Constraint) -> None:
    """Raises ConditionError if a constraint is nested too deeply or has too many parts."""
    level, size = [constraint], 0
    for _ in range(MAX_DEPTH):
        size += len(level)
        level = [child for c in level for child in _children(c)]
        if not level or size > MAX_SIZE:
            break
    if level and size <= MAX_SIZE:
        raise ConditionError(f"constraints: nested more than {MAX_DEPTH} deep; write them side by side with &")
    if size > MAX_SIZE:
        raise ConditionError(f"constraints: more than {MAX_SIZE:,} parts; expected fewer")


def _children(constraint: Constraint) -> tuple[Constraint, ...]:
    if isinstance(constraint, (And, Or)):
        return constraint.parts
    return (constraint.part,) if isinstance(constraint, (Not, Within)) else ()


# ── text ──


def parse(text: str) -> Constraint:
    """Read the text form. Raises ConditionError with the place marked under the text."""
    if len(text) > MAX_CHARACTERS:
        raise ConditionError(f"constraints: expected at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
    reader = Reader(text)
    constraint = _any(reader, 0)
    if reader.next() != "the end":
        raise reader.error(f"expected & or | and another constraint, or the end, got {reader.next()}")
    check_size(constraint)
    return constraint


def _any(reader: Reader, depth: int) -> Constraint:
    parts = [_all(reader, depth)]
    while reader.take("|"):
        parts.append(_all(reader, depth))
    return Or(tuple(parts)) if len(parts) > 1 else parts[0]


def _all(reader: Reader, depth: int) -> Constraint:
    parts = [_single(reader, depth)]
    while reader.take("&"):
        parts.append(_single(reader, depth))
    return And(tuple(parts)) if len(parts) > 1 else parts[0]


def _single(reader: Reader, depth: int) -> Constraint:
    if depth > 2 * MAX_DEPTH:  # parentheses count here, but not in the constraint itself
        raise reader.error(f"nested more than {MAX_DEPTH} deep; write constraints side by side with &")
    if reader.take("~"):
        return Not(_single(reader, depth + 1))
    if reader.take("("):
        inner = _any(reader, depth + 1)
        reader.expect(")", "to close the parenthesis")
        return inner
    reader.skip()
    start = reader.place
    word = reader.match(NAME)
    name = word.group() if word else ""
    if name not in CLASSES or name in ("and", "or", "not"):
        near = difflib.get_close_matches(name, CLASSES, 1)
        advice = (
            f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(CLASSES.keys() - {'and', 'or', 'not'}))}"
        )
        got = repr(name) if name else reader.next()
        raise reader.error(f"expected a constraint such as {KINDS['count']['example']}, got {got}{advice}", start)
    reader.expect("(", f"after {name}, as in {KINDS[name]['example']}")
    if name == "within":
        arguments: dict[str, Any] = {"region": _region(reader)}
        reader.expect(",", "and a constraint after the region")
        arguments["part"] = _any(reader, depth + 1)
    else:
        arguments = _arguments(name, reader)
    reader.expect(")", f"at the end of {KINDS[name]['example']}")
    try:
        return CLASSES[name](**arguments)
    except ConditionError as error:
        raise reader.error(str(error), start) from None


def _arguments(name: str, reader: Reader) -> dict[str, Any]:
    """What stands between a leaf's parentheses, as the arguments of its class."""

    def comma():
        reader.expect(",", f"as in {KINDS[name]['example']}")

    match name:
        case "pin":
            position = _whole(reader)
            comma()
            return {"position": position, "token": _text(reader, WORD, "a token")}
        case "allow" | "ban":
            tokens = read_tokens(reader)
            return {"tokens": tokens, "positions": _positions(reader) if reader.take(",") else None}
        case "regex":
            return {"pattern": reader.value("a pattern in quotes", str)}
        case "contains" | "avoid" | "starts_with" | "ends_with":
            return {"motif": read_motif(reader)}
        case "count":
            tokens = read_tokens(reader)
            comma()
            low, high = _range(reader)
            window = None
            if reader.take(","):
                reader.expect("window", "as in count([C], 0..2, window=10)")
                reader.expect("=", "after window")
                window = _whole(reader)
            return {"tokens": tokens, "low": low, "high": high, "window": window}
        case "length":
            low, high = _range(reader)
            return {"low": low, "high": high}
        case "sum":
            weights = reader.value("weights as an object {token: number}", dict)
            comma()
            low, high = _decimals(reader)
            step = 1.0
            if reader.take(","):
                reader.expect("step", "as in step=0.5")
                reader.expect("=", "after step")
                step = _decimals(reader)[0]
            return {"weights": weights, "low": low, "high": high, "step": step}
        case "runs":
            tokens = read_tokens(reader)
            comma()
            return {"tokens": tokens, "most": _whole(reader)}
        case "words":
            words = [reader.value("a text in quotes", str)]
            while reader.take(","):
                words.append(reader.value("a text in quotes", str))
            return {"words": words}
        case "edits":
            reference = _text(reader, WORD, "a reference")
            comma()
            low, high = _range(reader)
            return {"reference": reference, "low": low, "high": high}
        case "identity":
            reference = _text(reader, WORD, "a reference")
            comma()
            low, high = _percent(reader)
            return {"reference": reference, "low": low, "high": high}
        case "tie":
            return _tie(reader, comma)
        case "distinct":
            reader.skip()
            if reader.text[reader.place : reader.place + 1].isdigit():
                return {"items": _positions(reader)}
            items = [_region(reader)]
            while reader.take(","):
                items.append(_region(reader))
            return {"items": items}
        case "grammar":
            text = reader.value("a grammar in quotes", str)
            return {"text": text, "start": _text(reader, NAME, "a rule's name") if reader.take(",") else "start"}
        case _:
            return {"schema": reader.value("a JSON Schema", (dict, bool))}


def _tie(reader: Reader, comma) -> dict[str, Any]:
    arguments: dict[str, Any] = {"region_a": _region(reader)}
    comma()
    arguments["region_b"] = _region(reader)
    while reader.take(","):
        if reader.take("reverse"):
            arguments["reverse"] = True
        else:
            reader.expect("map", 'or reverse, as in tie(A, B, map={"A": "U"}, reverse)')
            reader.expect("=", "after map")
            arguments["mapping"] = reader.value("an object {token: token}", dict)
    return arguments


def _whole(reader: Reader) -> int:
    found = reader.match(POSITION)
    if not found or found[2]:
        raise reader.error(f"expected a whole number, got {found.group() if found else reader.next()}")
    return int(found[1])


def _range(reader: Reader) -> tuple[int, int | None]:
    found = reader.match(RANGE)
    if not found or not (found[1] or found[2]):
        raise reader.error(f"expected a range such as 2..5, 2.. or 3, got {reader.next()}")
    low = int(found[1] or 0)
    return low, int(found[3]) if found[3] else None if found[2] else low


def _decimals(reader: Reader) -> tuple[float, float]:
    found = reader.match(DECIMALS)
    if not found:
        raise reader.error(f"expected a range of numbers such as -2..2, or a number, got {reader.next()}")
    return float(found[1]), float(found[2] or found[1])


def _percent(reader: Reader) -> tuple[float, float]:
    found = reader.match(PERCENT)
    if not found:
        raise reader.error(f"expected a range of percent such as 60..80%, got {reader.next()}")
    return float(found[1]), float(found[2] or found[1])


def _positions(reader: Reader) -> list[int]:
    positions: list[int] = []
    while True:
        found = reader.match(POSITION)
        if not found:
            raise reader.error(f"expected a position or a range such as 5..9, got {reader.next()}")
        low, high = int(found[1]), int(found[2] or found[1])
        if not low <= high <= MOST or len(positions) + high - low >= MAX_CHARACTERS:
            expected = f"a range of positions with low ≤ high, {MAX_CHARACTERS:,} positions at most"
            raise reader.error(f"expected {expected}", found.start())
        positions += range(low, high + 1)
        if not reader.take(","):
            return positions


def _region(reader: Reader) -> str:
    return _text(reader, NAME, "a region")


def _text(reader: Reader, bare: re.Pattern, what: str) -> str:
    """A bare word or a JSON string."""
    if reader.at('"'):
        return reader.value(f"{what} in quotes", str)
    found = reader.match(bare)
    if not found:
        raise reader.error(f"expected {what}, got {reader.next()}")
    return found.group()


# ── JSON ──


def to_json(constraint: Constraint) -> dict[str, Any]:
    """A JSON object: its "kind" by name, and its fields as KINDS lists them."""
    return {"kind": constraint.name, **{f.name: _encode(f.name, getattr(constraint, f.name)) for f in _fields(constraint)}}


def _fields(constraint: Constraint | type[Constraint]):
    return dataclasses.fields(constraint)  # type: ignore[arg-type]


def _encode(field: str, value):
    if isinstance(value, Constraint):
        return to_json(value)
    if isinstance(value, Tokens):
        return {"not": list(value.tokens)} if value.negated else list(value.tokens)
    if isinstance(value, Motif):
        return str(value)
    if field in ("weights", "mapping") and value is not None:
        return dict(value)
    if field == "schema":
        return json.loads(str(value))
    return [_encode("", item) for item in value] if isinstance(value, tuple) else value


def from_json(value: Any, where: str = "$") -> Constraint:
    """Read the JSON form. Raises ConditionError with the path of what is wrong."""
    constraint = _decode(value, where, 1)
    check_size(constraint)
    return constraint


def _decode(value: Any, where: str, depth: int) -> Constraint:
    if depth > MAX_DEPTH:
        raise ConditionError(f"{where}: nested more than {MAX_DEPTH} deep; write constraints side by side in one 'and'")
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        raise ConditionError(f"{where}: expected a constraint, an object with a 'kind', got {value!r:.80}")
    kind = value["kind"]
    if kind not in CLASSES:
        raise ConditionError(f"{where}: unknown kind {kind!r:.80}; known: {', '.join(sorted(CLASSES))}")
    known = {f.name: f for f in _fields(CLASSES[kind])}
    unknown = value.keys() - known.keys() - {"kind"}
    needed = {n for n, f in known.items() if f.default is dataclasses.MISSING} - value.keys()
    if unknown or needed:
        wrong = f"unknown {sorted(unknown)}" if unknown else f"missing {sorted(needed)}"
        raise ConditionError(f"{where}: {kind}: expected the fields {', '.join(known)}; {wrong}")
    arguments = {}
    for name in value.keys() & known.keys():
        item, path = value[name], f"{where}.{name}"
        if name == "part":
            item = _decode(item, path, depth + 1)
        elif name == "parts" and isinstance(item, list):
            item = tuple(_decode(part, f"{path}[{i}]", depth + 1) for i, part in enumerate(item))
        elif name == "tokens" and isinstance(item, dict):
            if set(item) != {"not"} or not isinstance(item["not"], list):
                raise ConditionError(f"{path}: expected a list of tokens or {{'not': list of tokens}}, got {item!r:.80}")
            item = Tokens(tuple(item["not"]), True)
        arguments[name] = item
    try:
        return CLASSES[kind](**arguments)
    except ConditionError as error:
        raise ConditionError(f"{where}: {error}") from None
