"""What guidance does for antimicrobial peptides: `python -m benchmarks.guidance_amp --data FOLDER [--n 50] [--out FILE.json]`.

Wished for: `amp >= 0.9`, told by the bundled classifier `protein-amp`. Judged by another, that never guided: a logistic
regression on shares of residues and of pairs of neighbours, the net charge a residue and the hydrophobic moment, which learns
here, in seconds, from the half of the families that `protein-amp` never saw (`half = 2` of its preset). Peptides held out from
both tell how often either is right. All ways draw peptides of the same lengths, one reveal a step:

    unguided           one particle
    charge             one particle, the net charge held at +3 to +6: what being cationic does alone
    end alone          N particles, weighted by the classifier when they are finished
    look-ahead         N particles, weighted on the way too; this is what `wishes=["amp >= 0.9"]` does

Shares are of all designs asked for; their errors are binomial. Word overlap is the mean Jaccard index of the three-residue
words of pairs of designs (0: all unlike); identity that to the nearest known antimicrobial peptide, over the design's length.
"""

import argparse
import json
import math
import tempfile
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from constraints.guidance.guides import Sum
from domains import wishes
from domains.design import DesignSpec, design_batches, prepare
from domains.protein import AMINO_ACIDS
from domains.protein.classes import probability
from domains.protein.constraints import net_charge
from domains.protein.domain import encode_training_data
from domains.protein.metrics import evaluate_set
from domains.protein.properties import describe
from domains.protein.scores import nearest_of
from domains.protein.wishes import FIGURES
from seqdiff.training.data import EncodedData

TEMPLATE, WISH = "{20-40}", "amp >= 0.9"
PRESET = Path(__file__).parents[1] / "domains" / "protein" / "presets" / "protein-amp.toml"
RIDGE = 0.2  # chosen on a fifth of the peptides it learns from
AMP = 0  # the first class of the preset


def features(peptides: Sequence[str]) -> Tensor:
    """(n, 422) float64: shares of residues and of pairs of neighbours, net charge a residue, greatest hydrophobic moment."""
    place = {letter: i for i, letter in enumerate(AMINO_ACIDS)}
    rows = np.zeros((len(peptides), 422))
    for row, text in zip(rows, peptides, strict=True):
        ids = [place[letter] for letter in text]
        np.add.at(row, ids, 1 / len(ids))
        np.add.at(row, [20 + 20 * a + b for a, b in zip(ids, ids[1:], strict=False)], 1 / max(1, len(ids) - 1))
        metrics = describe(text).metrics
        row[420:] = float(metrics["residue_charge"] or 0) / len(ids), float(metrics["moment"] or 0)
    return torch.from_numpy(rows)


