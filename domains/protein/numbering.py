"""Numberings of a structure's residues beside the file's own: UniProt's by an offset, and tables such as IMGT or Kabat.

    uniprot:+23            the author's number + 23, of every chain; residues with an insertion code have none
    uniprot:A=+23,B=-4     a chain at a time
    imgt.csv               a table with the columns chain, number, index: what residue `index` (from 0, of the author's chain in
                           the file) is called; residues that it does not list have no number in it

The name of a table's numbering is its file's, without the suffix.
"""

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domains.protein.structure import NUMBERINGS, Residue
from seqdiff.errors import ConfigError

UNIPROT = "uniprot"
OFFSET = re.compile(r"(?:([A-Za-z0-9]+)\s*=\s*)?([-+]?\d{1,6})")
NUMBER = re.compile(r"-?\d{1,6}[A-Z]?")
COLUMNS = ("chain", "number", "index")


def numbered(residues: list[Residue], asked: str) -> tuple[list[Residue], str]:
    """The residues with the numbering that is asked for, and its name. Raises ConfigError for what is none."""
    if asked in NUMBERINGS:
        return residues, asked
    if asked.startswith(f"{UNIPROT}:"):
        return with_offsets(residues, asked.removeprefix(f"{UNIPROT}:")), UNIPROT
    if asked.lower().endswith(".csv"):
        name = Path(asked).stem
        return with_table(residues, asked, name), name
    raise ConfigError(f"numbering: expected {', '.join(NUMBERINGS)}, uniprot:A=+23 or a table such as imgt.csv, got {asked!r}")


def with_offsets(residues: list[Residue], text: str) -> list[Residue]:
    """A numbering "uniprot": the author's plus an offset, "+23" for all chains or "A=+23,B=-4"."""
    offsets: dict[str | None, int] = {}
    chains = list(dict.fromkeys(residue.author[0] for residue in residues))
    for piece in text.split(","):
        found = OFFSET.fullmatch(piece.strip())
        if not found or (found[1] and found[1] not in chains) or found[1] in offsets:
            expected = f"an offset such as +23, or A=+23 of each chain once (the chains are {', '.join(chains)})"
            raise ConfigError(f"numbering: expected {expected}, got {piece.strip()!r}")
        offsets[found[1]] = int(found[2])
    out = []
    for residue in residues:
        chain, number = residue.author
        offset = offsets.get(chain, offsets.get(None))
        plain = re.fullmatch(r"-?\d+", number)
        shifted = (chain, str(int(number) + offset)) if offset is not None and plain else None
        out.append(_also(residue, UNIPROT, shifted))
    return out


def with_table(residues: list[Residue], path: str | Path, name: str) -> list[Residue]:
    """A numbering of that name from a CSV file with a header and the columns chain, number, index."""
    path = Path(path)
    if name in (*NUMBERINGS, UNIPROT):
        raise ConfigError(f"numbering: {name!r} is a numbering already; give the table {path.name} another name")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"numbering: the table {path} cannot be read ({error})") from None
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise ConfigError(f"numbering: expected a header with {', '.join(COLUMNS)} in {path.name}, and rows below it")
    there = {(residue.author[0], residue.index): i for i, residue in enumerate(residues)}
    called: dict[int, tuple[str, str]] = {}
    for line, row in enumerate(rows, 2):
        chain, number, index = ((row[column] or "").strip() for column in COLUMNS)
        where = f"numbering: line {line} of {path.name}"
        if not NUMBER.fullmatch(number):
            raise ConfigError(f"{where}: expected a number with an insertion code or without (111, 111A), got {number!r}")
        place = there.get((chain, int(index))) if re.fullmatch(r"\d{1,6}", index) else None
        if place is None:
            raise ConfigError(f"{where}: the structure has no residue {index!r} (from 0) of chain {chain!r}")
        if place in called or (chain, number) in called.values():
            raise ConfigError(f"{where}: {chain} {number} or residue {index} is listed twice")
        called[place] = (chain, number)
    return [_also(residue, name, called.get(i)) for i, residue in enumerate(residues)]


def _also(residue: Residue, name: str, number: tuple[str, str] | None) -> Residue:
    return replace(residue, also=(*residue.also, (name, number)))


def side_by_side(residues: Sequence[Residue]) -> str:
    """A table of all numberings, one residue a line, columns parted by tabs; `–` where a residue has none."""
    others = [name for name, _ in residues[0].also] if residues else []
    lines = ["\t".join(["residue", *NUMBERINGS, *others])]
    for residue in residues:
        numbers = [residue.author, residue.label, (residue.author[0], str(residue.index)), *(n for _, n in residue.also)]
        lines.append("\t".join([residue.letter, *("–" if n is None else " ".join(n) for n in numbers)]))
    return "\n".join(lines) + "\n"
