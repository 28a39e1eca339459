"""Control of syntax on held-out meanings: spans and parts of speech, in how many of the texts they stand.

    python -m domains.text.parsing.train --treebank ud_ewt_train.conllu.xz --dev ud_ewt_dev.conllu.xz --out runs/reader \
        --steps 1300 --seed 1
    python -m benchmarks.text_syntax --model text-small text-small-continuous --data DATA --reader runs/reader/model \
        --out docs/text-syntax.json

Diffusion-LM's tasks (Li et al., 2022, section 5), as `benchmarks.text_control` has the others; its figures and FUDGE's are of
another split of E2E, another parser and constituents of other rules.

    task     target                                                    success
    spans    one NP, PP, VP or S of a text, two to ten words of it     the parser reads one of this kind there
    tags     parts of speech of a text                                 share of words that it reads so

    way            what the model is asked
    unguided       free texts of as many tokens
    guided         a soft wish that eight particles weigh when they are done
    lexicon        (tags) a hole with these word classes, which an automaton holds
    weighed        (tags) the two together
    constrained    a wish that must hold: word classes by the automaton, and the parser's reading by eight particles
    particles      the same by 32 particles
    held out       the texts that people wrote, read against their own spans and tags

Of a model on vectors particles are runs that know nothing of each other; of a masked one what must hold resamples them on the
way, as far as it is known there. The parser that reads the texts is the one that chooses among particles: what is constrained
and returned is right by its reading, and `success` says how often something is returned. `second` is success by a parser that
chose nothing, of another seed on the same treebank: it does not share the accidents of the first, but what its treebank has
taught both. Of the texts of people it says how often the two read alike.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.text_control import Made, Store, by_model, called, figures, possible
from benchmarks.text_judge import Judge
from benchmarks.text_targets import Target, held_out
from domains.registry import find_model
from domains.text.fields import Example
from domains.text.parsing.parser import Parser, bundled
from domains.text.parsing.reading import Reading, read
from domains.text.syntax import MOST, Span, likeness, overlap
from domains.text.tagging import ANY, Element, Pattern
from seqdiff.checkpoint import load_checkpoint

WAYS = ("unguided", "guided", "lexicon", "weighed", "constrained", "particles")
MORE = 32  # particles
KINDS = ("NP", "PP", "VP", "S")
WORDS = (2, 10)  # of a span
PUBLISHED = {  # Diffusion-LM's table 2
    "spans": {"Diffusion-LM": 0.938, "FUDGE": 0.542},
    "tags": {"Diffusion-LM": 0.900, "FUDGE": 0.270},
}


@dataclass(frozen=True, kw_only=True)
class Syntactic(Target):
    """A target whose success is that of a reading.

    Attributes:
        score: what a parser makes of a text → 0 to 1.
    """

    score: Callable[[Reading], float]


def syntactic(ways: dict[str, dict], score: Callable[[Reading], float], text: str, parser: Parser) -> Syntactic:
    return Syntactic(ways, lambda said: score(reading_of(said, parser)), text, score=score)


def reading_of(text: str, parser: Parser) -> Reading:
    return read([text], parser)[0]


def by_reader(made: Made, targets: Sequence[Syntactic], samples: int, reader: Parser) -> float:
    """Success as another parser reads the texts, of all that were asked for."""
    scores = [t.score(reading_of(text, reader)) for t, said in zip(targets, made.texts, strict=True) for text in said]
    return sum(scores) / (samples * len(targets))


def spans(examples: Sequence[Example], parser: Parser) -> Iterator[Syntactic]:
    """A span of a text, drawn evenly among kinds and then among those of the kind."""
    generator = np.random.Generator(np.random.Philox(key=3))
    for example in examples:
        found = reading_of(example.text, parser)
        low, high = WORDS
        there = [s for s in sorted(found.spans) if s[0] in KINDS and low <= s[2] - s[1] + 1 <= high and s[2] <= MOST]
        kinds = sorted({kind for kind, *_ in there})
        if not kinds:
            continue
        kind = kinds[generator.integers(len(kinds))]
        _, first, last = (mine := [s for s in there if s[0] == kind])[generator.integers(len(mine))]
        free = {"template": f"{{{len(found.words)}}}"}
        hard = free | {"wishes": (f"span {first}-{last} is {kind}",)}
        ways = {
            "unguided": free,
            "guided": free | {"wishes": (f"span {first}-{last}:{kind} >= 1",)},
            "constrained": hard,
            "particles": hard | {"particles": MORE},
        }

        def score(reading: Reading, span: Span = Span(first, last, kind)) -> float:  # noqa: B008
            return float(overlap(span, reading.spans) == 1)

        yield syntactic(ways, score, example.text, parser)


def tags(examples: Sequence[Example], parser: Parser) -> Iterator[Syntactic]:
    """The parts of speech of a text."""
    for example in examples:
        wanted = [ANY if tag == "X" else tag for tag in reading_of(example.text, parser).tags]
        pattern: Pattern = tuple(Element(frozenset({tag}), 1, 1) for tag in wanted)
        free, held = {"template": f"{{{len(wanted)}}}"}, {"template": "{" + " ".join(wanted) + "}"}
        soft, hard = {"wishes": (f"tags {','.join(wanted)} >= 1",)}, {"wishes": ("tags are " + " ".join(wanted),)}
        ways = {
            "unguided": free,
            "guided": free | soft,
            "lexicon": held,
            "weighed": held | soft,
            "constrained": free | hard,
            "particles": free | hard | {"particles": MORE},
        }

        def score(reading: Reading, pattern: Pattern = pattern) -> float:
            return likeness(pattern, reading.tags)

        yield syntactic(ways, score, example.text, parser)


TASKS: dict[str, Callable[[Sequence[Example], Parser], Iterator[Syntactic]]] = {"spans": spans, "tags": tags}


def main(arguments: Sequence[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_syntax")
    parser.add_argument("--model", nargs="+", default=["text-small"], help="bundled names or folders")
    parser.add_argument("--data", type=Path, required=True, help="folder with text/e2e_train.tsv.xz")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--targets", type=int, default=30)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--reader", type=Path, help="folder of a second parser; without it no success by its reading")
    parser.add_argument("--judge", type=Path, help="folder of the judge of `benchmarks.text_judge`; without it no nats a word")
    parser.add_argument("--out", type=Path, help="a JSON file; cells that stand there are kept")
    given = parser.parse_args(arguments)
    models, first = {called(name): load_checkpoint(find_model(name, "text")) for name in given.model}, bundled()
    second = Parser.load(given.reader) if given.reader else None
    judge = Judge(load_checkpoint(given.judge)) if given.judge else None
    store = Store.open(given.out, PUBLISHED)
    restaurants = held_out(given.data, "restaurant")
    common = {"n_targets": given.targets, "samples": given.samples, "parser_sha256": first.sha256}
    common |= {"reader_sha256": second.sha256 if second else None, "judge_sha256": judge.sha256 if judge else None}

    def measured(made: Made, targets: Sequence[Syntactic], samples: int) -> dict:
        found = figures(made, targets, "restaurant", samples, judge)
        return found | ({"second": by_reader(made, targets, samples, second)} if second else {})

    for task in given.tasks:
        targets = [target for target, _ in zip(TASKS[task](restaurants, first), range(given.targets), strict=False)]
        if not store.has(task, "people", "held out", common):
            people = Made([[target.held_out] for target in targets], 0, 0, 0.0)
            store.put(task, "people", "held out", common, measured(people, targets, 1))
        for name, checkpoint in models.items():
            settings = {**common, "steps": given.steps, "sha256": checkpoint.sha256}
            for way in given.ways:
                if possible(way, checkpoint, targets) and not store.has(task, name, way, settings):
                    made = by_model(checkpoint, targets, way, "restaurant", given.samples, given.steps)
                    store.put(task, name, way, settings, measured(made, targets, given.samples))
    return store.cells


if __name__ == "__main__":
    main()
