"""Small random language models in the formats in which they are published: config.json, model.safetensors, tokenizer.json."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from domains.text.pretrained.byte_cuts import pre_tokenizer

SENTENCES = (
    "The quick brown fox jumps over the lazy dog; it's 12.50 for 1,000 of them (see p. 7)!",
    "The Mill is a cheap pub near the river, by Zizzi. They serve Japanese food.",
    "Isn't Zurich a well-known city? They'll say: \"yes\" - at 100 % of costs/benefits.",
)


def word_pieces(folder: Path, uncased: bool = True) -> int:
    """BERT's tokenizer, trained on the sentences; number of its tokens."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=uncased)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789")
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, initial_alphabet=letters, show_progress=False)
    made.train_from_iterator(SENTENCES, trainer)
    cls, sep = made.token_to_id("[CLS]"), made.token_to_id("[SEP]")
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", cls), ("[SEP]", sep)])
    made.decoder = decoders.WordPiece()
    _write(folder, made, mask_token="[MASK]", pad_token="[PAD]")
    return made.get_vocab_size()


def byte_pairs(folder: Path, cut: str, special: tuple[str, ...], around: str = "", shuffled: bool = False) -> Tokenizer:
    """Byte-level BPE with the cut of GPT-2 ("text-bpe"), Qwen2 or Llama 3. shuffled: ids are not in the order of merging."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizer(cut) or pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[], show_progress=False
    )
    made.train_from_iterator([" " + text for text in SENTENCES] * 2, trainer)
    if shuffled:
        table = json.loads(made.to_str())
        names = sorted(table["model"]["vocab"], key=lambda token: token[::-1])
        table["model"]["vocab"] = {token: i for i, token in enumerate(names)}
        made = Tokenizer.from_str(json.dumps(table))
    made.add_special_tokens([AddedToken(token, special=True) for token in special])
    if around:
        first, last = around.split(" $A ")
        marks = [(mark, made.token_to_id(mark)) for mark in (first, last)]
        made.post_processor = processors.TemplateProcessing(around, special_tokens=marks)
    made.decoder = decoders.ByteLevel()
    return made


def _write(folder: Path, made: Tokenizer, **table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(table))


def bert(folder: Path, **more) -> Path:
    """BertForMaskedLM with BERT's tokenizer, saved by transformers."""
    from transformers import BertConfig, BertForMaskedLM

    size = word_pieces(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, **more
    )
    BertForMaskedLM(_wider(config)).save_pretrained(folder)
    return folder


def roberta(folder: Path) -> Path:
    """RobertaForMaskedLM, whose ids are not in the order of merging and whose places begin after the pad's."""
    from transformers import RobertaConfig, RobertaForMaskedLM

    special = ("<s>", "<pad>", "</s>", "<mask>")
    made = byte_pairs(folder, "text-bpe", special, "<s> $A </s>", shuffled=True)
    _write(folder, made, mask_token="<mask>", pad_token="<pad>", model_max_length=512)
    torch.manual_seed(2)
    config = RobertaConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=40 + made.token_to_id("<pad>") + 1,
        pad_token_id=made.token_to_id("<pad>"),
    )
    RobertaForMaskedLM(_wider(config)).save_pretrained(folder)
    return folder


def llama(folder: Path) -> Path:
    """LLaDA's shape as transformers saves it: Llama's weights, Llama 3's cut, a mask in config.json."""
    from transformers import LlamaConfig, LlamaForCausalLM

    made = byte_pairs(folder, "text-bpe-llama", ("<|endoftext|>", "<|mdm_mask|>"))
    _write(folder, made)
    torch.manual_seed(3)
    mask = made.token_to_id("<|mdm_mask|>")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = LlamaConfig(vocab_size=made.get_vocab_size() + 5, num_key_value_heads=2, max_position_embeddings=64, **sizes)
    config.mask_token_id = mask
    LlamaForCausalLM(_wider(config)).save_pretrained(folder)
    return folder


def qwen(folder: Path) -> Path:
    """Dream's shape as transformers saves it: Qwen2's weights and cut, the mask a token of the tokenizer."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    made = byte_pairs(folder, "text-bpe-qwen", ("<|endoftext|>", "<|mask|>"))
    _write(folder, made, mask_token="<|mask|>", pad_token={"content": "<|endoftext|>"}, model_max_length=131072)
    torch.manual_seed(4)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = Qwen2Config(
        vocab_size=made.get_vocab_size(), num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, **sizes
    )
    Qwen2ForCausalLM(_wider(config)).save_pretrained(folder)
    return folder


def llada(folder: Path, plain: Path) -> Path:
    """The weights of `llama` under LLaDA's own names and settings, with the code that its config.json asks for."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((plain / name).read_bytes())
    there = json.loads((plain / "config.json").read_text())
    table = {
        "model_type": "llada",
        "architectures": ["LLaDAModelLM"],
        "auto_map": {"AutoModel": "modeling_llada.LLaDAModelLM"},
        "block_type": "llama",
        "activation_type": "silu",
        "layer_norm_type": "rms",
        "rope": True,
        "d_model": there["hidden_size"],
        "n_layers": there["num_hidden_layers"],
        "n_heads": there["num_attention_heads"],
        "n_kv_heads": there["num_key_value_heads"],
        "mlp_hidden_size": there["intermediate_size"],
        "vocab_size": there["vocab_size"] - 1,
        "embedding_size": there["vocab_size"],
        "max_sequence_length": there["max_position_embeddings"],
        "rms_norm_eps": there["rms_norm_eps"],
        "rope_theta": 10000.0,
        "weight_tying": False,
        "mask_token_id": there["mask_token_id"],
    }
    (folder / "config.json").write_text(json.dumps(table))
    (folder / "modeling_llada.py").write_text("raise SystemExit('this code must not run')\n")
    names = {
        "model.embed_tokens.weight": "model.transformer.wte.weight",
        "model.norm.weight": "model.transformer.ln_f.weight",
        "lm_head.weight": "model.transformer.ff_out.weight",
    }
    parts = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ff_norm",
        "self_attn.q_proj": "q_proj",
        "self_attn.k_proj": "k_proj",
        "self_attn.v_proj": "v_proj",
        "self_attn.o_proj": "attn_out",
        "mlp.gate_proj": "ff_proj",
        "mlp.up_proj": "up_proj",
        "mlp.down_proj": "ff_out",
    }
    for i in range(there["num_hidden_layers"]):
        for new, old in parts.items():
            names[f"model.layers.{i}.{new}.weight"] = f"model.transformer.blocks.{i}.{old}.weight"
    tensors = load_file(plain / "model.safetensors")
    save_file({names[name]: tensor for name, tensor in tensors.items()}, folder / "model.safetensors")
    return folder


def _wider(config):
    """Weights far enough from zero that what a place sees shows in its logits."""
    config.initializer_range = 0.3
    return config
