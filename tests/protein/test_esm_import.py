"""Published weights, converted: what comes out, and what is said of files that are none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import domains
from apps.cli.importing import run
from domains.protein.pretrained.contacts import contact_map
from domains.protein.pretrained.importing import fair_esm_trouble, import_esm
from domains.protein.pretrained.weights import TOKENS
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import CheckpointError, ConfigError, SeqdiffError
from tests.protein.esm_files import write_hugging_face, write_published

pytest.importorskip("esm")


def same_logits(network, fair) -> bool:
    x_t = torch.randint(0, 20, (2, 50), generator=torch.Generator().manual_seed(3))
    x_t[:, ::10] = 22
    tokens, _ = network.frame(x_t)
    with torch.no_grad():
        return torch.equal(network.logits(tokens), fair(tokens)["logits"])


def test_a_published_file_becomes_a_checkpoint_without_a_pickle(tmp_path):
    path, fair = write_published(tmp_path)
    made = import_esm(str(path), tmp_path / "model", check=True)
    assert (made.difference, made.contacts, made.unchecked) == (0.0, True, "")
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "README.md",
        "alphabet.json",
        "config.json",
        "model.safetensors",
    ]
    checkpoint = load_checkpoint(tmp_path / "model")
    assert same_logits(checkpoint.network, fair)
    assert checkpoint.max_length == 1022 and checkpoint.label_names == ()
    card = (tmp_path / "model" / "README.md").read_text()
    assert checkpoint.metrics["source_sha256"] in card and "ESM-2, " in card
    expected = f"{sum(p.numel() for p in fair.parameters()):,} parameters"
    assert expected in card and "2 blocks of width 32, 4 heads" in card


@pytest.mark.parametrize(("kind", "name"), [("esm1v", "esm1v_t33_650M_UR90S_1"), ("esm1b", "esm1b_t33_650M_UR50S")])
def test_esm_1v_and_1b(tmp_path, kind, name):
    path, fair = write_published(tmp_path, kind, name, regression=kind == "esm1b")
    made = import_esm(str(path), tmp_path / "model", check=True)
    assert (made.difference, made.contacts) == (0.0, kind == "esm1b")
    assert same_logits(load_checkpoint(tmp_path / "model").network, fair)


def test_halves_stay_halves(tmp_path):
    path, fair = write_published(tmp_path, half=True)
    made = import_esm(str(path), tmp_path / "model")
    assert made.difference == 0.0
    fair.load_state_dict({name: tensor.half() for name, tensor in fair.state_dict().items()})
    assert same_logits(load_checkpoint(tmp_path / "model").network, fair)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model" / "model.safetensors").values()} == {torch.float16}


@pytest.mark.parametrize("prefix", ["", "net."])
def test_a_hugging_face_folder_and_dplms_naming(tmp_path, prefix):
    fair = write_hugging_face(tmp_path / "hf", prefix)
    (tmp_path / "hf" / "vocab.txt").write_text("\n".join(TOKENS))
    made = import_esm(str(tmp_path / "hf"), tmp_path / "model")
    assert same_logits(load_checkpoint(tmp_path / "model").network, fair)
    assert made.contacts and made.difference is None and "Hugging Face" in made.unchecked


def test_a_hugging_face_folder_without_token_dropout(tmp_path):
    fair = write_hugging_face(tmp_path / "hf", token_dropout=False)
    fair.token_dropout = False
    import_esm(str(tmp_path / "hf"), tmp_path / "model")
    assert same_logits(load_checkpoint(tmp_path / "model").network, fair)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "expected model_type 'esm'"),
        ({"vocab_size": 40}, "expected ESM's 33 tokens"),
        ({"num_attention_heads": None}, "number of attention heads"),
        ({"num_attention_heads": 3}, "do not fit together"),
        ({"rope_theta": 5}, "rope_theta 10000"),
    ],
)
def test_hugging_face_folders_of_other_models(tmp_path, changes, message):
    write_hugging_face(tmp_path / "hf", **changes)
    with pytest.raises(CheckpointError, match=message):
        import_esm(str(tmp_path / "hf"), tmp_path / "model")


def test_hugging_face_folders_that_lack_something(tmp_path):
    folder = tmp_path / "hf"
    write_hugging_face(folder)
    (folder / "vocab.txt").write_text("A\nC\n")
    with pytest.raises(CheckpointError, match="expected ESM's 33 tokens in their order"):
        import_esm(str(folder), tmp_path / "model")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is a pickle, save it as safetensors first"):
        import_esm(str(folder), tmp_path / "model")
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"expected a Hugging Face folder with config.json"):
        import_esm(str(folder), tmp_path / "model")


def test_a_missing_regression_takes_away_the_contacts_alone(tmp_path):
    path, fair = write_published(tmp_path, regression=False)
    made = import_esm(str(path), tmp_path / "model", check=False)
    assert not made.contacts and same_logits(made.checkpoint.network, fair)
    with pytest.raises(ConfigError, match="contact-regression.pt beside NAME.pt"):
        contact_map(made.checkpoint, "MKVLAW")


def test_an_odd_file_name_is_read_by_its_content(tmp_path):
    path, fair = write_published(tmp_path, name="my weights (1).backup")
    made = import_esm(str(path), tmp_path / "model")
    assert made.difference == 0.0 and made.contacts and same_logits(made.checkpoint.network, fair)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_a_file_that_would_run_code_is_refused(tmp_path):
    torch.save({"cfg": {"model": Evil(tmp_path / "ran")}, "model": {"a": torch.zeros(1)}}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil.pt: not read: it holds posix.system, which is no weight"):
        import_esm(str(tmp_path / "evil.pt"), tmp_path / "model")
    assert not (tmp_path / "ran").exists() and not (tmp_path / "model").exists()


def broken(folder: Path, what: str) -> Path:
    path, _ = write_published(folder)
    content = torch.load(path, weights_only=False)
    if what == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif what == "text":
        path.write_text("hello")
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "regression":
        return path.with_name(f"{path.stem}-contact-regression.pt")
    elif what == "list":
        torch.save([1, 2], path)
    elif what == "msa":
        torch.save({"args": type(content["cfg"]["model"])(arch="msa_transformer"), "model": content["model"]}, path)
    elif what == "lacks a tensor":
        del content["model"]["encoder.sentence_encoder.layers.1.fc1.weight"]
        torch.save(content, path)
    elif what == "other regression":
        torch.save({"model": {"a": torch.zeros(1)}}, path.with_name(f"{path.stem}-contact-regression.pt"))
    return path


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("truncated", "damaged, or no .pt file"),
        ("text", "no weight|no file of weights|damaged"),
        ("empty", "damaged, or no .pt file"),
        ("regression", "this file is a contact regression; import the model"),
        ("list", "expected the weights of an ESM model under 'model'"),
        ("msa", "expected ESM-2, ESM-1b or ESM-1v, got 'msa_transformer'"),
        ("lacks a tensor", r"do not fit together as ESM-2 .*fc1|do not fit together as ESM-2 .*up.weight"),
        ("other regression", "expected the two tensors of a contact regression, got a"),
    ],
)
def test_files_that_are_none(tmp_path, what, message):
    with pytest.raises(CheckpointError, match=message):
        import_esm(str(broken(tmp_path, what)), tmp_path / "model", check=False)
    assert not (tmp_path / "model").exists()


def test_names_and_places(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(CheckpointError, match=r"get https://.*/models/esm2_t6_8M_UR50D.pt and, for contacts"):
        import_esm("esm2_t6_8M_UR50D")
    with pytest.raises(CheckpointError, match="expected a .pt file, a Hugging Face folder or one of esm2_t6"):
        import_esm("esm9")
    (tmp_path / "checkpoints").mkdir()
    write_published(tmp_path / "checkpoints", name="esm2_t6_8M_UR50D")
    assert import_esm("esm2_t6_8M_UR50D", tmp_path / "model", check=False).contacts
    with pytest.raises(CheckpointError, match="there is a checkpoint already"):
        import_esm("esm2_t6_8M_UR50D", tmp_path / "model")
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"expected a .pt file as published"):
        import_esm(str(tmp_path / "weights.bin"))


def test_the_other_package_of_that_name_is_told(tmp_path, monkeypatch):
    path, _ = write_published(tmp_path)
    assert fair_esm_trouble() == ""
    for name in ("esm/__init__.py", "esm/sdk/__init__.py", "esm/models/esm3.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("raise RuntimeError('must not be imported')")
    monkeypatch.delitem(sys.modules, "esm")
    monkeypatch.syspath_prepend(tmp_path)
    assert "is not fair-esm: EvolutionaryScale's `esm` has the same import name" in fair_esm_trouble()
    with pytest.raises(CheckpointError, match="check against fair-esm: the package `esm` at .* is not fair-esm"):
        import_esm(str(path), tmp_path / "model", check=True)
    made = import_esm(str(path), tmp_path / "model")  # nothing else needs fair-esm
    assert made.difference is None and "is not fair-esm" in made.unchecked


def test_without_fair_esm(monkeypatch, tmp_path):
    write_hugging_face(tmp_path / "hf")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install fair-esm" in fair_esm_trouble()


def test_lengths_are_counted_where_a_fasta_is_given(tmp_path):
    write_hugging_face(tmp_path / "hf")
    (tmp_path / "mine.fasta").write_text(">a\nMKVLAW\n>b\nmkvlaw*\n>c\nMKV LAWDE\n>d\nJ1\n")
    made = import_esm(str(tmp_path / "hf"), tmp_path / "model", tmp_path / "mine.fasta")
    law = made.checkpoint.length_probability()
    assert law.nonzero().squeeze(-1).tolist() == [6, 8] and law[6] == 2 / 3
    (tmp_path / "none.fasta").write_text(">a\n11\n")
    with pytest.raises(CheckpointError, match="expected proteins of at most 1022 residues, found none"):
        import_esm(str(tmp_path / "hf"), tmp_path / "other", tmp_path / "none.fasta")


def test_the_command(tmp_path, capsys):
    path, _ = write_published(tmp_path, regression=False)
    run(str(path), tmp_path / "model", None, None, True)
    found = json.loads(capsys.readouterr().out)
    assert found["largest_difference_from_fair_esm"] == 0.0 and found["contacts"] is False and not found["free_design"]
    run(str(path), tmp_path / "again", None, False, False)
    said = capsys.readouterr()
    assert said.out == "" and "no contact regression" in said.err and "not asked for" in said.err


def test_nothing_else_opens_a_pickle():
    root = Path(domains.__file__).parents[1] if domains.__file__ else Path.cwd()
    found = [
        path.relative_to(root).as_posix()
        for package in ("seqdiff", "constraints", "domains", "apps")
        for path in (root / package).rglob("*.py")
        if "torch.load(" in (text := path.read_text()) or "import pickle" in text
    ]
    assert found == ["domains/protein/pretrained/pickled.py"]


def test_a_child_that_dies_is_told(tmp_path, monkeypatch):
    path, _ = write_published(tmp_path)
    dead = type("Dead", (), {"ask": lambda *a: ({"trouble": "crashed (exit status -9)"}, b"")})()
    monkeypatch.setattr("domains.protein.pretrained.importing._worker", dead)
    with pytest.raises(SeqdiffError, match=r"reading it crashed \(exit status -9\)"):
        import_esm(str(path), tmp_path / "model")


@pytest.mark.slow
def test_a_folder_that_transformers_saved(tmp_path):
    code = f"""
