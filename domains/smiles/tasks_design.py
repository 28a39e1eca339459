"""Designs of a fragment task: its templates sampled evenly, every design cut back into its fragments and compared.

    made = design_fragments(FragmentTask("linker", "[*:1]N1CCCC1.[*:1]c1ccc2c(c1)OCCO2"), n=16)

Lengths of gaps are drawn from the task's ranges, all alike that can be filled. What must hold beside the pins (the drawn bond
is the only one, a ring in a morphed core) is compiled with the syntax; fragments are then kept by construction, but for rings
that a design closes over two gaps and that take a drawn bond into their aromaticity: such a design is not returned.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from constraints.compilation.plan import Plan, plan
from constraints.guidance.guides import Sum
from constraints.language.notation import parse
from domains.design import Design, DesignSpec, Task, design_batches
from domains.registry import find_model
from domains.smiles.assembly import Writing
from domains.smiles.domain import syntax as syntax_of
from domains.smiles.domain import wish
from domains.smiles.tasks import FragmentTask, task_templates
from domains.smiles.template import parse_template
from domains.smiles.tokens import tokenize
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import SeqdiffError


@dataclass(frozen=True)
class FragmentDesigns:
    """What came of a task.

    Attributes:
        designs: molecules in which every fragment is kept.
        templates: the template text of each of them.
        invalid: designs that are no molecules; there are none where "valid" is wished.
        lost: molecules that lost a fragment.
        asked: n; what is in none of the lists was abstained from.
    """

    designs: list[Design]
    templates: list[str]
    invalid: list[Design]
    lost: list[Design]
    asked: int


def plan_of(writing: Writing, checkpoint: Checkpoint, syntax: bool = True, constraint: str | None = None) -> Plan:
    """A template's lengths and conditions. Raises TemplateError, ConditionError or Infeasible."""
    alphabet = checkpoint.alphabet
    template = parse_template(writing.text, alphabet)
    template.check(checkpoint.max_length, len(alphabet))
    texts = [text for text in (writing.constraint(alphabet), constraint and f"({constraint})") if text]
    expression = parse(" & ".join(texts)) if texts else None
    return plan(template, expression, alphabet, syntax_of(alphabet, template) if syntax else None)


def design_fragments(task: FragmentTask, checkpoint: Checkpoint | None = None, **fields: Any) -> FragmentDesigns:
    """n designs of a task. fields: those of `DesignSpec` but domain and template; syntax is on unless it is set to False."""
    spec = DesignSpec.from_dict({"domain": "smiles", "syntax": True, **fields})
    checkpoint = checkpoint or load_checkpoint(find_model(spec.model, "smiles"))
    writings = task_templates(task, checkpoint.alphabet)
    plans, troubles = [], []
    for writing in writings:
        try:
            plans.append((writing, plan_of(writing, checkpoint, spec.syntax, spec.constraint)))
        except SeqdiffError as error:  # another writing may be shorter
            troubles.append(error)
    if not plans:
        raise troubles[0]
    found: list[tuple[Design, str]] = []
    invalid: list[Design] = []
    lost: list[Design] = []
    for k, (writing, ready) in enumerate(plans[: spec.n]):
        share = spec.n // len(plans) + (k < spec.n % len(plans))
        if not share:
            continue
        one = dataclasses.replace(spec, n=share, seed=(spec.seed + (k << 40)) % 2**63)
        for item, gap in _filled(one, checkpoint, ready, writing):
            item = dataclasses.replace(item, index=k + item.index * len(plans))
            if not item.valid:
                invalid.append(item)
            elif writing.kept(tokenize(item.sequence), gap):
                found.append((item, writing.text))
            else:
                lost.append(item)
    found.sort(key=lambda pair: pair[0].index)
    return FragmentDesigns([item for item, _ in found], [text for _, text in found], invalid, lost, spec.n)


def _filled(spec: DesignSpec, checkpoint: Checkpoint, ready: Plan, writing: Writing):
    """Designs of one template, each with the number of the gap of each of its tokens."""
    canvases, _ = ready.draw(torch.arange(spec.n), spec.seed)
    parts = tuple((wish(text, checkpoint.alphabet), 1.0) for text in spec.wishes)
    guide = Sum(parts) if parts else None
    for made, _ in design_batches(Task(spec, checkpoint, ready.template, ready, guide)):
        for item in made:
            yield item, canvases[item.index].gap.tolist()
