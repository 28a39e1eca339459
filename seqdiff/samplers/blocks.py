"""Semi-autoregressive sampling: any loop of the absorbing process, run block after block from left to right."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seqdiff.condition import Condition
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.absorbing import Loop
from seqdiff.samplers.state import State

STRIDE = 2**20  # a state's step is block · STRIDE + the inner loop's step


def blockwise(
    state: State,
    process: Absorbing,
    condition: Condition,
    steps: int,
    loop: Callable[..., Loop],
    block: int = 32,
) -> Loop:
    """Positions 0 … block − 1 by `loop` to its end, then the next block, and so on (Arriola et al., BD3-LM, 2025; LLaDA).

    The denoiser sees the whole sequence, masks on the right included; the loop may change its own block alone. Pins may
    stand anywhere. Of the T steps each block has ⌈T / blocks⌉, and t runs from 1 to 0 within a block.

    Law: that of drawing the blocks in order, each given those before it and all pins. With an exact denoiser it is exact if
    `loop` is (first hitting), and otherwise each block has the loop's error.

    Args:
        loop: (state, process, condition, steps) → a loop of this package.
        block: positions a block.
    """
    if block < 1:
        raise ConfigError(f"blockwise: expected blocks of at least one position, got {block}")
    L = state.tokens.shape[1]
    blocks = -(-L // block)
    place = torch.arange(L, device=state.tokens.device) // block
    hidden = process.mask + 2  # no token, mask or pad: a mask that the inner loop does not see
    for b in range(blocks):
        here = (state.step // STRIDE == b).unsqueeze(-1)
        own = here & (place == b)
        if not bool((own & state.changeable).any()):
            state = state.put(state.tokens, torch.where(here.squeeze(-1), (b + 1) * STRIDE, state.step))
            continue
        tokens = torch.where((state.tokens == process.mask) & ~own, hidden, state.tokens)
        inner = replace(state, tokens=tokens, step=state.step - b * STRIDE, free=state.changeable & own)
        inner = replace(inner, step=torch.where(here.squeeze(-1), inner.step, STRIDE))

        def outer(inner: State, before=state, here=here, b=b) -> State:
            step = torch.where(here.squeeze(-1), inner.step + b * STRIDE, before.step)
            return replace(inner, tokens=shown(inner.tokens, process.mask, hidden), step=step, free=before.free)

        inside = loop(inner, process, WithHidden(condition, process.mask, hidden), steps=-(-steps // blocks))
        try:
            query = next(inside)
            while True:
                query = inside.send((yield replace(query, state=outer(query.state))))
        except StopIteration as end:
            state = outer(end.value)
        state = state.put(state.tokens, torch.where(here.squeeze(-1), (b + 1) * STRIDE, state.step))
    return state


def shown(tokens: Tensor, mask: int, hidden: int) -> Tensor:
    """tokens with hidden masks as masks again."""
    return torch.where(tokens == hidden, mask, tokens)


@dataclass(frozen=True)
class WithHidden:
    """A condition that is told x_t without hidden masks."""

    condition: Condition
    mask: int
    hidden: int

    def tilt(self, logits: Tensor, rows: Tensor | None, positions: Tensor | None) -> Tensor:
        return self.condition.tilt(logits, rows, positions)

    def draw(self, x_t: Tensor, p_x0: Tensor, positions: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        return self.condition.draw(shown(x_t, self.mask, self.hidden), p_x0, positions, u)
