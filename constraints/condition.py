"""What must hold and what is wished, as the samplers' Condition: token sets, a joint structure, a guide.

With p the denoiser's product of categoricals, A the token sets, C the structure and g the guide's tilt, a query at x_t is
answered from

    M_i(v) = p_i(v) 1[v ∈ A_i] e^{g_i(v)}      x̂0 ∝ Π M_i(x_i) 1[x ∈ C]      of which the committed positions R are kept

so that what is left can always be completed. Its weight, for those who correct for it, is the ratio of the model's law of
x_R to the law it was drawn from, Z(·) = Σ_{x ∈ C} Π M_i(x_i) with settled positions clamped at factor 1:

    log p(x_R) − log q(x_R) = log Z(x_t) − log Z(x_s; x_t) − Σ_R g_i(x_i)

and the potential is ψ(x_t) = e^{base(x_t)} Z(x_t), which a draw takes to e^{base(x_t) + Σ_R g_i(x_i)} Z(x_s; x_t).

Shapes: B rows, R queried rows, L length, P queried positions, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from constraints.structure import Structure
from constraints.token_sets import TokenSets
from seqdiff.condition import Draw
from seqdiff.draws import categorical
from seqdiff.errors import ConditionError
from seqdiff.samplers.state import Query

LEAST = 1e-30  # what a token counts that the denoiser rules out, where nothing it allows can be completed


class Guide(Protocol):
    """What is wished: a tilt of the open positions, and an estimate of the whole."""

    def log_tilt(self, x_t: Tensor, t: Tensor, positions: Tensor, p: Tensor) -> tuple[Tensor | None, Tensor]:
        """g (R, P, V), by how much a token is wished for, and base (R,), the log of what is reached at x_t itself.

        None for g where no token is ever wished for more than another: 0 everywhere, and nothing of that size is made.
        """
        ...

    def final(self, x_0: Tensor) -> Tensor:
        """log of the wish at complete rows (R, L): (R,) float64; −∞ for a row that must not be returned."""
        ...


@dataclass(frozen=True)
class Constrained:
    """A Condition over a batch of rows.

    Attributes:
        vocabulary: V; the id V is a hole.
        sets: what each position may hold, or None.
        structure: what a whole row must satisfy, or None.
        region: (B, L) int64, region of each position for the structure; None: all 0.
        guide: what is wished, or None.
        weighted: whether log-weights and potentials are worked out. Token sets then count in them, and p is the model's own;
            otherwise p is restricted to the sets before a sampler sees it.
    """

    vocabulary: int
    sets: TokenSets | None = None
    structure: Structure | None = None
    region: Tensor | None = None
    guide: Guide | None = None
    weighted: bool = False

    @property
    def joint(self) -> bool:
        return self.structure is not None or self.weighted

    def tilt(self, logits: Tensor, rows: Tensor | None, positions: Tensor | None) -> Tensor:
        return logits if self.sets is None or self.weighted else self.sets.tilt(logits, rows, positions)

    def draw(self, query: Query, p_x0: Tensor, commit: Tensor, u: Tensor) -> Draw:
        _, asked = places(query)
        M, g, base = self.factors(query, p_x0)
        if self.structure is None:
            tokens, log_z, after = _independent(M, asked, commit, u)
        else:
            tokens, log_z, after = self._joint(query, M, asked, commit, u)
        if not self.weighted:
            return Draw(tokens, torch.zeros_like(base))
        gained = torch.zeros_like(base)
        if g is not None:
            chosen = g.gather(-1, tokens.clamp(max=self.vocabulary - 1).unsqueeze(-1)).squeeze(-1)
            gained = torch.where(commit, chosen, 0.0).sum(-1)
        dead = log_z.isneginf()
        log_weight = torch.where(dead, log_z, log_z - after - gained)
        return Draw(tokens, log_weight, base + log_z, torch.where(dead, log_z, base + gained + after))

    def factors(self, query: Query, p_x0: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """M (R, P, V), the tilt g in it, or None, and the log of what is reached at x_t (R,)."""
        (positions, _), x_t = places(query), query.tokens
        M, g, base = p_x0, None, torch.zeros(len(x_t), dtype=torch.float64, device=x_t.device)
        if self.sets is not None:
            M = M * self.sets.allowed(query.rows, positions)
        if self.guide is not None:
            g, base = self.guide.log_tilt(x_t, query.t, positions, p_x0)
            M = M if g is None else M * g.exp()
        return M, g, base

    def sample(self, query: Query, M: Tensor, u: Tensor) -> Tensor:
        """x̂0 (R, P) ∝ Π M 1[x ∈ C] at the queried positions."""
        _, asked = places(query)
        if self.structure is None:
            return _independent(M, asked, asked, u)[0]
        return self._joint(query, M, asked, asked, u)[0]

    def log_mass(self, query: Query, M: Tensor) -> Tensor:
        """log Z (R,) of factors M (R, P, V) at the queried positions, the others settled."""
        _, asked = places(query)
        if self.structure is None:
            return torch.where(asked, M.sum(-1).log(), 0.0).sum(-1)
        return self._of(query).log_mass(self._full(query, M, asked), self._region(query))

    def final(self, x_0: Tensor) -> Tensor:
        """log of what was wished of complete rows (R, L); what must hold does, by construction."""
        zero = torch.zeros(len(x_0), dtype=torch.float64, device=x_0.device)
        return zero if self.guide is None else self.guide.final(x_0)

    def marginals(self, query: Query, p_x0: Tensor) -> Tensor:
        """p(x_0^i | x_t, C) (R, P, V): what a process on vectors takes its x̂0 from."""
        positions, asked = places(query)
        M = p_x0.clamp(min=LEAST)  # what the denoiser rules out, not what must hold
        M = M if self.sets is None else M * self.sets.allowed(query.rows, positions)
        if self.structure is None:
            return M / M.sum(-1, keepdim=True)
        full = self._full(query, M, asked)
        marginal = (full * slope(self._of(query), full, self._region(query))).gather(1, positions.unsqueeze(-1).expand_as(M))
        return marginal / marginal.sum(-1, keepdim=True).clamp(min=1e-300)

    def _joint(self, query: Query, M: Tensor, asked: Tensor, commit: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        structure, region, (positions, _), x_t = self._of(query), self._region(query), places(query), query.tokens
        full = self._full(query, M, asked)
        noise = u.new_full(full.shape[:2], 0.5).scatter(1, positions, u)
        if self.weighted:
            tokens, log_z, after = reveal(structure, full, _scattered(positions, commit, full), noise, region)
        else:
            tokens, log_z = structure.draw(full, noise, region)
            after = torch.zeros_like(log_z)
        dead = log_z.isneginf()
        if bool(dead.any()):  # the denoiser rules out every completion: what must hold still must
            sub = dead.nonzero().squeeze(-1)
            allowed = torch.ones_like(M) if self.sets is None else self.sets.allowed(query.rows, positions)
            floored = self._full(query, torch.maximum(M, LEAST * allowed), asked)[sub]
            again, least = self._of(query, sub).draw(floored, noise[sub], None if region is None else region[sub])
            if bool(least.isneginf().any()):
                raise ConditionError(
                    f"{int(least.isneginf().sum())} of {len(x_t)} rows cannot be completed any more: what must hold leaves "
                    "nothing for their open positions; check that it is feasible before sampling"
                )
            tokens = tokens.index_copy(0, sub, again)
        return tokens.gather(1, positions), log_z, after

    def _of(self, query: Query, sub: Tensor | None = None) -> Any:
        """The structure of the queried rows; one with data of its own for each row says so by a method `rows`."""
        if not hasattr(self.structure, "rows"):
            return self.structure
        rows = torch.arange(len(query.state.tokens), device=query.tokens.device) if query.rows is None else query.rows
        return self.structure.rows(rows if sub is None else rows[sub])  # type: ignore[union-attr]

    def _region(self, query: Query) -> Tensor | None:
        return self.region if self.region is None or query.rows is None else self.region[query.rows]

    def _full(self, query: Query, M: Tensor, asked: Tensor) -> Tensor:
        """Factors (R, L, V): M at the positions asked for, the token that stands there elsewhere; all asked: M itself."""
        x_t, (positions, _) = query.tokens, places(query)
        L = x_t.shape[1]
        if positions.shape[1] == L and bool(asked.all()) and bool((positions == torch.arange(L, device=x_t.device)).all()):
            return M
        row, place = asked.nonzero(as_tuple=True)
        at = positions[row, place]
        settled = torch.ones_like(x_t, dtype=torch.bool)
        settled[row, at] = False
        full = M.new_zeros(*x_t.shape, M.shape[-1])
        full[row, at] = M[row, place]
        row, place = settled.nonzero(as_tuple=True)
        full[row, place, x_t[row, place].clamp(max=self.vocabulary - 1)] = 1.0
        return full


def places(query: Query) -> tuple[Tensor, Tensor]:
    """The positions (R, P) of a query, and which are really asked for. Raises ConditionError where a loop says neither."""
    if query.positions is None or query.open is None:
        missing = "positions" if query.positions is None else "open"
        raise ConditionError(
            f"condition: expected a query with `positions` and `open`, got none of `{missing}`; a loop whose draws must hold "
            "something jointly says which positions it asks for"
        )
    return query.positions, query.open


def reveal(structure: Structure, p: Tensor, commit: Tensor, u: Tensor, region: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (R, L), true at committed positions (R, L), log Z of p, and log Z with those positions clamped at factor 1.

    A structure that can do it for less than a whole draw and a second mass has a method of that name.
    """
    if hasattr(structure, "reveal"):
        return structure.reveal(p, commit, u, region)  # type: ignore[attr-defined]
    tokens, log_z = structure.draw(p, u, region)
    one_hot = torch.nn.functional.one_hot(tokens.clamp(0, p.shape[-1] - 1), p.shape[-1]).to(p.dtype)
    return tokens, log_z, structure.log_mass(torch.where(commit.unsqueeze(-1), one_hot, p), region)


