"""Fragment-constrained design: from a task (`task_names.TASKS`) and what was drawn to templates.

Lengths in tokens are those of pieces cut from 2,500 molecules of ZINC250k at single bonds outside of rings: between two cuts
with at least five heavy atoms on either side (median 6, 90 % up to 19; 27 % are below 4, where there is hardly anything to
design), and the smaller side of one cut (median 8, 90 % up to 17). How much a fragment grows depends on its size (`GROWTH`).
Within a range all lengths are alike, because the commonest, such as C(=O), would come again and again. A core's lengths (119
were cut out: median 9, 90 % up to 18) are shared among its gaps; a macrocycle's are chosen, not measured.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from domains.smiles.assembly import Range, Writing, drawn, joined, writings
from domains.smiles.fragments import Fragment, check_size, read_here
from domains.smiles.fragments_worker import limited
from domains.smiles.task_names import TASKS
from domains.smiles.tokens import is_ring_label, tokenize
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConfigError, TemplateError

LINKER, ARM = Range(4, 19), Range(1, 17)
# Tokens of a fragment up to → the 10 % and 90 % quantiles of what it lacks to a molecule, at least 3
GROWTH = ((10, 18, 39), (15, 13, 35), (20, 9, 29), (25, 3, 25), (30, 3, 20), (40, 3, 14), (10**9, 3, 8))
CORE, FURTHER = Range(1, 8), Range(0, 5)  # a core of three or more arms: up to its first arm, and between its arms
RING = 12  # atoms of the smallest macrocycle


@dataclass(frozen=True)
class FragmentTask:
    """What is asked of what was drawn.

    Attributes:
        kind: a name of TASKS.
        drawn: fragments, in any form that `read_fragments` reads.
        lengths: (low, high) tokens of every gap, None for the task's own.
        ring_atoms: fewest atoms of a macrocycle's ring, None for RING.
        templates: at most so many ways to write it, None for 4 (12 places of growth for a superstructure); designs are shared
            evenly among them.
    """

    kind: str
    drawn: str
    lengths: tuple[int, int] | None = None
    ring_atoms: int | None = None
    templates: int | None = None

    def __post_init__(self):
        if self.kind not in TASKS:
            raise ConfigError(f"task: expected one of {', '.join(TASKS)}; got {self.kind!r}")
        if self.lengths is not None and not (len(self.lengths) == 2 and 1 <= self.lengths[0] <= self.lengths[1] <= 500):
            raise ConfigError(f"task lengths: expected two numbers, 1 ≤ low ≤ high ≤ 500, got {list(self.lengths)}")
        if self.ring_atoms is not None and self.kind != "macrocycle":
            raise ConfigError(f"ring_atoms: is of the task macrocycle, got it with {self.kind}; leave it out")
        if self.most < 1 or self.ring < 3:
            raise ConfigError("task: expected at least one template and a ring of at least 3 atoms")

    @property
    def ring(self) -> int:
        return RING if self.ring_atoms is None else self.ring_atoms

    @property
    def most(self) -> int:
        return self.templates if self.templates is not None else 12 if self.kind == "superstructure" else 4


Arrangement = tuple[list[tuple[int, ...]], list[Range]]  # which points each hole joins, and the lengths of its gaps


def task_templates(task: FragmentTask, alphabet: Alphabet) -> list[Writing]:
    """The templates of a task over a model's tokens. Raises TemplateError where what was drawn does not fit the task."""
    check_size(task.drawn)
    found = limited("domains.smiles.tasks:templates_here", dataclasses.asdict(task), alphabet.tokens)
    return [Writing.from_list(fields) for fields in found]


