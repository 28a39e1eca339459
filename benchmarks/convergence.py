"""How fast every sampler comes to the data law: `python -m benchmarks.convergence [--draws N] [--out FILE.json]`.

Sixteen sequences (V = 2, L = 4) with a law that can be written down; the denoiser is exact, so that what is left is the
sampler's own error. For every sampler × process × number of steps: the total variation between the draws and the data law,
the total variation that as many draws from the data law itself would show on average (the floor), and the passes of a row.
A sampler whose line stays above the floor has another law than the model's. The picture goes to FILE.png.

Two things to know when reading it. The exact denoiser is certain of what is revealed, so that path-planning never masks
again here. `blocks` runs with blocks of two, not 32: else there would be one block.
"""

import argparse
import itertools
import json
from pathlib import Path

import torch
from torch import Tensor

from seqdiff.condition import Unconditional
from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.embedding import EmbeddedProcess, Embedding
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.gaussian import VariancePreserving
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.drive import DrawOptions, answer, drive
from seqdiff.samplers.registry import get_sampler, samplers_for
from seqdiff.samplers.state import Query, State
from seqdiff.schedules import Linear, SquaredCosine

V, L = 2, 4
STEPS = (2, 4, 8, 16, 32, 64, 128)
PROCESSES = {
    "absorbing": Absorbing(V, Linear()),
    "uniform": Uniform(V, Linear()),
    "embedded": EmbeddedProcess(VariancePreserving(SquaredCosine(0.0)), Embedding.simplex(V, 1.0)),
}
OPTIONS = {"blocks": {"block": 2}}


def data() -> EnumeratedLaw:
    """Neighbours like to be equal, the ends like to differ; fields leave no two sequences alike."""

    def weight(x):
        pairs = sum(1.5 * (a == b) for a, b in itertools.pairwise(x)) - 0.9 * (x[0] == x[-1])
        return pairs + sum(0.25 * (i + 1) ** 0.5 * v for i, v in enumerate(x)) - 0.3 * sum(x)

    return EnumeratedLaw.from_log_weights(V, L, weight)


