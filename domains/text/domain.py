"""The text domain as `domains.design` sees it: `templates`, `finish`, `write`, `encode_training_data`, `evaluate`."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from constraints.compilation.assemble import Syntax
from constraints.language.notation import MAX_CHARACTERS
from constraints.template import Canvas, Template
from domains.novelty import Known
from domains.sources import read_sources
from domains.spec import DesignSpec
from domains.text import lengths, tagging
from domains.text.constraints import new_word, words
from domains.text.data import Source, encode_files
from domains.text.fields import TEXT, parted
from domains.text.metrics import count_words
from domains.text.syntax import held
from domains.text.template import Hole, TextTemplate, lay_out, read_template
from domains.text.tokens import decode, kind_of, normal
from domains.variant import Variant
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.errors import ConfigError, TemplateError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.training.data import EncodedData

SUFFIXES = (".txt", ".csv", ".jsonl")
TABLE_COLUMNS = {"words": 0, "novel": 0, "bound": 2}  # metric → decimals
FREE = "{}"  # a free design is one hole of any length


def rank(metrics: dict) -> float:
    """Where a design stands in a table, smallest first: by the bound on −log p of a token, where there is one."""
    bound = metrics.get("bound")
    return float("inf") if bound is None else bound / metrics["tokens"]


def templates(spec: DesignSpec, checkpoint: Checkpoint) -> list[Variant]:
    """The template of a request, read. Raises TemplateError with the place marked, ConfigError for a task.

    What the request asks holds of the text, not of the fields before it: its region is "text".
    """
    if spec.task is not None:
        raise ConfigError(f"task: texts have none, got {spec.task!r}; a template says what stays")
    alphabet, text = checkpoint.alphabet, FREE if spec.template is None else spec.template
    read = read_template(text)
    if read.items[-1] == ("marker", TEXT):
        text = f"{text} {FREE}"  # fields alone: a text that tells them
        read = read_template(text)
    if not read.holes:
        raise TemplateError(f"template: expected a hole such as {{4-9}} or {{}} to be filled; got none in\n  {text}")
    if spec.field_guidance != 1 and not tells(read):
        raise ConfigError(f"field_guidance: expected fields that are told, as in [food] Thai [text] {{}}; got\n  {text}")
    template = lay_out(read, alphabet, lengths.free_gap(read, checkpoint, spec.label))
    asked, patterns = [], [hole.tags for hole in read.holes]
    if said_by_one_hole(read) and patterns[-1] is None and kind_of(alphabet) == "words":
        patterns[-1] = held(spec.wishes)
    for k, hole in enumerate(read.holes, 1):
        asked += [words(hole.low or 0, hole.high, alphabet).within(f"gap{k}")] if hole.words else []
        asked += [new_word(alphabet).within(f"gap{k}")] if hole.apart and not hole.tags else []
    wanted = " & ".join(map(str, asked))
    if len(wanted) > MAX_CHARACTERS:
        count = len(read.holes)
        raise TemplateError(f"template: expected fewer holes that begin a word or count words, got {count}; write some as one")
    return [
        Variant(
            spec.template,
            template,
            wanted,
            lambda tokens, gaps: unlike(patterns, tokens, gaps),
            "text" if read.fields else None,
            tagging.syntax(template, patterns, alphabet),
        )
    ]


def tells(read: TextTemplate) -> bool:
    """Whether a field has a value, or a part of one."""
    before = read.items[: read.items.index(("marker", TEXT))] if read.fields else ()
    return any(kind == "words" for kind, _ in before)


def said_by_one_hole(read: TextTemplate) -> bool:
    """Whether the text is one hole, so that the number of a word is the number of a token while no word is spelled."""
    return isinstance(read.items[-1][1], Hole) and (len(read.items) == 1 or read.items[-2] == ("marker", TEXT))


def unlike(patterns: Sequence[tagging.Pattern | None], tokens: Sequence[str], gaps: Sequence[int]) -> str:
    """The first hole that does not hold the parts of speech that were asked for, in words; "" if there is none."""
    for k, pattern in enumerate(patterns):
        inside = [token for token, g in zip(tokens, gaps, strict=True) if g == k]
        if pattern is not None and not tagging.fits(pattern, inside):
            return f"hole {k + 1} does not hold the parts of speech that were asked for"
    return ""


def syntax(alphabet: Alphabet, template: Template) -> Syntax:
    """Raises ConfigError: a text has no syntax that holds for all."""
    raise ConfigError("syntax: texts have none to hold; ask for a regex, a grammar or a JSON schema as a constraint")


def wish(text: str, alphabet: Alphabet):
    """A part of a guide from a wish such as "words <= 12". Raises ConditionError that says what can be wished."""
    from domains.text.wishes import guide_of

    return guide_of(text, alphabet)


def gradient(text: str, alphabet: Alphabet):
    """A wish as a function of soft tokens, for a model on vectors; None for one that has no gradient."""
    from domains.text.gradients import gradient as gradient_of

    return gradient_of(text, alphabet)


def towards_fields(denoiser, checkpoint: Checkpoint, gamma: float):
    """The denoiser guided towards the fields before a text. Raises ConfigError for a model that has none, or masks none."""
    from domains.text.guidance import FieldsGuided

    if not isinstance(checkpoint.process, Absorbing):
        raise ConfigError(
            "field_guidance: expected a masked model, whose fields can be hidden from it, "
            f"got one whose process is {type(checkpoint.process).__name__}"
        )
    return FieldsGuided(denoiser, checkpoint.alphabet, gamma)


def finish(tokens: list[str], canvas: Canvas, alphabet: Alphabet, known) -> dict:
    """What is said of one design: the fields of `domains.design.Design` that are the domain's.

    Args:
        known: the training set as hashes (`load_known`), or None.
    """
    pinned = canvas.pinned.tolist()
    wanted = canvas.pins(alphabet)
    fields, said = parted(tokens)
    text = decode(said, alphabet)
    reason = "" if text else "nothing is said"
    if "�" in text:
        reason = "bytes that are no text (UTF-8)"
    told = {name: decode(value, alphabet) for name, value in fields}
    return {
        "sequence": text,
        "canonical": None if reason else normal(text),
        "valid": not reason,
        "reason": reason,
        "pins_kept": all(want is None or want == got for want, got in zip(wanted, tokens, strict=True)),
        "pinned_atoms": tuple(i for i, pin in enumerate(pinned) if pin),
        "fields": told,
        "metrics": {
            "words": count_words(text),
            "novel": None if known is None or reason else normal(text) not in known,
        },
    }


def load_known(checkpoint: Checkpoint) -> Known | None:
    """Hashes of the texts the model was trained on, None if the checkpoint has none."""
    path = checkpoint.folder / "known.safetensors" if checkpoint.folder else None
    return Known.load(path) if path and path.is_file() else None


def write(path: Path, designs) -> None:
    """Write designs as .txt (a text a line), .csv or .jsonl."""
    from domains.text.writers import write as write_file

    write_file(path, designs)


def encode_training_data(table: dict, base: Path) -> EncodedData:
    """Read the `[data]` table of a training configuration; relative paths are taken from the configuration's folder."""
    sources, parameters = read_sources(
        table, base, Source, ("tokens", "min_count", "vocabulary", "max_length", "held_out_percent", "half")
    )
    if parameters.get("tokens", "").endswith(".json"):
        parameters["tokens"] = str((base / parameters["tokens"]).resolve())
    return encode_files(sources, **parameters)


def training_extras(data: EncodedData, folder: Path) -> None:
    """Write beside a trained checkpoint what `{}`, novelty and evaluation need: counts and hashes, no text."""
    from domains.text.metrics import Reference

    (folder / lengths.FILE).write_text(json.dumps(lengths.count(data)) + "\n")
    said = [
        decode(parted(data.alphabet.decode_tokens(data.tokens[a:b]))[1], data.alphabet)
        for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)
    ]
    Known.of(normal(said[i]) for i in np.flatnonzero(~data.held_out)).save(folder / "known.safetensors")
    for label, name in enumerate(data.label_names or ("all",)):
        chosen = np.flatnonzero(data.held_out & (data.labels == label))
        Reference.of(list(dict.fromkeys(said[i] for i in chosen))).save(folder / f"reference-{name}.json")


def evaluate(designs, checkpoint: Checkpoint, label: str | None) -> dict:
    """Figures of a set of free designs, with their denominators; `domains.text.metrics` says how."""
    from domains.text.metrics import Reference, evaluate_set

    path = checkpoint.folder / f"reference-{label}.json" if checkpoint.folder and label else None
    reference = Reference.load(path) if path and path.is_file() else None
    return evaluate_set([design.sequence for design in designs], load_known(checkpoint), reference)
