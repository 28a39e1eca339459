"""Sentences of tagged corpora and treebanks: words, parts of speech, heads and relations.

MASC is word_TAG, a sentence a line, with Penn's tags; a treebank is CoNLL-U with those of Universal Dependencies beside them
(Nivre et al., 2020). Heads are numbered from 1, and 0 is the root.
"""

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seqdiff.errors import ConfigError


@dataclass(frozen=True)
class Sentence:
    """A sentence of n words; a corpus without trees has no upos, heads and relations."""

    words: tuple[str, ...]
    penn: tuple[str, ...]
    upos: tuple[str, ...] = ()
    heads: tuple[int, ...] = ()
    relations: tuple[str, ...] = ()


def read_masc(path: Path) -> Iterator[Sentence]:
    """Sentences of a line each, word_TAG; lines that begin with # are left out."""
    for line in _lines(path):
        pairs = [item.rpartition("_") for item in line.split()] if not line.startswith("#") else []
        if found := [(word, penn) for word, _, penn in pairs if word]:
            words, penn = zip(*found, strict=True)
            yield Sentence(words, penn)


def read_conllu(path: Path) -> Iterator[Sentence]:
    """Sentences of CoNLL-U. Words that are only in the enhanced graph, and ranges of several words, are left out.

    Raises ConfigError for a line that is none.
    """
    rows: list[list[str]] = []
    for line in (*_lines(path), ""):
        columns = line.split("\t")
        if columns[0].isdigit():
            if len(columns) < 8 or not columns[6].isdigit():
                raise ConfigError(f"treebank: {path} is not CoNLL-U: expected a word of ten columns with a head, got {line!r}")
            rows.append(columns)
        elif not line and rows:
            _, words, _, upos, penn, _, heads, relations, *_ = zip(*rows, strict=False)
            yield Sentence(words, penn, upos, tuple(map(int, heads)), relations)
            rows = []


def _lines(path: Path) -> Iterator[str]:
    """Raises ConfigError for a file that cannot be read."""
    try:
        with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as file:
            yield from (line.rstrip("\n") for line in file)
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise ConfigError(f"corpus: could not read {path} ({error})") from None
