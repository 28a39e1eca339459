"""The protein domain as `domains.design` sees it: `templates`, `finish`, `write`, `encode_training_data`, `evaluate`."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from constraints.template import Canvas, Template
from domains.novelty import Known
from domains.protein.data import BREAK, JOINED, Source, encode_files
from domains.protein.template import parse_template, without_unknowns
from domains.sources import read_sources
from domains.spec import DesignSpec
from domains.variant import Variant, free
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConfigError
from seqdiff.training.data import EncodedData

SUFFIXES = (".csv", ".fasta", ".jsonl", ".png")
TABLE_COLUMNS = {"length": 0, "charge": 2, "pi": 2, "gravy": 2, "instability": 2, "novel": 0, "bound": 2}  # metric → decimals


def rank(metrics: dict) -> float:
    """Where a design stands in a table, smallest first: by the bound on −log p of a residue, where there is one."""
    bound = metrics.get("bound")
    return math.inf if bound is None else bound / metrics["tokens"]


def templates(spec: DesignSpec, checkpoint: Checkpoint) -> list[Variant]:
    """The template of a request, read. Raises TemplateError with the place marked, ConfigError for a task."""
    if spec.task is not None:
        raise ConfigError(f"task: proteins have none, got {spec.task!r}; a template or a contig says what stays")
    if spec.template is None:
        made = free(checkpoint, spec.label)
        return [replace(made, template=without_unknowns(made.template, checkpoint.alphabet, breaks=spec.label == JOINED))]
    return [Variant(spec.template, parse_template(spec.template, checkpoint.alphabet))]


def syntax(alphabet: Alphabet, template: Template):
    """Raises ConfigError: every sequence of amino acids is a protein's."""
    raise ConfigError("syntax: proteins have no syntax to hold; every sequence of amino acids is one. Leave syntax off")


def wish(text: str, alphabet: Alphabet):
    """A part of a guide from a wish such as "charge >= 3". Raises ConditionError that says what can be wished."""
    from domains.protein.wishes import guide_of

    return guide_of(text, alphabet)


def finish(tokens: list[str], canvas: Canvas, alphabet: Alphabet, known) -> dict:
    """What is said of one design: the fields of `domains.design.Design` that are the domain's.

    Args:
        known: the training set as hashes (`load_known`), or None.
    """
    from domains.protein.metrics import is_novel
    from domains.protein.properties import describe

    pinned = canvas.pinned.tolist()
    wanted = canvas.pins(alphabet)
    sequence = "".join(tokens)
    found = describe(sequence, 1 + wanted.count(BREAK))
    novel = None if known is None or not found.valid else is_novel(sequence, known)
    return {
        "sequence": sequence,
        "canonical": sequence if found.valid else None,
        "valid": found.valid,
        "reason": found.reason,
        "pins_kept": all(want is None or want == got for want, got in zip(wanted, tokens, strict=True)),
        "pinned_atoms": tuple(i for i, pin in enumerate(pinned) if pin),
        "metrics": {**found.metrics, "novel": novel},
    }


def load_known(checkpoint: Checkpoint) -> Known | None:
    """Hashes of the proteins the model was trained on, None if the checkpoint has none."""
    path = checkpoint.folder / "known.safetensors" if checkpoint.folder else None
    return Known.load(path) if path and path.is_file() else None


def write(path: Path, designs) -> None:
    """Write designs as .csv, .fasta, .jsonl or .png (a sequence logo)."""
    from domains.protein.writers import write as write_file

    write_file(path, designs)


def encode_training_data(table: dict, base: Path) -> EncodedData:
    """Read the `[data]` table of a training configuration; relative paths are taken from the configuration's folder.

    `classes` are the names of a model's classes, in its order: so that rows of some of them can train it further.
    """
    table, classes = dict(table), table.get("classes")
    table.pop("classes", None)
    data = _encoded(table, base)
    if classes is None:
        return data
    if not isinstance(classes, list) or not set(data.label_names) <= set(classes):
        raise ConfigError(
            f"data.classes: expected the names of a model's classes, those of the data among them "
            f"({', '.join(data.label_names)}), got {classes!r}"
        )
    numbers = np.array([classes.index(name) for name in data.label_names])
    return replace(data, label_names=tuple(classes), labels=numbers[data.labels].astype(data.labels.dtype))


def _encoded(table: dict, base: Path) -> EncodedData:
    target = table.get("target")
    if target == "cdr-h3":
        from domains.protein.antibodies import encode_antibodies

        allowed = {"target", "windows", "held_out_percent", "max_length"}
        sources, parameters = read_sources(table, base, Source, allowed)
        return encode_antibodies(sources=sources, **parameters)
    allowed = {"min_length", "max_length", "held_out_percent"}
    allowed |= set() if target is not None else {"joined_percent", "shared_words", "half"}
    sources, parameters = read_sources(table, base, Source, allowed | {"target"})
    if target is not None:
        from domains.protein.states import encode_states

        return encode_states(parameters.pop("target"), [source.path for source in sources], **parameters)
    return encode_files(sources, **parameters)


def training_extras(data: EncodedData, folder: Path) -> None:
    """Write beside a trained checkpoint what novelty and evaluation need: hashes and counts, no protein.

    `composition.json` holds how often each token stands in the training rows, and under "held_out" in the held-out rows.
    """
    rows = [data.tokens[a:b] for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    trained = [data.alphabet.decode(rows[i]) for i in np.flatnonzero(~data.held_out)]
    Known.of(chain for text in trained for chain in text.split(BREAK)).save(folder / "known.safetensors")
    token_held_out = np.repeat(data.held_out, data.lengths)
    V = len(data.alphabet)
    counts = {
        side: dict(zip(data.alphabet.tokens, np.bincount(data.tokens[chosen], minlength=V).tolist(), strict=True))
        for side, chosen in (("trained", ~token_held_out), ("held_out", token_held_out))
    }
    (folder / "composition.json").write_text(json.dumps(counts) + "\n")


def evaluate(designs, checkpoint: Checkpoint, label: str | None) -> dict:
    """Figures of a set of free designs, with their denominators; `domains.protein.metrics` says how."""
    from domains.protein.metrics import evaluate_set

    path = checkpoint.folder / "composition.json" if checkpoint.folder else None
    counts = json.loads(path.read_text())["held_out"] if path and path.is_file() else None
    return evaluate_set([design.sequence for design in designs], load_known(checkpoint), counts, None if label == JOINED else 1)
