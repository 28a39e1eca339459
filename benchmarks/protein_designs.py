"""Scaffolds of motifs, counted by code that shares nothing with the constraints' own.

    python -m benchmarks.protein_designs --tasks TASKS.tsv --models protein-small protein-composition protein-random --n 100

Every task of a table (task, motifs parted by |, their starts from 0, range of the whole length) is asked with its motifs
pinned, the gap between two motifs as it is in nature, no sequon N-X-[ST] outside of the motifs, and the length in its range.
`benchmarks.protein_everything` asks for more at once.

With `--judge MODEL` the first `--judged` designs of each model, and the natural stretch around the motifs, are told by one
model: the bound on −log p of a designed residue given the motifs, and the pseudo-perplexity of the whole.

The model "random-weights" is a network of two layers whose weights are drawn at random and whose logits are scaled up, so that
its wishes are strong and mean nothing: the worst a denoiser can do to what must hold.
"""

import argparse
import csv
import itertools
import json
import re
import sys
import time
from pathlib import Path
from statistics import fmean, stdev

import torch

from domains.design import Designs, design
from domains.protein.constraints import no_n_glycosylation
from domains.protein.contig import resolve
from domains.protein.data import PROTEIN
from domains.protein.likelihoods import pseudo_perplexity
from domains.protein.metrics import word_overlap
from domains.registry import find_model
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.likelihood import any_order_bound
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.mdlm import MDLM

SEQUON = re.compile(r"(?=N[^P][ST])")


def scaffold(task: dict) -> tuple[str, str]:
    """Template and constraint of a task; a sequon inside a motif is the task's own, so gaps are asked to have none."""
    motifs, starts = task["motifs"].split("|"), [int(s) for s in task["motif_starts_0based"].split("|")]
    low, high = int(task["scaffold_length_min"]), int(task["scaffold_length_max"])
    between = [b - a - len(m) for a, b, m in zip(starts, starts[1:], motifs, strict=False)]
    free = max(1, high - sum(map(len, motifs)) - sum(between))
    parts = [f"0-{free}", motifs[0]]
    for gap, motif in zip(between, motifs[1:], strict=True):
        parts += [str(gap), motif]
    found = resolve("/".join([*parts, f"0-{free}"]) + f" length={low}-{high}", [])
    gaps = range(1, found.template.count("{") + 1)
    sequon = no_n_glycosylation()
    bans = [sequon] if not any(SEQUON.search(m) for m in motifs) else [sequon.within(f"gap{g}") for g in gaps]
    return found.template, " & ".join([str(found.constraint), *map(str, bans)])


def scaffold_figures(task: dict, answer: Designs) -> dict:
    motifs, low, high = task["motifs"].split("|"), int(task["scaffold_length_min"]), int(task["scaffold_length_max"])
    own = sum(len(SEQUON.findall(m)) for m in motifs)
    texts = [item.sequence for item in answer.designs]
    return {
        "intact": sum(re.search(".*".join(motifs), text) is not None for text in texts),
        "length": sum(low <= len(text) <= high for text in texts),
        "sequons": sum(_outside(text, motifs) == 0 if own else not SEQUON.search(text) for text in texts),
        "distinct": len(set(texts)),
        "lengths": len({len(text) for text in texts}),
    }


def _outside(text: str, motifs: list[str]) -> int:
    """Sequons that lie in one gap whole."""
    at = re.search("(.*)" + "(.*)".join(motifs) + "(.*)", text)
    return sum(len(SEQUON.findall(gap)) for gap in at.groups()) if at else len(text)


