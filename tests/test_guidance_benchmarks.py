"""The benchmarks' own parts on a small random landscape: sums against enumeration, exact tilts against the tilted law."""

import csv
import itertools
import json
import lzma
import math
from pathlib import Path

import pytest
import torch

import benchmarks.guidance_gb1 as gb1
from benchmarks.guidance_gb1 import Tabled, distance, drawn, floor, methods, propagated
from benchmarks.guidance_molecules import TEMPLATES
from benchmarks.landscape import AMINO_ACIDS, Landscape, Summed, SummedClassifier, learn, places, read, sums
from constraints.guidance.guides import ExactGuide, FirstOrderGuide, Lookahead, Sum
from seqdiff.denoisers.classifier import ExactClassifier
from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser

V = L = 4


@pytest.fixture(scope="module")
def landscape():
    """Four tokens at four sites, fitness of sites and of one pair, one in ten not measured."""
    generator = torch.Generator().manual_seed(0)
    sites, pairs = torch.randn(L, V, generator=generator).double(), torch.randn(V, V, generator=generator).double()
    fitness = (sum(sites[i].view([V if j == i else 1 for j in range(L)]) for i in range(L)) + pairs[:, None, None, :]).exp()
    assert isinstance(fitness, torch.Tensor)
    return Landscape.of(torch.where(torch.rand((V,) * L, generator=generator) < 0.1, math.nan, fitness))


@pytest.fixture(scope="module")
def law(landscape):
    outcomes = torch.tensor(list(itertools.product(range(V), repeat=L)))
    return EnumeratedLaw(outcomes, landscape.base.flatten(), V)


@pytest.fixture(scope="module")
def exact(landscape):
    return ExactGuide(SummedClassifier(landscape.base, landscape.p_y))


def every_row():
    return torch.cartesian_prod(*[torch.arange(V + 1)] * L)


def test_sums_are_the_enumerated_denoiser_and_classifier(landscape, law):
    rows = every_row()
    here, there = Summed(landscape.base)(rows).exp(), ExactDenoiser(law)(rows).exp()
    assert float((here - there).abs().max()) < 1e-12
    positions = torch.tensor([[3, 1]]).expand(len(rows), -1)
    some = Summed(landscape.base)(rows, positions=positions).exp()
    assert torch.equal(some, here[:, [3, 1]])
    one, other = SummedClassifier(landscape.base, landscape.p_y)(rows), ExactClassifier(law, landscape.p_y.flatten())(rows)
    assert torch.equal(one.isneginf(), other.isneginf())
    assert torch.allclose(one.exp(), other.exp(), atol=1e-12)
    assert landscape.log_z == pytest.approx(float(one[-1]), abs=1e-12)
    assert float(sums(landscape.base).flatten()[-1]) == pytest.approx(1)


def test_the_tilted_law_is_drawn_exactly_by_exact_jumps_one_reveal_a_step(landscape, exact):
    tilted = landscape.tilted.flatten()
    assert float((propagated(landscape, exact) - tilted).abs().sum() / 2) < 1e-12
    unguided = propagated(landscape, Sum(((exact, 0.0),)))
    assert float((unguided - landscape.base.flatten()).abs().sum()) < 1e-12
    half = propagated(landscape, Sum(((exact, 0.5),)))
    assert float((half - tilted).abs().sum() / 2) > 0.05


def test_a_tabled_guide_says_what_the_guide_says(landscape, exact):
    tabled, rows = Tabled.of(exact, exact, V, L), every_row()
    rows = rows[(rows == V).any(-1)]
    positions = torch.tensor([[2, 0, 3]]).expand(len(rows), -1)
    p = torch.full((len(rows), 3, V), 0.25)
    (g, base), (other, reached) = (guide.log_tilt(rows, torch.ones(len(rows)), positions, p) for guide in (tabled, exact))
    assert torch.equal(g, other) and torch.equal(base, reached)
    assert torch.equal(tabled.final(rows[:5] % V), exact.final(rows[:5] % V))


def test_particles_estimate_the_normaliser_and_come_to_the_tilted_law(landscape, exact):
    tilted, n = landscape.tilted.flatten(), 4000
    half = Tabled.of(Sum(((exact, 0.5),)), exact, V, L)  # tilts too little: the weights make up for it
    for guide, N in ((Lookahead(exact.final), 16), (half, 8), (exact, 2)):
        place, log_evidence = drawn(landscape, guide, N, L, n)
        evidence = log_evidence.exp()
        error = float(evidence.std()) / math.sqrt(n)
        assert abs(float(evidence.mean()) - math.exp(landscape.log_z)) < max(4 * error, 1e-12)
        assert int((place < 0).sum()) < 0.02 * n
        assert distance(place, tilted) < floor(tilted, n) + 0.05
    unguided, _ = drawn(landscape, Sum(((exact, 0.0),)), 1, L, n)
    assert distance(unguided, tilted) > 0.4  # what is not guided is far away


