"""Tiny models, and the services of a workbench over them."""

from pathlib import Path

import pytest
from tiny_model import tiny_checkpoint

from apps.workbench import session


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
