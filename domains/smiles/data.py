"""Molecules from files, and their encoding for training."""

import csv
import gzip
import hashlib
import io
import lzma
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from domains.smiles.tokens import tokenize
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, ConfigError
from seqdiff.training.data import EncodedData

SMILES_COLUMNS = ("smiles", "canonical_smiles", "mol")


def read_smiles(path: str | Path) -> Iterator[str]:
    """SMILES of a file: .smi (first word of a line), .csv / .tsv (column `smiles`), .sdf; each plain, .gz or .xz.

    Raises ConfigError for a missing file, an unknown kind, a damaged file or a table without a SMILES column.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"molecules: expected a file at {path}, found none")
    try:
        yield from _read(path)
    except (OSError, EOFError, lzma.LZMAError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise ConfigError(f"molecules: {path.name} cannot be read as what its name says; is it damaged? ({error})") from None


def _read(path: Path) -> Iterator[str]:
    kind = [s for s in path.suffixes if s not in (".gz", ".xz")][-1:] or [""]
    raw = path.open("rb")
    stream = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, lambda f: f)(raw)
    with raw, stream:
        if kind[0] == ".sdf":
            yield from _read_sdf(stream)
            return
        text = io.TextIOWrapper(stream, encoding="utf-8")  # type: ignore[arg-type]
        if kind[0] in (".csv", ".tsv"):
            yield from _read_table(path, text, "\t" if kind[0] == ".tsv" else ",")
        elif kind[0] in (".smi", ".smiles", ".txt"):
            for line in text:
                if words := line.split():
                    yield words[0]
        else:
            raise ConfigError(f"molecules: expected .smi, .csv, .tsv or .sdf (plain, .gz or .xz), got {path.name}")


def _read_table(path: Path, text, delimiter: str) -> Iterator[str]:
    rows = csv.DictReader(text, delimiter=delimiter)
    columns = rows.fieldnames or []
    column = next((c for c in columns if c.lower() in SMILES_COLUMNS), None)
    if column is None:
        raise ConfigError(
            f"molecules: expected a column {' or '.join(SMILES_COLUMNS)} in {path.name}, got {', '.join(columns)}"
        )
    for row in rows:
        if row[column]:
            yield row[column].strip()


def _read_sdf(stream) -> Iterator[str]:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        for molecule in Chem.ForwardSDMolSupplier(stream):
            if molecule is not None:
                yield Chem.MolToSmiles(molecule)


def canonical(smiles: str) -> str | None:
    """RDKit's canonical SMILES, None if RDKit refuses the molecule."""
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles)
    return None if molecule is None or molecule.GetNumAtoms() == 0 else Chem.MolToSmiles(molecule)


def randomised(smiles: str, seed: int) -> str:
    """A SMILES of the same molecule written from a random atom in a random order, a function of (smiles, seed)."""
    from rdkit import Chem

    # RDKit leaves its generator as it is for a seed of 0, and the result would depend on the calls before
    return Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 1, randomSeed=seed + 1)[0]


def _canonical_chunk(chunk: list[str]) -> list[str | None]:
    from rdkit import rdBase

    with rdBase.BlockLogs():
        return [canonical(smiles) for smiles in chunk]


def canonical_many(smiles: list[str], workers: int | None = None, chunk: int = 4000) -> list[str | None]:
    """`canonical` of a list, in worker processes."""
    chunks = [smiles[i : i + chunk] for i in range(0, len(smiles), chunk)]
    if len(chunks) < 2:
        return [c for part in chunks for c in _canonical_chunk(part)]
    with ProcessPoolExecutor(workers) as pool:
        return [c for part in pool.map(_canonical_chunk, chunks) for c in part]


def is_held_out(smiles: str, percent: int) -> bool:
    """The split: a function of the canonical SMILES alone, so that repeats and re-runs fall on the same side."""
    return int(hashlib.sha256(smiles.encode()).hexdigest()[8:16], 16) % 100 < percent


def _metric_chunk(job: tuple[str, list[str]]) -> list[float]:
    from domains.smiles.properties import describe

    name, chunk = job
    return [describe(smiles).metrics[name] for smiles in chunk]


def metric_many(smiles: list[str], name: str, workers: int | None = None, chunk: int = 2000) -> list[float]:
    """A figure of `properties.METRICS` of each valid SMILES, in worker processes. Raises ConfigError for an unknown name."""
    from domains.smiles.properties import METRICS

    if name not in METRICS:
        raise ConfigError(f"data.target: expected one of {', '.join(METRICS)}; got {name!r}")
    jobs = [(name, smiles[i : i + chunk]) for i in range(0, len(smiles), chunk)]
    if len(jobs) < 2:
        return [value for job in jobs for value in _metric_chunk(job)]
    with ProcessPoolExecutor(workers) as pool:
        return [value for part in pool.map(_metric_chunk, jobs) for value in part]


@dataclass(frozen=True)
class Source:
    """One file of molecules and the class that its rows get."""

    path: str
    label: str


def encode_files(
    sources: list[Source],
    max_length: int = 96,
    min_count: int = 25,
    held_out_percent: int = 2,
    workers: int | None = None,
    target: str = "",
    alphabet: Alphabet | None = None,
) -> EncodedData:
    """Canonicalise, remove duplicates (the first file wins), split, count tokens, encode.

    Args:
        max_length: longest row kept, in tokens.
        min_count: a token in fewer molecules (held-out ones too) is left out of the alphabet, with the molecules that use it.
        target: the figure of `properties.METRICS` that each row carries as its number, '' for none.
        alphabet: use this one; molecules with other tokens are left out, and min_count has no effect.

    What was left out, and why, stands in `provenance`.
    """
    labels = list(dict.fromkeys(source.label for source in sources))
    seen: dict[str, int] = {}
    files = []
    for source in sources:
        raw = list(dict.fromkeys(read_smiles(source.path)))
        clean = canonical_many(raw, workers)
        before = len(seen)
        for smiles in clean:
            if smiles is not None:
                seen.setdefault(smiles, labels.index(source.label))
        files.append(
            {
                "file": Path(source.path).name,
                "label": source.label,
                "sha256": hashlib.sha256(Path(source.path).read_bytes()).hexdigest(),
                "distinct_lines": len(raw),
                "unreadable": clean.count(None),
                "new_molecules": len(seen) - before,
            }
        )
    tokenized, unknown = {}, 0
    for smiles in seen:
        try:
            tokenized[smiles] = tokenize(smiles)
        except AlphabetError:
            unknown += 1
    short = {smiles: tokens for smiles, tokens in tokenized.items() if len(tokens) <= max_length}
    counts = Counter(token for tokens in short.values() for token in set(tokens))
    if alphabet is None:
        alphabet = Alphabet("smiles", tuple(sorted(token for token, count in counts.items() if count >= min_count)))
    known = {smiles: tokens for smiles, tokens in short.items() if all(token in alphabet.ids for token in tokens)}
    provenance = {
        "files": files,
        "not_tokenized": unknown,
        "longer_than_max_length": len(tokenized) - len(short),
        "with_rare_token": len(short) - len(known),
        "rows": len(known),
        "max_length": max_length,
        "min_count": min_count,
        "held_out_percent": held_out_percent,
    }
    return EncodedData.from_rows(
        alphabet,
        [alphabet.encode(tokens) for tokens in known.values()],
        [seen[smiles] for smiles in known],
        [is_held_out(smiles, held_out_percent) for smiles in known],
        labels,
        provenance,
        metric_many(list(known), target, workers) if target else None,
        target,
    )
