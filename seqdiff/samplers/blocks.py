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
        positions, opened = self.with_masks(query)
        self.own = 0 if query.positions is None else query.positions.shape[1]
        self.wide = replace(query, positions=positions, open=opened), torch.empty(0)
        return self.wide[0]

    def narrow(self, p_x0: Tensor) -> Tensor:
        """What the inner loop is sent; `draw` takes the rest from here."""
        if self.wide is None:
            return p_x0
        self.wide = self.wide[0], p_x0
        return p_x0[:, : self.own]

    def with_masks(self, query: Query) -> tuple[Tensor, Tensor]:
        """The query's positions and then all other masks of its rows, (R, P'), and which of them are masks."""
        positions = query.positions
        assert positions is not None
        more, _ = padded((query.tokens == self.mask).scatter(1, positions, False))
        positions = torch.cat([positions, more], -1)
        return positions, query.tokens.gather(1, positions) == self.mask

    def tilt(self, logits: Tensor, rows: Tensor | None, positions: Tensor | None) -> Tensor:
        return self.condition.tilt(logits, rows, positions)

    def marginals(self, query: Query, p_x0: Tensor) -> Tensor:
        return self.condition.marginals(query, p_x0)

    def draw(self, query: Query, p_x0: Tensor, commit: Tensor, u: Tensor) -> Draw:
        tokens = shown(query.state.tokens, self.mask, self.hidden)
        query = replace(query, state=replace(query.state, tokens=tokens))
        if self.wide is None:
            return self.condition.draw(query, p_x0, commit, u)
        (wide, p_wide), P = self.wide, commit.shape[1]
        assert wide.positions is not None
        everywhere = p_wide.new_zeros(*query.tokens.shape, p_wide.shape[-1])
        everywhere.scatter_(1, wide.positions.unsqueeze(-1).expand_as(p_wide), p_wide)
        positions, opened = self.with_masks(query)
        more = positions[:, P:]
        p_more = everywhere.gather(1, more.unsqueeze(-1).expand(*more.shape, p_wide.shape[-1]))
        state = wide.state if wide.rows is None else wide.state.rows(wide.rows)
        u = torch.cat([u, state.noise(state.step.unsqueeze(-1), more, Stream.CHOICE)], 1)
        kept = torch.cat([commit, torch.zeros_like(more, dtype=torch.bool)], 1)
        query = replace(query, positions=positions, open=opened)
        draw = self.condition.draw(query, torch.cat([p_x0, p_more], 1), kept, u)
        return draw._replace(tokens=draw.tokens[:, :P])
