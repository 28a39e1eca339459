"""Pins over many templates: `python -m benchmarks.pins --data DIR [--designs 10000] [--out FILE.json]`.

Twenty templates are made from molecules of the project's own held-out split (never trained on): a run of tokens in
the middle is replaced by a gap of the run's length, give or take two. Reported: pinned tokens kept (of all designs),
pinned atoms kept (of the valid), ring labels of the template used in a gap (of all), and raw validity per gap length.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import torch

from domains.design import DesignSpec, design, prepare
from domains.registry import find_model
from domains.smiles.data import canonical, is_held_out, read_smiles
from domains.smiles.template import GAP, parse_template
from domains.smiles.tokens import TOKEN, is_ring_label, tokenize
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import SeqdiffError

FILES = ("molecules/zinc250k.smi.xz", "molecules/chembl22_bioactive.smi.xz")
GAP_RUNS = (3, 5, 8, 12)


def make_templates(data: Path, alphabet, percent: int, count: int) -> list[str]:
    """Templates from the first held-out molecules that allow one, half of each file, gap runs in turn."""
    templates: list[str] = []
    seen: set[str] = set()
    for f, file in enumerate(FILES):
        wanted = (f + 1) * count // len(FILES)
        for line in read_smiles(data / file):
            if len(templates) == wanted:
                break
            smiles = canonical(line)
            if smiles is None or smiles in seen or not is_held_out(smiles, percent):
                continue
            seen.add(smiles)
            tokens, run = tokenize(smiles), GAP_RUNS[len(templates) % len(GAP_RUNS)]
            if not 20 <= len(tokens) <= 60:
                continue
            start = (len(tokens) - run) // 2
            text = "".join(tokens[:start]) + f"{{{max(1, run - 2)}-{run + 2}}}" + "".join(tokens[start + run :])
            try:
                parse_template(text, alphabet)
            except SeqdiffError:
                continue  # the run held half of a ring or a branch
            templates.append(text)
    return templates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--designs", type=int, default=10_000)
    parser.add_argument("--templates", type=int, default=20)
    parser.add_argument("--model", default=None)
    parser.add_argument("--syntax", action="store_true", help="hold the syntax of SMILES; gaps then balance their own branches")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    checkpoint = load_checkpoint(find_model(options.model, "smiles"))
    templates = make_templates(options.data, checkpoint.alphabet, 2, options.templates)
    each = options.designs // len(templates)
    total = tokens_kept = valid = atoms_kept = stolen = 0
    by_gap: dict[int, list[bool]] = defaultdict(list)
    for i, text in enumerate(templates):
        spec = DesignSpec("smiles", text, n=each, seed=i, batch_size=128, bound_draws=0, syntax=options.syntax)
        task = prepare(spec, checkpoint)
        if task.plan is None:
            canvases = task.template.draw(torch.arange(each), spec.seed, checkpoint.process.mask)
        else:
            canvases, _ = task.plan.draw(torch.arange(each), spec.seed)
        pinned_labels = {t for t in TOKEN.findall(GAP.sub(" ", text)) if is_ring_label(t)}
        for item, canvas in zip(design(spec, checkpoint=checkpoint).designs, canvases, strict=True):
            drawn = tokenize(item.sequence)
            wanted = canvas.tokens.tolist()
            total += 1
            pins = [(a, b) for a, b, pin in zip(drawn, wanted, canvas.pinned.tolist(), strict=True) if pin]
            tokens_kept += all(a == checkpoint.alphabet.tokens[b] for a, b in pins)
            in_gap = {a for a, pin in zip(drawn, canvas.pinned.tolist(), strict=True) if not pin}
            if stolen_labels := in_gap & pinned_labels:
                print(f"{text}: {item.sequence} uses {stolen_labels} in its gap {canvas.gap_lengths}")
                stolen += 1
            valid += item.valid
            atoms_kept += item.valid and item.pins_kept
            by_gap[canvas.gap_lengths[0]].append(item.valid)
        print(f"{i + 1:2d}/{len(templates)} {text}: valid so far {valid / total:.3f}", flush=True)
    result = {
        "designs": total,
        "templates": len(templates),
        "pinned_tokens_kept": tokens_kept / total,
        "gaps_using_a_ring_label_of_the_template": stolen / total,
        "valid": valid / total,
        "pinned_atoms_kept_of_valid": atoms_kept / max(valid, 1),
        "valid_by_gap_length": {gap: round(sum(v) / len(v), 4) for gap, v in sorted(by_gap.items())},
        "designs_by_gap_length": {gap: len(v) for gap, v in sorted(by_gap.items())},
    }
    print(json.dumps(result, indent=1))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
