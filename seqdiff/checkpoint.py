"""Checkpoints: a folder that holds all that sampling needs, and nothing that can run code.

    config.json         what the model is: system, denoiser, process, classes, p(length), sha256 of the weights
    model.safetensors   the weights
    alphabet.json       the tokens
    README.md           the model card

No file records a Python import path; kinds are looked up in literal tables here.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from seqdiff.alphabet import Alphabet
from seqdiff.errors import CheckpointError, SeqdiffError
from seqdiff.systems.base import System
from seqdiff.systems.registry import system_from_config, system_to_config

FORMAT = "seqdiff-checkpoint-1"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Checkpoint:
    """A denoiser with everything that belongs to it.

    Attributes:
        network: the weights.
        system: what it was trained as: its process, its own sampler, how its output is read.
        alphabet: its tokens.
        label_names: names of its classes, in order; () if it has none.
        length_counts: class name → (longest + 1,) counts of training rows by length; p(length | class).
        metrics: figures of the training run, for the card.
        folder: where it was loaded from.
        sha256: of the weights it was loaded with; None if it was never saved.
    """

    network: nn.Module
    system: System
    alphabet: Alphabet
    label_names: tuple[str, ...]
    length_counts: dict[str, list[int]]
    metrics: dict = field(default_factory=dict)
    folder: Path | None = None
    sha256: str | None = None

    @property
    def denoiser(self) -> Any:
        """The network as samplers want it."""
        return self.system.denoiser(self.network)

    @property
    def process(self) -> Any:
        """The process that samplers run."""
        return self.system.process_of(self.network)

    @property
    def max_length(self) -> int:
        """The longest row the model was trained on."""
        return max(len(counts) for counts in self.length_counts.values()) - 1

    def length_probability(self, label: str | None = None) -> Tensor:
        """p(length | class), (longest + 1,) float64; all classes together for None.

        Raises CheckpointError if the model came without the lengths of its training rows.
        """
        chosen = self.length_counts if label is None else {label: self.length_counts[label]}
        counts = torch.zeros(self.max_length + 1, dtype=torch.float64)
        for values in chosen.values():
            counts[: len(values)] += torch.tensor(values, dtype=torch.float64)
        if not counts.sum():
            raise CheckpointError(
                "free design: this model came without a law of lengths; give a template that says how long, such as {80-120}"
            )
        return counts / counts.sum()

    def label_index(self, label: str | None) -> int | None:
        """Class id of a name. Raises CheckpointError naming the classes there are."""
        if label is None:
            return None
        if label not in self.label_names:
            there = ", ".join(self.label_names) or "none"
            raise CheckpointError(f"class: expected one of the model's classes ({there}), got {label!r}")
        return self.label_names.index(label)

    def save(self, folder: Path, card: str, dtype: str = "float16") -> None:
        """Write the folder; weights are stored as `dtype` and computed in float32 after loading."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = save({k: v.to(DTYPES[dtype]).contiguous() for k, v in self.network.state_dict().items()})
        config = {
            "format": FORMAT,
            **system_to_config(self.network, self.system),
            "label_names": list(self.label_names),
            "sha256": hashlib.sha256(weights).hexdigest(),
            "metrics": self.metrics,
            "length_counts": self.length_counts,
        }
        (folder / "model.safetensors").write_bytes(weights)
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        (folder / "alphabet.json").write_text(self.alphabet.to_json())
        (folder / "README.md").write_text(card)


def load_checkpoint(folder: str | Path, device: str = "cpu") -> Checkpoint:
    """Load a checkpoint. Raises CheckpointError that names the file and what was expected of it."""
    folder = Path(folder)
    config = _read_config(folder)
    try:
        network, system = system_from_config(config)
        vocabulary = config["denoiser"]["vocabulary"]
        alphabet = Alphabet.from_json(_read(folder / "alphabet.json").decode())
        if len(alphabet) != vocabulary:
            raise CheckpointError(
                f"{folder / 'alphabet.json'}: expected {vocabulary} tokens as in config.json, got {len(alphabet)}"
            )
        label_names, length_counts = tuple(config["label_names"]), dict(config["length_counts"])
        expected, metrics = config["sha256"], config.get("metrics", {})
    except CheckpointError:
        raise
    except (KeyError, TypeError, UnicodeDecodeError, SeqdiffError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: not a checkpoint's configuration ({error})") from None
    _load_weights(network, folder / "model.safetensors", expected)
    return Checkpoint(
        network.to(device).eval().requires_grad_(False), system, alphabet, label_names, length_counts, metrics, folder, expected
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: expected a file of a checkpoint folder, could not read it ({error.strerror})") from None


def _read_config(folder: Path) -> dict:
    path = folder / "config.json"
    try:
        config = json.loads(_read(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: expected JSON, got something else ({error})") from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        got = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(f"{path}: expected format {FORMAT!r}, got {got!r}")
    return config


def _load_weights(network: nn.Module, path: Path, expected: str) -> None:
    weights = _read(path)
    found = hashlib.sha256(weights).hexdigest()
    if found != expected:
        raise CheckpointError(
            f"{path}: damaged or exchanged: expected sha256 {expected[:12]}… as in config.json, "
            f"got {found[:12]}… over {len(weights)} bytes; restore the file"
        )
    try:
        network.load_state_dict({k: v.float() for k, v in load(weights).items()})
    except (SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: the weights do not fit config.json ({str(error).splitlines()[-1].strip()})") from None
