"""A brighter GFP within an edit budget: `python -m benchmarks.guidance_gfp --data FILE [--out FILE.json]`.

Brightness of some 50,000 variants of avGFP (Sarkisyan et al., "Local fitness landscape of the green fluorescent protein",
Nature 2016), log₁₀ relative to the wild type. Wished for: at least half of the wild type's, y ≥ −0.3, with one to `--edits`
substitutions among the residues of `--region`, each of them one that was measured. The model is `protein-composition`, so that
unguided designs are random mutants, and all that is gained comes from the guide.

The guide learns p(y | x_t) = N(m(x_t), e^{s(x_t)}) of masked variants from one half of them. The judge never guides: it is
y = a + b σ(c + Σ_i w_i(x_i)), additive effects under one sigmoid, from the other half. A tenth is held out from both and tells
how often either is right. The parts are of variants, drawn by their sha256; substitutions are on all sides, as they must be
to be judged.

    unguided       one particle
    end alone      N particles, weighted by the guide when they are finished
    look-ahead     N particles, weighted by p(y ≥ −0.3 | x_t) on the way too
    first order    the same, and the draws tilted by its gradient
"""

import argparse
import hashlib
import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from constraints.guidance.guides import FirstOrderGuide, Lookahead, Wish
from constraints.language.algebra import And
from constraints.language.expression import Allow
from domains.design import DesignSpec, design_batches, prepare
from domains.protein.constraints import edits, letters
from domains.protein.data import PROTEIN, read_table
from domains.protein.metrics import word_overlap
from seqdiff.errors import ConfigError

WILD = (
    "SKGEELFTGVVPILVELDGDVNGHKFSVSGEGEGDATYGKLTLKFICTTGKLPVPWPTLVTTLSYGVQCFSRYPDHMKQHDFFKSAMPEGYVQERTIFFKDDGNYKTRAEVKFEGDTL"
    "VNRIELKGIDFKEDGNILGHKLEYNYNSHNVYIMADKQKNGIKVNFKIRHNIEDGSVQLADHYQQNTPIGDGPVLLPDNHYLSTQSALSKDPNEKRDHMVLLEFVTAAGITHGMDELYK"
)
BRIGHT = -0.3
SEEN = 3  # variants of each half in which a substitution must stand


