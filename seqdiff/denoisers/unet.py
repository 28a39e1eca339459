"""U-Net and U-Net++ over sequences: convolutions at several resolutions, attention at the lowest, skip connections.

A level halves the length, rounding up, so any length will do. What stands in the padding is zero wherever a convolution
reads, as what lies outside a row is: a row in a longer batch sees what it sees alone.

Sources: Ronneberger et al., "U-Net", 2015; Zhou et al., "UNet++", 2018; time by scale and shift as in Dhariwal and
Nichol, 2021. Shapes: B batch, L length, D width, P queried positions; level i of N has length ⌈L / 2^i⌉.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqdiff.denoisers.backbone import Backbone
from seqdiff.denoisers.block import Block, adapted, is_real, layer_norm, rotary
from seqdiff.denoisers.transformer import TransformerConfig
from seqdiff.errors import ConfigError


@dataclass(frozen=True)
class UNetConfig(TransformerConfig):
    """Size and inputs of a U-Net; `depth`, `heads`, `expansion`, … are of the attention blocks at its lowest level.

    Attributes:
        depth: blocks of attention.
        levels: N, how often the length is halved.
        kernel: width (odd) of the convolutions.
    """

    depth: int = 2
    levels: int = 2
    kernel: int = 3

    def __post_init__(self):
        super().__post_init__()
        if self.levels < 1:
            raise ConfigError(f"model.levels: expected at least 1, got {self.levels}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ConfigError(f"model.kernel: expected an odd width, got {self.kernel}")


class UNet(Backbone):
    """Node (i, j) is at level i, column j: (i, 0) lie on the way down, (N − j, j) on the way up."""

    def _build(self, config: UNetConfig) -> None:
        D, N = config.width, config.levels
        self.down = nn.ModuleList(Residual(config) for _ in range(N))
        self.halve = nn.ModuleList(nn.Conv1d(D, D, 3, stride=2, padding=1) for _ in range(N))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.up = nn.ModuleDict({f"{i}-{j}": Merge(config, 1 + len(self._skips(j))) for i, j in self._nodes()})

    def _nodes(self) -> list[tuple[int, int]]:
        """Nodes of the columns after the first, each after what it reads."""
        N = self.config.levels
        return [(N - j, j) for j in range(1, N + 1)]

    def _skips(self, j: int) -> range:
        """Columns of its own level that a node of column j reads; besides them it reads (i + 1, j − 1)."""
        return range(1)

    def _body(self, h, c, lengths, positions) -> Tensor:
        N, masks, node = self.config.levels, [], {}
        for i in range(N + 1):
            masks.append(None if lengths is None else is_real(lengths, h.shape[1]))
            if i < N:
                node[i, 0] = self.down[i](h, masks[i], c)
                h = _convolved(self.halve[i], node[i, 0], masks[i])
                lengths = None if lengths is None else (lengths + 1) // 2
        node[N, 0] = self._attended(h, masks[N], c)
        for i, j in self._nodes():
            read = [node[i, k] for k in self._skips(j)]
            doubled = node[i + 1, j - 1].repeat_interleave(2, dim=1)[:, : read[0].shape[1]]
            node[i, j] = self.up[f"{i}-{j}"](torch.cat([*read, doubled], dim=-1), masks[i], c)
        h = node[0, N]
        return h if positions is None else h.gather(1, positions.unsqueeze(-1).expand(*positions.shape, h.shape[-1]))

    def _attended(self, h: Tensor, real: Tensor | None, c: Tensor | None) -> Tensor:
        cos, sin = rotary(h.shape[1], self.config.width // self.config.heads, self.config.rotary_base, h.device)
        mask = None if real is None else real[:, None, None, :]
        for block in self.blocks:
            h = block(h, cos, sin, mask, c, None)
        return h


class UNetPlusPlus(UNet):
    """All nodes with i + j ≤ N, each reading every earlier one of its level: nested, dense skip connections.

    Zhou et al., 2018, eq. 1: x^{i,j} = H([x^{i,0}, …, x^{i,j−1}, Up(x^{i+1,j−1})]).
    """

    def _nodes(self):
        N = self.config.levels
        return [(i, j) for j in range(1, N + 1) for i in range(N - j + 1)]

    def _skips(self, j):
        return range(j)


class Residual(nn.Module):
    """h + Conv(silu(FiLM(norm(Conv(silu(norm(h))))))); norms are of one position, so that no length enters them."""

    def __init__(self, config: UNetConfig):
        super().__init__()
        D, k = config.width, config.kernel
        self.norm_in, self.norm_out = layer_norm(D), layer_norm(D)
        self.conv_in, self.conv_out = (nn.Conv1d(D, D, k, padding=k // 2) for _ in range(2))
        self.modulation = nn.Linear(D, 2 * D) if config.time_input else None
        zero = [self.conv_out] if self.modulation is None else [self.conv_out, self.modulation]
        for layer in zero:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, h: Tensor, mask: Tensor | None, c: Tensor | None) -> Tensor:
        adapt = None
        if self.modulation is not None and c is not None:
            adapt = self.modulation(F.silu(c)).unsqueeze(1).chunk(2, dim=-1)
        x = _convolved(self.conv_in, F.silu(self.norm_in(h)), mask)
        return h + _convolved(self.conv_out, F.silu(adapted(self.norm_out(x), adapt)), mask)


class Merge(nn.Module):
    """What several nodes hold at a position, brought to the width, and a residual block."""

    def __init__(self, config: UNetConfig, inputs: int):
        super().__init__()
        self.join = nn.Linear(inputs * config.width, config.width)
        self.residual = Residual(config)

    def forward(self, h: Tensor, mask: Tensor | None, c: Tensor | None) -> Tensor:
        return self.residual(self.join(h), mask, c)


def _convolved(convolution, h: Tensor, mask: Tensor | None) -> Tensor:
    """A convolution over the real positions of h (B, L, D)."""
    h = h if mask is None else h * mask.unsqueeze(-1)
    return convolution(h.transpose(1, 2)).transpose(1, 2)
