"""Times that training learns: part of what a restart restores, the same in every process, and no change of the mean."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_training import ROOT, run, toy_config, toy_data

from seqdiff.errors import ConfigError, TrainingError
from seqdiff.systems.base import Rows
from seqdiff.systems.d3pm import D3PM
from seqdiff.times import WarpedTimes
from seqdiff.training.build import build
from seqdiff.training.config import TrainingConfig, from_table, with_table

LAWS = {
    "importance": {"kind": "importance", "bins": 4, "history": 3},
    "warped": {"kind": "warped", "bins": 4, "weighted": False},
}
UNIFORM = {"kind": "uniform"}
ALL = {"uniform": UNIFORM, **LAWS}


def config(times: dict, steps: int = 36) -> TrainingConfig:
    return replace(toy_config(steps=steps, eval_every=steps), times=times)


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from test_training_times import ALL, config, run
    steps, kill_at = map(int, sys.argv[1:3])
    def report(record):
        if record["step"] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    for folder in map(Path, sys.argv[3:]):
        run(folder, config(ALL[folder.name], steps), report=report)
"""


def start(steps: int, kill_at: int, *folders: Path, **environment) -> subprocess.Popen:
    """A process that trains in each folder under the law of the folder's name."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(steps), str(kill_at), *map(str, folders)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"} | environment)


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def broken_off(folder: Path, law: str) -> None:
    """Killed at step 30 for warped times; for importance stopped there, which is faster to test."""
    if law == "warped":
        assert start(36, 30, folder).wait(120) == -signal.SIGKILL
    else:
        seen: list[int] = []
        run(folder, config(LAWS[law]), stop=lambda: seen.append(0) or len(seen) == 30)
    assert "times.count" in load_file(folder / "train.safetensors")


@pytest.mark.parametrize("law", LAWS)
def test_broken_off_it_goes_on_with_the_times_it_had_learnt(law, tmp_path):
    run(tmp_path / "unbroken", config(LAWS[law]))
    broken_off(tmp_path / "broken" / law, law)
    run(tmp_path / "broken" / law, config(LAWS[law]))
    one, two = (load_file(tmp_path / name / "train.safetensors") for name in ("unbroken", f"broken/{law}"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert losses(tmp_path / "unbroken") == losses(tmp_path / "broken" / law)
    run(tmp_path / "uniform", config(UNIFORM))
    assert losses(tmp_path / "uniform")[-1] != losses(tmp_path / "unbroken")[-1]


def test_two_processes_take_the_steps_of_one_and_learn_its_times(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    one, two = tmp_path / "one", tmp_path / "two"
    workers = [start(12, -1, two / "uniform", two / "warped", **address, RANK=str(rank)) for rank in range(2)]
    for name in ("uniform", "warped"):
        run(one / name, config(ALL[name], 12))
    assert [worker.wait(120) for worker in workers] == [0, 0]
    by_one, by_two = (
        [json.loads(line) for line in (folder / "uniform" / "log.jsonl").read_text().splitlines()] for folder in (one, two)
    )
    assert [r["step"] for r in by_one] == [r["step"] for r in by_two] == [10, 12]
    assert by_one[0]["loss"] == pytest.approx(by_two[0]["loss"], rel=1e-3)  # later, rounding is amplified by the steps
    assert by_one[-1]["bound/all"] == pytest.approx(by_two[-1]["bound/all"], rel=0.02)
    by_one, by_two = (load_file(folder / "warped" / "train.safetensors") for folder in (one, two))
    assert torch.equal(by_one["times.count"], by_two["times.count"])
    assert torch.allclose(by_one["times.mean"], by_two["times.mean"], rtol=0.02)


def test_a_run_does_not_go_on_under_another_law(tmp_path):
    for before, after in ((UNIFORM, LAWS["warped"]), (LAWS["warped"], LAWS["importance"]), (LAWS["importance"], UNIFORM)):
        folder = tmp_path / before["kind"]
        run(folder, config(before))
        with pytest.raises(TrainingError, match="belongs to another run"):
            run(folder, config(after))


def test_the_weighted_objective_has_the_mean_of_uniform_times():
    """A law learnt from steep losses draws other times; the loss, weighted, has the same mean, and unweighted not."""
    B = 20_000
    network, system = build(toy_config(), toy_data())
    x_0 = torch.randint(5, (B, 1), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.head.bias.copy_(torch.tensor([2.0, 0.0, 0.0, 0.0, 0.0]))  # type: ignore[operator, union-attr]
    rows = Rows(x_0, torch.zeros(B, dtype=torch.int64), torch.ones(B, dtype=torch.int64), torch.arange(B), B, False, 0, 0)
    law = WarpedTimes(8)
    t, _ = rows.batch_times()
    law.record(t, t**4)
    warped = replace(rows, law=law)
    with torch.no_grad():
        plain, other = (torch.stack(list(system.terms(network, r).values())).sum(0) for r in (rows, warped))
    weighted = warped.time_weights() * other
    error = float((plain.var() + weighted.var()).sqrt()) / B**0.5
    assert abs(float(weighted.mean() - plain.mean())) < 4 * error
    assert abs(float(other.mean() - plain.mean())) > 20 * error


def test_the_configuration_is_checked(tmp_path):
    table = {"times": {"kind": "warped"}, "system": "d3pm-uniform", "options": {"steps": 16, "auxiliary": 1}}
    checked = from_table(TrainingConfig, table)
    _, system = build(checked, toy_data())
    assert isinstance(system, D3PM)
    assert (system.steps, system.auxiliary) == (16, 1.0)
    with pytest.raises(ConfigError, match="options.stepz: unknown key; expected one of process, steps"):
        build(replace(checked, options={"stepz": 3}), toy_data())
    with pytest.raises(ConfigError, match="options.steps: expected int, got 'many'"):
        with_table(system, {"steps": "many"}, "options")
    with pytest.raises(ConfigError, match="times: expected kind to be one of uniform"):
        run(tmp_path, config({"kind": "fast"}))
