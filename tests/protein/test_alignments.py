"""Alignments are read column by column; what is no alignment is refused with the row."""

import gzip
import lzma

import pytest

from domains.protein.alignments import read_alignment
from seqdiff.errors import ConfigError

A3M = ">query one\nMKV-LA\n>b\nMKVacLLA\n>c\n-RV-Lu*\n"
A2M = ">query\nMKV..-LA\n>b\nMKVacLLA\n>c\n-RV..-L.-\n"
STOCKHOLM = "# STOCKHOLM 1.0\nquery  MKV..LA\nb      MKVacLA\nc      -RV..L-\n#=GC RF xxx..xx\n//\n"
ROWS = ("MKV-LA", "MKVLLA", "-RV-L-")


def test_insertions_are_no_columns_but_belong_to_the_protein(tmp_path):
    (tmp_path / "a.a3m").write_text(A3M.replace("Lu*", "L-"))
    (tmp_path / "a.a2m").write_text(A2M)
    for name in ("a.a3m", "a.a2m"):
        found = read_alignment(tmp_path / name)
        assert found.rows == ROWS and found.names == ("query", "b", "c") and found.columns == 6
        assert found.whole == ("MKVLA", "MKVACLLA", "RVL")


def test_stockholm_by_its_reference_line_and_without(tmp_path):
    (tmp_path / "a.sto").write_text(STOCKHOLM)
    (tmp_path / "b.stk").write_text("".join(line for line in STOCKHOLM.splitlines(True) if "RF" not in line))
    for name in ("a.sto", "b.stk"):
        found = read_alignment(tmp_path / name)
        assert found.rows == ("MKVLA", "MKVLA", "-RVL-") and found.whole[1] == "MKVACLA"


def test_compressed_files_and_rare_letters(tmp_path):
    text = b">a\nMBU-\n>b\nMXZA\n"
    (tmp_path / "a.fasta.gz").write_bytes(gzip.compress(text))
    (tmp_path / "a.afa.xz").write_bytes(lzma.compress(text))
    (tmp_path / "a.sto.gz").write_bytes(gzip.compress(STOCKHOLM.encode()))
    assert read_alignment(tmp_path / "a.fasta.gz").rows == read_alignment(tmp_path / "a.afa.xz").rows == ("MXX-", "MXXA")
    assert read_alignment(tmp_path / "a.sto.gz").columns == 5


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", ">a\nMK\n", "alignment: expected a file ending in .a2m, .a3m"),
        ("a.a3m", "", "a.a3m holds no sequence"),
        (
            "a.a3m",
            ">a\nMKV\n>b\nMKaV-\n",
            "'b' of a.a3m has 4 match columns (upper case and -), the first row 3; is it aligned?",
        ),
        ("a.a3m", ">a\nmkv\n", "a.a3m has no match column"),
        ("a.fasta", ">a\nMKV\n>b\nMK\n", "'b' of a.fasta has 2 columns, the first row 3"),
        ("a.a2m", ">a\nMK1V\n", "'a' of a.a2m holds 1, no amino acid"),
        ("a.a3m", "MKV\n", "expected '>' before the first sequence"),
        ("a.sto", "MKV\n", "a.sto cannot be read as what its name says"),
        ("a.sto.gz", STOCKHOLM, "a.sto.gz cannot be read as what its name says"),
    ],
)
def test_what_is_no_alignment(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as error:
        read_alignment(tmp_path / name)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["none.a3m", "none.sto"])
def test_a_file_that_is_not_there(tmp_path, name):
    with pytest.raises(ConfigError, match="found none"):
        read_alignment(tmp_path / name)