import torch
from transformers import EsmConfig, EsmForMaskedLM
torch.manual_seed(0)
for kind, dropout in (("rotary", True), ("rotary", False), ("absolute", True)):
    config = EsmConfig(vocab_size=33, mask_token_id=32, pad_token_id=1, hidden_size=32, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=64, max_position_embeddings=1026, position_embedding_type=kind,
        token_dropout=dropout, emb_layer_norm_before=kind == "absolute")
    model = EsmForMaskedLM(config).eval()
    for p in model.parameters(): p.data.add_(0.3 * torch.randn_like(p))
    folder = "{tmp_path}/" + kind + str(dropout)
    model.save_pretrained(folder)
    tokens = torch.randint(4, 24, (2, 40)); tokens[:, ::10] = 32; tokens[:, 0] = 0; tokens[:, -1] = 2
    with torch.no_grad():
        torch.save((tokens, model(tokens).logits), folder + "/answer.pt")
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    for name in ("rotaryTrue", "rotaryFalse", "absoluteTrue"):
        folder = tmp_path / name
        made = import_esm(str(folder), tmp_path / f"{name}-model")
        tokens, expected = torch.load(folder / "answer.pt")
        with torch.no_grad():
            torch.testing.assert_close(made.checkpoint.network.logits(tokens), expected, atol=2e-4, rtol=1e-4)  # type: ignore[operator]
