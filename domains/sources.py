"""The `[data]` table of a training configuration: its files, and the parameters of a domain's encoder."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqdiff.errors import ConfigError
from seqdiff.training.config import from_table


def read_sources(table: dict, base: Path, source: type, allowed: Collection[str]) -> tuple[list[Any], dict]:
    """(files as `source`s, a dataclass with `path`; other parameters). Relative paths are taken from `base`.

    Raises ConfigError for a table without files, or with a key that is not in `allowed`.
    """
    parameters = dict(table)
    files = parameters.pop("files", None)
    if not isinstance(files, list) or not files:
        raise ConfigError('data.files: expected a list of { path = "…", label = "…" }, got ' + repr(files))
    sources = [from_table(source, entry, f"data.files[{i}]") for i, entry in enumerate(files)]
    if unknown := set(parameters) - set(allowed):
        raise ConfigError(f"data.{sorted(unknown)[0]}: unknown key; expected files, {', '.join(sorted(allowed))}")
    return [replace(one, path=str((base / one.path).resolve())) for one in sources], parameters
