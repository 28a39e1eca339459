"""The workbench in a real browser: from an example to a file, cancelled, loaded again in mid-run; hostile names; no request
to anywhere else.

Chromium is taken from /usr/bin/chromium or SEQDIFF_CHROMIUM; without it, or without playwright, these are skipped by name.
"""

import csv
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from apps.cli.workbench import command
from apps.workbench import session
from apps.workbench.store import Store
from domains.answer import Design

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("SEQDIFF_CHROMIUM", "/usr/bin/chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}"),
]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
PATIENCE = 90_000  # ms that a page may take on a busy machine
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


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    """A workbench with tiny models: its address and the URL of its store."""
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"sqlite:///{folder / 'runs.db'}"
    words = command("127.0.0.1", port, False)
    environment = {**os.environ, session.DATABASE: url, session.MODELS: str(models), "OMP_NUM_THREADS": "1"}
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(words, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.2)
            yield address, url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    text = (folder / "log").read_text()
    assert "Traceback" not in text, text


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
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


def press(tab, name: str, place: int = 0) -> None:
    tab.get_by_role("button", name=name, exact=True).nth(place).click()


def sees(tab, text: str) -> None:
    tab.get_by_text(text).first.wait_for()


def begin(tab, example: int, n: int) -> None:
    """Open an example and come to the run page, `n` designs asked for."""
    press(tab, "Open", example)
    sees(tab, "What stays, what is new?")
    press(tab, "Skip to the run")
    field = tab.get_by_label("How many designs")
    field.fill(str(n))
    field.press("Enter")
    sees(tab, "This can be designed.")


@pytest.mark.parametrize("domain", ["Molecules", "Proteins"])
def test_an_example_from_start_to_file(tab, domain, tmp_path):
    if domain == "Proteins":
        tab.get_by_text("Proteins", exact=True).click()
        sees(tab, "Scaffold a motif")
    press(tab, "Open")
    sees(tab, "What stays, what is new?")
    field = tab.get_by_label("Template", exact=True)
    text = "CC{2-4}CC" if domain == "Molecules" else "{8-12}FSLFDKD{8-12}"
    field.fill(text)
    field.press("Control+Enter")
    tab.wait_for_timeout(2000)  # a click in the middle of a rerun may be lost
    press(tab, "Next: rules and wishes")

    sees(tab, "Add a rule")
    what = tab.get_by_label("Which")
    what.fill("C" if domain == "Molecules" else "D")
    what.press("Enter")
    press(tab, "Add this rule")  # at most one, and the template has more
    sees(tab, "contradict each other")
    tab.get_by_role("button", name="Remove").last.click()
    sees(tab, "This can be designed.")

    press(tab, "Next: run")
    field = tab.get_by_label("How many designs")
    field.fill("2000")
    field.press("Enter")
    press(tab, "Start")
    sees(tab, "as it comes into being")
    sees(tab, "a second")
    press(tab, "Cancel")
    sees(tab, "The run was cancelled")

    field = tab.get_by_label("How many designs")
    field.fill("6")
    field.press("Enter")
    press(tab, "Start")
    sees(tab, "Look at design")
    sees(tab, "6 of 6 designs")
    tab.get_by_text("Valid only").click()
    tab.get_by_text("Star", exact=True).click()
    note = tab.get_by_label("Note")
    note.fill("keep this one")
    note.press("Enter")
    tab.get_by_role("tab", name="Run it elsewhere").click()
    copied = tab.locator("code").filter(has_text="seqdiff design").first.inner_text()
    tab.get_by_role("tab", name="Files").click()
    sees(tab, "starred alone")
    with tab.expect_download() as given:
        press_icon(tab, "Table")
    path = tmp_path / "designs.csv"
    given.value.save_as(path)
    with open(path, newline="") as file:
        column = "smiles" if domain == "Molecules" else "sequence"
        here = [row[column] for row in csv.DictReader(file)]
    assert len(here) == 6
    if domain == "Proteins":
        there = tmp_path / "there"
        there.mkdir()
        words = shlex.split(copied.replace("\n", " "))
        subprocess.run([sys.executable, "-m", "apps.cli.main", *words[1:]], cwd=there, check=True, env=with_project())
        with open(there / "designs.csv", newline="") as file:
            assert [row["sequence"] for row in csv.DictReader(file)] == here
    run = re.search(r"run=([0-9a-f]{32})", tab.url)[1]
    tab.reload()
    sees(tab, "6 of 6 designs")
    assert run in tab.url
    assert tab.get_by_label("Note").input_value() == "keep this one"