@dataclass(frozen=True)
class Variants:
    """x (n, L) ids and y (n,) brightness of variants, and the part of each: 0 held out, 1 of the guide, 2 of the judge."""

    x: Tensor
    y: Tensor
    part: Tensor

    @classmethod
    def read(cls, path: Path, wild: str = WILD) -> "Variants":
        """Of a table with the columns variant (A108D,N144D, from 0) and score_wt_norm; those with a stop are left out.

        Raises ConfigError for a substitution of a residue that the wild type does not have there.
        """
        rows, numbers, parts = [], [], []
        first = torch.tensor(PROTEIN.encode(wild))
        for row in read_table(path):
            if "*" in row["variant"]:
                continue
            x = first.clone()
            for one in row["variant"].split(","):
                if wild[int(one[1:-1])] != one[0]:
                    raise ConfigError(
                        f"variants: {one} of {row['variant']}, but the wild type has {wild[int(one[1:-1])]} there"
                    )
                x[int(one[1:-1])] = PROTEIN.ids[one[-1]]
            bits = int(hashlib.sha256(row["variant"].encode()).hexdigest()[:8], 16)
            rows.append(x)
            numbers.append(float(row["score_wt_norm"]))
            parts.append(0 if bits % 10 == 3 else 1 + bits // 10 % 2)
        return cls(torch.stack(rows), torch.tensor(numbers, dtype=torch.float64), torch.tensor(parts))

    def of(self, part: int) -> tuple[Tensor, Tensor]:
        return self.x[self.part == part], self.y[self.part == part]

    def allowed(self, wild: str = WILD) -> list[str]:
        """For each position the residues that stand there in at least SEEN variants of both halves, and the wild type's."""
        counts = [torch.stack([torch.bincount(c, minlength=len(PROTEIN)) for c in self.of(k)[0].T]) for k in (1, 2)]
        often = torch.minimum(*counts) >= SEEN
        return ["".join(a for i, a in enumerate(PROTEIN.tokens) if often[k, i] or a == wild[k]) for k in range(len(wild))]


class Guide(nn.Module):
    """m and s from the sum of a vector a position and token, a hole being a token: ids (R, L) or soft tokens (R, L, V + 1)."""

    def __init__(self, V: int, L: int, width: int = 48):
        super().__init__()
        self.V = V
        self.table = nn.Parameter(0.02 * torch.randn(L, V + 1, width))
        self.layers = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x_t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (R,) each."""
        if x_t.is_floating_point():
            h = torch.einsum("rlv,lvw->rw", x_t[..., : self.V + 1].to(self.table.dtype), self.table)
        else:
            place = torch.arange(x_t.shape[1]) * (self.V + 1) + x_t
            h = nn.functional.embedding_bag(place, self.table.flatten(0, 1), mode="sum")
        out = self.layers(h + self.bias)
        return out[:, 0], out[:, 1].clamp(-6, 4)

    def log_between(self, x_t: Tensor, t: Tensor | None, low: float, high: float) -> Tensor:
        """log P(low ≤ y | x_t); high is ∞."""
        mean, log_variance = (part.double() for part in self(x_t))
        return torch.special.log_ndtr((mean - low) / (0.5 * log_variance).exp())


def learn(x: Tensor, y: Tensor, steps: int = 3000, rows: int = 256, seed: int = 0) -> Guide:
    """−log N(y; m(x_t), e^s) at shares of holes t uniform in [0, 1], AdamW."""
    torch.manual_seed(seed)
    generator, V = torch.Generator().manual_seed(seed), len(PROTEIN)
    network = Guide(V, x.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=5e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 5e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        chosen = torch.randint(len(x), (rows,), generator=generator)
        t = torch.rand(rows, 1, generator=generator)
        x_t = torch.where(torch.rand(rows, x.shape[1], generator=generator) < t, V, x[chosen])
        mean, log_variance = network(x_t)
        loss = 0.5 * ((y[chosen].float() - mean).square() * (-log_variance).exp() + log_variance).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return network.eval().requires_grad_(False)


@dataclass(frozen=True)
class Judge:
    """y = a + b σ(c + Σ_i w_i(x_i)), w (L, V), by least squares with a ridge on w."""

    a: Tensor
    b: Tensor
    c: Tensor
    w: Tensor

    @classmethod
    def fit(cls, x: Tensor, y: Tensor, ridge: float = 2e-5, steps: int = 400) -> "Judge":
        L, V = x.shape[1], len(PROTEIN)
        w = torch.zeros(L * V, requires_grad=True)
        scale = torch.tensor([float(y.min()), float(y.max() - y.min()), 2.0], requires_grad=True)
        optimiser = torch.optim.Adam([w, scale], lr=0.05)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        wild = x.mode(0).values
        rows, columns = (x != wild).nonzero(as_tuple=True)  # w is 0 at the wild type's residues
        place = columns * V + x[rows, columns]
        for _ in range(steps):
            total = torch.zeros(len(x)).index_add(0, rows, w[place])
            loss = (scale[0] + scale[1] * (scale[2] + total).sigmoid() - y.float()).square().mean() + ridge * w.square().sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        a, b, c = scale.detach().unbind()
        return cls(a, b, c, w.detach().view(L, V))

    def __call__(self, x: Tensor) -> Tensor:
        total = self.w.gather(1, x.T).sum(0)
        return (self.a + self.b * (self.c + total).sigmoid()).double()


def reliability(said: Tensor, y: Tensor) -> dict:
    """Correlation, and of the call "y ≥ BRIGHT" how often it is right, for variants that are and are not."""
    bright = y >= BRIGHT
    return {
        "n": len(y),
        "correlation": round(float(torch.corrcoef(torch.stack([said.double(), y]))[0, 1]), 3),
        "bright_called": round(float((said >= BRIGHT)[bright].double().mean()), 3),
        "others_called": round(float((said >= BRIGHT)[~bright].double().mean()), 3),
    }


def request(data: Variants, region: tuple[int, int], most: int, wild: str = WILD) -> DesignSpec:
    """One to `most` edits of the residues first … last of the wild type, to residues that were measured there."""
    first, last = region[0], region[1] + 1
    sets = [Allow(letters(kept), [k]) for k, kept in enumerate(data.allowed(wild)) if first <= k < last]  # type: ignore[arg-type]
    held = And((edits(wild[first:last], 1, most).within("gap1"), *sets))
    return DesignSpec("protein", f"{wild[:first]}{{{last - first}}}{wild[last:]}", constraint=str(held), bound_draws=0)


def measure(way: str, spec: DesignSpec, guide: Guide, judge: Judge, wild: str = WILD) -> dict:
    """Figures of `spec.n` designs."""
    started, task, wish = time.perf_counter(), prepare(spec), Wish(guide, low=BRIGHT)

    def exact(rows: Tensor) -> Tensor:
        return wish(rows)

    made = {"end alone": Lookahead(exact), "look-ahead": Lookahead(exact, wish), "first order": FirstOrderGuide(wish)}
    task = replace(task, guide=made.get(way))
    designs = [item for batch in design_batches(task) for item in batch.designs]
    x = torch.tensor([PROTEIN.encode(item.sequence) for item in designs])
    said, first = judge(x), torch.tensor(PROTEIN.encode(wild))
    edited = (x != first).sum(1).double()
    share = float((said >= BRIGHT).double().mean())
    return {
        "way": way,
        "particles": spec.cloud,
        "n": spec.n,
        "returned": len(designs),
        "judged_bright": round(share, 3),
        "error": round(math.sqrt(share * (1 - share) / len(designs)), 3),
        "mean_judged": round(float(said.mean()), 3),
        "mean_guide": round(float(guide(x)[0].mean()), 3),
        "edits": round(float(edited.mean()), 2),
        "most_edits": int(edited.max()),
        "violations": sum(bool(item.certificate.violations) for item in designs),
        "distinct": len({item.sequence for item in designs}),
        "substitutions": len({(i, int(row[i])) for row in x for i in (row != first).nonzero().flatten().tolist()}),
        "word_overlap": round(word_overlap([item.sequence for item in designs]) or 0.0, 3),
        "seconds": round(time.perf_counter() - started, 1),
    }


def main(arguments: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="avgfp_brightness.tsv.xz")
    parser.add_argument("--n", type=int, default=40)
    parser.add_argument("--edits", type=int, default=5)
    parser.add_argument("--region", type=int, nargs=2, default=[130, 189], help="first and last residue, from 0")
    parser.add_argument("--particles", type=int, nargs="+", default=[8])
    parser.add_argument("--ways", nargs="+", default=["end alone", "look-ahead", "first order"])
    parser.add_argument("--steps", type=int, default=3000, help="of the guide's training")
    parser.add_argument("--model", default="protein-composition")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data, started = Variants.read(options.data), time.perf_counter()
    guide, judge = learn(*data.of(1), steps=options.steps), Judge.fit(*data.of(2))
    x, y = data.of(0)
    changed = (x != torch.tensor(PROTEIN.encode(WILD))).sum(1)
    result: dict = {"learning_seconds": round(time.perf_counter() - started, 1), "edits": options.edits}
    result["variants"] = [int((data.part == k).sum()) for k in range(3)]
    result["guide"], result["judge"] = reliability(guide(x)[0], y), reliability(judge(x), y)
    many = changed >= options.edits
    result["judge_of_as_many_edits_or_more"] = reliability(judge(x[many]), y[many])
    result["bright_of_as_many_edits"] = round(float((y[changed == options.edits] >= BRIGHT).double().mean()), 3)
    print(json.dumps(result), flush=True)
    spec = replace(request(data, tuple(options.region), options.edits), n=options.n, model=options.model)
    result |= {"region": options.region, "rows": []}
    for way, particles in [("unguided", 1), *((way, N) for N in options.particles for way in options.ways)]:
        result["rows"].append(measure(way, replace(spec, particles=particles), guide, judge))
        print(json.dumps(result["rows"][-1]), flush=True)
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
