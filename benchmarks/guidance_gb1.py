"""Guidance on a measured landscape: `python -m benchmarks.guidance_gb1 --data FILE [--out FILE.json] [--plot FILE.png]`.

Protein G's domain B1 at sites 39, 40, 41 and 54: the fitness of nearly all 20⁴ variants (Wu et al., "Adaptation in protein
fitness landscapes is facilitated by indirect paths", eLife 2016). The base law is uniform over the measured variants. Wished
for is y, that an assay with Gaussian noise of 0.2 reads more than the wild type's fitness of 1: p(y|x) = Φ((f(x) − 1)/0.2).

On four sites everything can be summed (`benchmarks.landscape`): the denoiser is exact, and the law P(x) p(y|x)/Z that guidance
is after is known. The network that gives first-order tilts is learnt in a minute from noisy variants, with seed 0, and has seen
the whole landscape: what is compared is how it is used.

For every method: mean fitness, share above the wild type, total variation to the tilted law beside that of as many draws from
the tilted law itself, and log Ẑ with its distance from log Z in standard errors. Of one particle's law the total variation is
also worked out without drawing. With 256 particles there are a quarter as many draws.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.landscape import Landscape, Network, Summed, SummedClassifier, learn, places, read
from constraints.condition import Constrained, Guide
from constraints.guidance.guides import ClassWish, ExactGuide, FirstOrderGuide, Lookahead, Sum
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.drive import generate_clouds
from seqdiff.schedules import Linear

PARTICLES = (8, 64, 256)
ROWS = 60_000  # particles that go together


@dataclass(frozen=True)
class Tabled:
    """A guide that is asked once for every row of L tokens with a hole in it, then looked up; its end is another's."""

    tilt: Tensor  # ((V + 1)^L, L, V)
    base: Tensor
    end: Guide

    @classmethod
    def of(cls, guide: Guide, end: Guide, V: int, L: int) -> "Tabled":
        every = torch.cartesian_prod(*[torch.arange(V + 1)] * L)
        holed = (every == V).any(-1).nonzero().squeeze(-1)
        tilt = torch.zeros(len(every), L, V, dtype=torch.float64)
        base = torch.full((len(every),), math.nan, dtype=torch.float64)  # nobody asks at complete rows
        for part in holed.split(4096):
            rows = every[part]
            positions = torch.arange(L).expand(len(rows), -1)
            time = torch.ones(len(rows), dtype=torch.float64)
            p = torch.full((len(rows), L, V), 1 / V, dtype=torch.float64)
            g, base[part] = guide.log_tilt(rows, time, positions, p)
            tilt[part] = 0.0 if g is None else g
        return cls(tilt, base, end)

    def log_tilt(self, x_t: Tensor, t: Tensor, positions: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        place = places(x_t, p.shape[-1] + 1)
        return self.tilt[place.unsqueeze(-1), positions], self.base[place]

    def final(self, x_0: Tensor) -> Tensor:
        return self.end.final(x_0)


def propagated(landscape: Landscape, guide: Guide) -> Tensor:
    """The law (V^L,) of one particle that reveals its holes one by one in random order, without drawing anything."""
    V, L = len(landscape.base), landscape.base.ndim
    denoiser, every = Summed(landscape.base), torch.cartesian_prod(*[torch.arange(V + 1)] * L)
    mass = torch.zeros(len(every), dtype=torch.float64)
    mass[-1] = 1
    for holes in range(L, 0, -1):
        rows = mass.nonzero().squeeze(-1)
        x_t, positions = every[rows], torch.arange(L).expand(len(rows), -1)
        p = denoiser(x_t).exp()
        g, _ = guide.log_tilt(x_t, torch.ones(len(rows), dtype=torch.float64), positions, p)
        M = p if g is None else p * g.exp()
        M = M / M.sum(-1, keepdim=True) * (x_t == V).unsqueeze(-1) / holes
        step = (V + 1) ** torch.arange(L - 1, -1, -1)
        target = rows[:, None, None] + (torch.arange(V) - V) * step[:, None]
        flow = (mass[rows, None, None] * M)[x_t == V]
        mass = torch.zeros_like(mass).index_add(0, target[x_t == V].flatten(), flow.flatten())
    return mass.view((V + 1,) * L)[(slice(V),) * L].flatten()


def drawn(landscape: Landscape, guide: Guide, particles: int, steps: int, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Places (n,) of the designs among the V^L variants (−1 for an abstention), and log Ẑ of each (n,)."""
    V, L = len(landscape.base), landscape.base.ndim
    canvases = [torch.full((L,), V)] * n
    place, log_evidence = torch.full((n,), -1), torch.zeros(n, dtype=torch.float64)
    condition = Constrained(V, guide=guide, weighted=True)
    process, denoiser = Absorbing(V, Linear()), Summed(landscape.base)
    for filled in generate_clouds(
        denoiser, process, canvases, seed, lambda index: condition, particles, batch_size=ROWS, steps=steps
    ):
        place[filled.index] = torch.where(filled.alive, places(filled.tokens, V), -1)
        log_evidence[filled.index] = filled.log_evidence
    return place, log_evidence


def distance(place: Tensor, law: Tensor) -> float:
    """Total variation between the designs that there are and a law (V^L,)."""
    place = place[place >= 0]
    return float((torch.bincount(place, minlength=len(law)) / max(1, len(place)) - law).abs().sum() / 2)


def floor(law: Tensor, n: int, times: int = 20) -> float:
    """Total variation of n draws from the law itself, the mean over many times."""
    generator = torch.Generator().manual_seed(1)
    rounds = [distance(torch.multinomial(law, n, True, generator=generator), law) for _ in range(times)]
    return sum(rounds) / times


def methods(landscape: Landscape, network: Network) -> list[tuple[str, Guide, int, int]]:
    """(name, guide, N, reveals a step)."""
    V, L = len(landscape.base), landscape.base.ndim
    exact = ExactGuide(SummedClassifier(landscape.base, landscape.p_y))
    wish = ClassWish(network, 1)
    nothing = Sum(((exact, 0.0),))
    first, jumps = (Tabled.of(guide, exact, V, L) for guide in (FirstOrderGuide(wish), ExactGuide(wish)))
    tilts = Tabled.of(exact, exact, V, L)
    rows = [
        ("unguided", nothing, 1, 1),
        ("first-order tilt of the network", first, 1, 1),
        ("all jumps of the network", jumps, 1, 1),
        ("all jumps, exact", tilts, 1, 1),
        ("all jumps, exact, two reveals a step", tilts, 1, 2),
    ]
    rows += [("weighted at the end alone", Lookahead(exact.final), N, 1) for N in PARTICLES]
    rows += [("first-order tilt, weighted", first, N, 1) for N in PARTICLES]
    return rows


def figures(landscape: Landscape, law: Tensor) -> dict[str, float]:
    """Of a law (V^L,): mean fitness and share above the wild type."""
    fitness = landscape.fitness.flatten()
    return {"fitness": round(float((law * fitness).sum()), 4), "above": round(float(law[fitness > 1].sum()), 4)}


def measure(landscape: Landscape, name: str, guide: Guide, particles: int, reveals: int, n: int) -> dict:
    started, L = time.perf_counter(), landscape.base.ndim
    place, log_evidence = drawn(landscape, guide, particles, -(-L // reveals), n)
    evidence = log_evidence.exp()
    error = float(evidence.std() / math.sqrt(n))
    off = float(evidence.mean()) - math.exp(landscape.log_z)
    there, tilted = place[place >= 0], landscape.tilted.flatten()
    law = torch.bincount(there, minlength=len(tilted)) / max(1, len(there))
    row: dict = {"method": name, "particles": particles, "reveals": reveals, **figures(landscape, law.double())}
    row |= {
        "draws": n,
        "abstained": n - len(there),
        "tv": round(distance(place, tilted), 4),
        "floor": round(floor(tilted, n), 4),
    }
    if reveals == particles == 1:
        row["tv_of_its_law"] = float(f"{float((propagated(landscape, guide) - tilted).abs().sum() / 2):.3g}")
    if particles > 1:
        row["log_evidence"] = round(float(evidence.mean().log()), 4)
        row["standard_errors_off"] = round(off / error, 2) if error > 1e-12 else 0.0
    return row | {"seconds": round(time.perf_counter() - started, 1)}


def plot(result: dict, path: Path) -> None:
    """Share above the wild type and total variation, a bar for each method."""
    from matplotlib.figure import Figure

    rows = result["rows"]
    names = [f"{row['method']}, N = {row['particles']}" for row in rows]
    colours = ["#6E6E6E" if row["particles"] == 1 else "#0072B2" for row in rows]
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(names, [row["above"] for row in rows], color=colours)
    left.axvline(result["tilted"]["above"], color="black", ls="--", lw=1)
    left.set(xlabel="share above the wild type (dashed: the tilted law)", xlim=(0, 1.02))
    right.barh(names, [row["tv"] for row in rows], color=colours)
    right.scatter([row["floor"] for row in rows], names, marker="|", s=150, color="black", zorder=3)
    right.set(xlabel="total variation to the tilted law (marks: its own draws)", xlim=(0, 1.02))
    left.invert_yaxis()
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110, facecolor="white")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/proteins/flip_gb1_four_mutations.csv.xz"))
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    landscape, n = Landscape.of(read(options.data)), options.draws
    tilted = landscape.tilted.flatten()
    result: dict = {"draws": n, "variants": int((landscape.base > 0).sum()), "log_z": round(landscape.log_z, 4)}
    result |= {"base": figures(landscape, landscape.base.flatten()), "tilted": figures(landscape, tilted)}
    print(json.dumps(result), flush=True)
    started = time.perf_counter()
    network = learn(landscape)
    result["learning_seconds"] = round(time.perf_counter() - started, 1)
    result["rows"] = []
    for row in methods(landscape, network):
        result["rows"].append(measure(landscape, *row, n if row[2] < PARTICLES[-1] else n // 4))
        print(json.dumps(result["rows"][-1]), flush=True)
    if options.out:
        lines = ",\n  ".join(json.dumps(row) for row in result["rows"])
        head = json.dumps({key: value for key, value in result.items() if key != "rows"})
        options.out.write_text(f'{head[:-1]}, "rows": [\n  {lines}\n]}}\n')
    if options.plot:
        plot(result, options.plot)


if __name__ == "__main__":
    main()
