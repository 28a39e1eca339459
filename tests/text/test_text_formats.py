"""Texts under schemas and patterns made by chance, checked by others than the project."""

import json
import re

import pytest
from text_model import TEXT, tiny_text

from benchmarks import text_formats
from benchmarks.text_formats import FORMATS, Format, hold, main, pattern_of, refusals, satisfies, schema_of
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import ConditionError

validator = pytest.importorskip("jsonschema").Draft202012Validator
MODEL = tiny_text(texts=TEXT + ' {}[]":,.-0123456789!', longest=40)


def test_schemas_and_patterns_are_proper_and_varied():
    schemas = [schema_of(k) for k in range(200)]
    for schema in schemas:
        validator.check_schema(schema)
    kinds = [next(iter(set(s) - {"$defs"}), "") for s in schemas]
    assert sum(s.get("type") == "object" for s in schemas) > 40 and {"anyOf", "$ref", "const", "enum"} <= set(kinds)
    patterns = {pattern_of(k) for k in range(200)}
    assert len(patterns) > 120 and all(re.compile(pattern) for pattern in patterns)


def test_the_validator_sees_what_is_wrong():
    schema = {"type": "object", "properties": {"food": {"enum": ["Thai"]}}, "required": ["food"]}
    assert [satisfies(schema, t) for t in ('{"food":"Thai"}', '{"food":"French"}', "{}", '{"food":')] == [
        True,
        False,
        False,
        False,
    ]
    assert FORMATS["regex"].check(1, "pub!") and not FORMATS["regex"].check(1, "pubs!")  # " pub[.!?]"


@pytest.mark.parametrize("kind", FORMATS)
def test_texts_satisfy_them(kind):
    for k in range(5):
        assert hold(MODEL, kind, k, 2, 4) == (2, []), k


def test_a_text_gets_more_room_where_the_first_is_too_little(monkeypatch):
    monkeypatch.setitem(text_formats.ROOM, "regex", (1, 6))
    assert pattern_of(1) == " pub[.!?]" and hold(MODEL, "regex", 1, 1, 2) == (1, [])  # two tokens
    monkeypatch.setitem(text_formats.ROOM, "regex", (1,))
    with pytest.raises(ConditionError, match="no sequence of 1"):
        hold(MODEL, "regex", 1, 1, 2)


def test_what_is_not_supported_is_refused_by_name():
    found = refusals(MODEL)
    assert not found["not refused"] and len(found["refused"]) == len(text_formats.VOCABULARY) + len(text_formats.UNREADABLE)


def test_a_run_counts_what_is_wrong_and_is_gone_on_with(tmp_path, monkeypatch, capsys):
    MODEL.save(tmp_path / "tiny", "card")
    asked = ["--model", str(tmp_path / "tiny"), "--samples", "1", "--steps", "2", "--out", str(tmp_path / "out.json")]
    monkeypatch.setitem(FORMATS, "json_schema", Format(FORMATS["regex"].constraint, lambda k, text: k != 1))
    table = main([*asked, "--n", "2"])
    assert table["kinds"]["json_schema"]["invalid"] == [[1, table["kinds"]["json_schema"]["invalid"][0][1]]]
    assert table["kinds"]["regex"]["made"] == 2 and not table["kinds"]["regex"]["invalid"]
    assert json.loads((tmp_path / "out.json").read_text()) == table
    monkeypatch.setattr(text_formats, "hold", lambda *_: (1, []))
    more = main([*asked, "--n", "3"])["kinds"]["regex"]
    assert (more["made"], more["texts"]) == (3, table["kinds"]["regex"]["texts"] + 1)
    assert "refused by name" in capsys.readouterr().out


@pytest.mark.slow
def test_two_hundred_of_each_with_the_bundled_model():
    checkpoint = load_checkpoint(find_model("text-small", "text"))
    for kind in FORMATS:
        found = [hold(checkpoint, kind, k, 1, 16) for k in range(200)]
        assert sum(texts for texts, _ in found) == 200 and not [wrong for _, wrong in found if wrong]
