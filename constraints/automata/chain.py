"""The exact dynamic programme over a product of categoricals and a deterministic automaton, for a batch of rows.

    β_L = 1[F]     β_{i−1}(q) = Σ_v p_i(v) β_i(δ(q, v))     Z = β_0(q_0)
    draw v ∝ p_i(v) β_i(δ(q, v)), then q ← δ(q, v)

A state from which nothing can be completed has β = 0 exactly and is never entered: what is drawn is a word of the automaton,
whatever the rounding. Rows whose mass leaves the range of float32 are done again in float64 (`chain_sweep` says how that is
noticed), and what leaves that range too, in logarithms. Automata of few states are summed as a `tree`.

Shapes: B = H W rows (R) in groups (`chain_steps`), L length, V vocabulary, G regions, D labels, S states, N committed
positions.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from constraints.automata.chain_log import LogChain
from constraints.automata.chain_steps import Steps
from constraints.automata.chain_sweep import LOWEST, Masses, gradient, log_z, reachable, usable
from constraints.automata.live import Live, Lives
from constraints.automata.tree import Tree
from constraints.automata.whole import Whole
from seqdiff.draws import categorical
from seqdiff.errors import ConditionError

FEW = {"cuda": 32}  # states up to which a device sums by a tree, whatever the number of rows: no draw may depend on that
STORED = 2**28  # bytes of β that one batch of rows may keep


class Chain:
    """A `Structure`: rows that an automaton accepts.

    Args:
        automaton: `classes` (G, V), `delta` (S, K), −1 where dead, `start`, `accepting` (S,); see `automaton`.
        dtype: float32, or float64 throughout.

    Attributes:
        told: what rows may hold, if that is known (`among`); chains that were told differently sweep differently.
    """

    def __init__(self, automaton, device="cpu", dtype: torch.dtype = torch.float32):
        if dtype not in LOWEST:
            raise ConditionError(f"chain: expected torch.float32 or torch.float64, got {dtype}")
        self.automaton, self.device, self.dtype = automaton, device, dtype
        self._steps = Steps(automaton, device)
        self._spare: list[Tensor] = []
        self.told: Lives | None = None
        self._remembered: OrderedDict = OrderedDict()
        self._tree = Tree(self._steps) if automaton.states <= FEW.get(torch.device(device).type, 0) else None

    def among(self, index: Tensor, table: Tensor, region: Tensor | None, lengths: Sequence[int]) -> "Chain":
        """This chain, quicker for rows that hold what is allowed: the sets of tokens `index` (n, L) of `table` (N, V) bool.

        Row k counts in its first lengths[k] positions. Other rows are summed as before. What a row may be is told by its
        length alone.
        """
        lives = Lives(self._steps, self._steps.met(index, table, region), lengths, self._remembered)
        return self if self._tree is not None else self._with(told=lives)

    # ── the protocol ──

    def log_mass(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """log Z = log Σ_{x ∈ C} Π_i p_i(x_i), (R,) float64, −∞ where nothing is possible; differentiable once in p."""
        if torch.is_grad_enabled() and p.requires_grad:
            return _LogMass.apply(p, region, self)  # type: ignore[return-value]
        return self._in_parts("_log_mass", p, region=region)[0]

    @torch.no_grad()
    def draw(self, p: Tensor, u: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (R, L) ∝ Π_i p_i(x_i) 1[x ∈ C] from noise u (R, L), and log Z (R,)."""
        tokens, log_mass = self._in_parts("_draw", p, u, region=region)
        return tokens, log_mass

    @torch.no_grad()
    def reveal(self, p: Tensor, commit: Tensor, u: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x_R drawn from its joint law under Π_i p_i(x_i) 1[x ∈ C], where R are the positions of `commit` (R, L).

        Returns tokens (R, L), arbitrary outside of R, log Z, and log Z′, Z′ being the mass of C with x_R clamped, the clamped
        factors 1 and the other positions still p: P(x_R) · Z = Π_R p_i(x_i) · Z′.
        """
        tokens, before, after = self._in_parts("_reveal", p, commit, u, region=region)
        return tokens, before, after

    @torch.no_grad()
    def gradient(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """∂ log Z/∂p_i(v), (R, L, V) float64; 0 in rows where nothing is possible."""
        return self._untold._in_parts("_gradient", p, region=region)[0]

    def marginals(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """P(x_i = v) under the constrained product = ∂ log Z/∂ log p_i(v), (R, L, V) float64."""
        return p.detach().double() * self.gradient(p, region)

    @torch.no_grad()
    def possible(self, allowed: Tensor, region: Tensor | None = None) -> Tensor:
        """Which rows can hold a word of tokens that are `allowed` (R, L, V) bool: reachability, no mass; (R,) bool."""
        return reachable(self._steps, self._presence(allowed, region))[0][:, self._steps.start].flatten() > 0

    @torch.no_grad()
    def possible_among(self, index: Tensor, table: Tensor, region: Tensor | None = None) -> Tensor:
        """`possible` for the sets of tokens index (R, L) of table (N, V) bool."""
        classes = self._steps.met(index, table, region).permute(1, 2, 0).to(self.dtype)
        m = (self._steps.label_masses(classes, 1) > 0).to(self.dtype)
        none = torch.zeros(len(m), len(index), dtype=torch.int64)
        return reachable(self._steps, Masses(m, none, none, []))[0][:, self._steps.start].flatten() > 0

    @torch.no_grad()
    def possible_at(self, allowed: Tensor, region: Tensor | None = None) -> Tensor:
        """(R, L, V) bool: the tokens of `allowed` that stand at a position in some word."""
        return allowed & (self._by_token(usable(self._steps, self._presence(allowed, region)), region) > 0)

    def _in_parts(self, method: str, *arguments: Tensor, region: Tensor | None) -> tuple[Tensor, ...]:
        """The rows in parts whose tables fit into memory, joined again; a few more rows where they fill groups."""
        R, L = arguments[0].shape[:2]
        over = self._over(L)
        if isinstance(over, Live) and bool((other := self.told.outside(arguments[0], region)).any()):  # type: ignore[union-attr]
            split = [(self, (~other).nonzero().squeeze(-1)), (self._untold, other.nonzero().squeeze(-1))]
            found = [
                chain._in_parts(method, *(x[rows] for x in arguments), region=None if region is None else region[rows])
                for chain, rows in split
                if len(rows)
            ]
            back = torch.cat([rows for _, rows in split]).argsort()
            return tuple(torch.cat(column)[back] for column in zip(*found, strict=True))
        H = self._steps.groups(arguments[0])
        if R % H:
            more = torch.arange(R + -R % H, device=arguments[0].device).clamp(max=R - 1)
            arguments, region = tuple(x[more] for x in arguments), None if region is None else region[more]
        row = over.numbers * self.dtype.itemsize
        row = row if self._tree is None else max(row, self._tree.bytes(L))
        size = max(1, STORED // row // H) * H
        if size >= R:
            found = getattr(self, method)(*arguments, region)
        else:
            parts = [
                getattr(self, method)(*(x[b : b + size] for x in arguments), None if region is None else region[b : b + size])
                for b in range(0, R, size)
            ]
            found = tuple(torch.cat(column) for column in zip(*parts, strict=True))
        return tuple(x[:R] for x in found) if R % H else found

    def _mend(self, method: str, sound: Tensor, values: tuple[Tensor, ...], *arguments: Tensor, region: Tensor | None):
        """`values` of a method, with the rows that are not sound done again with more range; −∞ where nothing is possible."""
        if bool(sound.all()):
            return values
        rows = (~sound).nonzero().squeeze(-1)
        part = None if region is None else region[rows]
        possible = self.possible(arguments[0][rows] > 0, part)
        for value in values:
            if value.dtype.is_floating_point:
                value[rows[~possible]] = 0.0 if value.ndim > 1 else float("-inf")
        if bool(possible.any()):
            rows, part = rows[possible], None if part is None else part[possible]
            again = getattr(self._finer, method)(*(x[rows] for x in arguments), region=part)
            for value, better in zip(values, again if isinstance(again, tuple) else (again,), strict=True):
                value[rows] = better
        return values

    @cached_property
    def _finer(self) -> "Chain | LogChain":
        if self.dtype == torch.float64:
            return LogChain(self._steps)
        return self._with(dtype=torch.float64, _tree=None, _spare=[])

    @cached_property
    def _untold(self) -> "Chain":
        return self._with(told=None)

    def _with(self, **changed) -> "Chain":
        chain = copy(self)
        for derived in ("_finer", "_untold"):
            chain.__dict__.pop(derived, None)
        chain.__dict__.update(changed)
        return chain

    # ── sweeps ──

    def _over(self, length: int) -> Live | Whole:
        """What is swept for rows of this length."""
        live = None if self.told is None else self.told.of(length)
        return Whole(self._steps, length, self._spare) if live is None else live

    def _masses(self, p: Tensor, region: Tensor | None) -> Masses:
        return Masses.of(p, self._steps, region, self.dtype, math.gcd(len(p), self._steps.groups(p)))

    def _presence(self, allowed: Tensor, region: Tensor | None) -> Masses:
        masses = Masses.of(allowed.to(torch.float64), self._steps, region, self.dtype, 1)
        return replace(masses, m=(masses.m > 0).to(self.dtype))

    def _by_token(self, by_label: Tensor, region: Tensor | None) -> Tensor:
        """(L, H, D, W) → (B, L, V), summed over the labels of a token."""
        by_class = torch.einsum("lhdw,dk->hwlk", by_label.double(), self._steps.members.double()).flatten(0, 1)
        classes = self._steps.classes
        if region is None or len(classes) == 1:
            return by_class[..., classes[0]]
        return by_class.gather(-1, classes[region])

    def _log_mass(self, p: Tensor, region: Tensor | None) -> tuple[Tensor, ...]:
        if self._tree is None:
            over = self._over(p.shape[1])
            log_mass, sound = log_z(over, over.backward(self._masses(p, region)))
        else:
            log_mass, sound = self._tree.log_mass(p, region)
        return self._mend("log_mass", sound, (log_mass,), p, region=region)

    def _gradient(self, p: Tensor, region: Tensor | None) -> tuple[Tensor, ...]:
        over = self._over(p.shape[1])
        sweep = over.backward(self._masses(p, region), keep=True)
        by_label, sound = gradient(self._steps, sweep)
        sound &= log_z(over, sweep)[1]
        return self._mend("gradient", sound, (self._by_token(by_label, region),), p, region=region)

    # ── draws ──

    def _draw(self, p: Tensor, u: Tensor, region: Tensor | None) -> tuple[Tensor, ...]:
        if self._tree is not None:
            tokens, log_mass, sound = self._tree.draw(p, u, region)
            return self._mend("draw", sound, (tokens, log_mass), p, u, region=region)
        over = self._over(p.shape[1])
        sweep = over.backward(self._masses(p, region), keep=True)
        log_mass, sound = log_z(over, sweep)
        label, left = over.path(sweep, u, over.before(p.shape[1]))
        over.give_back(sweep)
        where = torch.zeros_like(label) if region is None else region
        tokens = self._tokens(p.flatten(0, 1), where.flatten(), label.flatten(), left.flatten())
        return self._mend("draw", sound, (tokens.view_as(label), log_mass), p, u, region=region)

    def _tokens(self, p: Tensor, region: Tensor, label: Tensor, u: Tensor) -> Tensor:
        """A token (N,) of each label (N,): v ∝ p(v) 1[v ∈ label], for p (N, V), region (N,) and noise u (N,)."""
        contents, first, many = self._contents
        region = region if len(contents) > 1 else torch.zeros_like(region)
        tokens = first[region, label]
        n = many[region, label].nonzero().squeeze(-1)
        if len(n):
            weight = p[n].double() * contents[region[n], label[n]]
            tokens[n] = categorical(weight, u[n]).clamp_(max=p.shape[-1] - 1)
        return tokens

    @cached_property
    def _contents(self) -> tuple[Tensor, Tensor, Tensor]:
        """The tokens of each label, (G, D, V) bool; its first; and whether it has several, (G, D)."""
        contents = self._steps.members[:, self._steps.classes].transpose(0, 1).contiguous()
        return contents, contents.to(torch.int8).argmax(-1), contents.sum(-1) > 1

    def _reveal(self, p: Tensor, commit: Tensor, u: Tensor, region: Tensor | None) -> tuple[Tensor, ...]:
        """The path is drawn up to the last committed position; a second sweep from there, with x_R clamped, gives Z′."""
        if self._tree is not None:
            tokens, before, sound = self._tree.draw(p, u, region)
            settled = torch.nn.functional.one_hot(tokens, p.shape[-1]).to(p)
            after, still = self._tree.log_mass(torch.where(commit.unsqueeze(-1), settled, p), region)
            return self._mend("reveal", sound & still, (tokens, before, after), p, commit, u, region=region)
        over = self._over(p.shape[1])
        sweep = over.backward(self._masses(p, region), keep=True)
        before, sound = log_z(over, sweep)
        tokens, after = torch.zeros_like(commit, dtype=torch.int64), before.clone()
        row, i = commit.nonzero(as_tuple=True)
        if len(row):
            stages = over.before(int(i.max()) + 1)
            label, left = over.path(sweep, u, stages)
            where = torch.zeros_like(row) if region is None or len(self._contents[0]) == 1 else region[row, i]
            tokens[row, i] = drawn = self._tokens(p[row, i], where, label[row, i], left[row, i])
            masses = sweep.masses.clamped(row, i, self._contents[0][where, :, drawn], over.end(stages))
            after, still = log_z(over, over.backward(masses, sweep.beta[stages], stages))
            sound = sound & still
        over.give_back(sweep)
        return self._mend("reveal", sound, (tokens, before, after), p, commit, u, region=region)


class _LogMass(torch.autograd.Function):
    """log Z with its gradient by the forward sweep."""

    @staticmethod
    def forward(ctx, p: Tensor, region: Tensor | None, chain: Chain) -> Tensor:
        ctx.save_for_backward(p)
        ctx.region, ctx.chain = region, chain
        return chain.log_mass(p.detach(), region)

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        (p,) = ctx.saved_tensors
        return (grad.reshape(-1, 1, 1) * ctx.chain.gradient(p, ctx.region)).to(p.dtype), None, None
