"""What the texts of `benchmarks.text_control` are to reach: held-out meanings and keyword sets, as requests with a check."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.text_judge import PERCENT, is_judged
from domains.text import constraints as text
from domains.text.data import is_held_out, read_examples
from domains.text.fields import Example
from domains.text.metrics import count_words
from domains.text.tagger import Tagger
from seqdiff.alphabet import Alphabet

SAID = ("food", "area", "price", "rating", "name", "near", "type")  # fields whose values are said as they are
PARTICLES = 8
GAMMA = 2.0


@dataclass(frozen=True)
class Target:
    """What one request is to reach.

    Attributes:
        asked: way → the fields of its spec.
        success: text → 0 to 1.
        held_out: the text that a person wrote for it.
        reference: for infilling, what was hidden; `inside` cuts it out of a text.
    """

    asked: dict[str, dict]
    success: Callable[[str], float]
    held_out: str
    reference: str = ""
    inside: Callable[[str], str] = field(default=str)


def held_out(data: Path, label: str) -> list[Example]:
    """One text of each held-out meaning, in an order of their own; of the keyword sets, those that are not the judge's."""
    scenes = label == "scene"
    path = data / "text" / ("commongen_train.tsv.xz" if scenes else "e2e_train.tsv.xz")
    read = (e for e in read_examples(path, label) if e.text and is_held_out(e.key, PERCENT))
    first = {e.key: e for e in reversed(list(read)) if not (scenes and is_judged(e.key))}
    generator = np.random.Generator(np.random.Philox(key=2 if scenes else 1))
    return [list(first.values())[i] for i in generator.permutation(len(first))]


def stands(phrase: str, said: str) -> bool:
    return re.search(rf"(?<![^\W_]){re.escape(phrase)}(?![^\W_])", said) is not None


def escaped(said: str) -> str:
    """A text as a template that pins it."""
    return re.sub(r"([{_\[\\])", r"\\\1", said)


def told(fields: Sequence[tuple[str, str]]) -> str:
    """A template of a text that tells these fields."""
    return " ".join(f"[{name}] {escaped(value)}" for name, value in fields) + " [text] {}"


def _ways(template: str, constraint: str, free: dict | None = None) -> dict[str, dict]:
    """What is told in the row, guided by it, held, and held with particles."""
    shown, hard = {"template": template}, {"template": template, "constraint": constraint}
    return {
        **({} if free is None else {"unguided": free}),
        "conditioned": shown,
        "guided": shown | {"field_guidance": GAMMA},
        "constrained": hard,
        "particles": hard | {"particles": PARTICLES},
    }


def fields(examples: Sequence[Example], alphabet: Alphabet) -> Iterator[Target]:
    """One field of a meaning: its value stands in the text."""
    for k, example in enumerate(examples):
        known = [(name, value) for name, value in example.fields if name in SAID]
        if not known:
            continue
        name, value = known[k % len(known)]
        ways = _ways(told([(name, value)]), str(text.verbatim(value, alphabet)), {})
        yield Target(ways, lambda said, v=value: float(stands(v, said)), example.text)


def meaning(examples: Sequence[Example], alphabet: Alphabet) -> Iterator[Target]:
    """All fields of a meaning: the share of the values that are said as they are; three of them at most are held."""
    for example in examples:
        said_so = [value for name, value in example.fields if name in SAID and stands(value, example.text)][:3]
        if len(said_so) < 2:
            continue
        hard = " & ".join(str(text.verbatim(value, alphabet)) for value in said_so)

        def success(said: str, wanted=said_so) -> float:
            return sum(stands(value, said) for value in wanted) / len(wanted)

        yield Target(_ways(told(example.fields), hard, {}), success, example.text)


def length(examples: Sequence[Example], alphabet: Alphabet) -> Iterator[Target]:
    """The words of a text, two more or less."""
    for example in examples:
        n = count_words(example.text)
        hard = {"constraint": str(text.words(max(1, n - 2), n + 2, alphabet))}
        ways = {
            "unguided": {},
            "guided": {"wishes": (f"{n - 2} <= words <= {n + 2}",)},
            "constrained": hard,
            "particles": hard | {"particles": PARTICLES},
        }
        yield Target(ways, lambda said, n=n: float(abs(count_words(said) - n) <= 2), example.text)


def tags(examples: Sequence[Example], alphabet: Alphabet, tagger: Tagger) -> Iterator[Target]:
    """The parts of speech of a text: the share of its tokens that a tagger reads as asked."""
    for example in examples:
        wanted = tagger.of_text(example.text)
        hard = {"template": "{" + " ".join("ANY" if tag == "X" else tag for tag in wanted) + "}"}
        free = {"template": f"{{{len(wanted)}}}"}

        def success(said: str, wanted=wanted) -> float:
            found = tagger.of_text(said)
            return sum(a == b for a, b in zip(found, wanted, strict=False)) / max(len(wanted), len(found), 1)

        yield Target(
            {"unguided": free, "constrained": hard, "particles": hard | {"particles": PARTICLES}}, success, example.text
        )


def infilling(examples: Sequence[Example], alphabet: Alphabet) -> Iterator[Target]:
    """A sentence between two others, as long as the one that stood there, two words more or less."""
    for example in examples:
        sentences = re.split(r"(?<=[.!?]) ", example.text)
        if len(sentences) < 3:
            continue
        before, hidden, after = sentences[0], sentences[1], " ".join(sentences[2:])
        n, beside = count_words(hidden), {"template": f"{escaped(before)} {{}} {escaped(after)}"}
        hard = beside | {"constraint": str(text.words(max(1, n - 2), n + 2, alphabet).within("gap1"))}

        def inside(said: str, before=before, after=after) -> str:
            return said.removeprefix(before).removesuffix(after).strip()

        ways = {"conditioned": beside, "constrained": hard, "particles": hard | {"particles": PARTICLES}}
        success = lambda said, n=n, inside=inside: float(abs(count_words(inside(said)) - n) <= 2)  # noqa: E731
        yield Target(ways, success, example.text, hidden, inside)


def keywords(examples: Sequence[Example], alphabet: Alphabet) -> Iterator[Target]:
    """A keyword set: the share that stands, in any inflection."""
    for example in examples:
        wanted = dict(example.fields)["keywords"].split()

        def success(said: str, wanted=wanted) -> float:
            here = {word.lower() for word in re.findall(r"[^\W_]+", said)}
            lemmas = {text.lemma(word) for word in here}
            return sum(word in here or text.lemma(word) in lemmas for word in wanted) / len(wanted)

        hard = str(text.keywords(wanted, alphabet))
        yield Target(_ways(told([("keywords", " ".join(wanted))]), hard, {}), success, example.text)
