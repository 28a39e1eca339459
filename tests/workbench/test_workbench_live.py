"""Where things are in the pictures that can be pressed, and the path of a chain."""

import numpy as np
import pytest

from apps.workbench import live, pictures
from apps.workbench.backbone import carbons, joined
from apps.workbench.parts import opened, parts_of
from apps.workbench.views.structure import taken

RESIDUES = [
    ("H", "  -1 ", 0),
    ("H", " 100 ", 1),
    ("H", " 100A", 2),
    ("H", " 105 ", 9),
    ("L", "   1 ", 0),
]  # 101 to 104 are missing
PDB = "".join(
    f"ATOM  {k:5d}  CA  GLY {chain}{number}   {3.8 * place:8.3f}{0:8.3f}{0:8.3f}  1.00 10.00           C\n"
    for k, (chain, number, place) in enumerate(RESIDUES, 1)
)
PDB += "HETATM    9 CA    CA H 300       9.000   9.000   9.000  1.00 10.00          CA\nEND\n"


@pytest.mark.parametrize("suffix", [".pdb", ".cif"])
def test_the_path_of_a_chain_is_that_of_its_file(suffix, tmp_path):
    path = tmp_path / "small.pdb"
    path.write_text(PDB)
    if suffix == ".cif":
        from Bio.PDB.mmcifio import MMCIFIO
        from Bio.PDB.PDBParser import PDBParser

        writer = MMCIFIO()
        writer.set_structure(PDBParser(QUIET=True).get_structure("", path))
        path = path.with_suffix(".cif")
        writer.save(str(path))
    chain = carbons(path, "H")
    assert [carbon.number for carbon in chain] == ["-1", "100", "100A", "105"]
    assert [carbon.place[0] for carbon in chain] == pytest.approx([0, 3.8, 7.6, 34.2])
    assert joined(chain) == [False, True, True, False]
    assert [carbon.number for carbon in carbons(path, "L")] == ["1"]
    assert carbons(path, "Z") == []


def test_a_chain_lies_across_and_is_no_mirror_image():
    draw = np.random.default_rng(0)
    points = draw.normal(size=(30, 3)) * (1, 2, 9) + 50
    found = np.array(live.lying(list(map(tuple, points))))
    spread = found.std(axis=0)
    assert spread[0] > spread[1] > spread[2]
    between = [np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (points, found)]
    assert np.allclose(*between, atol=0.05)
    volume = [np.linalg.det(p[[1, 2, 3]] - p[0]) for p in (points, found)]
    assert np.isclose(*volume, rtol=0.05)


def test_what_is_taken_is_marked():
    numbers = ["-1", "0", "1", "99", "100", "100A", "101"]
    assert taken(numbers, "99-100A") == [False, False, False, True, True, True, False]
    assert taken(numbers, "-1-0") == [True, True, False, False, False, False, False]
    assert taken(numbers, "100a") == [False, False, False, False, False, True, False]
    assert not any(taken(numbers, "nothing, or 500-600"))


def test_atoms_are_pressed_where_they_are_drawn():
    """Along a chain the spots follow each other; what was opened keeps its numbers, and is not drawn."""
    at: list = []
    assert pictures.molecule("CCCCO", {}, at)
    assert [spot[0] for spot in at] == [1, 2, 3, 4, 5]
    across = [spot[1] for spot in at]
    assert across in (sorted(across), sorted(across, reverse=True))
    assert all(0 <= share <= 1 for spot in at for share in spot[1:])
    at = []
    assert pictures.template(opened(parts_of("CCCCO"), 2, 3, 1, 4, "smiles"), at)
    assert [spot[0] for spot in at] == [1, 4, 5]


def test_residues_are_pressed_where_their_boxes_are():
    row = pictures.track(opened(parts_of("MKVLAAGIVGHHHHHHHHHHHHHHHHHHHHHH"), 3, 5, 2, 8, "protein"))
    spots = pictures.spots(row)
    assert [spot[0] for spot in spots] == [1, 2, *range(6, 33)]
    boxes = {(round(x, 4), round(y, 4)) for _, x, y, *_ in spots}
    assert len(boxes) == len(spots)
    assert {round(y, 4) for _, _, y, *_ in spots} == {0.0, 0.5}  # two lines


def test_words_are_pressed_by_their_numbers():
    row = pictures.sentence(parts_of("[food] Thai [text] The {2-4} near it, _.", "text"))
    assert [text for text, _ in row.tokens] == ["food:", "Thai", "text:", "The", "2–4 new", "near", "it", ",", "1 new", "."]
    assert [spot[0] for spot in pictures.spots(row)] == [1, 2, 3, 4]
