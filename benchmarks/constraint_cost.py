"""What an automaton costs beside a denoiser: `python -m benchmarks.constraint_cost [--threads N] [--out FILE.json]`.

B = 64 rows of L = 128 wholly masked tokens: the dearest case. Three tasks are timed in turn with the passes of a denoiser of 5M
parameters, in bfloat16 and float32: the mass of the constrained product, a joint draw of all positions, and the whole of a
weighted step, in which some positions are revealed and the mass before and after is known. Each ratio is the median over the
rounds of task / pass within one round, so that what else the machine does weighs on both. The limits are 10 % of a bfloat16
pass for a draw and 15 % for a weighted step.

The tables of p are random, and so are the automata called "random"; "molecules" is the product of ring parities, branch
depth and what may follow, as in SMILES.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.overhead import CLOCKS, Size, network
from constraints.automata.automaton import Automaton
from constraints.automata.chain import Chain

LIMITS = {"draw": 0.10, "weighted step": 0.15}
COMMITTED = 8  # positions a row that a weighted step reveals, as in 16 steps over 128 positions
BASE = Size(length=128)


def random_automaton(states: int, classes: int, vocabulary: int) -> Automaton:
    """Every state has a transition for every class, to a state drawn uniformly; half of them accept."""
    r = np.random.default_rng(0)
    token_class = np.arange(vocabulary) % classes
    return Automaton(token_class[None], r.integers(0, states, (states, classes)), 0, np.arange(states) % 2 == 0)


def molecules(rings: int, depth: int, vocabulary: int) -> Automaton:
    """Parity of each ring label × depth of branches × what was read last: atom or ring label, bond, opening branch."""
    ids = {(0, 0, "open"): 0}
    waiting, edges = [(0, 0, "open")], []
    while waiting:
        parity, level, last = state = waiting.pop()
        following = [(0, (parity, level, "atom"))]
        if last != "bond":
            following.append((1, (parity, level, "bond")))
        if last == "atom" and level < depth:
            following.append((2, (parity, level + 1, "open")))
        if last == "atom" and level > 0:
            following.append((3, (parity, level - 1, "atom")))
        if last != "open":
            following += [(4 + k, (parity ^ 1 << k, level, "atom")) for k in range(rings)]
        for symbol, after in following:
            if after not in ids:
                ids[after] = len(ids)
                waiting.append(after)
            edges.append((ids[state], symbol, ids[after]))
    delta = np.full((len(ids), 4 + rings), -1)
    source, symbol, target = np.array(edges).T
    delta[source, symbol] = target
    token_class = np.r_[1:4, 4 : 4 + rings, np.zeros(vocabulary, int)][:vocabulary]
    token_class[-4:] = 1
    return Automaton(token_class[None], delta, 0, np.arange(len(ids)) == ids[0, 0, "atom"])


def tasks(chain: Chain, size: Size, committed: int = COMMITTED) -> dict[str, Callable]:
    """What is timed, on random p (B, L, V) in float64 as a denoiser's answer comes."""
    g = torch.Generator().manual_seed(0)
    B, L, V = size.batch, size.length, size.vocabulary
    p = torch.softmax(2 * torch.randn(B, L, V, generator=g, dtype=torch.float64), -1)
    u = torch.rand(B, L, generator=g, dtype=torch.float64)
    commit = torch.rand(B, L, generator=g).argsort(-1) < committed
    return {
        "mass": partial(chain.log_mass, p),
        "draw": partial(chain.draw, p, u),
        "weighted step": partial(chain.reveal, p, commit, u),
    }


def passes(size: Size) -> dict[str, Callable]:
    """A forward pass over all positions of a wholly masked batch, at each precision."""
    net = network(size)
    x = torch.full((size.batch, size.length), size.vocabulary)
    t = torch.ones(size.batch, dtype=torch.float64)

    def bf16() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return net(x, t, None, None, None)

    return {"bf16": bf16, "fp32": partial(net, x, t, None, None, None)}


@torch.no_grad()
def interleaved(jobs: dict[str, Callable], repeats: int, clock: str) -> dict[str, list[float]]:
    """Seconds of each job in each round, all jobs in turn; one round more at the start is not counted."""
    now, seconds = CLOCKS[clock], {name: [] for name in jobs}
    for r in range(repeats + 1):
        for name, job in jobs.items():
            started = now()
            job()
            if r:
                seconds[name].append(now() - started)
    return seconds


