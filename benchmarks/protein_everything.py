"""Everything at once, in one request.

    python -m benchmarks.protein_everything --data FOLDER --rows unguided wished --n 100 --out docs/protein-everything.json

Two motifs, strands of a designed protein (2KL8), in gaps of ranges, 60 to 75 residues a chain, no sequon N-X-[ST], at most one
cysteine, a net charge of +3 to +6, two like chains; and, wished, a helix at residues 12 to 27, which lie between the motifs
whatever the lengths. Three rows, each of chunks of designs with a seed of their own:

    unguided          what must hold alone, one particle
    wished            the helix too, N particles
    random-weights    what must hold alone, by a network whose weights are random (benchmarks.protein_designs)

What must hold is told from the text by `kept`, which shares nothing with the constraints. The helix is told by the classifier
that guides, and by a judge that does not: p(helix) of a residue by logistic regression on the 17 residues around it, learnt
here from the families that the guide never saw, and tested on chains of the guide's own, which the judge never saw; and by the
share of helix formers (E, M, A, L, K) that Biopython counts. Word overlap is that of the gaps between the motifs.

With `--made FILE.jsonl` designs are written down chunk by chunk; what stands there is counted, and not made again.
"""

import argparse
import json
import math
import re
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import torch
from torch import Tensor

from benchmarks.guidance_amp import logistic, reliability
from benchmarks.protein_designs import random_weights
from domains.design import DesignSpec, design_batches, prepare
from domains.protein import AMINO_ACIDS
from domains.protein.classes import state_probability
from domains.protein.constraints import composition, like_chains, net_charge, no_n_glycosylation
from domains.protein.domain import encode_training_data
from domains.protein.metrics import word_overlap
from domains.protein.states import LETTERS, STATES
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint
from seqdiff.training.data import EncodedData

MOTIFS, GAPS, LENGTHS = ("MEMDIRF", "KFAGTVTYTLDGNDLEIRITG"), ((0, 4), (22, 28), (8, 20)), (60, 75)
HELIX = (12, 27)
WISH = f"helix {HELIX[0]}-{HELIX[1]} >= 0.8"
TENTHS = {"D": -10, "E": -10, "K": 10, "R": 10, "H": 1}
PRESET = Path(__file__).parents[1] / "domains" / "protein" / "presets" / "protein-states.toml"
AROUND, RIDGE, TESTED = 8, 1e-3, 400


def request() -> tuple[str, str]:
    """Template and constraint."""
    gaps = [f"{{{low}-{high}}}" for low, high in GAPS]
    chain = gaps[0] + "".join(motif + gap for motif, gap in zip(MOTIFS, gaps[1:], strict=True))
    text, ties = like_chains(chain, 2)
    held = (no_n_glycosylation() & composition("C", 0, 1) & net_charge(3, 6)).within("chain1")
    return text, f"{ties} & {held} & length({2 * LENGTHS[0] + 1}..{2 * LENGTHS[1] + 1})"


def kept(text: str) -> dict[str, bool]:
    """Whether a design keeps each thing that must hold, told from its text alone."""
    chain, _, other = text.partition("/")
    gaps = ["(" + f".{{{low},{high}}}" + ")" for low, high in GAPS]
    return {
        "letters": set(chain) <= set(AMINO_ACIDS),
        "like": chain == other,
        "motifs": re.fullmatch(gaps[0] + MOTIFS[0] + gaps[1] + MOTIFS[1] + gaps[2], chain) is not None,
        "length": LENGTHS[0] <= len(chain) <= LENGTHS[1],
        "sequons": re.search("N[^P][ST]", chain) is None,
        "cysteines": chain.count("C") <= 1,
        "charge": 30 <= sum(TENTHS.get(letter, 0) for letter in chain) <= 60,
    }


def windows(text: str) -> np.ndarray:
    """(L, 17 · 20) float32: which residue stands at each place around each residue; beyond the ends and X nothing."""
    found = np.zeros((len(text), 2 * AROUND + 1, 20), np.float32)
    for i, letter in enumerate(text):
        if letter in AMINO_ACIDS:
            for k in range(max(0, i - AROUND), min(len(text), i + AROUND + 1)):
                found[k, i - k + AROUND, AMINO_ACIDS.index(letter)] = 1
    return found.reshape(len(text), -1)


