"""Requests for texts: what is pinned, what must hold, what is told; each design is checked by plain Python."""

import csv
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_model import tiny_text

from constraints.language.notation import parse
from domains.design import design
from domains.registry import get_domain
from domains.request import confined
from domains.text.constraints import banned, keyword, keywords, one_of, verbatim, whole_sentences, words
from domains.text.tokens import alphabet_of, decode, encode, normal, train_bpe
from seqdiff.errors import ConditionError, ConfigError, SeqdiffError, TemplateError

MODEL = tiny_text()
LETTERS = tiny_text("characters", '{"abc":12,"x y":[true,false,null]} -0.5e', ())
BYTES = tiny_text("bytes", "", ())


def made(n=12, model=MODEL, **request):
    found = design(domain="text", checkpoint=model, n=n, steps=6, bound_draws=0, **request)
    assert len(found.designs) == n and found.summary["satisfied"] == n
    return found.designs


def count(text):
    return len(re.findall(r"(?:^|(?<= ))[^\W_]", text))


def stands(phrase, text):
    return re.search(rf"(?<![^\W_]){re.escape(phrase)}(?![^\W_])", text) is not None


def test_pinned_words_stay_words_and_holes_are_as_long_as_asked():
    for item in made(24, template="The {2-4} near {3-6}."):
        found = re.fullmatch(r"The(?![^\W_])(.*) near(?![^\W_])(.*)\.", item.sequence)
        assert found and item.pins_kept, item.sequence
        pins = len(encode(" The near.", MODEL.alphabet))
        assert pins + 2 + 3 <= item.metrics["tokens"] <= pins + 4 + 6


def test_prefix_suffix_middle_and_many_holes():
    assert all(d.sequence.startswith("By Zizzi") for d in made(template="By Zizzi {}"))
    assert all(d.sequence.endswith(" near the river.") for d in made(template="{4} near the river."))
    assert all(re.fullmatch(r"A .* is .* by .*\.", d.sequence) for d in made(template="A _ is {1-2} by {}."))


def test_every_count_of_words_is_the_same():
    from domains.text.wishes import read_wish

    for item in made(24, template="{3-9}"):
        n = count(item.sequence)
        assert item.metrics["words"] == n and read_wish(f"{n} <= words <= {n}").log_weight(item.sequence) == 0


def test_a_hole_of_words_has_so_many_words():
    for item in made(24, template="The {3-5 words} river"):
        inside = item.sequence.removeprefix("The").removesuffix(" river")
        assert 3 <= count(inside.strip()) <= 5, item.sequence


def test_fields_are_told_or_read():
    for item in made(template="[food] Japanese [area] riverside [text]"):
        assert item.fields == {"food": "Japanese", "area": "riverside"} and item.sequence
        assert "[" not in item.sequence
    told = made(template="[food] {1-2} [area] {1} [text] The Mill is a cheap pub.")
    assert all(item.sequence == "The Mill is a cheap pub." and set(item.fields) == {"food", "area"} for item in told)
    assert len({item.fields["food"] for item in told}) > 1 and all(item.fields["food"] for item in told)


def test_what_is_asked_is_asked_of_the_text_but_for_parts_with_a_region_of_their_own():
    asked = f"{words(3, 4)} & within(food, {verbatim('French')}) & within(gap2, length(5..8))"
    for item in made(template="[food] {1-2} [area] riverside [text] {4-9}", constraint=asked):
        assert 3 <= count(item.sequence) <= 4 and stands("French", item.fields["food"])
        assert item.fields["area"] == "riverside" and 3 + 1 + 1 + 5 <= item.metrics["tokens"] <= 3 + 2 + 1 + 8


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("length(3)", "within(text, length(3))"),
        ("ban([a]) | ~within(gap1, length(3))", "within(text, ban([a])) | ~within(gap1, length(3))"),
        ("~(length(3) & tie(gap1, gap2))", "~(within(text, length(3)) & tie(gap1, gap2))"),
        ("distinct(gap1, gap2) & distinct(0, 1)", "distinct(gap1, gap2) & within(text, distinct(0, 1))"),
        ("within(all, length(9))", "within(all, length(9))"),
    ],
)
def test_confined_to_the_text(asked, kept):
    assert confined(parse(asked), "text") == parse(kept)