def floor(law: EnumeratedLaw, draws: int, times: int = 1000) -> dict[str, float]:
    """TV of that many draws from the law itself: the mean over many times, and where nine of ten lie."""
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.multinomial(law.probability, draws, True, generator=generator) for _ in range(times)]
    counts = torch.stack([torch.bincount(index, minlength=len(law.probability)) for index in drawn])
    distance = (counts / draws - law.probability).abs().sum(-1) / 2
    low, high = torch.quantile(distance, torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
    return {"mean": round(float(distance.mean()), 5), "low": round(low, 5), "high": round(high, 5)}


class Tabled:
    """The exact denoiser of a process on tokens, asked once for each of the S^L states at a time; then looked up."""

    def __init__(self, law: EnumeratedLaw, process):
        self.exact, self.states = ExactDenoiser(law, process), process.states
        self.every = torch.tensor(list(itertools.product(range(self.states), repeat=L)))
        self.place = self.states ** torch.arange(L - 1, -1, -1)
        self.tables: dict[float, Tensor] = {}

    def __call__(self, x_t, t, label, lengths, positions):
        times, which = t.unique(return_inverse=True)
        table = torch.stack([self.at(float(time)) for time in times])
        log_p = table[which, (x_t * self.place).sum(-1)]
        return log_p if positions is None else log_p.gather(1, positions.unsqueeze(-1).expand(*positions.shape, V))

    def at(self, t: float) -> Tensor:
        if t not in self.tables:
            self.tables[t] = self.exact(self.every, torch.full((len(self.every),), t, dtype=torch.float64))
        return self.tables[t]


def measure(name: str, kind: str, steps: int, draws: int, law: EnumeratedLaw) -> tuple[float, float]:
    """(total variation to the data law, passes a row)."""
    process, condition, asked = PROCESSES[kind], Unconditional(), 0
    if kind == "embedded" or not get_sampler(name).uses_steps:
        denoiser = ExactDenoiser(law, process if kind == "embedded" else None)
    else:
        denoiser = Tabled(law, process)

    def reply(query: Query) -> Tensor:
        nonlocal asked
        asked += draws if query.rows is None else len(query.rows)
        return answer(denoiser, query, condition, DrawOptions())

    state = State.from_canvas(process, torch.full((draws, L), V), 1, torch.arange(draws))
    loop = get_sampler(name, process).loop(state, process, condition, steps=steps, **OPTIONS.get(name, {}))
    drawn = torch.bincount(law.index(drive(loop, reply).tokens), minlength=len(law.outcomes)) / draws
    return float((drawn - law.probability).abs().sum() / 2), asked / draws


def curves(draws: int) -> list[dict]:
    """A row for every sampler × process: TV and passes at each number of steps, None where a sampler refuses it."""
    law, rows = data(), []
    for kind, process in PROCESSES.items():
        for name in samplers_for(process):
            sampler = get_sampler(name)
            distance, passes = [], []
            for steps in STEPS if sampler.uses_steps else STEPS[:1]:
                tv, nfe = (None, None) if name == "remasking-loop" and steps < 4 else measure(name, kind, steps, draws, law)
                distance.append(tv and round(tv, 5))
                passes.append(nfe and round(nfe, 3))
            if not sampler.uses_steps:
                distance, passes = distance * len(STEPS), passes * len(STEPS)
            rows.append({"process": kind, "sampler": name, "certificate": sampler.certificate, "tv": distance, "nfe": passes})
            print(kind, name, distance, passes, flush=True)
    return rows


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6D00", "#56B4E9", "#000000", "#7B3FA0", "#A04000", "#6E6E6E")
STYLES = (("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"))
PANELS = (  # title, process, certificates, what is on the x axis
    ("absorbing: exact, any-order", "absorbing", ("exact", "any-order"), "steps"),
    ("absorbing: asymptotic", "absorbing", ("asymptotic",), "steps"),
    ("absorbing: heuristic", "absorbing", ("heuristic",), "steps"),
    ("uniform", "uniform", ("exact", "asymptotic", "heuristic"), "steps"),
    ("embedded", "embedded", ("asymptotic",), "steps"),
    ("absorbing: by passes of a row", "absorbing", (), "passes"),
)
BY_PASSES = ("event-driven", "first-hitting", "ancestral", "gibbs-corrector", "confidence", "entropy-bounded")


def draw(result: dict, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(15, 8.4), sharey=True)
    figure.subplots_adjust(left=0.055, right=0.885, top=0.885, bottom=0.07, wspace=0.56, hspace=0.3)
    for axis, (title, process, certificates, across) in zip(axes.flat, PANELS, strict=True):
        of_process = [row for row in result["curves"] if row["process"] == process]
        chosen = [r for r in of_process if (r["certificate"] in certificates if certificates else r["sampler"] in BY_PASSES)]
        axis.axhspan(result["floor"]["low"], result["floor"]["high"], color="0.88", zorder=0)
        ends = []
        for i, row in enumerate(chosen):
            x = result["steps"] if across == "steps" else row["nfe"]
            points = sorted({(a, b) for a, b in zip(x, row["tv"], strict=True) if b is not None})
            style, marker = STYLES[i % len(STYLES)]
            look = {"color": COLOURS[i % len(COLOURS)], "ls": style, "marker": marker, "ms": 4, "lw": 1.5}
            axis.plot([a for a, _ in points], [b for _, b in points], **look)
            ends.append((row["sampler"], points[-1], look["color"]))
        limit = 160 if across == "steps" else 400
        axis.set(xscale="log", yscale="log", xlim=(1.7, limit), ylim=(0.0035, 1.3), title=title, xlabel=across)
        ticks = [t for t in (2, 4, 8, 16, 32, 64, 128, 256) if t < limit]
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.set_yticks([0.01, 0.1, 1], ["0.01", "0.1", "1"])
        axis.tick_params(labelleft=True)
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="0.93", zorder=0)
        label(axis, ends)
        if axis in axes[:, 0]:
            axis.set_ylabel("total variation to the data law")
    figure.suptitle(
        f"Error of every sampler with an exact denoiser: 16 sequences, {result['draws']:,} draws a point\n"
        "grey: what as many draws from the data law itself show (nine of ten times)",
        fontsize=12,
    )
    figure.savefig(path, dpi=110, facecolor="white")
    plt.close(figure)


def label(axis, ends: list[tuple[str, tuple[float, float], str]], apart: float = 0.062) -> None:
    """Names beside the axis at the height where the lines end, moved apart, with thin leaders."""
    to_axes = axis.transScale + axis.transLimits
    placed = sorted((float(to_axes.transform(end)[1]), name, end, colour) for name, end, colour in ends)
    heights = [height for height, *_ in placed]
    for _ in range(500):
        for i in range(len(heights) - 1):
            near = apart - (heights[i + 1] - heights[i])
            if near > 0:
                heights[i], heights[i + 1] = heights[i] - near / 2, heights[i + 1] + near / 2
        heights = [max(0.0, height) for height in heights]
    for height, (_, name, end, colour) in zip(heights, placed, strict=True):
        axis.annotate(
            name,
            xy=end,
            xytext=(1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            color=colour,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.5, "alpha": 0.6, "shrinkA": 0, "shrinkB": 3},
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("docs/convergence.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "draws": options.draws,
        "steps": list(STEPS),
        "floor": floor(data(), options.draws),
        "curves": curves(options.draws),
    }
    rows = ",\n  ".join(json.dumps(row) for row in result["curves"])
    head = json.dumps({key: value for key, value in result.items() if key != "curves"})
    options.out.write_text(f'{head[:-1]}, "curves": [\n  {rows}\n]}}\n')
    draw(result, options.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
