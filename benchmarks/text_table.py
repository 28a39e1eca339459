"""The figures of the text benchmarks as Markdown: `python -m benchmarks.text_table docs/text-control.json …`."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

TITLES = {
    "fields": "One field of a meaning stands in the text",
    "meaning": "All fields of a meaning: share that stands",
    "length": "Words, two more or less",
    "tags": "Parts of speech, share of tokens",
    "infilling": "A sentence between two others, its words two more or less",
    "spans": "A span of a kind stands at its place",
    "keywords": "Keywords, share that stands in any inflection",
    "read": "A field read from the text",
    "opinion": "Opinions that are good, or bad, as asked",
    "restaurant": "Restaurants that are praised, or blamed, as asked",
}


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


COLUMNS: dict[str, tuple[str, Callable]] = {  # in a cell → (heading, how it is shown)
    "right": ("right %", percent),
    "valid": ("valid JSON %", percent),
    "success": ("success %", percent),
    "second": ("by another parser %", percent),
    "guide": ("by the classifier that guides %", percent),
    "whole": ("all of it %", percent),
    "bleu": ("BLEU-4", "{:.1f}".format),
    "rouge_l": ("ROUGE-L", "{:.3f}".format),
    "judge": ("judge, nats a word", "{:.2f}".format),
    "entropy": ("entropy", "{:.2f}".format),
    "distinct-2": ("distinct-2", "{:.2f}".format),
    "self_bleu": ("self-BLEU", "{:.0f}".format),
    "passes": ("passes", "{:.0f}".format),
    "seconds": ("seconds", "{:.1f}".format),
}


def table(cells: Sequence[dict], published: dict[str, float]) -> str:
    """The cells of one task, a line each; a column that says nothing new is left out."""
    shown = [name for name in COLUMNS if any(cell.get(name) is not None for cell in cells)]
    if all(cell.get("whole") == cell.get("success") for cell in cells):
        shown = [name for name in shown if name != "whole"]
    lines = [["", *(COLUMNS[name][0] for name in shown), "texts" if "asked" in cells[0] else "fields"]]
    for cell in cells:
        who = "texts of people" if cell["model"] == "people" else f"{cell['model']}, {cell['way']}"
        free = cell["model"] == "people" and "success" in cell  # nothing was passed through a network
        values = [cell.get(name) if not (free and name in ("passes", "seconds")) else None for name in shown]
        figures = ["–" if value is None else COLUMNS[name][1](value) for name, value in zip(shown, values, strict=True)]
        lines.append([who, *figures, str(cell.get("asked", cell.get("fields")))])
    of: dict[str, dict[str, float]] = {}
    for name, value in published.items():
        system, _, figure = name.partition(" ")
        of.setdefault(system, {})[{"": "success", "BLEU-4": "bleu", "ROUGE-L": "rouge_l"}[figure]] = value
    for system, values in of.items():
        lines.append([f"{system}, published", *(COLUMNS[c][1](values[c]) if c in values else "" for c in shown), ""])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("|" + "".join(f" {value} |" if value else " |" for value in line) for line in lines)


def page(documents: Sequence[dict]) -> str:
    parts = []
    for document in documents:
        for task in dict.fromkeys(cell["task"] for cell in document["cells"]):
            cells = [cell for cell in document["cells"] if cell["task"] == task]
            parts.append(f"**{TITLES[task]}**\n\n{table(cells, document['published'].get(task, {}))}\n")
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> str:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.text_table")
    parser.add_argument("files", type=Path, nargs="+")
    text = page([json.loads(path.read_text()) for path in parser.parse_args(arguments).files])
    print(text)
    return text


if __name__ == "__main__":
    main()
