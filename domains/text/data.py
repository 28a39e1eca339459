"""Texts from files, and their encoding for training: what a text tells stands before it as fields (`domains.text.fields`).

Files are told apart by what they hold, not by their names:

    mr, text_and_spans     E2E restaurants, tokenised (Novikova et al., 2017); mr as __start_food__ French __end_food__ …
    mr, ref                E2E as published; mr as "food[French], area[riverside]"
    concepts, …, target    CommonGen (Lin et al., 2020): keywords and a sentence that uses them
    label, phrase|sentence reviews with an opinion, 1 good and 0 bad
    .txt                   a text a line; of .csv, .tsv and .jsonl the column `text`, other columns named as fields

For a classifier a file is given once for each class, with the column and its value that say which rows are of that class.
"""

import csv
import gzip
import hashlib
import io
import json
import lzma
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from domains.registry import bundled_models
from domains.text.fields import TEXT, Example, marker, row
from domains.text.tokens import KINDS, alphabet_of, normal, read_tokenizer, train_bpe
from seqdiff.alphabet import Alphabet
from seqdiff.errors import AlphabetError, ConfigError
from seqdiff.training.data import EncodedData

E2E = {"eattype": "type", "pricerange": "price", "customerrating": "rating", "familyfriendly": "family"}
E2E_TAGGED = re.compile(r"__start_(\w+?)__ (.*?) __end_\1__")
E2E_LISTED = re.compile(r"([\w ]+)\[([^\]]*)\]")
OPINION = {"1": "good", "0": "bad"}
FIELD = re.compile(r"[a-z]+")


@dataclass(frozen=True)
class Source:
    """One file of texts and the class that its rows get.

    Attributes:
        column, value: only rows with this value there, whose class then says all: they have no fields; "" are all rows.
    """

    path: str
    label: str
    column: str = ""
    value: str = ""


def read_examples(path: str | Path, label: str, column: str = "", value: str = "") -> Iterator[Example]:
    """Texts and fields of a file, plain, .gz or .xz; column and value as in `Source`.

    Raises ConfigError for a missing, damaged or other file, or one without that column.
    """
    for example in _read(Path(path), label, column, value):
        yield replace(example, fields=(), key=example.text) if column else example


def _read(path: Path, label: str, column: str, value: str) -> Iterator[Example]:
    if not path.is_file():
        raise ConfigError(f"texts: expected a file at {path}, found none")
    kind = ([s for s in path.suffixes if s not in (".gz", ".xz")] or [""])[-1]
    try:
        raw = path.open("rb")
        stream = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, lambda f: f)(raw)
        with raw, stream, io.TextIOWrapper(stream, encoding="utf-8", newline="") as lines:  # type: ignore[arg-type]
            if kind == ".txt":
                if column:
                    raise ConfigError(f"texts: expected a table with a column {column!r}, got {path.name}")
                yield from (Example(normal(line), (), label, normal(line)) for line in lines if line.strip())
            elif kind == ".jsonl":
                entries = (json.loads(line) for line in lines if line.strip())
                yield from (_plain(entry, label, path, not column) for entry in entries if _is_of(entry, column, value, path))
            elif kind in (".csv", ".tsv"):
                yield from _table(lines, kind, label, path, column, value)
            else:
                raise ConfigError(f"texts: expected .txt, .csv, .tsv or .jsonl (plain, .gz or .xz), got {path.name}")
    except ConfigError:
        raise
    except (OSError, EOFError, lzma.LZMAError, zlib.error, csv.Error, ValueError) as error:
        raise ConfigError(f"texts: {path.name} cannot be read as what its name says; is it damaged? ({error})") from None


def _is_of(entry: dict, column: str, value: str, path: Path) -> bool:
    """Whether an entry has this value in the column; any has where no column is given."""
    if column and column not in entry:
        raise ConfigError(f"texts: expected a column {column!r} in {path.name}, got {', '.join(sorted(entry))}")
    return not column or str(entry[column]).strip() == value


