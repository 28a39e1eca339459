"""What a row of a molecule with few holes left will come to, looked at by RDKit: what steers particles before the end.

A hint on the way need not be right, only a positive function of the row: particles are weighted by the exact wish at the
end, and what steered them is divided out. Two of them:

    Steered     of rows with up to 16 holes some completions are drawn from Π p_i, each hole by itself, so that branches and
                ring labels often do not match; those without a partner are left out
    LastHoles   of rows with one or two holes the likeliest completions are gone through one by one
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from constraints.condition import Guide
from constraints.guidance.guides import RewardGuide
from domains import wishes
from domains.smiles.properties import parse
from domains.smiles.tokens import is_ring_label
from seqdiff.alphabet import Alphabet

SAMPLES = 4
HOLES = 16  # with more, a completion is hardly ever a molecule
LAST, MOST = 2, 24  # holes of a row whose completions are gone through, and how many of these
REST = 1e-4  # probability that stands for the completions that were not looked at
LEAST, UNKNOWN = -4.0, -2.0  # log-weight of a completion that fails, or worse, and of one that is no molecule


@dataclass(frozen=True)
class Steered:
    """What one guide estimates weighs rows with at most `holes` holes, and another's exact wish those without any; no tilt."""

    way: Guide
    end: Guide
    holes: int = HOLES

    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[None, Tensor]:
        V = p.shape[-1]
        near = ((x_t == V).sum(-1) <= self.holes).nonzero().squeeze(-1)
        base = torch.zeros(len(x_t), dtype=torch.float64, device=x_t.device)
        if len(near):
            time = None if t is None else t[near]
            base[near] = self.way.log_tilt(x_t[near], time, positions[near], p[near])[1]  # type: ignore[arg-type]
        return None, base

    def final(self, x_0: Tensor) -> Tensor:
        return self.end.final(x_0)


@dataclass(frozen=True)
class LastHoles:
    """A requirement that is looked ahead to where one or two holes are left.

    With S the likeliest completions of a row, q(x) = Π p_i(x_i) over its holes and ε = REST,

        g_i(v) = log (ε + Σ_{x ∈ S, x_i = v} q(x) 1[x is accepted]) − log (ε + Σ_{x ∈ S, x_i = v} q(x)),        base = 0

    The last hole is so drawn from p given that the row is accepted, as far as S tells, and its potential Σ_v p(v) e^{g(v)} is
    the probability of that.

    Attributes:
        accepts: ids (n, L) → (n,) bool.
        end: the same as the exact wish of complete rows.
    """

    accepts: Callable[[Tensor], Tensor]
    end: Guide
    holes: int = LAST
    most: int = MOST

    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        V, (rows, P) = p.shape[-1], positions.shape
        g = torch.zeros(rows, P, V, dtype=torch.float64, device=p.device)
        holes = x_t.gather(1, positions) == V
        left = torch.where(holes.sum(-1) == (x_t == V).sum(-1), holes.sum(-1), 0)
        for k in range(1, self.holes + 1):
            here = (left == k).nonzero().squeeze(-1)
            if len(here):
                columns = holes[here].nonzero()[:, 1].view(-1, k)
                picked = here.unsqueeze(-1), columns
                g[picked] = self._tilt(x_t[here], positions[picked], p[picked].double())
        return g, torch.zeros(rows, dtype=torch.float64, device=p.device)

    def _tilt(self, x_t: Tensor, places: Tensor, p: Tensor) -> Tensor:
        """g (n, k, V) of rows (n, L) whose holes are at `places` (n, k), p (n, k, V)."""
        (n, k, V), m = p.shape, min(p.shape[-1], round(self.most ** (1 / p.shape[1])))
        likely = p.topk(m, -1).indices
        which = torch.cartesian_prod(*[torch.arange(m, device=p.device)] * k).view(-1, k)  # (C, k)
        tokens = likely.gather(-1, which.T.expand(n, k, -1))  # (n, k, C)
        q = p.gather(-1, tokens).prod(1)
        ahead = x_t.unsqueeze(1).repeat(1, len(which), 1)
        ahead.scatter_(2, places.unsqueeze(1).expand(-1, len(which), -1), tokens.transpose(1, 2))
        looked = q > REST
        unique, back = torch.unique(ahead[looked], dim=0, return_inverse=True)
        good = torch.zeros_like(looked)
        good[looked] = self.accepts(unique)[back]
        seen, accepted = (torch.where(mask, q, 0.0).unsqueeze(1).expand(-1, k, -1) for mask in (looked, good))
        total = torch.full((n, k, V), REST, dtype=torch.float64, device=p.device)
        return total.scatter_add(2, tokens, accepted).log() - total.scatter_add(2, tokens, seen).log()

    def final(self, x_0: Tensor) -> Tensor:
        return self.end.final(x_0)


def completed(wish: wishes.Wish, alphabet: Alphabet) -> Steered:
    """A guide that estimates log E e^{wish} by completions on the way."""
    weigh = wish.weigher()

    def rewards(rows: Tensor) -> list[float]:
        texts = ["".join(mended(alphabet.decode_tokens(row))) for row in rows]
        known = [parse(text) is not None for text in texts]
        weights = iter(weigh([text for text, good in zip(texts, known, strict=True) if good]))
        return [max(next(weights), LEAST) if good else UNKNOWN for good in known]

    return Steered(RewardGuide(rewards, samples=SAMPLES), wishes.guide_of(wish, alphabet))


def valid_ahead(wish: wishes.Wish, alphabet: Alphabet) -> LastHoles:
    """The wish "valid", looked ahead to over the last holes."""
    weigh = wish.weigher()

    def accepts(rows: Tensor) -> Tensor:
        weights = weigh([alphabet.decode(row) for row in rows.tolist()])
        return torch.tensor([weight == 0 for weight in weights], dtype=torch.bool)

    return LastHoles(accepts, wishes.guide_of(wish, alphabet))


def mended(tokens: list[str]) -> list[str]:
    """Tokens without the branches and ring labels that have no partner."""
    branches: list[int] = []
    rings: dict[str, int] = {}
    alone = set()
    for i, token in enumerate(tokens):
        if token == "(":
            branches.append(i)
        elif token == ")":
            alone.update(() if branches else (i,))
            branches = branches[:-1]
        elif is_ring_label(token) and rings.pop(token, None) is None:
            rings[token] = i
    alone.update(branches, rings.values())
    return [token for i, token in enumerate(tokens) if i not in alone]
