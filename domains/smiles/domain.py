"""The molecule domain as `domains.design` sees it: `templates`, `finish`, `write`, `encode_training_data`, `evaluate`."""

from pathlib import Path

from constraints.compilation.assemble import Syntax
from constraints.template import Canvas, Template
from domains.novelty import Known
from domains.smiles.data import Source, encode_files
from domains.smiles.pins import pinned_atoms, pins_kept
from domains.smiles.template import parse_template
from domains.sources import read_sources
from domains.spec import DesignSpec
from domains.variant import Variant, free
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.training.data import EncodedData

SUFFIXES = (".csv", ".smi", ".sdf", ".jsonl", ".png", ".html")
TABLE_COLUMNS = {"qed": 2, "sa": 2, "logp": 2, "weight": 0, "rings": 0, "novel": 0, "bound": 2}  # metric → decimals


def rank(metrics: dict) -> float:
    """Where a design stands in a table, smallest first: by QED, highest first."""
    return -float(metrics.get("qed") or 0)


def templates(spec: DesignSpec, checkpoint: Checkpoint) -> list[Variant]:
    """The template of a request, or the ways to write its task. Raises TemplateError with the place marked."""
    if spec.template is None:
        return [free(checkpoint, spec.label)]
    if spec.task is None:
        return [Variant(spec.template, parse_template(spec.template, checkpoint.alphabet))]
    from domains.smiles.tasks_design import variants

    return variants(spec, checkpoint.alphabet, checkpoint.max_length)


def syntax(alphabet: Alphabet, template: Template) -> Syntax:
    """Well-formed SMILES as an automaton; what is pinned balances its own branches and rings."""
    from domains.smiles.wellformed import in_open_rings, room, well_formed

    rings = not in_open_rings(template, alphabet)
    return Syntax("well-formed SMILES", well_formed(alphabet, *room(template), template.banned, rings), "pins")


def wish(text: str, alphabet: Alphabet):
    """A part of a guide from a wish such as "valid" or "qed >= 0.8". Raises ConditionError that says what can be wished."""
    from domains.smiles.wishes import guide_of, look_ahead

    return guide_of(text, alphabet, look_ahead(alphabet))


def finish(tokens: list[str], canvas: Canvas, alphabet: Alphabet, known) -> dict:
    """What is said of one design: the fields of `domains.design.Design` that are the domain's.

    Args:
        known: the training set as hashes (`load_known`), or None.
    """
    from domains.smiles.properties import describe

    pinned = canvas.pinned.tolist()
    wanted = canvas.pins(alphabet)
    molecule = describe("".join(tokens))
    novel = None if known is None or molecule.canonical is None else molecule.canonical not in known
    return {
        "sequence": "".join(tokens),
        "canonical": molecule.canonical,
        "valid": molecule.valid,
        "reason": molecule.reason,
        "pins_kept": pins_kept(tokens, pinned, wanted) if any(pinned) else True,
        "pinned_atoms": pinned_atoms(tokens, pinned),
        "metrics": {**molecule.metrics, "novel": novel},
    }


def load_known(checkpoint: Checkpoint):
    """Hashes of the molecules the model was trained on, None if the checkpoint has none."""
    path = checkpoint.folder / "known.safetensors" if checkpoint.folder else None
    return Known.load(path) if path and path.is_file() else None


def write(path: Path, designs) -> None:
    """Write designs as .csv, .smi, .sdf, .jsonl, .png or .html (a report, of the whole answer)."""
    from domains.smiles.writers import write as write_file

    write_file(path, designs)


def encode_training_data(table: dict, base: Path) -> EncodedData:
    """Read the `[data]` table of a training configuration; relative paths are taken from the configuration's folder.

    `target` names a figure of `properties.METRICS` for a regressor; `alphabet` a model whose tokens are used, so that what
    is trained can guide it.
    """
    sources, parameters = read_sources(
        table, base, Source, ("max_length", "min_count", "held_out_percent", "target", "alphabet")
    )
    if "alphabet" in parameters:
        from domains.registry import find_model

        folder = find_model(parameters["alphabet"], "smiles")
        parameters["alphabet"] = Alphabet.from_json((folder / "alphabet.json").read_text())
    return encode_files(sources, **parameters)


def training_extras(data: EncodedData, folder: Path) -> None:
    """Write beside a trained checkpoint what evaluation and novelty need: hashes and statistics, no molecule."""
    import numpy as np

    from domains.smiles.metrics import Reference, Sample

    def decoded(chosen) -> list[str]:
        return [data.alphabet.decode(data.tokens[data.offsets[i] : data.offsets[i + 1]]) for i in np.flatnonzero(chosen)]

    Known.of(decoded(~data.held_out)).save(folder / "known.safetensors")
    for label, name in enumerate(data.label_names or ("all",)):
        held = decoded(data.held_out & (data.labels == label))[:2000]
        (folder / f"reference-{name}.json").write_text(Reference.from_smiles(held).to_json())
        Sample.of(held).save(folder / f"sample-{name}.safetensors")


def evaluate(designs, checkpoint: Checkpoint, label: str | None) -> dict:
    """Metrics of a set of free designs, with their denominators; `domains.smiles.metrics` says how."""
    from domains.smiles.metrics import Reference, Sample, evaluate_set

    path = checkpoint.folder / f"reference-{label}.json" if checkpoint.folder and label else None
    reference = Reference.from_json(path.read_text()) if path and path.is_file() else None
    sample = Sample.of_model(checkpoint.folder, label) if checkpoint.folder else None
    return evaluate_set([design.sequence for design in designs], load_known(checkpoint), reference, sample=sample)
