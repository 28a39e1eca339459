"""Texts into files: .txt (a text a line), .csv and .jsonl, by the suffix."""

from collections.abc import Sequence
from pathlib import Path

from domains.files import Written, as_record, write_csv, write_jsonl, write_whole

METRICS = ("words", "tokens", "novel", "bound", "bound_error")


def write(path: str | Path, designs: Sequence[Written]) -> Path:
    """Write designs to a file of the kind its suffix names, and return its path; see `domains.files`."""
    return write_whole(path, WRITERS, designs)


def write_lines(designs: Sequence[Written], path: Path) -> None:
    """A text a line; a line break inside a text becomes a space."""
    path.write_text("".join(" ".join(design.sequence.split()) + "\n" for design in designs), encoding="utf-8")


def table(designs: Sequence[Written], path: Path) -> None:
    """One row a design: text, the fields that it tells, figures, certificate."""
    names = list(dict.fromkeys(name for design in designs for name in _fields(design)))
    about = {"text": lambda d: d.sequence, "valid": lambda d: d.valid, "reason": lambda d: d.reason}
    about |= {name: (lambda d, name=name: _fields(d).get(name, "")) for name in names}
    write_csv(designs, path, about, METRICS)


def lines(designs: Sequence[Written], path: Path) -> None:
    write_jsonl(designs, path, lambda design: as_record(design) | {"fields": _fields(design)})


def _fields(design: Written) -> dict[str, str]:
    return getattr(design, "fields", None) or {}


WRITERS = {".txt": write_lines, ".csv": table, ".jsonl": lines}
