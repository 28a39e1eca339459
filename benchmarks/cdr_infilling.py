"""How much of a CDR-H3 comes back when it is designed anew: `python -m benchmarks.cdr_infilling --data FOLDER [--models …]`.

The third loop of antibodies' heavy chains (SAbDab), as it was numbered there, is left out of the variable domain and filled
again, its length given. Held out are chains whose loop has a sha256 that leaves 0 modulo 10, so that no loop is on both sides;
frameworks are, as they are in nature. *Recovery* is the share of the loop's residues that are the native ones, of draws and, at
a temperature of 0.1, of nearly the likeliest fillings. The baseline counts the residues at each place of the other loops, the
places counted from the nearer end, those of like length weighing most,

    f_j(v) ∝ Σ_loops 2^{−|ℓ' − ℓ|} [v at place j]

and draws from f, or takes the most frequent. Standard errors are over chains.
"""

import argparse
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch

from domains.design import design
from domains.protein import AMINO_ACIDS
from domains.protein.data import clean, read_table
from domains.protein.scores import recovery
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint

AFTER = 11  # residues of framework 4 that are kept; what follows is the constant domain


@dataclass(frozen=True)
class Loop:
    """before + loop + after is the variable domain."""

    before: str
    loop: str
    after: str

    @property
    def held_out(self) -> bool:
        return int(hashlib.sha256(self.loop.encode()).hexdigest()[:8], 16) % 10 == 0


def read(path: Path) -> list[Loop]:
    """The chains of a table with the columns sequence and cdr_mask (3 in CDR-H3), each loop once, 5 to 25 residues long."""
    found = {}
    for row in read_table(path):
        text, mask = row["sequence"], row["cdr_mask"]
        a, b = mask.find("3"), mask.rfind("3") + 1
        if a < 50 or not 5 <= b - a <= 25 or mask[a:b] != "3" * (b - a) or clean(text) != text or "X" in text:
            continue
        found.setdefault(text[a:b], Loop(text[:a], text[a:b], text[b : b + AFTER]))
    return list(found.values())


def frequencies(loops: Sequence[Loop], length: int) -> np.ndarray:
    """f (length, 20): the residues at each place of a loop of this length."""
    f = np.full((length, 20), 1e-3)
    for one in loops:
        text, weight = one.loop, 2.0 ** -abs(len(one.loop) - length)
        for j in range(length):
            k = j if j < (length + 1) // 2 else len(text) - (length - j)
            if 0 <= k < len(text):
                f[j, AMINO_ACIDS.index(text[k])] += weight
    return f / f.sum(1, keepdims=True)


def baseline(loops: Sequence[Loop], native: Loop) -> dict[str, float]:
    f = frequencies(loops, len(native.loop))
    ids = [AMINO_ACIDS.index(a) for a in native.loop]
    places = np.arange(len(ids))
    return {"draws": float(f[places, ids].mean()), "likeliest": float((f.argmax(1) == ids).mean())}


def filled(checkpoint, native: Loop, draws: int) -> dict[str, float]:
    whole, answer = native.before + native.loop + native.after, {}
    template = f"{native.before}{{{len(native.loop)}}}{native.after}"
    for name, temperature, n in (("draws", 1.0, draws), ("likeliest", 0.1, 1)):
        fields = {"template": template, "n": n, "temperature": temperature, "bound_draws": 0}
        made = design(domain="protein", checkpoint=checkpoint, **fields).designs
        answer[name] = fmean(recovery(item.sequence, whole, item.pinned_atoms) or 0.0 for item in made)
    return answer


def summary(rows: Sequence[dict[str, float]]) -> dict:
    return {
        name: {"recovery": round(fmean(v), 4), "error": round(stdev(v) / math.sqrt(len(v)), 4)}
        for name in ("draws", "likeliest")
        if (v := [row[name] for row in rows])
    }


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder in which proteins/sabdab_heavy_cdr.tsv.xz lies")
    parser.add_argument("--models", nargs="*", default=["protein-small"])
    parser.add_argument("--n", type=int, default=100, help="at most so many held-out chains")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    loops = read(options.data / "proteins" / "sabdab_heavy_cdr.tsv.xz")
    known, asked = [one for one in loops if not one.held_out], [one for one in loops if one.held_out][: options.n]
    answer: dict = {"known_loops": len(known), "held_out_loops": len(asked), "residues": sum(len(one.loop) for one in asked)}
    answer["rows"] = {"frequencies by place": summary([baseline(known, one) for one in asked])}
    print(json.dumps(answer), flush=True)
    for model in options.models:
        checkpoint = load_checkpoint(find_model(model, "protein"))
        answer["rows"][Path(model).name] = summary([filled(checkpoint, one, options.draws) for one in asked])
        print(model, json.dumps(answer["rows"][Path(model).name]), flush=True)
        if options.out:
            options.out.write_text(json.dumps(answer, indent=1) + "\n")
    return answer


if __name__ == "__main__":
    main()
