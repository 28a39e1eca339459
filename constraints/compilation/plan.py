"""A request made ready for sampling: which gap lengths can be filled, how likely each is, and the condition of each row.

The length of a gap is drawn before anything else, in proportion to π(ℓ) Z_ℓ: its prior times the mass that the model gives to
the constraint at that length. Z_ℓ is taken at x_T, from one pass over every combination of lengths, where positions are still
independent. That would count a domain's syntax, which the model knows, as ever less likely the longer a row is, and ties of
regions as a collision of ever more independent draws; so syntax, ties and the template's own bans only decide what is possible.

Shapes: n samples, K combinations of gap lengths, L length, V vocabulary.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_

import numpy as np
import torch
from torch import Tensor

from constraints.compilation.assemble import Syntax
from constraints.compilation.compile import Compiled, compile, top_level
from constraints.compilation.feasibility import explain, feasible
from constraints.compilation.layout import Layout
from constraints.condition import Constrained, Guide
from constraints.language.expression import Ban, Constraint, Length, Tie, Within
from constraints.language.motif import Tokens
from constraints.template import Canvas, Template
from constraints.token_sets import TokenSets
from seqdiff.alphabet import Alphabet
from seqdiff.draws import categorical
from seqdiff.noise import Stream, uniform

GRID = 2**20
MOST = 128  # combinations of gap lengths that are looked at; of more, the likeliest under π


@dataclass(frozen=True, eq=False)
class Plan:
    """Combinations of gap lengths with their weights, and what must hold of each.

    Attributes:
        lengths: K tuples, one length for each gap.
        probability: (K,) float64, ∝ π(ℓ) Z_ℓ, 0 where nothing can be filled.
        compiled: what must hold, row k for combination k.
        skipped: combinations that were not looked at, because there are more than MOST.
        asked: whether more must hold than the template's own pins and bans.
    """

    template: Template
    alphabet: Alphabet
    lengths: tuple[tuple[int, ...], ...]
    probability: Tensor
    compiled: Compiled
    skipped: int = 0
    asked: bool = False

    def draw(self, samples: Tensor, seed: int) -> tuple[list[Canvas], Tensor]:
        """One canvas a sample, and the combination (n,) that it has; a function of (seed, sample)."""
        chosen = categorical(self.probability.expand(len(samples), -1), uniform(seed, samples, 0, 0, Stream.LENGTH))
        return [self.template.canvas(self.lengths[k], self.alphabet.mask) for k in chosen.tolist()], chosen

    def condition(self, chosen: Tensor, guide: Guide | None = None, weighted: bool = False) -> Constrained:
        """The Condition of rows of one length whose combinations are `chosen` (B,)."""
        compiled = self.compiled
        length = compiled.layouts[int(chosen[0])].length
        structure = compiled.structure
        if hasattr(structure, "rows"):
            structure = structure.rows(chosen)  # type: ignore[union-attr]
        sets = compiled.sets
        if sets is not None and sets.index is not None:
            sets = TokenSets(sets.log_allowed, sets.index[chosen][:, :length])
        region = compiled.region[chosen][:, :length]
        return Constrained(len(self.alphabet), sets, structure, region, guide, weighted)

    def violations(self, tokens: Tensor, chosen: int) -> list[str]:
        """What an independent check finds broken in a finished row (L,)."""
        return self.compiled.violations(tokens, chosen)


def plan(
    template: Template,
    expression: Constraint | None,
    alphabet: Alphabet,
    syntax: Syntax | None = None,
    log_mass: Callable[[Plan, Tensor], Tensor] | None = None,
) -> Plan:
    """Raises ConditionError for what cannot be compiled, Infeasible (with the conflict) where nothing can hold.

    Args:
        syntax: the language of the domain, as an automaton.
        log_mass: (plan, combinations (K',)) → log Z_ℓ (K',) under the model; None takes Z_ℓ = 1 wherever it is possible.
    """
    lengths, prior, skipped = combinations(template, expression)
    canvases = [template.canvas(chosen, alphabet.mask) for chosen in lengths]
    layouts = [layout_of(canvas) for canvas in canvases]
    whole = with_bans(template, expression, alphabet, len(template.gaps))
    compiled = compile(whole, alphabet, layouts, syntax=syntax)
    possible = feasible(compiled)
    if not bool((possible & (prior > 0)).any()):
        raise explain(whole, alphabet, layouts, syntax=syntax)
    probability = torch.where(possible, prior, 0.0)
    more = expression is not None or syntax is not None
    ready = Plan(template, alphabet, tuple(lengths), probability / probability.sum(), compiled, skipped, more)
    asked = [part for part in top_level(expression) if not isinstance(part, Tie)]
    if log_mass is None or not asked or int((probability > 0).sum()) == 1:
        return ready
    able = (probability > 0).nonzero().squeeze(-1)
    log_weight = torch.full_like(prior, -math.inf)
    weighs = reduce(and_, asked)
    weighed = ready if syntax is None and whole == weighs else replace(ready, compiled=compile(weighs, alphabet, layouts))
    log_weight[able] = probability[able].log() + log_mass(weighed, able)
    if bool(log_weight.isneginf().all()):  # the model rules out everything that could hold: no length before another
        return ready
    return replace(ready, probability=torch.softmax(log_weight, -1))


def combinations(template: Template, expression: Constraint | None = None) -> tuple[list[tuple[int, ...]], Tensor, int]:
    """The gap lengths that are looked at, π of each (K,), and how many others there are.

    Lengths that a total length or a tie of two gaps rules out are not looked at. Of more than MOST that are left the likeliest
    are, and of equally likely ones some that lie evenly among them.
    """
    gaps = template.gaps
    total = math.prod(gap.high - gap.low + 1 for gap in gaps)
    tables = [gap.probability().tolist() for gap in gaps]
    if total <= GRID:
        axes = [np.arange(len(table)) for table in tables]
    else:  # the likeliest lengths of each gap
        few = max(1, int(GRID ** (1 / len(gaps))))
        axes = [_likeliest(np.array(table), few) for table in tables]
    every = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(gaps))
    prior = np.prod([np.array(table)[every[:, g]] for g, table in enumerate(tables)], axis=0) * np.ones(len(every))
    lengths = every + np.array([gap.low for gap in gaps], np.int64)
    pinned = template.length_range[0] - sum(gap.low for gap in gaps)
    kept = np.flatnonzero(_could_hold(lengths, pinned, expression))
    if not len(kept):  # nothing can hold: what is looked at serves to explain why
        kept = np.flatnonzero(lengths.sum(1) + pinned > 0)
    kept = kept[_likeliest(prior[kept], MOST)]
    return [tuple(row) for row in lengths[kept].tolist()], torch.from_numpy(prior[kept]), total - len(kept)


def _likeliest(prior: np.ndarray, most: int) -> np.ndarray:
    """Sorted indices of the `most` greatest; equal ones in the order of the fractions of i/φ, which fill [0, 1) evenly."""
    spread = np.arange(len(prior)) * ((math.sqrt(5) - 1) / 2) % 1
    return np.sort(np.lexsort((spread, -prior.round(15)))[:most])


def _could_hold(lengths: np.ndarray, pinned: int, expression: Constraint | None) -> np.ndarray:
    """(K,) bool: rows of lengths (K, gaps) that are not empty, have the total asked for, and like lengths for tied gaps."""
    whole = lengths.sum(1) + pinned
    fits = whole > 0
    names = {f"gap{g + 1}": lengths[:, g] for g in range(lengths.shape[1])}
    for part in top_level(expression):
        if isinstance(part, Length):
            fits &= (whole >= part.low) & (whole <= (np.inf if part.high is None else part.high))
        if isinstance(part, Tie) and part.region_a in names and part.region_b in names:
            fits &= names[part.region_a] == names[part.region_b]
    return fits


def layout_of(canvas: Canvas) -> Layout:
    """Regions gap1, gap2, …, "pins", and those that the template names."""
    layout = Layout.of_canvas(canvas, canvas.regions)
    return Layout(layout.length, {**_named(layout), "pins": canvas.pinned.numpy()}, canvas.tokens)


def with_bans(template: Template, expression: Constraint | None, alphabet: Alphabet, gaps: int) -> Constraint | None:
    """The expression, and the tokens that no gap may use."""
    if not template.banned or not gaps:
        return expression
    tokens = Tokens(tuple(alphabet.tokens[i] for i in sorted(template.banned)))
    for g in range(gaps):
        ban = Within(Ban(tokens), f"gap{g + 1}")
        expression = ban if expression is None else expression & ban
    return expression


def _named(layout: Layout) -> dict:
    return {name: mask for name, mask in layout.regions.items() if name != "all"}


def log_mass_of(denoiser, process, label: int | None, batch_size: int = 64) -> Callable[[Plan, Tensor], Tensor]:
    """log Z_ℓ at x_T under a denoiser of tokens: a pass over the rows that `plan` asks about, those of one length together."""
    from seqdiff.samplers.drive import DrawOptions, answer, batches_by_length
    from seqdiff.samplers.state import Query, State

    def log_mass(ready: Plan, rows: Tensor) -> Tensor:
        canvases = [ready.template.canvas(ready.lengths[k], ready.alphabet.mask).tokens for k in rows.tolist()]
        out = torch.zeros(len(rows), dtype=torch.float64)
        for batch in batches_by_length(canvases, batch_size):
            classes = None if label is None else torch.full((len(batch.tokens),), label, dtype=torch.int64)
            state = State.from_canvas(process, batch.tokens, 0, batch.index, classes)
            opened = batch.tokens == ready.alphabet.mask
            positions = torch.arange(opened.shape[1]).expand(opened.shape)
            query = Query(state, None, torch.ones(len(opened), dtype=torch.float64), positions, opened)
            condition = ready.condition(rows[batch.index], weighted=True)
            p = answer(denoiser, query, condition, DrawOptions())
            out[batch.index] = condition.log_mass(query, condition.factors(query, p)[0])
        return out

    return log_mass
