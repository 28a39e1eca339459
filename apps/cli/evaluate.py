"""`seqdiff evaluate`: free samples of every class of a model, measured."""

import json
import sys

from rich.console import Console
from rich.table import Table

from apps.cli.design import split, with_progress
from domains.design import DesignSpec
from domains.registry import find_model, get_domain
from seqdiff.checkpoint import load_checkpoint


def run(domain: str, given: dict) -> None:
    """Draw n samples of each class and print their metrics, side by side. given: options by name, None where not given."""
    fields, (as_json,) = split(given, "json")
    checkpoint = load_checkpoint(find_model(fields.get("model"), domain))
    console = Console(stderr=True)
    results, specs, timing = {}, {}, {}
    for label in checkpoint.label_names or (None,):
        spec = DesignSpec.from_dict({**fields, "domain": domain, "label": label})
        answer = with_progress(spec, console)
        if not answer.complete:
            raise KeyboardInterrupt
        name = label or "all"
        bounds = [design.metrics["bound"] for design in answer.designs]
        tokens = sum(int(design.metrics["tokens"] or 0) for design in answer.designs)
        results[name] = {
            **get_domain(domain).evaluate(answer.designs, checkpoint, label),
            "asked": answer.summary["asked"],
            "abstained": answer.summary["abstained"],
            "sample_bound_per_token": sum(float(b or 0) for b in bounds) / tokens,
            "held_out_bound_per_token": checkpoint.metrics.get(f"bound/{name}"),
            "held_out_bound_error": checkpoint.metrics.get(f"error/{name}"),
        }
        specs[name], timing[name] = spec.to_dict(), answer.timing
    if as_json:
        json.dump({"results": results, "specs": specs, "timing": timing}, sys.stdout, allow_nan=False)
        sys.stdout.write("\n")
        return
    show(results)


def show(results: dict[str, dict]) -> None:
    table = Table(show_edge=False)
    table.add_column("metric")
    for name in results:
        table.add_column(name, justify="right")
    rows = [flatten(result) for result in results.values()]
    for key in dict.fromkeys(key for row in rows for key in row):
        table.add_row(key, *(_text(row.get(key)) for row in rows))
    Console().print(table)


def flatten(table: dict, prefix: str = "") -> dict:
    """Nested tables as one, keys joined by dots."""
    out = {}
    for key, value in table.items():
        if isinstance(value, dict):
            out |= flatten(value, f"{prefix}{key}.")
        else:
            out[prefix + key] = value
    return out


def _text(value) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
