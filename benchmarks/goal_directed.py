"""Goal-directed design: `python -m benchmarks.goal_directed --data DIR [--goals …] [--seeds …] [--out FILE --plot FILE]`.

Goals in closed form, each with a budget of oracle calls (distinct molecules scored) from one start: 100 molecules drawn from
ZINC250k, which are the first calls. Ways: `redesign` (the bundled model; networks in bfloat16) and
`graph edits` (random edits and crossovers, no model), with the same choice of parents, batch and size limit.

Figure: area under the curve of the mean of the ten best, every 100 calls, by trapezes from 0, divided by the budget, as the
AUC top-10 of Gao et al. 2022. Of qed, celecoxib and median1 it lies between 0 and 1; plogp has no bound but that of the size.

Every run has a file of its own in --runs and goes on from it; finished runs are not repeated.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.graph_edits import GraphEdits
from domains.campaign.archive import Archive, Candidate, area_under_top, top_curve
from domains.campaign.loop import Progress, campaign
from domains.registry import find_model
from domains.smiles.data import read_smiles
from domains.smiles.goals import GOALS, read_goal
from domains.smiles.pieces import canonical
from domains.smiles.redesign import Moves, Redesign
from seqdiff.checkpoint import load_checkpoint

START, FILE = 100, "molecules/zinc250k.smi.xz"
WAYS = ("graph edits", "redesign")


def start_of(path: Path, seed: int, max_atoms: int, count: int = START) -> list[Candidate]:
    """Molecules drawn from the file, each once, the same for every way."""
    molecules = list(itertools.islice(read_smiles(path), 200_000))
    rng = np.random.default_rng([seed, 2**20])
    drawn = (canonical(molecules[i], max_atoms) for i in rng.permutation(len(molecules))[: 2 * count].tolist())
    texts = list(dict.fromkeys(text for text in drawn if text is not None))
    return [Candidate(text, text) for text in texts[:count]]


@torch.autocast("cpu", torch.bfloat16)
def run(way: str, goal: str, seed: int, budget: int, options) -> dict:
    moves = Moves(**options.moves)
    start = start_of(options.data / FILE, seed, moves.max_atoms)
    checkpoint = load_checkpoint(find_model(options.model, "smiles"))
    proposer = Redesign(checkpoint, start, moves) if way == "redesign" else GraphEdits(start, moves.batch)
    path = options.runs / f"{way.replace(' ', '-')}-{goal}-{seed}.json"
    identity = {"way": way, "goal": goal, "model": checkpoint.sha256, "moves": vars(moves)}
    cpu, shown = time.process_time(), [time.monotonic()]

    def progress(seen: Progress) -> None:
        if time.monotonic() - shown[0] > 30 or seen.calls == budget:
            shown[0] = time.monotonic()
            print(f"{way} {goal} {seed}: {seen.calls} calls, best {seen.best:.4f}, ten best {seen.top10:.4f}", flush=True)

    first = not path.exists()
    outcome = campaign(read_goal(goal), proposer, budget, seed, Archive(), identity, path, progress, save_every=60)
    if not outcome.complete:
        raise KeyboardInterrupt
    entries = outcome.archive.entries
    scores = [entry.score for entry in entries]
    calls, means = top_curve(scores)
    row = {
        "way": way,
        "goal": goal,
        "seed": seed,
        "budget": budget,
        "auc_top10": area_under_top(scores, budget),
        "auc_top10_1000": area_under_top(scores[:1000], 1000),
        "top10": float(means[-1]),
        "best": outcome.archive.best(1)[0].text,
        "best_score": outcome.archive.best(1)[0].score,
        "made_by": {how: sum(e.how == how for e in outcome.archive.best(100)) for how in sorted({e.how for e in entries})},
        "calls": calls.tolist(),
        "curve": [round(mean, 5) for mean in means.tolist()],
    }
    if first:  # otherwise part of it was done before
        row |= {"cpu_seconds": time.process_time() - cpu, "proposed": outcome.proposed}
        if isinstance(proposer, Redesign):
            row |= {"filled": proposer.tried, "filled_valid": proposer.filled / max(1, proposer.tried)}
    return row


def plot(rows: list[dict], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    goals = list(dict.fromkeys(row["goal"] for row in rows))
    figure = Figure(figsize=(3.2 * len(goals), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, goal in zip(np.atleast_1d(figure.subplots(1, len(goals))), goals, strict=True):
        for row in (row for row in rows if row["goal"] == goal):
            axes.plot(row["calls"], row["curve"], color=f"C{WAYS.index(row['way'])}", label=row["way"], lw=1)
        axes.set(title=goal, xlabel="oracle calls", xscale="log")
    figure.axes[0].set_ylabel("mean of the ten best")
    lines = {str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()}
    figure.axes[0].legend(list(lines.values()), list(lines), frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--goals", nargs="*", default=list(GOALS), choices=list(GOALS))
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--moves", type=json.loads, default={}, help="settings to try, e.g. '{\"cut\": 4}'; give other --runs")
    parser.add_argument("--model", default=None)
    parser.add_argument("--runs", type=Path, default=Path("runs/goals"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    rows = []
    for goal, seed, way in itertools.product(options.goals, options.seeds, options.ways):
        done = options.runs / f"row-{way.replace(' ', '-')}-{goal}-{seed}.json"
        row = json.loads(done.read_text()) if done.exists() else run(way, goal, seed, options.budget, options)
        done.write_text(json.dumps(row))
        rows.append(row)
        print(json.dumps({k: v for k, v in row.items() if k not in ("calls", "curve")}), flush=True)
        if options.out:
            table = {"budget": options.budget, "start": START, "moves": vars(Moves(**options.moves)), "rows": rows}
            options.out.write_text(json.dumps(table, indent=1) + "\n")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
