"""JSON Schema: what is drawn is valid by two independent validators, and what llguidance accepts is accepted here.

Expected differences from llguidance, which the tests leave aside: it takes \\/ and \\uxxxx for characters that need no escape,
exponents and -0 between bounds, and members that `properties` does not list where `additionalProperties` is absent.
"""

import datetime
import ipaddress
import itertools
import json
import re
import uuid
from decimal import Decimal
from functools import cache

import numpy as np
import pytest
import torch

from constraints.automata.automaton import Automaton
from constraints.automata.chain import Chain
from constraints.automata.regex import regex
from constraints.grammars import json_numbers, json_strings
from constraints.grammars.grammar_reader import read_grammar
from constraints.grammars.grammar_structure import GrammarStructure
from constraints.grammars.json_parts import text as as_terminal
from constraints.grammars.json_schema import compile_schema, read_schema
from constraints.language.check_json import accepts
from seqdiff.errors import ConditionError

CHARACTERS = tuple('{}[]",:.-+0123456789abcdeflnrstuvxyE\\ /é')


# ── the oracle ──


@cache
def bytes_tokenizer():
    from llguidance import LLTokenizer, TokenizerWrapper

    class Bytes:
        eos_token_id, bos_token_id, special_token_ids = 256, None, [256]
        tokens = [bytes([b]) for b in range(256)] + [b"<end>"]

        def __call__(self, text):
            return list(text if isinstance(text, bytes) else text.encode())

    return LLTokenizer(TokenizerWrapper(Bytes()), n_vocab=257)


class Oracle:
    """llguidance's matcher for one schema, asked for whole texts."""

    def __init__(self, schema):
        from llguidance import LLMatcher

        fixed = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}
        self.matcher = LLMatcher(
            bytes_tokenizer(), LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=fixed), log_level=0
        )
        assert not self.matcher.is_error(), self.matcher.get_error()

    def accepts(self, text: str) -> bool:
        tokens = list(text.encode())
        self.matcher.reset()
        return self.matcher.try_consume_tokens(tokens) == len(tokens) and self.matcher.is_accepting()


# ── what is compiled, over characters ──


