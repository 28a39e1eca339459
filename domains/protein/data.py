"""Proteins from FASTA files and tables, and their encoding for training with whole families held out."""

import csv
import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domains.protein import AMINO_ACIDS
from domains.protein.families import SHARED, families, hold_out
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConfigError
from seqdiff.training.data import EncodedData

UNKNOWN, BREAK = "X", "/"
BANNED = (UNKNOWN, BREAK)  # what no designed position may hold: a chain break stands where a template puts it
PROTEIN = Alphabet("protein", (*AMINO_ACIDS, UNKNOWN, BREAK))
RARE = "BJOUZ"  # ambiguity codes, selenocysteine, pyrrolysine: read as X
JOINED = "joined"
MOST_UNKNOWN = 0.05


@dataclass(frozen=True)
class Record:
    """One entry of a FASTA file: the header without its `>`, and the sequence as written."""

    header: str
    sequence: str

    @property
    def name(self) -> str:
        return self.header.split()[0] if self.header.split() else ""


def read_fasta(path: str | Path) -> Iterator[Record]:
    """Entries of a FASTA file, plain, .gz or .xz. Raises ConfigError for a missing, damaged or other file."""
    yield from _lines(Path(path), "FASTA file", _entries)


def read_table(path: str | Path) -> Iterator[dict[str, str]]:
    """Rows of a table with a line of names on top (.tsv, else commas), plain, .gz or .xz. Errors as those of `read_fasta`."""
    tabs = Path(path).with_suffix("").suffix == ".tsv" or Path(path).suffix == ".tsv"
    yield from _lines(Path(path), "table", lambda text, _: csv.DictReader(text, delimiter="\t" if tabs else ","))


def _lines(path: Path, kind: str, read: Callable[..., Iterable[Any]]) -> Iterator[Any]:
    """What `read` makes of the lines of a file, whatever it is packed in."""
    if not path.is_file():
        raise ConfigError(f"proteins: expected a {kind} at {path}, found none")
    try:
        raw = path.open("rb")
        stream = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, lambda f: f)(raw)
        with raw, stream, io.TextIOWrapper(stream, encoding="utf-8") as text:  # type: ignore[arg-type]
            yield from read(text, path.name)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"proteins: {path.name} cannot be read as what its name says; is it damaged? ({error})") from None


def _entries(lines, name: str) -> Iterator[Record]:
    header, parts = None, []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if line.startswith(">"):
            if header is not None:
                yield Record(header, "".join(parts))
            header, parts = line[1:].strip(), []
        elif line and not line.startswith(";"):
            if header is None:
                raise ConfigError(
                    f"proteins: expected '>' before the first sequence of {name}, got line {number}: {line[:40]!r}"
                )
            parts.append("".join(line.split()))
    if header is not None:
        yield Record(header, "".join(parts))


def clean(sequence: str) -> str | None:
    """Upper case, one `*` at the end dropped, rare letters as X; None if anything else is in it, or more than 5 % are X."""
    text = sequence.upper().removesuffix("*")
    text = "".join(UNKNOWN if letter in RARE else letter for letter in text)
    if not text or set(text) - set(AMINO_ACIDS + UNKNOWN) or text.count(UNKNOWN) > MOST_UNKNOWN * len(text):
        return None
    return text


@dataclass(frozen=True)
class Source:
    """One FASTA file, or some rows of a table, and the class that its proteins get.

    Attributes:
        column, value: of a table, the rows that hold `value` in `column`; their proteins stand in the column "sequence".
    """

    path: str
    label: str
    column: str = ""
    value: str = ""

    def sequences(self) -> Iterator[str]:
        """As written. Raises ConfigError for a file that cannot be read, or a table without the columns."""
        if not self.column:
            yield from (record.sequence for record in read_fasta(self.path))
            return
        for row in read_table(self.path):
            if row.get(self.column) is None or row.get("sequence") is None:
                found = ", ".join(str(name) for name in row)
                raise ConfigError(f"proteins: expected columns {self.column} and sequence in {self.path}, got {found}")
            if row[self.column] == self.value:
                yield row["sequence"]


