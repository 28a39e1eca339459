"""What a training run must remember to go on as if it had never stopped, in one safetensors file."""

import copy
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from seqdiff.errors import TrainingError
from seqdiff.times import TimeLaw
from seqdiff.training.config import OptimizerConfig


class Ema:
    """Exponential moving average of the weights; early on the average is over the steps so far."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, weight in zip(self.model.parameters(), model.parameters(), strict=True):
            average.lerp_(weight.detach(), 1 - decay)


def make_optimizers(model: nn.Module, config: OptimizerConfig) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks (Jordan et al., 2024) and AdamW for the rest, or AdamW for all.

    A network without blocks of ours, such as a published one, is all rest. Each parameter group remembers its peak rate as
    `peak`; `set_rate` scales it.
    """
    matrices = [p for name, p in model.named_parameters() if "blocks." in name and p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = []
    if config.kind == "muon" and matrices:
        muon = torch.optim.Muon(matrices, lr=config.lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
        optimizers.append(muon)
    elif matrices:
        optimizers.append(torch.optim.AdamW(matrices, lr=config.lr, weight_decay=config.weight_decay, betas=(0.9, 0.98)))
    optimizers.append(torch.optim.AdamW(rest, lr=config.lr_rest, weight_decay=0.0, betas=(0.9, 0.98)))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = factor * group["peak"]


def save_state(path: Path, model: nn.Module, ema: Ema, optimizers: list, times: TimeLaw, progress: dict) -> None:
    """Write beside the old file, flush to disk, then replace it: a kill at any time leaves one whole file.

    Raises TrainingError, the old file kept, if the disk is full.
    """
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    tensors |= {f"ema.{k}": v.contiguous() for k, v in ema.model.state_dict().items()}
    for i, optimizer in enumerate(optimizers):
        for j, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{j}.{k}": v.contiguous() for k, v in values.items()}
    tensors |= {f"times.{k}": v.contiguous() for k, v in times.state().items()}
    partial = path.with_suffix(".partial")
    try:
        save_file(tensors, partial, {"progress": json.dumps(progress)})
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise TrainingError(
            f"could not write {path} ({error}); free some disk space and run the same command again: "
            "it goes on from the last good checkpoint"
        ) from None


def load_state(path: Path, model: nn.Module, ema: Ema, optimizers: list, times: TimeLaw, device) -> dict:
    """Restore what `save_state` wrote; returns its progress. Raises TrainingError for a file that does not fit."""
    try:
        with safe_open(path, "pt") as file:
            progress = json.loads(file.metadata()["progress"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model.load_state_dict(_under("model.", tensors))
        ema.model.load_state_dict(_under("ema.", tensors))
        if times.state().keys() == (learned := _under("times.", tensors)).keys():  # else of another run, as its progress says
            times.restore(learned)
    except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
        raise TrainingError(
            f"{path} is damaged or of another model ({str(error).splitlines()[0]}); move the folder away to begin anew"
        ) from None
    for i, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(f"optimizer.{i}.", tensors).items():
            j, key = name.split(".", 1)
            on = "cpu" if key == "step" else device  # a count kept on a GPU would be waited for in every step
            state.setdefault(int(j), {})[key] = value.to(on)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
