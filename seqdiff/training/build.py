"""From a training configuration to a network and its process, and from a trained network to a checkpoint."""

import torch
from torch import nn

from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import schedule_from_config
from seqdiff.systems.base import System
from seqdiff.systems.mdlm import MDLM
from seqdiff.training.config import TrainingConfig, from_table
from seqdiff.training.data import EncodedData


def build(config: TrainingConfig, data: EncodedData) -> tuple[Transformer, System]:
    """A fresh network for the data's alphabet and classes, its weights a function of run.seed, and its system."""
    if {"vocabulary", "labels"} & set(config.model):
        raise ConfigError("model: vocabulary and labels follow from the data; leave them out")
    torch.manual_seed(config.run.seed)
    sizes = {"vocabulary": len(data.alphabet), "labels": len(data.label_names)}
    network = Transformer(from_table(TransformerConfig, {**config.model, **sizes}, "model"))
    return network, MDLM(process_for(config, data.alphabet))


def process_for(config: TrainingConfig, alphabet: Alphabet) -> Absorbing:
    return Absorbing(alphabet.mask, schedule_from_config(config.schedule))


def to_checkpoint(network: nn.Module, system: System, data: EncodedData, metrics: dict) -> Checkpoint:
    """The trained network with all that sampling needs; p(length | class) is counted over the training rows."""
    lengths, longest = data.lengths, int(data.lengths.max())
    counts = {
        name: [int(n) for n in _histogram(lengths[(data.labels == label) & ~data.held_out], longest)]
        for label, name in enumerate(data.label_names or ("all",))
    }
    return Checkpoint(network.cpu().eval(), system.process, data.alphabet, data.label_names, counts, metrics)


def _histogram(lengths, longest: int):
    return torch.bincount(torch.as_tensor(lengths), minlength=longest + 1).tolist()
