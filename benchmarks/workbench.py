"""The workbench under several browsers at once: how soon its first page stands, how soon a click is answered, memory, errors.

    python -m benchmarks.workbench --browsers 10 --seconds 60 --out docs/workbench.json

One workbench, and browsers (contexts of one Chromium, each with a session of its own) that open an example, run it, look,
cancel, and begin again. Then two pages are closed in the middle of their runs: one run stops, the one that is to go on in the
background does not. A click is timed in the browser, from the press to the picture with what it asked for; the browsers draw by
software, beside the server, and their work counts. Memory is that of the server and of all processes that it started.
Needs playwright and a Chromium (SEQDIFF_CHROMIUM, /usr/bin/chromium).
"""

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from apps.cli.workbench import command
from apps.workbench import session

CHROMIUM = os.environ.get("SEQDIFF_CHROMIUM", "/usr/bin/chromium")
FLAGS = [f"--{name}" for name in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync")]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
PATIENCE = 120_000  # ms that a page may take on a busy machine
CALM_ROUNDS = 5
BROWSED = (
    ("Next: rules and wishes", "What must hold"),
    ("Next: run", "Begin a run"),
    ("3 · Rules and wishes", "What must hold"),
    ("2 · Template", "What stays, what is new?"),
)
DOMAINS = ("Molecules", "Proteins", "Text")
# A press is timed in the browser, from the event to the next picture with what it asked for.
TIMER = """
addEventListener("click", (event) => { if (window.timed) window.timed.begun ??= event.timeStamp; }, true);
new MutationObserver(() => {
  const timed = window.timed;
  if (!timed?.begun || timed.found || !document.body.textContent.includes(timed.seen)) return;
  timed.found = true;
  requestAnimationFrame(() => { timed.ms = performance.now() - timed.begun; });
}).observe(document, { subtree: true, childList: true, characterData: true });
"""
STILL = '[data-testid="stApp"][data-test-script-state="notRunning"]'


@contextmanager
def served(folder: Path, models: Path | None = None, **more: str) -> Iterator[tuple[str, str, subprocess.Popen]]:
    """A workbench in a process of its own: its address, the URL of its store, the process; its log is `folder`/log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"sqlite:///{folder / 'runs.db'}"
    environment = {**os.environ, session.DATABASE: url, "OMP_NUM_THREADS": "1", **more}
    environment |= {session.MODELS: str(models)} if models else {}
    with open(folder / "log", "wb") as log:
        words: Any = {"env": environment, "cwd": folder, "stdout": log, "stderr": log, "start_new_session": True}
        process = subprocess.Popen(command("127.0.0.1", port, False), **words)
        try:
            address, until = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE / 1000
            while not _answers(address):
                if time.monotonic() > until or process.poll() is not None:
                    raise RuntimeError(f"the workbench did not start:\n{(folder / 'log').read_text()}")
                time.sleep(0.1)
            yield address, url, process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
    except OSError:
        return False
    return True


def errors(log: str) -> list[str]:
    """Lines of the project's own code in tracebacks of a log; that the server's lost a browser is no error."""
    root = re.escape(str(Path(session.__file__).parents[2]))
    return re.findall(rf'File "{root}/(?:apps|domains|constraints|seqdiff)/[^\n]*', log)


def calm(tab: Any) -> None:
    """Wait until the page has nothing more to do."""
    tab.wait_for_timeout(100)
    tab.locator(STILL).wait_for(state="attached")


def megabytes(process: subprocess.Popen) -> float:
    """Resident memory of the process and of all that it started."""
    parents, sizes = {}, {}
    for path in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            told = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
            parents[int(told["Pid"])], sizes[int(told["Pid"])] = (
                int(told["PPid"]),
                int(told.get("VmRSS", "0").split()[0]) / 1024,
            )
    family = {process.pid}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(sizes.get(pid, 0.0) for pid in family)


class Visitor:
    """A browser with its session, which goes the same way again and again, a stage at a time."""

    def __init__(self, browser: Any, address: str, number: int):
        self.domain, self.address = DOMAINS[number % len(DOMAINS)], address
        self.context = browser.new_context(viewport={"width": 1280, "height": 1000})
        self.context.set_default_timeout(PATIENCE)
        self.context.add_init_script(TIMER)
        self.tab = self.context.new_page()
        self.clicks: list[float] = []
        self.rounds, self.stage = 0, 0

    def step(self) -> None:
        stages = (self._open, self._rules, self._run, self._look, self._cancel)
        stages[self.stage]()
        self.stage = (self.stage + 1) % len(stages)
        self.rounds += self.stage == 0

    def press(self, name: str, seen: str) -> None:
        """A click that samples nothing, timed until what it asks for is seen."""
        button = self.tab.get_by_role("button", name=name, exact=True).first
        button.wait_for()
        self.tab.evaluate("seen => { window.timed = { seen } }", seen)
        button.click()
        self.tab.get_by_text(seen).first.wait_for()
        self.tab.wait_for_function("window.timed.ms")
        self.clicks.append(self.tab.evaluate("window.timed.ms"))

    def browse(self) -> None:
        """From page to page, and nothing is run."""
        self._open()
        for name, seen in BROWSED:
            calm(self.tab)
            self.press(name, seen)

    def _open(self) -> None:
        self.tab.goto(self.address)
        self.tab.get_by_text("Open an example", exact=True).wait_for()
        if self.domain != "Molecules":
            self.tab.get_by_text(self.domain, exact=True).first.click()
            calm(self.tab)
        self.press("Open", "What stays, what is new?")

    def _rules(self) -> None:
        self.press("Next: rules and wishes", "What must hold")

    def _run(self, keep: bool = False) -> None:
        self.press("Next: run", "Begin a run")
        field = self.tab.get_by_label("How many designs")
        field.fill("500")
        field.press("Enter")
        self.tab.get_by_text("This can be designed.").wait_for()
        if keep:
            self.tab.get_by_text("Go on in the background").click()
        calm(self.tab)
        self.tab.get_by_role("button", name="Start", exact=True).click()
        self.tab.get_by_role("button", name="Cancel").wait_for()

    def _look(self) -> None:
        self.tab.wait_for_timeout(300)

    def _cancel(self) -> None:
        self.tab.get_by_role("button", name="Cancel").click()
        self.tab.get_by_text("The run was cancelled").wait_for()

    @property
    def run(self) -> str:
        found = re.search(r"run=([0-9a-f]{32})", self.tab.url)
        return found[1] if found else ""


def load(browsers: int, seconds: float, models: Path | None = None) -> dict:
    """Browsers at work together for so many seconds, then closed in mid-run."""
    from playwright.sync_api import sync_playwright

    from apps.workbench.store import Store

    with TemporaryDirectory() as name, sync_playwright() as started:
        folder = Path(name)
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        with served(folder, models) as (address, url, process):
            begun = time.perf_counter()
            visitors = [Visitor(browser, address, 0)]
            visitors[0].tab.goto(address)
            visitors[0].tab.get_by_text("Open an example", exact=True).wait_for()
            first = time.perf_counter() - begun
            alone = Visitor(browser, address, 0)
            alone.browse()
            cold, alone.clicks = alone.clicks, []
            _loaded(process)
            for _ in range(CALM_ROUNDS):
                alone.browse()
            before = megabytes(process)
            visitors += [Visitor(browser, address, k) for k in range(1, browsers)]
            until, memory = time.monotonic() + seconds, []
            while time.monotonic() < until or any(visitor.stage for visitor in visitors):
                for visitor in visitors:
                    if time.monotonic() < until or visitor.stage:
                        visitor.step()
                memory.append(megabytes(process))
            closed = _close_in_mid_run(visitors[:2], Store(url))
        log = (folder / "log").read_text()
    clicks = [click for visitor in visitors for click in visitor.clicks]
    return {
        "browsers": browsers,
        "seconds": seconds,
        "rounds": sum(visitor.rounds for visitor in visitors),
        "errors": len(errors(log)),
        "first_page_seconds": round(first, 2),
        "click_ms_while_loading": _spread(cold),
        "click_ms_alone": _spread(alone.clicks),
        "click_ms_together": _spread(clicks),
        "memory_mb": {"before": round(before), "after": round(memory[-1]), "most": round(max(memory))},
        "memory_mb_by_round": [round(m) for m in memory],
        **closed,
    }


def _loaded(process: subprocess.Popen) -> None:
    """Wait until no more is loaded in the background: memory stands still."""
    before, until = 0.0, time.monotonic() + PATIENCE / 1000
    while (now := megabytes(process)) - before > 1 and time.monotonic() < until:
        before = now
        time.sleep(5)


def _spread(milliseconds: list[float]) -> dict[str, int]:
    found = sorted(milliseconds)
    return {"median": round(statistics.median(found)), "p90": round(found[int(0.9 * (len(found) - 1))]), "n": len(found)}


def _close_in_mid_run(visitors: list[Visitor], store: Any) -> dict:
    """Two pages are closed in mid-run, one of a run that is to go on: what became of the runs."""
    runs = []
    for k, visitor in enumerate(visitors):
        visitor._open()
        visitor._rules()
        visitor._run(keep=k > 0)
        runs.append(visitor.run)
    for visitor in visitors:
        visitor.context.close()
    until = time.monotonic() + PATIENCE / 1000
    while store.state(runs[0])["state"] in ("queued", "running") and time.monotonic() < until:
        time.sleep(0.2)
    return {"closed": store.state(runs[0])["state"], "kept_in_the_background": store.state(runs[1])["state"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browsers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--models", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    table = load(given.browsers, given.seconds, given.models)
    text = json.dumps(table, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
