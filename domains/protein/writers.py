"""Designed proteins into files: .fasta, .csv, .jsonl and .png (a sequence logo), chosen by the suffix.

Chains are parted by `/`.
"""

from collections.abc import Sequence
from pathlib import Path

from domains.files import Written, as_record, write_csv, write_jsonl, write_whole
from domains.protein.logo import draw_logo
from domains.protein.properties import METRICS

WIDTH = 60


def write(path: str | Path, designs: Sequence[Written]) -> Path:
    """Write designs to a file of the kind its suffix names, and return its path; it appears whole or not at all.

    Raises ConfigError for another suffix or a place that cannot be written to.
    """
    return write_whole(path, WRITERS, designs)


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
    columns = {
        "sequence": lambda d: d.sequence,
        "valid": lambda d: d.valid,
        "reason": lambda d: d.reason,
        "pins_kept": lambda d: d.pins_kept,
    }
    write_csv(designs, path, columns, METRICS)


def _write_jsonl(designs: Sequence[Written], path: Path) -> None:
    write_jsonl(designs, path, lambda d: {**as_record(d), "pinned": list(d.pinned_atoms)})


WRITERS = {".csv": _write_csv, ".fasta": _write_fasta, ".jsonl": _write_jsonl, ".png": draw_logo}
