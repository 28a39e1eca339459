"""A part-of-speech tagger and the lexicon of `domains.text.tagging`, trained from tagged corpora.

    python -m domains.text.tagger --masc masc_tagged.txt.xz --ud ud_ewt_train.conllu.xz --dev ud_ewt_dev.conllu.xz
        --out tagger.xz
    python -m domains.text.tagger --masc masc_tagged.txt.xz --lexicon domains/text/models/parts-of-speech/lexicon.json.xz

The tagger is NLTK's averaged perceptron (Honnibal, 2013) over the twelve classes of `tagging.TAGS`, to which Penn's tags are
brought (after Petrov et al., "A Universal Part-of-Speech Tagset", 2012). It is kept as JSON, compressed. The lexicon is counted
in MASC (the Manually Annotated Sub-Corpus of the American National Corpus), which is free for any use.
"""

import argparse
import json
import lzma
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from domains.text.metrics import words_of
from domains.text.tagging import PENN
from seqdiff.errors import ConfigError

Sentence = list[tuple[str, str]]
BY_PENN = {penn: tag for tag, names in PENN.items() for penn in names.split()}
SHARE = 0.3  # a class that a word has less often is left out of the lexicon
ROUNDS = 5


def read_masc(path: Path) -> Iterator[Sentence]:
    """Sentences of a line each, word_TAG; lines that begin with # are left out."""
    for line in _lines(path):
        pairs = [item.rpartition("_") for item in line.split()] if not line.startswith("#") else []
        if sentence := [(word, BY_PENN.get(penn, "X")) for word, _, penn in pairs if word]:
            yield sentence


def read_conllu(path: Path) -> Iterator[Sentence]:
    """Sentences of CoNLL-U; the fifth column has Penn's tags. Words that are only in the enhanced graph are left out."""
    sentence: Sentence = []
    for line in _lines(path):
        columns = line.split("\t")
        if columns[0].isdigit() and len(columns) > 4:
            sentence.append((columns[1], BY_PENN.get(columns[4], "X")))
        elif not line and sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


def _lines(path: Path) -> Iterator[str]:
    """Raises ConfigError for a file that cannot be read."""
    try:
        with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as file:
            yield from (line.rstrip("\n") for line in file)
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise ConfigError(f"tagger: could not read {path} ({error})") from None


class Tagger:
    """Tags of words, from a trained perceptron."""

    def __init__(self, perceptron):
        self._perceptron = perceptron

    @classmethod
    def train(cls, sentences: Sequence[Sentence], rounds: int = ROUNDS) -> "Tagger":
        """The order of the sentences is shuffled between rounds by Python's `random`: seed it for the same tagger again."""
        from nltk.tag.perceptron import PerceptronTagger

        perceptron = PerceptronTagger(load=False)
        perceptron.train(sentences, nr_iter=rounds)
        return cls(perceptron)

    def tags(self, words: Sequence[str]) -> list[str]:
        return [tag for _, tag in self._perceptron.tag(list(words))]

    def of_text(self, text: str) -> list[str]:
        """Tags of the words and signs of a text, cut as `metrics.words_of` cuts it."""
        return self.tags(words_of(text))

    def accuracy(self, sentences: Sequence[Sentence]) -> tuple[float, int]:
        """Share of tokens whose tag is right, and how many tokens there are."""
        pairs = [(a, b) for s in sentences for a, (_, b) in zip(self.tags([w for w, _ in s]), s, strict=True)]
        return sum(a == b for a, b in pairs) / len(pairs), len(pairs)

    def save(self, path: Path) -> None:
        weights, known, classes = self._perceptron.encode_json_obj()
        rounded = {f: {c: round(w, 2) for c, w in row.items() if abs(w) >= 0.005} for f, row in weights.items()}
        table = [{f: row for f, row in rounded.items() if row}, known, sorted(classes)]
        path.write_bytes(lzma.compress(json.dumps(table, separators=(",", ":")).encode()))

    @classmethod
    def load(cls, path: Path) -> "Tagger":
        """Raises ConfigError for a file that is no tagger."""
        from nltk.tag.perceptron import PerceptronTagger

        try:
            table = json.loads(lzma.decompress(path.read_bytes()))
            return cls(PerceptronTagger.decode_json_obj(table))
        except (OSError, lzma.LZMAError, ValueError, TypeError) as error:
            raise ConfigError(f"tagger: {path} is no tagger of `python -m domains.text.tagger` ({error})") from None


def count_classes(sentences: Sequence[Sentence], share: float = SHARE) -> dict[str, str]:
    """Classes, joined by spaces → the words that have them, in order; of a word, classes of at least this share."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for sentence in sentences:
        for word, tag in sentence:
            counts[word][tag] += 1
    groups: dict[str, list[str]] = defaultdict(list)
    for word, tags in sorted(counts.items()):
        kept = sorted(tag for tag, n in tags.items() if n >= share * tags.total() and tag != "X")
        if kept:
            groups[" ".join(kept)].append(word)
    return {tags: " ".join(words) for tags, words in sorted(groups.items())}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m domains.text.tagger", description="Train a tagger, or count a lexicon.")
    parser.add_argument("--masc", type=Path, action="append", default=[], help="word_TAG, a sentence a line")
    parser.add_argument("--ud", type=Path, action="append", default=[], help="CoNLL-U")
    parser.add_argument("--dev", type=Path, help="CoNLL-U on which the accuracy is measured")
    parser.add_argument("--out", type=Path, help="file of the tagger, JSON in .xz")
    parser.add_argument("--lexicon", type=Path, help="file of the lexicon, JSON in .xz")
    given = parser.parse_args(arguments)
    sentences = [s for path in given.masc for s in read_masc(path)] + [s for path in given.ud for s in read_conllu(path)]
    if not sentences:
        parser.error("expected a corpus: --masc or --ud")
    if given.lexicon:
        text = json.dumps(count_classes(sentences), ensure_ascii=False, separators=(",", ":"))
        given.lexicon.parent.mkdir(parents=True, exist_ok=True)
        given.lexicon.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    if given.out or given.dev:
        import random

        random.seed(0)
        tagger = Tagger.train(sentences)
        if given.out:
            tagger.save(given.out)
            tagger = Tagger.load(given.out)
        if given.dev:
            right, n = tagger.accuracy(list(read_conllu(given.dev)))
            print(f"{right:.2%} of {n:,} tokens of {given.dev.name} are tagged right")


if __name__ == "__main__":
    main()
