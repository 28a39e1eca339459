"""What the benchmarks of GFP, of noises and of throughput count with."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import protein_noise
from benchmarks.guidance_gfp import Guide, Judge, Variants, learn, measure, reliability, request
from benchmarks.protein_noise import bounds, network_for, some, systems, trained
from benchmarks.protein_throughput import measure as throughput
from domains.protein.baselines import per_residue
from domains.protein.data import PROTEIN
from seqdiff.errors import ConfigError
from seqdiff.training.data import EncodedData

WILD = "MKVLAWDEFG"


def planted(n=1500, seed=0):
    """Variants with one to three substitutions; each L, and each D for E, costs brightness, through a sigmoid."""
    generator = np.random.default_rng(seed)
    lines = ["variant\tnum_mutations\tscore\tscore_wt_norm"]
    for _ in range(n):
        places = sorted(generator.choice(len(WILD), generator.integers(1, 4), replace=False).tolist())
        chosen = [generator.choice([a for a in "ADL" if a != WILD[i]]) for i in places]
        cost = sum({"L": 2.0, "D": 0.0, "A": 0.5}[a] for a in chosen)
        y = -2.4 + 2.4 / (1 + np.exp(cost - 2))
        lines.append(f"{','.join(f'{WILD[i]}{i}{a}' for i, a in zip(places, chosen, strict=True))}\t{len(places)}\t0\t{y}")
    return lines


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("gfp") / "variants.tsv"
    path.write_text("\n".join([*planted(), f"{WILD[2]}2*\t1\t0\t-2.4"]) + "\n")
    return Variants.read(path, WILD)


def test_variants_are_read_and_parted(data, tmp_path):
    assert len(data.y) == 1500 and sorted({int(k) for k in data.part}) == [0, 1, 2]
    assert all(int((data.part == k).sum()) > 400 for k in (1, 2)) and 80 < int((data.part == 0).sum()) < 230
    same = {}
    for row, part in zip(data.x.tolist(), data.part.tolist(), strict=True):
        assert same.setdefault(tuple(row), part) == part
    kept = data.allowed(WILD)
    assert all(set(residues) == set("ADL") | {a} for residues, a in zip(kept, WILD, strict=True))
    (tmp_path / "bad.tsv").write_text("variant\tscore_wt_norm\nA0D\t0\n")
    with pytest.raises(ConfigError, match="variants: A0D of A0D, but the wild type has M there"):
        Variants.read(tmp_path / "bad.tsv", WILD)


def test_guide_and_judge_learn_and_the_designs_are_within_what_was_asked(data):
    x, y = data.of(0)
    guide, judge = learn(*data.of(1), steps=200, rows=96), Judge.fit(*data.of(2), steps=120)
    assert reliability(judge(x), y)["correlation"] > 0.97
    assert reliability(guide(x)[0], y)["correlation"] > 0.85
    spec = replace(request(data, (2, 8), 3, WILD), n=12, model="protein-random", steps=8)
    plain, wished = (
        measure(way, replace(spec, particles=N), guide, judge, WILD) for way, N in (("unguided", 1), ("look-ahead", 8))
    )
    for row in (plain, wished):
        assert row["returned"] == 12 and row["violations"] == 0 and 1 <= row["edits"] <= row["most_edits"] <= 3
    assert wished["mean_judged"] > plain["mean_judged"] + 0.2


def test_the_guide_reads_soft_tokens_as_it_reads_ids():
    torch.manual_seed(0)
    guide, V = Guide(len(PROTEIN), 6), len(PROTEIN)
    x_t = torch.randint(0, V + 1, (5, 6))
    soft = torch.nn.functional.one_hot(x_t, V + 1).double()
    assert torch.allclose(guide(x_t)[0], guide(soft)[0], atol=1e-6)
    mean, log_variance = (part.double() for part in guide(x_t))
    chance = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    assert torch.allclose(guide.log_between(x_t, None, 0.2, float("inf")).exp(), 1 - chance.cdf(torch.tensor(0.2).double()))


@pytest.fixture(scope="module")
def rows():
    """KE or EK by turns, of 4 to 9 residues, every fourth row held out, and two rows of another class."""
    texts = [("KE" * 6)[i % 2 :][: 4 + i % 6] for i in range(48)] + ["KE/KE", "EK/EK"]
    labels, out = [0] * 48 + [1, 1], [i % 4 == 0 for i in range(50)]
    return EncodedData.from_rows(PROTEIN, [PROTEIN.encode(t) for t in texts], labels, out, ["some", "joined"])


def test_noises_are_compared_on_the_same_rows(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(protein_noise, "SIZE", {"width": 16, "depth": 1, "heads": 2})
    data = some(rows, longest=8, held_out=7)
    assert data.held_out.sum() == 7 and data.lengths.max() == 8 and data.label_names == ()
    texts = [PROTEIN.decode(data.tokens[a:b]) for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    assert not any("/" in text for text in texts)
    sizes, kinds = data.lengths[data.held_out], systems(data)
    assert list(kinds) == ["masks", "uniform", "blosum"]
    # a network that has learnt nothing says that all are alike, whatever the noise
    untrained = {name: bounds(system, network_for(system, data).eval(), data, 60) for name, system in kinds.items()}
    for nats in untrained.values():
        assert per_residue(nats, sizes)[0] == pytest.approx(np.log(22), abs=0.5)
    network, _ = trained(kinds["masks"], data, 25, 150, tmp_path)
    learnt = bounds(kinds["masks"], network, data, 20)
    assert per_residue(learnt, sizes)[0] < 0.7 * per_residue(untrained["masks"], sizes)[0]
    first = data.rows(np.flatnonzero(data.held_out)[sizes == sizes[0]], int(sizes[0]))
    place = sorted({int(n) for n in sizes}).index(int(sizes[0]))  # groups go by length, and a group has noise of its own
    again = kinds["masks"].bound(network, first, None, 20, seed=place).nats
    assert learnt[sizes == sizes[0]] == pytest.approx(again.numpy())


def test_throughput_counts_what_goes_through_the_network():
    free, held = (throughput(6, held, 3, "protein-random", 16, 1) for held in ("free", "held"))
    for row in (free, held):
        assert (
            row["n"] == 3
            and row["violations"] == 0
            and row["passes"] <= 16
            and row["megabytes"] >= row["megabytes_before"] > 50
        )
    assert 6 <= free["tokens_a_design"] <= 36  # at most a pass a residue
