"""The workbench in a real browser: from an example to a file in every domain, cancelled, loaded again in mid-run; hostile
names; no request to anywhere else.

Chromium is taken from /usr/bin/chromium or SEQDIFF_CHROMIUM; without it, or without playwright, these are skipped by name.
"""

import csv
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from workbench_pages import hostile

from apps.workbench import session
from apps.workbench.store import Store
from benchmarks.workbench import CHROMIUM, FLAGS, PATIENCE, calm, errors, served

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    """A workbench with tiny models: its address and the URL of its store."""
    folder = tmp_path_factory.mktemp("served")
    with served(folder, models) as (address, url, _):
        yield address, url
    text = (folder / "log").read_text()
    assert not errors(text), text


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def tab(server, browser):
    """A page on the start of the workbench. In the end: no address but the workbench's own was asked for."""
    context = browser.new_context(viewport={"width": 1280, "height": 1400}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    shown = context.new_page()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    shown.goto(server[0])
    shown.get_by_text("Open an example", exact=True).wait_for()
    yield shown
    context.close()
    own = server[0].partition("//")[2]
    foreign = {url for url in asked if re.match(r"(?!data:|blob:)", url) and url.split("/")[2] != own}
    assert not foreign


def press(tab, name: str, exact: bool = True) -> None:
    """A button; one with an icon before its name is not found by the exact name."""
    calm(tab)
    tab.get_by_role("button", name=name, exact=exact).first.click()
    calm(tab)


def sees(tab, text: str | re.Pattern) -> None:
    tab.get_by_text(text).first.wait_for()


def enter(tab, label: str, text: str, key: str = "Enter") -> None:
    field = tab.get_by_label(label, exact=True)
    field.fill(text)
    field.press(key)
    calm(tab)


def choose(tab, label: str, option: str) -> None:
    tab.get_by_label(label, exact=True).click()
    tab.get_by_role("option", name=option, exact=True).click()
    calm(tab)


@dataclass(frozen=True)
class Way:
    """What is entered in a domain: a template that is changed, a rule that contradicts it, and the column of the table."""

    model: str
    template: str
    rule: str
    field: str
    value: str
    column: str


WAYS = {
    "Molecules": Way("smiles-small", "CC{2-4}CC", "How often atoms occur", "Which", "C", "smiles"),
    "Proteins": Way("protein-small", "{8-12}FSLFDKD{8-12}", "How often residues occur", "Which", "D", "sequence"),
    "Text": Way("text-small", "The {2-4} near the river.", "Never say these", "Words or phrases", "river, sea", "text"),
}


@pytest.mark.parametrize("domain", WAYS)
def test_from_an_example_to_its_file(tab, server, domain, models, tmp_path):
    way = WAYS[domain]
    if domain != "Molecules":
        tab.get_by_text(domain, exact=True).first.click()
        calm(tab)
    press(tab, "Open")
    sees(tab, "What stays, what is new?")
    enter(tab, "Template", way.template, "Control+Enter")
    press(tab, "Next: rules and wishes")

    sees(tab, "Add a rule")
    while tab.get_by_role("button", name="Remove").count():  # the example's own
        press(tab, "Remove", False)
    choose(tab, "Add a rule", way.rule)
    enter(tab, way.field, way.value)
    press(tab, "Add this rule")  # C and D: at most one, and the template has more
    sees(tab, "contradict each other")
    press(tab, "Remove", False)
    sees(tab, "This can be designed.")

    press(tab, "Next: run")
    enter(tab, "How many designs", "2000")
    press(tab, "Start")
    sees(tab, "as it comes into being")
    sees(tab, re.compile("a (second|minute)"))
    long = run_of(tab)
    tab.reload()
    sees(tab, "as it comes into being")
    assert run_of(tab) == long
    tab.get_by_role("button", name="Cancel").click()
    sees(tab, "The run was cancelled")

    press(tab, "Change this request and run it again")  # the page was loaded again, and knows no more than the run
    press(tab, "Skip to the run")
    enter(tab, "How many designs", "6")
    press(tab, "Start")
    sees(tab, "Look at design")
    sees(tab, "6 of 6 designs")
    assert run_of(tab) != long
    look_at_all(tab)
    tab.get_by_text("Star", exact=True).click()
    until(lambda: Store(server[1]).marks(run_of(tab)), bool)
    enter(tab, "Note", "keep this one")
    until(lambda: Store(server[1]).marks(run_of(tab))[0][1], bool)
    tab.get_by_role("tab", name="Run it elsewhere").click()
    copied = tab.locator("code").filter(has_text="seqdiff design").first.inner_text()
    tab.get_by_role("tab", name="Files").click()
    here = table(tab, tmp_path / "all.csv", way.column)
    assert len(here) == 6
    tab.get_by_text("The 1 starred alone").click()
    sees(tab, "1 of 6 designs, with")
    assert table(tab, tmp_path / "one.csv", way.column) == here[:1]
    assert elsewhere(copied.replace(way.model, str(models / way.model)), tmp_path, way.column) == here

    tab.reload()
    sees(tab, "6 of 6 designs")
    look_at_all(tab)
    assert tab.get_by_label("Note").input_value() == "keep this one"
    tab.get_by_text("Starred only").click()
    calm(tab)
    assert tab.get_by_label("Note").input_value() == "keep this one"


def run_of(tab) -> str:
    return re.search(r"run=([0-9a-f]{32})", tab.url)[1]


def look_at_all(tab) -> None:
    """Designs that are not valid, too: random weights make some."""
    tab.get_by_text("Valid only").click()
    calm(tab)


def table(tab, path: Path, column: str) -> list[str]:
    """The sequences of the table that is downloaded."""
    with tab.expect_download() as given:
        tab.get_by_role("button", name=re.compile("Table$")).first.click()
    given.value.save_as(path)
    with open(path, newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def elsewhere(copied: str, folder: Path, column: str) -> list[str]:
    """The sequences that the copied command gives."""
    words = shlex.split(copied.replace("\n", " "))
    environment = {**os.environ, "PYTHONPATH": str(Path(session.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "apps.cli.main", *words[1:]], cwd=folder, check=True, env=environment)
    with open(folder / "designs.csv", newline="") as file:
        return [row[column] for row in csv.DictReader(file)]


def test_a_run_goes_on_while_its_page_is_loaded_again_and_ends_when_it_is_closed(server, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    context.set_default_timeout(PATIENCE)
    shown = context.new_page()
    shown.goto(server[0])
    shown.get_by_text("Open an example", exact=True).wait_for()
    press(shown, "Open")
    enter(shown, "Template", "CC{2-4}CC", "Control+Enter")
    press(shown, "Skip to the run")
    enter(shown, "How many designs", "2000")
    sees(shown, "This can be designed.")
    press(shown, "Start")
    sees(shown, "as it comes into being")
    run, store = run_of(shown), Store(server[1])
    shown.reload()
    sees(shown, "as it comes into being")
    before = len(store.results(run))
    assert before < until(lambda: len(store.results(run)), lambda found: found > before)
    context.close()
    assert until(lambda: store.state(run)["state"], lambda state: state != "running") == "interrupted"
    assert len(store.results(run)) < 2000


def until(look, good):
    """What is seen, once it is good or patience is over."""
    over = time.monotonic() + PATIENCE / 1000
    while not good(found := look()) and time.monotonic() < over:
        time.sleep(0.2)
    return found


# ── hostile names ──

XSS = (
    "<script>window.hit=1</script>",
    "<img src=x onerror='window.hit=1'>",
    "<svg onload='window.hit=1'>",
    "<svg/onload=window.hit=1>",
    "<body onload=window.hit=1>",
    "<iframe src='javascript:window.hit=1'></iframe>",
    "<iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<a href='javascript:window.hit=1' autofocus onfocus='window.hit=1'>x</a>",
    "<input autofocus onfocus='window.hit=1'>",
    "<details open ontoggle='window.hit=1'>",
    "<video><source onerror='window.hit=1'></video>",
    "<audio src=x onerror='window.hit=1'>",
    "<marquee onstart='window.hit=1'>",
    "<math><mtext><img src=x onerror='window.hit=1'></mtext></math>",
    "<object data='javascript:window.hit=1'></object>",
    "<embed src='javascript:window.hit=1'>",
    "<form action='javascript:window.hit=1'><button autofocus>x</button></form>",
    "<style>@import 'http://evil.example/x.css';</style>",
    "<link rel=stylesheet href='http://evil.example/x.css'>",
    "<base href='http://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=http://evil.example/'>",
    "![x](http://evil.example/x.png)",
    "[x](javascript:window.hit=1)",
    "<http://evil.example/>",
    "![x][y]\n\n[y]: http://evil.example/y.png",
    "$\\href{javascript:window.hit=1}{x}$",
    "$$\\includegraphics{http://evil.example/x.png}$$",
    ":red[<img src=x onerror=window.hit=1>]",
    '"><img src=x onerror=window.hit=1>',
    "';window.hit=1;//</script><script>window.hit=1</script>",
)
# What a payload would have to make to do anything: an element of its own, a handler, or an address. Text that is shown, in the
# page or as the value of a field, is none of these.
LIVE = """() => [...document.querySelectorAll('*')].filter(e =>
    [...e.attributes].some(a => /^on/i.test(a.name)
        || (/^(src|href|action|formaction|data|srcdoc|xlink:href|content)$/i.test(a.name) && /hit=1|evil|^x$/.test(a.value)))
    || (/^(SCRIPT|STYLE)$/i.test(e.tagName) && /hit=1|evil/.test(e.textContent))
    || /^(MARQUEE|MATH|EMBED|OBJECT|VIDEO|AUDIO|IFRAME)$/i.test(e.tagName)).map(e => e.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("made", ["<img src=x onerror='1'>", "<math></math>", "<a href='http://evil.example'>x</a>"])
def test_the_search_for_live_elements_finds_them(tab, made):
    assert not tab.evaluate(LIVE)
    tab.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", made)
    assert tab.evaluate(LIVE)


def test_nothing_that_is_typed_becomes_a_part_of_the_page(tab, server):
    """30 payloads as names, sequences, notes, reasons and errors; the requests of the page are looked at, too."""
    assert len(set(XSS)) == 30
    store, hits = Store(server[1]), []
    tab.on("dialog", lambda dialog: (hits.append(dialog.message), dialog.dismiss()))
    for k, payload in enumerate(XSS):
        domain = ("smiles", "protein", "text")[k % 3]
        asked = {"domain": domain, "template": payload, "n": 1, "model": f"{domain}-small", "constraint": payload}
        run = store.submit(asked, payload)
        store.start(run)
        store.add(run, [hostile(payload)], {1: payload})
        store.mark(run, 0, True, payload)
        store.end(run, "failed", payload)
        tab.goto(f"{server[0]}/?page=results&run={run}")
        sees(tab, "1 of 1 designs")
        look_at_all(tab)
        sees(tab, "It is not valid")
        assert tab.evaluate(LIVE) == []
        if k % 8 != 7 and k != len(XSS) - 1:
            continue  # the start page lists the last eight
        for page, seen in ((f"?page=run&run={run}", "failed"), ("", "failed"), ("?page=runs", "Runs to lay side by side")):
            tab.goto(f"{server[0]}/{page}")
            sees(tab, seen)
            calm(tab)
            assert tab.evaluate(LIVE) == []
    assert tab.evaluate("window.hit") is None
    assert not hits
