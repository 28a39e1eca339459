"""Every example of docs/constraints.md is what the page says: it compiles to it, is drawn from, holds, and binds."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from constraints.compilation.compile import Compiled, compile
from constraints.compilation.layout import Layout
from constraints.grammars.grammar_structure import GrammarStructure
from constraints.language.kinds import KINDS
from constraints.language.notation import parse
from constraints.relations.elimination import AllDifferent, Elimination
from constraints.relations.factor_graph import FactorGraph
from constraints.relations.tied import Tied
from seqdiff.alphabet import Alphabet
from seqdiff.draws import categorical
from seqdiff.errors import ConditionError

PAGE = (Path(__file__).parent.parent / "docs" / "constraints.md").read_text()
ALPHABETS = {"protein": "ACDEFGHIKLMNPQRSTVWY", "rna": "ACGU", "dots": ".()", "text": "".join(map(chr, range(32, 127)))}
DRAWS = 64


def table(heading: str) -> list[list[str]]:
    """The cells of the rows of the table under a heading; an example's bars are escaped in Markdown."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().replace("\\|", "|").strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


GALLERY, REFUSED = table("Gallery"), table("What is refused")


def layout(row: str) -> tuple[Alphabet, Layout]:
    """From `protein 40; A 0..19; B 20..39`."""
    first, *regions = row.split("; ")
    name, length = first.split()
    spans = {}
    for region in regions:
        called, low, high = re.fullmatch(r"(\w+) (\d+)\.\.(\d+)", region).groups()  # type: ignore[union-attr]
        spans[called] = (int(low), int(high) + 1)
    return Alphabet(name, tuple(ALPHABETS[name])), Layout(int(length), spans)


def size(compiled: Compiled) -> str:
    """What the expression became, counted on the arrays."""
    parts = [f"{len(compiled.set_table)} token sets"] if len(compiled.set_table) > 1 or compiled.structure is None else []
    structure = compiled.structure
    if isinstance(structure, Tied):
        folded = int((structure.leader != torch.arange(len(structure.leader))).sum())
        parts.append(f"{folded} positions folded")
        structure = structure.inner
    if compiled.automaton is not None:
        delta = compiled.automaton.delta
        parts.append(f"{delta.shape[0]} states, {delta.shape[1]} classes, {np.count_nonzero(delta >= 0):,} edges")
    if isinstance(structure, GrammarStructure):
        parts.append(f"{len(structure.grammar.lexical)} nonterminals, {len(structure.grammar.binary)} rules")
    if isinstance(structure, FactorGraph):
        for component in structure.components:
            if isinstance(component, AllDifferent):
                parts.append(f"{2 ** len(component.positions)} sets of positions")
            elif isinstance(component, Elimination):
                parts.append(f"treewidth {component.treewidth}")
            else:
                parts.append(f"{len(component.first)} pairs")
    return "; ".join(parts)


def draw(compiled: Compiled, p: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    rows = torch.zeros(len(p), dtype=torch.int64)
    p = p * compiled.allowed(rows)
    if compiled.structure is None:
        return categorical(p, u)
    return compiled.structure.draw(p, u, compiled.region[rows])[0]


def random_tables(length: int, vocabulary: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    shape = (DRAWS, length)
    p = torch.rand(*shape, vocabulary, generator=generator, dtype=torch.float64) ** 3
    u, other = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return p, u, other


@pytest.mark.parametrize(("text", "kind", "guarantee", "row", "compiled_to"), [(r[0], *r[2:]) for r in GALLERY])
def test_examples_are_what_the_page_says(text, kind, guarantee, row, compiled_to):
    asked = parse(text)
    assert parse(str(asked)) == asked and asked.kind == kind
    alphabet, place = layout(row)
    compiled = compile(asked, alphabet, [place])
    assert size(compiled) == compiled_to
    p, u, other = random_tables(place.length, len(alphabet))
    rows = torch.zeros(DRAWS, dtype=torch.int64)
    assert bool(compiled.check(draw(compiled, p, u), rows).all())
    free = categorical(p, other)
    if text.startswith("length"):  # length is not drawn: what binds is that no other is possible
        shorter = compile(asked, alphabet, [Layout(17)])
        assert not shorter.allowed(rows[:1]).any()
    else:
        assert not bool(compiled.check(free, rows).all())
    one_parse = isinstance(compiled.structure, GrammarStructure) and not compiled.structure.grammar.ambiguous_up_to()[0]
    assert guarantee == ("exact, one parse a word" if one_parse else "exact")
    assert one_parse == (kind == "context-free" and "json_schema" not in text)


@pytest.mark.parametrize(("text", "row", "message"), REFUSED)
def test_what_the_page_says_is_refused_is_refused(text, row, message):
    alphabet, place = layout(row)
    with pytest.raises(ConditionError) as error:
        compile(parse(text), alphabet, [place])
    assert message in str(error.value)


def test_every_kind_of_constraint_that_compiles_has_an_example():
    signs = {"and": " & ", "or": " | ", "not": "~"}
    used = {name for row in GALLERY for name in re.findall(r"[a-z_]+(?=\()", row[0])}
    used |= {name for name, sign in signs.items() if any(sign in row[0] for row in GALLERY)}
    text = Alphabet("text", tuple(map(chr, range(32, 127))))
    for kind in KINDS.keys() - used:
        with pytest.raises(ConditionError):
            compile(parse(KINDS[kind]["example"]), text, [Layout(12, {"linker": (2, 6)})])


def test_the_programme_on_the_page_runs():
    (programme,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict = {}
    exec(programme, names)
    assert bool(names["log_mass"].isfinite().all())
