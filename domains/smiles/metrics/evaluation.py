"""Figures of a set of generated molecules in one table, each with its denominator.

Validity, unique@k, novelty, IntDiv, SNN, Frag and Scaf are those of MOSES (Polykovskiy et al. 2020), quality is that of GenMol
(Lee et al. 2025), the diversity that of TDC (Huang et al. 2021), `guacamol` the KL score of GuacaMol (Brown et al. 2019), and
`kl_score` the same idea on the stored histograms of seven figures. There is no Fréchet ChemNet distance: it needs a pretrained
network.
"""

import math
import random
from collections import Counter

import numpy as np

from domains.novelty import Known
from domains.smiles.metrics import guacamol, moses
from domains.smiles.metrics.laws import Reference
from domains.smiles.metrics.sample import Sample, dense, fingerprints
from domains.smiles.properties import METRICS, describe_many

MEANS = ("qed", "sa", "logp", "weight")
FINGERPRINT = "Morgan, radius 2, Tanimoto; diversity 2048 bits, moses 1024, guacamol 4096 (rdkit.Chem.rdFingerprintGenerator)"
MOST_PAIRED = 1000  # molecules compared pairwise for the diversity
FIRST = (1000, 10_000)  # k of unique@k
DIVERSITY_SIZE = 2048


def evaluate_set(
    smiles: list[str],
    known: Known | None = None,
    reference: Reference | None = None,
    seed: int = 0,
    sample: Sample | None = None,
) -> dict:
    """Figures of a set of generated SMILES; a figure that has nothing to be a share of is None.

    Args:
        smiles: every try, invalid ones and repeats too.
        known: what was trained on; without it `novel` is None.
        reference: the laws to compare with; without them `distances` and `kl_score` are None.
        seed: of the choice of 1,000 molecules for the diversity where there are more.
        sample: the molecules to compare with, best ones that were held out; without them `moses` and `guacamol` are None.

    Returns a dict that json can write:
        n: tries.
        valid: share of all tries that RDKit accepts.
        unique: distinct canonical SMILES, share of the valid.
        unique@1000, unique@10000: the same of the first k valid; None where fewer are valid.
        novel: not among the known, share of the unique valid.
        quality: unique valid with QED ≥ 0.6 and SA ≤ 4, share of all tries.
        diversity: 1 − mean Tanimoto over all ordered pairs, a molecule with itself included, of up to 1,000 unique valid.
        mean: of qed, sa, logp, weight (g/mol) over the unique valid.
        reasons: kind of fault → number of invalid tries.
        distances: descriptor → {wasserstein: in standard deviations of the reference, kl: nats}, over the unique valid.
        kl_score: mean over the descriptors of exp(−kl); 1 is the same histograms. Below some 200 unique valid
            molecules the noise of the sample lowers it.
        moses: of all valid, repeats counted: int_div1, int_div2, snn, frag, scaf and wasserstein (in units of the figures)
            against the sample (`moses.compare`), and filters: shares that match no pattern of a catalogue, and of none of them.
        guacamol: kl by descriptor and score against the sample, `guacamol.compare`.
        counts: the numbers behind the shares; denominators: what each figure is a share or a mean of, in words.
        fingerprint: what the similarities are of.
    """
    molecules = describe_many(smiles)
    valid = [molecule for molecule in molecules if molecule.valid]
    unique = {molecule.canonical or "": molecule.metrics for molecule in valid}
    order = {canonical: place for place, canonical in enumerate(unique)}
    drawn = np.array([order[molecule.canonical or ""] for molecule in valid], np.int64)  # (valid,) place among the unique
    novel = None if known is None else sum(canonical not in known for canonical in unique)
    quality = sum(m["qed"] >= 0.6 and m["sa"] <= 4 for m in unique.values())
    columns = {name: np.array([m[name] for m in unique.values()]) for name in METRICS}
    distances = None
    if reference is not None and unique:
        laws = reference.laws
        distances = {name: {"wasserstein": laws[name].wasserstein(x), "kl": laws[name].kl(x)} for name, x in columns.items()}
    paired = sorted(unique)
    if len(paired) > MOST_PAIRED:
        paired = random.Random(seed).sample(paired, MOST_PAIRED)
    compared = {"moses": None, "guacamol": None}
    if sample is not None and unique:
        made = Sample.of(list(unique), list(unique.values()))
        passed = {name: float(hit[drawn].mean()) for name, hit in moses.passes(list(unique)).items()}
        compared = {"moses": moses.compare(made.take(drawn), sample) | {"filters": passed}}
        compared["guacamol"] = guacamol.compare(made, sample)
    return {
        "n": len(smiles),
        "valid": _share(len(valid), len(smiles)),
        "unique": _share(len(unique), len(valid)),
        **{f"unique@{k}": len({*drawn[:k].tolist()}) / k if len(drawn) >= k else None for k in FIRST},
        "novel": _share(novel, len(unique)),
        "quality": _share(quality, len(smiles)),
        "diversity": moses.internal_diversity(dense(fingerprints(paired), DIVERSITY_SIZE))[0],
        "mean": {name: float(columns[name].mean()) if unique else None for name in MEANS},
        "reasons": dict(Counter(molecule.fault for molecule in molecules if not molecule.valid).most_common()),
        "distances": distances,
        "kl_score": None if distances is None else float(np.mean([math.exp(-d["kl"]) for d in distances.values()])),
        **compared,
        "counts": {"valid": len(valid), "unique": len(unique), "novel": novel, "quality": quality},
        "denominators": _denominators(len(smiles), len(valid), len(unique), len(paired), sample),
        "fingerprint": FINGERPRINT,
    }


def _denominators(n: int, valid: int, unique: int, paired: int, sample: Sample | None) -> dict[str, str]:
    words = {
        "valid": f"all {n} tries",
        "unique": f"the {valid} valid tries",
        "unique@k": "the first k valid tries",
        "novel": f"the {unique} unique valid molecules",
        "quality": f"all {n} tries",
        "diversity": f"all pairs of {paired} unique valid molecules",
        "mean, distances, kl_score": f"the {unique} unique valid molecules",
    }
    if sample is not None:
        words["moses"] = f"the {valid} valid tries against {len(sample)} molecules of the reference"
        words["guacamol"] = f"the {unique} unique valid molecules against {len(sample)} of the reference"
    return words


def _share(part: int | None, whole: int) -> float | None:
    return None if part is None or whole == 0 else part / whole