def logistic(x: Tensor, y: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """w (d,) and b that make the mean of −log p(y | x) + ridge |w|²/2 least, which one pair does; x (n, d), y (n,) in 0, 1.

    p(1 | x) = σ(x · w + b).
    """
    w = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([w], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(x @ w[1:] + w[0], y.double())
        value = value + ridge / 2 * w[1:].square().sum()
        value.backward()
        return value

    optimiser.step(loss)  # type: ignore[arg-type]
    return w.detach()[1:], w.detach()[0]


@dataclass(frozen=True)
class Judge:
    """p(antimicrobial | peptide) by logistic regression with a ridge, of standardised features."""

    weights: Tensor
    bias: Tensor
    center: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, peptides: Sequence[str], y: Tensor, ridge: float = RIDGE) -> "Judge":
        """y (n,) in 0, 1."""
        x = features(peptides)
        center, scale = x.mean(0), x.std(0).clamp(min=1e-6)
        return cls(*logistic((x - center) / scale, y, ridge), center, scale)

    def __call__(self, peptides: Sequence[str]) -> list[float]:
        return (((features(peptides) - self.center) / self.scale) @ self.weights + self.bias).sigmoid().tolist()


def peptides(data: EncodedData, held_out: bool) -> tuple[list[str], Tensor]:
    """Those of one side of the split without X, and whether each is antimicrobial."""
    texts = [data.alphabet.decode(data.tokens[a:b]) for a, b in zip(data.offsets[:-1], data.offsets[1:], strict=True)]
    chosen = [i for i in np.flatnonzero(data.held_out == held_out) if "X" not in texts[i]]
    return [texts[i] for i in chosen], torch.from_numpy(data.labels[chosen] == AMP)


def reliability(said: Sequence[float], y: Tensor) -> dict:
    """How well p tells held-out peptides: accuracy, area under the ROC curve, and the shares that are called antimicrobial."""
    p = torch.tensor(said, dtype=torch.float64)
    called = p >= 0.5
    others = p[~y].sort().values
    below, up_to = (torch.searchsorted(others, p[y], right=right) for right in (False, True))
    return {
        "accuracy": round(float((called == y).double().mean()), 4),
        "auc": round(float((below + up_to).double().mean()) / 2 / len(others), 4),
        "amps_called": round(float(called[y].double().mean()), 4),
        "others_called": round(float(called[~y].double().mean()), 4),
    }


def ways(model: str | None, n: int, N: int) -> dict[str, DesignSpec]:
    plain = DesignSpec("protein", TEMPLATE, n=n, model=model, particles=1)
    guided = replace(plain, particles=N, wishes=(WISH,))
    return {
        "unguided": plain,
        "charge": replace(plain, constraint=str(net_charge(3, 6))),
        "end alone": guided,
        "look-ahead": guided,
    }


def measure(way: str, spec: DesignSpec, judge: Judge, known: Iterable[str], checkpoint=None) -> dict:
    """Figures of `spec.n` designs."""
    started, task = time.perf_counter(), prepare(spec, checkpoint)
    if way == "end alone":
        exact = wishes.guide_of(wishes.read_wish(WISH, FIGURES), task.alphabet)
        task = replace(task, guide=Sum(((exact, 1.0),)))
    designs = [item for made in design_batches(task) for item in made.designs]
    seconds, nats = time.perf_counter() - started, sum(float(item.metrics["bound"] or 0) for item in designs)
    texts = [item.sequence for item in designs]
    judged, wished = judge(texts), probability("amp", texts)
    share = sum(p >= 0.5 for p in judged) / spec.n
    whole = evaluate_set(texts, set(known), None)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "known.fasta"
        library.write_text("".join(f">k{i}\n{text}\n" for i, text in enumerate(known)))
        nearest = nearest_of(list(dict.fromkeys(texts)), library)
    return {
        "particles": spec.cloud,
        "n": spec.n,
        "returned": len(texts),
        "judged_amp": round(share, 4),
        "error": round(math.sqrt(share * (1 - share) / spec.n), 4),
        "mean_judged": round(fmean(judged), 4),
        "wish_met": round(sum(p >= 0.9 for p in wished) / spec.n, 4),
        "unique": whole["unique"],
        "novel": whole["novel"],
        "word_overlap": round(whole["word_overlap"] or 0, 4),
        "identity": round(fmean(nearest[text][0] for text in texts), 4),
        "charge": round(whole["mean"]["residue_charge"], 2),
        "length": round(whole["mean"]["length"], 1),
        "bound": round(nats / sum(map(len, texts)), 4),
        "seconds": round(seconds, 1),
        "designs": texts,
    }


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder in which proteins/ampep_amp_nonamp.tsv.xz lies")
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--models", nargs="+", default=["protein-small"])
    parser.add_argument("--ways", nargs="+", help="some of them alone")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = tomllib.loads(PRESET.read_text())["data"]
    mine, others = (encode_training_data(table | {"half": half}, options.data) for half in (2, 1))
    held_out, y = peptides(mine, True)
    learnt, of_learnt = peptides(mine, False)
    judge = Judge.fit(learnt, of_learnt)
    seen, of_seen = peptides(others, False)
    sides = ((learnt, of_learnt), (seen, of_seen), (held_out, y))
    known = [text for texts, active in sides for text, one in zip(texts, active.tolist(), strict=True) if one]
    answer: dict = {
        "peptides": {"judge": len(learnt), "guide": len(seen), "held_out": len(held_out), "held_out_amps": int(y.sum())},
        "judge": reliability(judge(held_out), y),
        "guide": reliability(probability("amp", held_out), y),
        "rows": [],
    }
    print(json.dumps(answer), flush=True)
    for model in options.models:
        every = ways(model, options.n, options.particles)
        for way, spec in ((name, every[name]) for name in options.ways or every):
            row = {"model": Path(model).name, "way": way, **measure(way, spec, judge, known)}
            answer["rows"].append(row)
            print(json.dumps({name: value for name, value in row.items() if name != "designs"}), flush=True)
            if options.out:
                options.out.write_text(json.dumps(answer, indent=1) + "\n")
    return answer


if __name__ == "__main__":
    main()
