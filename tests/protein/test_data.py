import gzip
import lzma

import numpy as np
import pytest

from domains.protein.data import PROTEIN, Source, clean, encode_files, read_fasta
from domains.protein.families import SHARED, WORD, families, hold_out
from domains.registry import get_domain
from seqdiff.errors import ConfigError

TEXT = ">P1 first protein\nMKV\nLAW\n\n>P2\n; a remark\nmkvlaw*\n>P3 third\nMK LA\n"


@pytest.mark.parametrize(
    "name, opened", [("a.fasta", open), ("a.fa.gz", gzip.open), ("a.fasta.xz", lzma.open)], ids=["plain", "gz", "xz"]
)
def test_fasta_entries_over_several_lines(tmp_path, name, opened):
    with opened(tmp_path / name, "wt") as file:
        file.write(TEXT)
    records = list(read_fasta(tmp_path / name))
    assert [(r.name, r.header, r.sequence) for r in records] == [
        ("P1", "P1 first protein", "MKVLAW"),
        ("P2", "P2", "mkvlaw*"),
        ("P3", "P3 third", "MKLA"),
    ]


def test_what_is_no_fasta_is_refused_by_name(tmp_path):
    (tmp_path / "a.fasta").write_text("MKV\n>P1\nMKV\n")
    with pytest.raises(ConfigError, match="expected '>' before the first sequence of a.fasta, got line 1: 'MKV'"):
        list(read_fasta(tmp_path / "a.fasta"))
    (tmp_path / "b.fasta.gz").write_text(">P1\nMKV\n")
    with pytest.raises(ConfigError, match="b.fasta.gz cannot be read as what its name says"):
        list(read_fasta(tmp_path / "b.fasta.gz"))
    with pytest.raises(ConfigError, match="found none"):
        list(read_fasta(tmp_path / "c.fasta"))


@pytest.mark.parametrize(
    "written, read",
    [
        ("mkvlaw*", "MKVLAW"),
        ("MKVU" + "A" * 30, "MKVX" + "A" * 30),
        ("MK*VLAW", None),
        ("MK-VLAW", None),
        ("MXVLAW", None),
        ("", None),
        ("*", None),
    ],
)
def test_letters(written, read):
    assert clean(written) == read


def random_protein(generator, length):
    return "".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), length))


def proteins_in_families(seed=0, n=30):
    """n ancestors with two mutants each (every 15th residue changed), and so the true family of each."""
    generator = np.random.default_rng(seed)
    texts, truth = [], []
    for k in range(n):
        ancestor = random_protein(generator, 90)
        for start in (3, 5, 8):
            mutant = "".join("W" if (i - start) % 15 == 0 and a != "W" else a for i, a in enumerate(ancestor))
            texts.append(mutant)
            truth.append(k)
    return texts, np.array(truth)


def test_families_are_found_whatever_the_order():
    texts, truth = proteins_in_families()
    order = np.random.default_rng(1).permutation(len(texts))
    found = families([PROTEIN.encode(texts[i]) for i in order])
    assert np.array_equal(found[:, None] == found, truth[order][:, None] == truth[order])


def test_proteins_that_share_a_stretch_are_one_family_only_from_the_stated_length_on():
    generator = np.random.default_rng(2)
    stretch = random_protein(generator, WORD + SHARED - 1)
    a, b = ("A" * 20 + stretch + "C" * 20), ("D" * 20 + stretch + "E" * 20)
    assert len(set(families([PROTEIN.encode(a), PROTEIN.encode(b)]).tolist())) == 1
    assert len(set(families([PROTEIN.encode(a), PROTEIN.encode(b.replace(stretch, stretch[:-1]))]).tolist())) == 2


def test_a_word_does_not_run_over_the_border_of_two_proteins():
    texts = ["MKVLAWGHTR", "MKVLAWGHTRNDE"[:5], "AWGHTRNDEC"]  # the second and third joined would repeat the first
    assert len(set(families([PROTEIN.encode(t) for t in texts]).tolist())) == 3


def test_whole_families_are_held_out_independently_of_the_order():
    texts, truth = proteins_in_families()
    held_out = hold_out(texts, truth, 20)
    assert 0 < held_out.sum() <= 18
    for k in range(30):
        assert held_out[truth == k].all() or not held_out[truth == k].any()
    order = np.random.default_rng(3).permutation(len(texts))
    again = hold_out([texts[i] for i in order], truth[order], 20)
    assert {texts[i] for i in order[again]} == {texts[i] for i in np.flatnonzero(held_out)}


