"""Designed proteins into files: .fasta, .csv, .jsonl and .png (a sequence logo), chosen by the suffix.

A design is called by its place among all designs, 1-based (`design-7`), in every kind of file. Chains are parted by `/`.
"""

import csv
import json
import math
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from domains.protein.logo import draw_logo
from domains.protein.properties import METRICS
from domains.smiles.writers import Written, as_record
from seqdiff.errors import ConfigError

WIDTH = 60


def write(path: str | Path, designs: Sequence[Written]) -> None:
    """Write designs to a file of the kind its suffix names; it appears whole or not at all. Raises ConfigError."""
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


def _write_fasta(designs: Sequence[Written], path: Path) -> None:
    """Valid designs alone; the header is `>design-7 key=value …`, so that no other file is needed to sort them."""
    lines = []
    for number, design in enumerate(designs, 1):
        if design.valid:
            values = {"pins_kept": design.pins_kept, **{name: v for name, v in design.metrics.items() if v is not None}}
            pairs = " ".join(f"{name}={_short(value)}" for name, value in values.items())
            lines.append(f">design-{number} {pairs}")
            lines += [design.sequence[i : i + WIDTH] for i in range(0, len(design.sequence), WIDTH)]
    path.write_text("".join(line + "\n" for line in lines), encoding="ascii")


def _short(value: float | bool | None) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:.5g}"


def _write_csv(designs: Sequence[Written], path: Path) -> None:
    names = [*METRICS, *sorted({name for design in designs for name in design.metrics} - set(METRICS))]
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        table.writerow(["name", "sequence", "valid", "reason", "pins_kept", *names, "certificate"])
        for number, design in enumerate(designs, 1):
            row = [f"design-{number}", design.sequence, design.valid, design.reason, design.pins_kept]
            row += [design.metrics.get(name) for name in names]
            table.writerow([_cell(value) for value in [*row, str(design.certificate)]])


def _cell(value: object) -> str:
    """Text of a table cell; floats in full, so that reading them gives the same number."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, float) else str(value)


def _write_jsonl(designs: Sequence[Written], path: Path) -> None:
    lines = [{**as_record(design), "pinned": list(design.pinned_atoms)} for design in designs]
    path.write_text("".join(json.dumps(line, allow_nan=False) + "\n" for line in lines), encoding="utf-8")


WRITERS = {".csv": _write_csv, ".fasta": _write_fasta, ".jsonl": _write_jsonl, ".png": draw_logo}
