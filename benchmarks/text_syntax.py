"""Control of syntax on held-out meanings: spans and parts of speech, in how many of the texts they stand.

    python -m benchmarks.text_syntax --data DATA --out docs/text-syntax.json

Diffusion-LM's tasks (Li et al., 2022, section 5), as `benchmarks.text_control` has the others; its figures and FUDGE's are of
another split of E2E, another parser and constituents of other rules.

    task     target                                                    success
    spans    one NP, PP, VP or S of a text, two to ten words of it     the parser reads one of this kind there
    tags     parts of speech of a text                                 share of words that it reads so

    way            what the model is asked
    unguided       free texts of as many tokens
    guided         a soft wish that eight particles weigh when they are done
    lexicon        (tags) a hole with these word classes, which an automaton holds
    constrained    a wish that must hold: word classes by the automaton, and the parser's reading by eight particles
    held out       the texts that people wrote, read against their own spans and tags

The parser that reads the texts is the one that chooses among particles: what is constrained and returned is right by its
reading, and `success` says how often something is returned. How well it reads is in its card; it has no independent judge here.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.text_control import Made, Store, by_model, called, figures
from benchmarks.text_targets import Target, held_out
from domains.registry import find_model
from domains.text.fields import Example
from domains.text.parsing.parser import Parser, bundled
from domains.text.parsing.reading import Reading, read
from domains.text.syntax import MOST, Span, likeness, overlap
from domains.text.tagging import ANY, Element, Pattern
from seqdiff.checkpoint import load_checkpoint

WAYS = ("unguided", "guided", "lexicon", "constrained")
KINDS = ("NP", "PP", "VP", "S")
WORDS = (2, 10)  # of a span
PUBLISHED = {  # Diffusion-LM's table 2
    "spans": {"Diffusion-LM": 0.938, "FUDGE": 0.542},
    "tags": {"Diffusion-LM": 0.900, "FUDGE": 0.270},
}


def reading_of(text: str, parser: Parser) -> Reading:
    return read([text], parser)[0]


def spans(examples: Sequence[Example], parser: Parser) -> Iterator[Target]:
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
        ways = {
            "unguided": free,
            "guided": free | {"wishes": (f"span {first}-{last}:{kind} >= 1",)},
            "constrained": free | {"wishes": (f"span {first}-{last} is {kind}",)},
        }

        def success(said: str, span: Span = Span(first, last, kind)) -> float:  # noqa: B008
            return float(overlap(span, reading_of(said, parser).spans) == 1)

        yield Target(ways, success, example.text)


def tags(examples: Sequence[Example], parser: Parser) -> Iterator[Target]:
    """The parts of speech of a text."""
    for example in examples:
        wanted = [ANY if tag == "X" else tag for tag in reading_of(example.text, parser).tags]
        pattern: Pattern = tuple(Element(frozenset({tag}), 1, 1) for tag in wanted)
        free = {"template": f"{{{len(wanted)}}}"}
        ways = {
            "unguided": free,
            "guided": free | {"wishes": (f"tags {','.join(wanted)} >= 1",)},
            "lexicon": {"template": "{" + " ".join(wanted) + "}"},
            "constrained": free | {"wishes": ("tags are " + " ".join(wanted),)},
        }

        def success(said: str, pattern: Pattern = pattern) -> float:
            return likeness(pattern, reading_of(said, parser).tags)

        yield Target(ways, success, example.text)


TASKS: dict[str, Callable[[Sequence[Example], Parser], Iterator[Target]]] = {"spans": spans, "tags": tags}


def main(arguments: Sequence[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_syntax")
    parser.add_argument("--model", default="text-small", help="bundled name or folder")
    parser.add_argument("--data", type=Path, required=True, help="folder with text/e2e_train.tsv.xz")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--targets", type=int, default=30)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--out", type=Path, help="a JSON file; cells that stand there are kept")
    given = parser.parse_args(arguments)
    checkpoint, reader = load_checkpoint(find_model(given.model, "text")), bundled()
    store = Store.open(given.out, PUBLISHED)
    restaurants, name = held_out(given.data, "restaurant"), called(given.model)
    common = {"n_targets": given.targets, "samples": given.samples, "parser_sha256": reader.sha256}
    settings = {**common, "steps": given.steps, "sha256": checkpoint.sha256}
    for task in given.tasks:
        targets = [target for target, _ in zip(TASKS[task](restaurants, reader), range(given.targets), strict=False)]
        if not store.has(task, "people", "held out", common):
            people = Made([[target.held_out] for target in targets], 0, 0, 0.0)
            store.put(task, "people", "held out", common, figures(people, targets, "restaurant", 1, None))
        for way in given.ways:
            if all(way in target.asked for target in targets) and not store.has(task, name, way, settings):
                made = by_model(checkpoint, targets, way, "restaurant", given.samples, given.steps)
                store.put(task, name, way, settings, figures(made, targets, "restaurant", given.samples, None))
    return store.cells


if __name__ == "__main__":
    main()
