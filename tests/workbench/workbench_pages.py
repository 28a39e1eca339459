"""What the tests of the workbench share: a folder of tiny models, and pages that are shown without a browser."""

import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from tiny_model import tiny_checkpoint

from apps.workbench import session

APP = Path(session.__file__).parent / "app.py"
PATIENCE = 60.0  # seconds that a run of a tiny model may take on a busy machine


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder in which smiles-small is a tiny model of random weights."""
    folder = tmp_path_factory.mktemp("models")
    tiny_checkpoint().save(folder / "smiles-small", "A tiny model.")
    return folder


@pytest.fixture
def bench(models, tmp_path, monkeypatch):
    """The services of a workbench with tiny models and a store of its own."""
    monkeypatch.setenv(session.DATABASE, f"sqlite:///{tmp_path / 'runs.db'}")
    monkeypatch.setenv(session.MODELS, str(models))
    found = session.services()
    yield found
    found.runner.close()


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
