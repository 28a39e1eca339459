"""Odd requests of a stranger to `design text`: what is asked is done, or what is wrong is said."""

import re

import pytest
from text_model import tiny_text

from apps.cli.text import constraints_of
from domains.design import design
from domains.text.constraints import banned, keyword, verbatim, words
from seqdiff.errors import ConditionError, ConfigError, TemplateError

TEXT = "The Mill is a café near the river. It's cheap; its pub isn't CHEAP, Cheap - or {3}? He ate good bread and jam (quick)."
MODEL = tiny_text(texts=TEXT, longest=40)
FAST = {"domain": "text", "checkpoint": MODEL, "n": 4, "steps": 3, "bound_draws": 0}


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "expected words and holes, got an empty text; leave it out to design freely"),
        (" \n\t ", "expected words and holes, got an empty text"),
        ("?!...", "expected a hole such as {4-9} or {} to be filled; got none in"),
        ("The pub {3} \\", "character 13: a backslash makes the next character a letter, and there is none"),
        ("The 🙂 {2}", "'🙂' is not among the model's characters"),
        ("Привет {2}", "'П' is not among the model's characters"),
        ("{2}\x00", "is not among the model's characters"),
        ("{ 3 - 2 }", "the hole's range is empty: 3 is more than 2"),
        ("{0}", "the hole has no room: expected at least one"),
        ("{99}", "99 to 99 tokens with its gaps, but the model was trained on at most 40"),
        ("The pub " + "is near the river and " * 40 + "{3}.", "but the model was trained on at most 40"),
        ("x" * 10_001, "expected at most 10,000 characters, got 10,001"),
        ("{{2}}", r"or \\{ for the brace itself"),
        ("[FOOD] x [text] {2}", r"expected a field such as \[food\]"),
        ("[food] Thai", r"expected fields, then \[text\], then the text"),
        ("[food] {1} [food] {1} [text] {3}", r"\[food\] stands twice"),
        ("[text] {3} [food] {1}", r"fields come before \[text\]"),
        ("[mood] good [text] {3}", r"the model knows the fields .*; got \[mood\]"),
        ("{VERB*}", "nothing is pinned and every gap may be empty"),
        ("{noun}", "expected a hole such as"),
        ("{(DET|NOUN}", "parts of speech, character 1"),
    ],
)
def test_templates_that_cannot_be_are_refused(template, message):
    with pytest.raises((TemplateError, ConditionError), match=message):
        design(template=template, **FAST)


def test_a_class_that_no_word_has_is_named():
    with pytest.raises(ConditionError, match="the model has no word that is X"):
        design(template="{DET X}", **FAST)


def test_more_holes_than_can_be_held_apart_are_refused():
    letters = "".join(chr(c) for c in range(0x4E00, 0x4E00 + 2000))
    many = tiny_text("characters", letters, longest=80)
    with pytest.raises(TemplateError, match="expected fewer holes that begin a word or count words, got 30"):
        design(domain="text", checkpoint=many, n=1, steps=1, template="{1} " * 30)


@pytest.mark.parametrize(
    ("template", "pattern"),
    [
        ("The pub\n{1}\r\nnear\tthe river.", r"The pub ?\S+ near the river\."),
        ("cafe\u0301 {1}", r"café ?\S+"),  # composed, as the model's words are
        (r"\{ {1} \}", r"\{ ?\S+ \}"),
        ("{1}}", r".+\}"),
        ("It's the {1}, isn't it?", r"It's the ?\S+, isn't it\?"),
        ("The Mill{1}.", r"The Mill.+\."),
        ("_ _", r".+"),
    ],
)
def test_odd_templates_are_filled(template, pattern):
    found = design(template=template, **FAST)
    assert len(found.designs) == 4
    for item in found.designs:
        assert re.fullmatch(pattern, item.sequence) and item.pins_kept, item.sequence


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda a: keyword("Élan", a), "'Élan' cannot be written: .*'É' is not among the model's characters"),
        (lambda a: keyword("🙂", a), "keyword: expected one word of letters and digits, got '🙂'"),
        (lambda a: verbatim("a 🙂", a), "'a 🙂' cannot be written"),
        (lambda a: verbatim("\n", a), "expected a word or phrase, got"),
        (lambda a: banned([""], a), "expected a word or phrase, got ''"),
        (lambda a: words(500, None, a), "words: expected at most 200, got 500"),
        (lambda a: words(0, 201, a), "words: expected at most 200, got 201"),
    ],
)
def test_wants_that_no_text_can_meet_are_refused(asked, message):
    with pytest.raises(ConditionError, match=message):
        asked(MODEL.alphabet)


