"""What cannot be satisfied is refused before sampling, with a conflict that is one and holds nothing superfluous."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from constraints import Gap, Template
from constraints.compilation.compile import compile, conjuncts
from constraints.compilation.feasibility import Infeasible, explain, feasible, feasible_lengths, irreducible, require_feasible
from constraints.compilation.layout import Layout
from constraints.language import expression as e
from constraints.language.notation import parse
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError
from tests.test_compile import ABC, LAYOUTS, every_word

PARTS = [
    "pin(0, A)", "pin(1, B)", "ban([A])", "ban([B], 1..2)", "avoid(A-B)", "contains(A-B)", "contains(C-C)", "count([C], 0..1)",
    "count([B], 2..)", 'regex("(AB|C)*")', "starts_with(B)", "ends_with([^A])", "length(2..3)", "runs([^], 1)",
    "within(left, ban([C]) & contains(C))", "within(left, count([A], 1..))", "within(right, allow([A]))", "~contains(B)",
    'sum({"A": 1, "B": -1}, 0..0, step=1)',
]  # fmt: skip
RELATIONS = [
    "tie(left, right)",
    "pin(0, A)",
    "pin(2, B)",
    "pin(3, B)",
    "ban([A])",
    "within(left, contains(A-B))",
    "ban([C], 1)",
]


def possible(parts, layouts) -> bool:
    """By the checker, on every word."""
    for layout in layouts:
        words = every_word(3, layout.length)
        regions = {name: layout.places((name,)) for name in layout.regions}
        settled = [] if layout.tokens is None else [(i, v) for i, v in enumerate(layout.tokens.tolist()) if v < 3]
        for x in words.tolist():
            names = [ABC.tokens[v] for v in x]
            if all(x[i] == v for i, v in settled) and all(e_holds(part, names, regions) for part in parts):
                return True
    return False


def e_holds(part, names, regions):
    from constraints.language.check import holds

    return holds(part, names, regions, ABC)


def bare(layout: Layout) -> Layout:
    return Layout(layout.length, {name: mask for name, mask in layout.regions.items() if name != "all"})


def check_conflict(texts, layouts):
    expression = parse(" & ".join(texts))
    compiled = compile(expression, ABC, layouts)
    everything = [part for part, _ in conjuncts(expression)]
    parts = expression.parts if isinstance(expression, e.And) else (expression,)
    assert feasible(compiled).tolist() == [possible(parts, [layout]) for layout in layouts]
    if possible(parts, layouts):
        assert require_feasible(expression, ABC, layouts).layouts == tuple(layouts)
        with pytest.raises(ConditionError, match="cannot hold together, but they can"):
            explain(expression, ABC, layouts)
        return
    with pytest.raises(Infeasible) as error:
        require_feasible(expression, ABC, layouts)
    conflict = [None if text.startswith("the pinned") else parse(text) for text in error.value.conflict]

    def ok(chosen):
        return possible([part for part in chosen if part is not None], layouts if None in chosen else [*map(bare, layouts)])

    assert conflict and len(conflict) <= len(everything) + 1
    assert not ok(conflict)
    for i in range(len(conflict)):
        assert ok(conflict[:i] + conflict[i + 1 :])
    assert all(text in str(error.value) for text in error.value.conflict)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(PARTS), min_size=2, max_size=5, unique=True), st.booleans())
def test_conflicts_are_conflicts_and_irreducible(texts, settled):
    layout = Layout(4, {"left": (0, 2), "right": (2, 4)}, torch.tensor([3, 2, 3, 0]) if settled else None)
    check_conflict(texts, [layout, Layout(2, {"left": (0, 1), "right": (1, 2)})])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(RELATIONS), min_size=2, max_size=5, unique=True))
def test_conflicts_with_ties(texts):
    check_conflict(texts, [Layout(4, {"left": (0, 2), "right": (2, 4)})])


@given(st.integers(1, 12), st.lists(st.sets(st.integers(0, 11), min_size=1, max_size=4), min_size=1, max_size=5))
def test_quickxplain_finds_a_minimal_conflict(n, conflicts):
    calls = []

    def ok(chosen):
        calls.append(1)
        return not any(conflict <= set(chosen) for conflict in conflicts)

    members = list(range(n))
    if ok(members):
        return
    found = irreducible(members, ok)
    assert not ok(found)
    assert all(ok([m for m in found if m != member]) for member in found)
    assert len(calls) <= 2 + 4 * len(found) * (1 + max(1, n // len(found)).bit_length()) + len(found)


@pytest.mark.parametrize(
    ("text", "conflict", "position"),
    [
        ("pin(0, A) & pin(2, B) & ban([A], 0..1)", ["pin(0, A)", "ban([A], 0..1)"], 0),
        ("avoid(A-B) & pin(1, A) & pin(2, B) & ban([C], 3)", ["avoid(A-B)", "pin(1, A)", "pin(2, B)"], 2),
        ("count([C], 3..) & ban([C], 1..2) & runs([A], 2)", ["count([C], 3..)", "ban([C], 1..2)"], 2),
        ("contains(A-B) & ~contains(A)", ["contains(A-B)", "~contains(A)"], None),
        ("within(left, length(3)) & pin(0, A)", ["within(left, length(3))"], None),
        ("pin(7, A)", ["pin(7, A)"], None),
        ("distinct(0, 2) & pin(0, A) & ban([BC])", ["distinct(0, 2)", "ban([BC])"], 2),
        (
            "within(left, ban([AC]) & count([A], 1..) & ban([B], 3))",
            ["within(left, ban([AC]))", "within(left, count([A], 1..))"],
            1,
        ),
    ],
)
def test_conflict_and_position(text, conflict, position):
    with pytest.raises(Infeasible) as error:
        require_feasible(parse(text), ABC, LAYOUTS[:1])
    assert list(error.value.conflict) == conflict
    assert error.value.position == position
    assert ("It shows at position" in str(error.value)) == (position is not None)


def test_the_message_says_what_to_do():
    layout = Layout(3, {}, torch.tensor([0, 3, 2]))
    with pytest.raises(Infeasible) as error:
        require_feasible(parse("avoid(C) & runs([A], 2)"), ABC, [layout])
    assert str(error.value) == (
        "no sequence of 3 tokens can satisfy these together:\n  • avoid(C)\n  • the pinned tokens of the template\n"
        "It shows at position 2 (counting from 0): nothing fits there any more.\n"
        "Leave out or loosen any one of the 2: the others can hold together."
    )
    with pytest.raises(
        Infeasible, match=r"no sequence of 4 to 5 tokens can meet this, whatever else is asked:\n  • length\(9\)\nLoosen"
    ):
        require_feasible(parse("length(9) & ban([A])"), ABC, LAYOUTS[:2])


def test_the_gap_lengths_that_work():
    template = Template(((0,), Gap(0, 3), (1,), Gap(1, 2)))
    found = feasible_lengths(template, parse("count([B], 2) & within(gap1, ban([B]) & avoid(C-C)) & length(4..6)"), ABC)
    assert found.complete and found.total == 8
    assert found.possible == ((0, 2), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1))
    tied = feasible_lengths(template, parse("tie(gap1, gap2)"), ABC)
    assert tied.possible == ((1, 1), (2, 2))
    assert str(tied) == "gap1: 1..2; gap2: 1..2"
    assert str(feasible_lengths(template, parse("~within(gap1, length(1..2))"), ABC)) == "gap1: 0, 3; gap2: 1..2"
    every = [(a, b) for a in range(4) for b in (1, 2)]
    assert feasible_lengths(template, None, ABC).possible == tuple(every)
    motif = parse("within(core, contains(C-C-C))")
    found = feasible_lengths(template, motif, ABC, regions=lambda lengths: {"core": (0, 1 + lengths[0])})
    assert found.possible == ((3, 1), (3, 2))


def test_no_gap_length_works():
    template = Template(((0,), Gap(0, 3), (1,)))
    with pytest.raises(Infeasible, match="No choice of gap lengths helps.") as error:
        feasible_lengths(template, parse("avoid(A) & runs([C], 2)"), ABC)
    assert error.value.possible_lengths == ()
    assert error.value.conflict == ("avoid(A)", "the pinned tokens of the template")


def test_too_many_gap_lengths_are_sampled_and_it_is_said():
    template = Template((Gap(1, 20), (0,), Gap(1, 20)))
    found = feasible_lengths(template, parse("length(5..)"), ABC, most=50)
    assert (found.tried, found.total, found.complete) == (50, 400, False)
    assert found.possible[-1] == (20, 20)
    assert str(found).startswith("gap1: 1..20; gap2: ") and str(found).endswith(" (50 of 400 combinations were tried)")
    assert len({a for a, _ in found.possible}) == 20
    with pytest.raises(Infeasible, match=r"\(50 of 400 combinations were tried\)"):
        feasible_lengths(template, parse("length(99)"), ABC, most=50)


def test_a_long_row_without_underflow():
    """Reachability, not mass: 400 positions over 50 tokens, with one word."""
    letters = Alphabet("many", tuple(chr(0x4E00 + i) for i in range(50)))
    word = "".join(letters.tokens[i % 50] for i in range(400))
    layout = [Layout(400)]
    assert feasible(compile(e.Words((word,)), letters, layout)).tolist() == [True]
    with pytest.raises(Infeasible) as error:
        require_feasible(e.Words((word,)) & e.Pin(399, letters.tokens[0]), letters, layout)
    assert error.value.position == 399
