"""Antibodies' third loops: read from both kinds of tables, clustered, and encoded with whole clusters held out."""

import numpy as np
import pytest

from apps.cli.train import read_config
from benchmarks.cdr_infilling import PRESET, baseline, frequencies, sides, summary
from domains.design import design
from domains.protein import AMINO_ACIDS
from domains.protein.antibodies import AFTER, FLANK, Chain, clusters, gather, read_chains
from domains.protein.data import PROTEIN
from domains.protein.families import components
from domains.registry import get_domain
from seqdiff.errors import ConfigError

FRAME = "EVQLVESGGG" * 6
AFTERWARDS = "WGQGTLVTVSSASTKG"


def masked(loop, before=FRAME, after=AFTERWARDS):
    return f"x\t{before}{loop}{after}\t{'0' * len(before)}{'3' * len(loop)}{'0' * len(after)}"


def table(path, rows):
    path.write_text("\n".join(["pdb\tsequence\tcdr_mask", *rows]) + "\n")
    return path


def test_chains_of_a_masked_table(tmp_path):
    rows = [
        masked("ARDYW"),
        masked("ARDYW"),
        masked("ARDYW", after="WGQG"),
        masked("ARX" + "Y" * 4),
        masked("ARD"),
        masked("A" * 26),
    ]
    rows.append(masked("ARDYY", before="EVQ"))  # the mask begins where no third loop does
    found = read_chains(table(tmp_path / "a.tsv", rows))
    assert found == [Chain(FRAME, "ARDYW", AFTERWARDS[:AFTER]), Chain(FRAME, "ARDYW", "WGQG")]
    assert found[0].window == FRAME[-FLANK:] + "ARDYW" + AFTERWARDS[:AFTER]


def test_chains_of_a_table_of_loops(tmp_path):
    """CoV-AbDab tells the loop; the last place where it stands is meant."""
    text = f"{FRAME[:55]}ARDYW{FRAME[:20]}ARDYW{AFTERWARDS}"
    rows = ["Name,VH or VHH,CDRH3", f"a,{text},ARDYW", f"b,{text},", f"c,{text},WWWWW", "d,ND,ARDYW"]
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    assert read_chains(tmp_path / "a.csv") == [Chain(f"{FRAME[:55]}ARDYW{FRAME[:20]}", "ARDYW", AFTERWARDS[:AFTER])]
    (tmp_path / "b.csv").write_text("Name,VH\na,EVQ\n")
    with pytest.raises(ConfigError, match="expected the columns sequence and cdr_mask, or .* in b.csv, got Name, VH"):
        read_chains(tmp_path / "b.csv")


def test_clusters_are_components_of_loops_alike_at_seventy_percent():
    loops = ["ARDYWWGGFD", "ARDYWWGKKK", "AKKYWWGKKK", "CCCCCCCCCC", "ARDYWWGGF", "ARDYWWGGFD"]
    # the second is like the first (7 of 10), the third like the second (8), and the three are one; another length never is
    assert clusters(loops).tolist() == [0, 0, 0, 3, 4, 0]
    generator = np.random.default_rng(0)
    many = ["".join(generator.choice(list("AY"), 6)) for _ in range(60)]
    edges = [(i, j) for i in range(60) for j in range(i) if sum(a == b for a, b in zip(many[i], many[j], strict=True)) >= 4.2]
    assert clusters(many).tolist() == components(60, np.array(edges)).tolist()


@pytest.fixture
def folder(tmp_path):
    """Both tables of the preset, with loops in clusters of three."""
    generator = np.random.default_rng(1)
    (tmp_path / "proteins").mkdir()
    loops = []
    for _ in range(30):
        loop = "".join(generator.choice(list("ACDEFHIKLMNPQRSTVY"), 12))
        loops += [loop, loop[:-1] + "W", "G" + loop[1:]]
    table(tmp_path / "proteins" / "sabdab_heavy_cdr.tsv.xz", [masked(loop) for loop in loops[:60]])
    rows = [f"a,{FRAME}{loop}{AFTERWARDS},{loop}" for loop in loops[50:]]
    (tmp_path / "proteins" / "covabdab_050821.csv.xz").write_text("\n".join(["Name,VH or VHH,CDRH3", *rows]) + "\n")
    import lzma

    for path in (tmp_path / "proteins").iterdir():
        path.write_bytes(lzma.compress(path.read_bytes()))
    return tmp_path


