"""Training: what is interrupted goes on with the same numbers; what cannot go on says so and loses nothing."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConfigError, TrainingError
from seqdiff.training.build import build, to_checkpoint
from seqdiff.training.config import OptimizerConfig, RunConfig, TrainingConfig, from_table
from seqdiff.training.data import Batches, EncodedData
from seqdiff.training.loop import rate_factor, train

ROOT = Path(__file__).parents[1]


def toy_data() -> EncodedData:
    """500 rows in which every token but the first equals the one before it plus one, modulo 5."""
    random = np.random.default_rng(0)
    rows = [[(first + i) % 5 for i in range(n)] for first, n in random.integers((0, 3), (5, 9), (500, 2)).tolist()]
    return EncodedData.from_rows(Alphabet("toy", tuple("abcde")), rows, [0] * 500, random.random(500) < 0.1, ("all",))


def toy_config(**run) -> TrainingConfig:
    options = {"steps": 60, "batch_tokens": 200, "precision": "fp32", "eval_every": 20, "checkpoint_every": 7} | run
    model = {"width": 32, "depth": 2, "heads": 2}
    return TrainingConfig(model, optimizer=OptimizerConfig(warmup=5, ema=0.9), run=RunConfig(**options))


def run(out: Path, config: TrainingConfig | None = None, data=None, **options):
    config, data = config or toy_config(), data or toy_data()
    network, system = build(config, data)
    return train(network, system, data, config, out, **options)


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from test_training import run
    kill_at = int(sys.argv[2])
    def report(record):
        if record["step"] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
    run(Path(sys.argv[1]), report=report)
"""


def killed(folder: Path, at: int) -> bool:
    """Train in a process that is killed after step `at`."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(folder), str(at)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.run(command, env=environment, timeout=120, check=False).returncode == -signal.SIGKILL


def test_killed_at_any_time_it_goes_on_with_the_numbers_of_an_unbroken_run(tmp_path):
    run(tmp_path / "unbroken")
    assert killed(tmp_path / "killed", 20)
    assert killed(tmp_path / "killed", 50)
    with (tmp_path / "killed" / "log.jsonl").open("a") as log:
        log.write('{"step": 51, "lo')  # what a kill in the middle of a line leaves
    run(tmp_path / "killed")
    one, two = (load_file(tmp_path / name / "train.safetensors") for name in ("unbroken", "killed"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    logs = [
        [
            {k: v for k, v in json.loads(line).items() if k != "seconds"}
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
        ]
        for name in ("unbroken", "killed")
    ]
    assert logs[0] == logs[1]


def test_another_seed_is_another_run(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", toy_config(seed=1))
    one, two = (load_file(tmp_path / name / "train.safetensors") for name in "ab")
    assert not torch.equal(one["ema.head.weight"], two["ema.head.weight"])


def test_it_learns_and_the_held_out_bound_falls(tmp_path):
    records = []
    model, progress = run(tmp_path, toy_config(steps=400, eval_every=50, checkpoint_every=400), report=records.append)
    bounds = [r["bound/all"] for r in records if "bound/all" in r]
    assert bounds[0] > bounds[-1]
    assert bounds[-1] < 0.45, "the law has log 5 nats in its first token and none after it: some 0.3 nats a token"
    assert progress.step == 400
    assert progress.rows_seen > 200


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    run(tmp_path, toy_config(steps=14))
    good = (tmp_path / "train.safetensors").read_bytes()
    config = dataclasses.replace(toy_config(), optimizer=OptimizerConfig(lr=1.0, lr_rest=1.0, warmup=1, clip=1e30))
    data = toy_data()
    network, system = build(config, data)
    poison = {"at": 0}

    def forward(*arguments):
        poison["at"] += 1
        out = type(network).forward(network, *arguments)
        return out * float("nan") if poison["at"] == 3 else out

    network.forward = forward  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match=r"step 16: the loss is nan.*holds the last good checkpoint"):
        train(network, system, data, config, tmp_path)
    assert (tmp_path / "train.safetensors").read_bytes() == good


def test_a_full_disk_stops_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    run(tmp_path, toy_config(steps=14))
    good = (tmp_path / "train.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("seqdiff.training.state.save_file", full)
    with pytest.raises(TrainingError, match="No space left on device.*run the same command again"):
        run(tmp_path)
    assert (tmp_path / "train.safetensors").read_bytes() == good
    assert not list(tmp_path.glob("*.partial"))


def test_missing_damaged_and_foreign_files_are_named(tmp_path):
    with pytest.raises(TrainingError, match="expected a file at .*nowhere.safetensors, found none"):
        EncodedData.load(tmp_path / "nowhere.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not this")
    with pytest.raises(TrainingError, match="bad.safetensors is damaged"):
        EncodedData.load(tmp_path / "bad.safetensors")
    run(tmp_path, toy_config(steps=7))
    with pytest.raises(TrainingError, match="belongs to another run"):
        run(tmp_path, toy_config(batch_tokens=300))
    state = tmp_path / "train.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(TrainingError, match="damaged or of another model"):
        run(tmp_path)


def test_data_with_nothing_to_train_on_is_refused(tmp_path):
    data = dataclasses.replace(toy_data(), held_out=np.ones(500, bool))
    with pytest.raises(TrainingError, match="at least one row that is not held out"):
        run(tmp_path, data=data)


@pytest.mark.parametrize("bucket", [1, 3])
def test_an_epoch_holds_every_training_row_once_in_rows_of_like_length(bucket):
    data = toy_data()
    batches = Batches(data, 64, seed=3, bucket=bucket).epoch(2)
    rows = np.concatenate(batches)
    assert sorted(rows) == sorted(np.flatnonzero(~data.held_out))
    for batch in batches:
        lengths = data.lengths[batch]
        assert lengths.max() - lengths.min() < bucket
        assert lengths.max() * len(batch) <= 64
    again = Batches(data, 64, seed=3, bucket=bucket)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again.epoch(2), strict=True))
    assert not np.array_equal(np.concatenate(again.epoch(3)), rows)


def test_the_rate_warms_up_holds_and_falls_to_zero():
    factors = [rate_factor(step, 100, 10, 0.5) for step in range(101)]
    assert factors[0] == 0.1
    assert factors[9:50] == [1.0] * 41
    assert factors[75] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0)
    assert rate_factor(55, 100, 10, 0.0) == pytest.approx(0.5), "hold = 0 is the plain cosine"


def test_p_of_length_is_that_of_the_training_rows():
    data = toy_data()
    checkpoint = to_checkpoint(*build(toy_config(), data), data, {})
    lengths = data.lengths[~data.held_out]
    expected = np.bincount(lengths, minlength=9) / len(lengths)
    assert np.allclose(checkpoint.length_probability("all").numpy(), expected)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"run": {"stepz": 3}}, "run.stepz: unknown key; expected one of steps"),
        ({"run": {"steps": "many"}}, "run.steps: expected int, got 'many'"),
        ({"run": {"steps": 0}}, "run.steps: expected at least 1, got 0"),
        ({"run": {"precision": "fp8"}}, "run.precision: expected one of fp32, bf16, got 'fp8'"),
        ({"optimizer": {"lr": 3.0}}, "optimizer.lr: expected 0 to 1, got 3.0"),
        ({"optimizer": {"kind": "sgd"}}, "optimizer.kind"),
        ({"optimizer": 3}, "optimizer: expected a table, got int"),
    ],
)
def test_bad_configurations_are_refused(table, message):
    with pytest.raises(ConfigError, match=message):
        from_table(TrainingConfig, table)
