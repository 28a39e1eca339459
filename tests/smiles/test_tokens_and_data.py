import gzip
import hashlib
import lzma
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from domains.smiles.data import Source, canonical, encode_files, is_held_out, randomised, read_smiles
from domains.smiles.tokens import is_ring_label, tokenize
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, ConfigError, TrainingError
from seqdiff.training.data import EncodedData

ZINC = Path(__file__).parents[3] / "shared" / "data" / "molecules" / "zinc250k.smi.xz"

CUT = {
    "ClCCBr": "Cl C C Br",
    "BrB(Cl)F": "Br B ( Cl ) F",
    "c1cc[nH]c1": "c 1 c c [nH] c 1",
    "C[C@@H](N)C(=O)O": "C [C@@H] ( N ) C ( = O ) O",
    "F/C=C\\Cl": "F / C = C \\ Cl",
    "C%10CCC%10": "C %10 C C C %10",
    "C%(100)CC%(100)": "C %(100) C C %(100)",
    "C12CC1C2": "C 1 2 C C 1 C 2",
    "[Na+].[Cl-]": "[Na+] . [Cl-]",
    "[13CH3:7]C#N": "[13CH3:7] C # N",
    "Cn1cnc2c1": "C n 1 c n c 2 c 1",
    "C$C~*:c=1-o": "C $ C ~ * : c = 1 - o",
    "[Sc]Sc": "[Sc] S c",
    "": "",
}


@pytest.mark.parametrize("smiles", CUT)
def test_smiles_are_cut_at_atoms(smiles):
    assert tokenize(smiles) == CUT[smiles].split()
    assert "".join(tokenize(smiles)) == smiles


@pytest.mark.parametrize(
    ("smiles", "place", "what"),
    [("CCX", 3, "'X'"), ("C[nH", 2, "'['"), ("CC%1C", 3, "'%'"), ("C C", 2, "' '"), ("C{3}", 2, "'{'"), ("éC", 1, "'é'")],
)
def test_what_is_no_token_is_marked(smiles, place, what):
    with pytest.raises(AlphabetError) as error:
        tokenize(smiles)
    assert str(error.value).splitlines() == [
        f"smiles: no token starts at character {place}, {what}",
        f"  {smiles}",
        "  " + " " * (place - 1) + "^",
    ]


def test_ring_labels_are_told_from_atoms_and_bonds():
    assert [token for token in tokenize("C1[13C]%12=%(123)c(.)0Cl") if is_ring_label(token)] == ["1", "%12", "%(123)", "0"]


tokens = st.sampled_from(sorted({token for cut in CUT.values() for token in cut.split()} | {"I", "P", "b", "p", "s", "[se]"}))


@settings(deadline=None, max_examples=300)
@given(st.lists(tokens, max_size=30))
def test_any_row_of_tokens_is_a_text_that_is_read_back(row):
    assert "".join(tokenize("".join(row))) == "".join(row)
    assert tokenize("".join(row)) == row  # no token begins inside another: the cut is the only one


@settings(deadline=None, max_examples=300)
@given(st.text("Cc1%(0)[nH]Brl=.@{}", max_size=15))
def test_any_text_is_cut_without_loss_or_refused(text):
    try:
        assert "".join(tokenize(text)) == text
    except AlphabetError as error:
        place = int(str(error).split("character ")[1].split(",")[0]) - 1
        assert "".join(tokenize(text[:place])) == text[:place]  # all before the mark is fine


OPEN = {"": open, ".gz": gzip.open, ".xz": lzma.open}
MOLECULES = ["CCO", "c1ccccc1", "C[C@H](N)C(=O)O", "[Cl-].[Na+]"]


def content(kind):
    if kind == ".smi":
        return "".join(f"{smiles} name {i}\n" for i, smiles in enumerate(MOLECULES)) + "\n   \n"
    if kind == ".csv":
        return "id,SMILES,note\r\n" + "".join(f'{i},{s},"a, b"\r\n' for i, s in enumerate(MOLECULES)) + "9,,empty\r\n"
    if kind == ".tsv":
        return "canonical_smiles\tid\n" + "".join(f"{s}\t{i}\n" for i, s in enumerate(MOLECULES))
    blocks = [Chem.MolToMolBlock(Chem.MolFromSmiles(s)) + "$$$$\n" for s in MOLECULES]
    return "".join([*blocks[:2], "broken\n\n\nnot a count line\nM  END\n$$$$\n", *blocks[2:]])


@pytest.mark.parametrize("packed", OPEN)
@pytest.mark.parametrize("kind", [".smi", ".csv", ".tsv", ".sdf"])
def test_molecules_are_read_from_every_kind_of_file(tmp_path, kind, packed):
    path = tmp_path / f"set.v2{kind}{packed}"
    with OPEN[packed](path, "wt", encoding="utf-8", newline="") as file:
        file.write(content(kind))
    assert list(read_smiles(path)) == MOLECULES
    assert list(read_smiles(str(path))) == MOLECULES