def several_wants(n: int, seed: int) -> None:
    alphabet = MODEL.alphabet
    asked = keywords(["river", "run"], alphabet) & words(5, 9) & banned(["cheap", "The"]) & whole_sentences()
    asked &= verbatim("Japanese") & one_of(["pub", "food"])
    for item in made(n, template="{} ", constraint=str(asked), seed=seed):
        text = item.sequence
        assert any(stands(w, text) for w in ("river", "rivers", "River", "Rivers")), text
        assert any(stands(w, text) for w in ("run", "running", "Run", "Running")), text
        assert 5 <= count(text) <= 9 and not any(stands(w, text) for w in ("cheap", "Cheap", "the", "The")), text
        assert text[-1] in ".!?\"”)’'" and stands("Japanese", text) and (stands("pub", text) or stands("food", text))


def test_several_wants_at_once_hold_in_every_text():
    several_wants(24, 0)


@pytest.mark.slow
def test_several_wants_hold_in_ten_thousand_texts():
    for seed in range(5):
        several_wants(2000, seed)


def test_wants_hold_over_bytes_and_byte_pairs():
    pairs = train_bpe(["the river by the pub, a cheap pub"] * 3, 280)
    for alphabet in (BYTES.alphabet, pairs):
        for text in ("The Mill by the river.", "river", "hotriver £20 a-b", "naïve 3 rivers, a pub!"):
            tokens = [alphabet.tokens[i] for i in encode(" " + text, alphabet)]
            written = "".join(tokens)
            for asked, right in (
                (keyword("river", alphabet), any(stands(w, text) for w in ("river", "River"))),
                (words(3, 4, alphabet), 3 <= len(text.split()) <= 4),
                (banned(["pub"], alphabet).part, stands("pub", text)),
                (whole_sentences(alphabet), text[-1] in ".!"),
                (verbatim("by the", alphabet), "by the" in text),
            ):
                assert (re.fullmatch(asked.pattern, written) is not None) == right, (text, asked)
    for item in made(8, BYTES, template="{12-16}", constraint=str(words(2, 3, BYTES.alphabet) & keyword("ab", BYTES.alphabet))):
        assert re.search(r"(?<![0-9A-Za-z])[aA]b(?![0-9A-Za-z])", item.sequence)
    told = made(6, BYTES, template="by {8}")
    assert all(item.sequence[:2] == "by" and not item.sequence[2].isalnum() for item in told)


PROPERTIES = {"abc": {"type": "integer", "minimum": 0}, "b": {"enum": ["x", None]}}
SCHEMA = json.dumps({"type": "object", "properties": PROPERTIES, "required": ["abc", "b"]})


@pytest.mark.parametrize("model", [LETTERS, BYTES])
def test_json_that_a_schema_accepts(model):
    for item in made(12, model, template="{18-24}", constraint=f"json_schema({SCHEMA})"):
        value = json.loads(item.sequence)
        assert set(value) == {"abc", "b"} and type(value["abc"]) is int and value["abc"] >= 0 and value["b"] in ("x", None)


def test_a_regular_expression_reads_the_whole_text_with_the_space_before_it():
    for item in made(template="{4-6}", constraint=r'regex(" (?:The|A) .*\\.")'):
        assert re.fullmatch(r"(?:The|A) .*\.", item.sequence)


