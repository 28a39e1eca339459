"""Published weights, converted once: a `.pt` file of ESM-2, ESM-1b or ESM-1v, or a Hugging Face folder, to a checkpoint.

The `.pt` file is opened in a child process with limits on time and memory (`pickled.unpack`), which hands back tensors and
plain settings; from then on nothing reads a pickle. Where fair-esm is installed its own model of the same file is asked
too, and the logits are compared.
"""

import hashlib
import importlib.util
import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from constraints.compilation.child import Worker
from domains.protein.data import clean, read_fasta
from domains.protein.pretrained.weights import (
    LINKER,
    LONGEST,
    MOST_MASKED,
    Published,
    from_fair,
    from_hugging_face,
    to_checkpoint,
)
from domains.protein.pretrained.weights import TOKENS as ESM_TOKENS
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import CheckpointError, SeqdiffError

SIZES = {"6": "8M", "12": "35M", "30": "150M", "33": "650M", "36": "3B", "48": "15B"}
PUBLISHED = (
    *(f"esm2_t{depth}_{size}_UR50D" for depth, size in SIZES.items()),
    *(f"esm1v_t33_650M_UR90S_{k}" for k in range(1, 6)),
    "esm1b_t33_650M_UR50S",
)
ADDRESS = "https://dl.fbaipublicfiles.com/fair-esm"
MOST_DIFFERENT = 1e-3  # of logits, against fair-esm's: more is another network
_worker = Worker("torch")


@dataclass(frozen=True)
class Imported:
    """What was written, and what is known of it.

    Attributes:
        checkpoint: as saved in `folder`.
        contacts: whether a contact regression came with it.
        difference: of logits from fair-esm's own, 0.0 where they are equal bit for bit; None if that was not checked.
        unchecked: why not, '' if it was.
    """

    checkpoint: Checkpoint
    folder: Path
    contacts: bool
    difference: float | None
    unchecked: str


def import_esm(source: str, out: Path | None = None, lengths: Path | None = None, check: bool | None = None) -> Imported:
    """Convert, check and save.

    Args:
        source: a `.pt` file, a Hugging Face folder, or a published name whose file is in torch's hub cache.
        out: folder to write, ./NAME if None; it must hold no checkpoint.
        lengths: FASTA file of proteins from which p(length) of free design is counted.
        check: whether to compare with fair-esm; None does where it is installed.

    Raises CheckpointError with what was expected, what was found and what to do.
    """
    path = find(source)
    folder = Path(path.name if path.is_dir() else path.stem) if out is None else Path(out)
    if (folder / "config.json").exists():
        raise CheckpointError(f"{folder}: there is a checkpoint already; choose another --out")
    counts = None if lengths is None else length_counts(lengths)
    trouble = "" if path.is_file() else "fair-esm reads no Hugging Face folder"
    trouble = trouble or fair_esm_trouble()
    if check and trouble:
        raise CheckpointError(f"check against fair-esm: {trouble}")
    published, regression = _hugging_face(path) if path.is_dir() else _fair(path)
    weights = path / "model.safetensors" if path.is_dir() else path
    metrics: dict[str, Any] = {
        "architecture": published.architecture,
        "source": path.name,
        "source_sha256": _sha256(weights) if weights.is_file() else None,
    }
    checkpoint = to_checkpoint(published, counts, metrics)
    checkpoint.save(folder, card(checkpoint, published, regression), published.dtype)
    difference = None
    if check is not False and not trouble:
        difference = _compare(path, folder)
    unchecked = "" if difference is not None else trouble or "not asked for"
    return Imported(checkpoint, folder, checkpoint.network.config.contacts, difference, unchecked)  # type: ignore[union-attr, arg-type]


def find(source: str) -> Path:
    """The file or folder. A published name is looked for in torch's hub cache; nothing is downloaded."""
    path = Path(source)
    if path.is_file() and path.suffix == ".pt":
        return path
    if path.is_dir():
        return path
    if path.exists():
        raise CheckpointError(f"{source}: expected a .pt file as published with ESM, or a Hugging Face folder")
    name = path.name.removesuffix(".pt")
    cached = Path(torch.hub.get_dir()) / "checkpoints" / f"{name}.pt"
    if str(path) == path.name and cached.is_file():
        return cached
    if name in PUBLISHED:
        raise CheckpointError(
            f"{source}: no such file, nor {cached}; get {ADDRESS}/models/{name}.pt"
            + ("" if "esm1v" in name else f" and, for contacts, {ADDRESS}/regression/{name}-contact-regression.pt")
        )
    raise CheckpointError(
        f"{source}: no such file; expected a .pt file, a Hugging Face folder or one of {', '.join(PUBLISHED)}"
    )


def fair_esm_trouble() -> str:
    """Why fair-esm cannot be asked, '' if it can. Nothing is imported: another package has the same import name."""
    spec = importlib.util.find_spec("esm")
    if spec is None:
        return "it is not installed (pip install fair-esm)"
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    if any((place / "model" / "esm2.py").is_file() for place in places):
        return ""
    where = places[0] if places else spec.origin
    return (
        f"the package `esm` at {where} is not fair-esm: EvolutionaryScale's `esm` has the same import name, and only one of "
        "both can be installed (pip uninstall esm; pip install --force-reinstall fair-esm)"
    )