def test_files_that_cannot_be_read_are_explained(tmp_path):
    with pytest.raises(ConfigError, match=r"molecules: expected a file at .*none\.smi, found none"):
        list(read_smiles(tmp_path / "none.smi"))
    with pytest.raises(ConfigError, match="expected a file at"):
        list(read_smiles(tmp_path))
    for name in ("set.parquet", "set", "set.gz"):
        with OPEN[".gz" if name.endswith("gz") else ""](tmp_path / name, "wt") as file:
            file.write("CCO\n")
        with pytest.raises(ConfigError, match=rf"expected \.smi, \.csv, \.tsv or \.sdf \(plain, \.gz or \.xz\), got {name}"):
            list(read_smiles(tmp_path / name))
    (tmp_path / "set.csv").write_text("name,inchi\nethanol,x\n")
    with pytest.raises(ConfigError, match=r"expected a column smiles or canonical_smiles or mol in set\.csv, got name, inchi"):
        list(read_smiles(tmp_path / "set.csv"))


@pytest.mark.parametrize("name", ["set.smi.gz", "set.smi.xz", "set.csv.xz", "set.smi"])
def test_a_file_of_another_kind_than_its_name_says_is_explained(tmp_path, name):
    (tmp_path / name).write_bytes(b"smiles\nCC\n\xff\xfe not packed, not UTF-8\n")
    with pytest.raises(ConfigError, match=rf"molecules: {name} cannot be read"):
        list(read_smiles(tmp_path / name))


def test_a_file_that_was_cut_off_is_explained(tmp_path):
    packed = gzip.compress(b"CCO\n" * 5000, mtime=0)
    (tmp_path / "set.smi.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(ConfigError, match=r"molecules: set\.smi\.gz cannot be read"):
        list(read_smiles(tmp_path / "set.smi.gz"))


def rows_of(data):
    cut = [data.alphabet.decode(data.tokens[a:b]) for a, b in zip(data.offsets, data.offsets[1:], strict=False)]
    return dict(zip(cut, data.labels.tolist(), strict=True))


def files(folder, **content):
    for name, lines in content.items():
        (folder / f"{name}.smi").write_text("\n".join(lines) + "\n")
    return [Source(str(folder / f"{name}.smi"), name) for name in content]


def test_duplicates_go_to_the_first_file_however_they_are_written(tmp_path):
    sources = files(tmp_path, a=["OCC", "CC", "C(C)", "C1CC"], b=["CCO", "C(O)C", "CCN", "NCC", "CCC", "junk["])
    data = encode_files(sources, min_count=1)
    assert rows_of(data) == {"CCO": 0, "CC": 0, "CCN": 1, "CCC": 1}
    assert data.label_names == ("a", "b")
    assert rows_of(encode_files(sources[::-1], min_count=1)) == {"CCO": 0, "CCN": 0, "CCC": 0, "CC": 1}
    assert data.provenance == {
        "files": [
            {
                "file": "a.smi",
                "label": "a",
                "sha256": hashlib.sha256(b"OCC\nCC\nC(C)\nC1CC\n").hexdigest(),
                "distinct_lines": 4,
                "unreadable": 1,
                "new_molecules": 2,
            },
            {
                "file": "b.smi",
                "label": "b",
                "sha256": hashlib.sha256((tmp_path / "b.smi").read_bytes()).hexdigest(),
                "distinct_lines": 6,
                "unreadable": 1,
                "new_molecules": 2,
            },
        ],
        "not_tokenized": 0,
        "longer_than_max_length": 0,
        "with_rare_token": 0,
        "rows": 4,
        "max_length": 96,
        "min_count": 1,
        "held_out_percent": 2,
    }


def test_what_is_left_out_is_counted(tmp_path):
    sources = files(tmp_path, a=["CC", "CCC", "CCCC", "CCF", "CCBr", "FCF", "C" * 9, "CCCCCCBr"])
    data = encode_files(sources, max_length=6, min_count=2)
    # of the six short ones, F is in two and Br in one: the Br of the long row does not count
    assert data.alphabet.tokens == ("C", "F")
    assert list(rows_of(data)) == ["CC", "CCC", "CCCC", "CCF", "FCF"]
    kept = {key: data.provenance[key] for key in ("longer_than_max_length", "with_rare_token", "rows")}
    assert kept == {"longer_than_max_length": 2, "with_rare_token": 1, "rows": 5}


def test_a_token_counts_once_a_molecule(tmp_path):
    data = encode_files(files(tmp_path, a=["CC", "FC(F)(F)C", "CCCC"]), min_count=2)
    assert data.alphabet.tokens == ("C",) and list(rows_of(data)) == ["CC", "CCCC"]


def test_the_split_is_a_function_of_the_molecule(tmp_path):
    molecules = [canonical("C" * n + tail) for n in range(1, 16) for tail in ("O", "N", "F", "(=O)O")]
    written = [randomised(smiles, seed) for seed, smiles in enumerate(molecules)]
    assert sum(a != b for a, b in zip(molecules, written, strict=True)) > 20

    def split(lines):
        data = encode_files(files(tmp_path, a=lines), min_count=1, held_out_percent=30)
        return dict(zip(rows_of(data), data.held_out.tolist(), strict=True))

    first = split(molecules)
    assert first == split(written[::-1]) == split(written[7:] + molecules[:30])
    assert first == {smiles: is_held_out(smiles, 30) for smiles in first}
    assert 8 <= sum(first.values()) <= 28  # 60 · 0.3 = 18, four standard deviations are 14
    # a change of the rule would put molecules that a model was trained on among the held-out ones
    assert [s for s in first if is_held_out(s, 10)] == ["CCCCF", "CCCCCCF", "CCCCCCCCCCCCCCCF"]


def test_the_held_out_share_is_the_one_asked_for():
    names = [f"C{i}" for i in range(20_000)]
    for percent in (0, 2, 50, 100):
        found = sum(is_held_out(name, percent) for name in names)
        sigma = (20_000 * percent / 100 * (1 - percent / 100)) ** 0.5
        assert abs(found - 200 * percent) <= 4 * sigma
    small = {name for name in names if is_held_out(name, 2)}
    assert small <= {name for name in names if is_held_out(name, 5)}  # a larger share keeps the smaller one


def test_encoded_data_is_read_back_equal(tmp_path):
    data = encode_files(files(tmp_path, a=["CCO", "CC#N"], b=["c1ccccc1", "CCCl"]), min_count=1, held_out_percent=50)
    data.save(tmp_path / "new" / "data.safetensors")
    back = EncodedData.load(tmp_path / "new" / "data.safetensors")
    for name in ("tokens", "offsets", "labels", "held_out"):
        assert np.array_equal(getattr(back, name), getattr(data, name))
        assert getattr(back, name).dtype == getattr(data, name).dtype
    assert (back.alphabet, back.label_names, back.provenance) == (data.alphabet, data.label_names, data.provenance)
    assert rows_of(back) == {"CCO": 0, "CC#N": 0, "c1ccccc1": 1, "CCCl": 1} and back.digest() == data.digest()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data.safetensors"]


def test_damaged_data_is_explained(tmp_path):
    path = tmp_path / "data.safetensors"
    with pytest.raises(TrainingError, match=r"expected a file at .*data\.safetensors, found none; run the preparation"):
        EncodedData.load(path)
    encode_files(files(tmp_path, a=["CCO", "CC"]), min_count=1).save(path)
    whole = path.read_bytes()
    for damaged in (whole[:-3], whole[:40], b"", b"not safetensors at all"):
        path.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"data\.safetensors is damaged or no safetensors file"):
            EncodedData.load(path)
    path.write_bytes(whole.replace(b"seqdiff-data-1", b"seqdiff-data-0"))
    with pytest.raises(TrainingError, match="expected format 'seqdiff-data-1' in .*, got 'seqdiff-data-0'"):
        EncodedData.load(path)


