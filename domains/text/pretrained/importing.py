"""Published language models, converted once: a Hugging Face folder to a checkpoint of ours.

The folder holds config.json, model.safetensors (or its parts with their index) and tokenizer.json. It is read by
transformers' own classes; a folder that brings code of its own (`auto_map`) is refused, unless it is said to be LLaDA's or
Dream's, whose weights are those of Llama and Qwen2 and are read as such: its code is not run either.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from domains.text.pretrained import llada
from domains.text.pretrained.alphabets import Tokens, read_tokens
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.hugging_face import HuggingFace, HuggingFaceConfig
from seqdiff.errors import CheckpointError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.diffusion_bert import DiffusionBERT
from seqdiff.systems.mdlm import MDLM

READ_AS = {
    "masked": "any masked language model (AutoModelForMaskedLM)",
    "llada": "Llama's or Qwen2's weights trained further as a masked model: a place tells its own token",
    "dream": "the same, a place tells the token after it",
}
CAUSAL = ("llama", "qwen2")
LONGEST = 4096  # tokens of the longest row, whatever a model says of itself
SHORT = 1_000_000  # a tokenizer's `model_max_length` beyond it means that there is none
ROUNDING = 1e-3  # difference of logits, as a share of the largest, in float32


@dataclass(frozen=True)
class Imported:
    """What was written.

    Attributes:
        checkpoint: as saved in `folder`.
        difference: largest of logits from those of the model as transformers loads it.
    """

    checkpoint: Checkpoint
    folder: Path
    difference: float


def import_text(source: str, out: Path | None = None, read_as: str = "masked") -> Imported:
    """Convert, check and save.

    Args:
        source: a Hugging Face folder.
        out: folder to write, ./NAME if None; it must hold no checkpoint.
        read_as: one of READ_AS.

    Raises CheckpointError with what was expected, what was found and what to do.
    """
    path = Path(source)
    if read_as not in READ_AS:
        raise CheckpointError(f"read as: expected one of {', '.join(READ_AS)}; got {read_as!r}")
    if not path.is_dir():
        raise CheckpointError(f"{source}: expected a Hugging Face folder with config.json, found none; nothing is downloaded")
    folder = Path(path.resolve().name) if out is None else Path(out)
    if (folder / "config.json").exists():
        raise CheckpointError(f"{folder}: there is a model already; choose another --out")
    published = _settings(path, read_as)
    weights = _weights(path)
    tokens = read_tokens(path)
    inner = _model(path, published, read_as)
    network = HuggingFace(_config(path, published, tokens, inner, read_as), inner).eval().requires_grad_(False)
    difference = _check(network)
    halves = {w.dtype for w in inner.parameters()}
    inner.float()
    metrics: dict[str, Any] = {
        "architecture": type(inner).__name__,
        "read_as": read_as,
        "source": path.resolve().name,
        "source_sha256": {file.name: _sha256(file) for file in weights},
    }
    process = Absorbing(len(tokens.alphabet), Linear())
    system = DiffusionBERT(process) if read_as == "masked" else MDLM(process)
    longest = min(LONGEST, network.config.places - len(tokens.before) - len(tokens.after))
    checkpoint = Checkpoint(network, system, tokens.alphabet, (), {"all": [0] * (longest + 1)}, metrics)
    dtype = {torch.float16: "float16", torch.bfloat16: "bfloat16"}.get(*halves) if len(halves) == 1 else None
    checkpoint.save(folder, card(checkpoint, dtype or "float32"), dtype or "float32")
    return Imported(checkpoint, folder, difference)


def card(checkpoint: Checkpoint, dtype: str) -> str:
    """Markdown: where the weights came from, and how the network is read as a denoiser."""
    metrics, config = checkpoint.metrics, checkpoint.network.config
    size = sum(p.numel() for p in checkpoint.network.parameters())
    sums = "".join(f"\n- {name}: sha256 {digest}" for name, digest in metrics["source_sha256"].items())
    places = "; what it says at a place is of the token after it" * config.shift  # type: ignore[union-attr]
    return (
        f"# {metrics['source']}\n\n{metrics['architecture']}, {size:,} parameters, stored as {dtype}. Converted from:\n{sums}"
        f"\n\nRead as {READ_AS[metrics['read_as']]}{places}. Absorbing process, linear schedule, no time input; "
        f"{len(checkpoint.alphabet):,} tokens that may be said, rows of at most {checkpoint.max_length} tokens. There is no "
        "law of lengths: a template says how long.\n\nThe licence of the weights is that of their publisher.\n"
    )


def _settings(path: Path, read_as: str) -> dict[str, Any]:
    """config.json as settings of a class of transformers' own. Raises CheckpointError for any other."""
    table = _json(path / "config.json", "a Hugging Face folder with config.json")
    kind, causal = table.get("model_type"), read_as != "masked"
    for file, there in (("config.json", table), ("tokenizer_config.json", _json(path / "tokenizer_config.json", ""))):
        if there.get("auto_map") and not (causal and kind in ("llada", "Dream")):
            code = ", ".join(sorted({str(v) for v in there["auto_map"].values()}))
            raise CheckpointError(
                f"{path / file}: auto_map asks for code that comes with the model ({code}), and none is run; LLaDA's and "
                "Dream's weights are read by our own means: --as llada, --as dream"
            )
    if kind == "llada" and causal:
        return llada.settings(table)
    if kind == "Dream" and causal:
        table = {**table, "model_type": "qwen2"}
    _known(path, table, causal)
    left_out = ("auto_map", "transformers_version", "dtype", "torch_dtype", "_name_or_path", "architectures", "use_cache")
    kept = {key: value for key, value in table.items() if key not in left_out}
    return {key: 0.0 if "drop" in key and isinstance(value, float) else value for key, value in kept.items()}


