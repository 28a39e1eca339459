"""A request made ready for sampling: which gap lengths can be filled, how likely each is, and the condition of each row.

The length of a gap is drawn before anything else, in proportion to π(ℓ) Z_ℓ: its prior times the mass that the model gives to
what must hold at that length. Z_ℓ is taken at x_T, from one pass over every combination of lengths.

Shapes: n samples, K combinations of gap lengths, L length, V vocabulary.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from constraints.assemble import Syntax
from constraints.compile import Compiled, compile
from constraints.condition import Constrained, Guide
from constraints.expression import Ban, Constraint, Within
from constraints.feasibility import explain, feasible
from constraints.layout import Layout
from constraints.motif import Tokens
from constraints.template import Canvas, Template
from constraints.token_sets import TokenSets
from seqdiff.alphabet import Alphabet
from seqdiff.draws import categorical
from seqdiff.noise import Stream, uniform

MOST = 128  # combinations of gap lengths that are looked at; of more, the likeliest under π


@dataclass(frozen=True, eq=False)
class Plan:
    """Combinations of gap lengths with their weights, and what must hold of each.

    Attributes:
        lengths: K tuples, one length for each gap.
        probability: (K,) float64, ∝ π(ℓ) Z_ℓ, 0 where nothing can be filled.
        compiled: what must hold, row k for combination k.
        skipped: combinations that were not looked at, because there are more than MOST.
    """

    template: Template
    alphabet: Alphabet
    lengths: tuple[tuple[int, ...], ...]
    probability: Tensor
    compiled: Compiled
    skipped: int = 0

    def draw(self, samples: Tensor, seed: int) -> tuple[list[Canvas], Tensor]:
        """One canvas a sample, and the combination (n,) that it has; a function of (seed, sample)."""
        chosen = categorical(self.probability.expand(len(samples), -1), uniform(seed, samples, 0, 0, Stream.LENGTH))
        return [self.template.canvas(self.lengths[k], self.alphabet.mask) for k in chosen.tolist()], chosen

    def condition(self, chosen: Tensor, guide: Guide | None = None, weighted: bool = False) -> Constrained:
        """The Condition of rows of one length whose combinations are `chosen` (B,)."""
        compiled, length = self.compiled, sum(self.template.length_range[:1])
        length = len(self.template.canvas(self.lengths[int(chosen[0])], self.alphabet.mask).tokens)
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
    lengths, prior, skipped = combinations(template)
    canvases = [template.canvas(chosen, alphabet.mask) for chosen in lengths]
    layouts = [layout_of(canvas) for canvas in canvases]
    whole = with_bans(template, expression, alphabet, len(template.gaps))
    compiled = compile(whole, alphabet, layouts, syntax=syntax)
    possible = feasible(compiled)
    if not bool((possible & (prior > 0)).any()):
        raise explain(whole, alphabet, layouts, syntax=syntax)
    probability = torch.where(possible, prior, 0.0)
    ready = Plan(template, alphabet, tuple(lengths), probability / probability.sum(), compiled, skipped)
    if log_mass is None or int((probability > 0).sum()) == 1:
        return ready
    able = (probability > 0).nonzero().squeeze(-1)
    log_weight = torch.full_like(prior, -math.inf)
    log_weight[able] = probability[able].log() + log_mass(ready, able)
    if bool(log_weight.isneginf().all()):  # the model rules out everything that could hold: no length before another
        return ready
    return Plan(template, alphabet, tuple(lengths), torch.softmax(log_weight, -1), compiled, skipped)


def combinations(template: Template) -> tuple[list[tuple[int, ...]], Tensor, int]:
    """The gap lengths that are looked at, π of each (K,), and how many others there are."""
    gaps = template.gaps
    total = math.prod(gap.high - gap.low + 1 for gap in gaps)
    tables = [gap.probability().tolist() for gap in gaps]
    if total <= MOST * MOST:
        every = list(itertools.product(*(range(len(table)) for table in tables)))
    else:  # the likeliest lengths of each gap
        few = max(1, int(MOST ** (1 / len(gaps))))
        every = list(itertools.product(*(sorted(range(len(t)), key=lambda i, t=t: -t[i])[:few] for t in tables)))
    prior = torch.tensor([math.prod(t[i] for t, i in zip(tables, x, strict=True)) for x in every], dtype=torch.float64)
    order = prior.argsort(descending=True, stable=True)[:MOST].sort().values
    lengths = [tuple(gap.low + i for gap, i in zip(gaps, every[k], strict=True)) for k in order.tolist()]
    nonempty = [k for k, chosen in enumerate(lengths) if sum(chosen) + template.length_range[0] - sum(g.low for g in gaps) > 0]
    return [lengths[k] for k in nonempty], prior[order[nonempty]], total - len(nonempty)


def layout_of(canvas: Canvas) -> Layout:
    """Regions gap1, gap2, …, and "pins"."""
    layout = Layout.of_canvas(canvas)
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


def texts(parts: Sequence[Constraint]) -> tuple[str, ...]:
    return tuple(str(part) for part in parts)
