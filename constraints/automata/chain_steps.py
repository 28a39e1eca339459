"""One step of the dynamic programme over an automaton, as tables of indices: what `Chain` repeats at every position.

The automaton is read by *labels*: sets of token classes, one target each from any state. Labels are the classes themselves,
or, where that leaves fewer edges, the sets of classes that lead together from one state to another. A *pair* is a label
with a state that it can lead to; the sum over edges then is one product a pair and one gathered sum an edge,

    β_{i−1}(q) = Σ_{(d, q') ∈ out(q)} T(d, q')     T(d, q') = m_i(d) β_i(q')     m_i(d) = Σ_{v ∈ d} p_i(v),

with rows as the last axis, so that every index moves a contiguous run of numbers.

Shapes: B rows, L length, V vocabulary, G regions, K classes, D labels, S states, E edges, P pairs.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

BLOCK_COST = 400  # one more block of pairs costs about as much time as this many rows of padding


def class_masses(p: Tensor, classes: Tensor, count: int, region: Tensor | None) -> Tensor:
    """m (K, B, L) with m[c, b, i] = Σ_{v: class c} p[b, i, v]; summed token by token, so that no row depends on its batch."""
    by_token = p.flatten(0, 1).t().contiguous()
    mass = by_token.new_zeros(count, by_token.shape[1])
    if region is None or len(classes) == 1:
        mass.index_add_(0, classes[0], by_token)
    else:
        mass.scatter_add_(0, classes[region.flatten()].t(), by_token)
    return mass.view(count, *p.shape[:2])


def labelled(delta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(step (S, D), members (D, K) bool): the automaton by labels; step is S where there is no transition.

    Classes that lead together from one state to another become one label if the edges saved outweigh the new labels.
    """
    states, classes = delta.shape
    dead = np.where(delta < 0, states, delta)
    sets: dict[bytes, int] = {}
    edges: list[tuple[int, int, int]] = []
    for q, row in enumerate(dead):
        for target in np.unique(row[row < states]):
            label = sets.setdefault((row == target).tobytes(), len(sets))
            edges.append((q, label, int(target)))
        if len(sets) > 2 * classes:
            break
    if not sets or len(sets) > 2 * classes or len(edges) > 0.8 * (delta >= 0).sum():
        return dead, np.eye(classes, dtype=bool)
    step = np.full((states, len(sets)), states)
    q, label, target = np.array(edges).T
    step[q, label] = target
    members = np.array([np.frombuffer(key, dtype=bool) for key in sets]).reshape(len(sets), classes)
    return step, members


def blocks_of(width: np.ndarray) -> list[tuple[int, int, int]]:
    """Labels by falling number of pairs, cut into blocks (first, last + 1, width) whose labels are padded to one width."""
    blocks: list[tuple[int, int, int]] = []
    first, padding = 0, 0
    for d in range(1, len(width) + 1):
        if d < len(width):
            padding += int(width[first] - width[d])
        if d == len(width) or padding > BLOCK_COST:
            blocks.append((first, d, int(width[first])))
            first, padding = d, 0
    return [block for block in blocks if block[2]]


