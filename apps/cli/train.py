"""`seqdiff train`: data, network, loop, loss curve, checkpoint and card."""

import contextlib
import json
import signal
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from apps.cli.card import classifier_card, model_card
from apps.cli.curve import draw_curve
from domains.registry import DOMAINS, find_model, get_domain
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import ConfigError
from seqdiff.systems.classifier import Guidance, quality
from seqdiff.training.build import build, to_checkpoint
from seqdiff.training.config import TrainingConfig, from_table
from seqdiff.training.data import EncodedData
from seqdiff.training.loop import train


def run(
    config_path: Path,
    out: Path | None,
    device: str | None,
    data_root: Path | None,
    max_minutes: float | None,
    init: str | None,
):
    """Train or go on training; the run's folder holds data, log, curve, resumable state and the finished model."""
    table, path = read_config(config_path)
    domain, name = table.pop("domain", None), table.pop("name", path.stem)
    if domain not in DOMAINS:
        raise ConfigError(f"{path}: domain: expected one of {', '.join(DOMAINS)}; got {domain!r}")
    data_table = table.pop("data", None)
    if not isinstance(data_table, dict):
        raise ConfigError(f"{path}: expected a table [data]")
    config = from_table(TrainingConfig, table)
    out = out or Path("runs") / name
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    console = Console(stderr=True)
    for key in {"trunk", "base"} & set(config.model):
        config = replace(config, model={**config.model, key: str(find_model(config.model[key], domain))})
    if init and "base" in config.model:
        raise ConfigError("train: --init and model.base both say where to begin; give one of them")
    data = load_data(domain, data_table, data_root or path.parent, out, console)
    network, system = build(config, data)
    earlier_hours = start_from(network, data, init, domain) if init else 0.0
    size = sum(p.numel() for p in network.parameters())
    rows = int((~data.held_out).sum())
    console.print(f"{name}: {size / 1e6:.1f}M parameters, {rows:,} rows, {device}, run folder {out}", highlight=False)
    averaged, progress = with_progress(network, system, data, config, out, device, max_minutes, console)
    log_path = out / "log.jsonl"
    log = [json.loads(line) for line in log_path.read_text().splitlines()] if log_path.is_file() else []
    draw_curve(log, out / "loss.png")
    metrics = {
        "steps": progress.step,
        "rows_seen": progress.rows_seen,
        "tokens_seen": progress.tokens_seen,
        "training_hours": round(progress.seconds / 3600 + earlier_hours, 3),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else f"CPU ({torch.get_num_threads()} threads)",
        "data_sha256": data.digest(),
        **next(({k: v for k, v in r.items() if "/" in k} for r in reversed(log) if any("/" in k for k in r)), {}),
    }
    if isinstance(system, Guidance):
        metrics |= quality(averaged.eval(), system, data)  # type: ignore[arg-type]
    checkpoint = to_checkpoint(averaged, system, data, metrics)
    if isinstance(system, Guidance):
        checkpoint.save(out / "model", classifier_card(name, domain, checkpoint, data, config))
    else:
        checkpoint.save(out / "model", model_card(name, domain, checkpoint, data, config))
        get_domain(domain).training_extras(data, out / "model")
    done = "finished" if progress.step >= config.run.steps else "stopped; the same command goes on"
    console.print(f"{done} at step {progress.step} of {config.run.steps}; model in {out / 'model'}", highlight=False)


def read_config(path: Path) -> tuple[dict, Path]:
    """The table of a TOML file, or of the preset of that name."""
    presets = {p.stem: p for d in DOMAINS for p in (Path(__file__).parents[2] / "domains" / d / "presets").glob("*.toml")}
    path = path if path.is_file() else presets.get(str(path), path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path
    except OSError as error:
        raise ConfigError(
            f"train: could not read {path} ({error.strerror}); expected a TOML file or a preset: {', '.join(presets)}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"train: {path} is not TOML ({error})") from None


def load_data(domain: str, table: dict, root: Path, out: Path, console: Console) -> EncodedData:
    """Encode the data once; later runs of the same [data] table read the encoded file."""
    cache, table_path = out / "data.safetensors", out / "data.json"
    text = json.dumps(table, sort_keys=True)
    if cache.is_file() and table_path.is_file() and table_path.read_text() == text:
        return EncodedData.load(cache)
    started = time.perf_counter()
    with console.status("reading and encoding the data"):
        data = get_domain(domain).encode_training_data(table, root)
    data.save(cache)
    table_path.write_text(text)
    console.print(f"encoded {len(data.labels):,} rows in {time.perf_counter() - started:.0f} s", highlight=False)
    return data


def start_from(network, data: EncodedData, init: str, domain: str) -> float:
    """Give the network the weights of a checkpoint of the same size and alphabet; returns the hours it was trained."""
    checkpoint = load_checkpoint(find_model(init, domain))
    if checkpoint.alphabet != data.alphabet or checkpoint.network.config != network.config:
        raise ConfigError(
            f"train: --init {init}: expected a model with the configuration's size and the data's tokens and classes, got "
            f"{checkpoint.network.config} over {len(checkpoint.alphabet)} tokens"
        )
    network.load_state_dict(checkpoint.network.state_dict())
    return float(checkpoint.metrics.get("training_hours", 0.0))


def with_progress(network, system, data, config, out, device, max_minutes, console):
    columns = (
        TextColumn("{task.description}"),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    started, stopping, bounds = time.monotonic(), [], {}

    def stop() -> bool:
        return bool(stopping) or (max_minutes is not None and time.monotonic() - started > 60 * max_minutes)

    with Progress(*columns, console=console) as bar, _on_interrupt(stopping):
        task = bar.add_task("training", total=config.run.steps, note="")

        def report(record: dict) -> None:
            bounds.update({k.removeprefix("bound/"): v for k, v in record.items() if k.startswith("bound/")})
            held_out = " ".join(f"{name} {value:.3f}" for name, value in bounds.items())
            rate = record["rows"] / max(record["seconds"], 1e-9)
            note = f"loss {record['loss']:.3f} · held-out {held_out or '–'} · {rate:.0f} rows/s"
            bar.update(task, completed=record["step"], note=note)

        return train(network, system, data, config, out, device, report, stop)


@contextlib.contextmanager
def _on_interrupt(stopping: list):
    """Ctrl-C finishes the step and writes a checkpoint; a second one stops at once."""

    def handler(*_):
        if stopping:
            raise KeyboardInterrupt
        stopping.append(True)

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
