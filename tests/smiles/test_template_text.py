import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from constraints import Gap
from domains.smiles import fragments_worker
from domains.smiles import template as template_module
from domains.smiles.template import parse_template
from domains.smiles.tokens import is_ring_label
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError, TemplateError

TOKENS = [
    "C",
    "c",
    "N",
    "n",
    "O",
    "o",
    "F",
    "S",
    "s",
    "Cl",
    "Br",
    "(",
    ")",
    "=",
    "#",
    "-",
    "/",
    "\\",
    ".",
    "1",
    "2",
    "3",
    "%10",
    "[nH]",
    "[C@@H]",
    "[O-]",
    "[N+]",
]
ALPHABET = Alphabet("smiles", tuple(TOKENS))


def parts(text):
    """Pinned runs as text, gaps as (low, high)."""
    return [
        (part.low, part.high) if isinstance(part, Gap) else ALPHABET.decode(part)
        for part in parse_template(text, ALPHABET).parts
    ]


OPEN = (
    "is opened and never closed; a gap cannot close a ring of the template: begin the SMILES at another atom, or let the gap "
    "reach over both ends of the ring bond"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC(=O)N{4-9}c1ccc(F)cc1", ["CC(=O)N", (4, 9), "c1ccc(F)cc1"]),
        ("{5}", [(5, 5)]),
        ("{1-3}Cl{2}", [(1, 3), "Cl", (2, 2)]),
        ("C{ 3 }N", ["C", (3, 3), "N"]),
        ("C{ 0 - 12 }N", ["C", (0, 12), "N"]),
        ("C{02-007}N", ["C", (2, 7), "N"]),
        ("C({2})N", ["C(", (2, 2), ")N"]),
        ("C1{2}C1", ["C1", (2, 2), "C1"]),
        ("C%10{3}C%10", ["C%10", (3, 3), "C%10"]),
        ("{1}{2-3}", [(1, 1), (2, 3)]),
        ("C1CC1C1CC1{2}", ["C1CC1C1CC1", (2, 2)]),  # a label may be used again once its ring is closed
        ("[C@@H](F)({3})Br", ["[C@@H](F)(", (3, 3), ")Br"]),
        ("CCO", ["CCO"]),
        ("F/C=C\\{2}", ["F/C=C\\", (2, 2)]),
        ("CC.{3}", ["CC.", (3, 3)]),
    ],
)
def test_templates_are_read(text, expected):
    assert parts(text) == expected


@pytest.mark.parametrize(
    ("text", "marked", "message"),
    [
        ("CC{5-3}N", "  ^^^^^", "the gap's range is empty: 5 is more than 3"),
        ("C{0}N", " ^^^", "the gap has no room: expected at least one token"),
        ("C{0-0}N", " ^^^^^", "the gap has no room: expected at least one token"),
        ("CC{", "  ^", "expected a gap such as {5} or {4-9}"),
        ("CC{4", "  ^^", "expected a gap such as {5} or {4-9}"),
        ("CC{a}N", "  ^^^", "expected a gap such as {5} or {4-9}"),
        ("CC{}N", "  ^^", "expected a gap such as {5} or {4-9}"),
        ("CC{-3}N", "  ^^^^", "expected a gap such as {5} or {4-9}"),
        ("CC{3-}N", "  ^^^^", "expected a gap such as {5} or {4-9}"),
        ("CC{1.5}N", "  ^^^^^", "expected a gap such as {5} or {4-9}"),
        ("CC{1234567}N", "  ^^^^^^^^^", "expected a gap such as {5} or {4-9}"),
        ("C}C", " ^", "'}' starts no SMILES token"),
        ("CXC{2}", " ^", "'X' starts no SMILES token"),
        ("C C{2}", " ^", "' ' starts no SMILES token"),
        ("C[nH{2}", " ^", "'[' starts no SMILES token"),
        ("C{2}IC", "    ^", f"'I' is not among the model's {len(TOKENS)} tokens"),
        ("C{2}[13CH3]", "    ^^^^^^^", f"'[13CH3]' is not among the model's {len(TOKENS)} tokens"),
        ("{3}c1ccc", "    ^", f"ring label 1 {OPEN}"),
        ("C1CC1C1{3}", "      ^", f"ring label 1 {OPEN}"),
        ("C%10CC{3}", " ^^^", f"ring label %10 {OPEN}"),
        ("C({2}", " ^", "this branch is opened and never closed"),
        ("C(C(N){2}", " ^", "this branch is opened and never closed"),
        ("C{2})N", "    ^", "this branch is closed but was never opened"),
        ("C(N))({2})", "    ^", "this branch is closed but was never opened"),
        ("C=1CC{2}C-1", "          ^", "ring label 1 opens and closes by different bonds"),
    ],
)
def test_errors_mark_their_place(text, marked, message):
    with pytest.raises(TemplateError) as error:
        parse_template(text, ALPHABET)
    place = marked.index("^") + 1
    assert str(error.value).split("\n") == [f"template, character {place}: {message}", f"  {text}", f"  {marked}"]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("C(){2}", "with every gap as one atom * it does not read as SMILES: C()*"),
        ("=C{2}=", "with every gap as one atom * it does not read as SMILES: =C*="),
        ("C11{2}", "with every gap as one atom * it does not read as SMILES: C11*"),
        ("C({0-3})N", "with its gaps left empty it does not read as SMILES: C()N"),
        ("C={0-3}", "with its gaps left empty it does not read as SMILES: C="),
    ],
)
def test_what_is_no_smiles_around_the_gaps_is_refused(text, how):
    with pytest.raises(TemplateError) as error:
        parse_template(text, ALPHABET)
    assert str(error.value) == f"template: {how}\n  {text}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("FC(F)(F)(F)(F){2}", "C has bonds of 5 in all, more than 4"),
        ("CFC{2}", "F has bonds of 2 in all, more than 1"),
        ("C(c){2}", "the aromatic c is in no ring"),
        ("c1cccc1C{2}", "the aromatic system of 5 atoms around c has no alternating double bonds"),
        ("C1C1{2}", None),  # RDKit's parser says so first
    ],
)
def test_what_no_gap_can_mend_is_refused(text, fault):
    with pytest.raises(TemplateError) as error:
        parse_template(text, ALPHABET)
    whole = f"template: whatever is in its gaps, it is no molecule: {fault}\n  {text}"
    assert str(error.value) == whole if fault else "does not read as SMILES" in str(error.value)


