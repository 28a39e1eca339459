"""The protein domain as `domains.design` sees it: `template`, `finish`, `write`, `encode_training_data`, `evaluate`."""

import json
from pathlib import Path

import numpy as np

from domains.protein.data import Source, encode_files
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConfigError
from seqdiff.training.config import from_table
from seqdiff.training.data import EncodedData

SUFFIXES = (".csv", ".fasta", ".jsonl", ".png")
TABLE_COLUMNS = ("length", "charge", "pi", "gravy", "instability", "novel", "bound")


def load_known(checkpoint: Checkpoint):
    """Hashes of the proteins the model was trained on, None if the checkpoint has none."""
    from domains.smiles.novelty import KnownMolecules

    path = checkpoint.folder / "known.safetensors" if checkpoint.folder else None
    return KnownMolecules.load(path) if path and path.is_file() else None


def encode_training_data(table: dict, base: Path) -> EncodedData:
    """Read the `[data]` table of a training configuration; relative paths are taken from the configuration's folder."""
    parameters = dict(table)
    files = parameters.pop("files", None)
    if not isinstance(files, list) or not files:
        raise ConfigError('data.files: expected a list of { path = "…", label = "…" }, got ' + repr(files))
    sources = [from_table(Source, entry, f"data.files[{i}]") for i, entry in enumerate(files)]
    sources = [Source(str((base / source.path).resolve()), source.label) for source in sources]
    allowed = {"min_length", "max_length", "held_out_percent", "joined_percent"}
    if unknown := set(parameters) - allowed:
        raise ConfigError(f"data.{sorted(unknown)[0]}: unknown key; expected files, {', '.join(sorted(allowed))}")
    return encode_files(sources, **parameters)


def training_extras(data: EncodedData, folder: Path) -> None:
    """Write beside a trained checkpoint what novelty and the baselines need: hashes and counts, no protein."""
    from domains.smiles.novelty import KnownMolecules

    rows = [data.tokens[a:b] for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    trained = [data.alphabet.decode(rows[i]) for i in np.flatnonzero(~data.held_out)]
    KnownMolecules.from_smiles(trained).save(folder / "known.safetensors")
    joined = np.concatenate([rows[i] for i in np.flatnonzero(~data.held_out)])
    counts = np.bincount(joined, minlength=len(data.alphabet)).tolist()
    (folder / "composition.json").write_text(json.dumps(dict(zip(data.alphabet.tokens, counts, strict=True))) + "\n")
