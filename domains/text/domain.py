"""The text domain as `domains.design` sees it."""

from pathlib import Path

from domains.text.data import Source, encode_files
from seqdiff.errors import ConfigError
from seqdiff.training.config import from_table
from seqdiff.training.data import EncodedData


def encode_training_data(table: dict, base: Path) -> EncodedData:
    """Read the `[data]` table of a training configuration; relative paths are taken from the configuration's folder."""
    parameters = dict(table)
    files = parameters.pop("files", None)
    if not isinstance(files, list) or not files:
        raise ConfigError('data.files: expected a list of { path = "…", label = "…" }, got ' + repr(files))
    sources = [from_table(Source, entry, f"data.files[{i}]") for i, entry in enumerate(files)]
    sources = [Source(str((base / source.path).resolve()), source.label) for source in sources]
    allowed = {"tokens", "min_count", "vocabulary", "max_length", "held_out_percent"}
    if unknown := set(parameters) - allowed:
        raise ConfigError(f"data.{sorted(unknown)[0]}: unknown key; expected files, {', '.join(sorted(allowed))}")
    if parameters.get("tokens", "").endswith(".json"):
        parameters["tokens"] = str((base / parameters["tokens"]).resolve())
    return encode_files(sources, **parameters)
