"""From a training configuration to a network and its process, and from a trained network to a checkpoint."""

import torch
from torch import nn

from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConfigError
from seqdiff.systems.base import System
from seqdiff.systems.registry import build_system
from seqdiff.training.config import TrainingConfig
from seqdiff.training.data import EncodedData


def build(config: TrainingConfig, data: EncodedData) -> tuple[nn.Module, System]:
    """A fresh network for the data's alphabet and classes, its weights a function of run.seed, and its system."""
    if {"vocabulary", "labels"} & set(config.model):
        raise ConfigError("model: vocabulary and labels follow from the data; leave them out")
    torch.manual_seed(config.run.seed)
    sizes = {"vocabulary": len(data.alphabet), "labels": len(data.label_names)}
    return build_system(config.system, {**config.model, **sizes}, config.schedule)


def to_checkpoint(network: nn.Module, system: System, data: EncodedData, metrics: dict) -> Checkpoint:
    """The trained network with all that sampling needs; p(length | class) is counted over the training rows."""
    lengths, longest = data.lengths, int(data.lengths.max())
    counts = {
        name: [int(n) for n in _histogram(lengths[(data.labels == label) & ~data.held_out], longest)]
        for label, name in enumerate(data.label_names or ("all",))
    }
    return Checkpoint(network.cpu().eval(), system, data.alphabet, data.label_names, counts, metrics)


def _histogram(lengths, longest: int):
    return torch.bincount(torch.as_tensor(lengths), minlength=longest + 1).tolist()
