"""docs/samplers.md agrees with the table of samplers and with the figures it quotes."""

import json
import re
from pathlib import Path

import pytest

from seqdiff.samplers.registry import SAMPLERS

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "samplers.md").read_text()
FIGURES = json.loads((DOCS / "convergence.json").read_text())
NAMED = re.findall(r"^\| `([a-z-]+)` \| ([a-z-]+) \|", PAGE, re.MULTILINE)
QUOTED = re.findall(
    r"^\| (absorbing|uniform|embedded) \| `([a-z-]+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", PAGE, re.MULTILINE
)


def figures(process: str, sampler: str, what: str, steps: int) -> float:
    (row,) = (row for row in FIGURES["curves"] if (row["process"], row["sampler"]) == (process, sampler))
    return row[what][FIGURES["steps"].index(steps)]


def test_every_sampler_stands_once_on_the_page_with_its_certificate():
    assert sorted(NAMED) == sorted((name, sampler.certificate) for name, sampler in SAMPLERS.items())


def test_every_certificate_is_explained():
    assert set(re.findall(r"^- \*\*([a-z-]+)\*\*:", PAGE, re.MULTILINE)) == {s.certificate for s in SAMPLERS.values()}


@pytest.mark.parametrize(("process", "sampler", "few", "some", "many"), QUOTED)
def test_quoted_distances_are_the_measured_ones(process, sampler, few, some, many):
    for steps, quoted in zip((8, 32, 128), (few, some, many), strict=True):
        assert f"{figures(process, sampler, 'tv', steps):.3f}" == quoted


def test_the_measurement_is_whole():
    """Every sampler has a curve, and the page quotes some of each process, the floor and the number of draws."""
    assert {row["sampler"] for row in FIGURES["curves"]} == set(SAMPLERS)
    assert all(row["certificate"] == SAMPLERS[row["sampler"]].certificate for row in FIGURES["curves"])
    assert {process for process, *_ in QUOTED} == {row["process"] for row in FIGURES["curves"]}
    assert f"{FIGURES['draws']:,} draws" in PAGE
    assert f"{FIGURES['floor']['mean']:.3f}" in PAGE
    assert "](convergence.png)" in PAGE and (DOCS / "convergence.png").is_file()
