"""Soft preferences of residues by position: a profile from an alignment, or a bias of residues, as a guide of the particles.

A profile says of each position i and residue v how much likelier v is there than in proteins at large, b_i(v) = log(f_i/q).
With a strength λ it bends the model's law of x to

    p(x) Π_i e^{λ b_i(x_i)}

which is what particles are weighted towards: the tilt is exact for each position, and what steps and constraints leave over the
weights carry (`constraints.guidance.guides`). With one particle there are no weights, and the certificate says uncorrected.

    f_i(v) = (n_i(v) + β q(v)) / (Σ_v n_i(v) + β)       n_i(v) the weights of the rows with v in column i, added up

Row r weighs 1 / #{rows like r at 80 % or more of the columns that both have} (Morcos et al., PNAS 108:E1293, 2011); the
pseudo-count is β = √N, N the weights of all rows (Lawrence et al., Science 262:208, 1993).

As text, which is how a request holds it:

    bias {"K": 0.5, "E": -1}                   everywhere
    profile [{"A": 0.31, "C": -1.2, …}, …]     position by position, 0 where nothing is said
    … * 0.5                                    at a strength
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from domains.protein import AMINO_ACIDS
from domains.protein.alignments import Alignment
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

# Shares of the amino acids in Swiss-Prot (release statistics of UniProtKB/Swiss-Prot), in percent.
BACKGROUND = {
    "A": 8.25, "R": 5.53, "N": 4.06, "D": 5.46, "C": 1.38, "Q": 3.93, "E": 6.72, "G": 7.07, "H": 2.27, "I": 5.91, "L": 9.65,
    "K": 5.80, "M": 2.41, "F": 3.86, "P": 4.74, "S": 6.65, "T": 5.36, "W": 1.10, "Y": 2.92, "V": 6.86,
}  # fmt: skip
SAME = 0.8
ASKED = re.compile(r"\s*(bias|profile)\s*(?=[\[{])")
STRENGTH = re.compile(r"\s*(?:\*\s*(\d+(?:\.\d+)?))?\s*")
MOST = 20.0  # no residue is preferred more than e^20


def sequence_weights(rows: Sequence[str], same: float = SAME) -> np.ndarray:
    """(n,) weights: 1 / number of rows, itself among them, alike at a share `same` or more of the columns both have."""
    x = np.array([list(row) for row in rows])
    known = np.isin(x, list(AMINO_ACIDS))
    weights = np.empty(len(x))
    for r in range(len(x)):
        both = known & known[r]
        alike = ((x == x[r]) & both).sum(1) >= same * both.sum(1)
        weights[r] = 1 / max(1, int((alike & both.any(1)).sum()))
    return weights


def frequencies(alignment: Alignment, same: float = SAME, pseudo_count: float | None = None) -> np.ndarray:
    """f (columns, 20) over AMINO_ACIDS. pseudo_count: β, None for √N."""
    weights = sequence_weights(alignment.rows, same)
    q = background()
    x = np.array([list(row) for row in alignment.rows])
    counts = np.stack([(weights[:, None] * (x == letter)).sum(0) for letter in AMINO_ACIDS], -1)
    beta = math.sqrt(weights.sum()) if pseudo_count is None else pseudo_count
    if beta < 0 or (beta == 0 and bool((counts.sum(1) == 0).any())):
        raise ConditionError(f"profile: expected a positive pseudo-count, for columns without residues, got {beta}")
    return (counts + beta * q) / (counts.sum(1, keepdims=True) + beta)


def background() -> np.ndarray:
    """q (20,) over AMINO_ACIDS."""
    q = np.array([BACKGROUND[letter] for letter in AMINO_ACIDS])
    return q / q.sum()


def pssm(alignment: Alignment, same: float = SAME, pseudo_count: float | None = None) -> np.ndarray:
    """b = log f/q (columns, 20), in nats; −MOST for what a pseudo-count of 0 rules out."""
    f = frequencies(alignment, same, pseudo_count)
    with np.errstate(divide="ignore"):
        return np.clip(np.log(f / background()), -MOST, MOST)


def profile_text(bias: np.ndarray, strength: float = 1.0) -> str:
    """A profile (columns, 20) as a request holds it, to two decimals."""
    columns = [{a: round(float(b), 2) for a, b in zip(AMINO_ACIDS, column, strict=True)} for column in bias]
    return f"profile {json.dumps(columns)}" + (f" * {strength:g}" if strength != 1 else "")


def is_profile(text: str) -> bool:
    """Whether a wish is one of these."""
    return ASKED.match(text) is not None


def profile_guide(text: str, alphabet: Alphabet) -> "Bias":
    """The guide of `bias {…}` or `profile […]`. Raises ConditionError that says what was expected."""
    found = ASKED.match(text)
    example = 'bias {"K": 0.5, "E": -1} or profile [{"A": 0.3}, {"C": -1}], with * 0.5 behind for a strength'
    if not found:
        raise ConditionError(f"profile: expected {example}; got {text[:60]!r}")
    try:
        value, end = json.JSONDecoder().raw_decode(text, found.end())
    except json.JSONDecodeError as error:
        raise ConditionError(f"{found[1]}: expected {example}; {error.msg} at character {error.pos + 1}") from None
    strength = STRENGTH.fullmatch(text, end)
    if not strength:
        raise ConditionError(f"{found[1]}: expected the end or a strength such as * 0.5, got {text[end:][:30]!r}")
    columns = [value] if found[1] == "bias" else value
    if not isinstance(columns, list) or not columns or not all(isinstance(column, dict) for column in columns):
        raise ConditionError(f"{found[1]}: expected {example}")
    bias = torch.zeros(len(columns), len(alphabet), dtype=torch.float64)
    for i, column in enumerate(columns):
        for letter, number in column.items():
            if letter not in AMINO_ACIDS or len(letter) != 1:
                raise ConditionError(f"{found[1]}: expected letters of {AMINO_ACIDS}, got {letter!r}")
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not abs(number) <= MOST:
                raise ConditionError(f"{found[1]}: expected numbers from {-MOST:g} to {MOST:g}, got {number!r} for {letter}")
            bias[i, alphabet.ids[letter]] = number
    return Bias(bias * float(strength[1] or 1), found[1] == "bias")


@dataclass(frozen=True)
class Bias:
    """p(x) Π_i e^{b_i(x_i)}: g_i = b_i at open positions, base = Σ b_i(x_i) over what stands there; exact for each position.

    Attributes:
        bias: (L, V), or (1, V) for every position.
        everywhere: whether its one row is that of every position.
    """

    bias: Tensor
    everywhere: bool = False
    hard = False  # it rules nothing out

    def log_tilt(self, x_t: Tensor, t: Tensor | None, positions: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        V = p.shape[-1]
        b = self._rows(x_t.shape[1])
        open_ = x_t == V
        said = b.gather(1, x_t.clamp(max=V - 1).T).T  # (R, L): b_i(x_i)
        asked = open_.gather(1, positions).unsqueeze(-1)
        return torch.where(asked, b[positions], 0.0), torch.where(open_, 0.0, said).sum(1)

    def final(self, x_0: Tensor) -> Tensor:
        return self._rows(x_0.shape[1]).gather(1, x_0.T).T.sum(1)

    def _rows(self, length: int) -> Tensor:
        if not self.everywhere and len(self.bias) != length:
            raise ConditionError(
                f"profile: it has {len(self.bias)} positions, the design {length}; it speaks of designs of its own length"
            )
        return self.bias.expand(length, -1) if self.everywhere else self.bias
