"""Do hard constraints hold with the bundled model? `python -m benchmarks.constraints_hold [--designs 10000] [--out FILE.json]`.

Sets of constraints around scaffolds and without one, under four samplers and temperatures of 0.5 to 2. Every design is
looked at by the plain checker, which shares nothing with what the samplers used. Exit status 1 if one violation is found.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from domains.design import DesignSpec, design
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint

SCAFFOLD = "CC(=O)N{4-9}c1ccc(F)cc1"
SETS = (  # template, constraint, syntax
    (SCAFFOLD, "within(gap1, count([N O S], 1..2))", False),
    (SCAFFOLD, "count([O], 1..2) & avoid([N O]-[N O])", True),
    ("{3-6}c1ccc({2-5})cc1", "within(gap1, contains(N)) | within(gap2, contains(N))", True),
    ("{8-14}", "starts_with([C N O]) & count([=], 1..2) & ~contains([F Cl Br I])", True),
    ("{10-16}", 'regex("C[^()]*N[^()]*") & avoid(O-O)', False),
    ("O=C({3-7})N{3-7}", "tie(gap1, gap2)", False),
    ("{13}", 'words("CC(=O)NCC(=O)O", "CCN(CC)C(C)=O", "CC(C)CC(=O)NC")', False),
    ("c1ccc({3-8})nc1", "within(gap1, count([C], 2..3)) & within(gap1, ends_with([N O F]))", True),
)
SAMPLERS = ("event-driven", "entropy-bounded", "confidence", "remasking")
TEMPERATURES = (0.5, 1.0, 2.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    checkpoint = load_checkpoint(find_model(None, "smiles"))
    cases = [(*one, sampler, t) for one in SETS for sampler in SAMPLERS for t in TEMPERATURES]
    each, started, made, broken, valid = -(-options.designs // len(cases)), time.perf_counter(), 0, 0, 0
    for number, (template, constraint, syntax, sampler, temperature) in enumerate(cases):
        spec = DesignSpec(
            "smiles", template, n=each, seed=number, sampler=sampler, steps=options.steps, temperature=temperature,
            constraint=constraint, syntax=syntax, bound_draws=0, batch_size=128,
        )  # fmt: skip
        summary = design(spec, checkpoint=checkpoint).summary
        made += summary["returned"]
        broken += summary["returned"] - summary["satisfied"]
        valid += summary["valid"]
        left = (time.perf_counter() - started) / (number + 1) * (len(cases) - number - 1)
        print(f"{made:6} designs, {broken} violations, {left / 60:.0f} min left", file=sys.stderr, flush=True)
    result = {"designs": made, "sets": len(SETS), "samplers": SAMPLERS, "temperatures": TEMPERATURES, "violations": broken}
    result |= {"valid": valid, "seconds": round(time.perf_counter() - started)}
    print(json.dumps(result))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(int(broken > 0))


if __name__ == "__main__":
    main()
