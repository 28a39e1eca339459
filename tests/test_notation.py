"""Text and JSON of constraints come back exactly; mistakes are marked where they are."""

import json

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from constraints.language import expression as e
from constraints.language.distance import Edits, Identity
from constraints.language.kinds import CLASSES, KINDS
from constraints.language.motif import Element, Motif, Tokens
from constraints.language.notation import MAX_DEPTH, check_size, from_json, parse, to_json
from seqdiff.errors import ConditionError

names = st.sampled_from(["A", "B", "C", "x", "Cl", "[nH]", "-", " ", '"', "^", "é", "\n", "\\", "x2", "]", "(2)"])
regions = st.sampled_from(["gap1", "linker", "chain A", "é", "all", "reverse", "map"])
words = st.text(max_size=6)
wholes = st.integers(0, 40)
token_sets = st.builds(Tokens, st.lists(names, min_size=1, max_size=3).map(tuple), st.booleans())
elements = st.builds(
    lambda tokens, low, more: Element(tokens, low, max(1, low + more)),
    token_sets | st.just(Tokens((), True)),
    st.integers(0, 3),
    st.integers(0, 3),
)
motifs = st.builds(Motif, st.lists(elements, min_size=1, max_size=4).map(tuple))
spans = st.tuples(wholes, wholes | st.none()).map(lambda r: r if r[1] is None else tuple(sorted(r)))
places = st.none() | st.lists(wholes, min_size=1, max_size=6)
percent = st.integers(0, 100) | st.floats(0, 100)
numbers = st.floats(-50, 50, allow_nan=False)
schemas = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=5,
)
leaves = st.one_of(
    st.builds(e.Pin, wholes, names),
    st.builds(e.Allow, token_sets, places),
    st.builds(e.Ban, token_sets, places),
    st.builds(e.Regex, words),
    *(st.builds(c, motifs) for c in (e.Contains, e.Avoid, e.StartsWith, e.EndsWith)),
    st.builds(lambda t, r, w: e.Count(t, *r, window=w), token_sets, spans, st.none() | st.integers(1, 9)),
    st.builds(lambda r: e.Length(*r), spans),
    st.builds(
        lambda w, r, s: e.Sum(w, *sorted(r), step=s),
        st.dictionaries(names, numbers, min_size=1, max_size=3),
        st.tuples(numbers, numbers),
        st.sampled_from([1.0, 0.1, 0.25, 1e-3]),
    ),
    st.builds(e.Runs, token_sets, st.integers(1, 9)),
    st.builds(e.Words, st.lists(words, min_size=1, max_size=3)),
    st.builds(lambda text, r: Edits(text, *r), words.filter(bool), spans),
    st.builds(lambda text, r: Identity(text, *sorted(r)), words.filter(bool), st.tuples(percent, percent)),
    st.builds(e.Tie, regions, regions, st.none() | st.dictionaries(names, names, max_size=3), st.booleans()),
    st.builds(e.Distinct, st.sets(wholes, min_size=2, max_size=5) | st.sets(regions, min_size=2, max_size=4)),
    st.builds(e.Grammar, words.filter(bool), st.sampled_from(["start", "rule", "a rule"])),
    st.builds(e.JsonSchema, st.booleans() | st.dictionaries(words, schemas, max_size=3)),
)
constraints = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: e.And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: e.Or(tuple(parts))),
        inner.map(e.Not),
        st.builds(e.Within, inner, regions),
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(constraints)
def test_text_and_json_come_back_exactly(constraint):
    again = parse(str(constraint))
    assert again == constraint
    assert hash(again) == hash(constraint)
    assert str(again) == str(constraint)
    assert from_json(json.loads(json.dumps(to_json(constraint)))) == constraint


