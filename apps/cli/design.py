"""`seqdiff design`: from options to a spec, with progress, a table and files."""

import json
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from domains.design import Designs, DesignSpec, design, read_spec
from domains.registry import get_domain
from domains.scorers import scorers
from seqdiff.errors import ConfigError

SHOWN = 12  # designs of the table
LONGEST = 80  # characters of a constraint that the summary repeats; a task's own lists of tokens are longer


def run(domain: str, given: dict) -> None:
    """Answer a request: options override the spec file, files are written, exit status 130 if it was interrupted.

    given: options by name, None where one was not given; beside the fields of a spec `spec`, `scorer`, `out` and `json`.
    """
    fields, (spec_path, services, out, as_json) = split(given, "spec", "scorer", "out", "json")
    table = read_spec(spec_path) if spec_path else {}
    if table.get("domain", domain) != domain:
        raise ConfigError(f"spec: {spec_path} is for domain {table['domain']!r}, the command for {domain!r}")
    spec = DesignSpec.from_dict({**table, **fields, "domain": domain})
    out = out or []
    check_outputs(domain, out)
    console = Console(stderr=True)
    with scorers(named(services or [])):
        answer = with_progress(spec, console)
    for path in out:
        get_domain(domain).write(path, answer if path.suffix == ".html" else answer.designs)  # a report is of the whole
    if as_json:
        json.dump(answer.to_dict(), sys.stdout, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")
    else:
        show(answer, Console())
        for path in out:
            console.print(f"wrote [bold]{path}[/bold]", highlight=False)
    if not answer.complete:
        console.print(f"interrupted: kept the {len(answer.designs)} of {spec.n} designs that were done")
        raise SystemExit(130)


def split(given: dict, *names: str) -> tuple[dict, list]:
    """The fields of a spec among the options that were given (not None, nor an empty list), and the options of these names."""
    fields = {name: value for name, value in given.items() if name not in names and value is not None and value != []}
    return fields, [given[name] for name in names]


def named(services: list[str]) -> dict[str, str]:
    """NAME=URL, each once, as a table."""
    pairs = [text.partition("=") for text in services]
    for text, (name, sign, url) in zip(services, pairs, strict=True):
        if not (name and sign and url):
            raise ConfigError(f"scorer: expected NAME=URL such as dock=http://localhost:8000/score, got {text!r}")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise ConfigError(f"scorer: expected each name once, got {', '.join(name for name, _, _ in pairs)}")
    return {name: url for name, _, url in pairs}


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


def show(answer: Designs, console: Console) -> None:
    """A table of the best designs, as the domain ranks them, and a summary with its denominators."""
    domain = get_domain(answer.spec.domain)
    valid = [item for item in answer.designs if item.valid]
    kept = [item for item in valid if item.pins_kept]
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("design", overflow="fold", ratio=1)
    for name in domain.TABLE_COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    best = sorted(kept or valid, key=lambda item: domain.rank(item.metrics))
    for item in best[:SHOWN]:
        cells = (cell(item.metrics.get(name), decimals) for name, decimals in domain.TABLE_COLUMNS.items())
        table.add_row(str(item.index + 1), escape(item.sequence), *cells)
    if best:
        console.print(table)
    counts = answer.summary
    n = counts["returned"]
    console.print(
        f"{n} designs: {counts['valid']} valid ({counts['valid'] / max(n, 1):.0%} of all), {counts['distinct']} distinct, "
        f"{counts['valid_and_pins_kept']} with all that is pinned kept (of the valid); pinned tokens kept in all",
        highlight=False,
    )
    for line in without_design(answer):
        console.print(line, highlight=False, markup=False)
    if answer.designs:
        certificate = answer.designs[0].certificate
        if held := [part for part in certificate.holds if len(part) <= LONGEST]:
            more = f" & {len(certificate.holds) - len(held)} more" if len(held) < len(certificate.holds) else ""
            text = f"held in {counts['satisfied']} of {n}, checked afterwards: {' & '.join(held)}{more}"
            console.print(text, highlight=False, markup=False)
        console.print(str(certificate), style="dim", highlight=False, markup=False)
    seconds = answer.timing["design_seconds"]
    console.print(f"{seconds:.1f} s, {answer.timing['designs_per_second']:.1f} designs/s", style="dim", highlight=False)


def without_design(answer: Designs) -> list[str]:
    """Why some that were asked for are not there, and how many."""
    lines, asked = [], answer.summary["asked"]
    if answer.abstained:
        wanted = " & ".join(answer.spec.wishes) or "what must hold"
        lines.append(
            f"{len(answer.abstained)} of {asked} not returned: none of their {answer.spec.cloud} particles met {wanted}; "
            "ask for more particles or less"
        )
    lines += [f"{count} of {asked} not returned: {why}" for why, count in Counter(answer.lost.values()).most_common()]
    return lines


def cell(value: float | bool | None, decimals: int) -> str:
    if value is None:
        return "–"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.{decimals}f}"
