"""Counts the lexicon of `domains.text.tagging` in a tagged corpus: which parts of speech a word can be.

    python -m domains.text.lexicon --masc masc_tagged.txt.xz --out domains/text/models/parts-of-speech/lexicon.json.xz

MASC, the Manually Annotated Sub-Corpus of the American National Corpus, is free for any use. Penn's tags are brought to twelve
classes after Petrov et al., "A Universal Part-of-Speech Tagset", 2012.
"""

import argparse
import json
import lzma
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from domains.text.parsing.corpus import Sentence, read_masc
from domains.text.tagging import BY_PENN

SHARE = 0.3  # a class that a word has less often is left out of the lexicon


def count_classes(sentences: Iterable[Sentence], share: float = SHARE) -> dict[str, str]:
    """Classes, joined by spaces → the words that have them, in order; of a word, classes of at least this share."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for sentence in sentences:
        for word, penn in zip(sentence.words, sentence.penn, strict=True):
            counts[word][BY_PENN.get(penn, "X")] += 1
    groups: dict[str, list[str]] = defaultdict(list)
    for word, tags in sorted(counts.items()):
        kept = sorted(tag for tag, n in tags.items() if n >= share * tags.total() and tag != "X")
        if kept:
            groups[" ".join(kept)].append(word)
    return {tags: " ".join(words) for tags, words in sorted(groups.items())}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m domains.text.lexicon", description="Count which parts of speech words have."
    )
    parser.add_argument("--masc", type=Path, action="append", required=True, help="word_TAG, a sentence a line")
    parser.add_argument("--out", type=Path, required=True, help="file of the lexicon, JSON in .xz")
    given = parser.parse_args(arguments)
    table = count_classes(sentence for path in given.masc for sentence in read_masc(path))
    text = json.dumps(table, ensure_ascii=False, separators=(",", ":"))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