@given(st.text(alphabet='abcountwihregx()[]{}&|~,.0123456789"^- \n=', max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_the_place(text):
    try:
        constraint = parse(text)
    except ConditionError as error:
        assert "at character" in str(error) and str(error).endswith("^")
    else:
        assert parse(str(constraint)) == constraint


def test_the_example_of_every_kind():
    assert KINDS.keys() == CLASSES.keys()
    json.dumps(KINDS)
    for name, entry in KINDS.items():
        constraint = parse(entry["example"])
        assert constraint.name == name
        assert str(constraint) == entry["example"]
        assert to_json(constraint).keys() - {"kind"} == entry["fields"].keys()
        if name not in ("and", "or", "not", "within"):
            assert constraint.kind == entry["kind"]


def test_precedence_and_the_two_notations_of_motifs():
    a, b, c = e.Length(1), e.Ban("[P]"), e.Contains("N")
    assert parse("length(1..) | ban([P]) & ~contains(N)") == e.Or((a, e.And((b, e.Not(c)))))
    assert parse("(length(1..) | ban({P}(1))) ".replace("{P}(1)", "[P]") + "& contains(N)") == (a | b) & c
    assert parse("avoid(N-{P}-[ST]-x(2,4)-C)") == e.Avoid("N-[^P]-[ST]-x(2,4)-C.")
    assert parse("length(..4)") == e.Length(0, 4)
    assert parse('contains("Cl"-["Br" C])') == e.Contains([["Cl"], ["Br", "C"]]) == e.Contains('Cl-[C"Br"]')


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("", "expected a constraint such as", 0),
        ("lenght(4)", "got 'lenght'; did you mean length", 0),
        ("length 4", r"expected '\(' after length", 7),
        ("length(4..2)", r"length: expected low ≤ high, got '4..2'", 0),
        ("length(4) avoid(C)", "expected & or | and another constraint", 10),
        ("within(gap1)", "and a constraint after the region", 11),
        ("avoid(N-<C)", r"starts_with\(…\) and ends_with\(…\)", 8),
        ("avoid(N-[A-C])", "write every token of a range", 10),
        ("ban([ST)", r"not closed by '\]'", 4),
        ("ban([])", "at least one token in the set", 4),
        ("ban([P], 4..2)", "a range of positions with low ≤ high", 9),
        ("contains(C(3,2))", r"expected 0 ≤ low ≤ high", 9),
        ("edits(MKV, 2..1)", r"edits: expected low ≤ high, got '2..1'", 0),
        ("identity(MKV, 60..80)", "expected a range of percent such as 60..80%", 14),
        ("identity(MKV, 60..180%)", "identity: expected percent from 0 to 100, got 180", 0),
        ('regex("A)', "Unterminated string", 6),
        ("regex(A)", "expected a pattern in quotes", 6),
        ("count([C], 0..2, width=3)", "expected 'window'", 17),
        ('sum({"K": true}, 0..2)', r"sum: expected weights as \{token: number\}", 0),
        ('sum({"K": 1}, 0..2, step=0)', "a step > 0", 0),
        ("distinct(3)", "at least two positions or two regions", 0),
        ("json_schema([1])", "expected a JSON Schema", 12),
        ("pin(2000000, C)", "a whole number from 0 to 1000000", 0),
        ("(length(4)", r"expected '\)' to close the parenthesis", 10),
    ],
)
def test_mistakes_are_marked_where_they_are(text, message, place):
    with pytest.raises(ConditionError, match=message) as error:
        parse(text)
    mark = str(error.value).splitlines()[-1]
    assert mark == "  " + " " * place + "^"


def test_the_mark_of_a_long_text_stands_under_its_line():
    text = " & ".join(["length(4)"] * 100) + " & nonsense()"
    with pytest.raises(ConditionError) as error:
        parse(text)
    line, mark = str(error.value).splitlines()[-2:]
    assert line[mark.index("^") :].startswith("nonsense")
    assert len(line) < 110


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"\$: expected a constraint, an object with a 'kind'"),
        ({"kind": "lenght"}, r"\$: unknown kind 'lenght'; known: allow, and"),
        ({"kind": "length"}, r"\$: length: expected the fields low, high; missing \['low'\]"),
        ({"kind": "length", "low": 1, "most": 2}, r"unknown \['most'\]"),
        (
            {"kind": "and", "parts": [{"kind": "length", "low": 1}, {"kind": "length", "low": "1"}]},
            r"\$.parts\[1\]: length: expected",
        ),
        ({"kind": "not", "part": 3}, r"\$.part: expected a constraint"),
        ({"kind": "and", "parts": 3}, "and: expected constraints as a list, got 3"),
        ({"kind": "ban", "tokens": {"no": []}}, r"\$.tokens: expected a list of tokens or"),
        ({"kind": "ban", "tokens": [3]}, "expected non-empty strings, got 3"),
        ({"kind": "ban", "tokens": 3}, "a set of tokens: expected text"),
        ({"kind": "avoid", "motif": None}, "a motif: expected text"),
        ({"kind": "words", "words": [["A"]]}, "words: expected at least one text"),
        ({"kind": "tie", "region_a": "A", "region_b": "B", "mapping": [3]}, r"tie: expected a mapping \{token: token\}"),
    ],
)
def test_mistakes_in_json_have_their_path(value, message):
    with pytest.raises(ConditionError, match=message):
        from_json(value)


def test_depth_and_size_are_bounded():
    deep = "~" * 3000 + "length(1)"
    with pytest.raises(ConditionError, match=f"nested more than {MAX_DEPTH} deep"):
        parse(deep)
    with pytest.raises(ConditionError, match=f"nested more than {MAX_DEPTH} deep"):
        parse("within(a, " * (MAX_DEPTH + 3) + "length(1)" + ")" * (MAX_DEPTH + 3))
    value = {"kind": "length", "low": 1}
    for _ in range(40):
        value = {"kind": "not", "part": value}
    with pytest.raises(ConditionError, match=f"nested more than {MAX_DEPTH} deep"):
        from_json(value)
    with pytest.raises(ConditionError, match="more than 1,000 parts"):
        parse("&".join(["length(1)"] * 1001))
    with pytest.raises(ConditionError, match="at most 50,000 characters"):
        parse(" " * 60_000)
    with pytest.raises(ConditionError, match="nested too deeply"):
        parse("json_schema(" + "[" * 40_000)
    with pytest.raises(ConditionError, match="50,000 positions"):
        parse("ban([P], " + ", ".join(["0..40000"] * 9) + ")")
    chain = e.Length(1)
    for _ in range(MAX_DEPTH - 1):
        chain = ~chain
    check_size(chain)
    with pytest.raises(ConditionError, match="nested more than"):
        check_size(~chain)
