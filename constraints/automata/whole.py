"""The dynamic programme over all states of an automaton at every position: one sweep from the end, and draws from it.

Shapes: B = H W rows in groups (`chain_steps`), L length, D labels, S states.
"""

import torch
from torch import Tensor

from constraints.automata.chain_steps import Steps
from constraints.automata.chain_sweep import HIGHEST, Choices, Masses, Sweep, accepted, backward


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
        m, step = sweep.masses.m, self._steps.step
        _, H, D, W = m.shape
        B = H * W
        group, within = torch.arange(H, device=m.device), torch.arange(W, device=m.device)
        row = (group.unsqueeze(-1) * (self.states + 1) * W + within).view(B, 1)  # of (state 0, row b) in a flat β
        state, following, place = row.new_full((B, 1), self.start), row.new_empty(B, D), row.new_empty(B, D)
        weight, cumulative = m.new_empty(B, D), m.new_empty(B, D, dtype=torch.float64)
        choices, noise = Choices(upto, B, m), u.T.double().clamp(max=HIGHEST).unsqueeze(-1)
        for i, (mass, after, u_i) in enumerate(zip(m[:upto].transpose(2, 3), sweep.beta[1:], noise, strict=False)):
            torch.index_select(step, 0, state.view(-1), out=following)
            torch.add(row, following, alpha=W, out=place)
            torch.index_select(after.view(-1), 0, place.view(-1), out=weight.view(-1))
            weight.view(H, W, D).mul_(mass)
            torch.gather(following, -1, choices.pick(i, weight, u_i, cumulative), out=state)
        return choices.labels(), choices.left()
