"""What guidance does for sentiment: how many texts say good, or bad, as asked, how fluent they are, at what price.

    python -m benchmarks.text_sentiment --model text-small text-small-continuous --data DATA \
        --judge runs/text-judge/model --control runs/text-autoregressive/model --out docs/text-sentiment.json

Half of the texts are to be positive, half negative: phrases of opinion, whose class the models know as a field (good, bad), and
restaurants, which no one told them to praise. Success is by a judge that never guided: naive Bayes on words and pairs of
neighbours (Wang and Manning, "Baselines and bigrams", 2012, MNB), which learns here from the half of the labelled texts that
`text-sentiment` never saw (`half = 2` of its preset). Texts held out from both tell how often either is right.

    way          what the model is asked
    unguided     free texts of the class; what a side of two has by chance
    conditioned  (opinions) the field stands before the text
    fields       (opinions) the same with classifier-free guidance towards it, γ = 2
    end alone    eight particles, weighed by the classifier when they are finished
    guided       the wish `positive >= 0.9` (`negative >= 0.9`): of eight particles, weighed and tilted on the way; of a model
                 on vectors one, up the gradient
    required     `sentiment is positive` of eight particles: what the classifier reads otherwise is not returned
    control      the autoregressive model, told what "conditioned" is told
    rejection    of its eight tries the one that the classifier likes best

`guide` is what the classifier that guides reads; shares are of all texts asked for.
"""

import argparse
import math
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.text_control import BY_CONTROL, Made, Store, by_control, by_model, called, counted, figures
from benchmarks.text_judge import Judge
from benchmarks.text_targets import GAMMA, PARTICLES, Target
from constraints.guidance.guides import Sum
from domains import wishes
from domains.design import answer, prepare
from domains.registry import find_model
from domains.spec import DesignSpec
from domains.text.domain import encode_training_data
from domains.text.metrics import words_of
from domains.text.sentiment import CLASSES, classifier, probability
from domains.text.tokens import decode
from domains.text.wishes import read_wish
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.processes.base import TokenProcess
from seqdiff.training.data import EncodedData

PRESET = Path(__file__).parents[1] / "domains" / "text" / "presets" / "text-sentiment.toml"
TASKS = ("opinion", "restaurant")
WAYS = ("unguided", "conditioned", "fields", "end alone", "guided", "required")
FIELD = {"positive": "good", "negative": "bad"}


@dataclass(frozen=True)
class NaiveBayes:
    """log p(positive | text) − log p(negative | text) of words and pairs of neighbours, each counted once a text.

    Attributes:
        weights: word or pair → log of its share among the positive texts over that among the negative ones, with one added to
            every count; what was never seen says nothing.
    """

    weights: dict[str, float]

    @classmethod
    def fit(cls, texts: Sequence[str], positive: Sequence[bool]) -> "NaiveBayes":
        counts = Counter(), Counter()
        for text, good in zip(texts, positive, strict=True):
            counts[good].update(features(text))
        every = set(counts[0]) | set(counts[1])
        bad, good = (sum(one.values()) + len(every) for one in counts)
        return cls({f: math.log((counts[1][f] + 1) / good) - math.log((counts[0][f] + 1) / bad) for f in every})

    def __call__(self, text: str) -> float:
        return sum(self.weights.get(f, 0.0) for f in features(text))


def features(text: str) -> set[str]:
    words = [word.lower() for word in words_of(text)]
    return {*words, *map(" ".join, zip(words, words[1:], strict=False))}


def labelled(data: EncodedData, held_out: bool) -> tuple[list[str], list[bool]]:
    """Texts of one side of the split, and whether each is positive."""
    ends = zip(data.offsets[:-1], data.offsets[1:], data.held_out, data.labels, strict=True)
    chosen = [(a, b, label) for a, b, out, label in ends if out == held_out]
    texts = [decode(data.alphabet.decode_tokens(data.tokens[a:b]), data.alphabet) for a, b, _ in chosen]
    return texts, [data.label_names[label] == CLASSES[0] for *_, label in chosen]


def targets(judge: NaiveBayes, task: str) -> list[Target]:
    """What is to be said, good and then bad: the ways to ask for it, and whether the judge reads it so."""
    made = []
    for name in CLASSES:
        sign = 1 if name == "positive" else -1
        told = {"template": f"[opinion] {FIELD[name]} [text] {{}}"} if task == "opinion" else None
        wish = {"wishes": (f"{name} >= 0.9",)}
        asked: dict[str, dict] = {
            "unguided": {},
            "end alone": wish | {"particles": PARTICLES},
            "guided": wish,
            "required": {"wishes": (f"sentiment is {name}",), "particles": PARTICLES},
        }
        if told:
            asked |= {"conditioned": told, "fields": told | {"field_guidance": GAMMA}}
        made.append(Target(asked, lambda said, sign=sign: float(sign * judge(said) > 0), ""))
    return made


