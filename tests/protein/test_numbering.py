"""The residues that a contig picks are the ones meant, under every numbering of real-looking files."""

import pytest

from domains.protein.contig import resolve
from domains.protein.numbering import numbered, side_by_side
from domains.protein.structure import read_structure
from seqdiff.errors import ConfigError
from tests.protein.files import RESIDUES, cif, pdb

IMGT = "chain,number,index\nH,105,1\nH,111,2\nH,111A,3\nH,112,4\nL,3,1\n"


@pytest.fixture(params=[pdb, cif], ids=["pdb", "cif"])
def residues(request, tmp_path):
    return read_structure(request.param(tmp_path / f"test.{request.param.__name__}"))


@pytest.fixture
def imgt(tmp_path):
    (tmp_path / "imgt.csv").write_text(IMGT)
    return str(tmp_path / "imgt.csv")


@pytest.mark.parametrize(
    ("contig", "numbering", "template"),
    [
        ("2/H100-101/2", "author", "{2}CDGY{2}"),  # insertion codes 100A, 100B inside; 101 is its likelier location
        ("2/H100A-100B/2", "author", "{2}DG{2}"),
        ("2/H105-106/2", "author", "{2}WM{2}"),  # the other side of the missing residues; MSE
        ("2/H2-3/2", "index", "{2}DG{2}"),
        ("L-1-1/3", "author", "GKE{3}"),
        ("2/L22-24/2", "uniprot:L=+23", "{2}GKE{2}"),
        ("2/H120-121/2", "uniprot:H=20,L=-1", "{2}CDGY{2}"),
        ("2/H111-112/2", "imgt", "{2}DGY{2}"),
        ("2/H105-111A/L3/2", "imgt", "{2}CDGK{2}"),
        ("mask 101-105 of chain H as 3-5", "author", "ACDG{3-5}M"),
    ],
)
def test_a_contig_picks_the_residues_that_are_meant(residues, imgt, contig, numbering, template):
    known, name = numbered(residues, imgt if numbering == "imgt" else numbering)
    assert resolve(contig, known, name).template == template


def test_label_numbers_pick_the_same_residues(tmp_path):
    found = read_structure(cif(tmp_path / "a.cif"))
    for contig, numbering in (("2/A2-5/2", "label"), ("2/H100-101/2", "author"), ("2/H1-4/2", "index")):
        assert resolve(contig, found, numbering).template == "{2}CDGY{2}"


def test_all_numberings_stand_side_by_side(residues, imgt):
    table = side_by_side(numbered(numbered(residues, imgt)[0], "uniprot:H=+20")[0]).splitlines()
    assert table[0].split("\t") == ["residue", "author", "label", "index", "imgt", "uniprot"]
    label = "–" if residues[0].label is None else "A 3"
    assert table[3].split("\t") == ["D", "H 100A", label, "H 2", "H 111", "–"]  # an insertion code has no offset
    assert table[5].split("\t")[-3:] == ["H 4", "H 112", "H 121"]
    assert len(table) == 11
    picked = resolve("2/H111-112/2", numbered(residues, imgt)[0], "imgt").picked[1]
    assert picked.endswith("index 2–4, imgt H 111–112")


def test_ligands_are_no_residues(tmp_path):
    """A free glutamate bound to chain H: HETATM, and in mmCIF without a place in a sequence."""
    made = pdb(tmp_path / "a.pdb", [RESIDUES])
    lines = made.read_text().splitlines()
    atoms = [line for line in lines if " L   1 " in line]
    ligand = ["HETATM" + line[6:21] + "H 900" + line[26:] for line in atoms]
    made.write_text("\n".join([*lines[:-2], *ligand, *lines[-2:]]) + "\n")
    assert len([line for line in ligand if "GLU H 900" in line]) == 4
    assert "".join(r.letter for r in read_structure(made)) == "ACDGYWMGKE"
    made = cif(tmp_path / "a.cif", [RESIDUES])
    lines = made.read_text().splitlines()
    ligand = [line for line in lines if " GLU B 1 3 " in line]
    lines[-1:] = [
        line.replace("ATOM", "HETATM").replace(" GLU B 1 3 ", " GLU D 3 . ").replace(" 1 GLU L ", " 900 GLU H ")
        for line in ligand
    ]
    made.write_text("\n".join([*lines, "#"]) + "\n")
    assert len(ligand) == 4 and "".join(r.letter for r in read_structure(made)) == "ACDGYWMGKE"


def test_a_file_in_another_encoding(tmp_path):
    made = pdb(tmp_path / "a.pdb")
    made.write_bytes(b"REMARK   1 AUTH   J.M\xfcLLER\n" + made.read_bytes())
    assert len(read_structure(made)) == 10


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("kabat", "numbering: expected author, label, index, uniprot:A=+23 or a table such as imgt.csv, got 'kabat'"),
        ("uniprot:", "expected an offset such as +23, or A=+23 of each chain once (the chains are H, L), got ''"),
        ("uniprot:B=3", "got 'B=3'"),
        ("uniprot:H=3,H=4", "got 'H=4'"),
        ("none.csv", "the table none.csv cannot be read"),
    ],
)
def test_a_numbering_that_is_none(residues, asked, message):
    with pytest.raises(ConfigError) as error:
        numbered(residues, asked)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("imgt.csv", "chain,number\nH,1\n", "expected a header with chain, number, index in imgt.csv"),
        ("imgt.csv", "chain,number,index\n", "and rows below it"),
        ("imgt.csv", "chain,number,index\nH,1x,0\n", "line 2 of imgt.csv: expected a number with an insertion code or without"),
        ("imgt.csv", "chain,number,index\nH,1,7\n", "the structure has no residue '7' (from 0) of chain 'H'"),
        ("imgt.csv", "chain,number,index\nQ,1,0\n", "the structure has no residue '0' (from 0) of chain 'Q'"),
        ("imgt.csv", "chain,number,index\nH,1,0\nH,1,1\n", "line 3 of imgt.csv: H 1 or residue 1 is listed twice"),
        ("index.csv", IMGT, "'index' is a numbering already; give the table index.csv another name"),
    ],
)
def test_a_table_that_is_wrong(residues, tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as error:
        numbered(residues, str(tmp_path / name))
    assert message in str(error.value)
