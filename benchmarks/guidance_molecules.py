"""What guidance does for molecules: `python -m benchmarks.guidance_molecules [--n 40] [--out FILE.json] [--plot FILE.png]`.

Wished for: QED ≥ 0.8. Free designs of 40 tokens of the class "zinc", and designs around three fragments of held-out molecules;
SMILES syntax imposed throughout, one reveal a step, networks in bfloat16, so that all ways differ in guidance alone:

    unguided              one particle
    first-order tilt      one particle, tilted by the gradient of the bundled regressor's log P(QED ≥ 0.8 | x_t), no weights
    valid                 N particles that need only be molecules: what choosing among N does without a wish
    end alone             N particles, weighted by their exact QED when they are finished
    look-ahead            N particles, weighted on the way too by the regressor; this is what `wishes=["qed >= 0.8"]` does

Shares are of all designs asked for, an abstention counts as none; their errors are binomial. Diversity is 1 − the mean Tanimoto
similarity of the unique valid ones. A pass is one row through the denoiser; equal particles share theirs.

`--tilts` compares instead the tilts themselves, at designs of which a share is masked again: the first-order g of each token at
four holes of each with the exact log-ratio log P(QED ≥ 0.8 | x_t with v at i) − log P(QED ≥ 0.8 | x_t) of the same network.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from constraints.condition import Guide
from constraints.guidance import guides as guidance
from constraints.guidance.guides import ExactGuide, FirstOrderGuide, Sum
from domains.design import DesignSpec, Task, design, prepare
from domains.smiles.metrics import evaluate_set
from domains.smiles.properties import describe_many
from domains.smiles.wishes import REGRESSORS, guide_of, look_ahead, regressor
from seqdiff.errors import CheckpointError
from seqdiff.samplers.drive import generate_clouds

TEMPLATES = ("{40}", "{10}c1ccccc1NCC(=O)N{11}", "{16}c1ccccc1Cn1cncn1", "{15}NCCc1ccccc1F")
WISH, LOW = "qed >= 0.8", 0.8
CLIP = 3.0  # of a first-order tilt, nats


@dataclass(frozen=True)
class Steered:
    """One guide on the way, another's exact wish in the end."""

    way: Guide
    end: Guide

    def log_tilt(self, x_t: Tensor, t: Tensor, positions: Tensor, p: Tensor) -> tuple[Tensor | None, Tensor]:
        return self.way.log_tilt(x_t, t, positions, p)

    def final(self, x_0: Tensor) -> Tensor:
        return self.end.final(x_0)


@dataclass
class Counted:
    """A denoiser that counts the rows it is asked for."""

    denoiser: object
    rows: int = 0

    def __call__(self, x_t, *rest, **more):
        self.rows += len(x_t)
        return self.denoiser(x_t, *rest, **more)  # type: ignore[operator]


def ways(alphabet, N: int) -> dict[str, tuple[Guide | None, int]]:
    """Name → (guide, particles)."""
    found = regressor(REGRESSORS["qed"])
    if found is None:
        raise CheckpointError(f"benchmark: expected the bundled model {REGRESSORS['qed']!r}, found none")
    exact = guide_of(WISH, alphabet)
    first = Sum(((FirstOrderGuide(guidance.Wish(found.network, LOW)), 1.0),), clip=CLIP)
    return {
        "unguided": (None, 1),
        "first-order tilt": (Steered(first, Sum(((exact, 0.0),))), 1),
        "valid": (guide_of("valid", alphabet), N),
        "end alone": (exact, N),
        "look-ahead": (guide_of(WISH, alphabet, look_ahead(alphabet)), N),
    }


@torch.autocast("cpu", torch.bfloat16)
def measure(task: Task, guide: Guide | None, particles: int) -> dict:
    """Figures of `task.spec.n` designs."""
    spec, ready, checkpoint = task.spec, task.plan, task.checkpoint
    assert ready is not None  # the spec asks for syntax
    started, denoiser = time.perf_counter(), Counted(checkpoint.denoiser)
    canvases, chosen = ready.draw(torch.arange(spec.n), spec.seed)
    smiles, kept, abstained = [], 0, 0
    for filled in generate_clouds(
        denoiser,
        checkpoint.process,
        [canvas.tokens for canvas in canvases],
        spec.seed,
        lambda index: ready.condition(chosen[index], guide, weighted=True),
        particles,
        label=checkpoint.label_index(spec.label),
        batch_size=spec.batch_size,
    ):
        abstained += int((~filled.alive).sum())
        for i, row in zip(filled.index[filled.alive].tolist(), filled.tokens[filled.alive], strict=True):
            smiles.append(task.alphabet.decode(row))
            pinned = canvases[i].pinned
            kept += bool((row == canvases[i].tokens)[pinned].all()) and not ready.violations(row, int(chosen[i]))
    seconds = time.perf_counter() - started
    qed = [molecule.metrics["qed"] for molecule in describe_many(smiles) if molecule.valid]
    whole = evaluate_set(smiles)
    reached = sum(value >= LOW for value in qed)
    share = reached / spec.n
    return {
        "particles": particles,
        "n": spec.n,
        "reached": round(share, 4),
        "error": round(math.sqrt(share * (1 - share) / spec.n), 4),
        "reached_of_valid": round(reached / max(1, len(qed)), 4),
        "valid": round(len(qed) / spec.n, 4),
        "abstained": abstained,
        "mean_qed": round(sum(qed) / max(1, len(qed)), 4),
        "unique": whole["unique"] and round(whole["unique"], 4),
        "diversity": whole["diversity"] and round(whole["diversity"], 4),
        "pins_and_syntax_hold": f"{kept} of {len(smiles)}",
        "passes_per_design": round(denoiser.rows / spec.n, 1),
        "seconds": round(seconds, 1),
    }


