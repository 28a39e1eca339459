"""Continuous batching: requests share passes, and no answer depends on its company; with a control that must fail."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from api_service import LONG, MOLECULE, until
from tiny_model import tiny_checkpoint

from apps.api import passes
from apps.api.engine import Engine
from apps.api.errors import Refused
from apps.api.passes import Lane, Passes, Shared, Stopped
from apps.api.turns import Turns
from domains.design import DesignSpec, design
from seqdiff.errors import ConditionError

FREELY = Turns(slice=0.0)  # everyone at once
FIXED = {**MOLECULE, "template": "C1CC1N{3}c2ccc(F)cc2", "bound_draws": 0}
MIXED = [
    {**FIXED, "n": 3, "seed": 1},
    {**FIXED, "n": 5, "seed": 2, "steps": 40, "sampler": "ancestral"},
    {**FIXED, "n": 2, "seed": 3, "label": "zinc", "guidance": 3.0},
    {**FIXED, "n": 4, "seed": 4, "constraint": "count([O], 1..2)", "sampler": "remasking"},
    {**FIXED, "n": 2, "seed": 5, "wishes": ["valid"], "particles": 4},
    {**MOLECULE, "n": 6, "seed": 6, "sampler": "first-hitting", "temperature": 0.8},
]


@pytest.fixture(scope="module")
def model():
    return tiny_checkpoint()


@pytest.fixture
def engine():
    engine = Engine(active=6, waiting=2, jobs=1, pass_tokens=400)
    yield engine
    engine.close()


def sequences(found):
    return [item.sequence for item in found.designs]


def together(engine, model, tables):
    works = [engine.submit(DesignSpec.from_dict(table), model, "tiny", 60.0) for table in tables]
    return [sequences(work.future.result(60)) for work in works]


def test_requests_of_all_kinds_share_passes_and_have_the_answers_that_they_have_alone(model, engine):
    alone = [sequences(design(DesignSpec.from_dict(table), checkpoint=model)) for table in MIXED]
    assert together(engine, model, MIXED) == alone
    assert together(engine, model, MIXED[::-1]) == alone[::-1]
    assert engine.passes.calls > 1.2 * engine.passes.runs, "several calls a pass"
    assert len({tuple(made) for made in alone}) == len(MIXED)


def test_a_pass_that_mixes_rows_up_would_be_caught(model, engine, monkeypatch):
    """The negative control: a row that sees its company gives other answers than alone, and the comparison above fails."""
    alone = [sequences(design(DesignSpec.from_dict(table), checkpoint=model)) for table in MIXED]
    plain = passes.forward

    def leaky(group):
        parts = plain(group)
        return [part + 3.0 * parts[0][:1, :1] for part in parts] if len(group) > 1 else parts

    monkeypatch.setattr(passes, "forward", leaky)
    assert together(engine, model, MIXED) != alone


def lane() -> Lane:
    """A request that has its turn; it shares none with the passes, which a test may hold up."""
    lane = Lane(FREELY)
    lane.take_turn()
    return lane


class Recorder:
    """A network that says of each row what it was, and keeps the sizes of its passes; the first waits for `gate`."""

    labels, needs_time = 0, False

    def __init__(self):
        self.sizes, self.gate = [], threading.Event()

    def __call__(self, x_t, positions=None):
        self.sizes.append([int(row[0]) for row in x_t])
        self.gate.wait(30)
        if bool((x_t == 666).any()):
            raise ValueError("a poisoned row")
        out = x_t.unsqueeze(-1).double()
        return out if positions is None else out.gather(1, positions.unsqueeze(-1))


@pytest.fixture
def desk():
    """A network whose first pass, of one row 1, stands still; `ask` more and they wait; `go` lets all pass."""
    network, shared, pool = Recorder(), Passes(Turns(), tokens=8 * 4), ThreadPoolExecutor(8)
    futures = []

    class Desk:
        sizes, passes, model = network.sizes, shared, network

        @staticmethod
        def ask(*args, model="m", by=None, **more):
            futures.append(pool.submit(Shared(network, model, shared, by or lane()), *args, **more))
            until(lambda: network.sizes and len(shared._waiting) == len(futures) - 1)
            return futures[-1]

        @staticmethod
        def go():
            network.gate.set()
            for future in futures:
                future.exception(30)
            return network.sizes[1:]

    yield Desk
    network.gate.set()
    pool.shutdown()
    shared.close()


def rows(name: int, count: int, length: int = 4):
    return torch.full((count, length), name) + torch.arange(length)


def test_turns_go_round_by_request_and_a_pass_is_bounded(desk):
    desk.ask(rows(1, 1))
    large, small = desk.ask(rows(100, 20)), desk.ask(rows(7, 2))
    assert desk.go() == [[100] * 8, [7] * 2 + [100] * 6, [100] * 6], "the small one did not wait for all of the large one"
    assert large.result()[:, :, 0].tolist() == rows(100, 20).tolist() and small.result()[:, 0, 0].tolist() == [7, 7]


def test_positions_of_unlike_number_share_a_pass(desk):
    desk.ask(rows(1, 1))
    one = desk.ask(rows(10, 1), positions=torch.tensor([[1]]))
    two = desk.ask(rows(20, 2), positions=torch.tensor([[0, 2, 3], [3, 3, 1]]))
    assert desk.go() == [[10, 20, 20]]
    assert one.result()[..., 0].tolist() == [[11]] and two.result()[..., 0].tolist() == [[20, 22, 23], [23, 23, 21]]


def test_rows_of_other_lengths_or_models_never_meet(desk):
    desk.ask(rows(1, 1))
    desk.ask(rows(2, 1), model="other")
    desk.ask(rows(3, 1, 5))
    desk.ask(rows(4, 1))
    desk.ask(rows(5, 1), model="other")
    assert desk.go() == [[2, 5], [3], [4]]


def test_a_row_that_breaks_the_network_breaks_its_own_request_alone(desk):
    desk.ask(rows(1, 1))
    bad, good = desk.ask(rows(666, 1)), desk.ask(rows(5, 1))
    assert desk.go() == [[666, 5], [666], [5]]
    assert isinstance(bad.exception(), ValueError) and good.result()[0, 0, 0] == 5
    assert Shared(desk.model, "m", desk.passes, lane())(rows(9, 1))[0, 0, 0] == 9, "the thread goes on"


def test_a_call_that_was_given_up_is_not_computed(desk):
    by = lane()
    desk.ask(rows(1, 1))
    given_up = desk.ask(rows(2, 1), by=by)
    by.cancelled.set()
    assert isinstance(given_up.exception(30), Stopped)
    assert desk.go() == []


def test_the_line_is_bounded_and_a_failed_request_ends_nothing(model, engine):
    bad = engine.submit(DesignSpec.from_dict({**FIXED, "constraint": "within(gap1, length(9))"}), model, "tiny", 60.0)
    with pytest.raises(ConditionError):
        bad.future.result(60)
    works = [engine.submit(DesignSpec.from_dict(LONG), model, "tiny", 60.0) for _ in range(8)]
    with pytest.raises(Refused, match="requests are waiting") as refused:
        engine.submit(DesignSpec.from_dict(FIXED), model, "tiny", 60.0)
    assert refused.value.status == 429 and refused.value.headers["Retry-After"] == "2"
    for work in works:
        work.cancel()
    for work in works:
        with pytest.raises(Stopped, match="cancelled"):
            work.future.result(60)
    assert engine.load == 0
    assert together(engine, model, [FIXED]) == [sequences(design(DesignSpec.from_dict(FIXED), checkpoint=model))]


def test_a_request_stops_within_two_passes_of_its_cancelling_and_at_the_end_of_its_time(model, engine):
    seen, reached = [], threading.Event()

    def watch(state):
        seen.append(1)
        if len(seen) == 5:
            reached.set()

    work = engine.submit(DesignSpec.from_dict(LONG), model, "tiny", 60.0, watch)
    reached.wait(30)
    at = len(seen)
    work.cancel()
    with pytest.raises(Stopped, match="cancelled"):
        work.future.result(30)
    assert len(seen) <= at + 2
    late = engine.submit(DesignSpec.from_dict(LONG), model, "tiny", 0.1)
    with pytest.raises(Stopped, match="time"):
        late.future.result(30)
