"""Constraints as values, and what they mean token by token, on cases worked out by hand."""

import json

import pytest

from constraints.language import expression as e
from constraints.language.check import holds
from constraints.language.check_json import accepts
from constraints.language.motif import Element, Motif, Tokens
from constraints.language.notation import parse
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

LETTERS = Alphabet("letters", tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
REGIONS = {"head": range(3), "tail": range(3, 6), "ends": [0, 5]}

# (constraint, texts for which it holds, texts for which it does not)
MEANINGS = [
    ("pin(2, C)", ["ABC", "AACA"], ["", "AB", "ABD"]),
    ("allow([AB])", ["", "ABBA"], ["ABC"]),
    ("allow([^C], 1..2)", ["", "CAB", "CABC", "C"], ["ACB", "AAC"]),
    ("ban([AB], 0, 2)", ["", "CA", "CAC"], ["A", "CCB"]),
    ('regex("A+B?")', ["A", "AAB"], ["", "B", "ABA"]),
    ("contains(N-[^P]-[ST])", ["NAS", "AANSTA"], ["NPS", "NA", "NAPS"]),
    ("contains(C-x(2,3)-C)", ["CAAC", "ACAAACA", "CCCAC"], ["CC", "CAC", "CAAAAC"]),
    ("contains(A(2)-B(0,1)-C)", ["AAC", "AABC"], ["ABC", "AABBC"]),
    ("avoid(A-B)", ["", "BA", "ACB"], ["AB", "CABC"]),
    ("starts_with(M-[KR](1,2)-A)", ["MKA", "MRKAB"], ["MA", "AMKA", "MKKKA"]),
    ("ends_with([KR]-x(0,1)-G)", ["KG", "AKAG", "KGG"], ["G", "KAAG", "KGA"]),
    ("count([AB], 1..2)", ["A", "CBA"], ["", "C", "ABA"]),
    ("count([AB], 2..)", ["AB", "AAAA"], ["A"]),
    ("count([A], 1, window=2)", ["ABAB", "BA", "", "B", "A"], ["AAB", "ABB"]),
    ("length(2..3)", ["AB", "ABC"], ["A", "ABCD"]),
    ('sum({"A": 0.7, "B": -0.4}, -0.5..0.3, step=0.1)', ["", "AB", "B", "C"], ["A", "BB", "ABBBBB"]),
    ("runs([AB], 2)", ["AABBAA", "CCCC"], ["AAA", "CBBBC"]),
    ('words("AB", "C")', ["AB", "C"], ["", "A", "ABC"]),
    ("edits(ABCA, 1..2)", ["ABCB", "BBCB"], ["", "ABCA", "BBBB", "ABC", "ABCAA"]),
    ("edits(AB, 1..)", ["AA", "CC"], ["AB", "A", ""]),
    ("identity(ABCA, 50..75%)", ["ABCB", "BBCB"], ["", "ABCA", "BBBB", "ABC", "ABCAA"]),
    ("identity(ABC, 33.4..100%)", ["ABC", "BBC"], ["BBB", "CBA"]),
    ("within(tail, edits(DEF, 0..1))", ["ABCDEF", "DEFDEA"], ["ABCDE", "DEFDDD"]),
    ("tie(head, tail)", ["ABCABC", ""], ["ABCABD", "ABCAB"]),
    ("tie(head, tail, reverse)", ["ABCCBA"], ["ABCABC"]),
    ('tie(head, tail, map={"A": "X", "B": "Y"})', ["ABCXYC"], ["ABCABC"]),
    ("tie(all, all, reverse)", ["ABCBA", "", "A"], ["AB"]),
    ("distinct(0, 2..3)", ["ABCD", "AB", "AABC"], ["ABA", "ABCC"]),
    ("distinct(head, tail)", ["ABCABD", "AB"], ["ABCABC", ""]),
    ("within(tail, starts_with(D))", ["ABCD", "AAADE"], ["ABC", "DDDA"]),
    ("within(ends, words(\"AB\"))", ["ACCCCB"], ["ABCCCC", "A"]),
    ("within(head, within(ends, length(1)))", ["ABC", "A"], [""]),
    ("~within(head, contains(A))", ["", "BCDA"], ["BAC"]),
    ("contains(A) & ~contains(B) | length(0)", ["A", "CA", ""], ["AB", "C"]),
    ("within(head, distinct(0..1))", ["ABA"], ["AAB"]),
    ('grammar("start: \\"A\\" start \\"B\\" | \\"C\\"")', ["C", "AACBB"], ["", "ACBB", "AB"]),
    ('grammar("s: A+ X\\nA: /AB?/\\nX: \\"BX\\"", s)', ["ABX", "ABABX", "ABBX"], ["AB", "BX", "AX"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "yes", "no"), MEANINGS)
def test_what_each_constraint_means(text, yes, no):
    constraint = parse(text)
    for word, expected in [*((w, True) for w in yes), *((w, False) for w in no)]:
        regions = {name: [i for i in places if i < len(word)] for name, places in REGIONS.items()}
        assert holds(constraint, list(word), regions, LETTERS) is expected, word
        if constraint.kind == e.REGULAR:
            assert holds(~constraint, list(word), regions, LETTERS) is not expected


def test_every_kind_has_its_meaning_tested():
    from constraints.language.kinds import CLASSES

    tested = " ".join(text for text, _, _ in MEANINGS)
    assert [name for name in CLASSES if f"{name}(" not in tested] == ["json_schema", "and", "or", "not"]


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "exclusiveMaximum": 5}, "s": {"$ref": "#/$defs/name"}},
    "required": ["n"],
    "additionalProperties": {"type": "array", "items": {"enum": [1, "a", None]}, "prefixItems": [True], "maxItems": 2},
    "$defs": {"name": {"type": ["string", "null"], "pattern": "^a", "maxLength": 3}},
}


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        (
            SCHEMA,
            ['{"n": 0}', ' {"n":4.0,"s":"abc"}', '{"n":1,"s":null}', '{"n":1,"x":[true,1]}'],
            ["", "[]", "{}", '{"n":5}', '{"n":-1}', '{"n":1.5}', '{"n":true}', '{"n":1,"s":"ba"}', '{"n":1,"s":"abcd"}',
             '{"n":1,"x":[1,2]}', '{"n":1,"x":[1,1,1]}', '{"n":NaN}', '{"n":1}}'],
        ),
        (True, ["1", '"a"', "[[]]"], ["a", "01", "[1,]"]),
        (False, [], ["1"]),
        ({"const": 1}, ["1", "1.0"], ["true", "2", '"1"']),
        ({"enum": [[1, {"a": False}]]}, ['[1,{"a":false}]'], ['[1,{"a":0}]', "[1]"]),
        ({"anyOf": [{"type": "null"}, {"multipleOf": 3, "type": "number"}]}, ["null", "6", "-3"], ["4", '"a"']),
        ({"oneOf": [{"type": "integer"}, {"minimum": 3}]}, ["2", "3.5", '"a"'], ["4", "2.5"]),
        ({"allOf": [{"minItems": 1}, {"uniqueItems": True}], "type": "array"}, ["[1,true]", "[0]"], ["[]", "[1,1.0]"]),
        ({"multipleOf": 0.1}, ["0.3", "-1.7", "2", '"a"'], ["0.35", "1e300000"]),
        ({"type": "integer"}, ["3.0", "1e999999999", "-0"], ["3.5", "1e-999999999"]),
        ({"enum": [0.1, 3]}, ["0.1", "0.10", "3.0"], ["0.2"]),
        ({"not": {"type": "string"}, "minProperties": 1}, ["1", '{"a":1}'], ['"a"', "{}"]),
        (
            {"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": False},
            ['{"xa":null}', "{}"],
            ['{"xa":1}', '{"a":1}'],
        ),
    ],
)  # fmt: skip
def test_what_a_schema_accepts(schema, yes, no):
    for text in yes:
        assert accepts(json.dumps(schema), text), text
        assert holds(e.JsonSchema(schema), list(text), {}, LETTERS), text
    for text in no:
        assert not accepts(json.dumps(schema), text), text


