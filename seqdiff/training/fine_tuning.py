"""Training a model further on other data: all its weights, or differences of low rank.

[model]
base = "./esm2"      # folder of the model; its size, system and process are taken over
rank = 8             # of the differences (`denoisers.low_rank`); left out: all weights learn
alpha = 16.0         # their scale is alpha / rank; 2 · rank if left out
"""

from dataclasses import dataclass

from torch import nn

from seqdiff.checkpoint import load_checkpoint
from seqdiff.denoisers.low_rank import adapt
from seqdiff.errors import ConfigError
from seqdiff.systems.base import System
from seqdiff.systems.registry import KINDS
from seqdiff.training.config import TrainingConfig, from_table
from seqdiff.training.data import EncodedData


@dataclass(frozen=True)
class BaseConfig:
    """The table `[model]` of such a run; rank 0 trains all weights."""

    base: str
    rank: int = 0
    alpha: float = 0.0


def from_base(config: TrainingConfig, data: EncodedData) -> tuple[nn.Module, System]:
    """The network of the folder, ready to learn, and its system.

    Raises ConfigError if the data have other tokens, other classes or longer rows, or the configuration another system.
    """
    wanted = from_table(BaseConfig, config.model, "model")
    start = load_checkpoint(wanted.base)
    kind = next(name for name, cls in KINDS.items() if type(start.system) is cls)
    if config.system != kind or config.schedule != TrainingConfig().schedule:
        raise ConfigError(f"model.base: the system ({kind!r}) and [schedule] are those of {wanted.base}; leave [schedule] out")
    if start.alphabet != data.alphabet:
        raise ConfigError(
            f"model.base: expected a model over the data's {len(data.alphabet)} tokens at {wanted.base}, got one over "
            f"{len(start.alphabet)}"
        )
    if getattr(start.network, "labels", 0) and start.label_names != data.label_names:
        raise ConfigError(
            f"model.base: expected data of the model's classes ({', '.join(start.label_names)}), got "
            f"{', '.join(data.label_names) or 'none'}; label the files so"
        )
    if (longest := int(data.lengths.max(initial=0))) > start.max_length:
        raise ConfigError(
            f"model.base: expected rows of at most {start.max_length} tokens, as of {wanted.base}, got {longest}; "
            "set data.max_length"
        )
    network = start.network.requires_grad_(True).train()
    if wanted.rank:
        adapt(network, wanted.rank, wanted.alpha or None)
    return network, start.system
