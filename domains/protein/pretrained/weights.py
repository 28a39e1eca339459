"""From published tensors to a checkpoint of ours: names, sizes and tokens.

Two ways of naming are known: fair-esm's (`encoder.sentence_encoder.layers.0.self_attn.q_proj.weight`) and Hugging Face's
(`esm.encoder.layer.0.attention.self.query.weight`; DPLM's are the same, in a training checkpoint below `net.`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from domains.protein import AMINO_ACIDS
from domains.protein.data import BREAK, PROTEIN, UNKNOWN
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.esm import Esm, EsmConfig
from seqdiff.errors import CheckpointError, ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.mdlm import MDLM

TOKENS = ("<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>")
LONGEST = 1022  # residues of the rows that ESM was trained on: 1024 tokens with both marks
LINKER = ("G", 25)  # what a chain break is read as, as ESMFold's language model reads it (Lin et al., 2023)
MOST_MASKED = 0.15  # the share that training masked or changed: beyond it, token dropout scales no further

_FAIR = (
    (r"(encoder\.)?sentence_encoder\.|encoder\.", ""),
    (r"embed_tokens", "embed"),
    (r"embed_positions", "places"),
    (r"emb_layer_norm_before", "norm_before"),
    (r"emb_layer_norm_after", "norm"),
    (r"layers\.", "blocks."),
    (r"self_attn_layer_norm", "norm_attention"),
    (r"final_layer_norm", "norm_feed"),
    (r"self_attn\.rot_emb\.inv_freq", "frequencies"),
    (r"self_attn\.q_proj", "query"),
    (r"self_attn\.k_proj", "key"),
    (r"self_attn\.v_proj", "value"),
    (r"self_attn\.out_proj", "out"),
    (r"fc1", "up"),
    (r"fc2", "down"),
    (r"lm_head\.weight", "tied"),
    (r"lm_head\.layer_norm", "head.norm"),
    (r"lm_head", "head"),
    (r"contact_head\.regression", "contact"),
)
_HUGGING_FACE = (
    (r"^(model\.)?net\.", ""),
    (r"^esm\.", ""),
    (r"embeddings\.word_embeddings", "embed"),
    (r"embeddings\.position_embeddings", "places"),
    (r"embeddings\.layer_norm", "norm_before"),
    (r"encoder\.emb_layer_norm_after", "norm"),
    (r"encoder\.layer\.", "blocks."),
    (r"attention\.self\.(query|key|value)", r"\1"),
    (r"attention\.output\.dense", "out"),
    (r"attention\.LayerNorm", "norm_attention"),
    (r"intermediate\.dense", "up"),
    (r"output\.dense", "down"),
    (r"LayerNorm", "norm_feed"),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"lm_head\.decoder\.weight", "tied"),
    (r"lm_head\.layer_norm", "head.norm"),
    (r"lm_head", "head"),
    (r"contact_head\.regression", "contact"),
)
_NOT_WEIGHTS = re.compile(r"embeddings\.position_ids$|pooler\.|lm_head\.decoder\.bias$|rotary_embeddings\.inv_freq$|\bversion$")


@dataclass(frozen=True)
class Published:
    """Weights as they were published, under our names.

    Attributes:
        architecture: "ESM-2", …, for the card.
        tensors: our name → tensor.
        heads: H.
        token_dropout: whether masks are read as zeros and the rest is scaled.
        epsilon: of the layer norms.
    """

    architecture: str
    tensors: dict[str, Tensor]
    heads: int
    token_dropout: bool
    epsilon: float = 1e-5

    @property
    def dtype(self) -> str:
        """float16 if no weight of the network is finer, otherwise float32: none of them changes by being stored.

        A contact regression beside a network of halves is stored as halves too.
        """
        kinds = {tensor.dtype for name, tensor in self.tensors.items() if not name.startswith("contact")}
        return "float16" if kinds == {torch.float16} else "bfloat16" if kinds == {torch.bfloat16} else "float32"


def from_fair(tensors: Mapping[str, Tensor], arguments: Mapping, keys: Sequence[str]) -> Published:
    """ESM-2's (`cfg`), ESM-1b's and ESM-1v's (`args`) files, whose tensors and settings were unpacked.

    Raises CheckpointError for any other architecture.
    """
    named = _renamed(tensors, _FAIR)
    given = {name.removeprefix("encoder_"): value for name, value in arguments.items()}
    if "cfg" in keys:
        return Published("ESM-2", named, _heads(given), bool(given.get("token_dropout", True)))
    if given.get("arch") == "roberta_large":
        kind = "ESM-1b" if "norm_before.weight" in named else "ESM-1v"
        for name in {"embed.weight", "tied"} & set(named):  # fair-esm makes the mask's row zero when it loads these
            named[name] = named[name].clone()
            named[name][TOKENS.index("<mask>")] = 0
        return Published(kind, named, _heads(given), bool(given.get("token_dropout", False)))
    if set(named) == {"contact.weight", "contact.bias"}:
        raise CheckpointError("this file is a contact regression; import the model NAME.pt beside it, and it is taken along")
    raise CheckpointError(
        f"architecture: expected ESM-2, ESM-1b or ESM-1v, got {given.get('arch', 'a file with neither cfg nor args')!r}"
    )


def from_hugging_face(tensors: Mapping[str, Tensor], config: Mapping) -> Published:
    """EsmForMaskedLM's weights and its config.json. Raises CheckpointError for any other model."""
    if config.get("model_type") != "esm" or config.get("is_folding_model"):
        raise CheckpointError(f"config.json: expected model_type 'esm' (EsmForMaskedLM), got {config.get('model_type')!r}")
    if config.get("vocab_size") != len(TOKENS) or config.get("mask_token_id", 32) != 32 or config.get("pad_token_id", 1) != 1:
        raise CheckpointError(
            f"config.json: expected ESM's {len(TOKENS)} tokens with the mask at 32, got {config.get('vocab_size')} tokens and "
            f"the mask at {config.get('mask_token_id')}"
        )
    if config.get("rope_theta", 10000) != 10000:
        raise CheckpointError(f"config.json: expected rope_theta 10000, got {config['rope_theta']}")
    named = _renamed(tensors, _HUGGING_FACE)
    if "head.dense.weight" not in named:
        raise CheckpointError("model.safetensors: expected a language model's head (EsmForMaskedLM), found none")
    if config.get("position_embedding_type", "absolute") == "rotary":
        named.pop("places.weight", None)
        kind = "ESM-2"
    else:
        kind = "ESM-1b" if "norm_before.weight" in named else "ESM-1v"
    heads, epsilon = config.get("num_attention_heads"), float(config.get("layer_norm_eps", 1e-12))
    kind += " (Hugging Face)"
    return Published(kind, named, _heads({"attention_heads": heads}), bool(config.get("token_dropout", False)), epsilon)


