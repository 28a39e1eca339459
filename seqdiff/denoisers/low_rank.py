"""Low-rank adaptation: the weights of a network stay, and matrices of its attention learn a difference of low rank.

    W = W_0 + (α / r) B A,      A (r, in) random, B (out, r) zero at first

Source: Hu et al., "LoRA: low-rank adaptation of large language models", 2022. The difference is a parametrisation of the
weight itself, so that the network's code knows nothing of it; `merged` makes plain weights of it again.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from seqdiff.errors import ConfigError

ATTENTION = ("query", "key", "value", "out", "qkv", "attention_out", "q_proj", "k_proj", "v_proj", "o_proj")  # projections


class LowRank(nn.Module):
    """W_0 → W_0 + (α / r) B A."""

    def __init__(self, weight: Tensor, rank: int, alpha: float):
        super().__init__()
        out, into = weight.shape
        self.scale = alpha / rank
        self.down = nn.Parameter(weight.new_empty(rank, into))
        self.up = nn.Parameter(weight.new_zeros(out, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.scale * (self.up @ self.down).to(weight.dtype)


def adapt(network: nn.Module, rank: int, alpha: float | None = None, names: Sequence[str] = ATTENTION) -> nn.Module:
    """The network itself, all its weights fixed, with differences of rank r on its linear layers of these names.

    Args:
        alpha: α; 2r if None.

    Raises ConfigError if the rank is not below the width of a layer, or no layer has such a name.
    """
    chosen = [
        module
        for path, module in network.named_modules()
        if isinstance(module, nn.Linear) and path.rpartition(".")[2] in names and not parametrize.is_parametrized(module)
    ]
    if not chosen:
        raise ConfigError(f"low rank: expected linear layers named {', '.join(names)}, a {type(network).__name__} has none")
    most = min(min(module.weight.shape) for module in chosen)
    if not 1 <= rank < most:
        raise ConfigError(f"model.rank: expected 1 to {most - 1} (the narrowest projection is {most} wide), got {rank}")
    network.requires_grad_(False)
    for module in chosen:
        difference = LowRank(module.weight, rank, 2.0 * rank if alpha is None else alpha)
        parametrize.register_parametrization(module, "weight", difference)
    return network


@torch.no_grad()
def merged(network: nn.Module) -> nn.Module:
    """The network itself with W_0 + (α / r) B A as its plain weights; one without differences is left as it is."""
    for module in network.modules():
        if parametrize.is_parametrized(module) and isinstance(module.parametrizations.weight[0], LowRank):  # type: ignore[union-attr, index]
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return network
