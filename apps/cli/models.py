"""`seqdiff models`: what is bundled."""

import json
import sys

from rich.console import Console
from rich.table import Table

from domains.registry import bundled_models
from seqdiff.checkpoint import load_checkpoint
from seqdiff.systems.registry import KINDS


def run(as_json: bool) -> None:
    rows = []
    for name, folder in bundled_models().items():
        checkpoint = load_checkpoint(folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
        rows.append(
            {
                "name": name,
                "domain": checkpoint.alphabet.name,
                "kind": next(name for name, cls in KINDS.items() if type(checkpoint.system) is cls),
                "parameters": sum(p.numel() for p in checkpoint.network.parameters()),
                "classes": list(checkpoint.label_names),
                "max_length": checkpoint.max_length,
                "megabytes": round(size / 1e6, 1),
                "metrics": checkpoint.metrics,
            }
        )
    if as_json:
        json.dump({"models": rows}, sys.stdout)
        sys.stdout.write("\n")
        return
    table = Table(show_edge=False)
    table.add_column("model", no_wrap=True)
    table.add_column("domain and kind")
    table.add_column("classes")
    for column in ("weights", "tokens", "MB", "hours"):
        table.add_column(column, justify="right")
    for row in rows:
        hours = row["metrics"].get("training_hours")
        table.add_row(
            row["name"],
            f"{row['domain']} {row['kind']}",
            ", ".join(row["classes"]) or "–",
            f"{row['parameters'] / 1e6:.1f}M",
            str(row["max_length"]),
            str(row["megabytes"]),
            f"{hours:.1f}" if hours else "–",
        )
    console = Console()
    console.print(table)
    console.print(
        "tokens: the longest row; hours: of training; more in the card of each, domains/*/models/*/README.md", style="dim"
    )
