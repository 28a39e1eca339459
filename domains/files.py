"""Designs into files, whatever the domain: what a writer may ask of a design, and files that appear whole or not at all.

A writer is `writer(designs, path)`; a domain has a literal table of them, suffix → writer. A design is called by its place
among all designs, 1-based (`design-7`), in every kind of file.
"""

import csv
import json
import math
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from seqdiff.errors import ConfigError


class Written(Protocol):
    """What a design must tell to be written."""

    @property
    def sequence(self) -> str: ...
    @property
    def canonical(self) -> str | None: ...
    @property
    def valid(self) -> bool: ...
    @property
    def reason(self) -> str: ...  # why invalid
    @property
    def pins_kept(self) -> bool: ...
    @property
    def metrics(self) -> dict[str, float | bool | None]: ...
    @property
    def pinned_atoms(self) -> tuple[int, ...]: ...  # of a molecule, atoms in the order of writing; of others, positions
    @property
    def certificate(self) -> object: ...  # its text is written


def write_whole(path: str | Path, writers: Mapping[str, Callable[[Any, Path], object]], designs: Any) -> Path:
    """Hand the designs to the writer of the path's suffix, and return the path.

    Parent folders are made. The file appears whole or not at all: it is written beside its place, then moved there.
    Raises ConfigError for another suffix or a place that cannot be written to.
    """
    path = Path(path)
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise ConfigError(f"output: expected a file ending in {', '.join(writers)}, got {path.name!r}")
    part = path.with_name(f".seqdiff-{secrets.token_hex(6)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            writer(designs, part)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"output: cannot write {path} ({error.strerror or error}); choose a file in a folder you may write to"
        ) from None
    return path


def as_record(design: Written) -> dict:
    """A design as a dict that json can write: NaN and infinities, which JSON lacks, become None."""
    return {
        "sequence": design.sequence,
        "canonical": design.canonical,
        "valid": design.valid,
        "reason": design.reason,
        "pins_kept": design.pins_kept,
        "metrics": {name: finite(value) for name, value in design.metrics.items()},
        "certificate": str(design.certificate),
    }


def finite(value: float | bool | None) -> float | bool | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cell(value: object) -> str:
    """Text of a table cell; floats in full, so that reading them gives the same number; None and '' are empty."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value)) if isinstance(value, float) else str(value)


def write_csv(
    designs: Sequence[Written], path: Path, about: Mapping[str, Callable[[Written], object]], metrics: Sequence[str]
) -> None:
    """One row a design, invalid ones too: its name, what `about` tells (column → value), figures, certificate.

    The figures are `metrics`, whether or not a design has them, then whatever else the designs have, sorted; NaN is empty.
    """
    figures = [*metrics, *sorted({name for design in designs for name in design.metrics} - set(metrics))]
    with path.open("w", encoding="utf-8", newline="") as file:
        # All text is quoted: the minimal rule of the csv module leaves a lone carriage return bare.
        table = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        table.writerow(["name", *about, *figures, "certificate"])
        for number, design in enumerate(designs, 1):
            row = [f"design-{number}", *(value(design) for value in about.values())]
            row += [finite(design.metrics.get(name)) for name in figures]
            table.writerow([cell(value) for value in [*row, str(design.certificate)]])


def write_jsonl(designs: Sequence[Written], path: Path, about: Callable[[Written], dict] = as_record) -> None:
    """One JSON object a line, by default of `as_record`'s keys; ASCII, so no line break of Unicode splits a line."""
    path.write_text("".join(json.dumps(about(d), allow_nan=False) + "\n" for d in designs), encoding="utf-8")