def length_counts(path: Path) -> list[int]:
    """Counts (longest + 1,) of the proteins of a FASTA file by length, up to LONGEST residues."""
    found = (clean(record.sequence) for record in read_fasta(path))
    counts = Counter(len(text) for text in found if text and len(text) <= LONGEST)
    if not counts:
        raise CheckpointError(f"--lengths {path}: expected proteins of at most {LONGEST} residues, found none")
    return [counts[n] for n in range(LONGEST + 1)]


def card(checkpoint: Checkpoint, published: Published, regression: str) -> str:
    """Markdown: where the weights came from, and how the network is read as a denoiser."""
    config: Any = checkpoint.network.config
    metrics = checkpoint.metrics
    size = sum(p.numel() for p in checkpoint.network.parameters())
    scale = (
        "Token dropout is clamped: a mask's embedding is zero, and the scale 0.88 / (1 − masked share) is that of training up "
        f"to a share of {MOST_MASKED} and stays there beyond."
        if published.token_dropout
        else "Trained without token dropout."
    )
    return "\n".join(
        [
            f"# {metrics['source']}",
            "",
            f"{published.architecture}, {size:,} parameters: {config.depth} blocks of width {config.width}, {config.heads} "
            f"heads. Converted from {metrics['source']}, sha256 {metrics['source_sha256']}; stored as {published.dtype}.",
            "",
            "Read as a masked-diffusion denoiser: absorbing process, linear schedule, no time input; the twenty amino acids, X "
            f"never predicted. {scale} A chain break is read as {LINKER[1]} residues {LINKER[0]}.",
            "",
            f"Contact regression: {regression or 'none'}.",
            "",
            "The licence of the weights is that of their publisher.",
            "",
        ]
    )


def _fair(path: Path) -> tuple[Published, str]:
    """A `.pt` file with its contact regression, if there is one: (weights, name of the regression's file or '')."""
    tensors, found = _unpacked(path)
    published = _named(path, from_fair, tensors, found["arguments"], found["keys"])
    beside = path.with_name(f"{path.stem}-contact-regression.pt")
    if not beside.is_file():
        return published, ""
    regression = _unpacked(beside)[0]
    names = {f"contact_head.regression.{part}": f"contact.{part}" for part in ("weight", "bias")}
    if set(regression) != set(names):
        raise CheckpointError(f"{beside.name}: expected the two tensors of a contact regression, got {', '.join(regression)}")
    published.tensors.update({names[name]: tensor for name, tensor in regression.items()})
    return published, beside.name


def _hugging_face(folder: Path) -> tuple[Published, str]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{folder}: expected a Hugging Face folder with config.json ({error})") from None
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file() and not (folder / names[0]).is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    tensors: dict[str, Tensor] = {}
    for name in names:
        try:
            tensors |= load_file(folder / Path(name).name)
        except (OSError, SafetensorError) as error:
            there = "; pytorch_model.bin is a pickle, save it as safetensors first" * (folder / "pytorch_model.bin").is_file()
            raise CheckpointError(f"{folder / name}: expected weights in safetensors ({error}){there}") from None
    vocabulary = folder / "vocab.txt"
    if vocabulary.is_file() and tuple(vocabulary.read_text(encoding="utf-8").split()) != ESM_TOKENS:
        raise CheckpointError(f"{vocabulary}: expected ESM's {len(ESM_TOKENS)} tokens in their order, got others")
    published = _named(folder, from_hugging_face, tensors, config)
    return published, "with the weights" if "contact.weight" in published.tensors else ""


def _named(path: Path, read, *arguments) -> Published:
    try:
        return read(*arguments)
    except CheckpointError as error:
        raise CheckpointError(f"{path.name}: {error}") from None


def _unpacked(path: Path) -> tuple[dict[str, Tensor], dict]:
    with tempfile.TemporaryDirectory() as folder:
        tensors = Path(folder) / "tensors.safetensors"
        found = _in_child("unpack", path, str(tensors))
        return load_file(tensors), found


def _compare(path: Path, folder: Path) -> float:
    difference = _in_child("compare", path, str(folder.resolve()))
    if not difference <= MOST_DIFFERENT:
        raise CheckpointError(
            f"{folder}: its logits differ from fair-esm's own by up to {difference:.3g}: this file is not read rightly; "
            "do not use the folder"
        )
    return difference


def _in_child(function: str, path: Path, *more: str) -> Any:
    """A function of `pickled` on a file, in a process of its own; memory and time are limited in proportion to its size."""
    megabytes = path.stat().st_size >> 20
    seconds = 120 + megabytes / 5
    name, arguments = f"domains.protein.pretrained.pickled:{function}", (str(path.resolve()), *more)
    answer, _ = _worker.ask(name, arguments, {}, seconds, 2048 + 8 * megabytes)
    if "refused" in answer:
        raise CheckpointError(answer["refused"])
    if "trouble" in answer:
        raise SeqdiffError(f"{path.name}: reading it {answer['trouble']}")
    return answer["value"]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
