"""Sets of tokens by number against what each position may hold, token by token."""

import numpy as np
import pytest
import torch

from constraints.automata.chain import Chain
from constraints.automata.exploration import at_most
from constraints.automata.regular import window_count
from constraints.compilation import feasibility
from constraints.compilation.compile import compile
from constraints.compilation.feasibility import explain
from constraints.compilation.layout import Layout
from constraints.condition import places
from constraints.language.notation import parse
from constraints.token_sets import Numbered, distinct
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError
from seqdiff.samplers.state import Query, State
from tests.test_chain import random_automaton

ABCD = Alphabet("abcd", tuple("ABCD"))


def test_a_set_has_one_number_and_meets_are_intersections():
    numbered, some = Numbered(9), np.arange(9) < 5
    a, b = numbered.number(some), numbered.number(np.arange(9) > 3)
    assert numbered.number(some.copy()) == a and numbered.meet(0, a) == a == numbered.meet(a, a)
    assert np.flatnonzero(numbered.sets[numbered.meet(a, b)]).tolist() == [4]
    assert numbered.meet(b, a) == numbered.meet(a, b) and len(numbered.sets) == 4


def test_many_sets_at_one_position_leave_what_all_of_them_have():
    settled = torch.tensor([4, 2, 4, 4, 0, 4])
    layouts = [Layout(6, {"X": (2, 5)}, settled), Layout(4, {"X": (1, 3)}), Layout(5, {"X": (0, 3)})]
    asked = "ban([D]) & within(X, allow([AD]) & ban([A], 0)) & allow([ABC], 0) & length(4..6) & within(X, length(3))"
    compiled = compile(parse(asked), ABCD, layouts)
    texts = [
        ["".join(ABCD.tokens[v] for v in places.nonzero().flatten().tolist()) for places in row]
        for row in compiled.allowed(torch.arange(3))
    ]
    assert texts[0] == ["ABC", "C", "", "A", "A", "ABC"]
    assert texts[1][:4] == [""] * 4, "the region is too short"
    assert texts[2][:5] == ["", "A", "A", "ABC", "ABC"]
    assert len(compiled.set_table) == len({bytes(row.numpy()) for row in compiled.set_table}), "each once"
    assert bool(compiled.set_table[0].all())
    index, table = distinct(compiled.allowed(torch.arange(3)))
    assert torch.equal(table[index], compiled.allowed(torch.arange(3)))


@pytest.mark.parametrize("regions", [1, 2])
def test_what_can_be_filled_is_told_by_sets_as_by_tokens(regions):
    r = np.random.default_rng(regions)
    automaton = random_automaton(3, states=12, classes=6, vocabulary=8, regions=regions, dead=0.4)
    allowed = torch.as_tensor(r.random((200, 7, 8)) < 0.25)
    region = torch.as_tensor(r.integers(0, regions, (200, 7))) if regions > 1 else None
    chain = Chain(automaton)
    found = chain.possible_among(*distinct(allowed), region)
    assert torch.equal(found, chain.possible(allowed, region)) and 0 < int(found.sum()) < 200


def test_runs_of_each_of_many_tokens_are_refused_before_they_take_memory():
    words = Alphabet("words", tuple(f"w{i}" for i in range(8000)))
    with pytest.raises(ConditionError, match=r"runs: 8,000 tokens, each counted by itself up to 3, need 192,\d+,\d+ transi"):
        compile(parse("runs([^], 3)"), words, [Layout(6)])
    assert compile(parse("runs([w1 w2], 3)"), words, [Layout(6)]).automaton.states == 7


def test_a_query_that_says_no_positions_is_refused():
    state = State.start(torch.full((1, 3), 4), 0, torch.arange(1))
    with pytest.raises(ConditionError, match="expected a query with `positions` and `open`, got none of `open`"):
        places(Query(state, None, torch.ones(1), torch.arange(3).expand(1, 3)))


def test_a_rare_token_in_a_wide_window_needs_few_states():
    """What stood in the first, unfinished window is counted no further than it matters."""
    assert window_count(20, {1}, 20, 0, 1).states <= 230
    assert window_count(20, {1}, 40, 39, 40).states <= 1000
    for word in ((0,) * 19 + (1,) + (0,) * 19 + (1,), (1, 1)):
        assert window_count(2, {1}, 20, 0, 1).accepts(word)
    for word in ((1,) + (0,) * 18 + (1,), (1, 1) + (0,) * 18):
        assert not window_count(2, {1}, 20, 0, 1).accepts(word)


@pytest.mark.parametrize(
    "text",
    [
        'tie(A, B, map={"A": "U", "C": "G", "G": "C", "U": "A"}, reverse)',
        "tie(A, B) & within(A, contains(A-C)) & avoid(G-G-U)",
        "tie(all, all, reverse)",
    ],
)
def test_what_can_be_filled_under_ties_is_told_by_sets_as_by_tokens(text):
    rna, r = Alphabet("rna", tuple("ACGU")), np.random.default_rng(2)
    layouts = [Layout(8, {"A": (0, 3), "B": (4, 7)})] * 60 + [Layout(8, {"A": (0, 3), "B": (5, 8)})] * 60
    compiled = compile(parse(text.replace("avoid(G-G-U)", "within(A, avoid(G-G-U))")), rna, layouts)
    sets = torch.as_tensor(r.random((120, 8, 4)) < 0.45)
    structure = compiled.structure
    structure = structure.rows(torch.arange(120)) if hasattr(structure, "rows") else structure
    found = structure.possible_among(*distinct(sets), compiled.region)
    assert torch.equal(found, structure.log_mass(sets.double(), compiled.region).isfinite())
    assert 0 < int(found.sum()) < 120
    if "tie(all" not in text:
        assert len(structure.structures) == 2 and len(structure.structures[0].maps) == (2 if "map" in text else 1)


def test_a_request_has_so_many_seconds_for_all_it_constructs():
    refused = pytest.raises(ConditionError, match="a window of 13 positions needs more than the 0 seconds that a request has")
    with refused, at_most(0.0), at_most(60.0):
        window_count(3, {1}, 13, 3, 9)
    assert not window_count(3, {1}, 4, 1, 2).is_empty, "outside there is no limit but its own"


def test_a_conflict_that_could_not_be_looked_at_is_not_said_to_be_the_least(monkeypatch):
    asked = parse("contains(A-B) & ban([A]) & runs([^], 2)")
    least = explain(asked, ABCD, [Layout(6)])
    assert least.conflict == ("contains(A-B)", "ban([A])") and "the others can hold together" in str(least)
    usual = feasibility.compile

    def slow(expression, *more):
        if "contains" in str(expression) and "runs" not in str(expression):
            raise ConditionError("takes too long")
        return usual(expression, *more)

    monkeypatch.setattr(feasibility, "compile", slow)
    unsure = explain(asked, ABCD, [Layout(6)])
    assert unsure.position is None or unsure.position >= 0
    assert {"contains(A-B)", "ban([A])"} <= set(unsure.conflict) and "Fewer of them may be to blame" in str(unsure)
