"""One slice of a training run: go on from what is there, stop in time, leave something that can be used.

How many steps fit into the time is not known beforehand. The learning rate is constant until `hold` of all steps, so
the first seconds do not depend on their number: they are trained for good, their rate is measured, the number is
planned from it and recorded, and every later slice uses the recorded number.
"""

import json
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from benchmarks.gpu import parts
from benchmarks.gpu.budget import Budget
from benchmarks.gpu.presets import Preset, get_preset
from seqdiff.errors import ConfigError
from seqdiff.training.build import build, to_checkpoint
from seqdiff.training.config import TrainingConfig
from seqdiff.training.data import EncodedData
from seqdiff.training.loop import Progress, evaluate, held_out_groups, train

UNPLANNED = 10**9  # steps of a run whose number is not known yet
WARM_UP_CALLS = 20  # steps left out of the measured rate: compilation happens there
MARGIN = 0.95  # of the time is planned; the rest pays for compiling again and for the held-out bound
FINAL_ROWS = 4  # times eval_rows in the bound at the end of a slice


@dataclass(frozen=True)
class Slice:
    """What a slice is asked for.

    Attributes:
        model: name of a preset.
        arrays: folder of the prepared data.
        work: folder of everything that is large; `work/MODEL` belongs to this run.
        out: folder of what is to be taken away.
        budget: when to stop.
        device: "cuda" or "cpu".
        resume: folder with the parts of an earlier slice, read if `work` holds no state of this run.
        steps: steps of the whole run; None takes the recorded number, or plans one from `total_seconds`.
        total_seconds: seconds of training steps over all slices; some 450 of a slice of 540 are.
    """

    model: str
    arrays: Path
    work: Path
    out: Path
    budget: Budget
    device: str = "cuda"
    resume: Path | None = None
    steps: int | None = None
    total_seconds: float = 1350.0

    def __post_init__(self):
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"--steps: expected at least 1, got {self.steps}")
        if not self.total_seconds > 0:
            raise ConfigError(f"--total-seconds: expected more than 0, got {self.total_seconds}")

    @property
    def folder(self) -> Path:
        return self.work / self.model


@dataclass
class Meter:
    """Asked after every step whether to stop; it remembers when it was asked, and so knows the rate of the steps."""

    budget: Budget
    measure_seconds: float = float("inf")
    times: list[float] = field(default_factory=list)

    def __call__(self) -> bool:
        self.times.append(time.monotonic())
        return self.budget.left() < 0 or self.measured()

    def measured(self) -> bool:
        return len(self.times) > 2 * WARM_UP_CALLS and self.times[-1] - self.times[WARM_UP_CALLS] > self.measure_seconds

    @property
    def rate(self) -> float | None:
        """Steps a second without the first WARM_UP_CALLS, None if there were too few."""
        if len(self.times) <= 2 * WARM_UP_CALLS:
            return None
        return (len(self.times) - 1 - WARM_UP_CALLS) / (self.times[-1] - self.times[WARM_UP_CALLS])


def train_slice(slice: Slice, say=print) -> dict:
    """Train for one slice and export; returns its figures for `results.json`.

    Raises ConfigError, TrainingError or CheckpointError; what was trained until then stays in `slice.folder`.
    """
    preset, folder = get_preset(slice.model), slice.folder
    data = EncodedData.load(slice.arrays / preset.arrays)
    config = preset.on(slice.device)
    network, system = build(config, data)
    lost = _restore(slice, say)
    plan = _read_plan(folder) | ({"steps": slice.steps} if slice.steps else {})
    budget = slice.budget.without(min(30.0, slice.budget.seconds / 8))  # to evaluate, save and export

    def run(meter: Meter):
        now = replace(config, run=replace(config.run, steps=plan.get("steps", UNPLANNED)))
        return train(network, system, data, now, folder, slice.device, _reporter(say), meter)

    planned = "steps" in plan
    if not planned:
        meter = Meter(budget, measure_seconds=min(20.0, slice.total_seconds / 20))
        averaged, progress = run(meter)
        if meter.rate is not None:
            plan |= make_plan(progress, meter.rate, slice.total_seconds)
            say(f"{slice.model}: {meter.rate:.1f} steps a second, {plan['steps']} steps planned")
    if "steps" in plan:
        _write_plan(folder, plan)
    if planned or ("steps" in plan and budget.left() > 0):
        meter = Meter(budget)
        averaged, progress = run(meter)
    figures = {
        "model": slice.model,
        "parameters": sum(p.numel() for p in network.parameters()),
        "step": progress.step,
        "steps": plan.get("steps"),
        "finished": progress.step == plan.get("steps"),
        "rows_seen": progress.rows_seen,
        "tokens_seen": progress.tokens_seen,
        "training_seconds": round(progress.seconds, 1),
        "steps_per_second": meter.rate or plan.get("measured_steps_per_second"),
        "lost_on_resume": lost,
    }
    held_out = held_out_groups(data, FINAL_ROWS * config.run.eval_rows, slice.device)
    figures["held_out_nats_per_token"] = evaluate(averaged, system, held_out, data.label_names)
    figures["export"] = export(slice, preset, config, averaged, system, data, plan, figures)
    say(f"{slice.model}: step {progress.step}, {figures['export']['lost']}")
    return figures


