"""Fragment-constrained tasks on real drugs: `python -m benchmarks.fragment_tasks --data DIR [--n 100] [--out FILE.json]`.

The file has, for each drug, the fragments of four tasks. Settings: the model alone (pins, bans and the bonds that were drawn),
with the syntax, and with eight particles and the wish "valid". Of *n* attempts a drug: valid, molecules with all fragments
kept; quality, those with QED ≥ 0.6 and SA ≤ 4; lost, molecules that are not returned, because they do not fall back into what
was drawn. Of the molecules: matched, by a substructure match with stereo, each fragment on atoms of its own; unique; diversity,
1 − mean Tanimoto similarity of Morgan fingerprints (radius 2, 2,048 bits) over the pairs of different molecules of a drug.
Passes: rows that went through the network, for each attempt.
"""

import argparse
import csv
import json
import time
from collections import defaultdict
from pathlib import Path

import torch

from domains.design import design
from domains.registry import find_model
from domains.smiles.fragments import read_fragments
from seqdiff.checkpoint import load_checkpoint

FILE = "molecules/genmol_fragment_tasks_dev.csv"
TASKS = {
    "linker": "linker_design",
    "extension": "motif_extension",
    "decoration": "scaffold_decoration",
    "superstructure": "superstructure_generation",
}
SETTINGS = {
    "model alone": {"syntax": False},
    "syntax": {"syntax": True},
    "syntax, 8 particles, valid": {"syntax": True, "particles": 8, "wishes": ["valid"]},
}


def matched(drawn: str, smiles: str) -> bool:
    """Whether the fragments lie in the molecule on atoms of their own, with stereo and with a neighbour at every point."""
    from rdkit import Chem

    molecule = Chem.MolFromSmiles(smiles)
    options = Chem.AdjustQueryParameters.NoAdjustments()
    options.makeDummiesQueries = True
    found = []
    for fragment in read_fragments(drawn):
        wanted = Chem.MolFromSmiles(fragment.smiles)
        dummies = {a.GetIdx() for a in wanted.GetAtoms() if a.GetAtomicNum() == 0}
        for k in dummies:
            wanted.GetAtomWithIdx(k).SetIsotope(0)
        query = Chem.AdjustQueryProperties(wanted, options)
        matches = molecule.GetSubstructMatches(query, useChirality=True, uniquify=False, maxMatches=10_000)
        found.append({frozenset(a for i, a in enumerate(match) if i not in dummies) for match in matches})
    apart = [frozenset()]
    for places in found:
        apart = [taken | place for taken in apart for place in places if not taken & place]
    return bool(apart)


def diversity(smiles: list[str]) -> float | None:
    from rdkit import Chem
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.DataStructs import BulkTanimotoSimilarity

    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [morgan.GetFingerprint(Chem.MolFromSmiles(s)) for s in smiles]
    likeness = [x for i in range(1, len(prints)) for x in BulkTanimotoSimilarity(prints[i], prints[:i])]
    return 1 - sum(likeness) / len(likeness) if likeness else None


def mean(values) -> float | None:
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--n", type=int, default=100, help="attempts for each drug and task")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default=None)
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS)[::-1], choices=list(SETTINGS))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with (options.data / FILE).open() as file:
        drugs = list(csv.DictReader(file))
    checkpoint = load_checkpoint(find_model(options.model, "smiles"))
    passes = [0]
    checkpoint.denoiser.register_forward_pre_hook(lambda _, given: passes.__setitem__(0, passes[0] + len(given[0])))
    rows = []
    for setting in options.settings:
        for task, column in TASKS.items():
            passes[0], started, by_drug = 0, time.perf_counter(), defaultdict(list)
            for drug in drugs:
                fields = {"n": options.n, "seed": options.seed, "bound_draws": 0, **SETTINGS[setting]}
                made = design(domain="smiles", task=task, template=drug[column], checkpoint=checkpoint, **fields)
                kept = [d for d in made.designs if d.valid]
                good = [d for d in kept if d.metrics["qed"] >= 0.6 and d.metrics["sa"] <= 4]  # type: ignore[operator]
                different = sorted({str(d.canonical) for d in kept})
                by_drug["valid"].append(len(kept) / options.n)
                by_drug["quality"].append(len(good) / options.n)
                by_drug["lost"].append(len(made.lost) / options.n)
                by_drug["matched"].append(mean(matched(drug[column], str(d.canonical)) for d in kept))
                by_drug["unique"].append(len(different) / len(kept) if kept else None)
                by_drug["diversity"].append(diversity(different))
            seconds, asked_for = time.perf_counter() - started, options.n * len(drugs)
            row = {"setting": setting, "task": task, **{name: mean(values) for name, values in by_drug.items()}}
            row |= {"valid_by_drug": by_drug["valid"], "passes": passes[0] / asked_for, "seconds": seconds / asked_for}
            rows.append(row)
            shown = {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items() if k != "valid_by_drug"}
            print(json.dumps(shown), flush=True)
            if options.out:
                table = {"n": options.n, "seed": options.seed, "model": checkpoint.sha256, "rows": rows}
                options.out.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
