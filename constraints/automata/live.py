"""The dynamic programme over those states alone that can matter, where it is known what stands at each position.

A template pins most tokens, a region reads only its own positions, a counter counts one by one: of all pairs (position, state)
few are reached from the start by what may stand before and reach acceptance by what may stand after. Only these are live.

    live_i = {q: q_0 → q by classes allowed at 0 … i − 1, and q → F by classes allowed at i … L − 1}

A table of what the others would have added is a table of zeros, so sums are the same numbers in the same order. A run of
positions that allow one class each is one map of states. The tables follow from what a request allows, never from a
batch: rows that share a request share them, and no row depends on its company.

Shapes: B = H W rows in groups (`chain_steps`), L length, V vocabulary, K classes, D labels (d of them at a stage), S states,
n states live before a stage and n′ after it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from constraints.automata.chain_steps import Bags, Steps
from constraints.automata.chain_sweep import HIGHEST, RESCALE, Choices, Masses, Sweep, power

STEP = 2**14  # what a stage costs besides its sums, in numbers summed
WORTH = 0.7  # of the cost of all states, below which live ones are swept
MOST = 2**27  # bytes of tables that are kept, the last used, of all that a chain was told
RUN = 16  # positions of a run at most: masses of at least ½ then cannot leave the range of float32 between two rescalings


@dataclass(frozen=True, eq=False)
class Stage:
    """Positions first … last − 1: one where there is a choice, or a run of such where there is none.

    Attributes:
        labels: (d,) int64, the labels that can be read; of a run, one for each of its positions.
        step: (n + 1, d) int32, where they lead, n′ being dead; of a run (n + 1, 1), where all of it leads.
        sums: Σ over the labels of each state, in a table of labels × (n′ + 1) states; None of a run.
        every: whether these are all labels.
    """

    first: int
    last: int
    labels: Tensor
    step: Tensor
    sums: Bags | None
    every: bool = False


class Live:
    """The stages of rows of one length, from the first position to the last.

    Attributes:
        sizes: how many states are live before each stage, and at the end.
        start: the place of q_0 among the live states.
    """

    start = 0

    def __init__(self, stages: list[Stage], sizes: list[int]):
        self.stages, self.sizes, self.states = stages, sizes, max(sizes)
        self.numbers = sum(sizes) + len(sizes)
        self.bytes = sum(8 * stage.step.numel() for stage in stages)
        self._room = max((stage.sums.length for stage in stages if stage.sums is not None), default=0)

    @classmethod
    def of(cls, steps: Steps, allowed: np.ndarray) -> "Live | None":
        """For classes that are allowed (L, K) bool; None where nothing can stand at all, or all states cost no more."""
        step, follow, members = (table.cpu().numpy() for table in (steps.step, steps.step_of_class, steps.members))
        live = _live(follow, steps.start, steps.accepting.cpu().numpy(), allowed)
        forced, used = allowed.sum(1) == 1, (allowed @ members.T.astype(np.int64)) > 0
        bounds = _bounds(forced)
        sizes = [len(live[a]) for a, _ in bounds] + [len(live[-1])]
        sums = [0 if forced[a] else used[a].sum() * (len(live[a]) + len(live[b])) for a, b in bounds]
        whole = len(allowed) * STEP + (~forced).sum() * (len(steps.pairs) + int((step < steps.states).sum()))
        if not all(sizes) or sum(sums) + len(bounds) * STEP > WORTH * whole:
            return None

        def table(array, dtype=torch.int64):
            return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=steps.pairs.device)

        number, stages = np.empty(steps.states + 1, np.int64), []
        for a, b in bounds:
            after = len(live[b])
            number[:] = after
            number[live[b]] = np.arange(after)
            if forced[a]:
                classes, state = allowed[a:b].argmax(1), live[a]
                for c in classes:
                    state = follow[state, c]
                leads = np.append(number[state], after)[:, None]
                stages.append(Stage(a, b, table(members[:, classes].argmax(0)), table(leads, torch.int32), None))
                continue
            labels = np.flatnonzero(used[a])
            leads = np.vstack([number[step[live[a]][:, labels]], np.full((1, len(labels)), after)])
            place = leads + np.arange(len(labels)) * (after + 1)
            ends = np.arange(len(leads) + 1) * len(labels)
            bags = Bags(table(place.ravel(), torch.int32), table(ends, torch.int32), len(labels) * (after + 1))
            stages.append(Stage(a, b, table(labels), table(leads, torch.int32), bags, len(labels) == len(members)))
        return cls(stages, sizes)

    def before(self, position: int) -> int:
        """How many stages, from the first, have all positions before this one."""
        return next((s for s, stage in enumerate(self.stages) if stage.first >= position), len(self.stages))

    def end(self, stages: int) -> int:
        """How many positions the first stages have."""
        return self.stages[stages - 1].last if stages else 0

    def give_back(self, sweep: Sweep) -> None:
        """What is live takes little memory: none is kept."""

    def backward(self, masses: Masses, beta: Tensor | None = None, upto: int | None = None, keep: bool = False) -> Sweep:
        """β before every stage from β after the first `upto`, by default from the end; rescales the masses in place."""
        m = masses.m
        _, H, _, W = m.shape
        if beta is None:
            beta = m.new_ones(H, self.sizes[-1] + 1, W)  # those that are live at the end accept
            beta[:, -1] = 0
        room, found = m.new_empty(H * self._room * W), [beta]
        for s, stage in reversed([*enumerate(self.stages[:upto])]):
            i = stage.first
            if s % RESCALE == 0:
                _, shift = torch.frexp(beta.amax(1, keepdim=True))
                m[i].mul_(power(-shift, m))
                masses.shift[i] = shift.flatten()
            if stage.sums is None:
                beta = beta.index_select(1, stage.step[:, 0])
                factors = m[i : stage.last].amax(2, keepdim=True)
                if not bool((factors == 1).all()):
                    for factor in factors.flip(0):
                        beta = beta * factor
            else:
                mass = m[i] if stage.every else m[i].index_select(1, stage.labels)
                products = room[: H * stage.sums.length * W].view(H, len(stage.labels), -1, W)
                torch.mul(beta.unsqueeze(1), mass.unsqueeze(2), out=products)
                beta = stage.sums.sum(products.view(-1, W), H).view(H, -1, W)
            found.append(beta)
        return Sweep(found[::-1], masses)

    def path(self, sweep: Sweep, u: Tensor, upto: int) -> tuple[Tensor, Tensor]:
        """Labels (B, L′) of the first `upto` stages, drawn one after the other, and what is left of each u."""
        m = sweep.masses.m
        _, H, _, W = m.shape
        B = H * W
        group, within = torch.arange(H, device=m.device).view(H, 1, 1), torch.arange(W, device=m.device).unsqueeze(-1)
        open_ = [stage.first for stage in self.stages[:upto] if stage.sums is not None]
        choices, noise = Choices(len(open_), B, m), u[:, : self.end(upto)].double().clamp(max=HIGHEST)
        labels, state, k = torch.empty_like(noise, dtype=torch.int64), within.new_zeros(B), 0
        for stage, after in zip(self.stages[:upto], sweep.beta[1:], strict=False):
            i = stage.first
            following = stage.step.index_select(0, state).long()
            if stage.sums is None:
                labels[:, i : stage.last], state = stage.labels, following[:, 0]
                continue
            mass = m[i].transpose(1, 2).reshape(B, -1)
            place = (group * (after.shape[1] * W) + within).view(B, 1).add(following, alpha=W)
            weight = after.view(-1).index_select(0, place.view(-1)).view_as(following)
            weight.mul_(mass if stage.every else mass.index_select(1, stage.labels))
            label = choices.pick(k, weight, noise[:, i : i + 1], torch.empty_like(weight, dtype=torch.float64))
            state, k = following.gather(1, label).squeeze(1), k + 1
            labels[:, i] = stage.labels[label.squeeze(1)]
        noise[:, open_] = choices.left()
        return labels, noise


class Lives:
    """What rows of each length may hold, and which states are live then.

    Args:
        classes: (n, L, K) bool, what may stand in rows of which the first `lengths` positions count.
        found: tables that are remembered, also those of others.
    """

    def __init__(self, steps: Steps, classes: Tensor, lengths: Sequence[int], found: OrderedDict):
        self._steps, self._allowed, self._found = steps, {}, found
        for length in sorted(set(lengths)):
            rows = [k for k, other in enumerate(lengths) if other == length]
            self._allowed[length] = classes[rows, :length].any(0)

    def of(self, length: int) -> Live | None:
        """None where all states are swept as well."""
        if length not in self._allowed:
            return None
        key = self, length
        live = self._found.pop(key, "unknown")  # of several threads at most one drops it
        if live == "unknown":
            live = Live.of(self._steps, self._allowed[length].cpu().numpy())
        self._found[key] = live
        while sum(other.bytes for other in list(self._found.values()) if other is not None) > MOST and len(self._found) > 1:
            self._found.popitem(last=False)
        return live

    def outside(self, p: Tensor, region: Tensor | None) -> Tensor:
        """(R,) bool: which rows hold what was not allowed."""
        tokens = self._allowed[p.shape[1]][:, self._steps.classes]  # (L, G, V)
        several = region is not None and tokens.shape[1] > 1
        fits = tokens[torch.arange(p.shape[1], device=p.device), region] if several else tokens[:, 0]
        return ((p > 0) & ~fits).any(-1).any(-1)


def _live(follow: np.ndarray, start: int, accepting: np.ndarray, allowed: np.ndarray) -> list[np.ndarray]:
    """The live states before each position and at the end, in rising order, by δ of classes (S + 1, K)."""
    flat, (S, K) = follow.astype(np.int32).ravel(), follow.shape
    live, leads = [np.array([start])], []
    for classes in allowed:
        leads.append(flat.take(K * live[-1][:, None] + np.flatnonzero(classes)))
        met = np.zeros(S, bool)
        met[leads[-1]] = True
        met[S - 1] = False  # dead
        live.append(np.flatnonzero(met))
    completes = accepting
    for i in reversed(range(len(live))):
        if i < len(leads):
            live[i] = live[i][completes[leads[i]].any(1)]
        else:
            live[i] = live[i][completes[live[i]]]
        completes = np.zeros(S, bool)
        completes[live[i]] = True
    return live


def _bounds(forced: np.ndarray) -> list[tuple[int, int]]:
    """(first, last + 1) of every stage: runs of forced positions, the others one by one."""
    bounds: list[tuple[int, int]] = []
    for i, alone in enumerate(forced):
        if alone and bounds and forced[i - 1] and i - bounds[-1][0] < RUN:
            bounds[-1] = (bounds[-1][0], i + 1)
        else:
            bounds.append((i, i + 1))
    return bounds
