"""Which residues a file holds, and under which numbers."""

import gzip

import pytest

from domains.protein.numbering import side_by_side
from domains.protein.structure import place_of, read_structure
from seqdiff.errors import ConfigError
from tests.protein.files import RESIDUES, cif, pdb

AUTHOR = [("H", "99"), ("H", "100"), ("H", "100A"), ("H", "100B"), ("H", "101"), ("H", "105"), ("H", "106")]
AUTHOR += [("L", "-1"), ("L", "0"), ("L", "1")]


@pytest.fixture(params=[pdb, cif], ids=["pdb", "cif"])
def residues(request, tmp_path):
    return read_structure(request.param(tmp_path / f"test.{request.param.__name__}"))


def test_the_first_model_its_likeliest_locations_and_modified_residues(residues):
    assert (
        "".join(r.letter for r in residues) == "ACDGYWMGKE"
    )  # 101 is Y (0.6) rather than S (0.4); MSE is M; no water, no model 2
    assert [r.author for r in residues] == AUTHOR
    assert [r.index for r in residues] == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2]


def test_a_chain_is_joined_where_a_peptide_bond_is_whatever_the_numbers_say(residues):
    assert [r.joined for r in residues] == [False, True, True, True, True, False, True, False, True, True]


def test_label_numbers_are_the_file_s_own(tmp_path):
    residues = read_structure(cif(tmp_path / "a.cif"))
    assert [r.label for r in residues] == [("A", n) for n in ("1", "2", "3", "4", "5", "9", "10")] + [
        ("B", n) for n in ("1", "2", "3")
    ]
    assert place_of(residues, "A", "9", "label") == place_of(residues, "H", "105") == place_of(residues, "H", "5", "index") == 5
    assert "D\tH 100A\tA 3\tH 2\n" in side_by_side(residues)


def test_a_pdb_file_has_no_label_numbers(tmp_path):
    with pytest.raises(ConfigError, match="only mmCIF files have label numbers; use author or index"):
        place_of(read_structure(pdb(tmp_path / "a.pdb")), "A", "1", "label")


def test_a_chain_without_a_name_is_a(tmp_path):
    made = pdb(tmp_path / "a.pdb", [[r for r in RESIDUES if r[0] == "L"]])
    made.write_text("".join(f"{line[:21]} {line[22:]}" for line in made.read_text().splitlines(keepends=True)))
    assert [r.author for r in read_structure(made)] == [("A", "-1"), ("A", "0"), ("A", "1")]


def test_numbers_with_equal_occupancies_take_the_first_location(tmp_path):
    half = [(*r[:5], ("A" if r[3] == "S" else "B", 0.5), *r[6:]) if r[1] == 101 else r for r in RESIDUES]
    for made in (pdb(tmp_path / "a.pdb", [half]), cif(tmp_path / "a.cif", [half])):
        assert "".join(r.letter for r in read_structure(made))[4] == "S"


@pytest.mark.parametrize(
    "chain, number, numbering, message",
    [
        ("B", "5", "author", "there is no chain 'B' in author numbering; there are H, L"),
        ("H", "102", "author", "chain H has no residue 102 in author numbering; it goes from 99 to 106, 7 residues"),
        ("H", "100C", "author", "did you mean 100, 100A, 100B?"),
        ("L", "3", "index", "it goes from 0 to 2, 3 residues"),
        ("H", "99", "kabat", "numbering: expected one of author, label, index, got 'kabat'"),
    ],
)
def test_a_residue_that_is_not_there(residues, chain, number, numbering, message):
    with pytest.raises(ConfigError) as error:
        place_of(residues, chain, number, numbering)
    assert message in str(error.value)


def test_a_fasta_file_is_chains_a_b_c_numbered_from_one(tmp_path):
    (tmp_path / "a.fasta").write_text(">one\nMKV\n>two\nGH\n")
    residues = read_structure(tmp_path / "a.fasta")
    assert [(r.letter, *r.author, r.index) for r in residues[2:4]] == [("V", "A", "3", 2), ("G", "B", "1", 0)]
    assert [r.joined for r in residues] == [False, True, True, False, True]


def test_compressed_damaged_and_other_files(tmp_path):
    text = pdb(tmp_path / "a.pdb").read_bytes()
    (tmp_path / "b.pdb.gz").write_bytes(gzip.compress(text))
    assert len(read_structure(tmp_path / "b.pdb.gz")) == 10
    (tmp_path / "c.pdb.gz").write_bytes(text)
    with pytest.raises(ConfigError, match="c.pdb.gz cannot be read as what its name says"):
        read_structure(tmp_path / "c.pdb.gz")
    (tmp_path / "d.cif").write_text("data_x\n_cell.length_a 1\n")
    with pytest.raises(ConfigError, match="d.cif cannot be read as what its name says; is it damaged"):
        read_structure(tmp_path / "d.cif")
    (tmp_path / "e.pdb").write_text("END\n")
    with pytest.raises(ConfigError, match="e.pdb holds no amino acid"):
        read_structure(tmp_path / "e.pdb")
    with pytest.raises(ConfigError, match="expected .pdb, .ent, .cif"):
        read_structure(pdb(tmp_path / "f.xyz"))
