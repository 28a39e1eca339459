"""What weighting does over the steps of a sampler: `python -m benchmarks.composition [--clouds 1024] [--out FILE.json]`.

On an enumerated law (`tests/laws_constrained.py`) every sampler's clouds are compared with the exact conditional law of its
own steps: the bias (distance of the mean weighted cloud), one returned particle a cloud beside the floor of independent
draws, and Ẑ/Z with its standard error.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from laws_constrained import cloud_law, distance  # pyright: ignore[reportMissingImports]
from test_particles import CASES, LAW, bias, run, wanted  # pyright: ignore[reportMissingImports]

COUNTS = (1, 8, 64, 256)


def floor(want: torch.Tensor, draws: int) -> float:
    """E[TV] of independent draws from the law itself (normal approximation)."""
    return float((2 * want * (1 - want) / (torch.pi * draws)).sqrt().sum() / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clouds", type=int, default=1024, help="clouds of 64 particles; of N, as many particles in all")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    rows = []
    for kind, how in CASES.items():
        for tilt in (0.0, 1.0):
            want, evidence = wanted(kind, tilt)
            for particles in COUNTS:
                clouds = max(64, options.clouds * 64 // particles if particles > 1 else 16 * options.clouds)
                end, outcome = run(particles, clouds, tilt=tilt, **how)
                z = outcome.log_evidence.exp() / evidence
                returned = torch.full((clouds,), 1 / clouds, dtype=torch.float64)
                row = {
                    "steps": kind,
                    "tilt": tilt,
                    "particles": particles,
                    "clouds": clouds,
                    "bias": bias(end, particles, want),
                    "returned": distance(cloud_law(LAW, end.tokens[outcome.row], returned), want),
                    "floor": floor(want, clouds),
                    "evidence": float(z.mean()),
                    "evidence_error": float(z.std() / clouds**0.5),
                }
                rows.append(row)
                print(
                    f"{kind:11} tilt {tilt:.0f} N = {particles:3}: bias {row['bias']:.3f}, returned {row['returned']:.3f} "
                    f"(floor {row['floor']:.3f}), Ẑ/Z {row['evidence']:.3f} ± {row['evidence_error']:.3f}",
                    flush=True,
                )
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
