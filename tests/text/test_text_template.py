"""Text templates: words, holes and fields."""

import pytest

from constraints.template import Gap
from domains.text.template import Hole, lay_out, read_template
from domains.text.tokens import alphabet_of
from seqdiff.errors import TemplateError

TEXT = "The Mill is a cheap pub near the river, by Zizzi."
ALPHABET = alphabet_of([TEXT, "Japanese"], "words", 1, ("[area]", "[food]", "[text]"))
FREE = Gap(1, 9)


def shown(text):
    template = lay_out(read_template(text), ALPHABET, FREE)
    parts = [part if isinstance(part, Gap) else ALPHABET.decode_tokens(part) for part in template.parts]
    return parts, template


def test_words_and_holes():
    parts, template = shown("The {2-4} is a _ near {3}.")
    assert parts == [[" The"], Gap(2, 4), [" is", " a"], Gap(1, 1), [" near"], Gap(3, 3), ["."]]
    assert template.names == (("text", 0, 7),)
    assert template.banned == {ALPHABET.ids[m] for m in ("[area]", "[food]", "[text]")}


def test_fields_and_their_regions():
    parts, template = shown("[food] Japanese [area] {1-2} [text] The {} river")
    assert parts == [["[food]"], [" Japanese"], ["[area]"], Gap(1, 2), ["[text]"], [" The"], FREE, [" river"]]
    assert template.names == (("food", 1, 2), ("area", 3, 4), ("text", 5, 8))


def test_spaces_do_not_matter_but_inside_words():
    assert shown("  The\n {2}   river ")[0] == shown("The {2} river")[0]
    assert shown("The {2}river")[0][-1] != shown("The {2} river")[0][-1]


def test_a_hole_of_words_has_room_for_spelled_ones():
    assert read_template("{3-5 words}").holes == [Hole(3, 5, True)]
    assert shown("{3-5 words} river")[0][0] == Gap(3, 15)
    assert read_template("{1 word} {}").holes == [Hole(1, 1, True), Hole(None, None, False, apart=True)]


def test_a_backslash_takes_letters_as_they_are():
    alphabet = alphabet_of(["a_b [x] {y}"], "characters")
    template = lay_out(read_template(r"a\_b \[x] \{y} {2}"), alphabet, FREE)
    assert "".join(alphabet.decode_tokens(template.parts[0])) == " a_b [x] {y}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty text"),
        ("a {x}", "character 3: expected a hole such as"),
        ("a {DET BIRD}", "character 3: parts of speech: expected some of NOUN"),
        ("a {5-3}", "the hole's range is empty: 5 is more than 3"),
        ("a {0}", "the hole has no room"),
        ("a [Food] b", r"character 3: expected a field such as \[food\]"),
        ("[food] Japanese", r"expected fields, then \[text\], then the text"),
        ("near [food] Japanese [text] x", r"expected fields, then \[text\], then the text"),
        ("[food] a [food] b [text] c", r"\[food\] stands twice"),
        ("[food] a [text] b [area] c", r"fields come before \[text\]"),
        ("[mood] a [text] b", r"the model knows the fields \[area\], \[food\], \[text\]; got \[mood\]"),
        ("日本 {3}", "is not among the model's characters"),
        ("x" * 10_001, "at most 10,000 characters"),
    ],
)
def test_bad_templates_are_refused(text, message):
    with pytest.raises(TemplateError, match=message):
        lay_out(read_template(text), ALPHABET, FREE)