@dataclass(frozen=True)
class Judge:
    """p(helix) of each residue, from the 17 around it."""

    weights: Tensor
    bias: Tensor

    @classmethod
    def fit(cls, chains: Sequence[tuple[str, str]]) -> "Judge":
        """Of (residues, states) of chains; a state that is not known is no letter of LETTERS, and not learnt."""
        x = torch.from_numpy(np.concatenate([windows(text) for text, _ in chains])).double()
        states = "".join(said for _, said in chains)
        known = torch.tensor([state in LETTERS for state in states])
        y = torch.tensor([state == LETTERS[0] for state in states])
        return cls(*logistic(x[known], y[known], RIDGE))

    def __call__(self, text: str) -> Tensor:
        """(L,) float64."""
        return (torch.from_numpy(windows(text)).double() @ self.weights + self.bias).sigmoid()

    def region(self, text: str) -> float:
        """Mean p over the residues wished for."""
        return float(self(text)[HELIX[0] : HELIX[1] + 1].mean())


def chains(data: EncodedData, held_out: bool) -> list[tuple[str, str]]:
    """(residues, states) of one side of the split; "-" for a state that is not known."""
    rows = [data.tokens[data.offsets[i] : data.offsets[i + 1]] for i in np.flatnonzero(data.held_out == held_out)]
    names, letter = data.alphabet.tokens, dict(zip(STATES, LETTERS, strict=True))
    return [("".join(names[k] for k in row[::2]), "".join(letter.get(names[k], "-") for k in row[1::2])) for row in rows]


def tested(judge: Judge, held: Sequence[tuple[str, str]]) -> dict:
    """How well the judge tells helices of chains it has not seen, residue by residue and of windows of the region's length."""
    said, truth, inside, outside, size = [], [], [], [], HELIX[1] + 1 - HELIX[0]
    for text, states in held:
        p = judge(text).tolist()
        said += [a for a, state in zip(p, states, strict=True) if state in LETTERS]
        truth += [state == LETTERS[0] for state in states if state in LETTERS]
        for i in range(0, len(text) - size + 1, size):
            part = states[i : i + size]
            if set(part) == {"H"}:
                inside.append(fmean(p[i : i + size]))
            elif set(part) <= {"E", "C"}:
                outside.append(fmean(p[i : i + size]))
    found = reliability(said, torch.tensor(truth))
    return {
        "tested_chains": len(held),
        "residues": len(said),
        "right": found["accuracy"],
        "auc": found["auc"],
        "mean_in_helices": round(fmean(inside), 3),
        "mean_out_of_helices": round(fmean(outside), 3),
    }


def make(row: str, n: int, seed: int, options: argparse.Namespace, cache: dict) -> dict:
    """A chunk of designs. cache: requests made ready, by row."""
    if row not in cache:
        template, constraint = request()
        spec = DesignSpec("protein", template, n=n, constraint=constraint, steps=options.steps, bound_draws=2)
        if row == "random-weights":
            spec = replace(spec, steps=options.random_steps, bound_draws=0, batch_size=1024)
        elif row == "wished":
            spec = replace(spec, wishes=(WISH,), particles=options.particles)
        checkpoint = random_weights(0) if row == "random-weights" else load_checkpoint(find_model(options.model, "protein"))
        cache[row] = prepare(spec, checkpoint)
    task, started = cache[row], time.process_time()
    task = replace(task, spec=replace(task.spec, n=n, seed=seed))
    designs = sorted((item for made in design_batches(task) for item in made.designs), key=lambda item: item.index)
    return {
        "row": row,
        "seed": seed,
        "asked": n,
        "violations": sum(bool(item.certificate.violations) for item in designs),
        "cpu_seconds": round(time.process_time() - started, 1),
        "designs": [item.sequence for item in designs],
        "bounds": [
            round(float(item.metrics["bound"]) / (int(item.metrics["tokens"] or 0) - len(item.pinned_atoms)), 4)
            for item in designs
            if item.metrics["bound"] is not None
        ],
    }


