"""The model card: what a checkpoint is, what it was trained on, and how well it did."""

import json
from dataclasses import asdict

from seqdiff.checkpoint import Checkpoint
from seqdiff.processes.absorbing import Absorbing
from seqdiff.systems.classifier import Regression, Tagging
from seqdiff.training.config import TrainingConfig
from seqdiff.training.data import EncodedData


def model_card(name: str, domain: str, checkpoint: Checkpoint, data: EncodedData, config: TrainingConfig) -> str:
    """Markdown from the run's own records; no figure in it is written by hand."""
    metrics = checkpoint.metrics
    size = sum(p.numel() for p in checkpoint.network.parameters())
    files = data.provenance.get("files", [])
    kind = "masked-diffusion" if isinstance(checkpoint.process, Absorbing) else config.system
    lines = [
        f"# {name}",
        "",
        f"A {kind} denoiser for {domain}: {size / 1e6:.2f}M parameters, {len(checkpoint.alphabet)} tokens, "
        f"rows of at most {checkpoint.max_length} tokens, classes: {', '.join(checkpoint.label_names) or 'none'}.",
        "",
        "## Training",
        "",
        f"- {metrics.get('training_hours')} hours on {metrics.get('device')}, {metrics.get('steps'):,} steps, "
        f"{metrics.get('rows_seen'):,} rows and {metrics.get('tokens_seen'):,} tokens seen",
        f"- {int((~data.held_out).sum()):,} training rows, {int(data.held_out.sum()):,} held out; "
        f"sha256 of the encoded data {metrics.get('data_sha256')}",
        *[f"- {file['file']} (class {file['label']}): {_new(file):,} rows, sha256 {file['sha256']}" for file in files],
        "",
        "## Held-out bound",
        "",
        *[
            f"- {key.removeprefix('bound/')}: {value:.4f} ± {metrics['error/' + key.removeprefix('bound/')]:.4f} nats per token"
            for key, value in metrics.items()
            if key.startswith("bound/")
        ],
        "",
        "## Configuration",
    ]
    return _with_configuration(lines, config)


def classifier_card(name: str, domain: str, checkpoint: Checkpoint, data: EncodedData, config: TrainingConfig) -> str:
    """Markdown from the run's own records, of a classifier, regressor or tagger on noisy input."""
    metrics, system = checkpoint.metrics, checkpoint.system
    what, unit = f"the class: {', '.join(data.label_names)}", "row"
    if isinstance(system, Tagging):
        what, unit = "a class of each token", "tagged token"
    elif isinstance(system, Regression):
        what, unit = f"the number {system.target!r}", "row, the number in units of its deviation"
    bounds = ((key.removeprefix("bound/"), v) for key, v in metrics.items() if key.startswith("bound/"))
    lines = [
        f"# {name}",
        "",
        f"Tells {what}, from rows of {domain} under noise, for guidance; over {len(data.alphabet)} tokens.",
        f"{metrics['steps']:,} steps, {metrics['training_hours']} hours on {metrics['device']}; "
        f"sha256 of the encoded data {metrics['data_sha256']}.",
        "",
        f"Held-out −log p(y | x_t) averaged over t, nats a {unit}:",
        "",
        *[f"- {group}: {value:.4f}" for group, value in bounds],
        "",
        "Held-out rows, by noise level t:",
        "",
        *[f"- {key}: {value:.4f}" for key, value in metrics.items() if "/t=" in key],
    ]
    return _with_configuration(lines, config)


def _with_configuration(lines: list[str], config: TrainingConfig) -> str:
    return "\n".join([*lines, "", "```json", json.dumps(asdict(config), indent=1), "```", ""])


def _new(file: dict) -> int:
    """Rows of a file that no file before it had, whatever a domain calls them."""
    return next(count for name, count in file.items() if name.startswith("new_"))