def test_as_many_words_as_may_be_asked_can_be_asked():
    wanted = str(words(200, 200, MODEL.alphabet))
    with pytest.raises(ConditionError, match="no sequence of 30 tokens"):
        design(template="{30}", constraint=wanted, **FAST)


def test_an_option_that_is_given_empty_is_no_option_that_is_left_out():
    wants = {"words": "", "keywords": None, "verbatim": None, "one_of": None, "banned": None, "whole_sentences": False}
    with pytest.raises(ConfigError, match="words: expected a number or a range such as 8..14, got ''"):
        constraints_of(wants, {}, MODEL.alphabet)


def holds(constraint, text) -> bool:
    return re.fullmatch(constraint.pattern, " " + text) is not None


def test_a_word_with_an_apostrophe_is_itself_alone():
    assert holds(keyword("it's", MODEL.alphabet), "It's near") and not holds(keyword("it's", MODEL.alphabet), "its pub")
    assert holds(keyword("eat", MODEL.alphabet), "He ate.") and holds(keyword("be", MODEL.alphabet), "a pub is near")


def test_a_banned_word_is_banned_in_capitals_too():
    for word in ("cheap", "CHEAP", "Cheap"):
        found = [text for text in ("a cheap pub", "Cheap", "so CHEAP!", "cheaper") if not holds(banned([word]).part, text)]
        assert found == ["cheaper"]


def test_a_banned_word_that_is_pinned_is_a_conflict():
    with pytest.raises(ConditionError, match="(?s)can satisfy these together.*the pinned tokens of the template"):
        design(template="The cheap pub {3}.", constraint=str(banned(["CHEAP"], MODEL.alphabet)), **FAST)


def test_a_keyword_may_be_banned_in_one_form_alone():
    wanted = keyword("cheap", MODEL.alphabet) & banned(["cheap"], MODEL.alphabet)
    with pytest.raises(ConditionError, match="can satisfy these together"):
        design(template="{4}", constraint=str(wanted), **FAST)


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ('json_schema({"type": "object", "if": {}})', "the keyword 'if' is not supported"),
        ('json_schema({"type": "frob"})', "expected a type among null, boolean"),
        ('json_schema({"type": "array"', "expected a JSON Schema"),
        ('regex("(a")', "unterminated subpattern"),
        ('regex(" (?=x).*")', "a lookahead is not supported"),
        ('regex("a$")', "an anchor is not supported"),
        ("tie(gap1, gap3)", "unknown region 'gap3'; known: all, gap1, gap2, pins, text"),
        ("distinct(gap1, gap2, gap9)", "unknown region 'gap9'"),
    ],
)
def test_constraints_that_cannot_be_read_are_refused(constraint, message):
    with pytest.raises(ConditionError, match=message):
        design(template="The {2} and {2}.", constraint=constraint, **FAST)


def test_holes_are_tied_and_kept_apart():
    for constraint, same in (("tie(gap1, gap2)", True), ("distinct(gap1, gap2)", False)):
        found = design(template="a {1} is a {1} ;", constraint=constraint, **FAST)
        assert len(found.designs) == 4
        for item in found.designs:
            one, other = re.fullmatch(r"a(.+?) is a(.+?) ;", item.sequence).groups()
            assert (one == other) == same, item.sequence
    with pytest.raises(ConditionError, match="no sequence of"):
        design(template="The {1} and {2}.", constraint="tie(gap1, gap2)", **FAST)
