"""One step of the dynamic programme over an automaton, as tables of indices: what `Chain` repeats at every position.

The automaton is read by *labels*: sets of token classes, one target each from any state. Labels are the classes themselves,
or, where that leaves fewer edges, the sets of classes that lead together from one state to another. A *pair* is a label
with a state that it can lead to; the sum over edges then is one product a pair and one gathered sum an edge,

    β_{i−1}(q) = Σ_{(d, q') ∈ out(q)} T(d, q')     T(d, q') = m_i(d) β_i(q')     m_i(d) = Σ_{v ∈ d} p_i(v),

with rows as the last axis, so that every index moves a contiguous run of numbers.

Rows are laid out in H groups of W, one group after the other: a thread that takes one part in H of each table in every
operation then meets its own rows again, where its caches hold them. All groups together are read as one automaton of H parts.

Shapes: B = H W rows, L length, V vocabulary, G regions, K classes, D labels, S states, E edges, P pairs.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

WORTH, ROWS = 2**16, 8  # pairs × rows, and rows a thread, below which more threads gain nothing
BLOCK_COST = 400  # one more block of pairs costs about as much time as this many rows of padding


def class_masses(p: Tensor, classes: Tensor, count: int, region: Tensor | None) -> Tensor:
    """m (L, K, B) with m[i, c, b] = Σ_{v: class c} p[b, i, v]; summed token by token, so that no row depends on its batch."""
    B, L, V = p.shape
    by_token = p.reshape(B, L * V).t().contiguous().view(L, V, B)
    mass = by_token.new_zeros(L, count, B)
    if region is None or len(classes) == 1:
        return mass.index_add_(1, classes[0], by_token)
    return mass.scatter_add_(1, classes[region.t()].transpose(1, 2), by_token)


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
    """Labels by falling number of pairs, cut into blocks (first, last + 1, width) whose labels are padded to one width.

    Within a block the n-th pairs of all labels stand together, so that the product with m_i runs over contiguous numbers.
    """
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
            count = last - first
            for d in range(first, last):
                pair[:, d] = end + np.searchsorted(targets[d], step[:, d]) * count + d - first
            padded = [np.pad(targets[d], (0, width - len(targets[d]))) for d in range(first, last)]
            pairs.append(np.stack(padded, 1).ravel())
            self._rows.append((slice(first, last), slice(end, end + width * count), width))
            end += width * count
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
        self._out = Bags.of(edge, source, S + 1, len(flat), table)
        self._into = Bags.of(source, edge, len(flat), S + 1, table)
        self._arrive = Bags.of(used, flat[used], S + 1, len(flat), table)
        self._pairs_of: dict[int, Tensor] = {1: self.pairs}

    def _pairs(self, groups: int) -> Tensor:
        if groups not in self._pairs_of:
            self._pairs_of[groups] = repeated(self.pairs, self.states + 1, groups)
        return self._pairs_of[groups]

    def groups(self, p: Tensor) -> int:
        """H for p (B, …): one for each thread of the CPU, as far as the work is worth their meeting."""
        if p.device.type != "cpu" or len(p) * len(self.pairs) < WORTH:
            return 1
        return max(1, min(torch.get_num_threads(), len(p) // ROWS))

    def met(self, index: Tensor, table: Tensor, region: Tensor | None) -> Tensor:
        """(n, L, K) bool: the classes that the sets of tokens index (n, L) of table (N, V) bool have in regions (n, L)."""
        K = self.step_of_class.shape[1]
        table = table.to(self.classes.device, torch.float32)
        met = torch.stack([table.new_zeros(len(table), K).index_add_(1, of_token, table) > 0 for of_token in self.classes], 1)
        return met[index, 0 if region is None or len(self.classes) == 1 else region]

    def label_masses(self, mass: Tensor, groups: int) -> Tensor:
        """(L, K, B) by class → (L, H, D, W) by label."""
        label, member = self.members.nonzero(as_tuple=True)
        by_label = mass.index_select(1, member)
        if len(label) > len(self.members):
            by_label = mass.new_zeros(len(mass), len(self.members), mass.shape[2]).index_add_(1, label, by_label)
        return by_label.unflatten(2, (groups, mass.shape[2] // groups)).transpose(1, 2).contiguous()

    def scratch(self, like: Tensor) -> "Scratch":
        """Room for T, for β `like` (H, S + 1, W)."""
        H, _, W = like.shape
        pairs = like.new_empty(H, len(self.pairs), W)
        blocks = [pairs[:, rows].view(H, width, -1, W) for _, rows, width in self._rows]
        return Scratch(pairs.view(-1, W), blocks)

    def by_block(self, m: Tensor) -> list[Tensor]:
        """Views (…, H, 1, labels, W) of masses (…, H, D, W), one a block."""
        return [m[..., labels, :].unsqueeze(-3) for labels, _, _ in self._rows]

    def backward(self, beta: Tensor, mass: list[Tensor], scratch: "Scratch") -> Tensor:
        """β_{i−1} (H, S + 1, W) from β_i and m_i `by_block`; the dead state's row is 0."""
        H, S, W = beta.shape
        torch.index_select(beta.view(-1, W), 0, self._pairs(H), out=scratch.pairs)
        for block, m in zip(scratch.blocks, mass, strict=True):
            block.mul_(m)
        return self._out.sum(scratch.pairs, H).view(H, S, W)

    def follow(self, beta: Tensor, mass: Tensor, c: int) -> Tensor:
        """`backward`, m_i (H, D, W), where every row has mass on class c alone: the automaton moves as one map."""
        return beta.index_select(1, self.step_of_class[:, c]) * mass.amax(1, keepdim=True)

    def forward(self, alpha: Tensor, mass: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        """(α_i (H, S + 1, W), g_i (H, D, W)) from α_{i−1}, m_i and β_i, with g_i(d) = Σ_q α_{i−1}(q) β_i(δ(q, d))."""
        H, S, W = alpha.shape
        into = self._into.sum(alpha.view(-1, W), H).view(H, -1, W)
        through = into * beta.index_select(1, self.pairs)
        g = torch.zeros_like(mass)
        for (labels, rows, width), m in zip(self._rows, self.by_block(mass), strict=True):
            g[:, labels] = through[:, rows].view(H, width, -1, W).sum(1)
            into[:, rows].view(H, width, -1, W).mul_(m)
        return self._arrive.sum(into.view(-1, W), H).view(H, S, W), g


@dataclass(frozen=True)
class Scratch:
    """Room for T: all `pairs` (H P, W), and views of its `blocks` (H, width, labels, W)."""

    pairs: Tensor
    blocks: list[Tensor]


class Bags:
    """Sums of some rows of a table (length, W): bag n those of index (items,) from offsets[n] to offsets[n + 1]."""

    def __init__(self, index: Tensor, offsets: Tensor, length: int):
        self._tables, self._bags, self.length = {1: (index, offsets)}, len(offsets) - 1, length

    @classmethod
    def of(cls, item: np.ndarray, bag: np.ndarray, bags: int, length: int, table) -> "Bags":
        """Item n of `item` belongs to bag n of `bag`."""
        order = np.argsort(bag, kind="stable")
        offsets = np.concatenate([[0], np.cumsum(np.bincount(bag, minlength=bags))])
        return cls(table(item[order], torch.int32), table(offsets, torch.int32), length)

    def sum(self, table: Tensor, groups: int) -> Tensor:
        """(H bags, W) from H tables (H length, W), one after the other."""
        index, offsets = self._of(groups)
        if len(index) == 0:
            return table.new_zeros(groups * self._bags, table.shape[-1])
        return torch.embedding_bag(table, index, offsets, mode=0, include_last_offset=True)[0]  # mode 0: sum

    def _of(self, groups: int) -> tuple[Tensor, Tensor]:
        if groups not in self._tables:
            index, offsets = self._tables[1]
            starts = repeated(offsets[:-1], len(index), groups)
            ends = starts.new_tensor([groups * len(index)])
            self._tables[groups] = repeated(index, self.length, groups), torch.cat([starts, ends])
        return self._tables[groups]


def repeated(index: Tensor, length: int, groups: int) -> Tensor:
    """An index (n,) into a table of `length` rows, for H of them one after the other: (H n,)."""
    return (index + length * torch.arange(groups, dtype=index.dtype, device=index.device).unsqueeze(-1)).flatten()
