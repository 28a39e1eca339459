"""The dynamic programme over all states of an automaton at every position: one sweep from the end, and draws from it.

Shapes: B = H W rows in groups (`chain_steps`), L length, D labels, S states.
"""

import torch
from torch import Tensor

from constraints.automata.chain_steps import Steps
from constraints.automata.chain_sweep import HIGHEST, Masses, Sweep, accepted, backward, left_of, pick


class Whole:
    """What `Live` is, with one position a stage and every state live; `spare` is where used memory waits for its next use."""

    def __init__(self, steps: Steps, length: int, spare: list[Tensor]):
        self._steps, self._length, self._spare = steps, length, spare
        self.states, self.start = steps.states, steps.start
        self.numbers = (length + 1) * (steps.states + 1) + len(steps.pairs)

    def before(self, position: int) -> int:
        return position

    def end(self, stages: int) -> int:
        return stages

    def backward(self, masses: Masses, beta: Tensor | None = None, upto: int | None = None, keep: bool = False) -> Sweep:
        """β before every position if it is to be kept, else β_0."""
        upto = self._length if upto is None else upto
        beta = accepted(self._steps, masses.m) if beta is None else beta
        return backward(self._steps, masses, beta, upto, self._room(upto + 1, beta) if keep else None)

    def _room(self, count: int, like: Tensor) -> Tensor:
        """(count, *like.shape) of memory that was used before, if there is: touching new pages takes as long as the sums."""
        wanted = count * like.numel()
        try:
            room = self._spare.pop()
        except IndexError:  # asked for, not looked up: another thread may have taken it in between
            room = like.new_empty(0)
        room = room if room.numel() >= wanted else like.new_empty(wanted)
        return room[:wanted].view(count, *like.shape)

    def give_back(self, sweep: Sweep) -> None:
        self._spare[:] = [room for room in [sweep.beta[0]._base] if room is not None]

    def path(self, sweep: Sweep, u: Tensor, upto: int) -> tuple[Tensor, Tensor]:
        """Labels (B, L′) of the first `upto` positions, drawn one after the other, and what is left of each u."""
        m, beta = sweep.masses.m, sweep.beta
        _, H, D, W = m.shape
        B = H * W
        group, within = torch.arange(H, device=m.device), torch.arange(W, device=m.device)
        row = (group.unsqueeze(-1) * (self.states + 1) * W + within).view(B, 1)  # of (state 0, row b) in a flat β
        state = torch.full((B,), self.start, device=m.device)
        drawn = []
        for mass, after, u_i in zip(m[:upto].transpose(2, 3), beta[1:], u.T.clamp(max=HIGHEST).unsqueeze(-1), strict=False):
            following = self._steps.step.index_select(0, state)
            weight = after.take(torch.add(row, following, alpha=W))
            weight.view(H, W, D).mul_(mass)
            drawn.append(pick(weight, u_i))
            state = following.gather(-1, drawn[-1][0]).squeeze(-1)
        if not drawn:
            return state.new_empty(B, 0), u.new_empty(B, 0)
        label, *choice = (torch.cat(column, -1) for column in zip(*drawn, strict=True))
        return label, left_of(*choice)
