"""Published language models as denoisers: their tokens, their logits, what they design, what is refused."""

import json
import shutil
import sys

import pytest
import torch
from pretrained_files import SENTENCES, bert, llada, llama, qwen, roberta, word_pieces
from safetensors.torch import load_file, save_file

from domains.design import design
from domains.text.pretrained.importing import import_text
from domains.text.tokens import decode, encode
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import CheckpointError, ConfigError, SeqdiffError

pytest.importorskip("transformers")
KINDS = {"bert": (bert, "masked"), "roberta": (roberta, "masked"), "llama": (llama, "llada"), "qwen": (qwen, "dream")}

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
OTHERS = {  # heads, positions and attention of other makes
    "DistilBert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48},
    "Electra": SMALL | {"embedding_size": 16},
    "DebertaV2": SMALL,
    "MPNet": SMALL,
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    return {name: make(root / name) for name, (make, _) in KINDS.items()}


@pytest.fixture(scope="module")
def imported(published, tmp_path_factory):
    root = tmp_path_factory.mktemp("imported")
    return {name: import_text(str(published[name]), root / name, how) for name, (_, how) in KINDS.items()}


def theirs(folder, how):
    """The model as transformers loads it, and its tokenizer."""
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    auto = AutoModelForMaskedLM if how == "masked" else AutoModelForCausalLM
    return auto.from_pretrained(folder).eval(), Tokenizer.from_file(str(folder / "tokenizer.json"))


@pytest.mark.parametrize("name", KINDS)
def test_a_text_has_the_tokenizers_own_tokens(name, published, imported):
    _, tokenizer = theirs(published[name], KINDS[name][1])
    checkpoint = imported[name].checkpoint
    for text in SENTENCES:
        ids = encode(" " + text, checkpoint.alphabet)
        config = checkpoint.network.config
        framed = [*config.before, *(config.ids[i] for i in ids), *config.after]
        assert framed == tokenizer.encode(" " + text).ids
        written = decode(checkpoint.alphabet.decode_tokens(ids), checkpoint.alphabet)
        if name == "bert":  # word pieces do not know of every space
            assert written.replace(" ", "") == text.lower().replace(" ", "")
        else:
            assert written == text


@pytest.mark.parametrize("text", [*SENTENCES[:2], 'The "fox" (quick-brown) isn\'t of the river: 12.50, 1,000 and/or 7!'])
def test_word_pieces_are_written_as_writers_do(text, imported):
    alphabet = imported["bert"].checkpoint.alphabet
    ids = encode(" " + text, alphabet)
    assert decode(alphabet.decode_tokens(ids), alphabet) == text.lower()
    after = [alphabet.tokens[i] for i in encode("ver", alphabet)]  # goes on with a word: no piece that begins one
    assert "".join(after) == "ver" and not after[0].startswith(" ")


@pytest.mark.parametrize("name", KINDS)
def test_no_special_token_can_be_said(name, imported):
    checkpoint = imported[name].checkpoint
    assert not set(checkpoint.alphabet.tokens) & {
        f"{s}{t}" for s in ("", " ") for t in ("[CLS]", "[unused0]", "<mask>", "[PAD]")
    }
    assert not any("<|" in token for token in checkpoint.alphabet.tokens)
    assert len(set(checkpoint.network.config.ids[:-2])) == len(checkpoint.alphabet)


@pytest.mark.parametrize("name", KINDS)
def test_logits_are_transformers_own(name, published, imported):
    """After loading the folder, at every place; Dream's place before, and without causality."""
    how = KINDS[name][1]
    model, _ = theirs(published[name], how)
    network = load_checkpoint(imported[name].folder).network
    config = network.config
    x_t = torch.randint(config.vocabulary + 1, (2, 9), generator=torch.Generator().manual_seed(5))
    ids = torch.tensor([[*config.before, *(config.ids[i] for i in row), *config.after] for row in x_t.tolist()])
    T = ids.shape[1]
    with torch.no_grad():
        seen = {} if how == "masked" else {"attention_mask": torch.zeros(2, 1, T, T)}
        wanted = model(input_ids=ids, **seen).logits[..., list(config.ids[:-2])]
        got = network(x_t)
    first = len(config.before)
    if how == "dream":
        wanted = torch.cat([wanted[:, :1], wanted[:, :-1]], dim=1)
    assert torch.allclose(got, wanted[:, first : first + 9], atol=1e-5)
    assert got.std() > 0.1


@pytest.mark.parametrize("name", ["llama", "qwen"])
def test_what_comes_later_is_seen(name, imported):
    network = imported[name].checkpoint.network
    x_t = torch.arange(8).unsqueeze(0) + 40
    other = x_t.clone()
    other[0, 6] = 17
    change = (network(x_t) - network(other))[0].abs().amax(-1)
    assert (change > 1e-3).all()


@pytest.mark.parametrize("name", KINDS)
def test_padding_and_single_positions_change_nothing(name, imported):
    network = imported[name].checkpoint.network
    rows = [torch.arange(5) + 30, torch.arange(8) + 20]
    batch = torch.full((2, 8), network.vocabulary + 1)
    batch[0, :5], batch[1] = rows[0], rows[1]
    both = network(batch, lengths=torch.tensor([5, 8]))
    for k, row in enumerate(rows):
        assert torch.allclose(both[k, : len(row)], network(row.unsqueeze(0))[0], atol=1e-5)
    at = torch.tensor([[4, 0, 2], [7, 1, 3]])
    some = network(batch, lengths=torch.tensor([5, 8]), positions=at)
    assert torch.allclose(some, both.gather(1, at.unsqueeze(-1).expand(-1, -1, network.vocabulary)), atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_designs_keep_what_is_pinned(name, imported):
    asked = {"template": "The Mill is a {2-3} pub near {2}, by Zizzi.", "n": 4, "steps": 6, "bound_draws": 1}
    made = design(domain="text", model=str(imported[name].folder), constraint="avoid(s)", **asked)
    assert len(made.designs) == 4
    for item in made.designs:
        assert item.pins_kept and not item.certificate.violations
        start = "the mill is a" if name == "bert" else "The Mill is a"
        end = "by zizzi." if name == "bert" else "by Zizzi."
        assert item.sequence.startswith(start) and item.sequence.endswith(end)
        assert item.metrics["bound"] is not None


def test_without_lengths_a_template_must_say_them(imported):
    with pytest.raises(CheckpointError, match="without a law of lengths"):
        design(domain="text", model=str(imported["bert"].folder), n=1)


def test_rows_longer_than_the_table_of_positions_are_refused(imported):
    assert imported["roberta"].checkpoint.max_length == 38
    with pytest.raises(SeqdiffError, match="38"):
        design(domain="text", model=str(imported["roberta"].folder), template="{60}", n=1)


def test_a_head_that_shares_the_embedding_is_stored_once(imported):
    there = load_file(imported["qwen"].folder / "model.safetensors")
    assert "inner.lm_head.weight" not in there and "inner.model.embed_tokens.weight" in there
    inner = load_checkpoint(imported["qwen"].folder).network.inner
    assert inner.lm_head.weight is inner.model.embed_tokens.weight


def test_lladas_own_names_are_llamas_and_its_code_is_not_run(published, imported, tmp_path):
    folder = llada(tmp_path / "LLaDA", published["llama"])
    with pytest.raises(CheckpointError, match=r"auto_map .*modeling_llada\.LLaDAModelLM.* none is run.*--as llada"):
        import_text(str(folder), tmp_path / "no")
    again = import_text(str(folder), tmp_path / "yes", "llada").checkpoint
    x_t = torch.arange(7).unsqueeze(0) + 50
    assert torch.allclose(again.network(x_t), imported["llama"].checkpoint.network(x_t), atol=1e-6)
    assert not any("modeling_llada" in name for name in sys.modules)
    table = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(table | {"include_qkv_bias": True}))
    with pytest.raises(CheckpointError, match="include_qkv_bias to be False"):
        import_text(str(folder), tmp_path / "other", "llada")


def test_dreams_own_settings_are_qwens(published, imported, tmp_path):
    folder = copied(published["qwen"], tmp_path / "Dream")
    table = json.loads((folder / "config.json").read_text())
    code = {"auto_map": {"AutoModel": "modeling_dream.DreamModel"}, "model_type": "Dream"}
    (folder / "config.json").write_text(json.dumps(table | code))
    again = import_text(str(folder), tmp_path / "out", "dream").checkpoint
    x_t = torch.arange(7).unsqueeze(0) + 50
    assert torch.equal(again.network(x_t), imported["qwen"].checkpoint.network(x_t))


def copied(folder, to):
    shutil.copytree(folder, to)
    return to


def spoiled(folder, what):
    """A folder with one thing wrong."""
    if what == "no config":
        (folder / "config.json").unlink()
    elif what == "no weights":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif what == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif what == "no head":
        tensors = load_file(folder / "model.safetensors")
        save_file({k: v for k, v in tensors.items() if "transform" not in k}, folder / "model.safetensors")
    elif what == "torn weights":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-64])
    elif what == "no mask":
        (folder / "tokenizer_config.json").write_text("{}")
    elif what == "code":
        (folder / "tokenizer_config.json").write_text('{"auto_map": {"AutoTokenizer": ["evil.Tokenizer", null]}}')
    elif what == "other model":
        table = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(table | {"model_type": "gpt2"}))
    elif what == "other tokenizer":
        table = json.loads((folder / "tokenizer.json").read_text())
        table["pre_tokenizer"] = {"type": "WhitespaceSplit"}
        (folder / "tokenizer.json").write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no config", "config.json: expected a Hugging Face folder"),
        ("no weights", "found no such file; pytorch_model.bin is a pickle"),
        ("no tokenizer", "tokenizer.json: expected the tokenizer in one file"),
        ("no head", "are missing .cls.predictions.transform"),
        ("torn weights", "the weights cannot be read"),
        ("no mask", "expected a mask token"),
        ("code", r"tokenizer_config.json: auto_map asks for code .*evil\.Tokenizer"),
        ("other model", "expected the model_type of a masked language model .* 'gpt2'"),
        ("other tokenizer", "cuts texts otherwise"),
    ],
)
def test_what_is_missing_or_wrong_is_said(what, said, published, tmp_path):
    folder = copied(published["bert"], tmp_path / "spoiled")
    spoiled(folder, what)
    with pytest.raises(CheckpointError, match=said):
        import_text(str(folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_causal_model_is_not_read_as_a_masked_one(published, tmp_path):
    with pytest.raises(CheckpointError, match="got 'llama'; .*--as llada"):
        import_text(str(published["llama"]), tmp_path / "out")
    with pytest.raises(CheckpointError, match="model_type llama or qwen2, got 'bert'"):
        import_text(str(published["bert"]), tmp_path / "out", "dream")


def test_exchanged_weights_and_code_in_a_checkpoint_are_refused(imported, tmp_path):
    folder = copied(imported["bert"].folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert "transformers." not in json.dumps(config) and "import" not in json.dumps(config["denoiser"])
    config["denoiser"]["published"]["auto_map"] = {"AutoModelForMaskedLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SeqdiffError, match="auto_map"):
        load_checkpoint(folder)
    folder = copied(imported["bert"].folder, tmp_path / "again")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(CheckpointError, match="expected sha256"):
        load_checkpoint(folder)


def test_a_settings_table_of_no_model_is_refused(imported):
    from seqdiff.denoisers.hugging_face import language_model

    with pytest.raises(ConfigError, match="no model of 'nothing'"):
        language_model({"model_type": "nothing"}, False)


def test_the_command_line_imports_and_says_what_came_of_it(published, tmp_path):
    from typer.testing import CliRunner

    from apps.cli.main import app

    out = tmp_path / "model"
    given = ["import", "text", str(published["qwen"]), "--as", "dream", "--out", str(out), "--json"]
    answer = CliRunner().invoke(app, given)
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    assert found["architecture"] == "Qwen2ForCausalLM" and found["tokens"] == len(load_checkpoint(out).alphabet)
    assert "token after it" in (out / "README.md").read_text()
    again = CliRunner().invoke(app, given)
    assert isinstance(again.exception, CheckpointError) and "there is a model already" in str(again.exception)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_model_is_trained_further_with_the_spindle(rank, imported, tmp_path):
    """DiffusionBERT: the pretrained network learns rows under its own alphabet, and is saved and loaded as a model."""
    from apps.cli import train

    lines = ["text", *(f'"The pub is near the {place}."' for place in ("river", "dog", "city", "fox") for _ in range(8))]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    base = imported["bert"].folder
    (tmp_path / "further.toml").write_text(
        f'domain = "text"\nsystem = "diffusion-bert"\n[data]\ntokens = "{base}/alphabet.json"\nheld_out_percent = 30\n'
        f'files = [{{ path = "rows.csv", label = "all" }}]\n[model]\nbase = "{base}"\nrank = {rank}\n'
        '[optimizer]\nkind = "adamw"\nlr = 0.02\nlr_rest = 0.02\nwarmup = 1\nema = 0.5\n'
        '[run]\nsteps = 25\nbatch_tokens = 60\nprecision = "fp32"\neval_every = 25\n'
    )
    train.run(tmp_path / "further.toml", tmp_path / "run", "cpu", None, None, None)
    before, after = load_checkpoint(base), load_checkpoint(tmp_path / "run" / "model")
    rows = torch.tensor([encode(" The pub is near the dog.", before.alphabet)])
    told = [model.system.bound(model.network, rows, None, 16).nats.item() for model in (before, after)]
    assert told[1] < (0.8 if rank else 0.6) * told[0]
    assert after.system.clock["kind"] == "spindle" and after.length_counts["all"][rows.shape[1]] > 0
    assert "all" not in after.label_names and torch.isfinite(after.network(rows)).all()


@pytest.mark.parametrize("name", OTHERS)
def test_masked_models_of_other_makes(name, tmp_path):
    import transformers

    size = word_pieces(tmp_path / name)
    config = getattr(transformers, f"{name}Config")(vocab_size=size, **OTHERS[name])
    config.initializer_range = 0.3
    torch.manual_seed(6)
    getattr(transformers, f"{name}ForMaskedLM")(config).save_pretrained(tmp_path / name)
    checkpoint = import_text(str(tmp_path / name), tmp_path / "out").checkpoint
    model, _ = theirs(tmp_path / name, "masked")
    inside = checkpoint.network.config
    x_t = torch.tensor([[20, 31, checkpoint.network.vocabulary, 44, 52]])
    ids = torch.tensor([[*inside.before, *(inside.ids[i] for i in x_t[0].tolist()), *inside.after]])
    with torch.no_grad():
        wanted = model(input_ids=ids).logits[0, 1:-1, list(inside.ids[:-2])]
    network = load_checkpoint(tmp_path / "out").network
    assert torch.allclose(network(x_t)[0], wanted, atol=1e-4)
    assert torch.allclose(network(x_t, positions=torch.tensor([[3, 0]]))[0], wanted[[3, 0]], atol=1e-4)
