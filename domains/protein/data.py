"""Proteins from FASTA files, and their encoding for training with whole families held out."""

import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domains.protein import AMINO_ACIDS
from domains.protein.families import families, hold_out
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
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"proteins: expected a FASTA file at {path}, found none")
    try:
        raw = path.open("rb")
        stream = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, lambda f: f)(raw)
        with raw, stream, io.TextIOWrapper(stream, encoding="utf-8") as text:  # type: ignore[arg-type]
            yield from _entries(text, path.name)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, UnicodeDecodeError) as error:
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
    """One FASTA file and the class that its proteins get."""

    path: str
    label: str


def encode_files(
    sources: list[Source],
    max_length: int = 400,
    min_length: int = 20,
    held_out_percent: float = 3,
    joined_percent: float = 3,
) -> EncodedData:
    """Clean, remove duplicates (the first file wins), hold out whole families, encode.

    Args:
        min_length, max_length: proteins of other lengths are left out, not cut.
        held_out_percent: of the proteins, at most; `families` says what a family is.
        joined_percent: so many rows, in percent of the proteins, are added that join two of them with a chain break; they are a
            class of their own, "joined", and both parts are from the same side of the split.

    What was left out, and why, stands in `provenance`.
    """
    labels = list(dict.fromkeys(source.label for source in sources))
    if JOINED in labels:
        raise ConfigError(f"data.files: the class {JOINED!r} is that of rows with a chain break; give the file another label")
    seen: dict[str, int] = {}
    files, refused, other_length = [], 0, 0
    for source in sources:
        before = len(seen)
        for record in read_fasta(source.path):
            text = clean(record.sequence)
            if text is None:
                refused += 1
            elif not min_length <= len(text) <= max_length:
                other_length += 1
            else:
                seen.setdefault(text, labels.index(source.label))
        digest = hashlib.sha256(Path(source.path).read_bytes()).hexdigest()
        new = {"new_molecules": len(seen) - before}
        files.append({"file": Path(source.path).name, "label": source.label, "sha256": digest, **new})
    texts = list(seen)
    rows = [PROTEIN.encode(text) for text in texts]
    family = families(rows)
    held_out = hold_out(texts, family, held_out_percent)
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
        list(seen.values()) + [len(labels)] * len(pairs),
        [*held_out.tolist(), *(bool(held_out[a]) for a, _ in pairs)],
        [*labels, *([JOINED] if pairs else [])],
        provenance,
    )


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
