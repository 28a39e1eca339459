"""A fragment task as a request has it: its templates, and what a finished molecule is looked at for.

    design(domain="smiles", task="linker", template="[*:1]N1CCCC1.[*:1]c1ccc2c(c1)OCCO2")

What must hold beside the pins (the drawn bond is the only one, a ring in a morphed core) is compiled with the syntax; fragments
are then kept by construction, but for rings that a design closes over two gaps and that take a drawn bond into their
aromaticity. No rule on tokens says how many atoms a ring has, or whose it is. Such molecules are found here.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from domains.smiles.assembly import Range, Writing
from domains.smiles.assembly_check import bridged_ring, rings_of_gaps
from domains.smiles.tasks import FragmentTask, task_templates
from domains.smiles.template import GAP, parse_template
from domains.smiles.tokens import tokenize
from domains.smiles.wellformed import in_open_rings
from domains.spec import DesignSpec
from domains.variant import Variant
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConfigError, SeqdiffError, TemplateError

BLOCKS, LINES = (".sdf", ".mol", ".sd"), (".smi", ".smiles", ".txt")


def variants(spec: DesignSpec, alphabet: Alphabet, max_length: int) -> list[Variant]:
    """The templates of a task that the model has tokens for. Raises ConfigError or TemplateError.

    Args:
        max_length: most tokens of a row; the task's own lengths give way to it, a user's do not.
    """
    assert spec.task is not None and spec.template is not None  # the spec checks it
    task = FragmentTask(spec.task, spec.template, spec.lengths, spec.ring_atoms, spec.templates)
    found, troubles = [], []
    for writing in task_templates(task, alphabet):
        text = writing.text if spec.lengths else fitted(writing.text, max_length)
        try:
            template = parse_template(text, alphabet)
        except SeqdiffError as error:  # another way to write it may have all its tokens
            troubles.append(error)
            continue
        constraint = writing.constraint(alphabet, own_rings=bool(spec.syntax) and in_open_rings(template, alphabet))
        found.append(Variant(text, template, constraint, partial(refusal, task, writing)))
    if not found:
        raise troubles[0]
    return found


def fitted(text: str, most: int) -> str:
    """A template whose longest gaps are shortened until no row has more than `most` tokens; as it is where none can be."""
    gaps = [[int(number) for number in found.groups() if number] for found in GAP.finditer(text)]
    room = most - len(tokenize(GAP.sub("", text)))
    longest = max((max(gap) for gap in gaps), default=0)
    capped = ([(min(gap), max(min(gap), min(max(gap), cap))) for gap in gaps] for cap in range(longest, 0, -1))
    ranges = next((ranges for ranges in capped if sum(high for _, high in ranges) <= room), None)
    if ranges is None:
        return text
    sizes = iter(str(Range(*ends)) for ends in ranges)
    return GAP.sub(lambda _: next(sizes), text)


def refusal(task: FragmentTask, writing: Writing, tokens: Sequence[str], gap: Sequence[int]) -> str:
    """Why a molecule is not what was asked for, "" if it is. gap: of each token its gap's number from 0, −1 where pinned."""
    if not writing.kept(tokens, gap):
        return "a fragment does not stand in it as it was drawn"
    if task.kind == "macrocycle" and (atoms := bridged_ring(tokens, gap)) < task.ring:
        return f"its ring has {atoms} atoms, fewer than {task.ring}"
    if task.kind == "morphing" and not rings_of_gaps(tokens, gap):
        return "what joins the fragments holds no ring of its own"
    return ""


def read_drawn(path: str | Path) -> str:
    """What is drawn in a file, as the text of a request: a mol block or SDF; or SMILES, the first word of each line."""
    path = Path(path)
    if path.suffix.lower() not in BLOCKS + LINES:
        raise ConfigError(f"source: expected a file that ends in {', '.join(BLOCKS + LINES)}; got {path}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"source: could not read {path} ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"source: {path} is not text in UTF-8") from None
    if path.suffix.lower() in BLOCKS:
        return text
    words = [line.split()[0] for line in text.splitlines() if line.strip()]
    if not words:
        raise TemplateError(f"source: {path} is empty; expected a fragment in each line, such as [*:1]c1ccccc1")
    return ".".join(words)
