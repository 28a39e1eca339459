"""Files of texts with what they tell, and the rows that come of them."""

import gzip
import json

import numpy as np
import pytest

from domains.text.data import Source, encode_files, is_held_out, joined, read_examples
from domains.text.fields import parted, row
from domains.text.tokens import alphabet_of, decode
from seqdiff.errors import AlphabetError, ConfigError

TAGGED = (
    "mr\ttext_and_spans\n"
    "__start_name__ The Mill __end_name__ __start_priceRange__ less than £ 20 __end_priceRange__\t"
    "The Mill isn 't dear , it 's family - friendly , for £ 20 . <eos>|||0,2,0\n"
)
LISTED = 'mr,ref\n"name[The Mill], customer rating[5 out of 5]","The Mill  has 5 stars."\n'
KEYWORDS = "concepts\tconcepts_pos\ttarget\nsea town island\tx\told town and sea on the island\n"
OPINIONS = "label\tphrase\n1\tEasy to use\n0\tToo loud\n"


def write(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def test_each_kind_of_file_is_known_by_what_it_holds(tmp_path):
    (tagged,) = read_examples(write(tmp_path, "a.tsv", TAGGED), "r")
    assert tagged.text == "The Mill isn't dear, it's family-friendly, for £20."
    assert tagged.fields == (("name", "The Mill"), ("price", "less than £20"))
    (listed,) = read_examples(write(tmp_path, "a.csv", LISTED), "r")
    assert (listed.text, listed.fields) == ("The Mill has 5 stars.", (("name", "The Mill"), ("rating", "5 out of 5")))
    (scene,) = read_examples(write(tmp_path, "b.tsv", KEYWORDS), "s")
    assert (scene.fields, scene.key) == ((("keywords", "sea town island"),), "island sea town")
    good, bad = read_examples(write(tmp_path, "c.tsv", OPINIONS), "o")
    assert [good.fields[0][1], bad.fields[0][1]] == ["good", "bad"]


def test_own_files_lines_columns_and_objects(tmp_path):
    lines = list(read_examples(write(tmp_path, "a.txt", "one  two\n\nthree\n"), "x"))
    assert [e.text for e in lines] == ["one two", "three"]
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"text,mood\nhello there,warm\n"))
    assert next(read_examples(tmp_path / "b.csv.gz", "x")).fields == (("mood", "warm"),)
    path = write(tmp_path, "c.jsonl", json.dumps({"text": "hi", "mood": "cold", "empty": ""}) + "\n")
    assert next(read_examples(path, "x")).fields == (("mood", "cold"),)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.pdf", "x", "expected .txt, .csv, .tsv or .jsonl"),
        ("a.csv", "words\nhello\n", "expected a column `text`"),
        ("a.tsv", "text\tmood\nonly\n", "line 2: expected 2 columns"),
        ("a.jsonl", "{oops\n", "cannot be read as what its name says"),
        ("a.jsonl", '{"mood": "x"}\n', "expected `text` in every line"),
        ("a.csv", "text,My Mood\nhello,x\n", "a field is named by letters a to z, got 'my mood'"),
    ],
)
def test_bad_files_are_refused(tmp_path, name, text, message):
    with pytest.raises(ConfigError, match=message):
        list(read_examples(write(tmp_path, name, text), "x"))
    with pytest.raises(ConfigError, match="found none"):
        list(read_examples(tmp_path / "none.txt", "x"))


def test_words_apart_are_joined_as_people_write():
    assert joined("The pub ( by the river ) isn 't dear : £ 20 - 25 .") == "The pub (by the river) isn't dear: £20-25."


def test_a_row_falls_apart_into_fields_and_text():
    alphabet = alphabet_of(["French near the river"], "words", 1, ("[area]", "[food]", "[text]"))
    ids = row("near the river", [("food", "French"), ("area", "river")], alphabet)
    fields, text = parted(alphabet.decode_tokens(ids))
    assert [(name, decode(value, alphabet)) for name, value in fields] == [("food", "French"), ("area", "river")]
    assert decode(text, alphabet) == "near the river"
    assert parted(alphabet.decode_tokens(row("near", [], alphabet))) == ([], [" near"])


