"""From a training configuration to a network and its process, and from a trained network to a checkpoint."""

from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.denoisers.low_rank import merged
from seqdiff.denoisers.transformer import Transformer
from seqdiff.errors import ConfigError
from seqdiff.systems.base import System
from seqdiff.systems.classifier import Guidance, Regression
from seqdiff.systems.registry import GUIDES, build_system
from seqdiff.training.config import TrainingConfig, with_table
from seqdiff.training.data import EncodedData, Targets
from seqdiff.training.fine_tuning import from_base


def build(config: TrainingConfig, data: EncodedData) -> tuple[nn.Module, System]:
    """A fresh network for the data's alphabet and classes, its weights a function of run.seed, and its system.

    A classifier or regressor with `model.trunk`, the folder of a denoiser, starts from its trunk and has its size; any other
    system with `model.base`, the folder of a model, is that model, trained further (`training.fine_tuning`).
    """
    if {"vocabulary", "labels"} & set(config.model):
        raise ConfigError("model: vocabulary and labels follow from the data; leave them out")
    torch.manual_seed(config.run.seed)
    sizes = {"vocabulary": len(data.alphabet), "labels": len(data.label_names)}
    model = {**config.model, **sizes}
    if config.system in GUIDES:
        network, system = _guide(config, data, model)
    elif "base" in model:
        network, system = from_base(config, data)
    else:
        network, system = build_system(config.system, model, config.schedule)
    return network, with_table(system, config.options, "options").counted(_counts(data))


def _guide(config: TrainingConfig, data: EncodedData, model: dict) -> tuple[nn.Module, System]:
    """A classifier or regressor; the latter works in units of its numbers' mean and standard deviation."""
    targets = Targets(data) if config.system == "regressor" else None
    if targets is not None:
        numbers = targets.numbers[~data.held_out]
        model |= {"center": float(numbers.mean()), "scale": float(numbers.std()) or 1.0}
    if (folder := model.pop("trunk", None)) is None:
        network, system = build_system(config.system, model, config.schedule)
    else:
        denoiser = load_checkpoint(folder)
        if not isinstance(denoiser.network, Transformer) or denoiser.alphabet != data.alphabet:
            raise ConfigError(
                f"model.trunk: expected a transformer over the data's {len(data.alphabet)} tokens at {folder}, got a "
                f"{type(denoiser.network).__name__} over {len(denoiser.alphabet)}; data.alphabet encodes rows with its tokens"
            )
        trunk = asdict(denoiser.network.config)
        if other := [name for name in model if name in trunk and name not in ("vocabulary", "labels")]:
            raise ConfigError(f"model.{other[0]}: follows from model.trunk; leave it out")
        network, system = build_system(config.system, trunk | model | {"trunk_labels": trunk["labels"]}, config.schedule)
        network.take_trunk(denoiser.network)  # type: ignore[operator]
    if isinstance(system, Regression):
        system = replace(system, target=data.target, targets=targets)
    return network, system


def to_checkpoint(network: nn.Module, system: System, data: EncodedData, metrics: dict) -> Checkpoint:
    """The trained network with all that sampling needs, differences of low rank merged into its weights.

    p(length | class) is counted over the training rows. A network that reads no classes keeps none.
    """
    lengths, longest = data.lengths, int(data.lengths.max())
    names = data.label_names if isinstance(system, Guidance) or getattr(network, "labels", 1) else ()
    counts = {
        name: [int(n) for n in _histogram(lengths[(data.labels == label) & ~data.held_out], longest)]
        for label, name in enumerate(data.label_names or ("all",))
    }
    return Checkpoint(merged(network).cpu().eval(), system, data.alphabet, names, counts, metrics)


def _counts(data: EncodedData) -> torch.Tensor:
    """(V,) of the tokens in the training rows."""
    tokens = data.tokens[np.repeat(~data.held_out, data.lengths)]
    return torch.bincount(torch.from_numpy(tokens.astype("int64")), minlength=len(data.alphabet))


def _histogram(lengths, longest: int):
    return torch.bincount(torch.as_tensor(lengths), minlength=longest + 1).tolist()
