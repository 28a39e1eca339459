"""`seqdiff workbench`: this machine alone, nothing reported, errors that say what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from apps.cli import workbench
from seqdiff.errors import ConfigError


@pytest.fixture
def called(monkeypatch):
    """What the process would have become."""
    calls: list = []
    monkeypatch.setattr(workbench.os, "execve", lambda *given: calls.append(given))
    return calls


def test_it_listens_here_alone_and_reports_nothing(called, tmp_path):
    workbench.run("127.0.0.1", 8501, "sqlite:///mine.db", tmp_path, False)
    ((program, words, environment),) = called
    assert program == sys.executable
    assert {"--browser.gatherUsageStats=false", "--server.address=127.0.0.1", "--server.headless=true"} <= set(words)
    assert environment["SEQDIFF_WORKBENCH_DATABASE"] == "sqlite:///mine.db"
    assert environment["SEQDIFF_WORKBENCH_MODELS"] == str(tmp_path)
    assert Path(words[words.index("run") + 1]).name == "app.py"


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", ""])
def test_other_machines_are_refused(called, host):
    with pytest.raises(ConfigError, match="expected a host of this machine"):
        workbench.run(host, 8501, None, None, False)
    assert not called


def test_a_folder_of_models_that_is_not_there_is_refused(called, tmp_path):
    with pytest.raises(ConfigError, match="expected a folder of checkpoint folders"):
        workbench.run("127.0.0.1", 8501, None, tmp_path / "none", False)


def test_without_streamlit_it_says_how_to_install_it(called, monkeypatch):
    monkeypatch.setattr(workbench.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "seqdiff\[workbench\]"'):
        workbench.run("127.0.0.1", 8501, None, None, False)


def test_the_first_page_waits_for_nothing_heavy():
    """Models and what they need are loaded in the background: the page itself imports neither torch nor chemistry nor plots."""
    words = "import sys, apps.workbench.session, apps.workbench.views.start; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "streamlit" in loaded
    assert not loaded & {"torch", "rdkit", "Bio", "matplotlib", "altair", "networkx", "httpx"}


def test_a_service_is_handed_on(called):
    workbench.run("127.0.0.1", 8501, None, None, False, "http://127.0.0.1:8000/")
    ((_, _, environment),) = called
    assert environment["SEQDIFF_WORKBENCH_SERVICE"] == "http://127.0.0.1:8000"
    with pytest.raises(ConfigError, match="service: expected an address such as http"):
        workbench.run("127.0.0.1", 8501, None, None, False, "127.0.0.1:8000")