def press_icon(tab, name: str) -> None:
    """A button whose name begins with that of an icon."""
    tab.get_by_role("button", name=re.compile(rf"{name}$")).first.click()


def with_project() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(session.__file__).parents[2]), "OMP_NUM_THREADS": "1"}


def test_a_page_loaded_again_in_mid_run_finds_the_run(tab, server):
    begin(tab, 0, 2000)
    press(tab, "Start")
    sees(tab, "as it comes into being")
    run = re.search(r"run=([0-9a-f]{32})", tab.url)[1]
    tab.reload()
    sees(tab, "as it comes into being")
    store = Store(server[1])
    before = len(store.results(run))
    until = time.monotonic() + PATIENCE / 1000
    while len(store.results(run)) <= before and time.monotonic() < until:
        time.sleep(0.2)
    assert len(store.results(run)) > before  # it went on
    press(tab, "Cancel")
    sees(tab, "The run was cancelled")
    assert store.state(run)["state"] == "cancelled"


def test_a_closed_page_stops_its_run(server, browser):
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    context.set_default_timeout(PATIENCE)
    shown = context.new_page()
    shown.goto(server[0])
    shown.get_by_text("Open an example", exact=True).wait_for()
    begin(shown, 0, 2000)
    press(shown, "Start")
    sees(shown, "as it comes into being")
    run = re.search(r"run=([0-9a-f]{32})", shown.url)[1]
    context.close()
    store, until = Store(server[1]), time.monotonic() + PATIENCE / 1000
    while store.state(run)["state"] == "running" and time.monotonic() < until:
        time.sleep(0.2)
    assert store.state(run)["state"] == "interrupted"
    assert len(store.results(run)) < 2000


def hostile(text: str) -> Design:
    from constraints.certificate import Certificate

    told = Certificate("uncorrected", text, (text,), (text,))
    return Design(text, text, False, text, True, (), {"qed": None}, told, 0, text)


def test_nothing_that_is_typed_becomes_a_part_of_the_page(tab, server):
    """30 payloads as names, sequences, notes, reasons and errors; the requests of the page are looked at, too."""
    assert len(set(XSS)) == 30
    store, hits = Store(server[1]), []
    tab.on("dialog", lambda dialog: (hits.append(dialog.message), dialog.dismiss()))
    for k, text in enumerate(XSS):
        run = store.submit({"domain": "smiles", "template": text, "n": 1, "model": "smiles-small", "constraint": text}, text)
        store.start(run)
        store.add(run, [hostile(text)], {1: text})
        store.mark(run, 0, True, text)
        store.end(run, "failed", text)
        tab.goto(f"{server[0]}/?page=results&run={run}")
        sees(tab, "1 of 1 designs")
        tab.get_by_text("Valid only").click()
        sees(tab, "It is not valid")
        assert tab.evaluate("window.hit") is None
        assert not tab.evaluate(
            "[...document.querySelectorAll('*')].some(e => /hit=1|evil/.test(e.outerHTML.match(/^<[^>]*>/)[0]) "
            "&& !['INPUT', 'TEXTAREA', 'BUTTON'].includes(e.tagName))"
        )
        if k % 8 != 7 and k != len(XSS) - 1:
            continue  # the start page lists the last eight
        tab.goto(f"{server[0]}/?page=run&run={run}")
        sees(tab, "The last run failed")
        tab.goto(server[0])
        sees(tab, "Your recent runs")
        tab.get_by_text("failed").first.wait_for()
        assert tab.evaluate("window.hit") is None
    assert not hits
