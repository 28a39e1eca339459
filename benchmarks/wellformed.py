"""The automaton of well-formed SMILES, measured: `python -m benchmarks.wellformed --data DIR --out FILE.json --plot FILE.png`.

*Refused*: held-out molecules of ZINC and ChEMBL that the automaton of a free design does not accept, by cause. *Mutants*: such
molecules with one to four tokens inserted, deleted, swapped or replaced, by the automaton without the rule on aromatic atoms
and by RDKit's parser without its chemistry; where they differ, by cause; with the model's tokens, and with those of SMILES that
it has not.

*Free designs* of one class: the model alone, with the syntax, and with the syntax and the wish "valid" on eight particles, also
at temperature 0.9. Of *n* requests each: valid, of all; abstained; unique, of the valid; passes, rows through the network for
each; seconds of one processor's time for each. How far what is drawn moves: total variation, between histograms of tokens,
atoms and rings (pairs of ring labels) of a row, to held-out molecules and to the model alone. All rows count, valid or not,
because all three can be read off a text; the floor is what as many held-out molecules show against the others.
"""

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from constraints.automata.automaton import Automaton
from domains.design import design
from domains.registry import find_model
from domains.smiles.data import Source, encode_files
from domains.smiles.pins import is_atom
from domains.smiles.tokens import is_ring_label, tokenize
from domains.smiles.valence import hopeless
from domains.smiles.wellformed import DEPTH, LABELS, well_formed
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import load_checkpoint

SETTINGS = {
    "model alone": {},
    "syntax": {"syntax": True},
    "syntax, 8 particles, valid": {"syntax": True, "particles": 8, "wishes": ["valid"]},
    "the same at temperature 0.9": {"syntax": True, "particles": 8, "wishes": ["valid"], "temperature": 0.9},
}
CHUNK = 25
FURTHER = ("9", "0", "%10", "%(100)", ":", "$", "~", "*", "[13CH4]", "[C@]", "[Fe+2]")  # tokens of SMILES that mutants have too
FIGURES = {
    "tokens": len,
    "atoms": lambda tokens: sum(map(is_atom, tokens)),
    "rings": lambda tokens: sum(map(is_ring_label, tokens)) // 2,
}
WIDTH = {"tokens": 4, "atoms": 2, "rings": 1}  # of a bin


def held_out(data: Path, alphabet: Alphabet, longest: int) -> dict[str, list[str]]:
    """The molecules that no model of the split has seen, by class, as training takes them."""
    files = {"zinc": "zinc250k.smi.xz", "chembl": "chembl22_bioactive.smi.xz"}
    sources = [Source(str(data / "molecules" / file), label) for label, file in files.items()]
    rows = encode_files(sources, longest, workers=1, alphabet=alphabet)
    found: dict[str, list[str]] = {label: [] for label in files}
    for i in np.flatnonzero(rows.held_out):
        found[rows.label_names[int(rows.labels[i])]].append(alphabet.decode(rows.tokens[rows.offsets[i] : rows.offsets[i + 1]]))
    return found


def accepted(automaton: Automaton, rows: Sequence[Sequence[int]]) -> np.ndarray:
    """(n,) bool of rows of any length, all at once."""
    ids = np.full((len(rows), max(map(len, rows))), -1)
    for row, tokens in zip(ids, rows, strict=True):
        row[: len(tokens)] = tokens
    state, sink = np.full(len(rows), automaton.start), automaton.states
    for column in ids.T:
        state = np.where(column < 0, state, automaton.completed[state, automaton.classes[0, column]])
    return np.append(automaton.accepting, False)[np.minimum(state, sink)]


def labels_of(tokens: Iterable[str]) -> list[str]:
    return sorted({token for token in tokens if is_ring_label(token)}, key=lambda label: int(label.strip("%()")))


def beyond(tokens: Sequence[str], alphabet: Alphabet) -> str:
    """Why the automaton may refuse what is well formed."""
    depth = deepest = 0
    for token in tokens:
        depth += {"(": 1, ")": -1}.get(token, 0)
        deepest = max(deepest, depth)
    if deepest > DEPTH:
        return f"branches more than {DEPTH} deep"
    known = labels_of(alphabet.tokens)[:LABELS]
    return f"a ring label beyond the first {LABELS}" if set(labels_of(tokens)) - set(known) else "other"