def test_a_schema_with_what_is_not_known_is_refused():
    with pytest.raises(ConditionError, match="no way to check the keyword 'contains' is known"):
        accepts('{"contains": {}}', "[]")
    with pytest.raises(ConditionError, match="expected a reference within the schema"):
        accepts('{"$ref": "http://example.org"}', "[]")


def test_values_are_kept_in_one_form():
    assert e.Ban(["B", "A", "B"], [3, 1, 1]) == e.Ban("[AB]", (1, 3)) == parse("ban([BA], 3, 1)")
    assert e.Contains("N-{P}-[ST]-x(2,4)") == e.Contains(
        Motif(
            (
                Element(Tokens(("N",))),
                Element(Tokens(("P",), True)),
                Element(Tokens(("S", "T"))),
                Element(Tokens((), True), 2, 4),
            )
        )
    )
    assert hash(e.Sum({"A": 1, "B": 2}, 0, 1)) == hash(e.Sum((("B", 2.0), ("A", 1.0)), 0.0, 1.0))
    assert e.Sum({"A": 0.3, "B": -0.1}, -0.1, 0.3, 0.1).units == ({"A": 3, "B": -1}, -1, 3)
    a, b, c = e.Length(1), e.Length(2), e.Length(3)
    assert (a & b) & c == a & (b & c) == e.And((a, b, c))
    assert (a | b) | c == e.Or((a, b, c))
    assert str((a | b) & ~(c & a).within("x y")) == '(length(1..) | length(2..)) & ~within("x y", length(3..) & length(1..))'
    assert e.JsonSchema('{"a":  1}') == e.JsonSchema({"a": 1})
    assert len({a, e.Length(1), b}) == 2


