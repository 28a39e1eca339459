"""Control of text on held-out meanings: what is asked, in how many of the texts it stands, how fluent they are, at what price.

    python -m benchmarks.text_judge --data DATA --model text-small --out judge-data
    seqdiff train text-judge --data judge-data --out runs/text-judge
    seqdiff train text-autoregressive --data DATA --out runs/text-autoregressive
    python -m benchmarks.text_control --model text-small text-small-continuous --data DATA \
        --judge runs/text-judge/model --control runs/text-autoregressive/model --out docs/text-control.json

Diffusion-LM's protocol (Li et al., 2022, section 5) on meanings and keyword sets that no model was trained on
(`benchmarks.text_targets`); its figures and FUDGE's are of another split of E2E.

    task        target                           success
    fields      one field of a meaning           its value stands in the text
    meaning     all fields of a meaning          share of (at most three) values that stand
    length      words of a text, n               n − 2 to n + 2 words
    tags        parts of speech of a text        share of tokens that a tagger reads so
    infilling   a sentence between two others    n ± 2 words; BLEU-4 and ROUGE-L
    keywords    a keyword set (CommonGen)        share that stands, in any inflection

    way          what the model is asked
    unguided     free texts of the class (for tags, of as many tokens)
    conditioned  the fields stand before the text; of infilling the two sentences beside
    guided       the same with classifier-free guidance towards the fields; length: a wish, of particles or by its gradient
    constrained  the same, and what is asked is hard
    particles    the same with 8 particles, which make the law right; not of a model on vectors, whose law they leave as it is
    control      the autoregressive model, told what "conditioned" is told
    rejection    the best of its tries (`benchmarks.text_rejection`)
    held out     the texts that people wrote for the targets

Every text is checked here by plain Python. A target that is refused, or of which a cloud of particles abstains, counts as
missed. `whole` is the share of texts with success 1; `judge` an independent autoregressive model's nats a word; `entropy` that
of a word given the one before it over all texts of a cell (a text that repeats itself looks likely); `passes` are rows through
the network a text. Cells that stand in --out with the same settings are not made again.
"""

import argparse
import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import text_targets
from benchmarks.text_judge import Judge
from benchmarks.text_rejection import tries
from benchmarks.text_targets import PARTICLES, Target, held_out
from domains.design import design
from domains.registry import find_model
from domains.text.metrics import against, evaluate_set
from domains.text.tagger import Tagger
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConditionError
from seqdiff.processes.base import TokenProcess

TASKS = ("fields", "meaning", "length", "tags", "infilling", "keywords")
WAYS = ("unguided", "conditioned", "guided", "constrained", "particles")
BY_CONTROL = ("control", "rejection")
SHOWN = (
    "right",
    "valid",
    "success",
    "second",
    "guide",
    "whole",
    "judge",
    "entropy",
    "distinct-2",
    "self_bleu",
    "bleu",
    "rouge_l",
    "passes",
    "seconds",
)
PUBLISHED = {  # Diffusion-LM's tables 2 and 5
    "fields": {"Diffusion-LM": 0.812, "FUDGE": 0.699},
    "length": {"Diffusion-LM": 0.999, "FUDGE": 0.469},
    "tags": {"Diffusion-LM": 0.900, "FUDGE": 0.270},
    "infilling": {"Diffusion-LM BLEU-4": 7.1, "Diffusion-LM ROUGE-L": 0.283},
}


@dataclass(frozen=True)
class Made:
    """Texts of one way: of each target its samples, fewer where some were refused."""

    texts: list[list[str]]
    refused: int
    passes: int
    seconds: float


