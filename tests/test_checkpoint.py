"""Checkpoints: what is saved is loaded equal; what is damaged, truncated or exchanged is named."""

import json
import shutil

import pytest
import torch

from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import CheckpointError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Cosine
from seqdiff.systems.mdlm import MDLM
from seqdiff.systems.registry import SYSTEMS, build_system


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = Transformer(TransformerConfig(vocabulary=3, width=16, depth=2, heads=2, labels=2, time_input=True))
    torch.nn.init.normal_(network.head.weight)
    alphabet = Alphabet("toy", ("a", "b", "c"))
    checkpoint = Checkpoint(
        network, MDLM(Absorbing(3, Cosine())), alphabet, ("x", "y"), {"x": [0, 1, 3], "y": [0, 0, 1, 4]}, {"steps": 7}
    )
    checkpoint.save(tmp_path / "model", "# a card\n", dtype="float32")
    return checkpoint, tmp_path / "model"


def test_everything_comes_back(saved):
    checkpoint, folder = saved
    loaded = load_checkpoint(folder)
    x, t, label = torch.tensor([[0, 3, 2]]), torch.tensor([0.4]), torch.tensor([1])
    with torch.no_grad():
        assert torch.equal(loaded.denoiser(x, t, label), checkpoint.denoiser(x, t, label))
    assert loaded.process == checkpoint.process
    assert loaded.alphabet == checkpoint.alphabet
    assert loaded.label_names == ("x", "y")
    assert loaded.metrics == {"steps": 7}
    assert loaded.max_length == 3
    assert loaded.length_probability("x").tolist() == [0, 0.25, 0.75, 0]
    assert torch.allclose(loaded.length_probability(), torch.tensor([0, 1, 4, 4]).double() / 9)
    assert (loaded.label_index("y"), loaded.label_index(None)) == (1, None)
    with pytest.raises(CheckpointError, match=r"expected one of the model's classes \(x, y\), got 'z'"):
        loaded.label_index("z")


def test_half_precision_on_disk_is_float32_in_use(saved, tmp_path):
    checkpoint, _ = saved
    checkpoint.save(tmp_path / "half", "", dtype="float16")
    loaded = load_checkpoint(tmp_path / "half")
    assert loaded.denoiser.head.weight.dtype == torch.float32
    assert torch.allclose(loaded.denoiser.head.weight, checkpoint.denoiser.head.weight, rtol=1e-3)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "alphabet.json"])
def test_a_missing_file_is_named(saved, name):
    _, folder = saved
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: expected a file of a checkpoint folder"):
        load_checkpoint(folder)


@pytest.mark.parametrize("damage", [lambda b: b[:-10], lambda b: b[:40], lambda b: b"", lambda b: b[:-1] + b"\x00\x01"])
def test_damaged_weights_are_refused_before_use(saved, damage):
    _, folder = saved
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"model.safetensors: damaged or exchanged: expected sha256 .* restore the file"):
        load_checkpoint(folder)


def edit(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="other"), "expected format 'seqdiff-checkpoint-1', got 'other'"),
        (lambda c: c.pop("process"), "not a checkpoint's configuration .*process"),
        (lambda c: c["denoiser"].update(kind="lstm"), "denoiser: expected kind 'transformer', .*; got 'lstm'"),
        (lambda c: c["denoiser"].update(width="wide"), "denoiser.width: expected int, got 'wide'"),
        (lambda c: c["denoiser"].update(vocabulary=4), "expected 4 tokens as in config.json, got 3"),
        (lambda c: c["denoiser"].update(depth=3), "the weights do not fit config.json"),
        (lambda c: c["system"].update(kind="gan"), "system: expected kind to be one of mdlm, .*; got 'gan'"),
        (lambda c: c["process"].update(schedule={"kind": "wavy"}), "schedule: expected kind"),
    ],
)
def test_a_wrong_configuration_is_refused(saved, change, message):
    _, folder = saved
    edit(folder, change)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)


def test_text_that_is_no_json_and_a_folder_that_is_none(saved, tmp_path):
    _, folder = saved
    (folder / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="config.json: expected JSON"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere")


def test_weights_of_another_model_are_told_apart(saved, tmp_path):
    checkpoint, folder = saved
    with torch.no_grad():
        checkpoint.denoiser.head.bias += 1
    checkpoint.save(tmp_path / "other", "", dtype="float32")
    shutil.copy(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="damaged or exchanged"):
        load_checkpoint(folder)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_model_of_any_system_samples_the_same_after_loading(name, tmp_path):
    torch.manual_seed(0)
    model = {"vocabulary": 3, "labels": 1, "width": 16, "depth": 1, "heads": 2}
    network, system = build_system(name, model, {"kind": "cosine"})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    checkpoint = Checkpoint(network.eval(), system, Alphabet("toy", ("a", "b", "c")), ("x",), {"x": [0, 0, 0, 0, 1]})
    checkpoint.save(tmp_path, "", dtype="float32")
    loaded = load_checkpoint(tmp_path)
    assert loaded.system == system
    canvases = [torch.tensor([2, 3, 3, 3, 3])] * 20
    one, two = (next(iter(c.system.sample(c.network, canvases, 0, 8)))[1] for c in (checkpoint, loaded))
    assert torch.equal(one, two)
    assert len(one.unique(dim=0)) > 1
