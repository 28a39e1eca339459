"""The law of a constrained process on vectors: `python -m benchmarks.continuous_law [--out FILE.json] [--plot FILE.png]`.

By quadrature (`tests/laws_vectors.py`; two positions, three tokens on a line, exact denoiser, no draws): the distance between
the T-step law of `embedded-ddpm` and p(x0 | C), where positions are independent and where they are linked, and its limit
without the error in 1/T. Three ways to x̂0: the constrained marginals, halfway to them, and none until the last draw.

By draws, on the law of `benchmarks.composition` (V = 3, L = 5, a motif and an exact count) and on the product of its marginals:
`embedded-dpm-solver` in 24 steps beside the floor of as many draws from p(x0 | C) itself.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from laws_constrained import Enumerated, cloud_law, distance, toy  # pyright: ignore[reportMissingImports]
from laws_vectors import given, independent, law_of_steps  # pyright: ignore[reportMissingImports]
from test_continuous_law import LINE, LINKED, PAIR, PLANE, condition_of, drawn, halfway  # pyright: ignore[reportMissingImports]

from benchmarks.composition import floor
from constraints.condition import Constrained
from seqdiff.denoisers.exact import EnumeratedLaw
from seqdiff.samplers.embedded import grid

STEPS = (8, 16, 32)
POINTS = 75
TICKS = (0.02, 0.05, 0.1, 0.2)
HOLDS = {"tie(X, Y)": lambda x: x[0] == x[1], "count([A], 1)": lambda x: x.count(0) == 1}
LAWS = {"independent": PAIR, "linked": LINKED}


def by_quadrature(name: str, text: str, way: str) -> dict:
    """Distances of the T-step law, and of its limit by 2 law(2T) − law(T)."""
    under, ok = given(LAWS[name], HOLDS[text])
    constrained = condition_of(text, 2, POINTS**2).marginals
    marginals = {"constrained": constrained, "halfway": halfway(constrained), "last draw alone": lambda query, p: p}[way]
    laws = [law_of_steps(LAWS[name], ok, LINE, marginals, grid(LINE, T, "uniform", 0.999, 0.12), POINTS) for T in STEPS]
    limit = distance(2 * laws[-1] - laws[-2], under.probability)
    found = {"law": name, "what must hold": text, "x0_hat": way, "T": STEPS, "limit": limit}
    return found | {"distance": [distance(law, under.probability) for law in laws]}


def by_draws(draws: int) -> list[dict]:
    law, ok = toy()
    marginals = [torch.bincount(law.outcomes[:, i], law.probability, minlength=3).tolist() for i in range(5)]
    rows = []
    for name, of in (("linked", law), ("independent", independent(*marginals))):
        p = of.probability * ok
        under = EnumeratedLaw(law.outcomes, p / p.sum(), 3)
        condition = Constrained(3, structure=Enumerated(law.outcomes[ok]))
        tokens = drawn(of, PLANE, condition, 24, "dpm-solver", torch.full((draws, 5), 3))
        share = cloud_law(under, tokens, torch.full((draws,), 1 / draws, dtype=torch.float64))
        row = {"law": name, "distance": distance(share, under.probability), "floor": floor(under.probability, draws)}
        rows.append(row | {"draws": draws, "mass": float(p.sum())})
    return rows


def plotted(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(8.6, 3.4), sharey=True)
    for axis, text in zip(axes, HOLDS, strict=True):
        for row in rows:
            if row["what must hold"] == text:
                style = {"constrained": "o-", "halfway": "s--", "last draw alone": "x:"}[row["x0_hat"]]
                colour = "C0" if row["law"] == "independent" else "C1"
                axis.loglog(row["T"], row["distance"], style, color=colour, label=f"{row['law']}, {row['x0_hat']}")
        axis.set(title=text, xlabel="steps T", xticks=STEPS, xticklabels=STEPS, yticks=TICKS, yticklabels=TICKS)
        axis.minorticks_off()
    axes[0].set_ylabel("total variation to p(x0 | C)")
    axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5_000)
    parser.add_argument("--out", type=Path, default=None)
    parser.add_argument("--plot", type=Path, default=None)
    options = parser.parse_args()
    drawn_rows = by_draws(options.draws)
    for row in drawn_rows:
        print(f"toy, {row['law']:11} P(C) {row['mass']:.3f}: TV {row['distance']:.3f} (floor {row['floor']:.3f})", flush=True)
    rows = []
    for text in HOLDS:
        for name, way in (
            ("independent", "constrained"),
            ("independent", "halfway"),
            ("independent", "last draw alone"),
            ("linked", "constrained"),
            ("linked", "last draw alone"),
        ):
            rows.append(row := by_quadrature(name, text, way))
            listed = " ".join(f"{d:.4f}" for d in row["distance"])
            print(f"{text:14} {name:11} {way:15}: {listed}, limit {row['limit']:.4f}", flush=True)
    if options.out:
        options.out.write_text(json.dumps({"draws": drawn_rows, "quadrature": rows}, indent=1) + "\n")
    if options.plot:
        plotted(rows, options.plot)


if __name__ == "__main__":
    main()