def possible(way: str, checkpoint: Checkpoint, asked: Sequence[Target]) -> bool:
    if not all(way in target.asked for target in asked):
        return False
    return isinstance(checkpoint.process, TokenProcess) or way not in ("fields", "end alone")


def end_alone(checkpoint: Checkpoint, asked: Sequence[Target], label: str, samples: int, steps: int) -> Made:
    """Texts of particles that the classifier weighs when they are finished, and not before."""
    texts, started = [], time.perf_counter()
    with counted(checkpoint.network) as rows:
        for k, target in enumerate(asked):
            common: dict[str, Any] = {"label": label, "n": samples, "seed": 1000 + k, "steps": steps, "bound_draws": 0}
            task = prepare(DesignSpec("text", **common, **target.asked["end alone"]), checkpoint)
            exact = wishes.guide_of(read_wish(task.spec.wishes[0]), task.alphabet)
            designs = answer(replace(task, guide=Sum(((exact, 1.0),)))).designs
            texts.append([item.sequence for item in designs])
    return Made(texts, 0, rows[0], time.perf_counter() - started)


def rejected(control: Checkpoint, asked: Sequence[Target], label: str, samples: int, most: int) -> dict[str, Made]:
    """First tries of the autoregressive model, and those that the classifier likes best of `most`."""
    liked = [
        replace(target, success=lambda said, name=name: probability(name, [said])[0] or 0.0)
        for target, name in zip(asked, CLASSES, strict=True)
    ]
    return by_control(control, liked, label, samples, most)


def reliability(judge: NaiveBayes, table: dict, data: Path) -> dict[str, dict[str, float]]:
    """Shares of the held-out texts of each file that the judge and the classifier tell right."""
    paths = dict.fromkeys(file["path"] for file in table["files"])
    files = {path: [file for file in table["files"] if file["path"] == path] for path in paths}
    return {
        Path(path).name.partition(".")[0]: told_right(
            judge, *labelled(encode_training_data(table | {"files": some}, data), True)
        )
        for path, some in files.items()
    }


def told_right(judge: NaiveBayes, texts: Sequence[str], positive: Sequence[bool]) -> dict[str, float]:
    guide = [(p or 0.0) >= 0.5 for p in probability(CLASSES[0], texts)]
    said = [judge(text) > 0 for text in texts]
    return {
        "texts": len(texts),
        "judge": fmean(a == b for a, b in zip(said, positive, strict=True)),
        "guide": fmean(a == b for a, b in zip(guide, positive, strict=True)),
    }


def main(arguments: Sequence[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_sentiment")
    parser.add_argument("--model", nargs="+", default=["text-small"], help="bundled names or folders")
    parser.add_argument("--data", type=Path, required=True, help="folder with text/sentence_polarity.tsv.xz and the others")
    parser.add_argument("--judge", type=Path, help="folder of the judge of `benchmarks.text_judge`; without it no nats a word")
    parser.add_argument("--control", type=Path, help="folder of the autoregressive control; without it none")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--samples", type=int, default=48, help="of each side")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--out", type=Path, help="a JSON file; cells that stand there are kept")
    given = parser.parse_args(arguments)
    table = tomllib.loads(PRESET.read_text())["data"]
    data = encode_training_data(table | {"half": 2}, given.data)
    judge = NaiveBayes.fit(*labelled(data, False))
    fluency = Judge(load_checkpoint(given.judge)) if given.judge else None
    control = load_checkpoint(given.control) if given.control else None
    store = Store.open(given.out, {"reliability": reliability(judge, table, given.data)})
    print(store.published, flush=True)
    common = {"n_targets": 2, "samples": given.samples, "guide_sha256": classifier().sha256}
    common |= {"judge_sha256": fluency.sha256 if fluency else None}
    for task in given.tasks:
        asked = targets(judge, task)

        def measured(made: Made, asked: Sequence[Target] = asked, task: str = task) -> dict:
            found = figures(made, asked, "prose" if task == "opinion" else task, given.samples, fluency)
            read = [p or 0.0 for name, texts in zip(CLASSES, made.texts, strict=True) for p in probability(name, texts)]
            return found | {"guide": sum(p >= 0.5 for p in read) / found["asked"]}

        for name, checkpoint in {called(name): load_checkpoint(find_model(name, "text")) for name in given.model}.items():
            settings = {**common, "steps": given.steps, "sha256": checkpoint.sha256}
            for way in given.ways:
                if possible(way, checkpoint, asked) and not store.has(task, name, way, settings):
                    if way == "end alone":
                        made = end_alone(checkpoint, asked, task, given.samples, given.steps)
                    else:
                        made = by_model(checkpoint, asked, way, task, given.samples, given.steps)
                    store.put(task, name, way, settings, measured(made))
        settings = {**common, "tries": PARTICLES, "sha256": control.sha256 if control else None}
        if control and not all(store.has(task, "autoregressive", way, settings) for way in BY_CONTROL):
            for way, made in rejected(control, asked, task, given.samples, PARTICLES).items():
                store.put(task, "autoregressive", way, settings, measured(made))
    return store.cells


if __name__ == "__main__":
    main()
