"""Train the parser: a loop over batches of equal length that are a function of (seed, step); killed, it goes on.

python -m domains.text.parsing.train --treebank ud_ewt_train.conllu.xz --dev ud_ewt_dev.conllu.xz --out runs/parser
"""

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from domains.text.parsing.corpus import Sentence, read_conllu
from domains.text.parsing.measure import measure
from domains.text.parsing.network import Network, NetworkConfig, known_forms
from domains.text.parsing.parser import Parser
from seqdiff.errors import TrainingError
from seqdiff.times import UniformTimes
from seqdiff.training.config import OptimizerConfig
from seqdiff.training.loop import rate_factor
from seqdiff.training.state import Ema, load_state, make_optimizers, save_state, set_rate

BATCH = 1500  # words
EVERY = 200  # steps between two resumable checkpoints
WARMUP = 100
OPTIMIZER = OptimizerConfig(kind="adamw", lr_rest=3e-3, clip=1.0, ema=0.998)


def untrained(sentences: Sequence[Sentence], seed: int) -> Parser:
    """A parser that knows the classes of these sentences, with random weights."""
    names = {key: sorted({name for s in sentences for name in getattr(s, key)}) for key in ("upos", "penn", "relations")}
    forms = known_forms(s.words for s in sentences)
    torch.manual_seed(seed)
    config = NetworkConfig(len(forms), *(len(names[key]) for key in ("upos", "penn", "relations")))
    return Parser(Network(config), tuple(forms), tuple(names["upos"]), tuple(names["penn"]), tuple(names["relations"]))


def batches(lengths: np.ndarray, seed: int, epoch: int) -> list[np.ndarray]:
    """Every sentence once, in batches of equal length and at most BATCH words, shuffled."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    order = generator.permutation(len(lengths))
    found = []
    for n in np.unique(lengths):
        rows = order[lengths[order] == n]
        found += np.array_split(rows, min(len(rows), -(-len(rows) * n // BATCH)))
    return [found[i] for i in generator.permutation(len(found))]


def loss_of(network: Network, words: Tensor, gold: dict[str, Tensor], generator: torch.Generator) -> Tensor:
    """−log p of tags, heads, and relations to the true heads, a word."""
    scores = network(words, generator)
    logits = {
        "upos": scores.upos,
        "penn": scores.penn,
        "heads": scores.heads,
        "relations": network.relations(scores, gold["heads"]),
    }
    return torch.stack([cross_entropy(logits[key].flatten(0, 1), gold[key].flatten()) for key in logits]).sum()


def train(sentences: Sequence[Sentence], out: Path, steps: int, seed: int = 0, report=print) -> tuple[Parser, dict]:
    """Train, or go on training, in the folder `out`; returns the parser with averaged weights, and figures of the run.

    Raises TrainingError for a folder that holds a run of another treebank or seed.
    """
    out.mkdir(parents=True, exist_ok=True)
    parser = untrained(sentences, seed)
    network, ema = parser.network.train(), Ema(parser.network, OPTIMIZER.ema)
    optimizers, state = make_optimizers(network, OPTIMIZER), out / "train.safetensors"
    words = [parser.encode(s.words) for s in sentences]
    gold = [parser.classes(s) for s in sentences]
    lengths = np.array([len(s.words) for s in sentences])
    identity = hashlib.sha256(json.dumps([seed, [asdict(s) for s in sentences]]).encode()).hexdigest()
    progress = {"step": 0, "seconds": 0.0, "identity": identity}
    if state.exists():
        progress = load_state(state, network, ema, optimizers, UniformTimes(), "cpu")
        if progress["identity"] != identity:
            raise TrainingError(f"{state} belongs to a run of another treebank or seed; choose another folder")
    epoch, epoch_number = batches(lengths, seed, 0), 0
    autocast = torch.autocast("cpu", torch.bfloat16) if torch.backends.mkldnn.is_available() else nullcontext()
    mean = 0.0
    for step in range(progress["step"], steps):
        started = time.perf_counter()
        if step // len(epoch) != epoch_number:
            epoch_number = step // len(epoch)
            epoch = batches(lengths, seed, epoch_number)
        rows = epoch[step % len(epoch)]
        x = torch.stack([words[i] for i in rows])
        y = {key: torch.stack([gold[i][key] for i in rows]) for key in gold[0]}
        set_rate(optimizers, rate_factor(step, steps, WARMUP, 0.2))
        with autocast:
            loss = loss_of(network, x, y, torch.Generator().manual_seed((seed << 32) + step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), OPTIMIZER.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        ema.update(network, step)
        mean += (loss.item() - mean) / min(100, step + 1)
        progress |= {"step": step + 1, "seconds": progress["seconds"] + time.perf_counter() - started}
        if (step + 1) % EVERY == 0 or step + 1 == steps:
            save_state(state, network, ema, optimizers, UniformTimes(), progress)
            report(f"step {step + 1}: loss {mean:.3f}, {progress['seconds']:.0f} s")
    figures = {"steps": steps, "epochs": round(steps / len(epoch), 1), "minutes": round(progress["seconds"] / 60, 1)}
    figures |= {"sentences": len(sentences), "words": int(lengths.sum()), "seed": seed}
    return replace(parser, network=cast(Network, ema.model)), figures


def card(figures: dict, dev: str, measured: dict, parser: Parser) -> str:
    """What the parser is, what it was trained on, how well it reads."""
    count = sum(p.numel() for p in parser.network.parameters()) / 1e6
    shown = ("UPOS", "upos"), ("classes of `tagging.TAGS`", "tags"), ("head (UAS)", "uas"), ("head and relation (LAS)", "las")
    rows = "".join(f"| {name} | {100 * measured[key]:.1f} |\n" for name, key in shown)
    rows += "".join(f"| {kind}, F1 | {100 * value:.1f} |\n" for kind, value in measured["phrases"].items())
    treebank = figures["treebank"]
    return f"""# Parser of English