def encode_files(
    sources: list[Source],
    max_length: int = 400,
    min_length: int = 20,
    held_out_percent: float = 3,
    joined_percent: float = 3,
    shared_words: int = SHARED,
    half: int = 0,
) -> EncodedData:
    """Clean, remove duplicates (the first file wins), hold out whole families, encode.

    Args:
        shared_words: that make two proteins one family; peptides have few words.
        half: 1 or 2 keeps that half of the families that are trained on, so that two networks can learn from unlike proteins;
            what is held out is the same. 0 keeps all.
        min_length, max_length: proteins of other lengths are left out, not cut.
        held_out_percent: of the proteins, at most; `families` says what a family is.
        joined_percent: so many rows, in percent of the proteins, are added that join two of them with a chain break; they are a
            class of their own, "joined", and both parts are from the same side of the split.

    What was left out, and why, stands in `provenance`.
    """
    labels = list(dict.fromkeys(source.label for source in sources))
    if JOINED in labels:
        raise ConfigError(f"data.files: the class {JOINED!r} is that of rows with a chain break; give the file another label")
    if half not in (0, 1, 2):
        raise ConfigError(f"data.half: expected 0 (all), 1 or 2, got {half!r}")
    seen: dict[str, int] = {}
    files, refused, other_length = [], 0, 0
    for source in sources:
        before = len(seen)
        for written in source.sequences():
            text = clean(written)
            if text is None:
                refused += 1
            elif not min_length <= len(text) <= max_length:
                other_length += 1
            else:
                seen.setdefault(text, labels.index(source.label))
        digest = hashlib.sha256(Path(source.path).read_bytes()).hexdigest()
        new = {"new_molecules": len(seen) - before}
        files.append({"file": Path(source.path).name, "label": source.label, "sha256": digest, **new})
    texts, classes = list(seen), np.array(list(seen.values()), np.int64)
    family = families([PROTEIN.encode(text) for text in texts], shared_words)
    held_out = hold_out(texts, family, held_out_percent)
    if half:
        kept = held_out | _half(texts, family, held_out, half)
        texts, classes, family, held_out = [texts[i] for i in np.flatnonzero(kept)], classes[kept], family[kept], held_out[kept]
    rows = [PROTEIN.encode(text) for text in texts]
    pairs = _pairs(texts, held_out, max_length, int(len(texts) * joined_percent / 100))
    sizes = np.unique(family, return_counts=True)[1] if len(family) else np.zeros(0, int)
    provenance = {
        "files": files,
        "with_other_letters": refused,
        "of_other_length": other_length,
        "rows": len(texts),
        "joined_rows": len(pairs),
        "families": len(sizes),
        "largest_family": int(sizes.max(initial=0)),
        "held_out_families": len(np.unique(family[held_out])),
        "min_length": min_length,
        "max_length": max_length,
        "held_out_percent": held_out_percent,
    }
    return EncodedData.from_rows(
        PROTEIN,
        rows + [[*rows[a], PROTEIN.ids[BREAK], *rows[b]] for a, b in pairs],
        classes.tolist() + [len(labels)] * len(pairs),
        [*held_out.tolist(), *(bool(held_out[a]) for a, _ in pairs)],
        [*labels, *([JOINED] if pairs else [])],
        provenance,
    )


def _half(texts: list[str], family: np.ndarray, held_out: np.ndarray, half: int) -> np.ndarray:
    """(n,) bool: the first or second half of what is not held out, in whole families."""
    rest = np.flatnonzero(~held_out)
    first = np.zeros(len(texts), bool)
    first[rest] = hold_out([texts[i] for i in rest], family[rest], 50)
    return ~held_out & (first == (half == 1))


def _pairs(texts: list[str], held_out: np.ndarray, max_length: int, wanted: int) -> list[tuple[int, int]]:
    """Pairs of proteins of the same side of the split that fit into a row together, drawn with a fixed seed."""
    if not texts:
        return []
    generator = np.random.Generator(np.random.Philox(key=29))
    pairs: list[tuple[int, int]] = []
    for a, b in generator.integers(0, len(texts), (50 * wanted, 2)).tolist():
        if len(pairs) == wanted:
            break
        if a != b and held_out[a] == held_out[b] and len(texts[a]) + 1 + len(texts[b]) <= max_length:
            pairs.append((a, b))
    return pairs
