"""Turns to compute: one at a time in the order of coming, passes last, long ones overtaken, what is shared never twice."""

import threading
import time

import pytest
from api_service import until

from apps.api.turns import Turns


@pytest.fixture
def turns():
    turns = Turns(slice=3600.0)
    yield turns
    turns.close()


def waiting(turns, name, order, take=None, uses=None):
    """A thread that waits for a turn, notes its name, and gives the turn back; it is in the line when this returns."""

    def run():
        turn = take() if take else turns.take(uses)
        order.append(name)
        turns.give(turn)

    before = len(turns._line) + (turns._last is not None)
    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: len(turns._line) + (turns._last is not None) > before)
    return thread


def test_one_at_a_time_in_the_order_of_coming_and_the_pass_when_nobody_else_can(turns):
    held, order = turns.take(), []
    threads = [waiting(turns, "pass", order, turns.take_last)]
    threads += [waiting(turns, name, order) for name in "abc"]
    time.sleep(0.01)
    assert order == []
    turns.give(held)
    for thread in threads:
        thread.join(10)
    assert order == ["a", "b", "c", "pass"]


def test_a_turn_that_takes_longer_than_a_slice_is_overtaken_but_not_by_who_uses_the_same(turns):
    turns.slice = 0.01
    plan, order = object(), []
    held = turns.take(plan)
    same = waiting(turns, "same", order, uses=plan)
    other = threading.Thread(target=lambda: (turns.give(turns.take(object())), order.append("other")))
    other.start()
    other.join(10)
    assert order == ["other"] and same.is_alive()
    turns.give(held)
    same.join(10)
    assert order == ["other", "same"]


def test_a_pass_is_not_overtaken(turns):
    turns.slice = 0.001
    held, order = turns.take_last(), []
    thread = waiting(turns, "a", order)
    time.sleep(0.05)
    assert order == []
    turns.give(held)
    thread.join(10)
    assert order == ["a"]
