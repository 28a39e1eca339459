"""The overhead benchmark runs every sampler, and replays exactly the passes that the sampler made."""

import json

import pytest
import torch

from benchmarks.overhead import Recorder, Size, cases, main, measure, network, processes, replay, run
from seqdiff.embedding import EmbeddedProcess
from seqdiff.samplers.registry import SAMPLERS

TINY = Size(batch=3, length=6, vocabulary=5, embedding=4, width=16, depth=1, heads=2)


@pytest.fixture(scope="module")
def nets():
    return {False: network(TINY), True: network(TINY, TINY.embedding)}


class Counted:
    def __init__(self, net):
        self.net, self.calls = net, []

    def __call__(self, *arguments):
        self.calls.append([a.clone() if isinstance(a, torch.Tensor) else a for a in arguments])
        return self.net(*arguments)


def test_every_sampler_has_a_case():
    assert {name for name, _, _ in cases(TINY)} == set(SAMPLERS)


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind, _ in cases(TINY)])
def test_a_replay_makes_the_calls_of_the_run(nets, name, kind):
    process = processes(TINY)[kind]
    counted = Counted(nets[isinstance(process, EmbeddedProcess)])
    record = Recorder(counted)
    tokens = run(name, process, record, TINY, steps=4)
    assert tokens is not None and int(tokens.min()) >= 0 and int(tokens.max()) < TINY.vocabulary, "every hole is filled"
    made = list(counted.calls)
    assert 0 < len(made) == record.passes == len(record.calls)
    counted.calls.clear()
    replay(counted, record.calls)
    assert all(same(first, again) for first, again in zip(made, counted.calls, strict=True))


def same(first, again):
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a is b for a, b in zip(first, again, strict=True))


def test_a_run_can_be_cut_short(nets):
    row = measure("first-hitting", processes(TINY)["absorbing"], nets[False], TINY, steps=4, repeats=1, passes=2)
    assert row["passes"] == 2


def test_the_script_writes_what_it_measured(tmp_path, capsys):
    out = tmp_path / "overhead.json"
    results = main(
        ["--only", "ancestral", "--repeats", "2", "--threads", str(torch.get_num_threads()), "--out", str(out)], TINY
    )
    (row,) = results["cases"]
    assert json.loads(out.read_text())["cases"] == [row]
    assert row["run_over_replay"] == pytest.approx(row["run_seconds"] / row["replay_seconds"], rel=0.05)
    assert f"ancestral              absorbing  {row['passes']:6}" in capsys.readouterr().out