def test_rows_show_all_some_or_no_fields_and_meanings_stay_on_one_side(tmp_path):
    mr = "__start_name__ Mill{} __end_name__ __start_food__ French __end_food__ __start_area__ river __end_area__"
    lines = [f"{mr.format(k % 40)}\tplace {k} is nice . <eos>|||" for k in range(400)]
    path = write(tmp_path, "a.tsv", "mr\ttext_and_spans\n" + "\n".join(lines) + "\n")
    data = encode_files([Source(str(path), "r")], min_count=1, held_out_percent=30)
    counts, sides = [], {}
    for k in range(len(data.labels)):
        tokens = data.alphabet.decode_tokens(data.tokens[data.offsets[k] : data.offsets[k + 1]])
        fields, text = parted(tokens)
        counts.append(len(fields))
        place = int(decode(text, data.alphabet).split()[1])
        sides.setdefault(place % 40, set()).add(bool(data.held_out[k]))
    assert np.bincount(counts).min() > 20 and len(np.bincount(counts)) == 4
    assert all(len(side) == 1 for side in sides.values())
    assert {True, False} == {side for both in sides.values() for side in both}
    assert data.provenance["texts"] == 400


def test_the_split_is_about_as_large_as_asked():
    assert 250 < sum(is_held_out(str(k), 3) for k in range(10_000)) < 350


def test_rows_that_are_too_long_are_counted(tmp_path):
    path = write(tmp_path, "a.txt", "a b c d\na b\n")
    data = encode_files([Source(str(path), "x")], min_count=1, max_length=3)
    assert len(data.labels) == 1 and data.provenance["rows_longer_than_max_length"] == 1


def test_a_column_says_the_class(tmp_path):
    """Rows of one value, without fields; what both classes say teaches neither."""
    path = write(tmp_path, "c.tsv", OPINIONS + "1\tPrice\n0\tPrice\n")
    (good,) = [e for e in read_examples(path, "positive", "label", "1") if e.text != "Price"]
    assert (good.text, good.fields, good.label, good.key) == ("Easy to use", (), "positive", "Easy to use")
    sources = [Source(str(path), name, "label", value) for name, value in (("positive", "1"), ("negative", "0"))]
    data = encode_files(sources, min_count=1, held_out_percent=0)
    ends = zip(data.offsets[:-1], data.offsets[1:], strict=True)
    said = [decode(data.alphabet.decode_tokens(data.tokens[a:b]), data.alphabet) for a, b in ends]
    assert sorted(zip(said, data.labels.tolist(), strict=True)) == [("Easy to use", 0), ("Too loud", 1)]
    assert data.provenance["texts_of_two_classes"] == 1
    lines = write(tmp_path, "d.jsonl", "".join(json.dumps({"text": t, "My Mood": m}) + "\n" for t, m in (("a", 1), ("b", 2))))
    assert [e.text for e in read_examples(lines, "x", "My Mood", "2")] == ["b"]


@pytest.mark.parametrize(("name", "text"), [("a.txt", "x\n"), ("a.csv", "text\nx\n"), ("a.jsonl", '{"text": "x"}\n')])
def test_a_class_needs_its_column(tmp_path, name, text):
    with pytest.raises(ConfigError, match="expected a (table with a )?column 'label'"):
        list(read_examples(write(tmp_path, name, text), "x", "label", "1"))


def test_halves_share_no_text_and_leave_none_out(tmp_path):
    path = write(tmp_path, "a.txt", "\n".join(f"text number {k}" for k in range(200)))
    whole, *halves = (encode_files([Source(str(path), "x")], min_count=1, held_out_percent=10, half=h) for h in (0, 1, 2))

    def trained(data):
        ends = zip(data.offsets, data.offsets[1:], data.held_out, strict=False)
        return {decode(data.alphabet.decode_tokens(data.tokens[a:b]), data.alphabet) for a, b, out in ends if not out}

    first, second = map(trained, halves)
    assert first | second == trained(whole) and not first & second and 60 < len(first) < 120
    assert {int(data.held_out.sum()) for data in (whole, *halves)} == {int(whole.held_out.sum())}
    with pytest.raises(ConfigError, match=r"data.half: expected 0 \(all\), 1 or 2, got 3"):
        encode_files([Source(str(path), "x")], half=3)


def test_the_tokens_of_a_bundled_model(tmp_path):
    """Rows with a character that it lacks are left out and counted, unless there are many: then something is wrong."""
    path = write(tmp_path, "a.txt", "\n".join(["the pub"] * 1 + [f"pub {k}" for k in range(20)] + ["漢"]))
    data = encode_files([Source(str(path), "x")], tokens="text-small")
    assert len(data.labels) == 21 and data.provenance["rows_with_other_characters"] == 1 and len(data.alphabet) == 8428
    with pytest.raises(AlphabetError, match="is not among the model's characters"):
        encode_files([Source(str(write(tmp_path, "b.txt", "pub\n漢\n字\n")), "x")], tokens="text-small")
    with pytest.raises(ConfigError, match="a bundled model or the path"):
        encode_files([Source(str(path), "x")], tokens="text-smaller")
