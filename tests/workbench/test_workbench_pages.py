"""Every page in every state, shown by Streamlit's own test runner over tiny models."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from workbench_pages import click, ended, good, opened, settled

from apps.workbench import session
from apps.workbench.session import plain
from apps.workbench.views import results
from domains.design import DesignSpec, design

MOLECULES = {
    "domain": "smiles",
    "template": "CC{2-4}C",
    "syntax": True,
    "n": 6,
    "model": "smiles-small",
    "batch_size": 3,
    "bound_draws": 0,
}


def values(elements) -> list[str]:
    return [element.value for element in elements]


def test_start_offers_examples_of_every_domain(bench):
    shown = opened()
    assert values(shown.header) == ["Design sequences with holes"]
    assert "CC(=O)N{4-9}c1ccc(F)cc1" in values(shown.code)
    good(shown.segmented_control(key="domain").set_value("Proteins").run())
    assert any("FSLFDKDGDGTITTKELGTV" in text for text in values(shown.code))
    good(shown.segmented_control(key="domain").set_value("Text").run())
    assert "The {2-4} near the river is {3-6}." in values(shown.code)
    assert shown.button(key="to-results").disabled
    assert any("None yet" in text for text in values(shown.caption))


@pytest.mark.parametrize("page", ["template", "wanted", "run", "results"])
def test_a_page_with_nothing_on_it_says_what_to_do(bench, page):
    shown = opened(page)
    assert len(shown.info) == 1
    assert shown.button[-1].label == "Go to Start"
    assert opened(page, "0" * 32).info  # a run that is not there


def test_an_address_that_is_none_of_a_page_shows_the_start(bench):
    assert values(opened("../secret", "'; drop table runs").header) == ["Design sequences with holes"]


def test_the_way_from_an_example_to_results(bench):
    shown = click(opened(), "open-0")
    assert values(shown.header) == ["What stays, what is new?"]
    good(shown.text_area[0].set_value("CC{2-4}C").run())
    shown = click(shown, "next")
    good(shown.text_input(key="rule-what-count").set_value("O").run())
    shown = settled(click(shown, "add-rule"), bench)
    assert "at most 1 of O" in values(shown.text)
    assert values(shown.success) == ["This can be designed."]
    shown = click(shown, "next")
    good(shown.number_input(key="n").set_value(4).run())
    shown = click(shown, "start-run")
    run = shown.query_params["run"]
    run = run[0] if isinstance(run, list) else run
    assert ended(bench, run)["state"] == "done"
    assert len(bench.store.results(run)) == 4
    asked = bench.store.state(run)["spec"]
    assert (asked["template"], asked["constraint"], asked["n"]) == ("CC{2-4}C", "count([O], 0..1)", 4)
    shown = click(good(shown.run()), "see")
    assert any(text.startswith("4 of 4 designs") for text in values(shown.markdown))
    assert any("seqdiff design smiles" in text for text in values(shown.code))


def test_a_conflict_is_explained_and_goes_with_the_rule(bench):
    shown = click(opened(), "open-0")
    shown = click(shown, "next")
    good(shown.selectbox(key="rule-kind").set_value("ban").run())
    good(shown.text_input(key="rule-what-ban").set_value("N").run())
    shown = settled(click(shown, "add-rule"), bench)
    assert "contradict" in shown.error[0].value
    assert any("“none of N”" in text and "pinned" in text for text in values(shown.code))
    shown = settled(click(shown, "next"), bench)
    assert shown.button(key="start-run").disabled
    shown = settled(click(click(shown, "to-wanted"), "drop-rule-0"), bench)
    assert not shown.error
    assert shown.success


def test_a_wish_is_labelled_by_what_it_promises(bench):
    shown = click(opened(), "open-0")
    shown = click(click(shown, "next"), "add-wish")
    good(shown.selectbox(key="wish-name").set_value("qed").run())
    shown = click(shown, "add-wish")
    said = values(shown.text)
    assert "A molecule that can exist (valid)" in said
    assert "Drug-likeness (QED) at least 0.7" in said
    badges = " ".join(values(shown.markdown))
    assert "or not returned" in badges
    assert "as far as possible" in badges


def test_ranges_are_opened_and_kept_again(bench):
    shown = good(opened().segmented_control(key="domain").set_value("Proteins").run())
    shown = click(shown, "new")
    good(shown.text_area[0].set_value(">a name\nMKVLAAGIVG\n>another\nAAAA").run())
    assert shown.text_area[0].value == "MKVLAAGIVG/AAAA"
    for key, value in (("From residue", 3), ("to residue", 5), ("New length, at least", 2), ("at most", 8)):
        field = next(field for field in shown.number_input if field.label == key)
        good(field.set_value(value).run())
    shown = click(shown, "open")
    assert shown.text_area[0].value == "MK{2-8}AGIVG/AAAA"
    for key, value in (("From residue", 1), ("to residue", 6)):
        good(next(field for field in shown.number_input if field.label == key).set_value(value).run())
    assert click(shown, "keep").text_area[0].value == "MKVLAAGIVG/AAAA"


def test_a_text_is_told_facts_designed_and_read_again(bench):
    shown = good(opened().segmented_control(key="domain").set_value("Text").run())
    shown = click(shown, "new")
    field = next(field for field in shown.text_input if field.label == "is")
    good(field.set_value("Thai").run())
    shown = click(shown, "tell")
    assert shown.text_area[0].value == "[area] Thai [text] {}"
    good(shown.text_area[0].set_value("The {2-3} near the <b> _.").run())
    assert [part.form or part.span for part in shown.session_state.draft.parts if part.designed] == ["2–3", "1"]
    good(shown.text_area[0].set_value("[area] {1-2} [text] The {2-3} near the river.").run())
    style = next(field for field in shown.selectbox if field.label == "In the style of")
    shown = settled(click(good(style.set_value("scene").run()), "skip"), bench)
    good(shown.number_input(key="n").set_value(3).run())
    shown = click(settled(shown, bench), "start-run")
    run = shown.query_params["run"]
    run = run[0] if isinstance(run, list) else run
    assert ended(bench, run)["state"] == "done"
    assert bench.store.state(run)["spec"]["label"] == "scene"
    found = bench.store.results(run)
    shown = opened("results", run)
    assert list(shown.dataframe[0].value["sequence"]) == [item.sequence for item in found]
    assert f"area: {found[0].fields['area']}" in values(shown.text)
    row = bench.store.state(run)
    assert results.written(row, found, ".txt").decode().splitlines() == [item.sequence for item in found]
    assert click(shown, "reuse").text_area[0].value == found[0].sequence


def test_a_part_of_a_chain_is_taken_from_a_file(bench):
    from test_workbench_live import PDB

    shown = click(good(opened().segmented_control(key="domain").set_value("Proteins").run()), "new")
    good(shown.file_uploader(key="structure").set_value(("small.pdb", PDB.encode(), "chemical/x-pdb")).run())
    assert shown.selectbox(key="chain").options == ["H · 4 residues", "L · 1 residue"]
    good(shown.text_input(key="motif-H").set_value("100-100A").run())
    good(shown.slider(key="margin").set_value((2, 5)).run())
    assert any("α carbons" in text for text in values(shown.caption))
    assert click(shown, "use-file").text_area[0].value == "{2-5}GG{2-5}"
    good(shown.file_uploader(key="structure").set_value(("bad.pdb", b"no atoms", "chemical/x-pdb")).run())
    assert shown.error


def test_points_are_added_to_a_fragment(bench):
    shown = click(opened(), "new")
    good(shown.selectbox[0].set_value("Grow at every point").run())
    good(shown.text_area[0].set_value("c1ccccc1O").run())
    shown = click(shown, "add-point")
    assert shown.text_area[0].value == "c1([*:1])ccccc1O"


def test_results_are_filtered_starred_noted_and_used_again(bench):
    run = bench.runner.submit(MOLECULES, "A run")
    ended(bench, run)
    found = bench.store.results(run)
    shown = opened("results", run)
    assert values(shown.header) == ["A run"]
    good(shown.toggle(key="valid-only").set_value(False).run())
    assert len(shown.dataframe[0].value) == len(found)
    last = found[-1].index
    good(shown.selectbox(key="look").set_value(last).run())
    good(shown.toggle(key=f"star-{run}-{last}").set_value(True).run())
    good(shown.text_input(key=f"note-{run}-{last}").set_value("the one").run())
    assert bench.store.marks(run) == {last: (True, "the one")}
    good(shown.toggle(key="starred-only").set_value(True).run())
    assert list(shown.dataframe[0].value["#"]) == [last + 1]
    assert list(shown.dataframe[0].value["note"]) == ["the one"]
    shown = click(shown, "reuse")
    assert shown.text_area[0].value == found[-1].sequence


def test_runs_are_drawn_with_what_came_of_them_and_compared(bench):
    assert "no runs yet" in opened("runs").info[0].value
    first = bench.runner.submit(MOLECULES, "A run")
    ended(bench, first)
    second = bench.runner.submit({**MOLECULES, "n": 8, "seed": 0}, "A run", first)
    ended(bench, second)
    text = bench.store.submit({"domain": "text", "template": "A {2}.", "n": 1, "model": "text-small"}, "Another")
    shown = opened("runs")
    chart = json.loads(shown.get("vega_lite_chart")[0].proto.spec)
    assert {"text", "rule", "circle"} == {layer["mark"]["type"] for layer in chart["layer"]}
    assert "Choose two runs" in shown.info[0].value
    good(shown.multiselect(key="compared").set_value([first, text]).run())
    assert "one domain" in shown.info[0].value
    good(shown.multiselect(key="compared").set_value([first, second]).run())
    asked, counts, both = (table.value for table in shown.dataframe)
    assert list(asked.iloc[0]) == ["How many", "6", "8"]
    assert list(counts.iloc[0])[1:] == [6, 8]
    one, other = ({d.canonical for d in bench.store.results(run) if d.valid} for run in (first, second))
    assert set(both["sequence"]) == one & other  # the same seed: the first six are the same
    assert one <= other
    assert one


def test_files_hold_what_the_engine_made(bench):
    run = bench.runner.submit(MOLECULES, "A run")
    row = ended(bench, run)
    found, made = (
        bench.store.results(run),
        design(DesignSpec.from_dict(MOLECULES), checkpoint=bench.runner.checkpoint("smiles-small")),
    )
    assert found == made.designs
    table = list(csv.DictReader(io.StringIO(results.written(row, found, ".csv").decode())))
    assert [line["smiles"] for line in table] == [item.sequence for item in made.designs]
    valid = [item for item in found if item.valid]
    assert valid, "the tiny model drew no molecule: take another seed"
    assert results.written(row, found, ".sdf").count(b"$$$$") == len(valid)
    assert results.written(row, found, ".html").startswith(b"<!doctype html>")
    assert results.written(row, found, ".png").startswith(b"\x89PNG")
    told = json.loads(results.document(row, found))
    assert told["summary"] == made.summary
    assert [item["sequence"] for item in told["designs"]] == [item.sequence for item in made.designs]


def test_an_early_end_and_a_failure_say_what_to_do(bench):
    run = bench.store.submit(MOLECULES, "stopped")
    bench.store.interrupt()
    shown = opened("run", run)
    assert "stopped early" in shown.warning[0].value
    shown = click(shown, "again")
    assert shown.text_area[0].value == "CC{2-4}C"
    assert "No design came of this run" in opened("results", run).info[0].value
    failed = bench.runner.submit({**MOLECULES, "template": "C{4"}, "failed")
    ended(bench, failed)
    shown = opened("run", failed)
    assert shown.error
    assert any("expected a gap such as" in text for text in values(shown.code))


def test_a_run_that_waits_or_runs_is_shown_after_a_reload(bench, monkeypatch):
    from test_workbench_runner import held

    go, there = held(bench, monkeypatch)
    run = bench.runner.submit(MOLECULES, "Reloaded")
    assert there.wait(60)
    shown = opened("run", run)
    assert values(shown.header) == ["Reloaded"]
    assert any("as it comes into being" in text for text in values(shown.subheader))
    shown = click(shown, "cancel")
    go.set()
    assert ended(bench, run)["state"] == "cancelled"
    assert any(row.label.startswith("Reloaded") for row in opened().button)


def test_what_a_person_types_is_never_markup():
    assert plain("![a](b) <b>:red[x]</b> $y$") == r"\!\[a\]\(b\) \<b\>\:red\[x\]\<\/b\> \$y\$"
    assert all("\u2060" in plain(address) for address in ("http://b.c", "www.b.c", "a@b.c"))
    folder = Path(session.__file__).parent
    live = (folder / "live.py").read_text()  # the one that has scripts of its own
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|fetch|https?:|import\(", live)
    source = "".join(path.read_text() for path in folder.rglob("*.py") if path.name != "live.py")
    assert not re.search(r"unsafe_allow_html|st\.html|components\.|iframe|LinkColumn", source)