def test_exact_jumps_leave_nothing_to_the_weights(landscape, exact):
    _, log_evidence = drawn(landscape, exact, 4, L, 50)
    assert torch.allclose(log_evidence, torch.tensor(landscape.log_z, dtype=torch.float64), atol=1e-12)


def test_the_network_learns_the_wish_and_every_method_is_measured(landscape, tmp_path, monkeypatch):
    network = learn(landscape, steps=200, rows=128)
    rows = every_row()
    known = SummedClassifier(landscape.base, landscape.p_y)(rows).exp()
    there = sums(landscape.base).flatten() > 0
    said = network.log_classes(rows)[:, 1].exp()
    assert float(torch.corrcoef(torch.stack([said[there], known[there]]))[0, 1]) > 0.8
    assert not torch.allclose(said[there], known[there], atol=0.02)
    monkeypatch.setattr(gb1, "PARTICLES", (2, 8))
    made = [gb1.measure(landscape, *method, 400) for method in methods(landscape, network)]
    of = {(row["method"], row["particles"]): row for row in made}
    unguided, first = of["unguided", 1], of["first-order tilt of the network", 1]
    jumps, full = of["all jumps of the network", 1], of["all jumps, exact", 1]
    assert unguided["tv_of_its_law"] > first["tv_of_its_law"] > full["tv_of_its_law"]
    assert unguided["tv_of_its_law"] > jumps["tv_of_its_law"] > 0.01
    assert full["tv_of_its_law"] < 1e-12
    assert of["first-order tilt, weighted", 8]["tv"] < first["tv"]
    assert of["weighted at the end alone", 8]["above"] > of["weighted at the end alone", 2]["above"] > unguided["above"]
    gb1.plot({"tilted": gb1.figures(landscape, landscape.tilted.flatten()), "rows": made}, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"


def test_the_network_takes_soft_tokens_and_first_order_tilts_holes_alone(landscape):
    network = learn(landscape, steps=2, rows=8)
    x_t = torch.tensor([[0, V, V, 2]])
    soft = torch.nn.functional.one_hot(x_t, V + 1).double()
    assert torch.allclose(network.log_classes(soft), network.log_classes(x_t))
    g, _ = FirstOrderGuide(gb1.ClassWish(network, 1)).log_tilt(x_t, None, torch.arange(L).unsqueeze(0), torch.ones(1, L, V) / V)
    assert bool(g[0, 1].any()) and not bool(g[0, 0].any())  # of holes alone


def test_a_table_of_variants_is_read_and_what_was_not_measured_is_left_out(exact, tmp_path, monkeypatch):
    path = tmp_path / "table.csv.xz"
    with lzma.open(path, "wt") as file:
        writer = csv.writer(file)
        writer.writerows([("Variants", "HD", "Fitness"), ("VDGV", 0, 1.0), ("ADGV", 1, 3.5), ("WWWW", 4, 0.0)])
    fitness = read(path)
    assert int((~fitness.isnan()).sum()) == 3
    assert float(fitness[tuple(AMINO_ACIDS.index(a) for a in "ADGV")]) == 3.5
    landscape = Landscape.of(fitness)
    assert float(landscape.base.sum()) == pytest.approx(1) and int((landscape.base > 0).sum()) == 3
    best = places(torch.tensor([[AMINO_ACIDS.index(a) for a in "ADGV"]]), 20)
    assert float(landscape.tilted.flatten()[best]) == pytest.approx(1 / 1.5, abs=1e-6)
    monkeypatch.setattr("sys.argv", ["x", "--data", str(path), "--draws", "8", "--out", str(tmp_path / "out.json")])
    monkeypatch.setattr(gb1, "learn", lambda found: learn(found, steps=1, rows=4))
    monkeypatch.setattr(gb1, "methods", lambda *found: [("unguided", Sum(((Lookahead(exact.final), 0.0),)), 1, 1)])
    gb1.main()
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["variants"] == 3 and found["tilted"]["above"] == pytest.approx(1 / 1.5, abs=1e-3)
    assert [row["method"] for row in found["rows"]] == ["unguided"]


def test_the_page_quotes_what_was_measured():
    docs = Path(__file__).parent.parent / "docs"
    page = (docs / "guidance.md").read_text()
    landscape, molecules = (json.loads((docs / f"guidance-{name}.json").read_text()) for name in ("gb1", "molecules"))
    lines = [
        f"| {row['method']} | {row['particles']} | {row['fitness']:.2f} | {100 * row['above']:.1f} % | {row['tv']:.3f} |"
        for row in landscape["rows"]
    ]
    lines += [
        f"| `{row['template']}` | {row['way']} | {row['particles']} | {100 * row['reached']:.0f} ± {100 * row['error']:.0f} % |"
        for row in molecules
    ]
    assert len(lines) > 20
    assert [line for line in lines if line not in page] == []
    assert {row["template"] for row in molecules} == set(TEMPLATES)
    assert f"n = {molecules[0]['n']} designs a row" in page
