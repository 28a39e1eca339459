"""Goal-directed design: `python -m benchmarks.goal_directed --data DIR [--goals …] [--seeds …] [--out FILE --plot FILE]`.

Goals in closed form, each with a budget of oracle calls (distinct molecules scored) from one start: 100 molecules drawn from
ZINC250k, which are the first calls. Ways: `redesign` (the bundled model; networks in bfloat16), `graph edits` (random edits and
crossovers, no model), and `screened edits` (the same, screened by the surrogate that redesign has), with the same choice of
parents, batch and size limit. Beside the four goals of the docs there are others, on which nothing was chosen (OTHERS).

Figure: area under the curve of the mean of the ten best, every 100 calls, by trapezes from 0, divided by the budget, as the
AUC top-10 of Gao et al. 2022. Of qed, celecoxib and median1 it lies between 0 and 1; plogp has no bound but that of the size.

Every run has a file of its own in --runs and goes on from it; finished runs are not repeated. Nothing depends on the
budget: the first n calls of a run are those of a run of n.
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.graph_edits import GraphEdits
from domains.campaign.archive import Archive, Candidate, area_under_top, top_curve
from domains.campaign.loop import Progress, campaign, read_state
from domains.campaign.surrogate import Surrogate
from domains.registry import find_model
from domains.smiles.data import read_smiles
from domains.smiles.goals import GOALS, read_goal
from domains.smiles.moves import Moves
from domains.smiles.pieces import canonical
from domains.smiles.redesign import Redesign, environments, niches
from seqdiff.checkpoint import load_checkpoint

START, FILE = 100, "molecules/zinc250k.smi.xz"
WAYS = ("graph edits", "screened edits", "redesign")
OTHERS = {
    "troglitazone": "similarity(Cc1c(C)c2OC(C)(COc3ccc(CC4SC(=O)NC4=O)cc3)CCc2c(C)c1O)",
    "aripiprazole": "similarity(Clc1cccc(N2CCN(CCCCOc3ccc4CCC(=O)Nc4c3)CC2)c1Cl)",
    "median2": "median(O=C1N(C)CC(=O)N2C(c3ccc4OCOc4c3)c3[nH]c4ccccc4c3CC12, "
    "CCCc1nn(C)c2C(=O)NC(=Nc12)c1cc(ccc1OCC)S(=O)(=O)N1CCN(C)CC1)",  # tadalafil and sildenafil, as in GuacaMol
}
AFTER = (500, 1000, 2000, 5000, 10_000)


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
    screen = Surrogate(environments) if way == "screened edits" else None
    edits = GraphEdits(start, moves.batch, screen, moves.pool, max_atoms=moves.max_atoms)
    proposer = Redesign(checkpoint, start, moves) if way == "redesign" else edits
    path = options.runs / f"{way.replace(' ', '-')}-{goal}-{seed}.json"
    identity = {"way": way, "goal": goal, "model": checkpoint.sha256, "moves": vars(moves)}
    cpu, shown = time.process_time(), [time.monotonic()]

    def progress(seen: Progress) -> None:
        if time.monotonic() - shown[0] > 30 or seen.calls == budget:
            shown[0] = time.monotonic()
            print(f"{way} {goal} {seed}: {seen.calls} calls, best {seen.best:.4f}, ten best {seen.top10:.4f}", flush=True)

    first = not path.exists()
    archive = Archive(niches(moves)) if way == "redesign" else Archive()
    outcome = campaign(
        read_goal(OTHERS.get(goal, goal)), proposer, budget, seed, archive, identity, path, progress, save_every=60
    )
    if not outcome.complete:
        raise KeyboardInterrupt
    row = figures(way, goal, seed, budget, [(e.text, e.score, e.how) for e in outcome.archive.entries])
    if first:  # otherwise part of it was done before
        row |= {"cpu_seconds": time.process_time() - cpu, "proposed": outcome.proposed}
        if isinstance(proposer, Redesign):
            row |= {"filled": proposer.tried, "filled_valid": proposer.filled / max(1, proposer.tried)}
    return row


def figures(way: str, goal: str, seed: int, budget: int, scored: Sequence[tuple[str, float, str]]) -> dict:
    """What (molecule, score, move) in the order of the calls come to. The areas after n calls are those of a budget of n."""
    scores = [score for _, score, _ in scored]
    calls, means = top_curve(scores)
    ranked = sorted(scored, key=lambda one: -one[1])
    return {
        "way": way,
        "goal": goal,
        "seed": seed,
        "budget": budget,
        "made": len(scored),
        "auc_top10": {str(n): area_under_top(scores[:n], n) for n in AFTER if n <= len(scored)},
        "top10": float(means[-1]),
        "best": ranked[0][0],
        "best_score": ranked[0][1],
        "made_by": {how: sum(one[2] == how for one in ranked[:100]) for how in sorted({one[2] for one in scored})},
        "calls": calls.tolist(),
        "curve": [round(mean, 5) for mean in means.tolist()],
    }


def so_far(way: str, goal: str, seed: int, budget: int, runs: Path) -> dict | None:
    """The row of a run that may not be at its end, from its file; None where there is none."""
    path = runs / f"{way.replace(' ', '-')}-{goal}-{seed}.json"
    if not path.exists():
        return None
    entries = read_state(path)["entries"]
    scored = [(e["text"], -math.inf if e["score"] is None else e["score"], e["how"]) for e in entries]
    return figures(way, goal, seed, budget, scored)


def plot(rows: list[dict], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    goals = list(dict.fromkeys(row["goal"] for row in rows))
    columns = min(3, len(goals))
    lines = -(-len(goals) // columns)
    figure = Figure(figsize=(3.4 * columns, 2.8 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in panels[len(goals) :]:
        axes.remove()
    for axes, goal in zip(panels[: len(goals)], goals, strict=True):
        for row in (row for row in rows if row["goal"] == goal):
            axes.plot(row["calls"], row["curve"], color=f"C{WAYS.index(row['way'])}", label=row["way"], lw=1)
        axes.set(title=goal, xlabel="oracle calls", xscale="log")
    figure.axes[0].set_ylabel("mean of the ten best")
    curves = {str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()}
    figure.axes[0].legend(list(curves.values()), list(curves), frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--goals", nargs="*", default=list(GOALS), choices=[*GOALS, *OTHERS])
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--moves", type=json.loads, default={}, help="settings to try, e.g. '{\"cut\": 4}'; give other --runs")
    parser.add_argument("--model", default=None)
    parser.add_argument("--runs", type=Path, default=Path("runs/goals"))
    parser.add_argument("--so-far", action="store_true", help="run nothing: report what the files in --runs hold")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    rows = []
    for goal, seed, way in itertools.product(options.goals, options.seeds, options.ways):
        done = options.runs / f"row-{way.replace(' ', '-')}-{goal}-{seed}.json"
        if options.so_far:
            row = so_far(way, goal, seed, options.budget, options.runs)
        else:
            row = json.loads(done.read_text()) if done.exists() else run(way, goal, seed, options.budget, options)
            done.write_text(json.dumps(row))
        if row is None:
            continue
        rows.append(row)
        print(json.dumps({k: v for k, v in row.items() if k not in ("calls", "curve")}), flush=True)
        if options.out:
            table = {"budget": options.budget, "start": START, "moves": vars(Moves(**options.moves)), "rows": rows}
            options.out.write_text(json.dumps(table, indent=1) + "\n")
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
