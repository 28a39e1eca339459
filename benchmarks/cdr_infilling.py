"""How much of a CDR-H3 comes back when it is designed anew: `python -m benchmarks.cdr_infilling --data FOLDER [--models …]`.

The third loop of antibodies' heavy chains is left out of the variable domain and filled again, its length given. Asked are
SAbDab's chains of the clusters of loops that `seqdiff train protein-antibody` holds out (`domains.protein.antibodies`), a loop
once; known are all chains of the other clusters, those of CoV-AbDab too. Frameworks are on both sides, as they are in nature.
*Recovery* is the share of the loop's residues that are the native ones, of draws and, at a temperature of 0.1, of nearly the
likeliest fillings. The baseline counts the residues at each place of the known loops, the places counted from the nearer end,
those of like length weighing most,

    f_j(v) ∝ Σ_loops 2^{−|ℓ' − ℓ|} [v at place j]

and draws from f, or takes the most frequent. Standard errors are over chains, of differences over pairs.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch

from apps.cli.train import read_config
from domains.design import design
from domains.protein import AMINO_ACIDS
from domains.protein.antibodies import Chain, gather, split
from domains.protein.scores import recovery
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint

PRESET = Path("protein-antibody")  # its files, and the percentage of it that is held out


def sides(data: Path) -> tuple[list[Chain], list[Chain]]:
    """(known chains, held-out chains of the first file, a loop once)."""
    table = read_config(PRESET)[0]["data"]
    pairs = gather([data / one["path"] for one in table["files"]])
    held_out = split([chain for chain, _ in pairs], table["held_out_percent"])[1].tolist()
    known = [chain for (chain, _), out in zip(pairs, held_out, strict=True) if not out]
    asked: dict[str, Chain] = {}
    for (chain, number), out in zip(pairs, held_out, strict=True):
        if out and number == 0:
            asked.setdefault(chain.loop, chain)
    return known, list(asked.values())


def frequencies(loops: Sequence[Chain], length: int) -> np.ndarray:
    """f (length, 20): the residues at each place of a loop of this length."""
    f = np.full((length, 20), 1e-3)
    for one in loops:
        text, weight = one.loop, 2.0 ** -abs(len(one.loop) - length)
        for j in range(length):
            k = j if j < (length + 1) // 2 else len(text) - (length - j)
            if 0 <= k < len(text):
                f[j, AMINO_ACIDS.index(text[k])] += weight
    return f / f.sum(1, keepdims=True)


def baseline(loops: Sequence[Chain], native: Chain) -> dict[str, float]:
    f = frequencies(loops, len(native.loop))
    ids = [AMINO_ACIDS.index(a) for a in native.loop]
    places = np.arange(len(ids))
    return {"draws": float(f[places, ids].mean()), "likeliest": float((f.argmax(1) == ids).mean())}


def filled(checkpoint, native: Chain, draws: int) -> dict[str, float]:
    whole, answer = native.domain, {}
    template = f"{native.before}{{{len(native.loop)}}}{native.after}"
    for name, temperature, n in (("draws", 1.0, draws), ("likeliest", 0.1, 1)):
        fields = {"template": template, "n": n, "temperature": temperature, "bound_draws": 0}
        made = design(domain="protein", checkpoint=checkpoint, **fields).designs
        answer[name] = fmean(recovery(item.sequence, whole, item.pinned_atoms) or 0.0 for item in made)
    return answer


def summary(rows: Sequence[dict[str, float]], other: Sequence[dict[str, float]] | None = None) -> dict:
    """Means with standard errors, and how far they are above `other`, chain by chain."""
    found: dict = {}
    for name in ("draws", "likeliest"):
        found[name] = dict(zip(("recovery", "error"), _mean([row[name] for row in rows]), strict=True))
        if other is not None:
            found[name]["above frequencies by"] = _mean([a[name] - b[name] for a, b in zip(rows, other, strict=True)])
    return found


def _mean(values: Sequence[float]) -> tuple[float, float]:
    return round(fmean(values), 4), round(stdev(values) / math.sqrt(len(values)), 4)


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder the preset's paths start from")
    parser.add_argument("--models", nargs="*", default=["protein-small"])
    parser.add_argument("--n", type=int, default=100, help="at most so many held-out chains")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    known, asked = sides(options.data)
    asked = asked[: options.n]
    answer: dict = {"known_chains": len(known), "held_out_loops": len(asked), "residues": sum(len(one.loop) for one in asked)}
    counted = [baseline(known, one) for one in asked]
    answer["rows"] = {"frequencies by place": summary(counted)}
    print(json.dumps(answer), flush=True)
    for model in options.models:
        checkpoint = load_checkpoint(find_model(model, "protein"))
        answer["rows"][Path(model).name] = summary([filled(checkpoint, one, options.draws) for one in asked], counted)
        print(model, json.dumps(answer["rows"][Path(model).name]), flush=True)
        if options.out:
            options.out.write_text(json.dumps(answer, indent=1) + "\n")
    return answer


if __name__ == "__main__":
    main()