def make_plan(progress: Progress, rate: float, total_seconds: float) -> dict:
    """Steps of the whole run from what is done and what fits into the rest at `rate` steps a second."""
    rest = max(0.0, MARGIN * total_seconds - progress.seconds)
    return {
        "steps": progress.step + max(1, int(rate * rest)),
        "measured_steps_per_second": round(rate, 3),
        "total_seconds": total_seconds,
    }


def export(slice: Slice, preset: Preset, config: TrainingConfig, averaged, system, data, plan, figures) -> dict:
    """Checkpoint folder in the work folder; its zip, the state in parts and the log in the out folder."""
    folder, out = slice.folder, slice.out
    out.mkdir(parents=True, exist_ok=True)
    bounds = figures["held_out_nats_per_token"]
    metrics = {k: figures[k] for k in ("step", "steps", "rows_seen", "tokens_seen", "training_seconds")} | bounds
    checkpoint = to_checkpoint(averaged, system, data, metrics)
    checkpoint.save(folder / "checkpoint", card(preset, config, data, figures))
    parts.pack_checkpoint(folder / "checkpoint", out / f"{slice.model}.zip")
    exported = parts.export_state(folder / "train.safetensors", plan, out)
    if (folder / "log.jsonl").exists():
        shutil.copyfile(folder / "log.jsonl", out / "log.jsonl")
    return exported


def card(preset: Preset, config: TrainingConfig, data: EncodedData, figures: dict) -> str:
    """The model card, Markdown."""
    bounds = figures["held_out_nats_per_token"]
    names = data.label_names or ("all",)
    rows = [f"| {n} | {bounds[f'bound/{n}']:.4f} ± {bounds[f'error/{n}']:.4f} |" for n in names if f"bound/{n}" in bounds]
    files = [f"- {f['file']} (sha256 {f['sha256'][:16]}…)" for f in data.provenance.get("files", [])]
    shape = ", ".join(f"{key} {value}" for key, value in config.model.items())
    state = "finished" if figures["finished"] else "not finished: the learning rate has not come down to zero"
    return "\n".join(
        [
            f"# {preset.title}",
            "",
            preset.about,
            "",
            f"- transformer, {shape}, {figures['parameters']:,} parameters, stored as float16",
            f"- saw {figures['rows_seen']:,} rows, {figures['tokens_seen']:,} tokens, in {figures['step']:,} steps",
            f"- {config.run.precision}, {config.optimizer.kind}, {config.run.batch_tokens:,} tokens a batch; {state}",
            "- the weights are an exponential moving average over the steps",
            "",
            "Upper bound on the negative log-likelihood of held-out rows, nats a token:",
            "",
            "| class | bound |",
            "| --- | --- |",
            *rows,
            "",
            f"Training data, {int((~data.held_out).sum()):,} rows:",
            "",
            *files,
            "",
            "What it makes resembles its training data and has not been checked by anyone: not for being",
            "synthesisable, active or safe.",
            "",
        ]
    )


def _restore(slice: Slice, say) -> str | None:
    """Rebuild the run from parts where asked and needed; returns what was lost."""
    if slice.resume is None or (slice.folder / "train.safetensors").exists():
        return None
    plan = parts.restore(slice.resume, slice.model, slice.folder)
    lost = plan.pop("lost")
    _write_plan(slice.folder, plan)
    say(f"{slice.model}: going on from {slice.resume}; {lost}")
    return lost


def _read_plan(folder: Path) -> dict:
    path = folder / "plan.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _write_plan(folder: Path, plan: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan, indent=1) + "\n")


def _reporter(say, seconds: float = 10.0):
    """A report that says one record every so many seconds, and every one that holds a bound."""
    last = 0.0

    def report(record: dict) -> None:
        nonlocal last
        if time.monotonic() - last > seconds or any(name.startswith("bound/") for name in record):
            last = time.monotonic()
            say(json.dumps({k: round(v, 4) for k, v in record.items()}))

    return report


def device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device.startswith("cuda") else "CPU"