def test_encoded_data_holds_each_protein_once_and_no_shared_word_across_the_split(tmp_path):
    texts, _ = proteins_in_families()
    lines = "".join(f">p{i}\n{text}\n" for i, text in enumerate(texts))
    (tmp_path / "a.fasta").write_text(lines + ">short\nMKV\n>odd\nMK-" + "A" * 30 + "\n")
    (tmp_path / "b.fasta").write_text(f">again\n{texts[0].lower()}\n>new\n{'MKVLAWGHTRND' * 3}\n")
    files = [{"path": "a.fasta", "label": "a"}, {"path": "b.fasta", "label": "b"}]
    table = {"files": files, "held_out_percent": 20, "joined_percent": 10, "max_length": 200}
    data = get_domain("protein").encode_training_data(table, tmp_path)
    rows = [data.alphabet.decode(data.tokens[a:b]) for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    single = data.labels < 2
    assert [rows[i] for i in np.flatnonzero(single)] == [*texts, "MKVLAWGHTRND" * 3]
    assert data.label_names == ("a", "b", "joined") and data.labels[90] == 1
    assert data.provenance["with_other_letters"] == 1 and data.provenance["of_other_length"] == 1

    def words(chosen):
        return {rows[i][k : k + WORD] for i in np.flatnonzero(chosen) for k in range(len(rows[i]) - WORD + 1)}

    assert data.held_out[single].any()
    assert not words(data.held_out & single) & words(~data.held_out & single)
    sides = {rows[i]: bool(data.held_out[i]) for i in np.flatnonzero(single)}
    joined = np.flatnonzero(~single)
    assert len(joined) == 9
    for i in joined:
        first, second = rows[i].split("/")
        assert sides[first] == sides[second] == bool(data.held_out[i])


def test_a_class_may_not_take_the_name_of_joined_rows(tmp_path):
    with pytest.raises(ConfigError, match="'joined' is that of rows with a chain break"):
        encode_files([Source(str(tmp_path / "a.fasta"), "joined")])


def test_unknown_keys_of_the_data_table_are_refused(tmp_path):
    table = {"files": [{"path": "a.fasta", "label": "a"}], "min_count": 3}
    with pytest.raises(ConfigError, match="data.min_count: unknown key"):
        get_domain("protein").encode_training_data(table, tmp_path)


def test_a_table_s_rows_become_classes_and_halves_share_no_family(tmp_path):
    texts, _ = proteins_in_families()
    rows = [f"{text}\t{i % 2}\tn{i}" for i, text in enumerate(texts)]
    table = "\n".join(["sequence\tactive\tname", *rows, f"{texts[0]}\t1\tagain"]) + "\n"
    (tmp_path / "a.tsv.xz").write_bytes(lzma.compress(table.encode()))
    files = [{"path": "a.tsv.xz", "label": label, "column": "active", "value": v} for label, v in (("yes", "1"), ("no", "0"))]

    def encoded(**more):
        table = {"files": files, "held_out_percent": 20, "joined_percent": 0, "shared_words": 3} | more
        data = get_domain("protein").encode_training_data(table, tmp_path)
        ends = zip(data.offsets[:-1], data.offsets[1:], strict=True)
        return data, [data.alphabet.decode(data.tokens[a:b]) for a, b in ends]

    whole, written = encoded()
    assert whole.label_names == ("yes", "no") and sorted(written) == sorted(texts)
    label = dict(zip(written, whole.labels.tolist(), strict=True))
    assert all(label[text] == (i % 2 == 0) for i, text in enumerate(texts) if i) and label[texts[0]] == 0  # of both: the first
    sides = []
    for half in (1, 2):
        data, here = encoded(half=half)
        assert all(label[text] == k for text, k in zip(here, data.labels.tolist(), strict=True))
        assert [t for t, out in zip(here, data.held_out, strict=True) if out] == [
            t for t, out in zip(written, whole.held_out, strict=True) if out
        ]
        sides.append({texts.index(t) // 3 for t, out in zip(here, data.held_out, strict=True) if not out})
    assert sides[0] and sides[1] and not sides[0] & sides[1]
    assert sum(map(len, sides)) == 30 - whole.provenance["held_out_families"]
    with pytest.raises(ConfigError, match="data.half: expected 0"):
        encoded(half=3)
    files[0]["column"] = "activity"
    with pytest.raises(ConfigError, match="expected columns activity and sequence in .*, got sequence, active, name"):
        encoded()


def test_fewer_shared_words_join_families_of_peptides():
    a, b = "MKVLAWGHTRND", "MKVLAWGHCCCC"  # eight residues in common: three words
    assert len(set(families([PROTEIN.encode(a), PROTEIN.encode(b)]).tolist())) == 2
    assert len(set(families([PROTEIN.encode(a), PROTEIN.encode(b)], 3).tolist())) == 1