def natural(task: dict) -> tuple[str, list[int]]:
    """The stretch of the natural chain, as long as the task allows, that has the motifs in its middle, and their places."""
    chain, motifs = task["chain_sequence"], task["motifs"].split("|")
    starts = [int(s) for s in task["motif_starts_0based"].split("|")]
    size = min(len(chain), int(task["scaffold_length_max"]))
    middle = (starts[0] + starts[-1] + len(motifs[-1])) // 2
    first = min(max(0, middle - size // 2), len(chain) - size)
    places = [i - first for start, motif in zip(starts, motifs, strict=True) for i in range(start, start + len(motif))]
    return chain[first : first + size], [i for i in places if 0 <= i < size]


def judged(judge: Checkpoint, rows: list[tuple[str, list[int]]], draws: int, seed: int) -> dict:
    """Means over rows (text, pinned places) of the bound a designed residue, with its standard error, and of the perplexity."""
    bounds = []
    for text, pinned in rows:
        free = torch.ones(1, len(text), dtype=torch.bool)
        free[0, pinned] = False
        if bool(free.any()):
            tokens = torch.tensor([judge.alphabet.encode(list(text))])
            nats = any_order_bound(judge.denoiser, judge.alphabet.mask, tokens, draws, seed, None, free).nats
            bounds.append(float(nats) / int(free.sum()))
    return {
        "judged_bound": round(fmean(bounds), 4) if bounds else None,
        "judged_error": round(stdev(bounds) / len(bounds) ** 0.5, 4) if len(bounds) > 1 else None,
        "pseudo_perplexity": round(fmean(pseudo_perplexity(judge, [text for text, _ in rows])), 3),
    }


def random_weights(seed: int, scale: float = 4.0) -> Checkpoint:
    """A model whose logits, of standard deviation `scale` or so, depend on everything around a position at random."""
    generator = torch.Generator().manual_seed(seed)
    network = Transformer(TransformerConfig(len(PROTEIN), width=32, depth=2, heads=2)).requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) / (parameter.shape[-1] ** 0.5))
    network.head.weight.mul_(scale)  # type: ignore[union-attr, operator]
    return Checkpoint(network.eval(), MDLM(Absorbing(PROTEIN.mask, Linear())), PROTEIN, (), {"all": [0] * 400 + [1]})


class Clock:
    """Seconds inside of a network."""

    def __init__(self, network: torch.nn.Module):
        self.seconds, self._since = 0.0, 0.0
        network.register_forward_pre_hook(self._enter)
        network.register_forward_hook(self._leave)

    def _enter(self, *_) -> None:
        self._since = time.perf_counter()

    def _leave(self, *_) -> None:
        self.seconds += time.perf_counter() - self._since


def measure(task: dict, model: str, options: argparse.Namespace, judge: Checkpoint | None) -> dict:
    template, constraint = scaffold(task)
    checkpoint = random_weights(options.seed) if model == "random-weights" else load_checkpoint(find_model(model, "protein"))
    clock = Clock(checkpoint.denoiser)
    asked = {"template": template, "constraint": constraint, "n": options.n, "seed": options.seed, "steps": options.steps}
    asked |= {"particles": options.particles, "bound_draws": options.bound_draws, "batch_size": options.batch_size}
    answer = design(domain="protein", checkpoint=checkpoint, **asked)
    free = [
        float(item.metrics["bound"] or 0) / max(1, int(item.metrics["tokens"] or 0) - len(item.pinned_atoms))
        for item in answer.designs
    ]
    told = [(item.sequence, list(item.pinned_atoms)) for item in answer.designs[: options.judged]]
    return {
        "returned": len(answer.designs),
        "valid": sum(item.valid for item in answer.designs),
        **scaffold_figures(task, answer),
        "word_overlap": word_overlap(list(dict.fromkeys(item.sequence for item in answer.designs))),
        "bound_per_designed": fmean(free) if free and options.bound_draws else None,
        **(judged(judge, told, options.bound_draws, options.seed) if judge and told else {}),
        "violations": sum(bool(item.certificate.violations) for item in answer.designs),
        "compile_seconds": answer.timing["load_seconds"],
        "design_seconds": answer.timing["design_seconds"],
        "denoiser_seconds": round(clock.seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=Path, required=True, help="table of scaffolds")
    parser.add_argument("--models", nargs="+", default=["protein-random"])
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--particles", type=int, default=1)
    parser.add_argument("--bound-draws", type=int, default=8)
    parser.add_argument("--judge", help="a model that tells bound and pseudo-perplexity of all designs and of nature")
    parser.add_argument("--judged", type=int, default=20, help="designs of each model and task that it looks at")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with options.tasks.open(encoding="utf-8") as file:
        tasks = [*csv.DictReader(file, delimiter="\t")]
    found = []
    if options.judge and options.bound_draws < 1:
        parser.error("--judge tells a bound, which takes at least one draw: --bound-draws 1 or more")
    judge = load_checkpoint(find_model(options.judge, "protein")) if options.judge else None
    for task in tasks:
        if judge:
            found.append({"model": "nature", "task": task["task"], **judged(judge, [natural(task)], 64, options.seed)})
            print(json.dumps(found[-1]), flush=True)
    for model, task in itertools.product(options.models, tasks):
        found.append({"model": model, "task": task["task"], **measure(task, model, options, judge)})
        json.dump(found[-1], sys.stdout)
        print(flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
