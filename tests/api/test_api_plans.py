"""Requests made ready are kept: what is read and compiled once gives the answers that it gives anew."""

import threading
from dataclasses import fields, replace

import pytest
from api_service import MOLECULE, until
from tiny_model import tiny_checkpoint

from apps.api import plans
from apps.api.engine import Engine
from apps.api.passes import Lane, Stopped
from apps.api.plans import FREE, Plans, key_of
from apps.api.turns import Turns
from domains.design import DesignSpec, design
from seqdiff.errors import ConditionError

SPEC = DesignSpec.from_dict({**MOLECULE, "constraint": "count([O], 1..2)", "bound_draws": 0})
OTHER = {
    "domain": "protein",
    "template": "C{3}",
    "sampler": "ancestral",
    "model": "other",
    "label": "zinc",
    "temperature": 0.5,
    "top_p": 0.5,
    "constraint": None,
    "syntax": True,
    "wishes": ("valid",),
    "particles": 3,
    "guidance": 2.0,
    "task": "linker",
    "lengths": (1, 2),
    "ring_atoms": 12,
    "templates": 3,
    "field_guidance": 2.0,
}


@pytest.fixture(scope="module")
def model():
    return tiny_checkpoint()


@pytest.fixture
def made(monkeypatch):
    """The specs that `prepare` was asked for; it waits for `go`."""
    seen, plain = [], plans.prepare

    def prepare(spec, checkpoint):
        seen.append(spec)
        assert go.wait(30)
        return plain(spec, checkpoint)

    go = threading.Event()
    go.set()
    monkeypatch.setattr(plans, "prepare", prepare)
    return seen, go


def lane() -> Lane:
    lane = Lane(Turns(slice=0.0))
    lane.take_turn()
    return lane


def test_every_field_that_something_is_prepared_by_tells_requests_apart():
    assert {field.name for field in fields(DesignSpec)} == OTHER.keys() | set(FREE)
    base = replace(SPEC, label="chembl", task="extension")
    for name, value in OTHER.items():
        changed = object.__new__(DesignSpec)  # whether it makes sense is not asked here
        changed.__dict__.update(vars(base) | {name: value})
        assert key_of(changed) != key_of(base), name
    assert key_of(replace(SPEC, seed=3, n=9, steps=5, batch_size=2, bound_draws=1)) == key_of(SPEC)
    assert key_of(replace(base, n=9)) != key_of(base), "as many ways to write a task as designs"


def test_requests_that_differ_in_seed_share_what_is_made_ready_and_have_their_own_answers(model, made):
    engine = Engine(active=6, waiting=2, jobs=1, pass_tokens=400)
    try:
        specs = [replace(SPEC, seed=k, n=k + 1) for k in range(6)]
        works = [engine.submit(spec, model, "tiny", 60.0) for spec in specs]
        found = [[item.sequence for item in work.future.result(60).designs] for work in works]
    finally:
        engine.close()
    assert len(made[0]) == 1
    assert found == [[item.sequence for item in design(spec, checkpoint=model).designs] for spec in specs]


def test_who_waits_for_another_can_be_cancelled_and_goes_on_if_that_one_fails(model, made):
    kept, (seen, go), first, second = Plans(), made, lane(), lane()
    bad = replace(SPEC, constraint="within(gap1, count([N], 9..))")
    outcome: dict[str, BaseException] = {}

    def ask(name, by):
        try:
            kept.ready(bad, model, by)
        except BaseException as error:
            outcome[name] = error

    go.clear()
    threads = [threading.Thread(target=ask, args=pair) for pair in (("first", first), ("second", second))]
    threads[0].start()
    until(lambda: seen)
    threads[1].start()
    third = lane()
    third.cancelled.set()
    with pytest.raises(Stopped, match="cancelled"):
        kept.ready(bad, model, third)
    assert len(seen) == 1
    go.set()
    for thread in threads:
        thread.join(30)
    assert isinstance(outcome["first"], ConditionError) and isinstance(outcome["second"], ConditionError)
    assert len(seen) == 2 and kept.known(bad) is None, "what cannot be met is not kept"


def test_what_is_compiled_is_used_by_one_at_a_time(model, made):
    kept, one, other, plain = Plans(), lane(), lane(), lane()
    task = kept.ready(SPEC, model, one)
    assert task.plan is not None and one.uses is task.ways
    again = kept.ready(replace(SPEC, seed=1), model, other)
    assert again.plan is task.plan and other.uses is one.uses and again.spec.seed == 1
    kept.ready(replace(SPEC, constraint=None), model, plain)
    assert plain.uses is None, "there is nothing that two could spoil"


def test_the_last_used_ones_are_kept(model, made):
    kept = Plans(most=2)
    a, b, c = (replace(SPEC, constraint=f"count([O], 1..{k})") for k in (2, 3, 4))
    for spec in (a, b, replace(a, seed=1), c):
        kept.ready(spec, model, lane())
    assert len(made[0]) == 3 and kept.known(b) is None and kept.known(a) and kept.known(c)
