"""How a factor graph is summed and drawn: variable elimination, all-different token by token, two runs that differ somewhere.

Each has `positions`, `cells` (the numbers a row needs), `sum_out(p)` for log Z with what a draw needs of it, and
`fill(x, p, u, …)`, which draws its positions into x (R, L) from one uniform number a position.

Shapes: R rows, L length, V vocabulary, k positions, w treewidth.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from seqdiff.draws import categorical
from seqdiff.errors import ConditionError

MAX_TREEWIDTH = 3
MAX_DISTINCT = 12
MAX_CELLS = 2**22  # float64 numbers held at once: 32 MB. Rows are taken in groups that fit.


def named(positions: Iterable[int]) -> str:
    return "positions " + ", ".join(map(str, positions))


@dataclass(frozen=True, eq=False)
class Factor:
    """A function of some variables: a relation's table (V, …), or where `table` is None the message number `message`."""

    scope: tuple[int, ...]
    table: Tensor | None
    message: int = -1


@dataclass(frozen=True, eq=False)
class Step:
    """Variable x leaves: m(neighbours) = Σ_x p_x(x) Π_f f(x, neighbours) over the factors that mention x."""

    variable: int
    neighbours: tuple[int, ...]
    factors: tuple[Factor, ...]


@dataclass(frozen=True, eq=False)
class Elimination:
    """Connected relations, as the steps that sum their variables out one by one.

    log Z comes from the last message. A row is drawn backwards: the variable summed last is drawn first, each from
    P(x | what is drawn) ∝ p_x(x) Π_f f(x, drawn neighbours).
    """

    steps: tuple[Step, ...]
    vocabulary: int

    @classmethod
    def compile(cls, factors: Iterable[Factor], vocabulary: int) -> "Elimination":
        """An order by the better of min-fill and min-degree, and the factors that each step takes."""
        import networkx as nx
        from networkx.algorithms.approximation import treewidth_min_degree, treewidth_min_fill_in

        pool = list(factors)
        graph = nx.Graph([pair for factor in pool for pair in combinations(factor.scope, 2)])
        width, tree = min((find(graph) for find in (treewidth_min_fill_in, treewidth_min_degree)), key=lambda found: found[0])
        if width > MAX_TREEWIDTH or vocabulary ** (width + 1) > MAX_CELLS:
            raise ConditionError(
                f"relations: {named(sorted(max(tree, key=len)))} depend on one another too closely: an exact sum needs tables "
                f"of {vocabulary}^{width + 1} numbers (treewidth {width}); at most treewidth {MAX_TREEWIDTH} and {MAX_CELLS:,} "
                "numbers are possible; relate fewer of them"
            )
        steps: list[Step] = []
        for variable in _order(tree):
            taken = tuple(factor for factor in pool if variable in factor.scope)
            neighbours = tuple(sorted({v for factor in taken for v in factor.scope} - {variable}))
            pool = [factor for factor in pool if variable not in factor.scope] + [Factor(neighbours, None, len(steps))]
            steps.append(Step(variable, neighbours, taken))
        return cls(tuple(steps), vocabulary)

    @property
    def treewidth(self) -> int:
        """Of the order found."""
        return max(len(step.neighbours) for step in self.steps)

    @property
    def positions(self) -> list[int]:
        return [step.variable for step in self.steps]

    @property
    def cells(self) -> int:
        """Numbers a row needs: every message, and the widest product before its variable is summed."""
        widths = [len(step.neighbours) for step in self.steps]
        return sum(self.vocabulary**w for w in widths) + self.vocabulary ** (max(widths) + 1)

    def sum_out(self, p: Tensor) -> tuple[Tensor, list[Tensor]]:
        """log Z (R,) and the messages, each (R, V, …) scaled to a largest entry of 1."""
        log_mass = p.new_zeros(len(p))
        messages: list[Tensor] = []
        for step in self.steps:
            axis = {v: n + 1 for n, v in enumerate((step.variable, *step.neighbours))}
            operands: list = [p[:, step.variable], [0, 1]]
            for factor in step.factors:
                axes = [axis[v] for v in factor.scope]
                operands += [messages[factor.message], [0, *axes]] if factor.table is None else [factor.table.to(p), axes]
            message = torch.einsum(*operands, [0, *(axis[v] for v in step.neighbours)])
            if step.neighbours:
                # The scale is a constant of the sum, so that gradients stay exact.
                peak = message.detach().flatten(1).amax(1)
                peak = torch.where(peak > 0, peak, 1.0)
                message = message / peak.reshape(-1, *[1] * len(step.neighbours))
                log_mass = log_mass + peak.log()
            else:
                log_mass = log_mass + message.log()
            messages.append(message)
        return log_mass, messages

    def fill(self, x: Tensor, p: Tensor, u: Tensor, messages: list[Tensor]) -> None:
        """Draw the component's positions into x (R, L)."""
        rows = torch.arange(len(p), device=p.device)
        for step in reversed(self.steps):
            weights = p[:, step.variable]
            for factor in step.factors:
                drawn = tuple(x[:, v] for v in factor.scope if v != step.variable)
                at = factor.scope.index(step.variable)
                if factor.table is None:
                    weights = weights * messages[factor.message].movedim(at + 1, -1)[(rows, *drawn)]
                else:
                    weights = weights * factor.table.to(p).movedim(at, -1)[drawn]
            x[:, step.variable] = categorical(weights, u[:, step.variable]).clamp(max=self.vocabulary - 1)