def figures(parts: Sequence[dict], judge: Judge | None) -> dict:
    """What is said of a row, of all its chunks together."""
    from Bio.SeqUtils.ProtParam import ProteinAnalysis

    texts = [text for part in parts for text in part["designs"]]
    asked, bounds = sum(part["asked"] for part in parts), [b for part in parts for b in part["bounds"]]
    told = [kept(text) for text in texts]
    first = [text.partition("/")[0] for text in texts]
    answer = {
        "asked": asked,
        "returned": len(texts),
        "all_kept": sum(all(one.values()) for one in told),
        **{name: sum(one[name] for one in told) for name in kept("")},
        "violations": sum(part["violations"] for part in parts),
        "distinct": len(set(first)),
        "lengths": len({len(chain) for chain in first}),
        "cpu_seconds_a_design": round(sum(part["cpu_seconds"] for part in parts) / asked, 2),
    }
    if judge is None or not texts:
        return answer
    guided = state_probability("helix", HELIX, texts)
    judged = [judge.region(chain) for chain in first]
    formers = [ProteinAnalysis(chain[HELIX[0] : HELIX[1] + 1]).secondary_structure_fraction()[0] for chain in first]
    between = [re.search(MOTIFS[0] + "(.*)" + MOTIFS[1], chain) for chain in first]
    met = sum(p >= 0.8 for p in guided) / asked
    return answer | {
        "met": round(met, 4),
        "met_error": round(math.sqrt(met * (1 - met) / asked), 4),
        "helix_by_the_guide": _mean(guided),
        "helix_by_the_judge": _mean(judged),
        "helix_formers": _mean(formers),
        "word_overlap": round(word_overlap([found[1] for found in between if found]) or 0, 4),
        "bound_a_designed_residue": _mean(bounds) if bounds else None,
    }


def _mean(values: Sequence[float]) -> list[float]:
    """With its standard error."""
    return [round(fmean(values), 4), round(stdev(values) / math.sqrt(len(values)), 4) if len(values) > 1 else 0.0]


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder the paths of protein-states start from")
    parser.add_argument("--rows", nargs="+", choices=("unguided", "wished", "random-weights"), default=["unguided", "wished"])
    parser.add_argument("--n", type=int, default=100, help="designs of each row")
    parser.add_argument("--chunk", type=int, default=100, help="of them with one seed")
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--model", default="protein-small")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--random-steps", type=int, default=8)
    parser.add_argument("--made", type=Path, help="a file of designs, which is continued")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    made = (
        [json.loads(line) for line in options.made.read_text().splitlines()] if options.made and options.made.exists() else []
    )
    cache: dict = {}
    for row in options.rows:
        have = {part["seed"] for part in made if part["row"] == row}
        for seed in range(math.ceil(options.n / options.chunk)):
            if seed in have:
                continue
            made.append(make(row, min(options.chunk, options.n - seed * options.chunk), seed, options, cache))
            print(
                json.dumps({name: value for name, value in made[-1].items() if name not in ("designs", "bounds")}), flush=True
            )
            if options.made:
                with options.made.open("a") as file:
                    file.write(json.dumps(made[-1]) + "\n")
    data = encode_training_data(tomllib.loads(PRESET.read_text())["data"], options.data)
    learnt = chains(data, True)
    judge = Judge.fit(learnt)
    others = chains(data, False)
    answer: dict = {
        "wish": WISH,
        "particles": options.particles,
        "steps": options.steps,
        "judge": {"chains": len(learnt), **tested(judge, others[:: max(1, len(others) // TESTED)])},
        "rows": {
            row: figures(parts, judge if row != "random-weights" else None)
            for row in ("unguided", "wished", "random-weights")
            if (parts := [part for part in made if part["row"] == row])
        },
    }
    print(json.dumps(answer, indent=1), flush=True)
    if options.out:
        options.out.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return answer


if __name__ == "__main__":
    main()