def test_rdkit_meets_the_text_within_limits(monkeypatch):
    """The child answers for the template too: what takes it too long is refused, and the next text is read."""
    asked = []

    def slower(function, *arguments):
        asked.append(function)
        return fragments_worker.limited("time:sleep", 5, seconds=0.2)

    monkeypatch.setattr(template_module, "limited", slower)
    with pytest.raises(TemplateError, match=r"molecule: reading it takes more than 0\.2 seconds; draw something smaller"):
        parse_template("CC{3}", ALPHABET)
    monkeypatch.undo()
    assert asked == ["domains.smiles.pins:readable"]
    assert parts("CC{3}") == ["CC", (3, 3)]


def test_empty_and_long_texts_are_refused():
    with pytest.raises(TemplateError, match="expected a SMILES with gaps, got an empty text; leave it out to design freely"):
        parse_template("", ALPHABET)
    assert parts("C" * 1000) == ["C" * 1000]
    with pytest.raises(TemplateError, match="expected at most 1000 characters, got 1001"):
        parse_template("C" * 1001, ALPHABET)


def test_more_than_the_model_was_trained_on_is_refused():
    template = parse_template("CC(=O)N{4-9}c1ccc(F)cc1", ALPHABET)
    assert template.length_range == (7 + 4 + 11, 7 + 9 + 11)
    template.check(27, len(ALPHABET))
    with pytest.raises(ConditionError, match="22 to 27 tokens with its gaps, but the model was trained on at most 26"):
        template.check(26, len(ALPHABET))
    with pytest.raises(ConditionError, match="nothing is pinned and every gap may be empty"):
        parse_template("{0-5}", ALPHABET).check(26, len(ALPHABET))


@pytest.mark.parametrize(
    ("text", "banned"), [("C1CC1{3}", {".", "1"}), ("C%10C2CC2C%10{3}", {".", "%10", "2"}), ("C.N{3}", {"."}), ("{3}", {"."})]
)
def test_gaps_may_use_neither_the_rings_of_the_template_nor_a_dot(text, banned):
    assert parse_template(text, ALPHABET).banned == {ALPHABET.ids[token] for token in banned}


def test_an_alphabet_without_a_dot_has_none_to_ban():
    assert parse_template("C{3}", Alphabet("smiles", ("C", "N"))).banned == frozenset()


fragments = ["C", "CC", "N", "S", "c1ccccc1", "C(=O)", "C(F)", "C1CC1", "[C@@H](C)", "O", "C%10CCC%10", "[N+]", "c2cc[nH]c2"]
gap = st.tuples(st.integers(1, 40), st.integers(0, 40)).map(lambda g: Gap(g[0], g[0] + g[1]))
pieces = st.lists(st.one_of(st.sampled_from(fragments), gap), min_size=1, max_size=12)


def written(part):
    if isinstance(part, str):
        return part
    return f"{{{part.low}}}" if part.low == part.high else f"{{{part.low}-{part.high}}}"


@settings(deadline=None, max_examples=200)
@given(pieces)
def test_parts_give_the_text_back(pieces):
    text = "".join(map(written, pieces))
    template = parse_template(text, ALPHABET)
    back = [part if isinstance(part, Gap) else ALPHABET.decode(part) for part in template.parts]
    assert "".join(map(written, back)) == text
    assert template.gaps == [piece for piece in pieces if isinstance(piece, Gap)]
    pins = ALPHABET.encode("".join(piece for piece in pieces if isinstance(piece, str)))
    assert [i for part in template.parts if not isinstance(part, Gap) for i in part] == pins
    assert not any(
        isinstance(a, tuple) and isinstance(b, tuple) for a, b in zip(template.parts, template.parts[1:], strict=False)
    )
    low, high = template.length_range
    assert (low, high) == (len(pins) + sum(g.low for g in template.gaps), len(pins) + sum(g.high for g in template.gaps))
    labels = {i for i in pins if is_ring_label(ALPHABET.tokens[i])}
    assert template.banned == labels | {ALPHABET.ids["."]}


@settings(deadline=None, max_examples=300)
@given(st.text("CcN1(){}-59=.X ", max_size=14))
def test_any_text_is_read_or_refused_with_a_reason(text):
    try:
        template = parse_template(text, ALPHABET)
    except TemplateError as error:
        assert str(error).startswith("template")
    else:
        pinned = "".join(ALPHABET.decode(part) for part in template.parts if not isinstance(part, Gap))
        assert pinned.count("1") % 2 == 0 and pinned.count("(") == pinned.count(")")
        assert all(gap.low <= gap.high for gap in template.gaps)