def mutant(molecules: Sequence[Sequence[str]], tokens: Sequence[str], rng: random.Random) -> list[str]:
    """A molecule with 1 to 4 changes; new tokens from a molecule or, as often, from all tokens alike."""
    row = list(rng.choice(molecules))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        i, new = rng.randrange(len(row)), rng.choice(rng.choice((rng.choice(molecules), tokens)))
        match rng.randrange(4):
            case 0:
                row.insert(i, new)
            case 1 if len(row) > 1:
                del row[i]
            case 2:
                j = rng.randrange(len(row))
                row[i], row[j] = row[j], row[i]
            case _:
                row[i] = new
    return row


def agreement(molecules: Sequence[str], alphabet: Alphabet, n: int, seed: int) -> dict:
    """The automaton and RDKit's parser on n mutants: how many both take, both refuse, or one of them alone, by cause."""
    from rdkit import Chem, rdBase

    rng, cut = random.Random(seed), [tokenize(smiles) for smiles in molecules]
    rows = [mutant(cut, alphabet.tokens, rng) for _ in range(n)]
    ours = accepted(well_formed(alphabet), [alphabet.encode(row) for row in rows])
    with rdBase.BlockLogs():
        theirs = [Chem.MolFromSmiles("".join(row), sanitize=False) is not None for row in rows]
    ring = re.compile("a ring closes onto (its own atom|a neighbour)")
    extra, missed = Counter(), Counter()
    for row, a, b in zip(rows, ours, theirs, strict=True):
        if a and not b:
            cause = ring.match(hopeless(row))
            extra[cause.group() if cause else "other"] += 1
        elif b and not a:
            missed[beyond(row, alphabet)] += 1
    both = sum(bool(a and b) for a, b in zip(ours, theirs, strict=True))
    alone = {"automaton alone": dict(extra), "parser alone": dict(missed)}
    return {"mutants": n, "both": both, "neither": n - both - extra.total() - missed.total(), **alone}