def _known(path: Path, table: dict, causal: bool) -> None:
    try:
        from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED
    except ImportError:
        raise CheckpointError("importing a language model needs transformers (pip install transformers)") from None
    kind = table.get("model_type")
    if causal and kind not in CAUSAL:
        raise CheckpointError(f"{path / 'config.json'}: expected model_type {' or '.join(CAUSAL)}, got {kind!r}")
    if not causal and kind not in MASKED:
        more = "; weights of a causal model trained further as a masked one: --as llada, --as dream" if kind in CAUSAL else ""
        raise CheckpointError(
            f"{path / 'config.json'}: expected the model_type of a masked language model such as bert or roberta, got {kind!r}"
            + more
        )


def _weights(path: Path) -> list[Path]:
    """The files of the weights, all there."""
    index = path / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file() and not (path / names[0]).is_file():
        names = sorted(set(_json(index, "an index of weights").get("weight_map", {}).values()))
    for name in names:
        if not (path / Path(name).name).is_file():
            pickled = "; pytorch_model.bin is a pickle, save it as safetensors first" * (path / "pytorch_model.bin").is_file()
            raise CheckpointError(f"{path / name}: expected weights in safetensors, found no such file{pickled}")
    return [path / Path(name).name for name in names]


def _model(path: Path, published: dict, read_as: str) -> Any:
    """The model with its weights. Raises CheckpointError where some are missing or do not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, LlamaForCausalLM
    from transformers.utils import logging

    auto: Any = AutoModelForMaskedLM if read_as == "masked" else AutoModelForCausalLM
    where: dict[str, Any] = {"pretrained_model_name_or_path": str(path)}
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        config = AutoConfig.for_model(**published)
        if _json(path / "config.json", "").get("model_type") == "llada":
            tensors: dict[str, Any] = {}
            for file in _weights(path):
                tensors |= load_file(file)
            where = {"pretrained_model_name_or_path": None, "state_dict": llada.renamed(tensors)}
            auto = LlamaForCausalLM
        how: dict[str, Any] = {"dtype": "auto", "output_loading_info": True}
        how |= {"attn_implementation": "sdpa"} if read_as != "masked" else {}
        safe: dict[str, Any] = {"use_safetensors": True, "local_files_only": True, "trust_remote_code": False}
        model, loaded = auto.from_pretrained(**where, config=config, **how, **safe)
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: the weights cannot be read as config.json says ({reason})") from None
    finally:
        if bars:
            logging.enable_progress_bar()
    if missing := sorted(loaded["missing_keys"]):
        raise CheckpointError(
            f"{path}: expected the weights of a whole {type(model).__name__}, {len(missing)} are missing ({missing[0]}, …); is "
            "this a language model with its head?"
        )
    return model


def _config(path: Path, published: dict, tokens: Tokens, inner: Any, read_as: str) -> HuggingFaceConfig:
    mask = published.get("mask_token_id")
    mask = tokens.named.get("mask_token") if mask is None else mask
    if mask is None:
        raise CheckpointError(
            f"{path}: expected a mask token, in tokenizer_config.json (mask_token) or config.json (mask_token_id), found none: "
            "a model that was never trained with one is no denoiser"
        )
    pad = published.get("pad_token_id")
    pad = tokens.named.get("pad_token", mask) if pad is None else pad
    ids = (*tokens.ids, int(mask), int(pad))
    if max((*ids, *tokens.before, *tokens.after)) >= inner.config.vocab_size:
        raise CheckpointError(f"{path}: tokenizer.json has ids beyond the model's {inner.config.vocab_size} tokens")
    causal = read_as != "masked"
    settings = json.loads(json.dumps(published))
    shift = read_as == "dream"
    return HuggingFaceConfig(
        len(tokens.alphabet), settings, ids, tokens.before, tokens.after, causal, shift, _places(path, inner)
    )


def _places(path: Path, inner: Any) -> int:
    """Longest row with its marks: what the tokenizer says, and what the table of positions holds."""
    said = _json(path / "tokenizer_config.json", "").get("model_max_length", SHORT)
    most = [int(said)] if isinstance(said, int | float) and said < SHORT else []
    for name, table in inner.named_modules():
        if name.endswith("position_embeddings") and isinstance(table, torch.nn.Embedding):
            most.append(table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1))
    most.append(getattr(inner.config, "max_position_embeddings", None) or LONGEST)
    return min(most)


@torch.no_grad()
def _check(network: HuggingFace) -> float:
    """Largest difference of our logits from the model's own, some positions asked for alone. Raises CheckpointError."""
    config, inner = network.config, network.inner
    L = min(8, config.places - len(config.before) - len(config.after))
    x_t = (torch.arange(L) * 7919 % (config.vocabulary + 1)).unsqueeze(0)
    x_t[0, L // 2] = config.vocabulary
    tokens, _ = network.frame(x_t)
    T = tokens.shape[1]
    seen = {"attention_mask": torch.ones(1, 1, T, T, dtype=torch.bool)} if config.causal else {}
    theirs = inner(input_ids=tokens, **seen).logits[0, :, list(config.ids[: config.vocabulary])]
    place = len(config.before) + torch.arange(L) - int(config.shift)
    wanted, odd = theirs[place.clamp(min=0)], torch.arange(0, L, 2)
    got = network(x_t)[0], network(x_t, positions=odd.unsqueeze(0))[0]
    difference = float(torch.maximum((got[0] - wanted).abs().max(), (got[1] - wanted[odd]).abs().max()))
    rounding = ROUNDING if theirs.dtype == torch.float32 else 0.1
    if not difference <= rounding * float(wanted.abs().max().clamp(min=1)):
        raise CheckpointError(
            f"{type(inner).__name__}: its logits at some places alone differ from the whole by {difference:.3g}"
        )
    return difference


def _json(path: Path, expected: str) -> dict:
    """A table from a file; {} for one that is not there, unless it is `expected`."""
    if not expected and not path.is_file():
        return {}
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected {expected or 'JSON'} ({error})") from None
    if not isinstance(table, dict):
        raise CheckpointError(f"{path}: expected a table, got {type(table).__name__}")
    return table


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