def _table(lines, kind: str, label: str, path: Path, column: str = "", value: str = "") -> Iterator[Example]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    options = {"delimiter": "\t", "quoting": csv.QUOTE_NONE} if kind == ".tsv" else {}
    table = csv.DictReader(lines, **options)  # type: ignore[arg-type]
    columns = set(table.fieldnames or [])
    if {"mr", "text_and_spans"} <= columns:
        read = _e2e_tagged
    elif {"mr", "ref"} <= columns:
        read = _e2e_listed
    elif {"concepts", "target"} <= columns:
        read = _keywords
    elif "label" in columns and columns & {"phrase", "sentence"}:
        read = _opinion
    elif "text" in columns:
        read = None
    else:
        raise ConfigError(f"texts: expected a column `text` in {path.name}, got {', '.join(sorted(columns))}")
    for entry in table:
        if None in entry or None in entry.values():
            raise ConfigError(f"texts: {path.name}, line {table.line_num}: expected {len(columns)} columns, got another number")
        if _is_of(entry, column, value, path):
            yield _plain(entry, label, path, not column) if read is None else read(entry, label)


def _e2e_tagged(entry: dict, label: str) -> Example:
    fields = [(_e2e_name(name), joined(value)) for name, value in E2E_TAGGED.findall(entry["mr"])]
    return _of_meaning(joined(entry["text_and_spans"].split(" <eos>")[0]), fields, label)


def _e2e_listed(entry: dict, label: str) -> Example:
    fields = [(_e2e_name(name), normal(value)) for name, value in E2E_LISTED.findall(entry["mr"])]
    return _of_meaning(normal(entry["ref"]), fields, label)


def _e2e_name(name: str) -> str:
    name = name.strip().lower().replace(" ", "")
    return E2E.get(name, name)


def _of_meaning(text: str, fields: list[tuple[str, str]], label: str) -> Example:
    return Example(text, tuple(fields), label, " ".join(f"{name}={value}" for name, value in sorted(fields)))


def _keywords(entry: dict, label: str) -> Example:
    words = entry["concepts"].split()
    return Example(normal(entry["target"]), (("keywords", " ".join(words)),), label, " ".join(sorted(words)))


def _opinion(entry: dict, label: str) -> Example:
    text = normal(entry.get("phrase") or entry.get("sentence") or "")
    return Example(text, (("opinion", OPINION.get(entry["label"], str(entry["label"]))),), label, text)


def _plain(entry: dict, label: str, path: Path, told: bool = True) -> Example:
    if "text" not in entry:
        raise ConfigError(f"texts: expected `text` in every line of {path.name}, got {', '.join(entry)}")
    others = {name: value for name, value in entry.items() if name != "text"} if told else {}
    fields = [(name.lower(), str(value)) for name, value in others.items() if str(value).strip()]
    for name, _ in fields:
        if not FIELD.fullmatch(name):
            raise ConfigError(f"texts: {path.name}: a field is named by letters a to z, got {name!r}")
    return Example(normal(entry["text"]), tuple(fields), label, normal(entry["text"]))


def joined(tokenised: str) -> str:
    """Text from words apart by spaces: punctuation, clitics, hyphens and pounds back in their places."""
    text = re.sub(r" ([.,!?;:)\]%])", r"\1", tokenised)
    text = re.sub(r"([(\[£$]) ", r"\1", text)
    text = re.sub(r"(?<=\w) (n't|'s|'t|'re|'ve|'ll|'d|'m)\b", r"\1", text)
    return normal(re.sub(r"(?<=\w) - (?=\w)", "-", text))


