"""Alignments of proteins: A2M, A3M, Stockholm and aligned FASTA, as rows over the match columns.

    .a2m .a3m          lower case is an insertion, `-` a deletion, `.` fills up other rows' insertions (left out in A3M)
    .sto .stk .stockholm    read by Biopython; match columns are those that `#=GC RF` does not give a `.`; without such a
                       line, those that hold an upper-case letter
    .afa .fasta .fa .faa    all rows of one length, every column a match column

Plain, .gz or .xz. The first row is the query, as alignment searches write it; X, B, Z, J, U and O are kept as X.
"""

import gzip
import io
import lzma
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domains.protein import AMINO_ACIDS
from domains.protein.data import RARE, UNKNOWN, Record, read_fasta
from seqdiff.errors import ConfigError

GAP = "-"
INSERTIONS = (".a2m", ".a3m")
STOCKHOLM = (".sto", ".stk", ".stockholm")
ALIGNED = (".afa", ".fasta", ".fa", ".faa")


@dataclass(frozen=True)
class Alignment:
    """Rows of one length over the twenty amino acids, X and `-`.

    Attributes:
        names: of the rows.
        rows: match columns alone, in upper case.
        whole: the same proteins unaligned, insertions and all, in upper case.
    """

    names: tuple[str, ...]
    rows: tuple[str, ...]
    whole: tuple[str, ...]

    @property
    def columns(self) -> int:
        return len(self.rows[0])


def read_alignment(path: str | Path) -> Alignment:
    """Read the alignment that a file's suffix names. Raises ConfigError with the row that is wrong."""
    path = Path(path)
    kind = ([s for s in path.suffixes if s not in (".gz", ".xz")][-1:] or [""])[0].lower()
    if kind not in (*INSERTIONS, *STOCKHOLM, *ALIGNED):
        expected = ", ".join((*INSERTIONS, *STOCKHOLM, *ALIGNED))
        raise ConfigError(f"alignment: expected a file ending in {expected} (plain, .gz or .xz), got {path.name!r}")
    if kind in STOCKHOLM:
        records, match = _stockholm(path)
    else:
        records, match = list(read_fasta(path)), None
    if not records:
        raise ConfigError(f"alignment: {path.name} holds no sequence")
    if kind in STOCKHOLM or kind in ALIGNED:
        _one_length(path, [record.sequence for record in records], [record.name for record in records], "columns")
    rows, whole = [], []
    for record in records:
        text = record.sequence.removesuffix("*")
        plain = text.replace(GAP, "").replace(".", "")
        if other := sorted(set(plain.upper()) - set(AMINO_ACIDS + UNKNOWN + RARE)):
            raise ConfigError(f"alignment: {record.name!r} of {path.name} holds {' '.join(other)}, no amino acid")
        if kind in INSERTIONS:
            text = "".join(letter for letter in text if letter == GAP or letter.isupper())
        elif match is not None:
            text = "".join(text[i] for i in match)
        rows.append(_known(text.replace(".", GAP)))
        whole.append(_known(plain))
    _one_length(path, rows, [record.name for record in records], "match columns (upper case and -)")
    if not rows[0]:
        raise ConfigError(f"alignment: {path.name} has no match column")
    return Alignment(tuple(record.name for record in records), tuple(rows), tuple(whole))


def _known(text: str) -> str:
    return "".join(UNKNOWN if letter in RARE else letter for letter in text.upper())


def _one_length(path: Path, rows: Sequence[str], names: Sequence[str], what: str) -> None:
    for name, row in zip(names, rows, strict=True):
        if len(row) != len(rows[0]):
            raise ConfigError(
                f"alignment: {name!r} of {path.name} has {len(row)} {what}, the first row {len(rows[0])}; is it aligned?"
            )


def _stockholm(path: Path) -> tuple[list[Record], list[int]]:
    """Rows, and the places of the match columns."""
    from Bio import AlignIO

    if not path.is_file():
        raise ConfigError(f"alignment: expected a file at {path}, found none")
    opened = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opened(path, "rt", encoding="utf-8") as file:
            found = AlignIO.read(io.StringIO(file.read()), "stockholm")  # type: ignore[arg-type]
    except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError, AssertionError) as error:
        raise ConfigError(f"alignment: {path.name} cannot be read as what its name says; is it damaged? ({error})") from None
    records = [Record(str(row.id), str(row.seq)) for row in found]
    reference = found.column_annotations.get("reference_annotation")
    if reference is not None:
        return records, [i for i, mark in enumerate(reference) if mark != "."]
    columns = zip(*(record.sequence for record in records), strict=True)
    return records, [i for i, column in enumerate(columns) if any(letter.isupper() for letter in column)]