def _order(tree) -> list[int]:
    """Variables by the decomposition tree: each leaves at the bag nearest to the root that holds it."""
    import networkx as nx

    root = next(iter(tree))
    parent = nx.dfs_predecessors(tree, root)
    bags = nx.dfs_postorder_nodes(tree, root)
    return [variable for bag in bags for variable in sorted(bag - parent.get(bag, frozenset()))]


@dataclass(frozen=True)
class AllDifferent:
    """Distinct tokens at k positions that no other relation touches: the permanent of p, token by token.

    F_v(S) = mass of filling exactly the positions S with distinct tokens below v:
        F_{v+1}(S) = F_v(S) + Σ_{i ∈ S} F_v(S∖i) p_i(v),   Z = F_V(all).
    Backwards, the largest token used in S is v, at position i, with probability ∝ F_v(S∖i) p_i(v): k draws a row.
    """

    positions: tuple[int, ...]
    vocabulary: int

    @property
    def cells(self) -> int:
        return 2 ** len(self.positions) * (self.vocabulary + 2)

    def sum_out(self, p: Tensor) -> tuple[Tensor, list[Tensor]]:
        """log Z (R,); [F_0 … F_{V−1} (R, V, 2^k), p of the positions scaled to a largest entry of 1 (R, k, V)]."""
        q = p[:, list(self.positions)]
        peak = q.detach().amax(-1, keepdim=True)
        peak = torch.where(peak > 0, peak, 1.0)
        q = q / peak
        k = len(self.positions)
        filled = torch.nn.functional.one_hot(torch.zeros(len(p), dtype=torch.int64, device=p.device), 2**k).to(q)
        before = []
        for v in range(self.vocabulary):
            before.append(filled)
            more = filled.clone()
            for i in range(k):  # sets are numbers in base 2: axis 2 tells those without i from those with i
                halves = (len(p), 2 ** (k - 1 - i), 2, 2**i)
                more.view(halves)[:, :, 1] += filled.view(halves)[:, :, 0] * q[:, i, v].reshape(-1, 1, 1)
            filled = more
        return filled[:, -1].log() + peak.log().sum((1, 2)), [torch.stack(before, 1), q]

    def fill(self, x: Tensor, p: Tensor, u: Tensor, state: list[Tensor]) -> None:
        """Draw the positions into x (R, L), the largest token first."""
        before, q = state
        k, rows = len(self.positions), torch.arange(len(p), device=p.device)
        token = torch.arange(self.vocabulary, device=p.device)
        place, bit = torch.tensor(self.positions, device=p.device), 2 ** torch.arange(k, device=p.device)
        left = torch.full_like(rows, 2**k - 1)
        below = torch.full_like(rows, self.vocabulary)
        for position in self.positions:
            source = (left.unsqueeze(1) & ~bit).unsqueeze(1).expand(-1, self.vocabulary, -1)
            possible = (token < below.unsqueeze(1)).unsqueeze(-1) & ((left.unsqueeze(1) & bit) > 0).unsqueeze(1)
            weights = before.gather(-1, source) * q.transpose(1, 2) * possible
            choice = categorical(weights.flatten(1), u[:, position]).clamp(max=self.vocabulary * k - 1)
            below, i = choice // k, choice % k
            x[rows, place[i]] = below
            left = left & ~(2**i)


