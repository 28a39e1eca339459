"""`seqdiff import esm`: published weights, converted once."""

import json
import sys
from pathlib import Path

from rich.console import Console

from domains.protein.pretrained.importing import import_esm


def run(source: str, out: Path | None, lengths: Path | None, check: bool | None, as_json: bool) -> None:
    """Convert and say what came of it."""
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
    if as_json:
        json.dump(found, sys.stdout)
        sys.stdout.write("\n")
        return
    lines = [
        f"{found['architecture']}, {found['parameters'] / 1e6:.1f}M parameters: {folder}",
        "contacts: yes" if made.contacts else "contacts: no, there was no contact regression; all else works",
        "lengths: counted"
        if lengths
        else "lengths: none; templates say how long (--lengths FASTA counts them, for free design)",
        f"not checked against fair-esm: {made.unchecked}"
        if made.difference is None
        else f"checked against fair-esm's own model: largest difference of logits {made.difference:.3g}",
        f'use it: seqdiff design protein "{{80-120}}" --model {folder if "/" in str(folder) else f"./{folder}"}',
    ]
    for line in lines:
        Console(stderr=True).print(line, highlight=False, markup=False, soft_wrap=True)
