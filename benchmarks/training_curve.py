"""What more training would give: `python -m benchmarks.training_curve --log LOG.jsonl --out docs CHECKPOINT…`.

Draws n free molecules of every class from each checkpoint of one run, and plots validity and the held-out bound
against the hours trained. The figures go to OUT/training_curve.json, the picture to OUT/training_curve.png.
"""

import argparse
import json
from pathlib import Path

from domains.design import DesignSpec, design
from seqdiff.checkpoint import Checkpoint, load_checkpoint

COLOURS = {"zinc": "#0072B2", "chembl": "#D55E00"}


def validity(checkpoint: Checkpoint, label: str, n: int) -> float:
    """Share of n free designs that RDKit accepts, default sampler, no filter."""
    answer = design(DesignSpec("smiles", n=n, label=label, batch_size=128, bound_draws=0), checkpoint=checkpoint)
    return sum(item.valid for item in answer.designs) / n


def draw(points: list[dict], log: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for name, colour in COLOURS.items():
        left.plot([p["hours"] for p in points], [100 * p["valid"][name] for p in points], "o-", color=colour, label=name)
        rows = [r for r in log if f"bound/{name}" in r]
        hours, bound = [r["seconds"] / 3600 for r in rows], [r[f"bound/{name}"] for r in rows]
        right.errorbar(hours, bound, [2 * r[f"error/{name}"] for r in rows], color=colour, marker="o", ms=3, label=name)
    left.set(xlabel="hours trained", ylabel="valid, % of all samples", ylim=(0, None))
    right.set(xlabel="hours trained", ylabel="held-out bound, nats per token")
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--n", type=int, default=500)
    options = parser.parse_args()
    log = [json.loads(line) for line in options.log.read_text().splitlines()]
    points = []
    for folder in options.checkpoints:
        checkpoint = load_checkpoint(folder)
        valid = {name: validity(checkpoint, name, options.n) for name in checkpoint.label_names}
        figures = {key: checkpoint.metrics[key] for key in ("steps", "rows_seen")}
        points.append({"hours": checkpoint.metrics["training_hours"], "n": options.n, "valid": valid, **figures})
        print(points[-1], flush=True)
    points.sort(key=lambda p: p["hours"])
    (options.out / "training_curve.json").write_text(json.dumps(points, indent=1) + "\n")
    draw(points, log, options.out / "training_curve.png")


if __name__ == "__main__":
    main()
