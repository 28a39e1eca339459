"""Fragment-constrained tasks on real drugs: `python -m benchmarks.fragment_tasks --data DIR [--n 100] [--out FILE.json]`.

The file has, for each drug, the fragments of four tasks. Settings: the model alone (pins, bans and the bonds that were drawn),
with the syntax, and with eight particles and the wish "valid". Of *n* attempts a drug: valid, molecules with all fragments
kept; quality, those with QED ≥ 0.6 and SA ≤ 4; lost, molecules that are not returned, because they do not fall back into what
was drawn. Of the molecules: matched, by a substructure match with stereo, each fragment on atoms of its own; unique; diversity,
1 − mean Tanimoto similarity of Morgan fingerprints (radius 2, 2,048 bits) over the pairs of different molecules of a drug.
Passes: rows that went through the network, for each attempt. Seconds: of one processor's time, for each attempt; outside: the
share of it that is not the network's.

Three more tasks, which the file has not, are measured on one drawing each (EXAMPLES), to know what they cost.

A unit of work is a setting, a seed, a task and a drug, done in that order; `--raw` keeps those that are done, and a run goes on
there. The table is of the units that are done.
"""

import argparse
import csv
import itertools
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
EXAMPLES = {
    "morphing": "*C1CC1.*c1ccncc1",
    "macrocycle": "*CC(=O)N[C@@H](C)C(=O)Nc1cccc(*)c1",
    "joint": "[*:1]c1ccc(*)cc1.[*:1]N1CCN(*)CC1",
}
SETTINGS = {
    "model alone": {"syntax": False},
    "syntax": {"syntax": True},
    "syntax, 8 particles, valid": {"syntax": True, "particles": 8, "wishes": ["valid"]},
}
KEY = ("setting", "task", "seed", "drug", "n")
FIGURES = ("valid", "quality", "lost", "matched", "unique", "diversity", "passes", "seconds", "outside")


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


def measured(drug: str, drawn: str, task: str, setting: str, seed: int, n: int, checkpoint, network: dict) -> dict:
    """One unit; network: the rows that the network has seen, and its seconds, as they are counted."""
    network.update(rows=0, seconds=0.0)
    started = time.process_time()
    fields = {"n": n, "seed": seed, "bound_draws": 0, **SETTINGS[setting]}
    made = design(domain="smiles", task=task, template=drawn, checkpoint=checkpoint, **fields)
    seconds = time.process_time() - started
    kept = [d for d in made.designs if d.valid]
    different = sorted({str(d.canonical) for d in kept})
    return {
        "setting": setting, "task": task, "seed": seed, "drug": drug, "n": n,
        "valid": len(kept) / n,
        "quality": sum(d.metrics["qed"] >= 0.6 and d.metrics["sa"] <= 4 for d in kept) / n,  # type: ignore[operator]
        "lost": len(made.lost) / n,
        "matched": mean(matched(drawn, str(d.canonical)) for d in kept),
        "unique": len(different) / len(kept) if kept else None,
        "diversity": diversity(different),
        "passes": network["rows"] / n,
        "seconds": seconds / n,
        "outside": 1 - network["seconds"] / seconds,
    }  # fmt: skip


def counted(denoiser) -> dict:
    """Rows that a denoiser sees, and its seconds of processor time, from now on."""
    network = {"rows": 0, "seconds": 0.0, "since": 0.0}

    def before(_, given) -> None:
        network["rows"] += len(given[0])
        network["since"] = time.process_time()

    denoiser.register_forward_pre_hook(before)
    denoiser.register_forward_hook(
        lambda *_: network.__setitem__("seconds", network["seconds"] + time.process_time() - network["since"])
    )
    return network


def table(units: list[dict]) -> list[dict]:
    """Means over drugs, a row for each setting, seed and task."""
    rows: dict[tuple, list[dict]] = defaultdict(list)
    for unit in units:
        rows[unit["setting"], unit["seed"], unit["task"]].append(unit)
    return [
        {"setting": setting, "seed": seed, "task": task, "n": sum(u["n"] for u in found)}
        | {figure: mean(u[figure] for u in found) for figure in FIGURES}
        | {"valid_by_drug": {u["drug"]: u["valid"] for u in found}}
        for (setting, seed, task), found in rows.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--n", type=int, default=100, help="attempts for each drug and task")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--model", default=None)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=[*TASKS, *EXAMPLES])
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS)[::-1], choices=list(SETTINGS))
    parser.add_argument("--raw", type=Path, default=Path("runs/fragment_tasks.jsonl"), help="units as they are done")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with (options.data / FILE).open() as file:
        drugs = list(csv.DictReader(file))
    checkpoint = load_checkpoint(find_model(options.model, "smiles"))
    network = counted(checkpoint.denoiser)
    options.raw.parent.mkdir(parents=True, exist_ok=True)
    units = [json.loads(line) for line in options.raw.read_text().splitlines()] if options.raw.is_file() else []
    done = {tuple(unit[name] for name in KEY) for unit in units}
    asked = [(task, drug["name"], drug[TASKS[task]]) for task in options.tasks if task in TASKS for drug in drugs]
    asked += [(task, "example", EXAMPLES[task]) for task in options.tasks if task in EXAMPLES]
    for setting, seed, (task, drug, drawn) in itertools.product(options.settings, options.seeds, asked):
        if (setting, task, seed, drug, options.n) in done:
            continue
        unit = measured(drug, drawn, task, setting, seed, options.n, checkpoint, network)
        units.append(unit)
        print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in unit.items()}), flush=True)
        with options.raw.open("a") as file:
            file.write(json.dumps(unit) + "\n")
    if options.out:
        found = {"model": checkpoint.sha256, "rows": table(units)}
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
