"""Parts of speech: what a pattern says, tokens by their classes, holes that hold them, and the lexicon."""

import itertools
import json
import lzma
import re

import pytest
import torch
from text_model import tiny_text

from constraints.compilation.compile import compile
from constraints.compilation.plan import layout_of
from domains.design import design
from domains.text import tagging
from domains.text.lexicon import count_classes, main
from domains.text.parsing.corpus import Sentence
from domains.text.tagger import Tagger
from domains.text.tagging import Element, fits, read_pattern, tags_of
from domains.text.template import lay_out, read_template
from seqdiff.errors import ConditionError

MODEL = tiny_text()


def test_a_pattern_is_read():
    noun = frozenset({"NOUN"})
    assert read_pattern("DET ADJ* NOUN") == (
        Element(frozenset({"DET"}), 1, 1),
        Element(frozenset({"ADJ"}), 0, 4),
        Element(noun, 1, 1),
    )
    assert read_pattern("(NOUN | PRON)+ADV?") == (
        Element(frozenset({"NOUN", "PRON"}), 1, 4),
        Element(frozenset({"ADV"}), 0, 1),
    )
    assert tagging.gap(read_pattern("DET ADJ* NOUN")).low == 2 and tagging.gap(read_pattern("DET ADJ* NOUN")).high == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one class"),
        ("BIRD", "expected some of NOUN"),
        ("noun", "character 1: expected classes"),
        ("DET )", "character 5"),
    ],
)
def test_bad_patterns_are_refused(text, message):
    with pytest.raises(ConditionError, match=message):
        read_pattern(text)


@pytest.mark.parametrize(
    ("token", "has", "lacks"),
    [
        (" the", {"DET"}, {"NOUN", "VERB"}),
        (" The", {"DET"}, {"NOUN"}),
        (" river", {"NOUN"}, {"ADJ", "DET"}),
        (" serves", {"VERB"}, {"ADJ"}),
        (" cheap", {"ADJ"}, {"VERB", "DET"}),
        (" 20", {"NUM"}, {"NOUN"}),
        (" Zizzi", {"NOUN"}, {"VERB"}),
        (".", {"PUNCT", "ANY"}, {"NOUN"}),
        (" it's", {"ANY"}, {"NOUN", "PRON", "VERB"}),
    ],
)
def test_classes_of_words_and_signs(token, has, lacks):
    assert has <= tags_of(token) and not lacks & tags_of(token)


@pytest.mark.parametrize("token", ["friendly", " b", "x", "[food]", " "])
def test_pieces_of_words_have_no_class(token):
    assert tags_of(token) == frozenset()


@pytest.mark.parametrize(
    "template", ["{DET ADJ* NOUN}", "The {ADJ? NOUN} near {(DET|PRON)+}.", "{NOUN} by {ADJ VERB?} and {0-2} pub {ANY}"]
)
def test_the_automaton_accepts_what_the_pattern_does(template):
    """Against a plain reading, on every filling from a few words."""
    read = read_template(template)
    alphabet = MODEL.alphabet
    laid = lay_out(read, alphabet, tagging.Gap(1, 1))
    patterns = [hole.tags for hole in read.holes]
    syntax = tagging.syntax(laid, patterns, alphabet)
    words = [alphabet.ids[t] for t in (" the", " cheap", " pub", " serves", ".", "s")]
    sizes = [range(gap.low, min(gap.high, 3) + 1) for gap in laid.gaps]
    seen = set()
    for lengths in itertools.product(*sizes):
        canvas = laid.canvas(lengths, alphabet.mask)
        layout = layout_of(canvas)
        ready = compile(None, alphabet, [layout], syntax=syntax)
        holes = (~canvas.pinned).nonzero().squeeze(-1)
        for filling in itertools.islice(itertools.product(words, repeat=len(holes)), 1300):
            row = canvas.tokens.clone()
            row[holes] = torch.tensor(filling)
            parts = [[alphabet.tokens[row[i]] for i in (canvas.gap == g).nonzero()] for g in range(len(lengths))]
            right = all(pattern is None or fits(pattern, part) for pattern, part in zip(patterns, parts, strict=True))
            seen.add(right)
            assert ready.automaton is not None
            assert ready.automaton.accepts(row.numpy(), ready.region[0].numpy()) == right, (template, parts)
    assert seen == {True, False}


def test_every_design_has_the_parts_of_speech_of_its_holes():
    found = design(domain="text", checkpoint=MODEL, template="The {ADJ* NOUN VERB DET? NOUN}.", n=24, steps=6, bound_draws=0)
    assert len(found.designs) == 24 and not found.lost
    classes = {"ADJ": 0, "NOUN": 0, "VERB": 0}
    for item in found.designs:
        said = re.findall(r"[^\W_]+", item.sequence)[1:]
        tags = [tags_of(" " + word) for word in said]
        assert 3 <= len(said) <= 8 and fits(read_pattern("ADJ* NOUN VERB DET? NOUN"), [" " + word for word in said]), (
            item.sequence
        )
        for name in classes:
            classes[name] += any(name in t for t in tags)
        assert "parts of speech" in item.certificate.holds
    assert classes["NOUN"] == classes["VERB"] == 24 and classes["ADJ"] > 0


def test_any_is_a_whole_word_or_sign():
    found = design(domain="text", checkpoint=MODEL, template="The {ANY ANY} near {ANY}", n=24, steps=4, bound_draws=0)
    for item in found.designs:
        assert re.fullmatch(r"The(?![^\W_]).* near(?![^\W_]).*", item.sequence), item.sequence
        assert not re.search(r"(?<![^\W_])(?<!['’])[b-zB-HJ-Z](?![^\W_])", item.sequence), (
            item.sequence
        )  # no letter stands alone


def test_holes_side_by_side_are_refused():
    for template in ("{ADJ} {NOUN}", "The {2} {NOUN}", "{NOUN}{2} pub"):
        with pytest.raises(ConditionError, match="two holes stand side by side; write them as one"):
            design(domain="text", checkpoint=MODEL, template=template, n=1)


def test_parts_of_speech_need_words():
    letters = tiny_text("characters")
    with pytest.raises(ConditionError, match="expected a model over words, got one over characters"):
        design(domain="text", checkpoint=letters, template="{NOUN}", n=1)


MASC = "# doc one\nThe_DT dog_NN runs_VBZ ._. \nA_DT cat_NN watches_VBZ the_DT dogs_NNS ._. \n"


def test_a_lexicon_is_counted(tmp_path):
    (tmp_path / "masc.txt").write_text(MASC)
    main(["--masc", str(tmp_path / "masc.txt"), "--out", str(tmp_path / "new" / "lexicon.xz")])
    found = json.loads(lzma.decompress((tmp_path / "new" / "lexicon.xz").read_bytes()))
    assert found == {"DET": "A The the", "NOUN": "cat dog dogs", "PUNCT": ".", "VERB": "runs watches"}


def test_rare_classes_are_left_out_of_the_lexicon():
    corpus = [Sentence(("run",), (penn,)) for penn in ["VBP"] * 13 + ["NN"] * 6 + ["JJ"]] + [Sentence(("hm",), ("UH",))]
    assert count_classes(corpus) == {"NOUN VERB": "run"}


def test_a_text_is_tagged_word_by_word_as_words_are_counted():
    tags = Tagger.load().of_text("The cheap pub isn't near the river. It serves Thai food!")
    assert tags == ["DET", "ADJ", "NOUN", "VERB", "ADP", "DET", "NOUN", "PUNCT", "PRON", "VERB", "ADJ", "NOUN", "PUNCT"]
    assert Tagger.load().of_text("") == []
