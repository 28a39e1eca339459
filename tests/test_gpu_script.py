"""The GPU script on a CPU: slices that go on, parts that fit, results that say what was done."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks import prepare
from benchmarks.gpu import parts
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.budget import Budget
from benchmarks.gpu.training import make_plan
from benchmarks.ways import event, plain, textbook
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import load_checkpoint
from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.errors import ConfigError, TrainingError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.state import State
from seqdiff.schedules import Linear
from seqdiff.training.data import EncodedData
from seqdiff.training.loop import Progress


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """400 rows of two classes over five tokens, lengths 3 to 10: no domain needed."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    rows = [[int(i) for i in random.integers(y, 4 + y, random.integers(3, 11))] for y in labels]
    data = EncodedData.from_rows(Alphabet("toy", tuple("abcde")), rows, labels, random.random(400) < 0.1, ("low", "high"))
    folder = tmp_path_factory.mktemp("arrays")
    data.save(folder / "smiles-small.safetensors")
    return folder


def train(arrays, out, work, *more, budget=60):
    common = ["--arrays", str(arrays), "--out", str(out), "--work", str(work), "--budget", str(budget)]
    assert main(["train", *common, "--model", "trial", "--device", "cpu", *map(str, more)]) == 0
    return json.loads((out / "results.json").read_text())["train"], load_file(work / "trial" / "train.safetensors")


@pytest.fixture(scope="module")
def run(arrays, tmp_path_factory):
    """A run of 40 steps at once, the same in two slices, and the second slice from the first one's parts."""
    folder = tmp_path_factory.mktemp("run")
    return {
        "folder": folder,
        "at once": train(arrays, folder / "out0", folder / "work0", "--steps", 40),
        "first": train(arrays, folder / "out1", folder / "work1", "--steps", 24),
        "second": train(arrays, folder / "out2", folder / "work1", "--steps", 40),
        "moved": train(arrays, folder / "out3", folder / "work3", "--steps", 40, "--resume", folder / "out1"),
    }


