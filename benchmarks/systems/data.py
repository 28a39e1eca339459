"""The two data sets: characters of a play, words of restaurant descriptions. A twentieth of each is held out."""

import hashlib
import lzma
from collections import Counter
from pathlib import Path

import numpy as np

from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConfigError
from seqdiff.training.data import EncodedData

CHARACTERS = 64  # of a row
HELD_OUT = 20  # one row in so many


def characters(folder: Path) -> EncodedData:
    """tinyshakespeare in rows of 64 characters; the last twentieth of the text is held out, not scattered rows."""
    text = _read(folder / "text" / "tinyshakespeare.txt.xz")
    alphabet = Alphabet("characters", tuple(sorted(set(text))))
    rows = [alphabet.encode(text[i : i + CHARACTERS]) for i in range(0, len(text) - CHARACTERS + 1, CHARACTERS)]
    held_out = np.arange(len(rows)) >= len(rows) * (HELD_OUT - 1) // HELD_OUT
    return EncodedData.from_rows(alphabet, rows, [0] * len(rows), held_out, ("text",))


def words(folder: Path, min_count: int = 5, longest: int = 48) -> EncodedData:
    """E2E's descriptions word by word; a sentence with a word seen fewer than `min_count` times is left out.

    A description is held out by its hash, so equal ones lie on one side.
    """
    lines = _read(folder / "text" / "e2e_train.tsv.xz").splitlines()[1:]
    texts = [line.split("\t")[1].split("|||")[0].replace("<eos>", "").split() for line in lines]
    counts = Counter(word for text in texts for word in text)
    kept = [text for text in texts if len(text) <= longest and all(counts[word] >= min_count for word in text)]
    alphabet = Alphabet("words", tuple(sorted({word for text in kept for word in text})))
    held_out = np.array([int(hashlib.sha256(" ".join(text).encode()).hexdigest()[:8], 16) % HELD_OUT == 0 for text in kept])
    rows = [[alphabet.ids[word] for word in text] for text in kept]
    return EncodedData.from_rows(alphabet, rows, [0] * len(rows), held_out, ("text",))


DATASETS = {"characters": characters, "words": words}


def _read(path: Path) -> str:
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise ConfigError(f"--data: could not read {path} ({error.strerror or error})") from None
