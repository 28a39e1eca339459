"""Designs into files: .csv, .smi, .sdf, .jsonl and .png, chosen by the suffix.

A design is called by its place among all designs, 1-based (`design-7`), in every kind of file.
"""

import csv
import json
import math
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from domains.smiles.pictures import grid_png, read_as_written
from domains.smiles.properties import METRICS
from seqdiff.errors import ConfigError


class Written(Protocol):
    """What a design must tell to be written."""

    @property
    def sequence(self) -> str: ...  # SMILES as designed
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
    def pinned_atoms(self) -> tuple[int, ...]: ...  # indices in the order of writing of `sequence`
    @property
    def certificate(self) -> object: ...  # its text is written


def write(path: str | Path, designs: Sequence[Written]) -> Path:
    """Write designs to a file of the kind its suffix names, and return its path.

    Parent folders are made. The file appears whole or not at all: it is written beside its place, then moved there.
    Raises ConfigError for another suffix or a place that cannot be written to.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ConfigError(f"output: expected a file ending in {', '.join(WRITERS)}, got {path.name!r}")
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
        "metrics": {name: _finite(value) for name, value in design.metrics.items()},
        "certificate": str(design.certificate),
    }


def _finite(value: float | bool | None) -> float | bool | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _names(designs: Sequence[Written]) -> Iterator[tuple[str, Written]]:
    return ((f"design-{number}", design) for number, design in enumerate(designs, 1))


def _metric_names(designs: Sequence[Written]) -> list[str]:
    """METRICS, whether or not a design has them, then whatever else the designs have, sorted."""
    return [*METRICS, *sorted({name for design in designs for name in design.metrics} - set(METRICS))]


def _cell(value: object) -> str:
    """Text of a table cell; floats in full, so that reading them gives the same number."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(float(value)) if isinstance(value, float) else str(value)


def _write_csv(designs: Sequence[Written], path: Path) -> None:
    """One row a design, invalid ones too; None and NaN are empty cells. `smiles` is the SMILES as designed."""
    metrics = _metric_names(designs)
    with path.open("w", encoding="utf-8", newline="") as file:
        # All text is quoted: the minimal rule of the csv module leaves a lone carriage return bare.
        table = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        table.writerow(["name", "smiles", "canonical_smiles", "valid", "reason", "pins_kept", *metrics, "certificate"])
        for name, design in _names(designs):
            row = [name, design.sequence, design.canonical, design.valid, design.reason, design.pins_kept]
            row += [_finite(design.metrics.get(metric)) for metric in metrics]
            table.writerow([_cell(value) for value in [*row, str(design.certificate)]])


def _write_smi(designs: Sequence[Written], path: Path) -> None:
    """`SMILES name` a line, as designed, valid ones only, no header."""
    lines = [f"{design.sequence} {name}\n" for name, design in _names(designs) if design.valid]
    path.write_text("".join(lines), encoding="utf-8")


def _write_sdf(designs: Sequence[Written], path: Path) -> None:
    """MDL records of the valid ones: 2D coordinates, atoms in the order of writing, tags for all that is known."""
    from rdkit import Chem, rdBase
    from rdkit.Chem import rdDepictor

    with path.open("w", encoding="utf-8") as file, rdBase.BlockLogs():
        for name, design in _names(designs):
            if not design.valid:
                continue
            molecule = read_as_written(design.sequence)
            rdDepictor.Compute2DCoords(molecule)
            molecule.SetProp("_Name", name)
            file.write(Chem.MolToMolBlock(molecule))
            tags = {"smiles": design.sequence, "canonical_smiles": design.canonical, "pins_kept": design.pins_kept}
            tags |= {metric: _finite(value) for metric, value in design.metrics.items()}
            tags |= {"certificate": str(design.certificate)}
            for tag, value in tags.items():
                if text := _sdf_line(_cell(value)):
                    file.write(f">  <{tag}>\n{text}\n\n")
            file.write("$$$$\n")


def _sdf_line(text: str) -> str:
    """Text as one line of an SDF value: a blank line ends a value, `$$$$` a record, and `>` starts the next tag."""
    line = " ".join(stripped for part in text.splitlines() if (stripped := part.strip()))
    return f" {line}" if line.startswith(("$$$$", ">")) else line


def _write_jsonl(designs: Sequence[Written], path: Path) -> None:
    """One JSON object a line, the keys of `as_record`; ASCII, so no line break of Unicode splits a line."""
    path.write_text("".join(json.dumps(as_record(d), allow_nan=False) + "\n" for d in designs), encoding="utf-8")


WRITERS = {".csv": _write_csv, ".smi": _write_smi, ".sdf": _write_sdf, ".jsonl": _write_jsonl, ".png": grid_png}
