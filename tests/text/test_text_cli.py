"""`seqdiff design text` and `seqdiff evaluate text`: options become text of the spec, which can be run again."""

import json
import re
import sys

import pytest
from text_model import tiny_text

from apps.cli.main import main
from apps.cli.text import read_range
from domains.design import DesignSpec, design
from seqdiff.errors import ConfigError


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_text().save(folder, "# tiny\n")
    return str(folder)


@pytest.fixture
def cli(monkeypatch, capsys, tmp_path, model):
    """Run a command line on the tiny model; returns (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["seqdiff", *map(str, words), "--model", model])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return run


WANTED = ("--field", "food=Japanese", "--field", "area={1}", "--words", "4..9", "--keyword", "river", "--ban", "cheap")
WANTED += ("--verbatim", "food", "--one-of", "pub", "--one-of", "food", "--whole-sentences", "--class", "restaurant")
REST = ("--n", 4, "--steps", 6, "--json")


def test_options_become_the_text_of_a_spec_that_runs_again(cli, tmp_path):
    status, out, err = cli("design", "text", *WANTED, *REST)
    assert status == 0, err
    answer = json.loads(out)
    spec = answer["spec"]
    assert spec["template"] == "[food] Japanese [area] {1} [text] {}" and spec["label"] == "restaurant"
    assert answer["summary"]["satisfied"] == 4 and len(answer["designs"]) == 4
    for item in answer["designs"]:
        text, here = item["sequence"], re.compile(r"[^\W_]+").findall(item["sequence"])
        assert item["fields"]["food"] == "Japanese" and item["fields"]["area"] and "Japanese" in here, text
        assert {"river", "rivers", "River", "Rivers"} & set(here) and {"pub", "food"} & set(here), text
        assert not {"cheap", "Cheap"} & set(here) and re.search(r"[.!?]['\"”’)]?$", text), text
        assert 4 <= len(re.findall(r"(?:^|(?<= ))[^\W_]", text)) <= 9, text
    made = design(DesignSpec.from_dict(spec))
    assert answer["designs"] == json.loads(json.dumps([item.to_dict() for item in made.designs]))
    table = {key: value for key, value in spec.items() if value is not None}
    (tmp_path / "again.toml").write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()))
    assert json.loads(cli("design", "text", "--spec", "again.toml", "--json")[1])["designs"] == answer["designs"]


def test_options_join_the_template_and_the_constraint_that_are_given(cli, tmp_path):
    (tmp_path / "spec.toml").write_text(
        'template = "The {2-4} near {3}."\nn = 2\nsteps = 4\nconstraint = "ban([\\" cheap\\"])"\n'
    )
    more = ("--field", "food=French", "--words", "..12", "--json")
    spec = json.loads(cli("design", "text", "--spec", "spec.toml", *more)[1])["spec"]
    assert spec["template"] == "[food] French [text] The {2-4} near {3}."
    assert spec["constraint"].startswith('(ban([" cheap"])) & (regex(') and spec["n"] == 2


def test_a_text_is_read_and_written_to_files(cli, tmp_path):
    words = ("[food] {1-2} [area] {1} [text] The Mill is a cheap pub.", "--out", "a.txt", "--out", "a.csv", "--out", "a.jsonl")
    answer = json.loads(cli("design", "text", *words, *REST)[1])
    assert {item["sequence"] for item in answer["designs"]} == {"The Mill is a cheap pub."}
    assert all(set(item["fields"]) == {"food", "area"} for item in answer["designs"])
    assert (tmp_path / "a.txt").read_text() == "The Mill is a cheap pub.\n" * 4
    first = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])
    assert first["fields"] == answer["designs"][0]["fields"]
    status, out, err = cli("design", "text", "The {4} pub.", "--wish", "words <= 4", "--particles", 4, "--n", 2, "--steps", 4)
    assert status == 0 and "2 designs: 2 valid" in out, err


def test_a_model_is_evaluated_class_by_class(cli):
    status, out, err = cli("evaluate", "text", "--n", 5, "--steps", 4, "--json")
    assert status == 0, err
    answer = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    assert list(answer["results"]) == ["restaurant", "scene"]
    assert all(result["n"] == 5 and result["distinct-1"] > 0 for result in answer["results"].values())
    assert answer["specs"]["scene"]["domain"] == "text"


@pytest.mark.parametrize("command", ["design text", "evaluate text"])
def test_the_help_has_an_example(cli, command):
    status, out, _ = cli(*command.split(), "--help")
    text = " ".join(out.replace("│", " ").split())
    assert status == 0 and f"Example: seqdiff {command}" in text
    if command == "design text":
        assert '"[food] {1-3} [area] {1-2} [text] By the river' in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--field", "food"], "field: expected NAME=VALUE such as food=Japanese"),
        (["--field", "food=a", "--field", "food=b"], "each name once; got 'food=b'"),
        (["[food] a [text] {3}", "--field", "area=b"], "field: expected fields as options or in the template, got both"),
        (["--field", "food={1-2}", "--verbatim", "food"], "verbatim: expected a field whose value is known, got food={1-2}"),
        (["--field", "mood=good"], "the model knows the fields [area], [food], [name], [text]; got [mood]"),
        (["--words", "many"], "words: expected a number or a range such as 8..14, got 'many'"),
        (["--words", "9..3"], "words: expected 0 ≤ low ≤ high, got 9 and 3"),
        (["--keyword", "two words"], "keyword: expected one word of letters and digits"),
        (["--ban", " "], "expected a word or phrase, got"),
        (["{3}", "--words", "5"], "no sequence of 3 tokens"),
        (["a {2-"], "template, character 3: expected a hole such as {5}"),
        (["The pub."], "template: expected a hole such as {4-9} or {} to be filled"),
        (["{3}", "--out", "a.pdf"], "ends in .txt, .csv, .jsonl; got a.pdf"),
        (["{NOUN", "--n", "1"], "expected a hole such as"),
        (["{5}", "--wish", "span 2 is PP"], "span: 2-2 is PP: expected two words or more, got one"),
        (["{5}", "--wish", "tags are DET BIRD"], "parts of speech: expected some of NOUN, VERB"),
        (["{5}", "--words", ""], "words: expected a number or a range such as 8..14, got ''"),
        (["", "--n", "1"], "template: expected words and holes, got an empty text; leave it out to design freely"),
        (["{BIRD}", "--n", "1"], "parts of speech: expected some of NOUN, VERB"),
    ],
)
def test_bad_requests_are_refused(cli, words, text):
    status, out, err = cli("design", "text", *words, "--json")
    assert (status, out) == (2, "") and text in err and "Traceback" not in err, err


@pytest.mark.parametrize(
    ("said", "range_"), [("8..14", (8, 14)), ("8", (8, 8)), ("8..", (8, None)), (" ..14 ", (0, 14)), ("0..0", (0, 0))]
)
def test_ranges(said, range_):
    assert read_range(said) == range_
    with pytest.raises(ConfigError, match="expected a number or a range"):
        read_range(said + "x")
