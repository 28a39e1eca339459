import csv
import io
import json
import math
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from domains.smiles.data import canonical, read_smiles
from domains.smiles.pictures import grid_png, read_as_written
from domains.smiles.properties import METRICS, describe
from domains.smiles.writers import WRITERS, as_record, write
from seqdiff.errors import ConfigError

SMILES = [
    "CC(=O)Oc1ccccc1C(=O)O",
    "C[C@H](N)C(=O)O",
    "N[C@@H](C)C(O)=O",
    "F/C=C/F",
    "F/C=C\\F",
    "FC=CF",
    "c1ccc2[nH]ccc2c1",
    "CC[N+](C)(C)C.[Cl-]",
    "[2H]C([2H])O",
    "O=[N+]([O-])c1ccccc1",
    "C[C@@H]1CC[C@H](O)CC1",
    "OC1CC1C=CC",
    "[CH3:7]CO",
    "*CC",
]
fast = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Design:
    sequence: str
    canonical: str | None
    valid: bool
    reason: str
    pins_kept: bool = True
    metrics: dict[str, float | bool | None] = field(default_factory=dict)
    pinned_atoms: tuple[int, ...] = ()
    certificate: str = "exact"


def made(smiles, **fields):
    molecule = describe(smiles)
    design = Design(smiles, molecule.canonical, molecule.valid, molecule.reason, metrics=molecule.metrics)
    return replace(design, **fields)


VALID = [made(smiles) for smiles in SMILES]
INVALID = [made(smiles) for smiles in ("C1CC", "c1cccc1")]

text = st.one_of(st.text(max_size=20), st.text(',"\n\r\t; \u2028\x85é', max_size=8))
number = st.one_of(st.none(), st.booleans(), st.floats())
designs = st.lists(
    st.builds(
        replace,
        st.sampled_from(VALID + INVALID),
        reason=text,
        certificate=text,
        pins_kept=st.booleans(),
        metrics=st.dictionaries(st.sampled_from([*METRICS, "bans_met", "a,b"]), number),
    ),
    max_size=6,
)


def finite(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value


@fast
@given(designs)
def test_csv_is_read_back_equal(tmp_path, rows):
    with write(tmp_path / "out.csv", rows).open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        back = list(table)
    assert len(back) == len(rows)
    assert table.fieldnames[:6] == ["name", "smiles", "canonical_smiles", "valid", "reason", "pins_kept"]
    assert table.fieldnames[6:13] == list(METRICS) and table.fieldnames[-1] == "certificate"
    extra = table.fieldnames[13:-1]
    assert extra == sorted({name for row in rows for name in row.metrics} - set(METRICS))
    for number, (got, row) in enumerate(zip(back, rows, strict=True), 1):
        assert got["name"] == f"design-{number}"
        assert (got["smiles"], got["canonical_smiles"] or None) == (row.sequence, row.canonical)
        assert (got["reason"], got["certificate"]) == (row.reason, row.certificate)
        assert (got["valid"], got["pins_kept"]) == (str(row.valid).lower(), str(row.pins_kept).lower())
        for name in [*METRICS, *extra]:
            cell = {"": None, "true": True, "false": False}.get(got[name], got[name])
            assert (float(cell) if isinstance(cell, str) else cell) == finite(row.metrics.get(name))


def test_csv_can_be_read_as_molecules(tmp_path):
    path = write(tmp_path / "out.csv", VALID + INVALID)
    assert list(read_smiles(path)) == SMILES + ["C1CC", "c1cccc1"]


@fast
@given(designs)
def test_jsonl_is_read_back_equal(tmp_path, rows):
    content = write(tmp_path / "out.jsonl", rows).read_text(encoding="utf-8")
    back = [json.loads(line) for line in content.splitlines()]  # splits at every line break Unicode has
    expected = [
        {
            "sequence": row.sequence,
            "canonical": row.canonical,
            "valid": row.valid,
            "reason": row.reason,
            "pins_kept": row.pins_kept,
            "metrics": {name: finite(value) for name, value in row.metrics.items()},
            "certificate": row.certificate,
        }
        for row in rows
    ]
    assert back == expected == [as_record(row) for row in rows]
    assert "NaN" not in content or any("NaN" in row.reason + row.certificate for row in rows)


@fast
@given(designs)
def test_smi_and_sdf_keep_the_molecules(tmp_path, rows):
    expected = [row.canonical for row in rows if row.valid]
    names = [f"design-{number}" for number, row in enumerate(rows, 1) if row.valid]
    smi = write(tmp_path / "out.smi", rows)
    assert [canonical(smiles) for smiles in read_smiles(smi)] == expected
    assert [line.split(" ")[1] for line in smi.read_text().splitlines()] == names
    sdf = write(tmp_path / "out.sdf", rows)
    assert [canonical(smiles) for smiles in read_smiles(sdf)] == expected


def test_sdf_has_coordinates_and_tags_whatever_the_text(tmp_path):
    from rdkit import Chem

    awkward = ["$$$$", "> <qed>", "two\n\nlines", "M  END", ""]
    row = made("C[C@H](N)CO", metrics={"qed": 0.5, "sa": math.nan, "met": True})
    rows = [replace(row, certificate=certificate) for certificate in awkward]
    path = write(tmp_path / "out.sdf", [*INVALID, *rows])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("$$$$") for line in lines) == 5  # readers that split the file at `$$$$` find the records
    assert sum(line.startswith(">") for line in lines) == 5 * 6 - 1  # the empty certificate has no tag
    back = list(Chem.SDMolSupplier(str(path)))
    assert [molecule.GetProp("_Name") for molecule in back] == [f"design-{n}" for n in range(3, 8)]
    tags = [molecule.GetPropsAsDict() for molecule in back]
    assert [tag.get("certificate", "").strip() for tag in tags] == ["$$$$", "> <qed>", "two lines", "M  END", ""]
    for molecule, tag in zip(back, tags, strict=True):
        assert not molecule.GetConformer().Is3D() and abs(molecule.GetConformer().GetPositions()).sum() > 1
        assert (tag["smiles"], tag["qed"], tag["met"]) == ("C[C@H](N)CO", 0.5, "true")
        assert "sa" not in tag
        assert [atom.GetSymbol() for atom in molecule.GetAtoms()] == list("CCNCO")  # the order of writing


