"""JSON Schema (a subset of draft 2020-12) → a regular expression, or a grammar in lark's notation where it is recursive.

What is written satisfies the schema; of all the texts that do, these are written:
- compact (`{"a":1,"b":[2,3]}`), or with one space after each comma and colon; members in the order of `properties`, then
  any others; no key of `properties` twice;
- strings as json.dumps(…, ensure_ascii=False) spells them; numbers between bounds without an exponent and without −0;
- members that `properties` does not list only where `additionalProperties` is true or a schema, or where an object lists
  none: with `additionalProperties` absent, what is listed is all that is written;
- free values (no type asked, or an object or array without further words) nested to `depth` levels;
- `format` of date (without 29 February), time, date-time, uuid (lower case) and ipv4.
`enum` and `const` stand beside `type` alone. `oneOf` needs alternatives that are seen to exclude each other: by type, by
their values, or by a required property with different constants. `allOf` and words beside `$ref`, `anyOf` and `oneOf` are
merged word by word. All else is refused by name, with its JSON pointer.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal

from constraints.grammars import json_numbers, json_strings
from constraints.grammars.json_merge import IGNORED, KEYWORDS, TYPES, as_list, merge, refuse, same, type_of
from constraints.grammars.json_parts import EMPTY, NOTHING, Part, Texts, in_turn, one_of, repeated, text, times, word
from constraints.grammars.json_references import Resolver
from seqdiff.errors import ConditionError

ROOT = "root"


@dataclass(frozen=True)
class Language:
    """What a schema compiles to: one of the two is given."""

    pattern: str | None
    grammar: str | None


def compile_schema(schema, spaced: bool = False, depth: int = 1) -> Language:
    """A schema (dict, bool, or JSON text) as a regular expression over the text, or a grammar with the rule `root`.

    Raises ConditionError naming the JSON pointer of what is not supported, or where no text at all satisfies the schema.
    """
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError as error:
            raise ConditionError(f"JSON Schema: expected JSON, {error}") from None
    compiler = _Compiler(schema, ", " if spaced else ",", ": " if spaced else ":", depth)
    root = compiler.texts(schema, "#")
    if root is None:
        raise ConditionError("JSON Schema: no value at all satisfies it")
    if root.pattern is not None:
        return Language(root.pattern, None)
    lines = [f"{ROOT}: {root.rules}"]
    while compiler.asked:
        pointer, name = compiler.asked.pop()
        part = compiler.texts(compiler.target(pointer, pointer), pointer)
        lines.append(f"{name}: {part.rules}" if part is not None else f"{name}: {name}")  # never ends: no text
    return Language(None, "\n".join(lines) + "\n")


def read_schema(schema, tokens: tuple[str, ...], spaced: bool = False, depth: int = 1):
    """The token sequences whose text is written for the schema: an Automaton, or a Grammar where it is recursive."""
    from constraints.automata.regex import regex
    from constraints.grammars.grammar_reader import read_grammar

    language = compile_schema(schema, spaced, depth)
    if language.pattern is not None:
        return regex(language.pattern, tokens)
    return read_grammar(language.grammar or "", tokens, ROOT)


@dataclass
class _Compiler(Resolver):
    """One schema on its way; `asked` are recursive definitions that still need their rule."""

    comma: str
    colon: str
    depth: int
    asked: list[tuple[str, str]] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)

    def texts(self, schema, at: str) -> Texts:
        """What is written for a schema that stands at the pointer `at`."""
        if isinstance(schema, bool):
            return self.free(self.depth) if schema else NOTHING
        if not isinstance(schema, dict):
            raise refuse(at, f"expected a schema, got {json.dumps(schema)}")
        for name in schema:
            if name not in KEYWORDS and name not in IGNORED:
                raise refuse(at, f"the keyword {name!r} is not supported", name)
        rest = {name: value for name, value in schema.items() if name in KEYWORDS}
        if "$ref" in rest:
            pointer = rest.pop("$ref")
            target = self.target(pointer, at)
            if not self.recursive(pointer, at):
                return self.texts(merge(target, rest, at), at) if rest else self.texts(target, pointer)
            if rest:
                raise refuse(at, f"{', '.join(rest)} beside the recursive $ref {pointer}", "$ref")
            return self.rule(pointer)
        if "allOf" in rest:
            parts = rest.pop("allOf")
            for i, part in enumerate(as_list(parts, at, "allOf")):
                rest = merge(rest, self.resolved(part, f"{at}/allOf/{i}"), at)
            return self.texts(rest, at)
        for name in ("anyOf", "oneOf"):
            if name in rest:
                parts = as_list(rest.pop(name), at, name)
                if name == "oneOf":
                    self.checkdisjoint(parts, at)
                return one_of([self.alternative(part, rest, f"{at}/{name}/{i}") for i, part in enumerate(parts)])
        if "const" in rest or "enum" in rest:
            return self.listed(rest, at)
        types = as_list(rest.get("type", list(TYPES)), at, "type")
        if unknown := [t for t in types if t not in (*TYPES, "integer")]:
            raise refuse(at, f"expected a type among {', '.join(TYPES)} and integer, got {json.dumps(unknown[0])}", "type")
        ordered = [t for t in (*TYPES, "integer") if t in types and not (t == "integer" and "number" in types)]
        return one_of([self.of_type(t, rest, at) for t in ordered])

    def alternative(self, part, rest: dict, at: str) -> Texts:
        return self.texts(merge(self.resolved(part, at), rest, at) if rest else part, at)

    def rule(self, pointer: str) -> Part:
        if pointer not in self.names:
            self.names[pointer] = f"definition_{len(self.names)}"
            self.asked.append((pointer, self.names[pointer]))
        return Part(None, self.names[pointer])

    # ── values ──

    def listed(self, rest: dict, at: str) -> Texts:
        if beside := set(rest) - {"enum", "const", "type"}:
            raise refuse(at, f"enum or const beside {', '.join(sorted(beside))}: leave out the values that do not fit")
        values = as_list(rest.get("enum", [rest.get("const")]), at, "enum")
        if "const" in rest:
            values = [value for value in values if same(value, rest["const"])]
        types = as_list(rest.get("type", list(TYPES)), at, "type")
        fits = [value for value in values if any(type_of(value, t) for t in types)]
        return one_of([word(self.spelled(value)) for value in fits])

    def spelled(self, value) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(self.comma, self.colon), allow_nan=False)

    def of_type(self, name: str, rest: dict, at: str) -> Texts:
        match name:
            case "null":
                return word("null")
            case "boolean":
                return text("(?:true|false)")
            case "string":
                return self.string(rest, at)
            case "array":
                return self.array(rest, at, self.depth)
            case "object":
                return self.object(rest, at, self.depth)
        return self.number(name, rest, at)

    def number(self, name: str, rest: dict, at: str) -> Texts:
        bounds = {}
        for side, opening, pick in (("minimum", "exclusiveMinimum", max), ("maximum", "exclusiveMaximum", min)):
            given = [(Decimal(repr(rest[k])), k == opening) for k in (side, opening) if k in rest and _number(rest[k], at, k)]
            bounds[side] = pick(given, key=lambda b: (b[0], b[1] == (pick is max))) if given else (None, False)
        (low, low_open), (high, high_open) = bounds["minimum"], bounds["maximum"]
        if name == "integer":
            if low is None and high is None:
                return text(json_numbers.INTEGER)
            least = None if low is None else int(low.to_integral_value("ROUND_CEILING")) + (low_open and low == int(low))
            most = None if high is None else int(high.to_integral_value("ROUND_FLOOR")) - (high_open and high == int(high))
            pattern = json_numbers.integers(least, most)
        elif low is None and high is None:
            return text(json_numbers.NUMBER)
        else:
            pattern = json_numbers.decimals(low, low_open, high, high_open)
        return NOTHING if pattern is None else text(pattern)

    def string(self, rest: dict, at: str) -> Texts:
        low, high = _range(rest, at, "minLength", "maxLength")
        asked = [name for name in ("pattern", "format") if name in rest]
        if len(asked) + ("minLength" in rest or "maxLength" in rest) > 1:
            beside = [*asked, *(k for k in ("minLength", "maxLength") if k in rest)]
            raise refuse(at, f"{' and '.join(beside)} together: write one pattern for both", asked[0])
        if "format" in rest:
            if rest["format"] not in json_strings.FORMATS:
                known = ", ".join(json_strings.FORMATS)
                raise refuse(at, f"the format {json.dumps(rest['format'])} is not supported; known are {known}", "format")
            return text(json_strings.quoted(json_strings.FORMATS[rest["format"]]))
        if "pattern" in rest:
            if not isinstance(rest["pattern"], str):
                raise refuse(at, f"expected a pattern, got {json.dumps(rest['pattern'])}", "pattern")
            try:
                return text(json_strings.quoted(json_strings.from_pattern(rest["pattern"])))
            except ConditionError as error:
                raise refuse(at, str(error), "pattern") from None
        if high is not None and high < low:
            return NOTHING
        return text(json_strings.quoted(f"{json_strings.CHARACTER}{times(low, high)}" if high != 0 else ""))

    def array(self, rest: dict, at: str, depth: int) -> Texts:
        if rest.get("uniqueItems"):
            raise refuse(at, "the keyword 'uniqueItems' is not supported", "uniqueItems")
        low, high = _range(rest, at, "minItems", "maxItems")
        first = as_list(rest.get("prefixItems", []), at, "prefixItems")
        parts = [self.texts(part, f"{at}/prefixItems/{i}") for i, part in enumerate(first)]
        item = self.texts(rest["items"], f"{at}/items") if "items" in rest else self.free(depth - 1)
        comma, n = word(self.comma), len(parts)
        tail = repeated(in_turn(comma, item), max(0, low - max(n, 1)), None if high is None else max(0, high - max(n, 1)))
        if n == 0:
            filled = in_turn(item, tail) if high is None or high >= max(1, low) else NOTHING
        else:
            filled = tail if high is None or high >= n else EMPTY
            for i in range(n - 1, -1, -1):
                if high is not None and i >= high:
                    continue
                here = in_turn(parts[i] if i == 0 else in_turn(comma, parts[i]), filled)
                filled = here if i == 0 or i < low else one_of([here, EMPTY])
        if high is not None and high < low:
            return NOTHING
        content = filled if low else one_of([None if high == 0 else filled, EMPTY])
        return in_turn(word("["), content, word("]"))

    def object(self, rest: dict, at: str, depth: int) -> Texts:
        properties, required = rest.get("properties", {}), as_list(rest.get("required", []), at, "required")
        if not isinstance(properties, dict):
            raise refuse(at, f"expected schemas by name, got {json.dumps(properties)}", "properties")
        free = self.free(depth - 1)
        more = rest.get("additionalProperties", not properties and not required)
        closed = rest.get("additionalProperties") is False
        values = {k: self.texts(v, f"{at}/properties/{_escaped(k)}") for k, v in properties.items()}
        for key in required:
            if key not in values:
                allowed = rest.get("additionalProperties", True)
                values[key] = self.texts(allowed, f"{at}/additionalProperties") if not isinstance(allowed, bool) else free
                values[key] = NOTHING if closed else values[key]
        members = [(in_turn(word(self.spelled(k) + self.colon), v), k in required) for k, v in values.items()]
        extra = NOTHING
        if more is not False:
            value = free if more is True else self.texts(more, f"{at}/additionalProperties")
            try:
                key = text(json_strings.other_than(list(values)) + json_strings.literal(self.colon))
            except ConditionError as error:
                raise refuse(at, str(error), "additionalProperties") from None
            extra = in_turn(key, value)
        if any(part is None and needed for part, needed in members):
            return NOTHING
        kept = [(part, needed) for part, needed in members if part is not None]
        return in_turn(word("{"), self.members(kept, extra), word("}"))

    def members(self, members: list[tuple[Part, bool]], extra: Texts) -> Texts:
        """Members in order, some optional, then any number of extra ones, with a comma between two.

        Around a required member the others bring their own comma, before it or after; with none, any may be the first.
        """
        comma, nothing = word(self.comma), EMPTY
        after = repeated(in_turn(comma, extra), 0, None)
        pivot = next((i for i, (_, needed) in enumerate(members) if needed), None)
        if pivot is not None:
            before = [repeated(in_turn(part, comma), 0, 1) for part, _ in members[:pivot]]
            behind = [repeated(in_turn(comma, part), int(needed), 1) for part, needed in members[pivot + 1 :]]
            return in_turn(*before, members[pivot][0], *behind, after)
        starts = [in_turn(extra, after), nothing]
        for part, _ in reversed(members):
            starts.insert(0, in_turn(part, after))
            after = in_turn(repeated(in_turn(comma, part), 0, 1), after)
        return one_of(starts)

    def free(self, depth: int) -> Texts:
        """Any value, nested to this many levels."""
        plain = [word("null"), text("(?:true|false)"), self.string({}, ""), text(json_numbers.NUMBER)]
        if depth < 0:
            return NOTHING
        nested = [self.array({}, "", depth), self.object({}, "", depth)] if depth else []
        return one_of([*plain, *nested])


def _range(rest: dict, at: str, low: str, high: str) -> tuple[int, int | None]:
    for name in (low, high):
        if name in rest and (isinstance(rest[name], bool) or not isinstance(rest[name], int) or rest[name] < 0):
            raise refuse(at, f"expected a whole number ≥ 0, got {json.dumps(rest[name])}", name)
    return rest.get(low, 0), rest.get(high)


def _number(value, at: str, name: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or abs(value) == float("inf"):
        raise refuse(at, f"expected a number, got {json.dumps(value)}", name)
    return True


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