A tagger and dependency parser (Universal Dependencies): {len(parser.forms):,} forms of words and affixes, a bidirectional
LSTM, a biaffine head (Dozat and Manning, 2017); {count:.2f}M parameters in half precision. No other weights went into it.

Trained on {treebank["file"]}, UD English EWT (web logs, mail, reviews, questions): {figures["sentences"]:,} sentences,
{figures["words"]:,} words; sha256 of the file {treebank["sha256"]}.
{figures["steps"]:,} steps, {figures["epochs"]} times over it, seed {figures["seed"]}.
The treebank is CC BY-SA 4.0, and so are the weights.

    python -m domains.text.parsing.train --treebank {treebank["file"]} --dev {dev} --out runs/parser \\
        --steps {figures["steps"]} --seed {figures["seed"]}

| Right of the {measured["words"]:,} words and signs of {dev}, in per cent | |
|---|---|
{rows}
Words are cut as the treebank cuts them; no punctuation is left out. Phrases are those that
`domains.text.parsing.constituents` sees in the trees of the parser against those in the treebank's own trees: no annotator
bracketed them.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m domains.text.parsing.train", description="Train a parser, or go on.")
    parser.add_argument("--treebank", type=Path, required=True, help="CoNLL-U")
    parser.add_argument("--dev", type=Path, required=True, help="CoNLL-U on which the accuracy is measured")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the parser is in its folder model")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    sentences = list(read_conllu(given.treebank))
    trained, figures = train(sentences, given.out, given.steps, given.seed, lambda line: print(line, flush=True))
    figures["treebank"] = {"file": given.treebank.name, "sha256": hashlib.sha256(given.treebank.read_bytes()).hexdigest()}
    trained.save(given.out / "model", figures)
    measured = measure(Parser.load(given.out / "model"), list(read_conllu(given.dev)))
    trained.save(given.out / "model", figures | {"dev": {"file": given.dev.name, **measured}})
    (given.out / "model" / "README.md").write_text(card(figures, given.dev.name, measured, trained), encoding="utf-8")
    print(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