@pytest.mark.parametrize(
    "smiles", ["C[C@H](N)C(=O)O", "F/C=C\\Cl", "CC(=O)Nc1ccc(F)cc1", "c1ccc2[nH]ccc2c1", "C[N+](C)(C)CC([O-])=O"]
)
def test_random_writing_keeps_the_molecule(smiles):
    written = [randomised(smiles, seed) for seed in range(20)]
    assert {canonical(s) for s in written} == {canonical(smiles)}
    assert len(set(written)) > 4
    assert written == [randomised(smiles, seed) for seed in range(20)]


def test_what_rdkit_refuses_has_no_canonical_form():
    from rdkit import rdBase

    with rdBase.BlockLogs():
        assert [canonical(smiles) for smiles in ("C1CC", "c1cccc1", "CF(C)C", "", "OCC")] == [None] * 4 + ["CCO"]


def test_real_molecules_go_through_tokens_and_ids():
    if not ZINC.is_file():
        pytest.skip(f"needs the 10,000 first molecules of {ZINC.name} in shared/data/molecules beside the repository")
    molecules = list(islice(read_smiles(ZINC), 10_000))
    assert len(molecules) == 10_000
    rows = [tokenize(smiles) for smiles in molecules]
    assert ["".join(row) for row in rows] == molecules
    alphabet = Alphabet("smiles", tuple(sorted({token for row in rows for token in row})))
    assert {"C", "c", "Cl", "Br", "[nH]", "[C@@H]", "/", "\\"} <= set(alphabet.tokens) and len(alphabet) < 100
    ids = [alphabet.encode(row) for row in rows]
    assert [alphabet.decode(row) for row in ids] == molecules
    assert [alphabet.decode_tokens(row) for row in ids] == rows
    data = EncodedData.from_rows(alphabet, ids, [0] * len(ids), [False] * len(ids))
    assert list(rows_of(data)) == list(dict.fromkeys(molecules))
