"""A set of designs looked at as a whole: `python -m domains.protein.report DESIGNS --out FOLDER [options]`.

DESIGNS is a file of `seqdiff design protein --out` (.jsonl, which knows the pins) or any FASTA. Into the folder go

    scores.csv      a row a design: figures, share of helix, strand and coil, and what was asked for:
                      --native FILE    recovery of its first sequence on the designed positions
                      --library FILE   identity, novelty and the nearest protein of FASTA, A2M, A3M or Stockholm
                      --model NAME     pseudo-perplexity under a model: bundled, or an imported ESM by its folder
                      --fold           pLDDT by a program on the path (`domains.protein.folding`), PDB files in FOLDER/folded
    logo.png, figures.png, identity.png     pictures; --natural FILE draws natural proteins beside the designs
"""

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domains.protein.classes import state_shares
from domains.protein.data import clean, read_fasta
from domains.protein.folding import fold
from domains.protein.likelihoods import pseudo_perplexity
from domains.protein.logo import draw_logo
from domains.protein.pictures import draw_histograms, draw_identity_map
from domains.protein.properties import METRICS, describe
from domains.protein.scores import scores
from domains.protein.states import STATES
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import ConfigError


@dataclass(frozen=True)
class Read:
    """A design of a file."""

    name: str
    sequence: str
    valid: bool
    pinned_atoms: tuple[int, ...]
    metrics: dict[str, float | bool | None]


def read_designs(path: str | Path) -> list[Read]:
    """Designs of a .jsonl file of `seqdiff design protein`, or of FASTA. Raises ConfigError."""
    path = Path(path)
    if path.suffix != ".jsonl":
        found = [(record.name, record.sequence, ()) for record in read_fasta(path)]
    else:
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            found = [(f"design-{i}", line["sequence"], tuple(line["pinned"])) for i, line in enumerate(lines, 1)]
        except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise ConfigError(f"report: {path} holds no designs as seqdiff design protein writes them ({error!r})") from None
    if not found:
        raise ConfigError(f"report: {path} holds no design")
    described = [describe(sequence) for _, sequence, _ in found]
    return [Read(name, text, d.valid, pins, d.metrics) for (name, text, pins), d in zip(found, described, strict=True)]


def table(
    designs: Sequence[Read],
    native: str | None = None,
    library: str | Path | None = None,
    model: str | None = None,
    folded: Path | None = None,
) -> list[dict[str, Any]]:
    """A row a design; what an invalid one does not have is left out."""
    rows: list[dict[str, Any]] = [{"name": one.name, "sequence": one.sequence, "valid": one.valid} for one in designs]
    valid = [i for i, one in enumerate(designs) if one.valid]
    texts = [designs[i].sequence for i in valid]
    for row, one, found in zip(rows, designs, scores(designs, library, native), strict=True):
        row |= {**one.metrics, **found}
    for i, shares in zip(valid, state_shares(texts), strict=True):
        rows[i] |= dict(zip(STATES, shares, strict=True))
    if model is not None:
        checkpoint = load_checkpoint(find_model(model, "protein"))
        for i, value in zip(valid, pseudo_perplexity(checkpoint, texts), strict=True):
            rows[i]["pseudo_perplexity"] = value
    if folded is not None:
        for i, made in zip(valid, fold(texts, folded), strict=True):
            rows[i] |= {"plddt": made.plddt, "structure": made.path.name}
    return rows


def report(
    designs: Sequence[Read], out: Path, natural: Sequence[str] = (), folds: bool = False, **asked
) -> list[dict[str, Any]]:
    """Write the folder; returns the rows of `table`. Pictures that the designs are too few for are left out."""
    out.mkdir(parents=True, exist_ok=True)
    rows = table(designs, folded=out / "folded" if folds else None, **asked)
    told = dict.fromkeys(name for row in rows for name in row)
    columns = [
        "name",
        "sequence",
        "valid",
        *METRICS,
        *(name for name in told if name not in ("name", "sequence", "valid", *METRICS)),
    ]
    with (out / "scores.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    valid = [one for one in designs if one.valid]
    if valid:
        draw_logo(designs, out / "logo.png")  # type: ignore[arg-type]
        draw_histograms(designs, out / "figures.png", natural)
    if len(valid) > 1:
        draw_identity_map(designs, out / "identity.png")
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--native", type=Path)
    parser.add_argument("--library", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--fold", action="store_true")
    parser.add_argument("--natural", type=Path)
    options = parser.parse_args(arguments)
    first = next(iter(read_fasta(options.native)), None) if options.native else None
    if options.native and first is None:
        raise ConfigError(f"report: {options.native} holds no sequence")
    natural = [text for record in read_fasta(options.natural) if (text := clean(record.sequence))] if options.natural else []
    asked = {"native": first and first.sequence, "library": options.library, "model": options.model}
    rows = report(read_designs(options.designs), options.out, natural, options.fold, **asked)
    print(f"{len(rows)} designs, {sum(row['valid'] for row in rows)} valid: {options.out / 'scores.csv'} and pictures")


if __name__ == "__main__":
    main()
