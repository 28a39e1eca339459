"""What constraints compile to, against the plain checker on every word over small alphabets."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from constraints.automata.exploration import Budget
from constraints.compilation.compile import Compiled, compile
from constraints.compilation.feasibility import feasible
from constraints.compilation.layout import Layout
from constraints.language import expression as e
from constraints.language.notation import parse
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

ABC = Alphabet("abc", ("A", "B", "C"))
WIDE = Alphabet("wide", ("C", "Cl", "l"))
CODE = {"A": "B", "B": "A"}


def every_word(vocabulary: int, length: int) -> torch.Tensor:
    words = list(itertools.product(range(vocabulary), repeat=length))
    return torch.tensor(words, dtype=torch.int64).reshape(len(words), length)


def compiled_set(c: Compiled, row: int) -> torch.Tensor:
    """(V^L,) bool: which words the tables accept, one by one as point masses."""
    L, V = c.layouts[row].length, len(c.alphabet)
    words = every_word(V, L)
    p = torch.nn.functional.one_hot(words, V).double()
    rows = torch.full((len(words),), row)
    inside = (c.allowed(rows)[:, :L] | (p == 0)).all(-1).all(-1)
    if c.structure is not None:
        structure = c.structure.rows(rows) if hasattr(c.structure, "rows") else c.structure
        inside &= structure.log_mass(p, c.region[rows][:, :L]).isfinite()
    return inside


def total(c: Compiled, row: int) -> float:
    """How many words there are, by one sum over all of them."""
    L = c.layouts[row].length
    rows = torch.tensor([row])
    p = c.allowed(rows)[:, :L].double()
    if c.structure is None:
        return float(p.sum(-1).prod())
    structure = c.structure.rows(rows) if hasattr(c.structure, "rows") else c.structure
    return float(structure.log_mass(p, c.region[rows][:, :L]).exp())


def agrees(c: Compiled) -> list[torch.Tensor]:
    """Asserts for every row that tables and checker accept the same words; returns them."""
    found = []
    for row, layout in enumerate(c.layouts):
        words = every_word(len(c.alphabet), layout.length)
        expected = c.check(words, torch.full((len(words),), row))
        got = compiled_set(c, row)
        wrong = (expected != got).nonzero().flatten()
        assert not len(wrong), f"row {row}: {c.alphabet.decode(words[wrong[0]])!r} {c.expression} {layout.regions}"
        assert total(c, row) == pytest.approx(int(expected.sum()), abs=1e-9)
        found.append(words[expected])
    return found


LAYOUTS = [
    Layout(4, {"left": (0, 2), "right": (2, 4), "odd": [False, True, False, True]}),
    Layout(5, {"left": (0, 3), "right": (3, 5), "odd": [False, True, False, True, False]}),
    Layout(2, {"left": (0, 0), "right": (0, 2), "odd": [True, False]}),
]
EVERY = [
    "pin(1, B)", "allow([AB])", "allow([^C], 0, 3)", "ban([AB], 1..2)", 'regex("(AB)*C?")', "contains(A-[^B])",
    "avoid(A-x(1,2)-[BC])", "starts_with(A(1,2)-B)", "ends_with(x(0,1)-C)", "contains([AB](2,3)-C)", "count([A], 1..2)",
    "count([AB], ..1, window=2)", "count([A], 1.., window=3)", "length(3..)", "length(..4)",
    'sum({"A": 0.5, "B": -1}, -1..0, step=0.5)',
    "runs([AB], 1)", "runs([^], 2)", 'words("AB", "ABCA", "BB")', "tie(left, right)", "tie(left, right, reverse)",
    'tie(left, right, map={"A": "B", "B": "A"})', "tie(all, all, reverse)", 'tie(all, all, map={"A": "B", "B": "A"}, reverse)',
    'tie(left, right, map={"A": "B"})', 'tie(left, left, map={"A": "B", "B": "A"})', "distinct(0, 2, 3)", "distinct(0..1)",
    "distinct(left, right)", "within(odd, distinct(0..1))", "within(odd, tie(left, right))", "length(9)",
]  # fmt: skip


@pytest.mark.parametrize("text", EVERY)
def test_each_constraint_alone_and_within_a_region(text):
    for constraint in (parse(text), parse(text).within("odd"), parse(text).within("right")):
        agrees(compile(constraint, ABC, LAYOUTS))


@pytest.mark.parametrize("text", [t for t in EVERY if parse(t).kind == e.REGULAR])
def test_each_regular_constraint_negated(text):
    c = compile(parse(text), ABC, LAYOUTS[:1])
    negated = compile(~parse(text), ABC, LAYOUTS[:1])
    assert int(compiled_set(c, 0).sum()) + int(compiled_set(negated, 0).sum()) == 3**4
    agrees(negated)


ids = st.sampled_from(["A", "B", "C"])
sets = st.sets(ids, min_size=1, max_size=2).map(sorted)
motifs = st.lists(st.sampled_from(["A", "[AB]", "[^C]", "x", "C(0,1)", "x(1,2)"]), min_size=1, max_size=3).map("-".join)
spans = st.tuples(st.integers(0, 2), st.integers(0, 2)).map(lambda s: (s[0], s[0] + s[1]))
leaves = st.one_of(
    st.builds(e.Pin, st.integers(0, 4), ids),
    st.builds(e.Ban, sets, st.none() | st.lists(st.integers(0, 4), min_size=1, max_size=2)),
    st.builds(e.Allow, sets, st.none() | st.lists(st.integers(0, 4), min_size=1, max_size=2)),
    st.sampled_from(["A*B", "(AB|C)*", "[^B]{1,3}", ".*", ".?C+"]).map(e.Regex),
    *(st.builds(kind, motifs) for kind in (e.Contains, e.Avoid, e.StartsWith, e.EndsWith)),
    st.builds(lambda t, s, w: e.Count(t, *s, window=w), sets, spans, st.none() | st.integers(1, 3)),
    st.builds(lambda s: e.Length(*s), spans),
    st.builds(lambda w, s: e.Sum(w, s[0] - 1, s[1] - 1), st.dictionaries(ids, st.integers(-2, 2), min_size=1), spans),
    st.builds(e.Runs, sets, st.integers(1, 2)),
    st.just(e.Words(("AB", "C", "CAB"))),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: e.And(tuple(parts))),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: e.Or(tuple(parts))),
        inner.map(e.Not),
        st.builds(e.Within, inner, st.sampled_from(["left", "odd", "all"])),
    ),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(expressions, st.lists(st.booleans(), min_size=4, max_size=4), st.integers(0, 4))
def test_random_expressions_over_regions(expression, odd, cut):
    layouts = [Layout(4, {"left": (0, cut), "odd": odd}), Layout(3, {"left": (1, 3), "odd": odd[:3]})]
    agrees(compile(expression, ABC, layouts))


ties = st.sampled_from(
    ["tie(a, b)", "tie(a, b, reverse)", 'tie(a, b, map={"A": "B", "B": "A"})', "tie(b, c)", "tie(c, a)", "tie(c, c, reverse)"]
)
rest = st.sampled_from(
    ["within(a, contains(A-B))", "within(b, avoid(B))", "within(c, count([A], 1))", "within(d, contains(C))", "ban([C])",
     "pin(3, A)", "distinct(0, 2)", "distinct(1, 4, 5)", "within(a, distinct(0, 1))"]
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(st.lists(ties, min_size=1, max_size=2), st.lists(rest, max_size=2))
def test_ties_with_the_rest_are_exact_or_refused(tied, other):
    layouts = [
        Layout(6, {"a": (0, 2), "b": (2, 4), "c": (4, 6), "d": (5, 6)}),
        Layout(6, {"a": (0, 2), "b": (3, 5), "c": (4, 6), "d": (2, 3)}),
        Layout(4, {"a": (0, 1), "b": (1, 2), "c": (2, 4), "d": (2, 4)}),
    ]
    expression = parse(" & ".join(tied + other))
    try:
        compiled = compile(expression, Alphabet("ab", ("A", "B", "C")), layouts)
    except ConditionError as error:
        assert any(str(part) in str(error) for part in expression.parts) if isinstance(expression, e.And) else False, error
        assert any(why in str(error) for why in ("a copy of an earlier one", "all-different", "depend on one another"))
    else:
        agrees(compiled)


BRACKETS = Alphabet("brackets", ("(", ")", "()", "a"))
DYCK = 'grammar("start: (\\"(\\" start \\")\\" | \\"a\\")*")'


@pytest.mark.parametrize(
    "text",
    [
        DYCK,
        f'{DYCK} & ban(["()"])',
        f"{DYCK} & count([a], 1..2) & avoid(a-a)",
        f"{DYCK} & pin(1, a) & length(2..5)",
        f"within(core, {DYCK} & contains(a)) & ban([a], 0)",
        f"within(core, {DYCK}) & within(core, ~starts_with(a))",
        f"within(core, {DYCK}) & tie(core, rest)",
        f"{DYCK} & contains(a-a-a-a-a-a)",
        'grammar("a: \\"(\\" a | \\"a\\"", a)',
    ],
)
def test_grammars_with_what_goes_with_them(text):
    layouts = [Layout(4, {"core": (0, 2), "rest": (2, 4)}), Layout(5, {"core": (1, 3), "rest": (3, 5)})]
    agrees(compile(parse(text), BRACKETS, layouts))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{DYCK} & within(core, avoid(a))", r"grammar\(.*\) with within\(core, avoid\(a\)\): beside a grammar"),
        (f"{DYCK} & {DYCK.replace('start', 'other', 1)}", "two context-free constraints"),
        (f"~{DYCK}", r"~grammar\(.*\): a context-free constraint under ~ or \|"),
        (f"{DYCK} & distinct(0, 1)", "all-different and maps"),
        ('grammar("start: \\"(\\" stop")', "lark cannot read it"),
    ],
)
def test_grammars_with_what_does_not_go_with_them(text, message):
    with pytest.raises(ConditionError, match=message):
        compile(parse(text), BRACKETS, [Layout(4, {"core": (0, 2)})])


JSON = Alphabet("json", ("[", "]", ",", "0", "1", "null"))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('json_schema({"type": "array", "items": {"enum": [0, 1]}})', "regular"),
        ('json_schema({"type": "array", "items": {"enum": [0, 1]}}) & count([0], 1)', "regular"),
        ('within(left, json_schema({"type": ["integer", "null"]})) & contains("]")', "regular"),
        ('json_schema({"type": "array", "items": {"$ref": "#"}})', "context-free"),
        ('json_schema({"type": "array", "items": {"$ref": "#"}}) & ban([","])', "context-free"),
    ],
)
def test_json_schemas(text, kind):
    """Over tokens with which a value has but one spelling, all that a schema accepts."""
    c = compile(parse(text), JSON, [Layout(4, {"left": (0, 2)}), Layout(5, {"left": (0, 1)}), Layout(2, {"left": (0, 1)})])
    assert kind in c.classes
    assert sum(len(found) for found in agrees(c)) > 1


def test_a_json_schema_is_not_negated():
    with pytest.raises(ConditionError, match=r"~json_schema\(true\): a context-free constraint under ~ or \|"):
        compile(parse("~json_schema(true)"), JSON, [Layout(4)])


def test_symmetric_chains_read_their_motif_once():
    layout = Layout(6, {"A": (0, 3), "B": (3, 6)})
    found = agrees(compile(parse("tie(A, B) & within(A, contains(A-B)) & within(B, count([C], 1))"), ABC, [layout]))
    assert sorted(ABC.decode(x) for x in found[0].tolist()) == ["ABCABC", "CABCAB"]
    both = compile(parse("tie(A, B) & within(A, contains(A-B)) & within(B, contains(A-B))"), ABC, [layout])
    alone = compile(parse("tie(A, B) & within(A, contains(A-B))"), ABC, [layout])
    assert both.automaton.states == alone.automaton.states
    assert (compiled_set(both, 0) == compiled_set(alone, 0)).all()


@pytest.mark.parametrize(
    "text",
    [
        "avoid(A-B) & within(left, contains(C) & ban([B])) & count([A], 2..3)",
        "tie(left, right) & within(right, contains(A-x(0,1)-C)) & ban([B], 0)",
        "distinct(0, 3, 6) & tie(left, right, reverse)",
        'within(left, grammar("start: \\"A\\" start \\"B\\" | \\"C\\"") & starts_with(A)) & within(right, allow([AB]))',
    ],
)
def test_what_is_drawn_satisfies_the_checker(text):
    """300 rows of two layouts under random p, in one call."""
    layouts = [Layout(8, {"left": (0, 3), "right": (3, 6)}), Layout(8, {"left": (1, 4), "right": (5, 8)})] * 150
    c = compile(parse(text), ABC, layouts)
    rows = torch.arange(len(layouts))
    generator = torch.Generator().manual_seed(1)
    p = torch.rand(len(layouts), 8, 3, generator=generator, dtype=torch.float64) ** 4 * c.allowed(rows)
    possible = feasible(c)
    structure = c.structure.rows(rows) if hasattr(c.structure, "rows") else c.structure
    tokens, log_mass = structure.draw(p, torch.rand(len(layouts), 8, generator=generator, dtype=torch.float64), c.region)
    assert torch.equal(log_mass.isfinite(), possible)
    assert possible[::2].all() or possible[1::2].all()
    assert c.check(tokens)[possible].all()
    assert len(tokens[possible].unique(dim=0)) > 20
    assert not c.check(tokens.flip(1).roll(1, 1))[possible].all()


def test_texts_of_several_tokens():
    """ "Cl" is one token or two: a regular expression reads the text, words the tokens that the alphabet cuts."""

    def found(text):
        rows = agrees(compile(parse(text), WIDE, [Layout(1), Layout(2), Layout(3)]))
        return [[" ".join(WIDE.decode_tokens(x)) for x in row.tolist()] for row in rows]

    assert found('regex("CCl|Cl")') == [["Cl"], ["C Cl", "C l"], ["C C l"]]
    assert found('words("CCl", "Cl")') == [["Cl"], ["C Cl"], []]


def test_settled_tokens_are_sets_of_one_and_checked():
    layout = Layout(3, {"gap1": (1, 2)}, torch.tensor([0, 3, 2]))
    c = compile(parse("within(gap1, ban([A]))"), ABC, [layout])
    assert c.structure is None
    assert [ABC.decode(x) for x in every_word(3, 3)[compiled_set(c, 0)].tolist()] == ["ABC", "ACC"]
    assert c.violations(torch.tensor([0, 0, 1]), 0) == ["within(gap1, ban([A]))", "pin(2, C)"]
    assert c.violations(torch.tensor([0, 3, 2]), 0) == ["expected 3 tokens without holes"]
    tilted = c.sets.tilt(torch.zeros(1, 3, 3), None, None)
    assert torch.equal(tilted[0].isfinite(), torch.tensor([[True, False, False], [False, True, True], [False, False, True]]))


def test_violations_name_the_parts_at_the_top():
    c = compile(parse("avoid(A-B) & within(left, ban([C]) & length(2)) & (pin(0, A) | pin(0, B))"), ABC, LAYOUTS[:1])
    assert c.violations(torch.tensor([2, 0, 1, 2]), 0) == [
        "avoid(A-B)", "within(left, ban([C]) & length(2))", "pin(0, A) | pin(0, B)"
    ]  # fmt: skip
    assert c.violations(torch.tensor([0, 0, 2, 2]), 0) == []
    assert c.check(torch.tensor([[2, 0, 1, 2], [0, 0, 2, 2]]), torch.tensor([0, 0])).tolist() == [False, True]


def test_pins_bans_and_lengths_cost_no_states():
    c = compile(parse("pin(0, A) & within(left, ban([C])) & length(2..9) & avoid(A-A)"), ABC, LAYOUTS)
    assert c.automaton.states == compile(parse("avoid(A-A)"), ABC, LAYOUTS).automaton.states == 2
    assert c.classes == "token sets (3) ∧ regular (2 states, 2 token classes)"
    assert compile(None, ABC, LAYOUTS).classes == "nothing asked"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ban([D])", r"ban\(\[D\]\): 'D' is no token of the alphabet 'abc'; it has A B C"),
        ("pin(0, D)", r"pin\(0, D\): 'D' is no token"),
        ("within(gap9, ban([A]))", "unknown region 'gap9'; known: all, left, odd, right"),
        ("ban([A]) | within(gap9, length(1))", "unknown region 'gap9'"),
        ("tie(left, gap9)", "unknown region 'gap9'"),
        ('words("AD")', r'words\("AD"\): abc: no token of the alphabet starts at character 2'),
        ("~tie(left, right)", r"~tie\(left, right\): a relation constraint under ~ or \| is outside"),
        ("length(3) | distinct(0, 1)", r"a relation constraint under ~ or \|"),
        ("tie(all, all, reverse) & avoid(A-B)", r"tie\(all, all, reverse\) with avoid\(A-B\): it reads position 2, a copy"),
        ("distinct(0, 1) & avoid(A-B)", r"distinct\(0..1\) with avoid\(A-B\): all-different"),
        ('tie(left, right, map={"A": "B"}) & avoid(A-B)', "maps that cannot be inverted"),
        ('sum({"A": 1}, 0.2..0.8)', "no multiple of the step lies from 0.2 to 0.8"),
        ("contains([AB](0,19)-[BC](0,19))", "make 400 patterns, at most 256"),
        ('regex("A(?=B)")', "a lookahead"),
    ],
)
def test_what_is_outside_is_refused_by_name(text, message):
    with pytest.raises(ConditionError, match=message):
        compile(parse(text), ABC, LAYOUTS[:1])


def test_a_product_over_budget_is_refused_with_its_parts():
    text = " & ".join(f"count([{t}], 40)" for t in "ABC")
    with pytest.raises(ConditionError, match=r"count\(\[.*\], 40\) & count.*: this combination needs more than 500 states"):
        compile(parse(text), ABC, LAYOUTS[:1], Budget(states=500))
    with pytest.raises(
        ConditionError, match=r"^count\(\[A\], 3\.\., window=12\): a window of 12 positions needs more than 500 states"
    ):
        compile(parse("ban([B], 3) & count([A], 3.., window=12)"), ABC, LAYOUTS[:1], Budget(states=500))


def test_layouts_refuse_what_does_not_fit():
    for regions, message in [
        ({"all": (0, 1)}, "'all' is the whole row"),
        ({"a": (2, 5)}, r"expected 0 ≤ start ≤ stop ≤ 4, got \(2, 5\)"),
        ({"a": [True]}, "expected 4 positions"),
    ]:
        with pytest.raises(ConditionError, match=message):
            Layout(4, regions)
    with pytest.raises(ConditionError, match="expected 4 settled tokens"):
        Layout(4, tokens=torch.zeros(3))
    with pytest.raises(ConditionError, match="at least one row"):
        compile(None, ABC, [])
    assert np.array_equal(Layout(4, {"a": (1, 3)}).mask(("a",)), [False, True, True, False])