def histogram(texts: Sequence[str], figure: str) -> dict[int, float]:
    counts = Counter(FIGURES[figure](tokenize(text)) // WIDTH[figure] * WIDTH[figure] for text in texts)
    return {value: count / len(texts) for value, count in sorted(counts.items())}


def distance(a: dict[int, float], b: dict[int, float]) -> float:
    """½ Σ |a − b|."""
    return sum(abs(a.get(k, 0.0) - b.get(k, 0.0)) for k in a.keys() | b.keys()) / 2


def sample(setting: dict, k: int, seed: int, label: str, checkpoint) -> dict:
    """Chunk k: CHUNK requests."""
    passes = [0]
    hook = checkpoint.denoiser.register_forward_pre_hook(lambda _, given: passes.__setitem__(0, passes[0] + len(given[0])))
    started = time.process_time()
    fields = {"label": label, "n": CHUNK, "seed": seed + k, "bound_draws": 0, "batch_size": CHUNK, **setting}
    made = design(domain="smiles", checkpoint=checkpoint, **fields)
    hook.remove()
    return {
        "texts": [item.sequence for item in made.designs],
        "valid": [item.canonical for item in made.designs if item.valid],
        "abstained": len(made.abstained),
        "passes": passes[0],
        "seconds": time.process_time() - started,
    }


def together(chunks: list[dict]) -> dict:
    valid, asked = [one for chunk in chunks for one in chunk["valid"]], CHUNK * len(chunks)
    return {
        "asked": asked,
        "valid": len(valid),
        "abstained": sum(chunk["abstained"] for chunk in chunks),
        "distinct": len(set(valid)),
        "passes": sum(chunk["passes"] for chunk in chunks) / asked,
        "seconds": sum(chunk["seconds"] for chunk in chunks) / asked,
        "texts": [text for chunk in chunks for text in chunk["texts"]],
    }


def summary(made: dict[str, dict], data: Sequence[str]) -> list[dict]:
    """A row for each setting, and one for the floor."""
    alone = next(iter(SETTINGS))
    rng = random.Random(0)
    size = min(len(data) // 2, max(row["asked"] for row in made.values()))
    some = rng.sample(range(len(data)), size)
    rest = [text for i, text in enumerate(data) if i not in set(some)]
    rows = [
        {"setting": "as many held-out molecules"}
        | {f"{f}_data": distance(histogram([data[i] for i in some], f), histogram(rest, f)) for f in FIGURES}
    ]
    for name, row in made.items():
        here = {f: histogram(row["texts"], f) for f in FIGURES}
        rows.append(
            {"setting": name, **{key: value for key, value in row.items() if key != "texts"}}
            | {f"{f}_data": distance(here[f], histogram(data, f)) for f in FIGURES}
            | {f"{f}_model": distance(here[f], histogram(made[alone]["texts"], f)) for f in FIGURES if alone in made}
        )
    return rows


def plot(made: dict[str, dict], data: Sequence[str], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.2))
    for axis, name in zip(axes, FIGURES, strict=True):
        shown = histogram(data, name)
        axis.bar(list(shown), list(shown.values()), width=0.9 * WIDTH[name], color="0.85", label="held-out ZINC")
        for setting, row in made.items():
            found = histogram(row["texts"], name)
            axis.plot(list(found), list(found.values()), marker=".", linewidth=1, label=setting)
        axis.set_xlabel(f"{name} of a row")
    axes[0].set_ylabel("share")
    axes[-1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--label", default="zinc")
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--raw", type=Path, default=Path("runs/wellformed.json"), help="chunks as they are made; goes on there")
    parser.add_argument("--out", type=Path, default=Path("docs/wellformed.json"))
    parser.add_argument("--plot", type=Path, default=Path("docs/wellformed.png"))
    options = parser.parse_args()
    checkpoint = load_checkpoint(find_model(None, "smiles"))
    options.raw.parent.mkdir(parents=True, exist_ok=True)
    raw = {"model": checkpoint.sha256, "chunks": {}}
    if options.raw.is_file():
        raw = json.loads(options.raw.read_text())
        if raw["model"] != checkpoint.sha256:
            raise SystemExit(f"{options.raw}: made by another model; move it away, or name another file with --raw")
    chunks: dict[str, list[dict]] = raw["chunks"]
    for k in range(-(-options.n // CHUNK)):
        for name in options.settings:
            if len(found := chunks.setdefault(name, [])) == k:
                found.append(sample(SETTINGS[name], k, options.seed, options.label, checkpoint))
                options.raw.write_text(json.dumps(raw))
                print(k, name, len(found[k]["valid"]), round(found[k]["seconds"]), flush=True)
    made = {name: together(chunks[name]) for name in SETTINGS if chunks.get(name)}
    alphabet, molecules = checkpoint.alphabet, held_out(options.data, checkpoint.alphabet, checkpoint.max_length)
    automaton, refused = well_formed(alphabet, rings=True), {}
    for label, found in molecules.items():
        taken = accepted(automaton, [alphabet.encode(tokenize(smiles)) for smiles in found])
        causes = Counter(beyond(tokenize(smiles), alphabet) for smiles, take in zip(found, taken, strict=True) if not take)
        refused[label] = {"molecules": len(found), "refused": dict(causes)}
    whole = [smiles for found in molecules.values() for smiles in found]
    wider = Alphabet("smiles", tuple(dict.fromkeys(alphabet.tokens + FURTHER)))
    mutants = [agreement(whole, tokens, options.mutants, options.seed) for tokens in (alphabet, wider)]
    table = {"model": checkpoint.sha256, "states": automaton.states, "split": refused, "mutants": mutants}
    table |= {"label": options.label, "seed": options.seed, "rows": summary(made, molecules[options.label])}
    for row in table["rows"]:
        print(" | ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    options.out.write_text(json.dumps(table, indent=1) + "\n")
    plot(made, molecules[options.label], options.plot)


if __name__ == "__main__":
    main()
