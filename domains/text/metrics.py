"""Figures of a set of texts: how new and varied it is, how far its n-grams are from the data's, how near it is to references.

    distinct-n     different n-grams / n-grams of all texts (Li et al., 2016)
    self-BLEU      mean BLEU-4 of a text against the others (Zhu et al., 2018); less is more varied
    entropy        H(word | the word before it) of the texts, in nats: what repeats itself looks likely to any judge
    divergence-n   Jensen–Shannon divergence of the n-gram laws of texts and held-out data, in nats, 0 to ln 2
    BLEU, ROUGE-L  of texts against references, by sacrebleu and rouge-score

Divergences have a floor above 0 for finite samples: `floor-n` is that of as many texts of the held-out data against the rest.
"""

import hashlib
import json
import math
import random
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from domains.text.tokens import WORD, normal
from seqdiff.errors import CheckpointError

N = (1, 2, 3)
SELF_BLEU = 200  # texts that self-BLEU looks at


def words_of(text: str) -> list[str]:
    """Words and punctuation of a text, without spaces."""
    return [piece.strip() for piece in WORD.findall(" " + normal(text)) if piece.strip()]


def count_words(text: str) -> int:
    """Words of a text: what stands between spaces and begins with a letter or a digit."""
    return sum(word[0].isalnum() for word in text.split())


def ngrams(texts: Iterable[str], n: int) -> Counter:
    """Counts of n-grams of words within texts."""
    rows = (words_of(text) for text in texts)
    return Counter(tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1))


def entropy(counts: Counter) -> float:
    """Of the empirical law, in nats."""
    total = sum(counts.values())
    return -sum(c / total * math.log(c / total) for c in counts.values()) if total else 0.0


def jensen_shannon(one: Counter, other: Counter) -> float:
    """Divergence of two empirical laws in nats, 0 to ln 2."""
    n, m, total = sum(one.values()), sum(other.values()), 0.0
    for key in one.keys() | other.keys():
        p, q = one[key] / n, other[key] / m
        total += sum(x / 2 * math.log(2 * x / (p + q)) for x in (p, q) if x > 0)
    return total


def _hashed(counts: Counter) -> Counter:
    """n-grams by 40-bit hashes, so that the law of a text is kept without the text."""
    out: Counter = Counter()
    for gram, count in counts.items():
        out[hashlib.sha256("\x1f".join(gram).encode()).hexdigest()[:10]] += count
    return out


@dataclass(frozen=True)
class Reference:
    """The n-gram laws of held-out texts, by hashes, and their floors.

    Attributes:
        counts: n → hash → count.
        floors: n → divergence of a half of the texts from the other half.
        texts: how many they were.
    """

    counts: dict[int, Counter]
    floors: dict[int, float]
    texts: int

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Reference":
        shuffled = list(texts)
        random.Random(0).shuffle(shuffled)
        halves = shuffled[::2], shuffled[1::2]
        floors = {n: jensen_shannon(*(ngrams(half, n) for half in halves)) if len(texts) > 3 else 0.0 for n in N}
        return cls({n: _hashed(ngrams(texts, n)) for n in N}, floors, len(texts))

    def divergence(self, texts: Sequence[str], n: int) -> float | None:
        """Jensen–Shannon divergence of the texts' n-gram law from this one, None if either has no n-gram."""
        counts = _hashed(ngrams(texts, n))
        return jensen_shannon(counts, self.counts[n]) if counts and self.counts[n] else None

    def save(self, path: Path) -> None:
        counts = {str(n): dict(sorted(c.items())) for n, c in self.counts.items()}
        floors = {str(n): value for n, value in self.floors.items()}
        path.write_text(json.dumps({"texts": self.texts, "floors": floors, "counts": counts}) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Reference":
        """Raises CheckpointError for a damaged file."""
        try:
            table = json.loads(path.read_text())
            counts = {int(n): Counter(c) for n, c in table["counts"].items()}
            return cls(counts, {int(n): float(v) for n, v in table["floors"].items()}, int(table["texts"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"model: {path} is damaged ({error}); copy the model's folder again") from None


def evaluate_set(texts: Sequence[str], known: Container[str] | None, reference: Reference | None) -> dict:
    """Figures of texts drawn freely. Shares are of all texts; `novel` of the different ones."""
    said = [normal(text) for text in texts if text.strip()]
    different = list(dict.fromkeys(said))
    table: dict = {
        "n": len(texts),
        "said": len(said) / len(texts) if texts else None,
        "unique": len(different) / len(said) if said else None,
        "novel": None if known is None or not different else sum(t not in known for t in different) / len(different),
        "words": sum(len(words_of(t)) for t in said) / len(said) if said else None,
        "entropy": entropy(ngrams(said, 2)) - entropy(ngrams((_without_last(t) for t in said), 1)) if said else None,
        "self_bleu": self_bleu(said),
    }
    table |= {f"distinct-{n}": _distinct(said, n) for n in N}
    if reference is not None:
        table |= {f"divergence-{n}": reference.divergence(said, n) for n in N}
        table |= {f"floor-{n}": reference.floors[n] for n in N}
    return table


def _without_last(text: str) -> str:
    return " ".join(words_of(text)[:-1])


def _distinct(texts: Sequence[str], n: int) -> float | None:
    counts = ngrams(texts, n)
    return len(counts) / sum(counts.values()) if counts else None


def self_bleu(texts: Sequence[str], most: int = SELF_BLEU) -> float | None:
    """Mean BLEU-4, 0 to 100, of each of `most` texts against the others of them; None for fewer than two."""
    from sacrebleu.metrics.bleu import BLEU

    some = list(texts[:most])
    if len(some) < 2:
        return None
    bleu = BLEU(effective_order=True)
    return sum(bleu.sentence_score(t, some[:i] + some[i + 1 :]).score for i, t in enumerate(some)) / len(some)


def against(texts: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """BLEU-4 of the corpus (0 to 100) and the mean of each text's best ROUGE-L (F1, 0 to 1) among its references."""
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics.bleu import BLEU

    most = max(map(len, references))
    columns = [[row[k] if k < len(row) else "" for row in references] for k in range(most)]
    rouge = RougeScorer(["rougeL"], use_stemmer=False)
    best = [max(rouge.score(one, text)["rougeL"].fmeasure for one in row) for text, row in zip(texts, references, strict=True)]
    return {"bleu": BLEU().corpus_score(list(texts), columns).score, "rouge_l": sum(best) / len(best)}