def test_hydrogens_written_as_atoms_count_among_the_atoms():
    molecule = read_as_written("[H]OC([H])C")
    assert [atom.GetSymbol() for atom in molecule.GetAtoms()] == ["H", "O", "C", "H", "C"]


def coloured(path):
    """Pixels of the tint of pinned atoms."""
    with Image.open(path) as picture:
        pixels = picture.convert("RGB").tobytes()
        size = picture.size
    triples = zip(pixels[::3], pixels[1::3], pixels[2::3], strict=True)
    return size, sum(abs(r - 176) < 4 and abs(g - 219) < 4 and abs(b - 245) < 4 for r, g, b in triples)


def test_the_picture_tints_the_pinned_atoms_and_their_bonds(tmp_path):
    ring = made("CCCCc1ccccc1")
    _, none = coloured(write(tmp_path / "none.png", [ring]))
    _, one = coloured(write(tmp_path / "one.png", [replace(ring, pinned_atoms=(4,))]))
    _, apart = coloured(write(tmp_path / "apart.png", [replace(ring, pinned_atoms=(4, 6, 8))]))
    _, whole = coloured(write(tmp_path / "whole.png", [replace(ring, pinned_atoms=(4, 5, 6, 7, 8, 9))]))
    assert none == 0 < one < apart < whole
    assert whole > 3 * apart > 6 * one  # bonds between pinned atoms are tinted, too


def test_the_picture_has_a_card_for_each_valid_design_shown(tmp_path):
    sizes = {}
    for name, rows, columns, most in [
        ("one row", VALID[:4], 4, 24),
        ("and invalid", [*INVALID, *VALID[:4], *INVALID], 4, 24),
        ("two rows", VALID[:5], 4, 24),
        ("cut", VALID, 4, 4),
        ("narrow", VALID[:4], 2, 24),
    ]:
        grid_png(rows, tmp_path / "grid.png", columns, most)
        sizes[name], _ = coloured(tmp_path / "grid.png")
    assert sizes["one row"] == sizes["and invalid"] == sizes["cut"]
    assert sizes["two rows"][0] == sizes["one row"][0] and sizes["two rows"][1] > 1.5 * sizes["one row"][1]
    assert sizes["narrow"][0] < sizes["one row"][0] and sizes["narrow"][1] == sizes["two rows"][1]
    write(tmp_path / "none.png", INVALID)
    write(tmp_path / "empty.png", [])


def test_pictures_refuse_what_cannot_be_drawn(tmp_path):
    with pytest.raises(ConfigError, match="design 1: expected pinned atoms from 0 to 2 of 'CCO', got 3, 9"):
        write(tmp_path / "out.png", [made("CCO", pinned_atoms=(0, 3, 9))])
    with pytest.raises(ConfigError, match="columns and most of at least 1, got 0 and 24"):
        grid_png(VALID, tmp_path / "out.png", columns=0)
    assert not list(tmp_path.iterdir())


def test_other_suffixes_are_refused_with_the_list():
    for name in ("out.pdf", "out", "out.csv.gz"):
        with pytest.raises(ConfigError, match=r"ending in \.csv, \.smi, \.sdf, \.jsonl, \.png, \.html, got 'out"):
            write(name, VALID)


@pytest.mark.parametrize("suffix", WRITERS)
def test_folders_are_made_and_nothing_is_left_beside(tmp_path, suffix):
    path = write(tmp_path / "a" / "b" / f"out{suffix.upper()}", VALID[:2])
    before = path.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    broken = replace(VALID[0], sequence="C1CC", canonical=None, metrics={"qed": object()})  # breaks while being written
    if suffix in (".jsonl", ".sdf", ".png", ".html"):
        with pytest.raises((ConfigError, TypeError)):
            write(path, [VALID[0], broken])
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_unwritable_place_is_explained(tmp_path, suffix):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ConfigError, match="cannot write .*; choose a file in a folder"):
        write(tmp_path / "file" / f"out{suffix}", VALID[:1])
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(ConfigError, match="cannot write .*; choose a file in a folder"):
        write(tmp_path / f"folder{suffix}", VALID[:1])


def test_text_is_written_as_utf8_whatever_the_locale(tmp_path):
    path = write(tmp_path / "out.csv", [made("CC", certificate="genügt")])
    assert next(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"))))["certificate"] == "genügt"
