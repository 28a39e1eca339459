"""LLaDA's own settings and names of weights as Llama's: the same network, without causality.

    blocks.0.q_proj → layers.0.self_attn.q_proj      ff_proj, up_proj, ff_out → gate_proj, up_proj, down_proj

Source: Nie et al., LLaDA, 2025; the names are those of its published weights.
"""

import re
from collections.abc import Mapping
from typing import Any

from seqdiff.errors import CheckpointError

SETTINGS = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "mlp_hidden_size": "intermediate_size",
    "max_sequence_length": "max_position_embeddings",
    "rms_norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "weight_tying": "tie_word_embeddings",
    "mask_token_id": "mask_token_id",
    "pad_token_id": "pad_token_id",
}
NEEDED = ("d_model", "n_layers", "n_heads", "mlp_hidden_size", "vocab_size", "max_sequence_length", "mask_token_id")
MUST_BE = {
    "block_type": "llama",
    "activation_type": "silu",
    "layer_norm_type": "rms",
    "rope": True,
    "alibi": False,
    "include_bias": False,
    "include_qkv_bias": False,
    "attention_layer_norm": False,
    "input_emb_norm": False,
    "scale_logits": False,
}
NAMES = (
    (r"^model\.transformer\.", "model."),
    (r"\.wte\.", ".embed_tokens."),
    (r"\.ln_f\.", ".norm."),
    (r"^model\.ff_out\.", "lm_head."),
    (r"\.blocks\.", ".layers."),
    (r"\.attn_norm\.", ".input_layernorm."),
    (r"\.ff_norm\.", ".post_attention_layernorm."),
    (r"\.([qkv])_proj\.", r".self_attn.\1_proj."),
    (r"\.attn_out\.", ".self_attn.o_proj."),
    (r"\.ff_proj\.", ".mlp.gate_proj."),
    (r"\.up_proj\.", ".mlp.up_proj."),
    (r"\.ff_out\.", ".mlp.down_proj."),
)


def settings(table: Mapping[str, Any]) -> dict[str, Any]:
    """Those of Llama, from a config.json of model_type llada. Raises CheckpointError for a variant that Llama is not."""
    if missing := [name for name in NEEDED if name not in table]:
        raise CheckpointError(f"config.json: expected {missing[0]} among LLaDA's settings, found none")
    for name, wanted in MUST_BE.items():
        if table.get(name, wanted) != wanted:
            raise CheckpointError(f"config.json: expected {name} to be {wanted!r}, as in LLaDA-8B, got {table[name]!r}")
    ours = {new: table[old] for old, new in SETTINGS.items() if table.get(old) is not None}
    size = table.get("embedding_size") or table["vocab_size"]
    return {"model_type": "llama", "vocab_size": size, "attention_bias": False, "mlp_bias": False, **ours}


def renamed(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Weights under Llama's names."""
    out = {}
    for name, tensor in tensors.items():
        for pattern, new in NAMES:
            name = re.sub(pattern, new, name)
        out[name] = tensor
    return out
