"""Figures of a designed protein: ProtParam's, net charge, and what is known to go wrong in the test tube.

Charge and isoelectric point take the pK values of Bjellqvist et al. (Electrophoresis 14:1023, 1993; 15:529, 1994), as Biopython
has them, with free termini: of residues K 10.0, R 12.0, H 5.98, D 4.05, E 4.45, C 9.0, Y 10.0. GRAVY is Kyte and Doolittle's,
1982; the instability index Guruprasad's, 1990 (above 40: likely unstable).
Of several chains the weight and the charge are sums, GRAVY and instability averages over residues, the isoelectric point
that of all chains together.

The hydrophobic moment is the greatest of any window of 11 residues, on the consensus scale of Eisenberg et al. (J. Mol. Biol.
179:125, 1984), μ = |Σ_n H_n e^{inδ}| / 11 with δ = 100° for a helix. Low complexity is the share of residues that lie in a
window of 12 whose letters have an entropy of at most 2.2 bits (Wootton and Federhen, Comput. Chem. 17:149, 1993).
"""

import cmath
import math
import re
from collections import Counter
from dataclasses import dataclass

from domains.protein import AMINO_ACIDS
from domains.protein.data import BREAK, UNKNOWN

METRICS = (
    "length",
    "chains",
    "weight",
    "charge",
    "residue_charge",
    "pi",
    "gravy",
    "instability",
    "cysteines",
    "n_glycosylation",
    "deamidation",
    "isomerisation",
    "acid_cleavage",
    "unpaired_cysteines",
    "moment",
    "low_complexity",
)
PH = 7.0
PK_ACIDS = {"D": 4.05, "E": 4.45, "C": 9.0, "Y": 10.0}
PK_BASES = {"K": 10.0, "R": 12.0, "H": 5.98}


def residue_charges(ph: float) -> dict[str, float]:
    """Charge of each residue at a pH in steps of 0.1, those of 0 left out: what a hard constraint can add up; no termini.

    A base has 1/(1 + 10^{pH − pK}), an acid −1/(1 + 10^{pK − pH}).
    """
    acids = {letter: -round(1 / (1 + 10 ** (pk - ph)), 1) for letter, pk in PK_ACIDS.items()}
    bases = {letter: round(1 / (1 + 10 ** (ph - pk)), 1) for letter, pk in PK_BASES.items()}
    return {letter: charge for letter, charge in (acids | bases).items() if charge}


RESIDUE_CHARGE = residue_charges(PH)
# Name → pattern, counted where it starts, overlaps too.
LIABILITIES = {
    "n_glycosylation": re.compile(r"(?=N[^P][ST])"),  # the sequon N-X-[ST]
    "deamidation": re.compile(r"(?=NG)"),
    "isomerisation": re.compile(r"(?=DG)"),
    "acid_cleavage": re.compile(r"(?=DP)"),
}
EISENBERG = {
    "A": 0.62, "R": -2.53, "N": -0.78, "D": -0.90, "C": 0.29, "Q": -0.85, "E": -0.74, "G": 0.48, "H": -0.40, "I": 1.38,
    "L": 1.06, "K": -1.50, "M": 0.64, "F": 1.19, "P": 0.12, "S": -0.18, "T": -0.05, "W": 0.81, "Y": 0.26, "V": 1.08,
}  # fmt: skip
MOMENT_WINDOW, HELIX = 11, math.radians(100)
SEG_WINDOW, SEG_BITS = 12, 2.2


@dataclass(frozen=True)
class Described:
    """What is known of one sequence; `metrics` has every name of METRICS if it is valid, otherwise none."""

    valid: bool
    reason: str
    metrics: dict[str, float | bool | None]


def describe(sequence: str, chains: int | None = None) -> Described:
    """A sequence of one letter a residue, `/` between chains.

    Args:
        chains: how many were asked for; another number means a break where none belongs. None: any number.
    """
    parts = sequence.split(BREAK)
    if UNKNOWN in sequence:
        return Described(False, f"unknown residue X at position {sequence.index(UNKNOWN) + 1}", {})
    if other := set(sequence) - set(AMINO_ACIDS + BREAK):
        return Described(False, f"no amino acid: {' '.join(sorted(other))}", {})
    if not all(parts):
        return Described(False, "a chain without residues", {})
    if chains is not None and len(parts) != chains:
        return Described(False, f"a chain break where none was asked for: {len(parts)} chains instead of {chains}", {})
    return Described(True, "", _figures(parts))


def _figures(chains: list[str]) -> dict[str, float | bool | None]:
    from Bio.SeqUtils.ProtParam import ProteinAnalysis

    analyses = [ProteinAnalysis(chain) for chain in chains]
    total = sum(map(len, chains))
    liabilities = {name: sum(len(found.findall(c)) for c in chains) for name, found in LIABILITIES.items()}
    return {
        "length": total,
        "chains": len(chains),
        "weight": float(sum(a.molecular_weight() for a in analyses)),
        "charge": float(sum(a.charge_at_pH(PH) for a in analyses)),
        "residue_charge": round(sum(RESIDUE_CHARGE.get(letter, 0.0) for chain in chains for letter in chain), 1),
        "pi": _isoelectric_point(analyses),
        "gravy": sum(a.gravy() * a.length for a in analyses) / total,
        "instability": sum(a.instability_index() * a.length for a in analyses) / total,
        "cysteines": sum(chain.count("C") for chain in chains),
        **liabilities,
        "unpaired_cysteines": sum(chain.count("C") % 2 for chain in chains),
        "moment": max(map(hydrophobic_moment, chains)),
        "low_complexity": sum(map(low_complexity, chains)) / total,
    }


def hydrophobic_moment(chain: str) -> float:
    """The greatest μ of a window; a shorter chain is one window."""
    window = min(MOMENT_WINDOW, len(chain))
    turned = [EISENBERG[letter] * cmath.exp(1j * HELIX * n) for n, letter in enumerate(chain)]
    return max(abs(sum(turned[i : i + window])) / window for i in range(len(chain) - window + 1))


def low_complexity(chain: str) -> int:
    """How many residues lie in a window of low entropy."""
    low = set()
    for i in range(len(chain) - SEG_WINDOW + 1):
        counts = Counter(chain[i : i + SEG_WINDOW]).values()
        if -sum(k / SEG_WINDOW * math.log2(k / SEG_WINDOW) for k in counts) <= SEG_BITS:
            low.update(range(i, i + SEG_WINDOW))
    return len(low)


def _isoelectric_point(analyses) -> float:
    """The pH at which the charges of all chains add up to 0, by halving [0, 14] down to 10⁻⁴."""
    low, high = 0.0, 14.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        if sum(a.charge_at_pH(middle) for a in analyses) > 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