def templates_here(fields: dict, tokens: Sequence[str]) -> list[list]:
    """`task_templates` in this process, as JSON can hold it."""
    task = FragmentTask(**fields)
    fragments = [Fragment(smiles, tuple(labels), first) for smiles, labels, first in read_here(task.drawn)]
    if task.kind == "superstructure":
        pairs = _superstructure(fragments)
    else:
        if not all(fragment.labels for fragment in fragments):
            smiles = fragments[0].smiles
            raise TemplateError(f"{task.kind}: {smiles} has no attachment point; mark where it may change, as in [*:1]C")
        pairs = [(fragments, arrangement) for arrangement in _ARRANGE[task.kind](fragments, task)]
    labels = [token for token in tokens if is_ring_label(token)]
    pool = sorted(labels, key=lambda label: int(label.strip("%()")))  # as molecules are written; gaps have the rest
    each = max(1, task.most // len(pairs))
    found: dict[str, Writing] = {}
    for pieces, (holes, ranges) in pairs[: task.most]:
        lengths = ranges if task.lengths is None else [Range(*task.lengths)] * len(ranges)
        ring = task.kind == "morphing"
        wanted = drawn(pieces, holes)
        for writing in writings(joined(pieces, holes), lengths, each, FURTHER, pool, ring):
            if writing.expected(named=False) == wanted:  # what was drawn is what will be looked for
                found.setdefault(writing.text, writing)
    if not found:
        raise TemplateError(f"{task.kind}: {task.drawn} cannot be written so that its fragments come back; draw it another way")
    return [list(dataclasses.astuple(writing)) for writing in found.values()]


def _linker(fragments: Sequence[Fragment], task: FragmentTask) -> list[Arrangement]:
    if len(fragments) < 2:
        raise TemplateError(
            f"{task.kind}: expected two fragments or more, apart by . or |, got one; its own two ends make a macrocycle"
        )
    named, rest = _named_holes(fragments)
    if named and not rest:
        return [(named, [_between(points) for points in named])]
    ends = [f for f in fragments if len(f.labels) == 1]
    middles = [f for f in fragments if len(f.labels) == 2]
    if len(ends) == len(fragments):
        points = tuple(f.first for f in fragments)
        return [([points], [_between(points)])]
    if len(ends) == 2 and len(middles) == len(fragments) - 2:
        return [_chain([ends[0], *order, ends[1]], turned) for order, turned in _orders(middles)]
    raise TemplateError(
        f"{task.kind}: which points are joined? Give those that one linker joins the same label, as in "
        "[*:1]C.[*:1]N[*:2].[*:2]O; or use joint, where points that are not joined grow"
    )


def _decoration(fragments: Sequence[Fragment], task: FragmentTask) -> list[Arrangement]:
    _need_one(fragments, task)
    holes = [(k,) for k in fragments[0].points]
    return [(holes, [ARM] * len(holes))]


def _extension(fragments: Sequence[Fragment], task: FragmentTask) -> list[Arrangement]:
    _need_one(fragments, task)
    if len(fragments[0].labels) != 1:
        raise TemplateError(f"extension: expected one attachment point, got {len(fragments[0].labels)}; decoration has several")
    return [([(1,)], [_growth(fragments[0].smiles)])]


def _macrocycle(fragments: Sequence[Fragment], task: FragmentTask) -> list[Arrangement]:
    from rdkit import Chem

    _need_one(fragments, task)
    if len(fragments[0].labels) != 2:
        raise TemplateError(f"macrocycle: expected two attachment points, the bridge's ends, got {len(fragments[0].labels)}")
    molecule = Chem.MolFromSmiles(fragments[0].smiles)
    ends = [atom.GetIdx() for atom in molecule.GetAtoms() if atom.GetAtomicNum() == 0]
    within = len(Chem.GetShortestPath(molecule, *ends)) - 2
    low = max(2, task.ring - within)
    low += 1 + low // 4  # bonds, branches and rings of the gap take tokens, too, and add no atom to the smallest ring
    return [([(1, 2)], [Range(low, low + 10)])]


def _joint(fragments: Sequence[Fragment], task: FragmentTask) -> list[Arrangement]:
    if len(fragments) < 2:
        raise TemplateError("joint: expected two fragments or more; a single one is decorated or made a macrocycle")
    named, rest = _named_holes(fragments)
    if not named:
        if any(len(f.labels) < 2 for f in fragments[1:-1]):
            raise TemplateError(
                "joint: a fragment between two others needs two points; give points that are joined the same label"
            )
        named = [(left.points[-1], right.points[0]) for left, right in itertools.pairwise(fragments)]
        used = {k for points in named for k in points}
        rest = [k for f in fragments for k in f.points if k not in used]
    return [([*named, *((k,) for k in rest)], [*(_between(points) for points in named), *[ARM] * len(rest)])]


_ARRANGE = {
    "linker": _linker,
    "morphing": _linker,
    "decoration": _decoration,
    "extension": _extension,
    "macrocycle": _macrocycle,
    "joint": _joint,
}


def _superstructure(fragments: Sequence[Fragment]) -> list[tuple[Sequence[Fragment], Arrangement]]:
    """One arrangement for each kind of hydrogen, then one for each pair of kinds."""
    if len(fragments) != 1 or fragments[0].labels:
        raise TemplateError("superstructure: expected one molecule without attachment points; to grow at points use decoration")
    smiles = fragments[0].smiles
    grown = _growth(smiles)
    half = Range(1, max(1, grown.high // 2))
    single, double = _opened(smiles, 1), _opened(smiles, 2)
    if not single:
        raise TemplateError(f"superstructure: no atom of {smiles} has a hydrogen, so that it cannot grow")
    ones: list = [([Fragment(text, (0,), 1)], ([(1,)], [grown])) for text in single]
    twos: list = [([Fragment(text, (0, 0), 1)], ([(1,), (2,)], [half, half])) for text in double]
    return [pair for pairs in itertools.zip_longest(ones, twos) for pair in pairs if pair is not None]


def _opened(smiles: str, points: int) -> list[str]:
    """The molecule with so many hydrogens made attachment points, each way once, in the order of its canonical atoms."""
    from rdkit import Chem

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    kinds = list(Chem.CanonicalRankAtoms(molecule, breakTies=False))
    hydrogens: dict[int, int] = {}  # one hydrogen of each heavy atom
    for atom in molecule.GetAtoms():
        if atom.GetAtomicNum() == 1:
            hydrogens.setdefault(atom.GetNeighbors()[0].GetIdx(), atom.GetIdx())
    found: dict[str, str] = {}
    for chosen in itertools.islice(itertools.combinations(sorted(hydrogens.values()), points), 400):
        opened = Chem.RWMol(molecule)
        for k, h in enumerate(chosen, 1):
            opened.GetAtomWithIdx(h).SetAtomicNum(0)
            opened.GetAtomWithIdx(h).SetIsotope(k)
        key = str(sorted(kinds[h] for h in chosen))
        found.setdefault(key, Chem.MolToSmiles(Chem.RemoveHs(opened.GetMol())))
    return list(found.values())


def _named_holes(fragments: Sequence[Fragment]) -> tuple[list[tuple[int, ...]], list[int]]:
    """Points that share a label, and the others."""
    labels = {k: label for f in fragments for k, label in zip(f.points, f.labels, strict=True)}
    shared = [label for label in dict.fromkeys(labels.values()) if label and list(labels.values()).count(label) > 1]
    named = [tuple(k for k in labels if labels[k] == label) for label in shared]
    return named, [k for k in labels if labels[k] not in shared]


def _orders(middles: list[Fragment]):
    """Orders of the fragments within a chain, each either way round."""
    for order in itertools.permutations(middles):
        for turned in itertools.product((False, True), repeat=len(order)):
            yield order, turned


def _chain(fragments: Sequence[Fragment], turned: Sequence[bool]) -> Arrangement:
    ends: list[int] = []
    for f, turn in zip(fragments, (False, *turned, False), strict=True):
        ends += reversed(f.points) if turn else f.points
    holes = [tuple(ends[i : i + 2]) for i in range(0, len(ends), 2)]
    return holes, [LINKER] * len(holes)


def _between(points: tuple[int, ...]) -> Range:
    return LINKER if len(points) == 2 else CORE


def _growth(smiles: str) -> Range:
    size = sum(not token.endswith("*]") for token in tokenize(smiles))
    return next(Range(low, high) for most, low, high in GROWTH if size <= most)


def _need_one(fragments: Sequence[Fragment], task: FragmentTask) -> None:
    if len(fragments) != 1:
        raise TemplateError(f"{task.kind}: expected one fragment, got {len(fragments)}; to join several use linker or joint")