def to_checkpoint(published: Published, length_counts: Sequence[int] | None, metrics: dict) -> Checkpoint:
    """The weights as a denoiser of our alphabet, under the absorbing process with a linear schedule.

    Args:
        length_counts: of proteins by length, for free design; None leaves p(length) out.

    Raises CheckpointError if the tensors do not fit together.
    """
    tensors = dict(published.tensors)
    tied = tensors.pop("tied", None)
    if tied is not None and not torch.equal(tied, published.tensors["embed.weight"]):
        raise CheckpointError("weights: expected a head that shares the embedding's matrix, got one of its own")
    frequencies = _frequencies(tensors)
    try:
        network = Esm(_config(published, tensors, frequencies))
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (KeyError, RuntimeError, ConfigError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"weights: they do not fit together as {published.architecture} ({reason})") from None
    counts = [0] * (LONGEST + 1) if length_counts is None else [int(n) for n in length_counts]
    system = MDLM(Absorbing(PROTEIN.mask, Linear()))
    return Checkpoint(network.eval().requires_grad_(False), system, PROTEIN, (), {"all": counts}, metrics)


def _config(published: Published, tensors: Mapping[str, Tensor], frequencies: tuple[float, ...]) -> EsmConfig:
    W, D = tensors["embed.weight"].shape
    if len(TOKENS) != W:
        raise CheckpointError(f"weights: expected an embedding of ESM's {len(TOKENS)} tokens, got {W}")
    ids = [TOKENS.index(letter) for letter in AMINO_ACIDS + UNKNOWN]
    ids += [TOKENS.index(LINKER[0]), TOKENS.index("<mask>"), TOKENS.index("<pad>")]
    blocks = [int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")]
    return EsmConfig(
        len(PROTEIN),
        width=D,
        depth=max(blocks, default=-1) + 1,
        heads=published.heads,
        hidden=tensors["blocks.0.up.weight"].shape[0],
        ids=tuple(ids),
        barred=(PROTEIN.ids[UNKNOWN], PROTEIN.ids[BREAK]),
        inner=W,
        edges=(TOKENS.index("<cls>"), TOKENS.index("<eos>")),
        linker=(PROTEIN.ids[BREAK], TOKENS.index(LINKER[0]), LINKER[1]),
        places=tensors["places.weight"].shape[0] - 2 if "places.weight" in tensors else 0,
        norm_before="norm_before.weight" in tensors,
        token_dropout=published.token_dropout,
        most_masked=MOST_MASKED,
        epsilon=published.epsilon,
        frequencies=frequencies,
        contacts="contact.weight" in tensors,
    )


def _frequencies(tensors: dict[str, Tensor]) -> tuple[float, ...]:
    """Taken out of the tensors: those of the file, if they are not the usual ones (a file of halves has them rounded)."""
    found = [tensors.pop(name) for name in sorted(tensors) if name.endswith("frequencies")]
    if not found:
        return ()
    if not all(torch.equal(found[0], other) for other in found):
        raise CheckpointError("weights: expected the same rotary frequencies in every block")
    plain = 1.0 / (10000 ** (torch.arange(0, 2 * len(found[0]), 2).float() / (2 * len(found[0]))))
    return () if torch.equal(found[0].float(), plain) else tuple(found[0].double().tolist())


def _renamed(tensors: Mapping[str, Tensor], rules: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    named = {}
    for name, tensor in tensors.items():
        if rules is _HUGGING_FACE and _NOT_WEIGHTS.search(name) or not tensor.is_floating_point():
            continue
        for pattern, to in rules:
            name = re.sub(pattern, to, name)
        named[name] = tensor
    return named


def _heads(arguments: Mapping) -> int:
    heads = arguments.get("attention_heads")
    if not isinstance(heads, int) or heads < 1:
        raise CheckpointError(f"settings: expected the number of attention heads, got {heads!r}")
    return heads
