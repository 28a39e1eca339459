"""What the tests of the workbench share: pages that are shown without a browser."""

import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from apps.workbench import session
from constraints.certificate import Certificate
from domains.answer import Design

APP = Path(session.__file__).parent / "app.py"
PATIENCE = 60.0  # seconds that a run of a tiny model may take on a busy machine


def opened(page: str = "start", run: str | None = None) -> AppTest:
    """A page, shown."""
    shown = AppTest.from_file(str(APP), default_timeout=PATIENCE)
    shown.query_params["page"] = page
    if run is not None:
        shown.query_params["run"] = run
    return good(shown.run())


def good(shown: AppTest) -> AppTest:
    """The page again, if nothing fell over."""
    assert not shown.exception, shown.exception[0].value
    return shown


def click(shown: AppTest, key: str) -> AppTest:
    return good(shown.button(key=key).click().run())


def settled(shown: AppTest, bench) -> AppTest:
    """The page once all that is checked has been."""
    for found in list(bench.runner._checks.values()):
        found.result(PATIENCE)
    return good(shown.run())


def ended(bench, run: str) -> dict:
    """The row of a run that has ended."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        row = bench.store.state(run)
        progress = bench.runner.progress(run)
        if row["state"] not in ("queued", "running") and (progress is None or progress.phase == "ended"):
            return row
        time.sleep(0.02)
    raise AssertionError(f"run still {bench.store.state(run)['state']}")


def hostile(text: str) -> Design:
    """A design all of whose words are this text."""
    told = Certificate("uncorrected", text, (text,), (text,))
    return Design(text, text, False, text, True, (), {"qed": None}, told, 0, text, {"name": text})
