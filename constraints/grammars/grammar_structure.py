"""Context-free grammars as exact constraints: the inside algorithm over a product of categoricals.

A Structure whose mass is that of all derivations under p (`inside.py`): log Z exactly if every word has one parse. The cost
is O(|G| L³) in time and O(N L²) in memory a row, for N nonterminals.

Ambiguity. Where words have several parses, `log_mass` counts a word once per parse, log Σ_x N(x) p(x) ≥ log Z, with equality
exactly if no word of that length and support has two. `draw` then accepts x with probability 1/N(x) and tries again with
fresh noise: its law is exact whenever a try is accepted. After `tries` failures one of them is taken ∝ 1/N(x), which is exact
where all words of a length have equally many parses, and otherwise tends to the law as `tries` grows.

Shapes: R rows, L length, V vocabulary, N nonterminals, M binary rules, G regions.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from constraints.grammars.grammar import Grammar
from constraints.grammars.inside import CELLS, Inside
from seqdiff.draws import categorical
from seqdiff.errors import ConditionError
from seqdiff.noise import Stream, uniform

MAX_LENGTH, MAX_LENGTH_SMALL = 64, 256
_SMALL = 1e8  # products a row, P L³ / 6, up to which a grammar counts as small


@dataclass(frozen=True, eq=False)
class GrammarStructure:
    """A Structure: the positions of the regions inside, read in order, are a word of the grammar; others are free.

    Attributes:
        grammar: in normal form.
        inside: (G,) bool, the regions that are read; None reads every position.
        ambiguous: whether draws are corrected by 1/N(x); None takes what `Grammar.ambiguous_up_to` finds.
        tries: how often a corrected draw is tried.
    """

    grammar: Grammar
    inside: np.ndarray | None = None
    ambiguous: bool | None = None
    tries: int = 64

    def __post_init__(self):
        if self.ambiguous is None:
            object.__setattr__(self, "ambiguous", self.grammar.ambiguous_up_to()[0])

    @cached_property
    def _inside(self) -> Inside:
        return Inside(self.grammar.lexical, self.grammar.binary)

    def _check(self, L: int) -> None:
        pairs = len(self._inside.pairs[0])
        if L > MAX_LENGTH_SMALL or (L > MAX_LENGTH and pairs * L**3 / 6 > _SMALL):
            raise ConditionError(
                f"grammar: {L} positions are too many for {pairs:,} pairs of rules, as time grows with their number times "
                f"L³; expected at most {MAX_LENGTH}, or {MAX_LENGTH_SMALL} where pairs · L³ / 6 ≤ {_SMALL:.0e}; let it "
                "act on a shorter region, or use a regular expression"
            )

    # ── the protocol ──

    def _read(self, p: Tensor, region: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The positions that are read, brought to the front: order (R, L), whether each is read (R, L), how many are (R,)."""
        R, L, V = p.shape
        if self.grammar.vocabulary != V:
            raise ConditionError(f"grammar: expected probabilities of {self.grammar.vocabulary} tokens, got {V}")
        read = torch.ones(R, L, dtype=torch.bool, device=p.device)
        if self.inside is not None:
            inside = torch.as_tensor(self.inside, dtype=torch.bool, device=p.device)
            read = inside[torch.zeros_like(read, dtype=torch.int64) if region is None else region]
        order = read.to(torch.int8).argsort(dim=-1, descending=True, stable=True)
        lengths = read.sum(-1)
        self._check(int(lengths.max()) if R else 0)
        return order, read.gather(1, order), lengths

    def _row_blocks(self, lengths: Tensor):
        """(rows, their longest length), blocks small enough for their charts; empty rows are left out."""
        rows = lengths.nonzero().squeeze(-1)
        if not len(rows):
            return
        for block in rows.split(max(1, 4 * CELLS // (len(self.grammar.lexical) * int(lengths.max()) ** 2))):
            yield block, int(lengths[block].max())

    def log_mass(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """log Σ_{x ∈ C} N(x) Π_i p_i(x_i), (R,) float64: log Z where the grammar is unambiguous. Differentiable once.

        Where p_i is 0 on all tokens of a nonterminal the derivative by p_i is given as 0.
        """
        order, read, lengths = self._read(p, region)
        p = p.double()
        free = torch.where(read.scatter(1, order, read), 1.0, p.sum(-1)).log().sum(-1)
        mass = torch.where(lengths == 0, 0.0 if self.grammar.nullable else float("-inf"), torch.zeros_like(free))
        for rows, L in self._row_blocks(lengths):
            within = p[rows].gather(1, order[rows, :L, None].expand(-1, -1, p.shape[-1]))
            mass = mass.index_add(0, rows, self._inside.log_mass(within, lengths[rows]))
        return mass + free

    def draw(self, p: Tensor, u: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (R, L) ∝ Π_i p_i(x_i) 1[x ∈ C] from noise u (R, L), and `log_mass` (R,); arbitrary where the mass is 0."""
        order, read, lengths = self._read(p, region)
        p = p.detach().double()
        tokens = categorical(p, u).clamp(max=p.shape[-1] - 1)
        log_mass = torch.where(read.scatter(1, order, read), 1.0, p.sum(-1)).log().sum(-1)
        if not self.grammar.nullable:
            log_mass = torch.where(lengths == 0, float("-inf"), log_mass)
        for rows, L in self._row_blocks(lengths):
            within = p[rows].gather(1, order[rows, :L, None].expand(-1, -1, p.shape[-1]))
            chart = self._inside.chart(within)
            log_mass[rows] += chart[0, torch.arange(len(rows)), 0, lengths[rows] - 1]
            drawn = self._accepted(chart, within, u[rows].gather(1, order[rows, :L]), lengths[rows])
            here = torch.where(read[rows, :L], drawn, tokens[rows].gather(1, order[rows, :L]))
            tokens[rows] = tokens[rows].scatter(1, order[rows, :L], here)
        return tokens, log_mass

    def parses(self, tokens: Tensor, region: Tensor | None = None) -> Tensor:
        """N(x), how many parses each row (R, L) has, (R,) float64; 0 for what is no word or has a hole."""
        clean = (tokens >= 0) & (tokens < self.grammar.vocabulary)
        one_hot = torch.nn.functional.one_hot(torch.where(clean, tokens, 0), self.grammar.vocabulary).double()
        return self.log_mass(one_hot * clean[..., None], region).exp().round()

    def accepts_rows(self, tokens: Tensor, region: Tensor | None = None) -> Tensor:
        """Which rows (R, L) satisfy the structure, (R,) bool."""
        return self.parses(tokens, region) > 0

    # ── drawing ──

    def _accepted(self, chart: Tensor, p: Tensor, u: Tensor, lengths: Tensor) -> Tensor:
        """Words ∝ Π p from derivations ∝ Π p: each try is accepted with probability 1/N(x)."""
        tokens = self._inside.derive(chart, p, u, lengths)
        if not self.ambiguous:
            return tokens
        whole = GrammarStructure(self.grammar, np.array([False, True]), False)
        columns = torch.arange(u.shape[1] + 2, device=u.device)
        region = (columns[:-2] < lengths[:, None]).long()
        odd = 2 * torch.arange(len(columns) - 2, device=u.device) + 0x9E3779B97F4A7C15 % 2**62
        seed = (((u * 2**53).long() * odd) ^ odd).sum(-1, keepdim=True)
        waiting = torch.isfinite(chart[0, torch.arange(len(p)), 0, lengths - 1]).nonzero().squeeze(-1)
        tried, weight = [tokens], []
        for attempt in range(self.tries):
            noise = uniform(seed[waiting], 0, attempt, columns, Stream.CHOICE)
            if attempt:
                again = self._inside.derive(chart[:, waiting], p[waiting], noise[:, :-2], lengths[waiting])
                tokens = tokens.index_copy(0, waiting, again)
                tried.append(tokens)
            n = whole.parses(tokens[waiting], region[waiting]).clamp(min=1)
            weight.append(torch.zeros_like(p[:, 0, 0]).index_copy(0, waiting, 1 / n))
            waiting = waiting[noise[:, -2] * n >= 1]
            if not len(waiting):
                return tokens
        noise = uniform(seed[waiting], 0, self.tries, columns[-1:], Stream.CHOICE)[:, 0]
        chosen = categorical(torch.stack(weight, -1)[waiting], noise)
        return tokens.index_copy(0, waiting, torch.stack(tried, 1)[waiting, chosen])
