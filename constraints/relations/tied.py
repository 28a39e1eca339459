"""Ties: positions that must be equal, or equal under a token map, folded into one variable.

Folding keeps what automata and grammars can do: the inner structure sees one copy of each tied group, with the product of the
group's p, and does not read the others. So "both chains alike, and each with the motif" stays exact at the cost of one chain.

Rows laid out differently. A tie, like any relation, names places of a row, and gap lengths may move these from row to row. A
structure here holds one layout; `Layouts` holds one structure for each layout that occurs and the layout of each row, and is
the only structure with data per row. Who calls a structure with some of the rows it was built for, in any order, calls
`structure.rows(index)` first, index (R,) being their numbers.

Shapes: n rows a structure was built for, R rows of a call, L length, V vocabulary.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from constraints.structure import Structure, possible
from constraints.token_sets import Numbered
from seqdiff.errors import ConditionError

TokenMap = tuple[int, ...]


@dataclass(frozen=True)
class Tie:
    """x_second = map[x_first], or x_second = x_first without a map. A position tied to itself must be a fixed point.

    Attributes:
        map: V tokens, one for each token of `first`; −1 where that token cannot stand. No token but −1 twice.
    """

    first: int
    second: int
    map: TokenMap | None = None


def copies(first: Sequence[int], second: Sequence[int], map: TokenMap | None = None) -> list[Tie]:
    """The positions `second` repeat `first`, one by one."""
    if len(first) != len(second):
        raise ConditionError(f"tie: expected as many positions on both sides, got {len(first)} and {len(second)}")
    return [Tie(i, j, map) for i, j in zip(first, second, strict=True)]


def mirrored(positions: Sequence[int], map: TokenMap | None = None) -> list[Tie]:
    """The positions read the same backwards (under the map); one in the middle is tied to itself."""
    k = len(positions)
    return [Tie(positions[i], positions[k - 1 - i], map) for i in range((k + 1) // 2)]


@dataclass(frozen=True, eq=False)
class Tied:
    """A Structure: rows of `inner` whose tied positions agree.

    The leader ℓ of a group gets p'_ℓ(v) = Π_{j ∈ group} p_j(image_j(v)); the others get the token 0 with mass 1 and the region
    `outside`; inner's draw is copied back. log Z = log Z_inner(p') + Σ_ℓ log scale_ℓ, the product being taken in logarithms
    and scaled to a largest entry of 1, since a product of many p underflows.

    Attributes:
        inner: reads leaders and untied positions only: at the region `outside` it must accept any token and not move.
        leader: (L,) int64, the first position of each position's group; its own number where it leads or is untied.
        maps: (M, V) int64, the token here where the leader's is v; −1 where the leader's cannot be v.
        which: (L,) int64, the map of each position.
        outside: a region that inner does not read.
    """

    inner: Structure
    leader: Tensor
    maps: Tensor
    which: Tensor
    outside: int

    @classmethod
    def compile(cls, ties: Iterable[Tie], inner: Structure, length: int, vocabulary: int, outside: int) -> "Tied":
        """Follow the ties from each group's first position. Raises ConditionError for a place or a map that cannot be."""
        identity = np.arange(vocabulary)
        neighbours: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(length)]
        read: dict[TokenMap | None, tuple[np.ndarray, np.ndarray]] = {None: (identity, identity)}
        for tie in ties:
            where = f"tie of positions {tie.first} and {tie.second}"
            if not (0 <= tie.first < length and 0 <= tie.second < length):
                raise ConditionError(f"{where}: the row has {length} positions, 0 to {length - 1}")
            if tie.map not in read:
                read[tie.map] = np.array(tie.map), _inverse(where, tie.map or (), vocabulary)
            forth, back = read[tie.map]
            neighbours[tie.first].append((tie.second, forth))
            neighbours[tie.second].append((tie.first, back))
        leader, image = list(range(length)), [identity] * length
        seen: set[int] = set()
        for start in range(length):
            if start not in seen:
                seen.add(start)
                _follow(start, neighbours, leader, image, seen)
        number: dict[bytes, int] = {}
        which = [number.setdefault(here.tobytes(), len(number)) for here in image]
        maps = np.array([np.frombuffer(key, identity.dtype) for key in number]).reshape(len(number), vocabulary)
        return cls(inner, torch.tensor(leader), torch.as_tensor(maps), torch.tensor(which), outside)

    def rows(self, index: Tensor) -> "Tied":
        return self

    def log_mass(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """log Z (R,) float64."""
        folded, log_scale = self._fold(p)
        return self.inner.log_mass(folded, self._regions(p, region)) + log_scale

    def draw(self, p: Tensor, u: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (R, L) and log Z (R,)."""
        folded, log_scale = self._fold(p)
        tokens, log_mass = self.inner.draw(folded, u, self._regions(p, region))
        leader, maps, which = (x.to(p.device) for x in (self.leader, self.maps, self.which))
        return maps[which, tokens[:, leader]].clamp(min=0), log_mass + log_scale

    def fold_sets(self, index: Tensor, table: Tensor, region: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """What p' may hold where p holds the sets index (n, L) of table (K, V): the same for inner, and its regions."""
        numbered, maps, which = Numbered(table.shape[1]), self.maps.numpy(), self.which.tolist()
        pulled: dict[tuple[int, int], int] = {}  # (set, map) → the tokens of the leader whose image is in the set

        def pull(k: int, m: int) -> int:
            if (k, m) not in pulled:
                pulled[k, m] = numbered.number(table.numpy()[k][maps[m]] & (maps[m] >= 0))
            return pulled[k, m]

        first = numbered.number(np.arange(table.shape[1]) == 0)
        leader, found = self.leader.tolist(), []
        for row in index.tolist():
            sets = [first] * len(row)
            for j, k in enumerate(row):
                own = pull(k, which[j])
                sets[leader[j]] = own if leader[j] == j else numbered.meet(sets[leader[j]], own)
            found.append(sets)
        return torch.tensor(found), torch.as_tensor(np.stack(numbered.sets)), self._regions(index, region)

    def possible_among(self, index: Tensor, table: Tensor, region: Tensor | None = None) -> Tensor:
        """Which rows (R,) can be filled with the sets of tokens index (R, L) of table (K, V) bool."""
        return possible(self.inner, *self.fold_sets(index, table, region))

    def _fold(self, p: Tensor) -> tuple[Tensor, Tensor]:
        """p' (R, L, V) float64 and Σ log scale (R,). The gradient at p_j(v) = 0 is taken as 0, the share of v at j."""
        leader, image = self.leader.to(p.device), self.maps.to(p.device)[self.which.to(p.device)]
        pulled = p.double().gather(-1, image.clamp(min=0).expand(p.shape))
        impossible = (image < 0) | (pulled <= 0)
        log_p = torch.where(impossible, float("-inf"), torch.where(impossible, 1.0, pulled).log())
        product = torch.zeros_like(log_p).index_add(1, leader, log_p)
        peak = product.detach().amax(-1)
        peak = torch.where(torch.isfinite(peak), peak, 0.0)
        folded = (product - peak.unsqueeze(-1)).exp()
        follows = (leader != torch.arange(len(leader), device=p.device)).unsqueeze(-1)
        dummy = torch.nn.functional.one_hot(leader.new_zeros(()), p.shape[-1]).to(folded)
        return torch.where(follows, dummy, folded), peak.sum(-1)

    def _regions(self, p: Tensor, region: Tensor | None) -> Tensor:
        leader = self.leader.to(p.device)
        if region is None:
            region = torch.zeros(p.shape[:2], dtype=torch.int64, device=p.device)  # p, or whatever is (R, L, …)
        return torch.where(leader != torch.arange(len(leader), device=p.device), self.outside, region)


def _follow(start: int, neighbours, leader: list[int], image: list[np.ndarray], seen: set[int]) -> None:
    """Compose the maps outwards from `start`; where a circle of ties closes, only its fixed points stay possible."""
    queue, group = [start], [start]
    stands = np.ones(len(image[start]), bool)
    while queue:
        here = queue.pop()
        for there, step in neighbours[here]:
            composed = np.where(image[here] < 0, -1, step[image[here]])
            if there in seen:
                stands &= composed == image[there]
            else:
                seen.add(there)
                leader[there], image[there] = start, composed
                queue.append(there)
                group.append(there)
    for position in group:
        image[position] = np.where(stands, image[position], -1)


def _inverse(where: str, forth: TokenMap, vocabulary: int) -> np.ndarray:
    if len(forth) != vocabulary or not all(-1 <= v < vocabulary for v in forth):
        raise ConditionError(f"{where}: expected {vocabulary} tokens, each from −1 to {vocabulary - 1}, got {list(forth)}")
    back = [-1] * vocabulary
    for v, image in enumerate(forth):
        if image >= 0:
            if back[image] >= 0:
                raise ConditionError(f"{where}: tokens {back[image]} and {v} both map to {image}; give each token another")
            back[image] = v
    return np.array(back)


@dataclass(frozen=True, eq=False)
class Layouts:
    """A Structure for rows that are laid out differently: each row by the structure of its layout.

    Attributes:
        structures: one for each layout.
        layout: (n,) int64, which of them each row has.
    """

    structures: tuple[Structure, ...]
    layout: Tensor

    def rows(self, index: Tensor) -> "Layouts":
        """The rows `index` (R,), in that order."""
        return Layouts(self.structures, self.layout[index.to(self.layout.device)])

    def log_mass(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """log Z (R,) float64, p (R, L, V) of exactly the rows held here."""
        log_mass = torch.zeros(len(p), dtype=torch.float64, device=p.device)
        for structure, rows in self._groups(p):
            part = structure.log_mass(p[rows], None if region is None else region[rows])
            log_mass = log_mass.index_put((rows,), part)
        return log_mass

    def draw(self, p: Tensor, u: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (R, L) and log Z (R,)."""
        tokens = torch.zeros(p.shape[:2], dtype=torch.int64, device=p.device)
        log_mass = torch.zeros(len(p), dtype=torch.float64, device=p.device)
        for structure, rows in self._groups(p):
            tokens[rows], log_mass[rows] = structure.draw(p[rows], u[rows], None if region is None else region[rows])
        return tokens, log_mass

    def possible_among(self, index: Tensor, table: Tensor, region: Tensor | None = None) -> Tensor:
        """Which of exactly the rows held here (R,) can be filled with the sets of tokens index (R, L) of table (K, V) bool."""
        found = torch.zeros(len(index), dtype=torch.bool, device=index.device)
        for structure, rows in self._groups(index):
            found[rows] = possible(structure, index[rows], table, None if region is None else region[rows])
        return found

    def _groups(self, p: Tensor) -> list[tuple[Structure, Tensor]]:
        if len(p) != len(self.layout):
            raise ConditionError(f"layouts: expected the {len(self.layout)} rows held, got {len(p)}; take rows(index) first")
        layout = self.layout.to(p.device)
        return [(self.structures[k], (layout == k).nonzero().squeeze(-1)) for k in layout.unique().tolist()]
