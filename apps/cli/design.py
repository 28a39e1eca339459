"""`seqdiff design`: from options to a spec, with progress, a table and files."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from domains.design import Design, Designs, DesignSpec, design, read_spec
from domains.registry import get_domain
from seqdiff.errors import ConfigError

SHOWN = 12


def run(domain: str, fields: dict, spec_path: Path | None, out: list[Path], as_json: bool) -> None:
    """Answer a request: options override the spec file, files are written, exit status 130 if it was interrupted."""
    table = read_spec(spec_path) if spec_path else {}
    if table.get("domain", domain) != domain:
        raise ConfigError(f"spec: {spec_path} is for domain {table['domain']!r}, the command for {domain!r}")
    spec = DesignSpec.from_dict({**table, **fields, "domain": domain})
    check_outputs(domain, out)
    console = Console(stderr=True)
    answer = with_progress(spec, console)
    for path in out:
        get_domain(domain).write(path, answer.designs)
    if as_json:
        json.dump(document(answer), sys.stdout, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")
    else:
        show(answer, Console())
        for path in out:
            console.print(f"wrote [bold]{path}[/bold]", highlight=False)
    if not answer.complete:
        console.print(f"interrupted: kept the {len(answer.designs)} of {spec.n} designs that were done")
        raise SystemExit(130)


def check_outputs(domain: str, out: list[Path]) -> None:
    """Before anything is sampled: an unknown suffix or a folder that cannot be made is refused."""
    suffixes = get_domain(domain).SUFFIXES
    for path in out:
        if path.suffix not in suffixes:
            raise ConfigError(f"out: expected a file that ends in {', '.join(suffixes)}; got {path}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"out: cannot make the folder of {path} ({error.strerror})") from None


def with_progress(spec: DesignSpec, console: Console) -> Designs:
    """`design` with a bar, which appears once the request has been found good."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console)
    task = bar.add_task("designing", total=spec.n, rate="")

    def progress(done: int, total: int) -> None:
        bar.start()
        speed = bar.tasks[0].speed
        bar.update(task, completed=done, rate=f"{speed:.1f}/s" if speed else "")

    try:
        return design(spec, progress=progress)
    finally:
        if bar.live.is_started:
            bar.stop()


def document(answer: Designs) -> dict:
    """The JSON contract: `designs`, `spec`, `timing`, `complete`."""
    return {
        "designs": [item.to_dict() for item in answer.designs],
        "spec": answer.spec.to_dict(),
        "timing": answer.timing,
        "complete": answer.complete,
        "abstained": answer.abstained,
        "summary": answer.summary,
    }


def show(answer: Designs, console: Console) -> None:
    """A table of the best designs and a summary with its denominators."""
    columns = get_domain(answer.spec.domain).TABLE_COLUMNS
    valid = [item for item in answer.designs if item.valid]
    kept = [item for item in valid if item.pins_kept]
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("design", overflow="fold", ratio=1)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    best = sorted(kept or valid, key=lambda item: -float(item.metrics.get("qed") or 0))
    for item in best[:SHOWN]:
        table.add_row(str(item.index + 1), escape(item.sequence), *(cell(item, name) for name in columns))
    if best:
        console.print(table)
    counts = answer.summary
    n = counts["returned"]
    console.print(
        f"{n} designs: {counts['valid']} valid ({counts['valid'] / max(n, 1):.0%} of all), {counts['distinct']} distinct, "
        f"{counts['valid_and_pins_kept']} with all that is pinned kept (of the valid); pinned tokens kept in all",
        highlight=False,
    )
    if answer.abstained:
        console.print(
            f"{counts['abstained']} of {counts['asked']} not returned: none of their {answer.spec.cloud} particles met "
            f"{' & '.join(answer.spec.wishes) or 'what must hold'}; ask for more particles or less",
            highlight=False,
        )
    held = answer.designs[0].certificate.holds if answer.designs else ()
    if held:
        text = f"held in {counts['satisfied']} of {n}, checked afterwards: {' & '.join(held)}"
        console.print(text, highlight=False, markup=False)
    console.print(str(answer.designs[0].certificate) if answer.designs else "", style="dim", highlight=False, markup=False)
    seconds = answer.timing["design_seconds"]
    console.print(f"{seconds:.1f} s, {answer.timing['designs_per_second']:.1f} designs/s", style="dim", highlight=False)


def cell(item: Design, name: str) -> str:
    value = item.metrics.get(name)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.0f}" if name in ("rings", "weight") else f"{value:.2f}"