def tilts(task: Task, holes: int = 4) -> list[dict]:
    """Correlation and spread (nats) of first-order and exact tilts over tokens, at three shares of masks."""
    found, V, rows = regressor(REGRESSORS["qed"]), len(task.alphabet), []
    assert found is not None
    wish, generator = guidance.Wish(found.network, LOW), torch.Generator().manual_seed(0)
    x_0 = torch.tensor([task.alphabet.encode(made.sequence) for made in design(task.spec).designs])
    for share in (0.25, 0.5, 0.9):
        x_t = torch.where(torch.rand(x_0.shape, generator=generator) < share, V, x_0)
        positions = torch.rand(x_0.shape, generator=generator).masked_fill(x_t != V, 2.0).argsort(-1)[:, :holes]
        p = torch.full((*positions.shape, V), 1 / V)
        asked = (x_t, torch.full((len(x_t),), share), positions, p)
        exact, first = (
            (g - g.mean(-1, keepdim=True)).flatten()
            for g in (ExactGuide(wish, chunk=256).log_tilt(*asked)[0], FirstOrderGuide(wish).log_tilt(*asked)[0])
        )
        correlation = float(torch.corrcoef(torch.stack([exact, first]))[0, 1])
        figures = {"correlation": correlation, "spread_exact": float(exact.std()), "spread_first_order": float(first.std())}
        rows.append({"masked": share, "designs": len(x_0), **{name: round(value, 4) for name, value in figures.items()}})
    return rows


def plot(rows: list[dict], path: Path) -> None:
    """Share with QED ≥ 0.8 by way, a panel for each template, with binomial standard errors."""
    from matplotlib.figure import Figure

    templates = list(dict.fromkeys(row["template"] for row in rows))
    figure = Figure(figsize=(3.6 * len(templates) + 1.4, 3.2), layout="constrained")
    for axis, template in zip(figure.subplots(1, len(templates), sharey=True, squeeze=False)[0], templates, strict=True):
        chosen = [row for row in rows if row["template"] == template]
        colours = ["#6E6E6E" if row["particles"] == 1 else "#0072B2" for row in chosen]
        names = [f"{row['way']} (N = {row['particles']})" for row in chosen]
        axis.barh(names, [r["reached"] for r in chosen], xerr=[r["error"] for r in chosen], color=colours, capsize=3)
        axis.set_title(template or "free", fontsize=9)
        axis.set(xlim=(0, 1), xlabel=f"QED ≥ 0.8, of all {chosen[0]['n']}")
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].invert_yaxis()
    figure.savefig(path, dpi=110, facecolor="white")


def main(arguments: list[str] | None = None) -> list[dict]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--template", action="append", help="instead of the free designs and the three; may be repeated")
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--tilts", action="store_true", help="compare first-order with exact tilts instead")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.tilts:
        spec = DesignSpec("smiles", TEMPLATES[0], n=8, model=options.model, label="zinc", syntax=True, bound_draws=0)
        rows = tilts(prepare(spec))
        print("\n".join(json.dumps(row) for row in rows))
        if options.out:
            options.out.write_text("[\n  " + ",\n  ".join(json.dumps(row) for row in rows) + "\n]\n")
        return rows
    rows = []
    for template in options.template or TEMPLATES:
        task = prepare(DesignSpec("smiles", template, n=options.n, model=options.model, label="zinc", syntax=True))
        for way, (guide, particles) in ways(task.alphabet, options.particles).items():
            rows.append({"template": template, "way": way, **measure(task, guide, particles)})
            print(json.dumps(rows[-1]), flush=True)
            if options.out:
                options.out.write_text("[\n  " + ",\n  ".join(json.dumps(row) for row in rows) + "\n]\n")
    if options.plot:
        plot(rows, options.plot)
    return rows


if __name__ == "__main__":
    main()
