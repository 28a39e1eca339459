"""Small networks of fair-esm in files of the published formats and names."""

import json
from argparse import Namespace
from pathlib import Path

import torch
from safetensors.torch import save_file

WIDTH, HEADS, DEPTH = 32, 4, 2


def fair_network(kind: str):
    """fair-esm's own ESM-2, ESM-1b or ESM-1v with random weights that make logits of some size."""
    import esm

    alphabet = esm.data.Alphabet.from_architecture("ESM-1b")
    with torch.random.fork_rng():
        torch.manual_seed(7)
        if kind == "esm2":
            network = esm.model.esm2.ESM2(DEPTH, WIDTH, HEADS, alphabet)
        else:
            sizes = {"layers": DEPTH, "embed_dim": WIDTH, "ffn_embed_dim": 4 * WIDTH, "attention_heads": HEADS}
            more = {"max_positions": 1024, "token_dropout": True, "emb_layer_norm_before": kind == "esm1b"}
            network = esm.ProteinBertModel(Namespace(arch="roberta_large", **sizes, **more), alphabet)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
            network.embed_tokens.weight[alphabet.mask_idx] = 0
    return network.eval()


def write_published(folder: Path, kind: str = "esm2", name: str = "esm2_t2_32_4_UR50D", regression: bool = True, half=False):
    """The `.pt` file of a network, with the keys and settings of the published ones; returns (path, network)."""
    network = fair_network(kind)
    tensors = {k: v for k, v in network.state_dict().items() if not k.startswith("contact_head")}
    if half:
        tensors = {k: v.half() for k, v in tensors.items()}
    prefixed = {("encoder." if k.startswith("lm_head") else "encoder.sentence_encoder.") + k: v for k, v in tensors.items()}
    sizes = {"layers": DEPTH, "embed_dim": WIDTH, "attention_heads": HEADS}
    settings = Namespace(**{f"encoder_{k}": v for k, v in sizes.items()}, token_dropout=True)
    if kind == "esm2":
        content = {"cfg": {"model": settings}, "model": prefixed}
    else:
        more = Namespace(**vars(settings), arch="roberta_large", encoder_ffn_embed_dim=4 * WIDTH, max_positions=1024)
        content = {"args": more, "model": prefixed}
    path = folder / f"{name}.pt"
    torch.save(content, path)
    if regression:
        contact = {k: v for k, v in network.state_dict().items() if k.startswith("contact_head")}
        torch.save({"model": contact}, folder / f"{name}-contact-regression.pt")
    return path, network


HUGGING_FACE = {
    "embed_tokens.": "esm.embeddings.word_embeddings.",
    "layers.": "esm.encoder.layer.",
    "self_attn.q_proj.": "attention.self.query.",
    "self_attn.k_proj.": "attention.self.key.",
    "self_attn.v_proj.": "attention.self.value.",
    "self_attn.out_proj.": "attention.output.dense.",
    "self_attn.rot_emb.": "attention.self.rotary_embeddings.",
    "self_attn_layer_norm.": "attention.LayerNorm.",
    "final_layer_norm.": "LayerNorm.",
    "fc1.": "intermediate.dense.",
    "fc2.": "output.dense.",
    "emb_layer_norm_after.": "esm.encoder.emb_layer_norm_after.",
    "contact_head.": "esm.contact_head.",
    "lm_head.weight": "lm_head.decoder.weight",
}


def write_hugging_face(folder: Path, prefix: str = "", **changes):
    """A folder of EsmForMaskedLM as `save_pretrained` makes it, from fair-esm's ESM-2; returns the network."""
    network = fair_network("esm2")
    tensors = {}
    for name, tensor in network.state_dict().items():
        for ours, theirs in HUGGING_FACE.items():
            name = name.replace(ours, theirs)
        tensors[prefix + name] = tensor.clone()
    config = {
        "architectures": ["EsmForMaskedLM"],
        "model_type": "esm",
        "vocab_size": 33,
        "mask_token_id": 32,
        "pad_token_id": 1,
        "num_attention_heads": HEADS,
        "position_embedding_type": "rotary",
        "token_dropout": True,
        "layer_norm_eps": 1e-5,
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config | changes))
    save_file(tensors, folder / "model.safetensors")
    return network