class Compiled:
    def __init__(self, schema, tokens=CHARACTERS, **options):
        self.tokens, self.number = tokens, {token: n for n, token in enumerate(tokens)}
        self.language = read_schema(schema, tokens, **options)
        regular = isinstance(self.language, Automaton)
        self.structure = Chain(self.language, dtype=torch.float64) if regular else GrammarStructure(self.language)

    def accepts(self, text: str) -> bool:
        if any(c not in self.number for c in text):
            return False
        row = torch.tensor([[self.number[c] for c in text]], dtype=torch.int64)
        if isinstance(self.language, Automaton):
            return bool(self.language.accepts_rows(row.numpy())[0])
        return bool(self.structure.accepts_rows(row)[0])

    def draws(self, seed: int, each: int = 3, longest: int = 36, lengths: int = 4) -> list[str]:
        """Texts of several possible lengths, from random distributions."""
        generator = torch.Generator().manual_seed(seed)
        out, V = [], len(self.tokens)
        if isinstance(self.language, Automaton):
            possible = sorted(self.language.lengths(longest))
        else:
            possible = [n for n in range(1, longest - 11) if self.structure.log_mass(torch.ones(1, n, V))[0] > float("-inf")]
        step = max(1, len(possible) // lengths)
        for length in possible[::step]:
            p = torch.rand(each, length, V, dtype=torch.float64, generator=generator) ** 4 + 1e-9
            u = torch.rand(each, length, dtype=torch.float64, generator=generator)
            tokens, log_mass = self.structure.draw(p, u)
            assert torch.isfinite(log_mass).all()
            out += ["".join(self.tokens[v] for v in row) for row in tokens.tolist()]
        return out


# ── random schemas ──


def random_schema(rng, depth=2):
    """A schema of what is supported, whose objects say what they allow beside their properties."""
    kinds = ["integer", "number", "string", "pattern", "const", "enum", "boolean", "null", "types"]
    kinds += ["array", "object", "prefix", "anyOf", "oneOf", "allOf", "ref", "tagged"] if depth else []
    pick = lambda items: items[int(rng.integers(len(items)))]  # noqa: E731
    inner = lambda: random_schema(rng, depth - 1)  # noqa: E731
    match pick(kinds):
        case "integer":
            low = int(rng.integers(-300, 300))
            bounds = [("minimum", low), ("maximum", low + int(rng.integers(0, 900)))]
            return {"type": "integer", **dict(b for b in bounds if rng.random() < 0.6)}
        case "number":
            low = round(float(rng.uniform(-20, 20)), int(rng.integers(0, 3)))
            names = [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")]
            values = (low, round(low + float(rng.uniform(0.5, 30)), 2))
            return {"type": "number", **{pick(n): v for n, v in zip(names, values, strict=True) if rng.random() < 0.6}}
        case "string":
            low = int(rng.integers(0, 3))
            bounds = [("minLength", low), ("maxLength", low + int(rng.integers(0, 5)))]
            return {"type": "string", **dict(b for b in bounds if rng.random() < 0.7)}
        case "pattern":
            patterns = ["^[a-e]+$", "^a", "x$", "ab|s", "^(?:ab|\\d{2})*$", "^[^a-s]{2,4}$", "^.e.$"]
            return {"type": "string", "pattern": pick(patterns)}
        case "const":
            return {"const": pick([1, -2.5, "a", "l/r", True, None, [], {"a": [1]}, 'x"y'])}
        case "enum":
            values = [0, 1, "a", "b", None, False, [1, "s"], {}]
            return {"enum": [values[i] for i in rng.choice(len(values), size=int(rng.integers(1, 5)), replace=False)]}
        case "boolean" | "null" as name:
            return {"type": name}
        case "types":
            return {"type": ["null", pick(["boolean", "integer", "string"])], "maxLength": 3, "minimum": -5}
        case "array":
            low = int(rng.integers(0, 3))
            return {"type": "array", "items": inner(), "minItems": low, "maxItems": low + int(rng.integers(0, 3))}
        case "prefix":
            low = int(rng.integers(0, 4))
            limits = {"minItems": low, **({"maxItems": low + int(rng.integers(0, 3))} if rng.random() < 0.5 else {})}
            return {"type": "array", "prefixItems": [inner(), inner()], "items": pick([False, {"type": "integer"}]), **limits}
        case "object":
            properties = {k: inner() for k in ("a", "bc", "é")[: int(rng.integers(1, 4))]}
            required = [k for k in properties if rng.random() < 0.5]
            more = pick([False, False, {"type": "integer"}])
            return {"type": "object", "properties": properties, "required": required, "additionalProperties": more}
        case "anyOf":
            return {"anyOf": [inner(), inner()]}
        case "oneOf":
            return {"oneOf": [{"type": "null"}, {"type": "integer", "minimum": 4}, {"enum": ["a", "b"]}]}
        case "allOf":
            return {"type": "integer", "allOf": [{"minimum": 3}, {"maximum": 70, "minimum": 1}]}
        case "ref":
            return {"$ref": "#/$defs/short"}
        case "tagged":
            kinds = [{"properties": {"t": {"const": t}, "v": inner()}, "required": ["t"]} for t in "ab"]
            return {"oneOf": [{"type": "object", "additionalProperties": False, **kind} for kind in kinds]}
    raise AssertionError


def root_schema(seed):
    rng = np.random.default_rng(seed)
    if seed % 8 == 7:
        node = {
            "type": "object",
            "properties": {
                "v": random_schema(rng, 0),
                "n": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 2},
            },
            "required": ["v"] if rng.random() < 0.5 else [],
            "additionalProperties": False,
        }
        return {"$defs": {"node": node, "short": {"type": "string", "maxLength": 2}}, "$ref": "#/$defs/node"}
    return {"$defs": {"short": {"type": "string", "maxLength": 2}}, **random_schema(rng)}


def mutated(text: str, rng) -> str:
    i = int(rng.integers(len(text)))
    new = CHARACTERS[int(rng.integers(len(CHARACTERS)))]
    kinds = [text[:i] + text[i + 1 :], text[:i] + new + text[i:], text[:i] + new + text[i + 1 :]]
    return kinds[int(rng.integers(3))]


def other_spelling(text: str) -> bool:
    """Whether a text is spelled as this project never spells it, or writes a key twice."""
    twice = []

    def pairs(members):
        twice.extend(k for n, (k, _) in enumerate(members) if any(k == other for other, _ in members[:n]))
        return dict(members)

    json.loads(text, object_pairs_hook=pairs)
    strings = re.findall(r'"(?:[^"\\]|\\.)*"', text)
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    escaped = any(json.dumps(json.loads(s), ensure_ascii=False) != s for s in strings)
    return bool(twice or escaped or re.search(r"[eE]|-0(?![.\d]*[1-9])", re.sub("true|false", "", outside)))


def differences(seed, schema=None, compiled_from=None) -> list[str]:
    """What two validators hold against the texts drawn for a schema, and against mutations of them."""
    schema = schema or root_schema(seed)
    try:
        compiled = Compiled(compiled_from or schema)
    except ConditionError as error:
        assert "no value at all satisfies it" in str(error), error
        return []
    oracle, rng, found = Oracle(schema), np.random.default_rng(seed), []
    texts = compiled.draws(seed)
    assert texts, schema
    for text in texts:
        if not accepts(json.dumps(schema), text):
            found.append(f"invalid: {text}")
        if not oracle.accepts(text):
            found.append(f"llguidance does not accept {text}")
        for _ in range(6):
            other = mutated(text, rng)
            if oracle.accepts(other):
                if not compiled.accepts(other) and not other_spelling(other):
                    found.append(f"only llguidance accepts {other}")
            elif compiled.accepts(other):
                found.append(f"llguidance does not accept the mutation {other}")
    return [f"{json.dumps(schema)}: {what}" for what in found]


@pytest.mark.parametrize("tens", range(10))
def test_random_schemas_against_two_validators(tens):
    found = [difference for seed in range(10 * tens, 10 * tens + 10) for difference in differences(seed)]
    assert not found, "\n".join(found[:10])


@pytest.mark.slow
@pytest.mark.parametrize("hundreds", range(1, 8))
def test_more_random_schemas_against_two_validators(hundreds):
    found = [difference for seed in range(100 * hundreds, 100 * hundreds + 100) for difference in differences(seed)]
    assert not found, "\n".join(found[:10])


FAULTS = {
    "one item too many": ({"type": "array", "items": {"enum": [1]}, "maxItems": n} for n in (2, 3)),
    "one number too high": ({"type": "integer", "minimum": 0, "maximum": n} for n in (7, 8)),
    "the empty string forgotten": ({"type": "string", "minLength": n, "maxLength": 1} for n in (0, 1)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_comparison_sees_a_planted_fault(fault):
    right, wrong = FAULTS[fault]
    assert not any(differences(seed, right) for seed in range(12))
    assert any(differences(seed, right, wrong) for seed in range(12))


def brackets(text: str) -> bool:
    """Arrays of arrays of at most two items, by Python's own reader."""
    try:
        value = json.loads(text)
    except ValueError:
        return False
    shallow = lambda v: isinstance(v, list) and len(v) <= 2 and all(map(shallow, v))  # noqa: E731
    return shallow(value)


def test_a_recursive_schema_is_a_grammar_with_the_mass_of_its_language():
    schema = {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}
    assert compile_schema(schema).pattern is None
    compiled = Compiled(schema, tuple("[],"))
    assert not compiled.structure.ambiguous
    for length in range(1, 10):
        texts = ["".join(x) for x in itertools.product("[],", repeat=length)]
        listed = [x for x in texts if brackets(x)]
        p = torch.rand(1, length, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(length))
        weights = [np.prod([p[0, i, "[],".index(c)] for i, c in enumerate(x)]) for x in listed]
        expected = torch.tensor([sum(weights)], dtype=torch.float64).log()
        assert torch.allclose(compiled.structure.log_mass(p), expected, rtol=0, atol=1e-12) or not listed
        assert bool(listed) == bool(compiled.structure.log_mass(p)[0] > float("-inf"))


def test_integers_between_bounds_are_exact():
    rng = np.random.default_rng(0)
    for _ in range(60):
        low, high = (None if rng.random() < 0.3 else int(rng.integers(-1200, 1200)) for _ in range(2))
        pattern = re.compile(json_numbers.integers(low, high) or "(?!)")
        accepted = [n for n in range(-1300, 1300) if pattern.fullmatch(str(n))]
        assert accepted == [n for n in range(-1300, 1300) if (low is None or n >= low) and (high is None or n <= high)]
        assert not any(pattern.fullmatch(text) for text in ("-0", "00", "07", "-07", ""))


def test_decimals_between_bounds_are_exact():
    rng = np.random.default_rng(1)
    fractions = [
        "",
        *("." + "".join(d) for k in (1, 2) for d in itertools.product("0123456789", repeat=k)),
        ".050",
        ".999",
        ".1000",
    ]
    texts = [sign + whole + fraction for sign in ("", "-") for whole in ("0", "1", "2", "10", "11") for fraction in fractions]
    for _ in range(60):
        low, high = (None if rng.random() < 0.2 else Decimal(int(rng.integers(-1100, 1100))) / 100 for _ in range(2))
        low_open, high_open = (bool(rng.integers(2)) for _ in range(2))
        pattern = re.compile(json_numbers.decimals(low, low_open, high, high_open) or "(?!)")
        for text in texts:
            x = Decimal(text)
            above = low is None or x > low or (x == low and not low_open)
            below = high is None or x < high or (x == high and not high_open)
            assert bool(pattern.fullmatch(text)) == (above and below and not (x == 0 and text[0] == "-")), (low, high, text)


PATTERNS = [
    "^[a-z]+$", "a", "^a.b$", '[^"a]$', r"^\d{2,3}", r"a\\b", '"x"', r"^[\s\S]{2}$", r"^(?:ab|\.c)*$", r"\/", r"^\u0041?$",
    "^$", r"^[^\n]$", r"\$", r"^[\w.-]+@$", r"[\]a]", "^(x|y)+?$", r"^[\x00-\x7f]$", r"^\S\W$", "a|b", r"^[^\d\S]",
    r"\t|\x01", r"[\D]a", r"^[\"\x5d/]a", r"^[^\x5d-\x61]",
]  # fmt: skip


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_means_the_same_inside_a_grammar(pattern):
    """lark rewrites escapes in terminals; the expression must survive it."""
    schema = {"type": "string", "pattern": pattern}
    tokens = tuple('abxy"\\nt. /A1-@$[]u0')
    regular = regex(compile_schema(schema).pattern, tokens)
    grammar = read_grammar("root: " + as_terminal(compile_schema(schema).pattern).rules, tokens, "root")
    ones = torch.ones(1, 7, len(tokens), dtype=torch.float64)
    for length in range(2, 8):
        words, mass = regular.count_words(length), GrammarStructure(grammar).log_mass(ones[:, :length]).exp()
        assert mass.item() == pytest.approx(words, rel=1e-9)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_is_searched_in_the_string_and_not_in_its_spelling(pattern):
    ends = pattern.endswith("$") and not pattern.endswith(r"\$")
    asked = re.compile(pattern[:-1] + r"\Z" if ends else pattern, re.ASCII)
    spelled = re.compile(json_strings.from_pattern(pattern))
    for length in range(4):
        for characters in itertools.product('abxy"\\\n\t. /A1-@$[]\x01', repeat=length):
            text = "".join(characters)
            assert bool(spelled.fullmatch(json.dumps(text)[1:-1])) == bool(asked.search(text)), text


@pytest.mark.parametrize("keys", [["a", "ab", "b"], [""], [], ["aa"], ["a", "", "-^]"]])
def test_strings_other_than_some_keys(keys):
    pattern = re.compile(json_strings.other_than(keys))
    for length in range(4):
        for characters in itertools.product('ab-^]"\n', repeat=length):
            text = "".join(characters)
            assert bool(pattern.fullmatch(json.dumps(text))) == (text not in keys)


FORMATS = {
    "date": lambda text: datetime.date.fromisoformat(text),
    "time": lambda text: datetime.time.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text)),
    "date-time": lambda text: datetime.datetime.fromisoformat(re.sub(r"(\.\d{1,6})\d*", r"\1", text)),
    "uuid": lambda text: uuid.UUID(text),
    "ipv4": lambda text: ipaddress.IPv4Address(text),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats_are_read_by_python(name):
    pattern = compile_schema({"type": "string", "format": name}).pattern
    compiled = Compiled({"type": "string", "format": name}, tuple('"0123456789abcdef-:.TZ+'))
    texts = compiled.draws(0, each=60, longest=40, lengths=2)
    assert len(set(texts)) > 50 and all(re.fullmatch(pattern, text) for text in texts)
    for text in texts:
        content = json.loads(text)
        if name.startswith("date") and content[:4] == "0000":
            continue  # Python has no year 0
        FORMATS[name](
            re.sub(r"\.(\d+)", lambda m: "." + m[1][:6].ljust(6, "0"), content) if name in ("time", "date-time") else content
        )


def test_tokens_of_several_characters_and_spaces():
    """Tokens that cross the borders of strings, commas and numbers; every spelling of a text by tokens is accepted."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}, "b": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    tokens = (
        '{"',
        "a",
        '":',
        " [",
        "[",
        "1",
        "12",
        ", ",
        "]",
        '], "',
        "b",
        '": "',
        '"',
        "}",
        '"}',
        "]}",
        "ab",
        ": ",
        "\\n",
        "\\",
    )
    recursive = {**schema, "properties": {**schema["properties"], "b": {"anyOf": [{"type": "string"}, {"$ref": "#"}]}}}
    for asked in (schema, recursive):
        compiled = Compiled(asked, tokens, spaced=True)
        texts = compiled.draws(0, each=20, longest=30)
        assert len(set(texts)) > 30
        for text in texts:
            assert accepts(json.dumps(asked), text)
            assert json.dumps(json.loads(text)) == text  # Python's own default has one space
    assert not Compiled(schema, CHARACTERS).accepts('{"a": [1]}') and Compiled(schema, CHARACTERS).accepts('{"a":[1]}')


def test_free_values_nest_to_their_depth():
    for depth in range(3):
        compiled = Compiled(True, depth=depth)
        accepted = [compiled.accepts("[" * n + "1" + "]" * n) for n in range(4)]
        assert accepted == [n <= depth for n in range(4)]
        assert compiled.accepts('{"a":1,"a":[2]}') == (depth >= 2)
    assert Compiled({"type": "object"}).accepts('{"a":1}')
    assert not Compiled({"type": "object", "properties": {"b": True}}).accepts('{"a":1}')


REFUSED = {
    ('{"type": "integer", "multipleOf": 3}', "at #/multipleOf: the keyword 'multipleOf' is not supported"),
    ('{"not": {}}', "at #/not"),
    ('{"if": {}}', "at #/if"),
    ('{"type": "array", "uniqueItems": true}', "at #/uniqueItems"),
    ('{"type": "array", "contains": {}}', "at #/contains"),
    ('{"properties": {"a/b": {"minProperties": 1}}, "type": "object"}', "at #/properties/a~1b/minProperties"),
    ('{"patternProperties": {}}', "at #/patternProperties"),
    ('{"propertyNames": {}}', "at #/propertyNames"),
    ('{"dependentRequired": {}}', "at #/dependentRequired"),
    ('{"unevaluatedProperties": false}', "at #/unevaluatedProperties"),
    ('{"anyOf": [{}, {"items": {"$dynamicRef": "#"}}]}', "at #/anyOf/1/items/[$]dynamicRef"),
    ('{"type": "string", "format": "hostname"}', 'at #/format: the format "hostname"'),
    ('{"type": "string", "pattern": "a", "maxLength": 3}', "pattern and maxLength together"),
    ('{"type": "string", "pattern": "(?=a)"}', "at #/pattern: a lookahead"),
    ('{"type": "string", "pattern": "(a)\\\\1"}', "at #/pattern: a backreference"),
    ('{"type": "string", "pattern": "a$b"}', "an anchor that is not at an end"),
    ('{"type": "string", "pattern": "^a|b"}', "an anchor of one alternative alone"),
    ('{"oneOf": [{"type": "integer"}, {"type": "number"}]}', "at #/oneOf: alternatives 0 and 1"),
    ('{"enum": [1, 2], "minimum": 2}', "enum or const beside minimum"),
    ('{"$ref": "other.json"}', "expected a reference within the schema"),
    ('{"$ref": "#/$defs/none"}', "leads nowhere"),
    ('{"type": "arr"}', 'at #/type: expected a type among .* got "arr"'),
    ('{"type": "string", "minLength": -1}', "expected a whole number"),
    ('{"type": "integer", "minimum": "1"}', 'expected a number, got "1"'),
    ('{"properties": {"a": 3}}', "at #/properties/a: expected a schema, got 3"),
    ('{"allOf": [{"pattern": "a"}, {"pattern": "b"}]}', "two schemas with different 'pattern'"),
    ('{"type": "integer", "minimum": 4, "maximum": 3}', "no value at all satisfies it"),
    ('{"type": "object", "required": ["a"], "additionalProperties": false}', "no value at all satisfies it"),
    ("{", "expected JSON"),
    ("false", "no value at all satisfies it"),
}


@pytest.mark.parametrize(("schema", "message"), sorted(REFUSED))
def test_what_is_not_supported_is_refused_by_name_and_place(schema, message):
    with pytest.raises(ConditionError, match=message):
        compile_schema(schema)