def slope(structure: Structure, p: Tensor, region: Tensor | None) -> Tensor:
    """∂ log Z/∂p (R, L, V), 0 in rows where nothing is possible.

    A structure that can work it out without the graph of a forward sweep has a method `gradient`.
    """
    if hasattr(structure, "gradient"):
        return structure.gradient(p, region)  # type: ignore[attr-defined]
    leaf = p.detach().requires_grad_()
    with torch.enable_grad():
        log_z = structure.log_mass(leaf, region)
        return torch.autograd.grad(torch.where(log_z.isfinite(), log_z, 0.0).sum(), leaf)[0]


def _independent(M: Tensor, asked: Tensor, commit: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens (R, P), true at committed positions, log Z (R,) and log Z after, where nothing ties positions to each other."""
    mass = M.sum(-1)
    log_mass = torch.where(asked, mass.log(), 0.0)
    after = torch.where(commit, 0.0, log_mass)
    nothing = mass <= 0
    if bool(nothing.any()):
        M = torch.where(nothing.unsqueeze(-1), 1.0, M)
    if bool(commit.all()):
        tokens = categorical(M, u)
    else:
        tokens = torch.zeros_like(u, dtype=torch.int64)
        tokens[commit] = categorical(M[commit], u[commit])
    return tokens, log_mass.sum(-1), after.sum(-1)


def _scattered(positions: Tensor, commit: Tensor, full: Tensor) -> Tensor:
    """commit (R, P) at its positions of whole rows, (R, L) bool."""
    return torch.zeros(full.shape[:2], dtype=torch.bool, device=full.device).scatter(1, positions, commit)