class Steps:
    """The tables of one automaton on one device.

    Attributes:
        step: (S + 1, D) int64, where a label leads; S is dead and stays dead.
        step_of_class: (S + 1, K) int64, the same by class.
        members: (D, K) bool, the classes of a label.
        pairs: (P,) int64, the target state of each pair.
        classes: (G, V) int64, as in the automaton.
    """

    def __init__(self, automaton, device):
        delta = np.asarray(automaton.delta)
        self.states = S = len(delta)
        step, members = labelled(delta)
        order = np.argsort([-len(np.unique(column[column < S])) for column in step.T], kind="stable")
        step, members = step[:, order], members[order]
        targets = [np.unique(column[column < S]) for column in step.T]
        self._blocks = blocks_of(np.array([len(target) for target in targets]))

        pair = np.zeros((S, len(order)), np.int64)  # of the edge (q, d)
        pairs: list[np.ndarray] = []
        self._rows: list[tuple[slice, slice, int]] = []
        end = 0
        for first, last, width in self._blocks:
            start = end
            for d in range(first, last):
                pairs.append(np.pad(targets[d], (0, width - len(targets[d]))))
                pair[:, d] = end + np.searchsorted(targets[d], step[:, d])
                end += width
            self._rows.append((slice(first, last), slice(start, end), width))
        flat = np.concatenate(pairs) if pairs else np.zeros(0, np.int64)
        source, label = np.nonzero(step < S)
        edge = pair[source, label]

        def table(array, dtype=torch.int64):
            return torch.as_tensor(np.ascontiguousarray(array), dtype=dtype, device=device)

        self.step = table(np.pad(step, ((0, 1), (0, 0)), constant_values=S))
        self.step_of_class = table(np.pad(np.where(delta < 0, S, delta), ((0, 1), (0, 0)), constant_values=S))
        self.members = table(members, torch.bool)
        self.pairs = table(flat)
        self.classes = table(automaton.classes)
        self.start = int(automaton.start)
        self.accepting = table(np.append(automaton.accepting, False), torch.bool)
        used = np.unique(edge)  # not the padding
        self._out = _bags(edge, source, S + 1, table)
        self._into = _bags(source, edge, len(flat), table)
        self._arrive = _bags(used, flat[used], S + 1, table)

    def label_masses(self, mass: Tensor) -> Tensor:
        """(K, B, L) by class → (L, D, B) by label."""
        label, member = self.members.nonzero(as_tuple=True)
        if len(label) == len(self.members):
            by_label = mass[member]
        else:
            by_label = mass.new_zeros(len(self.members), *mass.shape[1:]).index_add_(0, label, mass[member])
        return by_label.flatten(0, 1).t().contiguous().view(mass.shape[2], len(self.members), mass.shape[1])

    def scratch(self, like: Tensor) -> Tensor:
        """Room for T (P, B), for `like` (…, B)."""
        return like.new_empty(len(self.pairs), like.shape[-1])

    def backward(self, beta: Tensor, mass: Tensor, scratch: Tensor) -> Tensor:
        """β_{i−1} (S + 1, B) from β_i (S + 1, B) and m_i (D, B); the dead state's row is 0."""
        torch.index_select(beta, 0, self.pairs, out=scratch)
        self._weigh(scratch, mass)
        return self._sum(scratch, self._out)

    def follow(self, beta: Tensor, mass: Tensor, c: int) -> Tensor:
        """`backward` where every row has mass on class c alone: the automaton moves as one map."""
        return beta[self.step_of_class[:, c]] * mass.amax(0)

    def forward(self, alpha: Tensor, mass: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        """(α_i (S + 1, B), g_i (D, B)) from α_{i−1}, m_i and β_i, with g_i(d) = Σ_q α_{i−1}(q) β_i(δ(q, d))."""
        into = self._sum(alpha, self._into)
        through = into * beta[self.pairs]
        g = torch.zeros_like(mass)
        for labels, rows, width in self._rows:
            g[labels] = through[rows].view(-1, width, mass.shape[-1]).sum(1)
        return self._sum(self._weigh(into, mass), self._arrive), g

    def _weigh(self, pairs: Tensor, mass: Tensor) -> Tensor:
        for labels, rows, width in self._rows:
            pairs[rows].view(-1, width, mass.shape[-1]).mul_(mass[labels].unsqueeze(1))
        return pairs

    @staticmethod
    def _sum(table: Tensor, bags: tuple[Tensor, Tensor]) -> Tensor:
        index, offsets = bags
        if len(index) == 0:
            return table.new_zeros(len(offsets) - 1, table.shape[-1])
        return embedding_bag(index, table, offsets, mode="sum", include_last_offset=True)


def _bags(item: np.ndarray, bag: np.ndarray, bags: int, table) -> tuple[Tensor, Tensor]:
    """Items ordered by bag, and where each bag begins: (n,) and (bags + 1,) int32."""
    order = np.argsort(bag, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(bag, minlength=bags))])
    return table(item[order], torch.int32), table(offsets, torch.int32)
