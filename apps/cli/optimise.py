"""`seqdiff optimise`: molecules bred towards a goal, with progress, a table, files and the lineage."""

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import typer

SHOWN = 10


def optimise_smiles(
    goal: Annotated[
        str,
        typer.Argument(help="qed, plogp, celecoxib, median1, similarity(SMILES), median(SMILES, SMILES), or a wish."),
    ],
    template: Annotated[str | None, typer.Option(help="SMILES with gaps {n} or {a-b}; the rest stays for good.")] = None,
    start: Annotated[Path | None, typer.Option(help="Molecules to begin with: .smi, .csv, .tsv or .sdf.")] = None,
    budget: Annotated[int | None, typer.Option(help="Oracle calls: distinct molecules scored.", show_default="1000")] = None,
    first: Annotated[int | None, typer.Option(help="Designs to begin with, without --start.", show_default="100")] = None,
    seed: Annotated[int | None, typer.Option(help="Of all noise.", show_default="0")] = None,
    model: Annotated[str | None, typer.Option(help="Bundled name, or path of a checkpoint folder (with a slash).")] = None,
    label: Annotated[str | None, typer.Option("--class", help="Class of the model, as `seqdiff models` lists them.")] = None,
    moves: Annotated[
        list[str] | None, typer.Option("--move", help="How molecules are changed, as name=number: batch=40, cut=8; repeatable.")
    ] = None,
    campaign: Annotated[Path | None, typer.Option(help="File to save to and to go on from after an interruption.")] = None,
    out: Annotated[Path | None, typer.Option(help="All molecules by score: .smi or .csv.")] = None,
    lineage: Annotated[
        Path | None, typer.Option(help="Ancestors of the ten best, drawn or written: .png, .svg, .graphml, .json.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")] = False,
):
    """Optimise molecules for GOAL: parts are remasked and designed anew, what the template pins stays."""
    fields = {"template": template, "budget": budget, "first": first, "seed": seed, "model": model, "label": label}
    fields = {name: value for name, value in fields.items() if value is not None}
    run(goal, fields | {"moves": read_moves(moves or [])}, start, campaign, out, lineage, json)


def run(
    goal: str, fields: dict, start: Path | None, campaign: Path | None, out: Path | None, lineage: Path | None, as_json: bool
) -> None:
    """Exit status 130 if it was interrupted; what was found is shown and written all the same."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from domains.campaign.lineage import SUFFIXES, ancestry, write_lineage
    from domains.campaign.lineage import lineage as graph_of
    from domains.optimise import optimise
    from domains.smiles.data import read_smiles
    from seqdiff.errors import ConfigError

    for name, path, suffixes in (("out", out, (".smi", ".csv")), ("lineage", lineage, SUFFIXES)):
        if path is not None and path.suffix not in suffixes:
            raise ConfigError(f"{name}: expected a file that ends in {', '.join(suffixes)}; got {path}")
    console = Console(stderr=True)
    columns = TextColumn("{task.fields[seen]}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    bar = Progress(*columns, console=console)
    task = bar.add_task("optimising", total=None, seen="starting")

    def progress(seen) -> None:
        bar.start()
        rate = seen.calls / max(seen.seconds, 1e-9)
        text = f"best {seen.best:.3f}, ten best {seen.top10:.3f}, {rate:.1f} calls/s"
        bar.update(task, completed=seen.calls, total=seen.budget, seen=text)

    first = None if start is None else list(read_smiles(start))
    try:
        found = optimise(goal, start=first, path=campaign, progress=progress, **fields)
    finally:
        if bar.live.is_started:
            bar.stop()
    if out is not None:
        write(found, out)
    if lineage is not None:
        write_lineage(ancestry(graph_of(found.entries), [entry.call for entry in found.best[:10]]), lineage)
    if as_json:
        json_module.dump(document(found), sys.stdout, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")
    else:
        show(found, Console())
    if not found.complete:
        kept = f"; the same command goes on from {campaign}" if campaign else ""
        console.print(f"interrupted after {len(found.entries)} of {found.spec.budget} calls{kept}", highlight=False)
        raise SystemExit(130)


def read_moves(texts: list[str]) -> dict:
    """name=number → a table of `Moves`. Raises ConfigError."""
    from seqdiff.errors import ConfigError

    table = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            table[name.strip()] = float(value) if "." in value else int(value)
        except ValueError:
            raise ConfigError(f"move: expected name=number such as batch=40, got {text!r}") from None
    return table


def write(found, path: Path) -> None:
    """SMILES and scores, best first."""
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".smi":
            file.writelines(f"{entry.text} {entry.score:.6g}\n" for entry in found.best)
            return
        rows = csv.writer(file)
        rows.writerow(["smiles", "score", "call", "generation", "how", "parents", "written"])
        for e in found.best:
            parents = " ".join(map(str, e.parents))
            rows.writerow([e.text, f"{e.score:.6g}", e.call, e.generation, e.how, parents, e.written])


def document(found) -> dict:
    """The JSON contract: `best`, `calls`, `auc_top10`, `spec`, `timing`, `complete`, `exhausted`."""
    best = [
        {"smiles": e.text, "score": e.score, "call": e.call, "how": e.how, "parents": list(e.parents)} for e in found.best[:100]
    ]
    figures = {"calls": len(found.entries), "auc_top10": found.auc_top10, "complete": found.complete}
    return {"best": best, **figures, "exhausted": found.exhausted, "spec": found.spec.to_dict(), "timing": found.timing}


def show(found, console) -> None:
    """The best molecules and what they cost."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_edge=False, pad_edge=False)
    for name in ("score", "call", "made by"):
        table.add_column(name, justify="right" if name != "made by" else "left", no_wrap=True)
    table.add_column("molecule", overflow="fold", ratio=1)
    for e in found.best[:SHOWN]:
        table.add_row(f"{e.score:.4f}", str(e.call), e.how, escape(e.text))
    console.print(table)
    refused = len(found.entries) - len(found.best)
    text = f"{len(found.entries)} oracle calls ({refused} refused), area under the ten best {found.auc_top10:.4f}"
    console.print(text + (", nothing new could be found" if found.exhausted else ""), highlight=False)
