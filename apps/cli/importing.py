"""`seqdiff import esm`, `seqdiff import text`: published weights, converted once."""

import json
import sys
from pathlib import Path

from rich.console import Console


def run(source: str, out: Path | None, lengths: Path | None, check: bool | None, as_json: bool) -> None:
    """Convert and say what came of it."""
    from domains.protein.pretrained.importing import import_esm

    with Console(stderr=True).status(f"reading {Path(source).name}"):
        made = import_esm(source, out, lengths, check)
    network, folder = made.checkpoint.network, made.folder
    found = {
        "folder": str(folder),
        "architecture": made.checkpoint.metrics["architecture"],
        "parameters": sum(p.numel() for p in network.parameters()),
        "source_sha256": made.checkpoint.metrics["source_sha256"],
        "contacts": made.contacts,
        "free_design": lengths is not None,
        "largest_difference_from_fair_esm": made.difference,
        "not_checked": made.unchecked or None,
    }
    lines = [
        f"{found['architecture']}, {found['parameters'] / 1e6:.1f}M parameters: {folder}",
        "contacts: yes" if made.contacts else "contacts: no, there was no contact regression; all else works",
        "lengths: counted"
        if lengths
        else "lengths: none; templates say how long (--lengths FASTA counts them, for free design)",
        f"not checked against fair-esm: {made.unchecked}"
        if made.difference is None
        else f"checked against fair-esm's own model: largest difference of logits {made.difference:.3g}",
        f'use it: seqdiff design protein "{{80-120}}" --model {with_slash(folder)}',
    ]
    tell(found, lines, as_json)


def run_text(source: str, out: Path | None, read_as: str, as_json: bool) -> None:
    """Convert a language model and say what came of it."""
    from domains.text.pretrained.importing import import_text

    with Console(stderr=True).status(f"reading {Path(source).name}"):
        made = import_text(source, out, read_as)
    checkpoint, folder = made.checkpoint, made.folder
    found = {
        "folder": str(folder),
        "architecture": checkpoint.metrics["architecture"],
        "parameters": sum(p.numel() for p in checkpoint.network.parameters()),
        "source_sha256": checkpoint.metrics["source_sha256"],
        "read_as": read_as,
        "tokens": len(checkpoint.alphabet),
        "longest_row": checkpoint.max_length,
        "largest_difference_from_transformers": made.difference,
    }
    lines = [
        f"{found['architecture']}, {found['parameters'] / 1e6:.1f}M parameters, read as {read_as}: {folder}",
        f"{found['tokens']:,} tokens that may be said; rows of at most {found['longest_row']:,} tokens",
        f"checked against transformers' own forward: largest difference of logits {made.difference:.3g}",
        "lengths: none; templates say how long",
        f'use it: seqdiff design text "The {{4-9}} near the river." --model {with_slash(folder)}',
    ]
    tell(found, lines, as_json)


def with_slash(folder: Path) -> str:
    """A path as `--model` takes it."""
    return str(folder) if "/" in str(folder) else f"./{folder}"


def tell(found: dict, lines: list[str], as_json: bool) -> None:
    """One JSON document on stdout, or lines on stderr."""
    if as_json:
        json.dump(found, sys.stdout)
        sys.stdout.write("\n")
        return
    for line in lines:
        Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
