"""Templates as parts, rules as forms, and a request as others can run it."""

import csv
import json
import random
import shlex
import tomllib

import numpy as np
import pytest
from typer.testing import CliRunner

from apps.workbench import copying
from apps.workbench.draft import Draft
from apps.workbench.examples import EXAMPLES, default_model
from apps.workbench.parts import Part, as_text, kept, opened, parts_of, positions, text_of, with_fact
from apps.workbench.pictures import FILL, kept_spans, text
from apps.workbench.rules import EVERYWHERE, FIGURES, KINDS, OFFERED, PHRASES, Rule, hard, wish_text
from constraints.language.notation import parse
from domains.design import DesignSpec, design, prepare
from domains.registry import bundled_models, get_wishes
from domains.text.constraints import one_of, words
from domains.text.template import read_template
from seqdiff.checkpoint import load_checkpoint


@pytest.mark.parametrize("text", ["CC(=O)N{4-9}c1ccc(F)cc1", "MKV{4}LAW{3}GHT/{60}", "{25}", "CCO", "", "C{9-4}C", "M{0}K"])
def test_a_template_is_the_same_text_again(text):
    assert text_of(parts_of(text)) == text


TEXTS = [
    "The {2-4} near the river is {3-6}.",
    "[name] The Mill [area] {1-2} [text] {8-14 words}",
    "A {ADJ* NOUN} by the {}.",
    r"\{4\} is \_ not {2}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_template_of_a_text_is_the_same_text_again(text):
    parts = parts_of(text, "text")
    assert text_of(parts) == text
    assert sum(part.designed for part in parts) == len(read_template(text).holes)


def test_words_of_a_text_are_opened_and_kept_again():
    text = "[food] Thai [text] The big pub near the river, it's good."
    parts = opened(parts_of(text, "text"), 3, 4, 1, 3, "text")  # "food" is a name, no word
    assert text_of(parts) == "[food] Thai [text] The {1-3} near the river, it's good."
    assert text_of(kept(parts, 1, 9, "text")) == text


def test_facts_are_told_before_a_text():
    told = with_fact("", "food", "Thai")
    assert told == "[food] Thai [text] {}"
    assert with_fact(told, "area", "riverside") == "[food] Thai [area] riverside [text] {}"
    assert with_fact(told, "food", "{1-2}") == "[food] {1-2} [text] {}"


def test_what_a_text_keeps_is_found_in_it():
    parts = parts_of(r"[food] Thai [text] The {2-4} near the river\_ is {}.", "text")
    said = "The old pub near the river_ is cheap."
    assert [said[a:b] for a, b in kept_spans(said, parts)] == ["The", "near the river_ is", "."]
    assert kept_spans("Something else.", parts) is None
    drawn = text(said, parts)
    assert drawn.count(FILL["kept"]) == 6  # The, near, the, river_, is and the full stop
    assert text("Something else.", parts) is None


def test_a_finished_text_is_a_template_of_itself():
    said = r"1_2 {a} [b] \ c"
    assert parts_of(as_text(said), "text") == (Part(as_text(said)),)
    assert read_template(as_text(said)).items == (("words", said),)


def test_holes_are_counted():
    assert parts_of("MK____LA_") == (Part("MK"), Part("", 4, 4), Part("LA"), Part("", 1, 1))


def test_what_is_opened_can_be_kept_again():
    draw = random.Random(0)
    for _ in range(200):
        text = "".join(draw.choices("ACDEFGHIKLMNPQRSTVWY", k=draw.randint(3, 30)))
        parts = parts_of(text)
        for _ in range(draw.randint(1, 3)):
            first = draw.randint(1, len(text))
            last = draw.randint(first, len(text))
            parts = opened(parts, first, last, 1, 9, "protein")
            assert "".join(part.text for part in parts) == text  # nothing is forgotten
            assert not any(pinned for _, pinned in positions(parts, "protein")[first - 1 : last])
        assert text_of(kept(parts, 1, len(text), "protein")) == text


def test_a_range_of_atoms_is_opened_where_it_is_written():
    parts = opened(parts_of("CC(=O)NCCc1ccc(F)cc1"), 5, 6, 2, 4, "smiles")
    assert text_of(parts) == "CC(=O)N{2-4}c1ccc(F)cc1"
    assert [part.text for part in parts] == ["CC(=O)N", "CC", "c1ccc(F)cc1"]


@pytest.mark.parametrize(
    ("rule", "domain", "text"),
    [
        (Rule("count", {"what": "F, Cl", "low": 1, "high": 2}), "smiles", "count([F Cl], 1..2)"),
        (Rule("avoid", {"what": "N-N"}, "gap1"), "smiles", "within(gap1, avoid(N-N))"),
        (Rule("liabilities"), "protein", "avoid(N-G) & avoid(D-G)"),
        (Rule("words", {"low": 3, "high": 5}, "gap1"), "text", f"within(gap1, {words(3, 5)})"),
        (Rule("somewhere", {"phrases": "river, by  the sea"}), "text", str(one_of(["river", "by the sea"]))),
    ],
)
def test_a_rule_as_text(rule, domain, text):
    assert rule.text == text
    assert parse(rule.text) == parse(text)


@pytest.mark.parametrize(("domain", "model"), [("protein", "protein-composition"), ("text", "text-small")])
def test_every_rule_on_offer_holds_in_designs_of_its_example(domain, model, models):
    """The example of each form is a constraint, and designs made under it are found to satisfy it."""
    checkpoint = load_checkpoint(models / model if domain == "text" else bundled_models()[model])
    for kind in OFFERED[domain]:
        what, fields = KINDS[kind].examples.get(domain, ""), KINDS[kind].fields
        entered = {"low": 0, "high": 2} | ({"phrases": what} if "phrases" in fields else {})
        rule = Rule(kind, {"what": what, "text": what, **entered}, EVERYWHERE)
        spec = DesignSpec(domain, "{12}", n=3, constraint=rule.text, bound_draws=0)
        made = design(spec, checkpoint=checkpoint)
        assert len(made.designs) == 3
        assert not any(item.certificate.violations for item in made.designs)
        assert rule.words


def test_wishes_as_text():
    assert wish_text("qed", "at least", 0.8) == "qed >= 0.8"
    assert wish_text("logp", "between", 2.0, 3.0) == "2 <= logp <= 3"
    assert hard("valid", "smiles")
    assert not hard("qed >= 0.8", "smiles")


@pytest.mark.parametrize("domain", FIGURES)
def test_every_wish_on_offer_is_one(domain):
    read = get_wishes(domain).read_wish
    for figure, (_, _, value, step) in FIGURES[domain].items():
        wish = read(wish_text(figure, "between", value, value + 2 * step))
        assert (wish.figure, wish.low, wish.high) == (figure, value, pytest.approx(value + 2 * step))
    assert all(hard(phrase, domain) for phrase in PHRASES[domain] if phrase not in ("has", "lacks"))


@pytest.mark.parametrize(
    "example",
    [pytest.param(e, marks=pytest.mark.slow if d != "protein" else ()) for d in EXAMPLES for e in EXAMPLES[d]],
    ids=lambda e: e.name,
)
def test_examples_can_be_designed_with_bundled_models(example):
    draft = example.draft
    spec = DesignSpec.from_dict({**draft.table(), "model": default_model(draft.domain, list(bundled_models()))})
    assert prepare(spec).ways


def test_a_draft_of_a_spec_asks_the_same():
    for examples in EXAMPLES.values():
        for example in examples:
            table = example.draft.table()
            again = Draft.of({**table, "temperature": 0.9}).table()
            assert again == {**table, "temperature": 0.9}


SPEC = {
    "domain": "protein",
    "template": "{6-9}FSLF{4}",
    "constraint": "(count([C], 0..1)) & (within(gap1, avoid(N-G)))",
    "n": 5,
    "seed": 7,
    "model": "protein-composition",
    "wishes": ["valid", "charge >= 1"],
    "particles": 4,
    "batch_size": 16,
}


def sequences() -> list[str]:
    return [item.sequence for item in design(DesignSpec.from_dict(SPEC)).designs]


def test_the_copied_command_gives_the_same_designs(tmp_path, monkeypatch):
    from apps.cli.main import app

    monkeypatch.chdir(tmp_path)
    words = shlex.split(copying.command(SPEC))
    assert words[0] == "seqdiff"
    done = CliRunner().invoke(app, words[1:])
    assert done.exit_code == 0, done.output
    with open(tmp_path / "designs.csv", newline="") as file:
        assert [row["sequence"] for row in csv.DictReader(file)] == sequences()


def test_the_copied_python_gives_the_same_designs():
    found: dict = {}
    exec(copying.python(SPEC), found)
    assert [item.sequence for item in found["answer"].designs] == sequences()


def test_a_saved_request_and_the_body_of_curl_are_the_spec():
    table = tomllib.loads(copying.toml({**SPEC, "template": 'C"\\n\u00e9{3}'}))
    assert table == {**{k: v for k, v in SPEC.items() if k != "batch_size"}, "template": 'C"\\n\u00e9{3}'}
    words = shlex.split(copying.curl(SPEC))
    assert DesignSpec.from_dict({**json.loads(words[-1]), "batch_size": 16}) == DesignSpec.from_dict(SPEC)


def test_syntax_and_lengths_of_a_task_are_copied():
    spec = {"domain": "smiles", "task": "linker", "template": "*C.*N", "syntax": True, "lengths": [4, 9], "n": 2}
    assert copying.command(spec) == "seqdiff design smiles --task linker --lengths 4-9 --n 2 --out designs.csv -- '*C.*N'"
    assert "--no-syntax" in copying.command({**spec, "syntax": False})


def test_counted_things_have_a_bin_each_and_room():
    from apps.workbench.views.plots import edges_of, histogram, ticks_of

    assert edges_of([np.array([1.0, 1.0])]).tolist() == [-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]
    assert edges_of([np.array([-1.0, 0.0]), np.array([7.0])]).tolist() == [n - 0.5 for n in range(-1, 9)]
    assert edges_of([np.array([7.0, 8.0])]).tolist() == [n - 0.5 for n in range(6, 12)]
    assert edges_of([np.array([0.5, 1.25])])[[0, -1]].tolist() == [0.5, 1.25]
    drawn = histogram([1.0, 1.0, 2.0], [1.0, 2.0]).to_dict()
    rows = next(iter(drawn["datasets"].values()))
    ours = {round((row["low"] + row["high"]) / 2): row["share"] for row in rows if row["set"] == "designs"}
    assert ours == {0: 0, 1: pytest.approx(2 / 3), 2: pytest.approx(1 / 3), 3: 0, 4: 0}
    assert drawn["layer"][0]["encoding"]["x"]["axis"] == {"tickMinStep": 1}
    assert (
        "tickMinStep" in ticks_of(np.array([1.0, 2.0])).to_dict() and "tickMinStep" not in ticks_of(np.array([1.5])).to_dict()
    )
    assert histogram([0.5, 1.25], None).to_dict()["layer"][0]["encoding"]["x"]["axis"] == {}
