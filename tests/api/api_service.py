"""A service over tiny models, in this process."""

import time
from contextlib import contextmanager
from pathlib import Path

import torch
from starlette.testclient import TestClient
from tiny_model import tiny_checkpoint

from apps.api.app import create_app
from apps.api.settings import Settings
from domains.text.tokens import alphabet_of
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.mdlm import MDLM

MOLECULE = {"domain": "smiles", "model": "tiny", "template": "C1CC1N{2-4}c2ccc(F)cc2", "n": 4, "steps": 16, "bound_draws": 2}
OFFERED = ("tiny", "text-small")
LONG = {**MOLECULE, "template": "CC{30}N", "n": 24, "steps": 60, "sampler": "ancestral", "batch_size": 4, "bound_draws": 0}


def tiny_text() -> Checkpoint:
    alphabet = alphabet_of(["the mill is a cheap pub near the river by zizzi"], "words", 1)
    network = Transformer(TransformerConfig(len(alphabet), width=16, depth=1, heads=2))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    system = MDLM(Absorbing(alphabet.mask, Linear()))
    return Checkpoint(network.eval().requires_grad_(False), system, alphabet, (), {"all": [0, 0, 1, 2, 2] + [0] * 60 + [1]})


def save_models(folder: Path) -> Path:
    tiny_checkpoint().save(folder / "tiny", "# tiny\n")
    tiny_text().save(folder / "text-small", "# tiny text\n")
    return folder


@contextmanager
def service(folder: Path, **settings):
    """A client of an application in this process."""
    if not (folder / "models").is_dir():
        save_models(folder / "models")
    url = settings.pop("database", f"sqlite:///{folder / 'jobs.db'}")
    app = create_app(Settings(database=url, models=folder / "models", **{"offered": OFFERED, **settings}))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


def until(what, seconds: float = 20.0, pause: float = 0.02):
    """What `what` gives once it gives something."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(pause)
    return found


def ended(client, id: str) -> dict:
    def look():
        row = client.get(f"/v1/jobs/{id}").json()
        return row if row["state"] in ("done", "failed", "cancelled") else None

    return until(look)