@dataclass(frozen=True)
class SomewhereDifferent:
    """Two runs of k positions that are not the same token by token, and that no other relation touches.

    e_i = Σ_v a_i(v) b_i(v) and d_i = Σ_{v ≠ w} a_i(v) b_i(w) at pair i; the mass of a difference from i on is
        D_i = d_i T_{i+1} + e_i D_{i+1},   D_k = 0,   T_i = Π_{j ≥ i} Σ a_j Σ b_j.
    A row is drawn pair by pair: equal with D_{i+1} or different with T_{i+1} ahead, and independently after a difference.
    """

    first: tuple[int, ...]
    second: tuple[int, ...]
    vocabulary: int

    @property
    def positions(self) -> list[int]:
        return [*self.first, *self.second]

    @property
    def cells(self) -> int:
        return 6 * len(self.first) * self.vocabulary

    def sum_out(self, p: Tensor) -> tuple[Tensor, list[Tensor]]:
        """log Z (R,); [a, b (R, k, V) normalised, so that T = 1; Σ_{w ≠ v} b(w) (R, k, V); D (R, k + 1)]."""
        log_mass, runs = p.new_zeros(len(p)), []
        for positions in (self.first, self.second):
            run = p[:, list(positions)]
            total = run.detach().sum(-1, keepdim=True)
            log_mass = log_mass + total.log().sum((1, 2))
            runs.append(run / torch.where(total > 0, total, 1.0))
        a, b = runs
        # A sum over the other tokens: 1 − b would lose what is small.
        others = b @ (1 - torch.eye(self.vocabulary).to(b))
        total = a.sum(-1) * b.sum(-1)
        equal, different = (a * b).sum(-1), (a * others).sum(-1)
        ahead = [p.new_zeros(len(p))]
        rest = p.new_ones(len(p))
        for i in reversed(range(len(self.first))):
            ahead.append(different[:, i] * rest + equal[:, i] * ahead[-1])
            rest = rest * total[:, i]
        return log_mass + ahead[-1].log(), [a, b, others, torch.stack(ahead[::-1], 1)]

    def fill(self, x: Tensor, p: Tensor, u: Tensor, state: list[Tensor]) -> None:
        """Draw both runs into x (R, L), pair by pair."""
        a, b, others, ahead = state
        settled = torch.zeros(len(p), 1, dtype=torch.bool, device=p.device)
        token = torch.arange(self.vocabulary, device=p.device)
        for i, (here, there) in enumerate(zip(self.first, self.second, strict=True)):
            alike = torch.where(settled, 0.0, a[:, i] * b[:, i] * ahead[:, i + 1 : i + 2])
            unlike = torch.where(settled, a[:, i], a[:, i] * others[:, i])
            choice = categorical(torch.cat([alike, unlike], -1), u[:, here]).clamp(max=2 * self.vocabulary - 1).unsqueeze(-1)
            drawn, same = choice % self.vocabulary, choice < self.vocabulary
            partner = torch.where(same, token == drawn, b[:, i] * (settled | (token != drawn)))
            x[:, here] = drawn.squeeze(-1)
            x[:, there] = categorical(partner.double(), u[:, there]).clamp(max=self.vocabulary - 1)
            settled = settled | ~same