def against_passes(automata: dict[str, Automaton], size: Size, repeats: int, clock: str) -> list[dict]:
    """One entry an automaton and task: median milliseconds and ratios to both passes."""
    jobs, sizes = passes(size), {}
    for name, automaton in automata.items():
        sizes[name] = {"states": automaton.states, "edges": len(automaton.edges()[0])}
        jobs |= {f"{name}/{task}": job for task, job in tasks(Chain(automaton), size).items()}
    seconds = interleaved(jobs, repeats, clock)
    found = []
    for key, values in seconds.items():
        name, _, task = key.partition("/")
        row = {
            "automaton": name,
            **sizes.get(name, {}),
            "task": task,
            "milliseconds": round(1e3 * statistics.median(values), 1),
        }
        for precision in ("bf16", "fp32"):
            ratios = [a / b for a, b in zip(values, seconds[precision], strict=True)]
            row[f"of_{precision}"] = round(statistics.median(ratios), 3)
        found.append(row)
    return found


def growth(size: Size, repeats: int, clock: str) -> list[dict]:
    """Milliseconds of each task as one thing grows: edges, committed positions, L, V, R."""
    cases: list[tuple[str, int, Automaton, Size, int]] = []
    for states, classes in ((64, 16), (256, 16), (256, 64), (1024, 32), (1024, 64)):
        cases.append(("edges", states * classes, random_automaton(states, classes, size.vocabulary), size, COMMITTED))
    usual = molecules(7, 6, size.vocabulary)
    cases += [("committed", k, usual, size, k) for k in (1, 4, 16, 64)]
    cases += [("L", L, usual, replace(size, length=L), COMMITTED) for L in (32, 64, 128, 256)]
    cases += [("V", V, molecules(7, 6, V), replace(size, vocabulary=V), COMMITTED) for V in (32, 64, 256, 1024)]
    cases += [("R", R, usual, replace(size, batch=R), COMMITTED) for R in (8, 16, 64, 256)]
    found = []
    for what, value, automaton, grown, committed in cases:
        seconds = interleaved(tasks(Chain(automaton), grown, committed), repeats, clock)
        milliseconds = {task: round(1e3 * statistics.median(values), 1) for task, values in seconds.items()}
        found.append({"grows": what, "value": value, **milliseconds})
    return found


def plot(rows: list[dict], file: Path) -> None:
    """One panel for each thing that grows, in logarithms."""
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(row["grows"] for row in rows))
    figure = Figure(figsize=(3 * len(kinds), 3), layout="constrained")
    for axes, kind in zip(figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0], kinds, strict=True):
        chosen = [row for row in rows if row["grows"] == kind]
        for task in ("mass", "draw", "weighted step"):
            axes.loglog([row["value"] for row in chosen], [row[task] for row in chosen], "o-", label=task)
        axes.minorticks_off()
        axes.set_xticks([row["value"] for row in chosen], [f"{row['value']:,}" for row in chosen], rotation=30)
        axes.set_xlabel(kind)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("milliseconds")
    figure.axes[0].legend()
    figure.savefig(file)


def main(arguments: list[str] | None = None, size: Size = BASE) -> dict:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: on one thread, what others run counts less")
    parser.add_argument("--no-growth", action="store_true", help="the ratios alone")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--plot", type=Path, help="picture of the growth")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    automata = {
        "random 256": random_automaton(256, 64, size.vocabulary),
        "molecules 4, 4": molecules(4, 4, size.vocabulary),
        "molecules 7, 6": molecules(7, 6, size.vocabulary),
    }
    results = {
        "threads": options.threads,
        "repeats": options.repeats,
        "clock": options.clock,
        "torch": torch.__version__,
        "size": vars(size),
    }
    print(f"B = {size.batch}, L = {size.length}, V = {size.vocabulary}, {options.threads} threads")
    print(f"A weighted step reveals {COMMITTED} positions a row.")
    print(f"{'automaton':15} {'states':>6} {'edges':>7} {'task':14} {'ms':>8} {'of bf16':>8} {'of fp32':>8}")
    results["ratios"] = against_passes(automata, size, options.repeats, options.clock)
    for row in results["ratios"]:
        above = "   above" if row["of_bf16"] > LIMITS.get(row["task"], float("inf")) else ""
        about = f"{row['automaton']:15} {row.get('states', ''):>6} {row.get('edges', ''):>7} {row['task']:14}"
        print(f"{about} {row['milliseconds']:8.1f} {row['of_bf16']:8.3f} {row['of_fp32']:8.3f}{above}")
    if not options.no_growth:
        print(f"\n{'grows':10} {'value':>7} {'mass':>9} {'draw':>9} {'weighted step':>14}   milliseconds")
        results["growth"] = growth(size, max(2, options.repeats // 3), options.clock)
        for row in results["growth"]:
            print(f"{row['grows']:10} {row['value']:7} {row['mass']:9.1f} {row['draw']:9.1f} {row['weighted step']:14.1f}")
        if options.plot:
            plot(results["growth"], options.plot)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")
    return results


if __name__ == "__main__":
    main()
