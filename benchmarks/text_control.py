"""Control of text on held-out meanings: what is asked, in how many of the texts it stands; unguided, guided and constrained.

    python -m domains.text.tagger --ud ud_ewt_train.conllu.xz --dev ud_ewt_dev.conllu.xz --out tagger.xz
    python -m benchmarks.text_control --model text-small --data DATA --tagger tagger.xz --out docs/text-control.json

Diffusion-LM's protocol (Li et al., 2022, section 5) on meanings and keyword sets that the model was not trained on
(`domains.text.data.is_held_out`); its figures and FUDGE's stand beside ours, though they are of another split of E2E.

    task        target                           success                             guided                   constrained
    fields      one field of a meaning           its value stands in the text        the field is pinned      … its value hard
    length      words of a text, n               n − 2 to n + 2 words                wished, 8 particles      hard
    tags        parts of speech of a text        share of tokens so tagged           –                        hard word classes
    infilling   a sentence between two others    n ± 2 words; BLEU-4 and ROUGE-L     its neighbours pinned    … n ± 2 words hard
    keywords    a keyword set                    share that stands, inflected        the field is pinned      … and hard

"Unguided" are free texts of the same class (for tags, of as many tokens). Every text is checked here by plain Python, tags by a
tagger. A target that is refused, or of which a particle cloud abstains, counts as missed. `whole` is the share of texts with
success 1, `bound` the model's own bound in nats a free token, `entropy` that of a word given the one before it over all texts
of a cell: a text that repeats itself looks likely.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from domains.design import design
from domains.registry import find_model
from domains.text import constraints as text
from domains.text.data import is_held_out, read_examples
from domains.text.fields import Example
from domains.text.metrics import against, count_words, evaluate_set
from domains.text.tagger import Tagger
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConditionError

PERCENT = 3  # of the meanings, as in the preset text-small
SAID = ("food", "area", "price", "rating", "name", "near", "type")  # fields whose values are said as they are
WAYS = ("unguided", "guided", "constrained")
PUBLISHED = {  # Diffusion-LM's tables 2 and 5
    "fields": {"Diffusion-LM": 0.812, "FUDGE": 0.699},
    "length": {"Diffusion-LM": 0.999, "FUDGE": 0.469},
    "tags": {"Diffusion-LM": 0.900, "FUDGE": 0.270},
    "infilling": {"Diffusion-LM BLEU-4": 7.1, "Diffusion-LM ROUGE-L": 0.283},
}


@dataclass(frozen=True)
class Target:
    """What one request is to reach.

    Attributes:
        asked: way → the fields of its spec.
        success: text → 0 to 1.
        reference: for infilling, what was hidden; `inside` cuts it out of a text.
    """

    asked: dict[str, dict]
    success: Callable[[str], float]
    reference: str = ""
    inside: Callable[[str], str] = field(default=str)


def stands(phrase: str, said: str) -> bool:
    return re.search(rf"(?<![^\W_]){re.escape(phrase)}(?![^\W_])", said) is not None


def escaped(said: str) -> str:
    """A text as a template that pins it."""
    return re.sub(r"([{_\[\\])", r"\\\1", said)


def fields(examples: Sequence[Example], checkpoint: Checkpoint) -> Iterator[Target]:
    for k, example in enumerate(examples):
        known = [(name, value) for name, value in example.fields if name in SAID]
        if not known:
            continue
        name, value = known[k % len(known)]
        told = {"template": f"[{name}] {escaped(value)} [text] {{}}"}
        hard = told | {"constraint": str(text.verbatim(value, checkpoint.alphabet))}
        yield Target({"unguided": {}, "guided": told, "constrained": hard}, lambda said, v=value: float(stands(v, said)))


def length(examples: Sequence[Example], checkpoint: Checkpoint) -> Iterator[Target]:
    for example in examples:
        n = count_words(example.text)
        wished = {"wishes": (f"{n - 2} <= words <= {n + 2}",), "particles": 8}
        hard = {"constraint": str(text.words(max(1, n - 2), n + 2, checkpoint.alphabet))}
        asked = {"unguided": {}, "guided": wished, "constrained": hard}
        yield Target(asked, lambda said, n=n: float(abs(count_words(said) - n) <= 2))


def tags(examples: Sequence[Example], checkpoint: Checkpoint, tagger: Tagger) -> Iterator[Target]:
    for example in examples:
        wanted = tagger.of_text(example.text)
        hard = {"template": "{" + " ".join("ANY" if tag == "X" else tag for tag in wanted) + "}"}
        free = {"template": f"{{{len(wanted)}}}"}

        def success(said: str, wanted=wanted) -> float:
            found = tagger.of_text(said)
            return sum(a == b for a, b in zip(found, wanted, strict=False)) / max(len(wanted), len(found))

        yield Target({"unguided": free, "constrained": hard}, success)


def infilling(examples: Sequence[Example], checkpoint: Checkpoint) -> Iterator[Target]:
    for example in examples:
        sentences = re.split(r"(?<=[.!?]) ", example.text)
        if len(sentences) < 3:
            continue
        before, hidden, after = sentences[0], sentences[1], " ".join(sentences[2:])
        n, beside = count_words(hidden), {"template": f"{escaped(before)} {{}} {escaped(after)}"}
        hard = beside | {"constraint": str(text.words(max(1, n - 2), n + 2, checkpoint.alphabet).within("gap1"))}

        def inside(said: str, before=before, after=after) -> str:
            return said.removeprefix(before).removesuffix(after).strip()

        asked = {"unguided": {}, "guided": beside, "constrained": hard}
        yield Target(asked, lambda said, n=n, inside=inside: float(abs(count_words(inside(said)) - n) <= 2), hidden, inside)


def keywords(examples: Sequence[Example], checkpoint: Checkpoint) -> Iterator[Target]:
    for example in examples:
        wanted = dict(example.fields)["keywords"].split()
        told = {"template": f"[keywords] {' '.join(wanted)} [text] {{}}"}
        hard = told | {"constraint": str(text.keywords(wanted, checkpoint.alphabet))}

        def success(said: str, wanted=wanted) -> float:
            here = {word.lower() for word in re.findall(r"[^\W_]+", said)}
            lemmas = {text.lemma(word) for word in here}
            return sum(word in here or text.lemma(word) in lemmas for word in wanted) / len(wanted)

        yield Target({"unguided": {}, "guided": told, "constrained": hard}, success)


def measure(targets: Sequence[Target], way: str, label: str, checkpoint: Checkpoint, samples: int, more: dict) -> dict:
    """Figures of one way on all targets. Success is over all texts that were asked for."""
    scores, texts, pairs, bounds, tokens, refused = [], [], [], 0.0, 0.0, 0
    started = time.perf_counter()
    for k, target in enumerate(targets):
        asked = {"domain": "text", "label": label, "n": samples, "seed": 1000 + k, **more, **target.asked[way]}
        try:
            made = design(checkpoint=checkpoint, **asked).designs
        except ConditionError:
            made, refused = [], refused + 1
        said = [item.sequence for item in made]
        scores += [target.success(one) for one in said] + [0.0] * (samples - len(said))
        texts += said
        pairs += [(target.inside(one), [target.reference]) for one in said] if target.reference else []
        bounds += sum(float(item.metrics["bound"] or 0) for item in made)
        tokens += sum(float(item.metrics["tokens"] or 0) - len(item.pinned_atoms) for item in made)
    figures = evaluate_set(texts, None, None)
    found = {
        "targets": len(targets),
        "asked": samples * len(targets),
        "returned": len(texts),
        "refused": refused,
        "success": float(np.mean(scores)),
        "whole": float(np.mean([score == 1 for score in scores])),
        "bound": bounds / tokens if tokens else None,
        **{name: figures[name] for name in ("entropy", "distinct-2", "words")},
        "seconds": round(time.perf_counter() - started, 1),
    }
    if pairs and any(one for one, _ in pairs):
        found |= against([one for one, _ in pairs], [references for _, references in pairs])
    return found


def held_out(path: Path, label: str, seed: int) -> list[Example]:
    """One text of each held-out meaning, in an order of their own."""
    first = {e.key: e for e in read_examples(path, label) if e.text and is_held_out(e.key, PERCENT)}
    generator = np.random.Generator(np.random.Philox(key=seed))
    return [list(first.values())[i] for i in generator.permutation(len(first))]


def main(arguments: Sequence[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_control")
    parser.add_argument("--model", help="bundled name or folder")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with text/e2e_train.tsv.xz and text/commongen_train.tsv.xz"
    )
    parser.add_argument("--tagger", type=Path, help="of `python -m domains.text.tagger`; without it no tags")
    parser.add_argument("--tasks", nargs="+", default=["fields", "length", "tags", "infilling", "keywords"])
    parser.add_argument("--targets", type=int, default=50)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)
    checkpoint = load_checkpoint(find_model(given.model, "text"))
    restaurants = held_out(given.data / "text" / "e2e_train.tsv.xz", "restaurant", 1)
    makers: dict[str, Callable[[], Iterator[Target]]] = {
        "fields": lambda: fields(restaurants, checkpoint),
        "length": lambda: length(restaurants, checkpoint),
        "infilling": lambda: infilling(restaurants, checkpoint),
        "keywords": lambda: keywords(held_out(given.data / "text" / "commongen_train.tsv.xz", "scene", 2), checkpoint),
    }
    if given.tagger:
        makers["tags"] = lambda: tags(restaurants, checkpoint, Tagger.load(given.tagger))
    table: dict = {"model": checkpoint.sha256, "steps": given.steps, "samples": given.samples, "tasks": {}}
    for task in [name for name in given.tasks if name in makers]:
        targets = [target for target, _ in zip(makers[task](), range(given.targets), strict=False)]
        label = "scene" if task == "keywords" else "restaurant"
        cells = {
            way: measure(targets, way, label, checkpoint, given.samples, {"steps": given.steps})
            for way in WAYS
            if all(way in target.asked for target in targets)
        }
        table["tasks"][task] = {"ours": cells, "published": PUBLISHED.get(task, {})}
        for way, cell in cells.items():
            shown = {name: round(value, 3) if isinstance(value, float) else value for name, value in cell.items()}
            print(task, way, json.dumps(shown), flush=True)
        if given.out:
            given.out.write_text(json.dumps(table, indent=1) + "\n")
    return table


if __name__ == "__main__":
    main()
