"""Molecules into files: .csv, .smi, .sdf, .jsonl, .png and .html, chosen by the suffix."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from domains.files import Written, as_record, cell, finite, write_csv, write_jsonl, write_whole
from domains.smiles.pictures import grid_png, read_as_written
from domains.smiles.properties import METRICS
from domains.smiles.report import write_report

__all__ = ["WRITERS", "as_record", "write"]


def write(path: str | Path, designs) -> Path:
    """Write designs to a file of the kind its suffix names, and return its path; it appears whole or not at all.

    Args:
        designs: a sequence of designs, or the answer that holds them (`domains.answer.Designs`), of which a report tells
            what was asked and what the model was trained on.

    Raises ConfigError for another suffix or a place that cannot be written to.
    """
    whole = Path(path).suffix.lower() == ".html"
    return write_whole(path, WRITERS, designs if whole or isinstance(designs, Sequence) else designs.designs)


def _names(designs: Sequence[Written]) -> Iterator[tuple[str, Written]]:
    return ((f"design-{number}", design) for number, design in enumerate(designs, 1))


def _write_csv(designs: Sequence[Written], path: Path) -> None:
    """`smiles` is the SMILES as designed."""
    columns = {
        "smiles": lambda d: d.sequence,
        "canonical_smiles": lambda d: d.canonical,
        "valid": lambda d: d.valid,
        "reason": lambda d: d.reason,
        "pins_kept": lambda d: d.pins_kept,
    }
    write_csv(designs, path, columns, METRICS)


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
            tags |= {metric: finite(value) for metric, value in design.metrics.items()}
            tags |= {"certificate": str(design.certificate)}
            for tag, value in tags.items():
                if text := _sdf_line(cell(value)):
                    file.write(f">  <{tag}>\n{text}\n\n")
            file.write("$$$$\n")


def _sdf_line(text: str) -> str:
    """Text as one line of an SDF value: a blank line ends a value, `$$$$` a record, and `>` starts the next tag."""
    line = " ".join(stripped for part in text.splitlines() if (stripped := part.strip()))
    return f" {line}" if line.startswith(("$$$$", ">")) else line


WRITERS = {
    ".csv": _write_csv,
    ".smi": _write_smi,
    ".sdf": _write_sdf,
    ".jsonl": write_jsonl,
    ".png": grid_png,
    ".html": write_report,
}