def test_relations_between_words():
    for item in made(template="The {2} near the {2}.", constraint="tie(gap1, gap2)"):
        first = re.fullmatch(r"The(.*) near the(.*)\.", item.sequence)
        assert first and first[1] == first[2]
    for item in made(template="The _ and _ and _.", constraint="distinct(gap1, gap2, gap3)"):
        places = item.sequence.removeprefix("The").removesuffix(".").split(" and")
        assert len(set(places)) == 3


def test_wishes_choose_among_particles():
    plain = made(16, template="{4-12}")
    bent = made(16, template="{4-12}", wishes=["words <= 3"], particles=8)
    assert sum(item.metrics["words"] for item in bent) < sum(item.metrics["words"] for item in plain)


def test_free_designs_have_the_lengths_of_their_class():
    assert {item.metrics["tokens"] for item in made(24, label="scene")} <= {3, 4, 5, 6}


def test_files(tmp_path):
    found = made(4, template="[food] Japanese [area] {1} [text] The {3}")
    domain = get_domain("text")
    for suffix in domain.SUFFIXES:
        domain.write(tmp_path / f"a{suffix}", found)
    assert (tmp_path / "a.txt").read_text().splitlines() == [item.sequence for item in found]
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [item.sequence for item in found]
    assert [row["area"] for row in rows] == [item.fields["area"] for item in found]
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [line["fields"] for line in lines] == [item.fields for item in found]


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        ({"template": "The Mill is a pub."}, TemplateError, "expected a hole such as"),
        ({"template": "The {60}"}, ConditionError, "the model was trained on at most 24"),
        ({"template": "[mood] good [text] {}"}, TemplateError, r"the model knows the fields .*; got \[mood\]"),
        ({"template": "The {4}", "constraint": "length(9)"}, ConditionError, "no sequence of 5 tokens can meet this"),
        ({"template": "{4}", "constraint": str(words(9, 12))}, ConditionError, "no sequence of 4 tokens"),
        ({"template": "{4}", "constraint": "within(food, length(1))"}, ConditionError, "unknown region 'food'"),
        ({"template": "{4}", "constraint": 'json_schema({"type": "object"})'}, SeqdiffError, "no sequence|can hold"),
        ({"template": "{4}", "task": "linker"}, ConfigError, "task: "),
        ({"template": "{4}", "syntax": True}, ConfigError, "syntax: texts have none to hold"),
        ({"template": "{4}", "wishes": ["qed >= 0.5"], "particles": 2}, ConditionError, "wish: expected 'valid'"),
        ({"template": "{4}", "label": "poem"}, SeqdiffError, "expected one of the model's classes"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_drawn(request_, error, message):
    with pytest.raises(error, match=message):
        design(domain="text", checkpoint=MODEL, n=2, steps=2, **request_)


WRITTEN = st.text(alphabet="ab £.'-éΩ日\n\t", max_size=30)


@given(WRITTEN)
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back_from_its_tokens(text):
    text = normal(text)
    for kind in ("words", "characters", "bytes"):
        alphabet = alphabet_of(["ab £.'-éΩ日 " * 2, text], kind, 1)
        assert decode([alphabet.tokens[i] for i in encode(" " + text, alphabet)], alphabet) == text


@given(st.lists(st.sampled_from(["The", "river", "pub", ",", "{2}", "_", "{1-3}", "{2 words}"]), min_size=1, max_size=4))
@settings(max_examples=25, deadline=None)
def test_any_template_is_kept_or_refused(parts):
    text = " ".join(parts)
    try:
        (item,) = design(domain="text", checkpoint=MODEL, template=text, n=1, steps=3, bound_draws=0).designs
    except SeqdiffError as error:
        assert "{" not in text and "_" not in text, error
        return
    assert item.pins_kept and not item.certificate.violations
    place = 0
    for part in parts:  # the pinned words stand in order, as words
        if part.isalpha():
            found = re.compile(rf"(?<![^\W_]){part}(?![^\W_])").search(item.sequence, place)
            assert found, (text, item.sequence)
            place = found.end()
