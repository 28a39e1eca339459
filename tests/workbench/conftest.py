"""Tiny models, and the services of a workbench over them."""

from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_model import tiny_checkpoint

from apps.workbench import session
from apps.workbench.maker import Makers
from apps.workbench.runner import Runner
from domains.text.tokens import alphabet_of
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.mdlm import MDLM

SAID = (
    "The pub near the river is cheap. By the river you can eat sushi at The Mill. A Japanese restaurant in the riverside area "
    "serves good food! It is friendly; people go there, for the price is low."
)
FIELDS = ("area", "food", "name")


def drawing(alphabet: Alphabet, labels: tuple[str, ...] = ("one", "other"), longest: int = 60) -> Checkpoint:
    """A tiny model of random weights over an alphabet."""
    network = Transformer(TransformerConfig(len(alphabet), width=16, depth=1, heads=2, labels=len(labels)))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    system = MDLM(Absorbing(alphabet.mask, Linear()))
    lengths = {name: [0] * 5 + [1] * longest for name in labels}
    return Checkpoint(network.eval().requires_grad_(False), system, alphabet, labels, lengths)


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """A folder in which the model of every domain is a tiny one of random weights."""
    folder = tmp_path_factory.mktemp("models")
    tiny_checkpoint().save(folder / "smiles-small", "A tiny model.")
    drawing(Alphabet("protein", tuple("ACDEFGHIKLMNPQRSTVWYX/"))).save(folder / "protein-small", "A tiny model.")
    words = alphabet_of([SAID], "words", 1, (*(f"[{name}]" for name in FIELDS), "[text]"))
    drawing(words, ("restaurant", "scene")).save(folder / "text-small", "A tiny model.")
    return folder


@pytest.fixture(scope="session")
def makers():
    """The processes that make the runs of all tests: what they import takes seconds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OMP_NUM_THREADS", "1")  # as in this process (conftest.py)
        found = Makers(2)
        found.start()
    yield found
    found.close()


@pytest.fixture
def bench(models, makers, tmp_path, monkeypatch):
    """The services of a workbench with tiny models and a store of its own."""
    monkeypatch.setenv(session.DATABASE, f"sqlite:///{tmp_path / 'runs.db'}")
    monkeypatch.setenv(session.MODELS, str(models))
    monkeypatch.setattr(session, "Runner", partial(Runner, makers=makers))
    found = session.services()
    yield found
    found.runner.close()
