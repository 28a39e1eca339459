"""The comparison as a page: docs/systems.md and docs/systems.json."""

import json
from pathlib import Path

KEPT = "\n## Recipes\n"  # written by hand

HEAD = """# Published systems on equal terms

`python -m benchmarks.systems train …` for each, then `report` (figures: [systems.json](systems.json)). The same blocks in all
(width 128, depth 4), the same data, {minutes:g} minutes of processor time each ({threads} thread), constant learning rate,
averaged weights. All are far from trained out: the table compares what a system makes of little compute, not what it can
reach.

- **bound**: upper bound on the held-out nats a token (exact for the autoregressive control), ± its standard error
- **H**: entropy of the samples' tokens, and given the token before (data: {entropy})
- **distance**: Jensen–Shannon divergence in nats of the samples' 1-, 2- and 3-grams from held-out text; *data* is what as
  many held-out rows have from the rest: the floor
- **passes**: of the network for one sample, {steps} steps asked
"""


def write_table(runs: Path, docs: Path, order: tuple[str, ...]) -> None:
    """Read every figures.json under `runs` and write the page; its last section stays. Raises FileNotFoundError for none."""
    figures = [json.loads(path.read_text()) for path in sorted(runs.glob("*/figures.json"))]
    if not figures:
        raise FileNotFoundError(f"{runs}: expected figures.json of at least one trained system; run `train` first")
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "systems.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    parts = []
    for name in sorted({f["set"] for f in figures}):
        rows = sorted((f for f in figures if f["set"] == name), key=lambda f: order.index(f["system"]))
        parts.append(_section(name, rows))
    some = figures[0]
    entropies = ", ".join(
        f"{f['set']} {f['real_entropy']:.2f}, {f['real_conditional_entropy']:.2f}"
        for f in {f["set"]: f for f in figures}.values()
    )
    head = HEAD.format(minutes=some["cpu_minutes"], threads=some["threads"], entropy=entropies, steps=64)
    page = docs / "systems.md"
    kept = page.read_text().partition(KEPT)[1:] if page.exists() else ()
    page.write_text(head + "".join(parts) + "".join(kept))


def _section(name: str, rows: list[dict]) -> str:
    lines = [
        f"\n## {name}\n",
        "| system | parameters | steps | bound | H | distance 1 / 2 / 3 | passes | mean cosine |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for f in rows:
        distance = " / ".join(f"{f['distance'][n]:.3f}" for n in "123")
        cosine = f"{f['mean-cosine']:.2f}" if "mean-cosine" in f else ""
        lines.append(
            f"| {f['system']} | {f['parameters'] / 1e6:.2f}M | {f['steps']} | {f['bound']:.3f} ± {f['error']:.3f} | "
            f"{f['entropy']:.2f}, {f['conditional_entropy']:.2f} | {distance} | {f['passes']:.0f} | {cosine} |"
        )
    floor = " / ".join(f"{rows[0]['floor'][n]:.3f}" for n in "123")
    lines.append(f"| *data* | | | | {rows[0]['real_entropy']:.2f}, {rows[0]['real_conditional_entropy']:.2f} | {floor} | | |")
    lines.append("")
    for f in rows:
        shown = "\n".join(f"    {sample!r}" if name == "characters" else f"    {sample}" for sample in f["samples"][:3])
        lines.append(f"{f['system']}:\n\n{shown}\n")
    return "\n".join(lines) + "\n"