@contextlib.contextmanager
def counted(network: Any) -> Iterator[list[int]]:
    """Counts the rows that go through a network."""
    rows = [0]

    def hook(module, args, kwargs, out) -> None:
        rows[0] += len(out)

    handle = network.register_forward_hook(hook, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()


def by_model(checkpoint: Checkpoint, targets: Sequence[Target], way: str, label: str, samples: int, steps: int) -> Made:
    """Texts of a model asked in one way."""
    texts, refused, started = [], 0, time.perf_counter()
    tokens = isinstance(checkpoint.process, TokenProcess)
    with counted(checkpoint.network) as rows:
        for k, target in enumerate(targets):
            asked: dict[str, Any] = {"domain": "text", "label": label, "n": samples, "seed": 1000 + k, "steps": steps}
            asked |= {"bound_draws": 0, **target.asked[way]}
            if tokens and "wishes" in asked:
                asked.setdefault("particles", PARTICLES)
            try:
                made = design(checkpoint=checkpoint, **asked).designs
            except ConditionError:
                made, refused = [], refused + 1
            texts.append([item.sequence for item in made])
    return Made(texts, refused, rows[0], time.perf_counter() - started)


def possible(way: str, checkpoint: Checkpoint, targets: Sequence[Target]) -> bool:
    """A model on vectors is not guided to fields, and particles without a wish to choose among them by change nothing of it."""
    if not all(way in target.asked for target in targets):
        return False
    if isinstance(checkpoint.process, TokenProcess):
        return True
    asked = [target.asked[way] for target in targets]
    return not any("field_guidance" in of or ("particles" in of and "wishes" not in of) for of in asked)


def by_control(control: Checkpoint, targets: Sequence[Target], label: str, samples: int, most: int) -> dict[str, Made]:
    """Texts of the autoregressive model: of its first try, and of the best of `most`."""
    first, best, passes, started = [], [], 0, time.perf_counter()
    for k, target in enumerate(targets):
        found = tries(control, target, label, samples, most, 1000 + k)
        first.append(found.first())
        best.append(found.best(target))
        passes += found.passes
    seconds = time.perf_counter() - started
    return {
        "control": Made(first, 0, passes // most, seconds / most),
        "rejection": Made(best, 0, passes, seconds),
    }


def figures(made: Made, targets: Sequence[Target], label: str, samples: int, judge: Judge | None) -> dict:
    """Success is over all texts that were asked for; passes and seconds are those of one of them."""
    texts = [text for said in made.texts for text in said]
    scores = [target.success(text) for target, said in zip(targets, made.texts, strict=True) for text in said]
    asked = samples * len(targets)
    scores += [0.0] * (asked - len(scores))
    of_set = evaluate_set(texts, None, None)
    found = {
        "targets": len(targets),
        "asked": asked,
        "returned": len(texts),
        "refused": made.refused,
        "success": float(np.mean(scores)),
        "whole": float(np.mean([score == 1 for score in scores])),
        "judge": judge.nats_a_word(texts, label) if judge else None,
        **{name: of_set[name] for name in ("entropy", "distinct-2", "self_bleu", "words")},
        "passes": round(made.passes / asked, 1),
        "seconds": round(made.seconds / asked, 3),
    }
    pairs = [
        (t.inside(text), [t.reference]) for t, said in zip(targets, made.texts, strict=True) for text in said if t.reference
    ]
    if any(one for one, _ in pairs):
        found |= against([one for one, _ in pairs], [references for _, references in pairs])
    return found


@dataclass
class Store:
    """The table of cells, written after each; a cell of the same settings is kept."""

    path: Path | None
    cells: list[dict]
    published: dict

    @classmethod
    def open(cls, path: Path | None, published: dict) -> "Store":
        cells = json.loads(path.read_text()).get("cells", []) if path and path.is_file() else []
        return cls(path, cells, published)

    def has(self, task: str, model: str, way: str, settings: dict) -> bool:
        return any((c["task"], c["model"], c["way"], c["of"]) == (task, model, way, _digest(settings)) for c in self.cells)

    def put(self, task: str, model: str, way: str, settings: dict, found: dict) -> None:
        cell = {"task": task, "model": model, "way": way, "of": _digest(settings), **settings, **found}
        same = (task, model, way)
        self.cells = [c for c in self.cells if (c["task"], c["model"], c["way"]) != same] + [cell]
        self.cells.sort(key=lambda c: TASKS.index(c["task"]) if c["task"] in TASKS else len(TASKS))
        if self.path:
            self.path.write_text(json.dumps({"published": self.published, "cells": self.cells}, indent=1) + "\n")
        shown = {name: round(v, 3) if isinstance(v := cell.get(name), float) else v for name in SHOWN if name in cell}
        print(task, model, way, json.dumps(shown), flush=True)


def _digest(settings: dict) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def makers(data: Path, alphabet: Any) -> dict[str, Callable[[], Iterator[Target]]]:
    """Task → its targets."""
    restaurants = held_out(data, "restaurant")
    return {
        "fields": lambda: text_targets.fields(restaurants, alphabet),
        "meaning": lambda: text_targets.meaning(restaurants, alphabet),
        "length": lambda: text_targets.length(restaurants, alphabet),
        "infilling": lambda: text_targets.infilling(restaurants, alphabet),
        "keywords": lambda: text_targets.keywords(held_out(data, "scene"), alphabet),
        "tags": lambda: text_targets.tags(restaurants, alphabet, Tagger.load()),
    }


def called(model: str) -> str:
    """What a table calls a model: the name of its folder, or of the run that wrote it there."""
    path = Path(model)
    return path.parent.name if path.name == "model" else path.name


def main(arguments: Sequence[str] | None = None) -> list[dict]:
    given = _parser().parse_args(arguments)
    models = {called(name): load_checkpoint(find_model(name, "text")) for name in given.model}
    judge = Judge(load_checkpoint(given.judge)) if given.judge else None
    control = load_checkpoint(given.control) if given.control else None
    store = Store.open(given.out, PUBLISHED)
    common = {"n_targets": given.targets, "samples": given.samples, "judge_sha256": judge.sha256 if judge else None}
    for task in given.tasks:
        for name, checkpoint in models.items():
            ready = makers(given.data, checkpoint.alphabet)
            targets = [target for target, _ in zip(ready[task](), range(given.targets), strict=False)]
            label, samples = "scene" if task == "keywords" else "restaurant", given.samples
            if not store.has(task, "people", "held out", common):
                people = Made([[target.held_out] for target in targets], 0, 0, 0.0)
                store.put(task, "people", "held out", common, figures(people, targets, label, 1, judge))
            settings = {**common, "steps": given.steps, "sha256": checkpoint.sha256}
            for way in given.ways:
                if possible(way, checkpoint, targets) and not store.has(task, name, way, settings):
                    made = by_model(checkpoint, targets, way, label, samples, given.steps)
                    store.put(task, name, way, settings, figures(made, targets, label, samples, judge))
            settings = {**common, "tries": given.tries, "sha256": control.sha256 if control else None}
            if control and not all(store.has(task, "autoregressive", way, settings) for way in BY_CONTROL):
                for way, made in by_control(control, targets, label, samples, given.tries).items():
                    store.put(task, "autoregressive", way, settings, figures(made, targets, label, samples, judge))
    return store.cells


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_control")
    parser.add_argument("--model", nargs="+", default=["text-small"], help="bundled names or folders")
    parser.add_argument("--data", type=Path, required=True, help="folder with text/e2e_train.tsv.xz and the others")
    parser.add_argument("--judge", type=Path, help="folder of the judge; without it no nats a word")
    parser.add_argument("--control", type=Path, help="folder of the autoregressive control; without it none")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS), help="of the models; none: the control alone")
    parser.add_argument("--targets", type=int, default=50)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--tries", type=int, default=PARTICLES, help="of the control for one text")
    parser.add_argument("--out", type=Path, help="a JSON file; cells that stand there are kept")
    return parser


if __name__ == "__main__":
    main()
