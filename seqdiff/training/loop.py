"""The training loop: one visible loop over batches that are a function of (seed, step).

`kill -9` at any time and the same command goes on from the last checkpoint with the numbers of an unbroken run:
data order, times, masks and class dropout are functions of (seed, step), and the rest is in `train.safetensors`.
Several processes (torchrun or accelerate launch) share every batch row by row and add their gradients.
"""

import json
import math
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from seqdiff.errors import TrainingError
from seqdiff.likelihood import Bound
from seqdiff.noise import Stream, uniform
from seqdiff.systems.base import Rows, System
from seqdiff.times import TimeLaw, UniformTimes, time_law_from_config
from seqdiff.training.config import TrainingConfig
from seqdiff.training.data import Batches, EncodedData
from seqdiff.training.state import Ema, load_state, make_optimizers, save_state, set_rate

LOG_EVERY = 10


@dataclass
class Progress:
    """Where a run stands. `seconds` counts the time spent in steps over all restarts."""

    step: int = 0
    rows_seen: int = 0
    tokens_seen: int = 0
    seconds: float = 0.0


def rate_factor(step: int, steps: int, warmup: int, hold: float) -> float:
    """Linear warm-up, then 1 until `hold` · steps, then a half cosine to 0 at `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    start = max(warmup, hold * steps)
    if step < start:
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - start) / max(1.0, steps - start))))


def train(
    model: nn.Module,
    system: System,
    data: EncodedData,
    config: TrainingConfig,
    out: Path,
    device: str = "cpu",
    report: Callable[[dict], None] = lambda record: None,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[nn.Module, Progress]:
    """Train, or go on training, in the folder `out`; returns (averaged model, progress).

    Args:
        system: gives the objective and the held-out bound.
        report: called with every record that goes to `out/log.jsonl`.
        stop: asked after each step; True writes a checkpoint and returns early (a time limit, Ctrl-C).

    Raises TrainingError for an empty training set, a loss that is not finite, a full disk, a checkpoint of another run.
    """
    run = config.run
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    out.mkdir(parents=True, exist_ok=True)
    model = model.to(device)
    ema = Ema(model, config.optimizer.ema)
    optimizers = make_optimizers(model, config.optimizer)
    times = time_law_from_config(config.times)
    progress, identity = Progress(), {"data": data.digest(), "seed": run.seed, "batch_tokens": run.batch_tokens}
    if not isinstance(times, UniformTimes):
        identity["times"] = config.times
    state_path, log_path = out / "train.safetensors", out / "log.jsonl"
    if state_path.exists():
        saved = load_state(state_path, model, ema, optimizers, times, device)
        if saved["identity"] != identity:
            raise TrainingError(
                f"{state_path} belongs to another run: it has {saved['identity']}, this configuration {identity}; "
                "choose another folder"
            )
        progress = Progress(**saved["progress"])
    if rank == 0:
        _truncate_log(log_path, progress.step)
    batches = Batches(data, run.batch_tokens, run.seed, run.bucket, run.passes)
    held_out = held_out_groups(data, run.eval_rows, device)
    network: nn.Module = torch.compile(model, dynamic=True) if run.compile else model  # type: ignore[assignment]
    autocast = torch.autocast(device.split(":")[0], torch.bfloat16) if run.precision == "bf16" else nullcontext()

    def checkpoint():
        if rank == 0:
            save_state(state_path, model, ema, optimizers, times, {"progress": vars(progress), "identity": identity})

    check_every = LOG_EVERY if device.startswith("cuda") else 1  # looking at a number there means waiting for it
    epoch_number, epoch = -1, []
    for step in range(progress.step, run.steps):
        started = time.perf_counter()
        epoch_number, epoch, batch = _batch_of_step(batches, step, epoch_number, epoch)
        rows = _rows(data, batch, step, run, times, device, rank, world)
        set_rate(optimizers, rate_factor(step, run.steps, config.optimizer.warmup, config.optimizer.hold))
        with autocast:
            terms = system.terms(network, rows)
        weight = rows.time_weights()
        _record(times, rows, terms, world)
        terms = {name: (weight.to(nats.dtype) * nats).sum() / run.batch_tokens for name, nats in terms.items()}
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        loss, parts = loss.detach(), {name: nats.detach() for name, nats in terms.items()}
        if world > 1:
            _add_over_processes([p.grad for p in model.parameters() if p.grad is not None] + [loss, *parts.values()])
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.clip)
        if (step + 1) % check_every == 0:
            _check_finite(step, loss, norm, state_path)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        ema.update(model, step)
        progress.step = step + 1
        progress.rows_seen += len(batch)
        progress.tokens_seen += int(data.lengths[batch].sum())
        progress.seconds += time.perf_counter() - started
        last, figures = progress.step == run.steps, {}
        if progress.step % run.eval_every == 0 or last:
            figures = evaluate(ema.model, system, held_out, data.label_names) | system.figures(ema.model)
        if rank == 0 and (progress.step % LOG_EVERY == 0 or last or figures):
            record = {"step": progress.step, "loss": float(loss), "norm": float(norm), "rows": progress.rows_seen}
            if len(parts) > 1:
                record |= {f"loss/{name}": float(nats) for name, nats in parts.items()}
            record |= figures | {"seconds": round(progress.seconds, 2)}
            _append(log_path, record)
            report(record)
        stopping = stop()
        if progress.step % run.checkpoint_every == 0 or last or stopping:
            _check_finite(step, loss, norm, state_path)
            checkpoint()
        if stopping:
            break
    return ema.model, progress


def held_out_groups(data: EncodedData, rows_per_class: int, device) -> dict[int, tuple[list[Tensor], list[Tensor]]]:
    """Class → (rows, labels) of held-out rows in groups of equal length; always the same rows."""
    groups: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
    for label in sorted({int(y) for y in data.labels}):
        chosen = data.held_out & (data.labels == label) & (data.lengths > 0)
        rows = data.rows_of(chosen, rows_per_class)
        tensors = [data.rows(group, int(data.lengths[group[0]])).to(device) for group in rows]
        labels = [torch.full((len(x),), label, dtype=torch.int64, device=device) for x in tensors]
        if tensors:
            groups[label] = (tensors, labels)
    return groups


@torch.no_grad()
def evaluate(model: nn.Module, system: System, held_out: dict, names: tuple[str, ...]) -> dict[str, float]:
    """Held-out bound in nats a token, per class, with standard errors."""
    record = {}
    for label, (rows, labels) in held_out.items():
        name = names[label] if names else "all"
        # each group has noise of its own: with the same noise in all, its error would not fall with the number of rows
        bounds = [system.bound(model, x_0, y, seed=k) for k, (x_0, y) in enumerate(zip(rows, labels, strict=True))]
        mean, error = Bound.cat(bounds).per_token()
        record |= {f"bound/{name}": mean, f"error/{name}": error}
    return record


def _batch_of_step(batches: Batches, step: int, number: int, epoch: list):
    """The batch of a step. All epochs have as many batches, since they hold the same lengths."""
    if not epoch:
        epoch = batches.epoch(0)
        number = 0
        if not epoch:
            raise TrainingError("training data: expected at least one row that is not held out, got none")
    wanted = step // len(epoch)
    if wanted != number:
        epoch, number = batches.epoch(wanted), wanted
    return number, epoch, epoch[step % len(epoch)]


def _record(times: TimeLaw, rows: Rows, terms: dict[str, Tensor], world: int) -> None:
    """Tell the law of times the losses in nats a token of the whole batch, the same ones in every process."""
    if isinstance(times, UniformTimes):  # it would not listen, and a GPU would be waited for
        return
    losses = torch.zeros(rows.size, dtype=torch.float64, device=rows.x_0.device)
    losses[rows.place] = torch.stack(list(terms.values())).sum(0).detach().double() / rows.lengths
    if world > 1:
        _add_over_processes([losses])
    times.record(rows.batch_times()[0], losses)


def _rows(data, batch, step, run, times, device, rank, world) -> Rows:
    """This process's rows of the batch. Noise belongs to a row's place in the whole batch."""
    place = torch.arange(len(batch))[rank::world].to(device)
    mine = batch[rank::world]
    lengths = data.lengths[mine]
    x_0 = _send(data.rows(mine, int(data.lengths[batch].max())), device)
    label = _send(torch.from_numpy(data.labels[mine].astype("int64")), device)
    dropped = uniform(run.seed, place, step, 0, Stream.LABEL, device=device) < run.label_dropout
    label = torch.where(dropped, len(data.label_names), label)
    padded = run.bucket > 1
    return Rows(x_0, label, _send(torch.from_numpy(lengths), device), place, len(batch), padded, run.seed, step, times)


def _send(tensor: Tensor, device: str) -> Tensor:
    """The tensor on the device. To a GPU it goes from pinned memory, while the GPU is still at earlier work."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else tensor.to(device)


def _check_finite(step: int, loss: Tensor, norm: Tensor, state_path: Path) -> None:
    """Raises TrainingError. Once a weight is not finite every later loss is not, so it may be asked now and then."""
    if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
        raise TrainingError(
            f"step {step}: the loss is {loss.item()} and the gradient norm {norm.item()}; nothing was overwritten: "
            f"{state_path} holds the last good checkpoint. Lower optimizer.lr or use precision = 'fp32'"
        )


def _add_over_processes(tensors: list[Tensor]) -> None:
    for tensor in tensors:
        dist.all_reduce(tensor)


def _append(path: Path, record: dict) -> None:
    """One line of the log. Raises TrainingError if it cannot be written (a full disk)."""
    try:
        with path.open("a") as log:
            log.write(json.dumps(record) + "\n")
    except OSError as error:
        raise TrainingError(
            f"could not write {path} ({error.strerror}); free some disk space and run the same command again"
        ) from None


def _truncate_log(path: Path, step: int) -> None:
    """Drop records of steps after the checkpoint, which will be made again, and a line that a kill cut short."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except json.JSONDecodeError:
            continue
    path.write_text("".join(line + "\n" for line in kept))
