"""What wishes reach: `python -m benchmarks.wishes [--n 64] [--template T] [--wish W] [--out FILE.json]`.

Free designs of the class "zinc" and designs around a scaffold, SMILES syntax imposed, the network in bfloat16:

    unguided       one particle
    valid          N particles that need only be molecules: what choosing among N does without the wish
    end alone      N particles, weighed by the exact wish when they are finished
    look-ahead     N particles, weighed on the way too; this is what a wish in a request does

A design has reached the wish if it is a molecule inside the range, or has (lacks) what it must. Shares are of all designs asked
for, an abstention counts as none; their errors are binomial. Distinct: different molecules among those that reached it.

`--cost FILE` measures instead what each figure takes of the molecules of a file, the first column of each line; 400 of them.
"""

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from constraints.condition import Guide
from constraints.guidance.guides import Sum
from domains.design import Design, DesignSpec, design_batches, prepare
from domains.registry import find_model
from domains.smiles.filters import ALERTS
from domains.smiles.properties import COUNTS, METRICS, parse
from domains.smiles.substructures import counts_here
from domains.smiles.wishes import FIGURES, guide_of, look_ahead, read_wish
from seqdiff.checkpoint import Checkpoint, load_checkpoint

TEMPLATES = ("free", "{8-20}NC(=O)c1ccccc1{0-8}")
WISHES = ("2 <= logp <= 3", "has [F,Cl,Br]", "similarity CC(=O)Nc1ccc(O)cc1 >= 0.3")
N = 8


@dataclass(frozen=True)
class Setting:
    """What is the same in all rows of a template."""

    template: str
    n: int
    checkpoint: Checkpoint

    def made(self, particles: int, guide: Guide | None = None) -> tuple[list[Design], float]:
        """Designs, and the seconds that they took."""
        template = None if self.template == "free" else self.template
        spec = DesignSpec("smiles", template, n=self.n, label="zinc", syntax=True, particles=particles, bound_draws=0)
        task = dataclasses.replace(prepare(spec, self.checkpoint), guide=None if guide is None else Sum(((guide, 1.0),)))
        start = time.perf_counter()
        designs = [item for batch in design_batches(task) for item in batch.designs]
        return designs, time.perf_counter() - start

    def row(self, text: str, way: str, made: list[Design], seconds: float) -> dict:
        """One line of the table."""
        weights = read_wish(text).weigher()([item.sequence for item in made])
        reached = [item for item, weight in zip(made, weights, strict=True) if weight == 0]
        share = len(reached) / self.n
        return {
            "template": self.template,
            "wish": text,
            "way": way,
            "n": self.n,
            "reached": share,
            "error": math.sqrt(share * (1 - share) / self.n),
            "valid": sum(item.valid for item in made) / self.n,
            "none": self.n - len(made),
            "distinct": len({item.canonical for item in reached}),
            "seconds": round(seconds, 1),
        }

    def rows(self, wishes: Sequence[str]) -> Iterator[dict]:
        alphabet = self.checkpoint.alphabet
        plain, valid = self.made(1), self.made(N, guide_of("valid", alphabet))
        for text in wishes:
            yield self.row(text, "unguided", *plain)
            yield self.row(text, "valid", *valid)
            yield self.row(text, "end alone", *self.made(N, guide_of(text, alphabet)))
            yield self.row(text, "look-ahead", *self.made(N, guide_of(text, alphabet, look_ahead(alphabet))))


def costs(path: Path) -> Iterator[tuple[str, float]]:
    """(figure, milliseconds of this process a molecule), the molecules read afresh each time; patterns without the way to the
    child process and back."""
    texts = [text.split(",")[0].strip() for text in path.read_text().splitlines()]
    texts = list(islice((text for text in texts if parse(text) is not None), 400))
    arguments = [("count", "c1ccncc1"), ("similarity", "CC(=O)Nc1ccc(O)cc1"), *(("alerts", name) for name in ALERTS)]
    for name, argument in [("valid", ""), *((name, "") for name in METRICS + COUNTS), *arguments]:
        here = {"valid": lambda batch: [parse(text) for text in batch], "count": partial(counts_here, argument)}
        measure = here.get(name) or FIGURES.measure(name, argument)
        measure(texts[:1])  # what is imported and built is not counted
        parse.cache_clear()
        start = time.process_time()
        measure(texts[1:])
        yield f"{name} {argument}".strip(), (time.process_time() - start) / len(texts[1:]) * 1e3


def line(found: dict) -> str:
    """A row in Markdown."""
    reached = f"{found['reached']:.0%} ± {found['error']:.0%}"
    cells = (f"`{found['template']}`", f"`{found['wish']}`", found["way"], reached, found["distinct"], f"{found['valid']:.0%}")
    return "| " + " | ".join(map(str, cells)) + f" | {found['none']} | {found['seconds']:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--template", help='only this one; "free" for none')
    parser.add_argument("--wish", action="append", help="only these")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cost", type=Path, help="measure what figures take of the molecules of this file")
    arguments = parser.parse_args()
    if arguments.cost:
        for name, milliseconds in costs(arguments.cost):
            print(f"{name:40} {milliseconds:8.2f} ms")
        return
    checkpoint = load_checkpoint(find_model("smiles-small", "smiles"))
    checkpoint.denoiser.bfloat16()
    print("| Template | Wish | Way | reached | distinct | valid | no design | seconds |\n|---|---|---|---|---|---|---|---|")
    rows = []
    for template in [arguments.template] if arguments.template else TEMPLATES:
        for found in Setting(template, arguments.n, checkpoint).rows(arguments.wish or WISHES):
            rows.append(found)
            print(line(found), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
