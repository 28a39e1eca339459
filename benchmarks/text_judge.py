"""An autoregressive judge of texts that is no model under test: its rows, and what it says of a text.

    python -m benchmarks.text_judge --data DATA --model text-small --out judge-data
    seqdiff train text-judge --data judge-data --out runs/text-judge

It is trained on texts that no model under test has seen, and on no text that they are tested with: of restaurants E2E's
development set, whose meanings are none of the training set's; of scenes the half of the held-out keyword sets that is no
target (`is_judged`); and English prose (UD English EWT, and sentences of old books that need no word beyond the alphabet). It
reads the alphabet of the model under test, so that it can read all that the model can write, and is told no length.

    nats a word    −log p(text | class) / words, the end of the text not counted
"""

import argparse
import hashlib
import lzma
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from domains.registry import find_model
from domains.text.data import is_held_out, read_examples
from domains.text.fields import row
from domains.text.metrics import words_of
from domains.text.tokens import WORD, normal
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint

PERCENT = 3  # of the meanings are held out, as in the preset text-small
BOOK_SENTENCES = 6_000
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")


def is_judged(key: str) -> bool:
    """Whether a held-out keyword set is the judge's (half of them) and so no target."""
    return int(hashlib.sha256(f"judge {key}".encode()).hexdigest()[:8], 16) % 2 == 0


class Judge:
    """A trained judge; all figures are functions of the text alone."""

    def __init__(self, checkpoint: Checkpoint):
        self.checkpoint = checkpoint
        self.sha256 = checkpoint.sha256

    @torch.no_grad()
    def nats(self, texts: Sequence[str], label: str) -> list[float]:
        """−log p of each text, in nats; texts beyond the model's length are read as far as it goes. Empty texts have 0."""
        c, found = self.checkpoint, [0.0] * len(texts)
        rows = {i: row(text, (), c.alphabet)[: c.max_length] for i, text in enumerate(texts) if text.strip()}
        by_length: dict[int, list[int]] = {}
        for i, ids in rows.items():
            by_length.setdefault(len(ids), []).append(i)
        network, index = c.network, c.label_index(label)
        for places in by_length.values():
            x = torch.tensor([rows[i] for i in places])
            nats = -network.log_likelihood(x, torch.full((len(x),), index))  # type: ignore[operator]
            for i, value in zip(places, nats.tolist(), strict=True):
                found[i] = value
        return found

    def nats_a_word(self, texts: Sequence[str], label: str) -> float | None:
        """Of all the texts together, words and signs counted alike; None where nothing is said."""
        words = sum(len(words_of(text)) for text in texts)
        return sum(self.nats(texts, label)) / words if words else None


def prose(folder: Path, alphabet: Alphabet) -> Iterator[str]:
    """Sentences of UD English EWT, and of books those that the alphabet's words spell."""
    with lzma.open(folder / "ud_ewt_train.conllu.xz", "rt", encoding="utf-8") as lines:
        said = (line.removeprefix("# text = ") for line in lines if line.startswith("# text = "))
        yield from (text for text in map(normal, said) if readable(text, alphabet))
    with lzma.open(folder / "classic_books_en.txt.xz", "rt", encoding="utf-8") as lines:
        fit, kept = (normal(s) for line in lines for s in SENTENCE.split(line) if 6 <= s.count(" ") < 30), 0
        for text in fit:
            if kept == BOOK_SENTENCES:
                return
            if all(piece in alphabet.ids for piece in WORD.findall(" " + text)):
                kept += 1
                yield text


def readable(text: str, alphabet: Alphabet) -> bool:
    """Whether the alphabet has all the characters of a text."""
    return all(character in alphabet.ids for character in text if character != " ")


def prepare(data: Path, model: Checkpoint, out: Path) -> dict[str, int]:
    """Write the judge's rows and the alphabet; returns how many texts there are of each class."""
    folder, alphabet = data / "text", model.alphabet
    scenes = read_examples(folder / "commongen_train.tsv.xz", "scene")
    texts = {
        "restaurant": [e.text for e in read_examples(folder / "e2e_dev.csv.xz", "restaurant")],
        "scene": [e.text for e in scenes if is_held_out(e.key, PERCENT) and is_judged(e.key)],
        "prose": list(prose(folder, alphabet)),
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, said in texts.items():
        kept = list(dict.fromkeys(text for text in said if text and readable(text, alphabet)))
        (out / f"{name}.txt").write_text("".join(text + "\n" for text in kept), encoding="utf-8")
        texts[name] = kept
    (out / "alphabet.json").write_text(alphabet.to_json(), encoding="utf-8")
    return {name: len(said) for name, said in texts.items()}


def main(arguments: Sequence[str] | None = None) -> dict[str, int]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_judge")
    parser.add_argument("--data", type=Path, required=True, help="folder with text/e2e_dev.csv.xz and the others")
    parser.add_argument("--model", help="whose alphabet is read: bundled name or folder")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    counts = prepare(given.data, load_checkpoint(find_model(given.model, "text")), given.out)
    print(", ".join(f"{n:,} of {name}" for name, n in counts.items()))
    return counts


if __name__ == "__main__":
    main()