def test_kinds_go_up():
    regular, free, relation = e.Length(1), e.Grammar("start: A"), e.Tie("a", "b")
    assert (regular & free).kind == (free | regular).kind == (~free).within("a").kind == e.CONTEXT_FREE
    assert (free & relation).kind == e.RELATION
    assert (regular | ~regular).kind == e.REGULAR


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: e.Pin(-1, "A"), "pin: expected position a whole number from 0 to 1000000, got -1"),
        (lambda: e.Pin(True, "A"), "pin: expected position a whole number"),
        (lambda: e.Pin(1, ""), "pin: expected token as a non-empty text"),
        (lambda: e.Ban([]), "a set of tokens: expected at least one token"),
        (lambda: e.Ban("A", []), r"ban: expected at least one position \(or none named, for all\)"),
        (lambda: e.Count("A", 3, 2), "count: expected low ≤ high, got '3..2'"),
        (lambda: e.Count("A", 3, window=0), "count: expected a window of at least one position"),
        (lambda: e.Runs("A", 0), "runs: expected most, at least 1"),
        (lambda: e.Words([]), "words: expected at least one text"),
        (lambda: e.Words("AB"), "words: expected words as a list, got 'AB'"),
        (lambda: e.Sum({}, 0, 1), "sum: expected a weight for at least one token"),
        (lambda: e.Sum({"A": 1}, 0, 1, 1e-9), "at most 1000000 steps"),
        (lambda: e.Tie("a", "", None), "tie: expected a region as a non-empty text"),
        (lambda: e.Tie("a", "b", {"A": 3}), "tie: expected tokens of the mapping"),
        (lambda: e.Distinct([1, "a"]), "distinct: expected position a whole number"),
        (lambda: e.JsonSchema("{"), "json_schema: expected a schema that is JSON"),
        (lambda: e.And((e.Length(1),)), "and: expected at least two constraints"),
        (lambda: e.Or((e.Length(1), "A")), "or: expected constraints, got 'A'"),
        (lambda: e.Not(3), "not: expected a constraint, got 3"),
        (lambda: e.Contains("A-"), "expected a token or a set of tokens such as N"),
        (lambda: e.Contains("A B"), "expected '-' and another element"),
        (lambda: e.Contains([]), "a motif: expected at least one element"),
        (lambda: e.Ban("[A]B"), "expected one set of tokens such as"),
        (lambda: holds(parse("within(a, length(1))"), [], {"b": []}, LETTERS), "unknown region 'a'; this row has all, b"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ConditionError, match=message):
        make()


def test_only_constraints_combine():
    with pytest.raises(TypeError):
        e.Length(1) & "A"  # type: ignore[operator]
    with pytest.raises(TypeError):
        "A" | e.Length(1)  # type: ignore[operator]