def test_slices_go_on_where_the_last_one_ended(run):
    first, second, moved = (run[name][0] for name in ("first", "second", "moved"))
    assert (first["step"], second["step"], moved["step"]) == (24, 40, 40)
    assert first["rows_seen"] < second["rows_seen"] == moved["rows_seen"] == run["at once"][0]["rows_seen"]
    steps = [json.loads(line)["step"] for line in (run["folder"] / "out3" / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert {10, 20, 40} <= set(steps)


def test_a_slice_from_the_work_folder_goes_on_exactly(arrays, tmp_path):
    """Stopped by the clock after its first step."""
    whole = train(arrays, tmp_path / "out0", tmp_path / "work0", "--steps", 30)[1]
    stopped, _ = train(arrays, tmp_path / "out1", tmp_path / "work1", "--steps", 30, budget=0.01)
    assert stopped["step"] == 1
    assert not stopped["finished"]
    resumed = train(arrays, tmp_path / "out2", tmp_path / "work1")[1]
    assert set(whole) == set(resumed)
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_a_slice_from_parts_goes_on_within_rounding(run):
    """Muon orthogonalises, which lifts rounding where gradients are small: weights agree to a part of their way."""
    first, exact, rounded = (run[name][1] for name in ("first", "second", "moved"))
    assert set(exact) == set(rounded)
    for name in exact:
        if name.startswith(("model.", "ema.")):
            assert (rounded[name] - exact[name]).norm() < 0.5 * (first[name] - exact[name]).norm(), name
    torch.testing.assert_close(rounded["model.head.weight"], exact["model.head.weight"], rtol=0, atol=1e-2)
    bounds = [run[name][0]["held_out_nats_per_token"] for name in ("second", "moved")]
    assert bounds[1] == pytest.approx(bounds[0], abs=2e-3)
    assert run["moved"][0]["lost_on_resume"] == parts.ROUNDED
    assert run["second"][0]["lost_on_resume"] is None


def test_parts_hold_the_state_rounded(run, tmp_path):
    plan = parts.restore(run["folder"] / "out1", "trial", tmp_path)
    original, restored = run["first"][1], load_file(tmp_path / "train.safetensors")
    assert plan["steps"] == 24
    assert set(restored) == set(original)
    for name, tensor in original.items():
        assert restored[name].dtype == torch.float32
        torch.testing.assert_close(restored[name], tensor, rtol=2**-7, atol=1e-6, msg=name)


def test_what_leaves_is_small_and_usable(run):
    out = run["folder"] / "out2"
    assert set(parts.check_files(out)) == {"log.jsonl", "results.json", "state-1.safetensors", "trial.zip"}
    checkpoint = load_checkpoint(parts.unpack_checkpoint(out / "trial.zip", run["folder"] / "unpacked"))
    assert checkpoint.metrics["step"] == 40
    assert checkpoint.label_names == ("low", "high")
    assert "40 steps" in (run["folder"] / "unpacked" / "README.md").read_text()


def test_results_say_what_was_done(run):
    results = json.loads((run["folder"] / "out2" / "results.json").read_text())
    assert {"device", "torch", "date", "train"} <= set(results)
    assert results["device"] == "CPU"
    assert set(results["train"]["held_out_nats_per_token"]) == {"bound/low", "error/low", "bound/high", "error/high"}
    assert results["train"]["finished"]
    assert results["train"]["seconds"] > 0


def test_sample_times_and_writes_rows(run, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.gpu.sampling.benchmark.__defaults__", (print, (8,), 16))
    monkeypatch.setattr("benchmarks.gpu.sampling.write_samples.__defaults__", (20,))
    zipped = str(run["folder"] / "out2" / "trial.zip")
    common = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--device", "cpu"]
    assert main(["sample", *common, "--checkpoint", zipped]) == 0
    figures = json.loads((tmp_path / "out" / "results.json").read_text())["sample"]
    assert figures["samples"]["low"] == figures["samples"]["high"] == 20
    assert figures["batch 8"]["plain_over_event"] > 0
    assert figures["batch 8"]["passes"] <= min(16, figures["length"])
    lines = (tmp_path / "out" / "samples.txt").read_text().splitlines()
    assert len(lines) == 40
    assert all(set(line.split("\t")[1]) <= set("abcde") for line in lines)


@pytest.mark.parametrize("other", [plain, textbook])
def test_the_ways_that_are_compared_have_one_law(other):
    law = EnumeratedLaw.from_log_weights(2, 3, lambda x: 1.2 * (x[0] == x[2]) + 0.5 * x[1])
    process, n, steps = Absorbing(2, Linear()), 20_000, 4
    prior = process.prior(torch.zeros(n, 3))
    one = other(ExactDenoiser(law), process, prior, None, steps, torch.Generator().manual_seed(0))
    two = event(ExactDenoiser(law), process, State.start(prior, 0, torch.arange(n)), steps)
    p, q = (torch.bincount(law.index(x), minlength=8).double() / n for x in (one, two))
    chi_square = float((n * (p - q) ** 2 / (p + q)).sum())
    assert chi_square < 7 + 5 * 14**0.5


def test_the_number_of_steps_follows_from_the_measured_rate():
    plan = make_plan(Progress(step=100, seconds=20.0), rate=10.0, total_seconds=1000)
    assert plan["steps"] == 100 + 10 * 930
    assert make_plan(Progress(step=100, seconds=2000.0), 10.0, 1000)["steps"] == 101


def test_a_run_without_a_number_of_steps_plans_one(arrays, tmp_path):
    figures, _ = train(arrays, tmp_path / "out", tmp_path / "work", "--total-seconds", 2)
    plan = json.loads((tmp_path / "work" / "trial" / "plan.json").read_text())
    assert plan["measured_steps_per_second"] > 0
    assert figures["finished"]
    assert figures["step"] == plan["steps"]


def test_split_fills_parts_in_order_and_refuses_what_cannot_fit():
    tensors = {str(i): torch.zeros(1000) for i in range(10)}
    cut = parts.split(tensors, limit=20_000)
    assert [len(part) for part in cut] == [3, 3, 3, 1]
    assert [name for part in cut for name in part] == list(tensors)
    with pytest.raises(TrainingError, match="expected tensors of at most"):
        parts.split({"x": torch.zeros(10_000)}, limit=20_000)


def test_moments_are_left_out_where_they_do_not_fit(run, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PARTS", 1)
    whole = parts.split(load_file(run["folder"] / "work1" / "trial" / "train.safetensors"))
    assert len(whole) == 1
    calls = []

    def two_at_first(tensors, limit=parts.PART_BYTES):
        calls.append(set(tensors))
        return [tensors] if len(calls) > 1 else [tensors, {}]

    monkeypatch.setattr(parts, "split", two_at_first)
    exported = parts.export_state(run["folder"] / "work1" / "trial" / "train.safetensors", {"steps": 40}, tmp_path)
    assert exported["lost"] == parts.NO_MOMENTS
    assert all(name.startswith("model.") for name in load_file(tmp_path / "state-1.safetensors"))


def test_missing_parts_are_named(tmp_path):
    with pytest.raises(TrainingError, match=r"expected all parts state-1\.safetensors … of one state, got none"):
        parts.restore(tmp_path, "trial", tmp_path / "work")


def test_too_many_files_are_refused(tmp_path):
    for i in range(9):
        (tmp_path / f"{i}").write_text("x")
    with pytest.raises(TrainingError, match="expected at most 8 files"):
        parts.check_files(tmp_path)


def test_errors_are_one_line_and_status_2(tmp_path, capsys):
    common = ["--arrays", str(tmp_path), "--out", str(tmp_path / "out"), "--work", str(tmp_path / "w")]
    assert main(["train", *common, "--device", "cpu"]) == 2
    assert "run the preparation first" in capsys.readouterr().err
    assert main(["train", *common, "--device", "cpu", "--model", "none"]) == 2
    assert "--model: expected one of smiles-small, trial; got 'none'" in capsys.readouterr().err


def test_a_budget_counts_from_the_start():
    budget = Budget(started=0.0, seconds=10)
    assert budget.left() < 10
    assert budget.without(4) == Budget(0.0, 6)


def test_prepared_files_above_the_limit_are_refused(arrays, monkeypatch, tmp_path):
    assert prepare.check_size(arrays) < prepare.LIMIT_BYTES
    monkeypatch.setattr(prepare, "LIMIT_BYTES", 100)
    with pytest.raises(ConfigError, match="prepared data: expected at most"):
        prepare.check_size(arrays)
    with pytest.raises(ConfigError, match="--only: expected one of smiles"):
        prepare.prepare(tmp_path, tmp_path, ["music"])