def is_held_out(key: str, percent: float) -> bool:
    """The split: a function of the key alone, so that all texts of one meaning fall on the same side."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) % 10_000 < 100 * percent


def half_of(key: str) -> int:
    """1 or 2, by digits of the hash that `is_held_out` does not look at."""
    return 1 + int(hashlib.sha256(key.encode()).hexdigest()[8:16], 16) % 2


def variants(example: Example, generator: np.random.Generator) -> list[tuple[tuple[str, str], ...]]:
    """The fields that rows of an example show: all of them, and some or none; keywords in any order."""
    shown = [_mixed(example.fields, generator)]
    if example.fields:
        few = tuple(f for f in example.fields if generator.random() < 0.4) if len(example.fields) > 1 else ()
        shown.append(_mixed(few, generator))
    return shown


def _mixed(fields: tuple[tuple[str, str], ...], generator: np.random.Generator) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, " ".join(generator.permutation(value.split())) if name == "keywords" else value) for name, value in fields
    )


def encode_files(
    sources: list[Source],
    tokens: str = "words",
    min_count: int = 8,
    vocabulary: int = 4096,
    max_length: int = 80,
    held_out_percent: float = 3,
    half: int = 0,
    alphabet: Alphabet | None = None,
) -> EncodedData:
    """Read, split by meaning, make an alphabet, encode each text once with all of its fields and once with some or none.

    Args:
        tokens: words, characters, bytes, bpe; a bundled model, whose tokens are taken; or the path of a `tokenizer.json` of
            byte-level BPE, or of the `alphabet.json` of a model that is trained further.
        min_count: a word in fewer texts is spelled.
        vocabulary: tokens of bpe.
        max_length: longest row kept, in tokens, fields included.
        held_out_percent: of the meanings (sets of fields, sets of keywords, phrases).
        half: 1 or 2 keeps that half of what is trained on, so that two networks can learn from unlike texts; 0 is all.

    Left out, and counted in `provenance`: texts of two classes that columns tell, rows that are too long, and those with a
    character that a given alphabet lacks. Raises AlphabetError where that is more than one text in ten.
    """
    labels = list(dict.fromkeys(source.label for source in sources))
    if half not in (0, 1, 2):
        raise ConfigError(f"data.half: expected 0 (all), 1 or 2, got {half!r}")
    examples: dict[tuple[str, tuple], Example] = {}
    files, contested = [], set()
    for source in sources:
        before = len(examples)
        for example in read_examples(source.path, source.label, source.column, source.value):
            if example.text:
                first = examples.setdefault((example.text, example.fields), example)
                contested |= {example.text} if source.column and first.label != example.label else set()
        digest = hashlib.sha256(Path(source.path).read_bytes()).hexdigest()
        name = Path(source.path).name
        files.append({"file": name, "label": source.label, "sha256": digest, "new_texts": len(examples) - before})
    alphabet = alphabet or _alphabet(list(examples.values()), tokens, min_count, vocabulary)
    generator = np.random.Generator(np.random.Philox(key=41))
    rows, classes, held_out, long, strange = [], [], [], 0, 0
    for example in examples.values():
        out = is_held_out(example.key, held_out_percent)
        if example.text in contested or (half and not out and half_of(example.key) != half):
            continue
        for fields in dict.fromkeys(variants(example, generator)):
            try:
                ids = row(example.text, fields, alphabet)
            except AlphabetError:
                strange += 1
                if strange > len(examples) / 10:
                    raise
                continue
            if len(ids) > max_length:
                long += 1
                continue
            rows.append(ids)
            classes.append(labels.index(example.label))
            held_out.append(out)
    provenance = {
        "files": files,
        "texts": len(examples),
        "rows": len(rows),
        "rows_longer_than_max_length": long,
        "max_length": max_length,
        "min_count": min_count,
        "held_out_percent": held_out_percent,
    }
    provenance |= {"half": half} if half else {}
    provenance |= {"rows_with_other_characters": strange} if strange else {}
    provenance |= {"texts_of_two_classes": len(contested)} if contested else {}
    return EncodedData.from_rows(alphabet, rows, classes, held_out, labels, provenance)


def _alphabet(examples: list[Example], tokens: str, min_count: int, vocabulary: int) -> Alphabet:
    markers = sorted({marker(name) for example in examples for name, _ in example.fields})
    markers += [TEXT] if markers else []
    texts = [example.text for example in examples]
    texts += list(dict.fromkeys(value for example in examples for _, value in example.fields))
    if tokens == "bpe":
        return train_bpe(texts, vocabulary, markers)
    if tokens in KINDS:
        return alphabet_of(texts, tokens, min_count, markers)
    if tokens in (models := bundled_models()):
        tokens = str(models[tokens] / "alphabet.json")
    if not tokens.endswith(".json"):
        raise ConfigError(
            f"data.tokens: expected one of {', '.join(KINDS)}, a bundled model or the path of a tokenizer.json; got {tokens!r}"
        )
    if Path(tokens).name == "alphabet.json":
        return _of_model(Path(tokens), markers)
    read = read_tokenizer(tokens)
    return Alphabet(read.name, (*read.tokens, *(m for m in markers if m not in read.ids)))


def _of_model(path: Path, markers: list[str]) -> Alphabet:
    """The alphabet of a model. Raises ConfigError where it lacks a field of the data, or cannot be read."""
    try:
        alphabet = Alphabet.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, AlphabetError) as error:
        raise ConfigError(f"data.tokens: {path}: expected the alphabet of a model ({error})") from None
    if missing := [m for m in markers if m not in alphabet.ids]:
        raise ConfigError(f"data.tokens: {path}: this model knows no field {missing[0]}; leave that column out of the data")
    return alphabet
