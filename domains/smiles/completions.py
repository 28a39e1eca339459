"""What a row of a molecule with few holes left will come to: some completions, mended, looked at by RDKit.

Completions are drawn from Π p_i, each hole by itself, so that branches and ring labels often do not match: those without a
partner are left out. A hint on the way need not be right, only a positive function of the row: particles are weighted by the
exact wish at the end, and what steered them is divided out.
"""

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
LEAST, UNKNOWN = -4.0, -2.0  # log-weight of a completion that fails, or worse, and of one that is no molecule


@dataclass(frozen=True)
class Steered:
    """What one guide estimates weighs rows with at most `holes` holes, and another's exact wish those without any; no tilt."""

    way: Guide
    end: Guide
    holes: int = HOLES

    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        V = p.shape[-1]
        near = ((x_t == V).sum(-1) <= self.holes).nonzero().squeeze(-1)
        base = torch.zeros(len(x_t), dtype=torch.float64, device=x_t.device)
        if len(near):
            time = None if t is None else t[near]
            base[near] = self.way.log_tilt(x_t[near], time, positions[near], p[near])[1]  # type: ignore[arg-type]
        return torch.zeros_like(p, dtype=torch.float64), base

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