def test_the_preset_holds_out_whole_clusters_and_trains_loops_most(folder):
    settings = read_config(PRESET)[0]["data"]
    data = get_domain("protein").encode_training_data(settings, folder)
    rows = [data.alphabet.decode(data.tokens[a:b]) for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    whole = [(row, held) for row, held in zip(rows, data.held_out.tolist(), strict=True) if len(row) > 60]
    domains = {out: {row for row, held in whole if held == out} for out in (False, True)}
    assert len(domains[True]) == 9 and len(domains[False]) == 81 and data.label_names == ("heavy",)
    counts = {out: (data.held_out == out).sum() for out in (False, True)}
    assert counts == {False: 81 * (1 + settings["windows"]), True: 9 * 2}
    loops = {out: [row[60:72] for row in domains[out]] for out in domains}
    alike = max(sum(a == b for a, b in zip(x, y, strict=True)) for x in loops[True] for y in loops[False])
    assert alike < 0.7 * 12
    known, asked = sides(folder)
    assert {chain.domain for chain in known} == domains[False] and {chain.domain for chain in asked} < domains[True]
    assert data.provenance["held_out_clusters"] == 3 and data.provenance["chains"] == 90
    assert [file["new_chains"] for file in data.provenance["files"]] == [60, 30]  # ten chains are in both
    with pytest.raises(ConfigError, match=r"data.target: expected 'states' .* or 'cdr-h3'"):
        get_domain("protein").encode_training_data({"target": "cdr", "files": settings["files"]}, folder)


def test_rows_of_a_few_of_a_models_classes(folder):
    """So that a model with classes can be trained further on other data."""
    settings = read_config(PRESET)[0]["data"]
    mine = {**settings, "classes": ["other", "heavy", "joined"]}
    data = get_domain("protein").encode_training_data(mine, folder)
    assert data.label_names == ("other", "heavy", "joined") and set(data.labels.tolist()) == {1} and data.alphabet == PROTEIN
    with pytest.raises(ConfigError, match=r"those of the data among them \(heavy\), got \['other'\]"):
        get_domain("protein").encode_training_data({**settings, "classes": ["other"]}, folder)


def test_loops_are_counted_by_place_from_the_nearer_end():
    loops = [Chain("", "ARDYW", ""), Chain("", "CRDDDYW", "")]
    f = frequencies(loops, 5)
    place = AMINO_ACIDS.index
    assert f[0, place("A")] == pytest.approx(1.001 / 1.27) and f[0, place("C")] == pytest.approx(0.251 / 1.27)
    assert f[3, place("Y")] == f[4, place("W")] == pytest.approx(1.251 / 1.27)
    told = baseline(loops, Chain("", "ARDYC", ""))
    assert told["likeliest"] == 0.8
    assert told["draws"] == pytest.approx((1.001 + 3 * 1.251 + 0.001) / 1.27 / 5)


HEAVY = (  # the germline genes IGHV3-23 and IGHJ4, without the loop between them
    "EVQLLESGGGLVQPGGSLRLSCAASGFTFSSYAMSWVRQAPGKGLEWVSAISGSGGSTYYADSVKGRFTISRDNSKNTLYLQMNSLRAEDTAVYYC",
    "WGQGTLVTVSS",
)


def test_the_bundled_model_fills_the_loop_of_a_chain_as_antibodies_do():
    """Most begin with A and R or K, and end with Y or V, of human chains; even chances say one in twenty and one in ten."""
    asked = {"template": "{11}".join(HEAVY), "n": 24, "bound_draws": 0, "model": "protein-antibody"}
    loops = [item.sequence[len(HEAVY[0]) :][:11] for item in design(domain="protein", **asked).designs]
    assert len(loops) == 24 and len(set(loops)) > 20
    assert sum(loop[0] == "A" for loop in loops) >= 16 and sum(loop[1] in "RK" for loop in loops) >= 12
    assert sum(loop[-1] in "YV" for loop in loops) >= 12


def test_a_summary_tells_the_difference_of_pairs():
    rows = [{"draws": 0.3, "likeliest": 0.5}, {"draws": 0.7, "likeliest": 0.5}]
    other = [{"draws": 0.1, "likeliest": 0.4}, {"draws": 0.5, "likeliest": 0.8}]
    found = summary(rows, other)
    assert found["draws"] == {"recovery": 0.5, "error": 0.2, "above frequencies by": (0.2, 0.0)}
    assert found["likeliest"] == {"recovery": 0.5, "error": 0.0, "above frequencies by": (-0.1, 0.2)}
    assert "above frequencies by" not in summary(rows)["draws"]


def test_a_chain_of_two_tables_is_of_the_first(tmp_path):
    paths = [table(tmp_path / "a.tsv", [masked("ARDYW")]), table(tmp_path / "b.tsv", [masked("ARDYW"), masked("AYYYW")])]
    assert [(chain.loop, number) for chain, number in gather(paths)] == [("ARDYW", 0), ("AYYYW", 1)]
    assert gather(paths, 60) == []
