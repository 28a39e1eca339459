"""Semi-autoregressive sampling: any loop of the absorbing process, run block after block from left to right."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seqdiff.condition import Condition, Draw
from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.absorbing import Loop, padded
from seqdiff.samplers.state import Query, State

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

        seen = WithHidden(condition, process.mask, hidden)
        inside = loop(inner, process, seen, steps=-(-steps // blocks))
        try:
            query = next(inside)
            while True:
                query = inside.send(seen.narrow((yield seen.widen(replace(query, state=outer(query.state))))))
        except StopIteration as end:
            state = outer(end.value)
        state = state.put(state.tokens, torch.where(here.squeeze(-1), (b + 1) * STRIDE, state.step))
    return state


def shown(tokens: Tensor, mask: int, hidden: int) -> Tensor:
    """tokens with hidden masks as masks again."""
    return torch.where(tokens == hidden, mask, tokens)


@dataclass
class WithHidden:
    """A condition that is told x_t without hidden masks. If it is joint, the hidden positions are asked for and drawn
    along with the block's, and the inner loop does not see them."""

    condition: Condition
    mask: int
    hidden: int
    wide: tuple[Query, Tensor] | None = None
    own: int = 0

    @property
    def joint(self) -> bool:
        return self.condition.joint

    def widen(self, query: Query) -> Query:
        """The query with every mask of its rows, those that the inner loop asks for first."""
        if not self.joint:
            return query
        assert query.positions is not None and query.open is not None
        self.own = query.positions.shape[1]
        more = (query.x_t == self.mask).scatter(1, query.positions, False)
        positions, real = padded(more)
        opened = torch.cat([query.open, real], -1)
        query = replace(query, positions=torch.cat([query.positions, positions], -1), open=opened)
        self.wide = query, torch.empty(0)
        return query

    def narrow(self, p_x0: Tensor) -> Tensor:
        """What the inner loop is sent; `draw` takes the rest from here."""
        if self.wide is None:
            return p_x0
        self.wide = self.wide[0], p_x0
        return p_x0[:, : self.own]

    def tilt(self, logits: Tensor, rows: Tensor | None, positions: Tensor | None) -> Tensor:
        return self.condition.tilt(logits, rows, positions)

    def draw(self, query: Query, p_x0: Tensor, commit: Tensor, u: Tensor) -> Draw:
        tokens = shown(query.state.tokens, self.mask, self.hidden)
        query = replace(query, state=replace(query.state, tokens=tokens))
        if self.wide is None:
            return self.condition.draw(query, p_x0, commit, u)
        wide, p_wide = self.wide
        assert wide.positions is not None and wide.open is not None and query.positions is not None and query.open is not None
        positions, opened = wide.positions[:, self.own :], wide.open[:, self.own :]
        state = wide.state if wide.rows is None else wide.state.rows(wide.rows)
        more = state.noise(state.step.unsqueeze(-1), positions, Stream.CHOICE)
        query = replace(query, positions=torch.cat([query.positions, positions], -1), open=torch.cat([query.open, opened], -1))
        p, u = torch.cat([p_x0, p_wide[:, self.own :]], 1), torch.cat([u, more], 1)
        draw = self.condition.draw(query, p, torch.cat([commit, torch.zeros_like(opened)], 1), u)
        return draw._replace(tokens=draw.tokens[:, : commit.shape[1]])
