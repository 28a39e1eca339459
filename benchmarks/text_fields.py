"""Fields read from held-out texts, as JSON: how many are right, and how little it says that the JSON is valid.

    python -m benchmarks.text_fields --model text-small text-small-continuous --data DATA \
        --control runs/text-autoregressive/model --out docs/text-fields.json

The text of a held-out meaning is pinned, one of its fields is a hole: `[food] {1-2} [text] By the river you can eat sushi.`
The answer is the document {"food": …} and its schema lists the values that the training texts have.

    way             the value
    unconstrained   as the model fills the hole
    constrained     one of the schema's, hard
    unread          one of the schema's, hard, while the text is a hole too: valid JSON, and no reading
    control         the schema's value that makes the row likeliest to the autoregressive model, which reads left to right

`right` is the share of values that are the meaning's own, `valid` that of documents that the package `jsonschema` accepts.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.text_control import Store, called
from benchmarks.text_formats import satisfies
from benchmarks.text_judge import PERCENT
from benchmarks.text_targets import escaped, held_out
from constraints.language.expression import Regex
from domains.design import design
from domains.registry import find_model
from domains.text.constraints import spelling
from domains.text.data import is_held_out, read_examples
from domains.text.fields import Example, row
from domains.text.tokens import encode
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConditionError

WAYS = ("unconstrained", "constrained", "unread")


def values_of(data: Path) -> dict[str, list[str]]:
    """Field → its values in the training texts, in order."""
    found: dict[str, set[str]] = defaultdict(set)
    for example in read_examples(data / "text" / "e2e_train.tsv.xz", "restaurant"):
        if not is_held_out(example.key, PERCENT):
            for name, value in example.fields:
                found[name].add(value)
    return {name: sorted(values) for name, values in found.items()}


def schema_of(name: str, values: Sequence[str]) -> dict:
    return {
        "type": "object",
        "properties": {name: {"enum": list(values)}},
        "required": [name],
        "additionalProperties": False,
    }


def request(way: str, example: Example, name: str, values: Sequence[str], alphabet: Alphabet) -> dict:
    """The fields of a spec: the hole is as long as values are, in tokens."""
    lengths = [len(encode(" " + value, alphabet)) for value in values]
    text = escaped(example.text) if way != "unread" else f"{{{len(encode(' ' + example.text, alphabet))}}}"
    asked = {"template": f"[{name}] {{{min(lengths)}-{max(lengths)}}} [text] {text}"}
    if way == "unconstrained":
        return asked
    of = spelling(alphabet).of
    one = Regex("|".join(of(" " + value) for value in values)).within(name)
    return asked | {"constraint": str(one)}


def read(checkpoint: Checkpoint, way: str, example: Example, name: str, values: Sequence[str], seed: int, steps: int) -> str:
    """The value that a model reads; "" where it is refused."""
    asked = request(way, example, name, values, checkpoint.alphabet)
    spec = {"domain": "text", "label": "restaurant", "n": 1, "seed": seed, "steps": steps, "bound_draws": 0}
    try:
        made = design(checkpoint=checkpoint, **spec, **asked).designs
    except ConditionError:
        return ""
    return made[0].fields.get(name, "") if made else ""


@torch.no_grad()
def likeliest(control: Checkpoint, example: Example, name: str, values: Sequence[str]) -> str:
    """The value with the greatest p(field, text) by the autoregressive model."""
    rows = [row(example.text, ((name, value),), control.alphabet) for value in values]
    longest = max(map(len, rows))
    x = torch.tensor([ids + [0] * (longest - len(ids)) for ids in rows])
    lengths, label = torch.tensor([len(ids) for ids in rows]), torch.full((len(x),), control.label_names.index("restaurant"))
    return values[int(control.network.log_likelihood(x, label, lengths).argmax())]  # type: ignore[operator]


def questions(data: Path, count: int, values: dict[str, list[str]]) -> list[tuple[Example, str, str]]:
    """(example, field, value) of the first `count` held-out meanings, each of their fields that the schema has."""
    chosen = held_out(data, "restaurant")[:count]
    return [(example, name, value) for example in chosen for name, value in example.fields if value in values.get(name, ())]


def figures(asked: Sequence[tuple[Example, str, str]], answers: Sequence[str], values: dict[str, list[str]]) -> dict:
    right: dict[str, list[bool]] = defaultdict(list)
    valid = 0
    for (_, name, value), answer in zip(asked, answers, strict=True):
        right[name].append(answer == value)
        valid += satisfies(schema_of(name, values[name]), json.dumps({name: answer}))
    every = [hit for hits in right.values() for hit in hits]
    return {
        "fields": len(every),
        "right": sum(every) / len(every),
        "valid": valid / len(every),
        "by_field": {name: [sum(hits), len(hits)] for name, hits in sorted(right.items())},
    }


def main(arguments: Sequence[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_fields")
    parser.add_argument("--model", nargs="+", default=["text-small"], help="bundled names or folders")
    parser.add_argument("--data", type=Path, required=True, help="folder with text/e2e_train.tsv.xz")
    parser.add_argument("--control", type=Path, help="folder of the autoregressive control; without it none")
    parser.add_argument("--targets", type=int, default=50, help="meanings, each with all of its fields")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--out", type=Path, help="a JSON file; cells that stand there are kept")
    given = parser.parse_args(arguments)
    store, values = Store.open(given.out, {}), values_of(given.data)
    asked = questions(given.data, given.targets, values)
    for model in given.model:
        checkpoint = load_checkpoint(find_model(model, "text"))
        settings = {"n_targets": given.targets, "steps": given.steps, "sha256": checkpoint.sha256}
        for way in WAYS:
            if not store.has("read", called(model), way, settings):
                answers = [read(checkpoint, way, e, name, values[name], k, given.steps) for k, (e, name, _) in enumerate(asked)]
                store.put("read", called(model), way, settings, figures(asked, answers, values))
    if given.control:
        control = load_checkpoint(given.control)
        settings = {"n_targets": given.targets, "sha256": control.sha256}
        if not store.has("read", "autoregressive", "control", settings):
            answers = [likeliest(control, example, name, values[name]) for example, name, _ in asked]
            store.put("read", "autoregressive", "control", settings, figures(asked, answers, values))
    return store.cells


if __name__ == "__main__":
    main()
