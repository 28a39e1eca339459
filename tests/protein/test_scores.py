"""Comparisons of designs with natives and libraries, and the pictures drawn of them."""

import os
from dataclasses import dataclass

import numpy as np
import pytest

from domains.protein.pictures import draw_histograms, draw_identity_map
from domains.protein.properties import describe, hydrophobic_moment, low_complexity
from domains.protein.scores import Library, nearest_of, pairwise_identity, recovery, scores
from seqdiff.errors import ConfigError

UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"
LYSOZYME = "KVFGRCELAAAMKRHGLDNYRGYSLGNWVCAAKFESNFNTQATNRNTDGSTDYGILQINSRWWCNDGRTPGSRNLCNIPCSALLSSDITASVNCAKK"


@dataclass(frozen=True)
class Made:
    sequence: str
    valid: bool = True
    pinned_atoms: tuple[int, ...] = ()


def test_recovery_counts_designed_positions_alone():
    assert recovery("MKVLA", "MKVCC", (0, 1)) == pytest.approx(1 / 3)
    assert recovery("MKVLA", "MKVCC") == pytest.approx(3 / 5)
    assert recovery("MK/LA", "MK/LC", (0,)) == pytest.approx(2 / 3)  # a chain break is no residue
    assert recovery("MKVLA", "MKV") is None and recovery("MK", "MK", (0, 1)) is None


def test_pairwise_identity():
    assert pairwise_identity("MKVLA", "MKVCC") == 0.6
    assert pairwise_identity(UBIQUITIN, UBIQUITIN[:40] + UBIQUITIN[45:]) == pytest.approx(71 / 76)


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "known.a3m"
    path.write_text(
        f">lysozyme\n{LYSOZYME}\n>ubiquitin\n{UBIQUITIN[:30]}{UBIQUITIN[30:36].lower()}{UBIQUITIN[36:]}" + "-" * 27 + "\n"
    )
    return path


@pytest.fixture(autouse=True)
def without_mmseqs(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_the_nearest_protein_and_how_novel_a_design_is(library):
    changed = UBIQUITIN[:20] + "W" + UBIQUITIN[21:]
    designs = [
        Made(changed, pinned_atoms=tuple(range(60))),
        Made(f"{UBIQUITIN}/{LYSOZYME}"),
        Made("WWWWHHHH"),
        Made("MX", False),
    ]
    found = scores(designs, library, native=UBIQUITIN)
    assert found[0] == {
        "recovery": 1.0,
        "identity": pytest.approx(75 / 76),
        "novelty": pytest.approx(1 / 76),
        "nearest": "ubiquitin",
    }
    assert found[1]["identity"] == 1 and found[1]["recovery"] is None
    assert found[2] == {"recovery": None, "identity": 0.0, "novelty": 1.0, "nearest": None}
    assert found[3] == {"recovery": None, "identity": None, "novelty": None, "nearest": None}
    assert scores(designs) == [{}, {}, {}, {}]


def test_mmseqs_is_used_where_it_is(library, tmp_path):
    """A stand-in for the program: it checks the files that it is given, and says what `--format-output` asks for."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "mmseqs"
    program.write_text(
        "#!/bin/sh\n"
        '[ "$1" = easy-search ] && read name < "$2" && [ "$name" = ">0" ] || exit 2\n'
        'read name < "$3" && [ "$name" = ">one" ] || exit 3\n'
        'printf "0\\ttwo\\t3\\n0\\tone\\t4\\n" > "$4"\n'
    )
    os.chmod(program, 0o755)
    plain = tmp_path / "known.fasta"
    plain.write_text(">one more\nMKVLAMKVLA\n>two\nMKVCC\n")
    assert nearest_of(["MKVLA", "GGGGG"], plain) == {"MKVLA": (0.8, "one"), "GGGGG": (0.0, None)}
    plain.write_text(">other\nMKVLAMKVLA\n")
    with pytest.raises(ConfigError, match="library: mmseqs failed with status 3"):
        nearest_of(["MKVLA"], plain)


def test_a_library_without_proteins(tmp_path):
    (tmp_path / "a.fasta").write_text(">a\nMK1\n")
    with pytest.raises(ConfigError, match="library: a.fasta holds no protein"):
        Library.read(tmp_path / "a.fasta")


def test_figures_by_hand():
    metrics = describe("CDPGCDPC/CDP").metrics
    assert metrics["acid_cleavage"] == 3 and metrics["unpaired_cysteines"] == 2 and metrics["low_complexity"] == 0
    angles = np.exp(1j * np.radians(100) * np.arange(4))
    assert hydrophobic_moment("LKAW") == pytest.approx(abs(angles @ [1.06, -1.50, 0.62, 0.81]) / 4)
    helix, strand = "LKKLLKLLKKLLKL", "LKLKLKLKLKLKLK"
    assert hydrophobic_moment(helix) > 3 * hydrophobic_moment(strand)  # amphipathic as a helix, and as a strand
    assert low_complexity("Q" * 12) == 12 and low_complexity("Q" * 11) == 0 and low_complexity(LYSOZYME) == 0
    # 4 letters, 3 times each: 2 bits; 6 letters, twice each: 2.58 bits
    assert low_complexity("ACDE" * 3) == 12 and low_complexity("ACDEFG" * 2) == 0
    assert (
        low_complexity("ACDEFGHIKLMN" + "S" * 12 + "ACDEFGHIKLMN") == 12 + 2 * 5
    )  # 7 S and 5 others: 1.95 bits, 6 and 6: 2.29


def test_pictures(tmp_path):
    import matplotlib.image

    designs = [Made(UBIQUITIN), Made(LYSOZYME), Made(UBIQUITIN[:-3] + "AAA"), Made("X", False), Made(LYSOZYME[:-2] + "AA")]
    matrix = draw_identity_map(designs, tmp_path / "map.png")
    assert matrix.shape == (4, 4) and matrix[0, 1] == pytest.approx(73 / 76) and matrix[2, 3] > 0.9 > 0.5 > matrix[1, 2]
    draw_histograms(designs, tmp_path / "figures.png", [LYSOZYME, UBIQUITIN])
    for name in ("map.png", "figures.png"):
        image = matplotlib.image.imread(tmp_path / name)
        assert image.std() > 0.05  # something is drawn
    for draw, message in ((draw_histograms, "no valid sequence among the designs"), (draw_identity_map, "at least two valid")):
        with pytest.raises(ConfigError, match=message):
            draw(designs[3:4], tmp_path / "none.png")
