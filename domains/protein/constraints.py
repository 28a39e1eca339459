"""What designers of proteins ask for, as constraints: each is an expression that `constraints` holds in every design.

They are joined by `&`, confined by `.within("gap1")`, and written by `str`; docs/proteins.md has the table.
"""

import re

from constraints.language.algebra import And, Constraint
from constraints.language.distance import Edits, Identity
from constraints.language.expression import Avoid, Ban, Count, Pin, Regex, Sum, Tie
from constraints.language.motif import Tokens
from domains.protein import AMINO_ACIDS
from domains.protein.data import BREAK
from domains.protein.properties import PH, residue_charges
from domains.protein.template import PIECE
from seqdiff.errors import ConditionError

CHARGE_RANGE = re.compile(r"\s*([-+]?\d+(?:\.\d)?)\s*\.\.\s*([-+]?\d+(?:\.\d)?)\s*(?:\s(?:at\s+)?pH\s*(\d{1,2}(?:\.\d+)?)\s*)?")


def fixed(position: int, residue: str) -> Pin:
    """This residue at this position, from 0."""
    return Pin(position, residue)


def omit(residues: str, positions: list[int] | None = None) -> Ban:
    """None of these residues, at some positions or all."""
    return Ban(letters(residues), positions)  # type: ignore[arg-type]


def no_n_glycosylation() -> Avoid:
    """No sequon N-X-[ST], X any residue but proline."""
    return Avoid("N-[^P]-[ST]")  # type: ignore[arg-type]


def no_deamidation() -> Avoid:
    """No N-G."""
    return Avoid("N-G")  # type: ignore[arg-type]


def no_isomerisation() -> Avoid:
    """No D-G."""
    return Avoid("D-G")  # type: ignore[arg-type]


def no_acid_cleavage() -> Avoid:
    """No D-P, a bond that acid breaks."""
    return Avoid("D-P")  # type: ignore[arg-type]


def paired_cysteines() -> Regex:
    """An even number of cysteines, so that each may have a partner; of one chain of several, `.within("chain1")`."""
    return Regex("[^C]*(C[^C]*C[^C]*)*")


def edits(reference: str, low: int, high: int | None = None) -> Edits:
    """An edit budget: as long as the reference (the wild type), with low to high residues substituted."""
    return Edits(_residues(reference), low, high)


def identity(reference: str, low: float, high: float = 100) -> Identity:
    """As long as the reference, and low to high percent of its residues the same."""
    return Identity(_residues(reference), low, high)


def composition(residues: str, low: int, high: int | None = None) -> Count:
    """So many residues of a set: `composition("C", 0, 1)` is at most one cysteine. None: no upper bound."""
    return Count(letters(residues), low, high)  # type: ignore[arg-type]


def net_charge(low: float, high: float, ph: float = PH) -> Sum:
    """Σ of `residue_charges`, charges at a pH in steps of 0.1, from low to high; the termini of a chain are not counted.

    Raises ConditionError for a pH beyond 0 to 14.
    """
    if not 0 <= ph <= 14:
        raise ConditionError(f"charge: expected a pH from 0 to 14, got {ph:g}")
    return Sum(tuple(residue_charges(ph).items()), low, high, 0.1)


def charge_range(text: str) -> Sum:
    """`net_charge` from text such as "3..6", "-2.5..-1" or "3..6 at pH 5.5". Raises ConditionError."""
    found = CHARGE_RANGE.fullmatch(text)
    if not found or float(found[1]) > float(found[2]):
        raise ConditionError(f"charge: expected a range such as 3..6 or -2.5..-1 at pH 5.5, low before high, got {text!r}")
    return net_charge(float(found[1]), float(found[2]), float(found[3] or PH))


def like_chains(chain: str, copies: int) -> tuple[str, Constraint | None]:
    """A template of like chains, and the ties that keep them alike: every gap of a copy repeats that of the first chain.

    Raises ConditionError for fewer than two copies or a template of several chains.
    """
    if copies < 2 or BREAK in chain:
        what = f"{copies}" if copies < 2 else "a template that has several chains already"
        raise ConditionError(f"copies: expected at least 2 copies of a template of one chain, got {what}")
    gaps = sum(bool(piece["holes"] or piece["gap"]) for piece in PIECE.finditer(chain))
    ties = [Tie(f"gap{g + 1}", f"gap{g + 1 + c * gaps}") for c in range(1, copies) for g in range(gaps)]
    return BREAK.join([chain] * copies), And(tuple(ties)) if len(ties) > 1 else (ties[0] if ties else None)


def _residues(reference: str) -> str:
    if not reference or set(reference) - set(AMINO_ACIDS):
        wrong = sorted(set(reference) - set(AMINO_ACIDS)) or "nothing"
        raise ConditionError(
            f"reference: expected letters of {AMINO_ACIDS}, got {''.join(wrong)!r}; ask a chain within(chain1, …)"
        )
    return reference


def letters(residues: str) -> Tokens:
    """A set of amino acids. Raises ConditionError for another letter."""
    if not residues or set(residues) - set(AMINO_ACIDS):
        raise ConditionError(f"residues: expected letters of {AMINO_ACIDS}, got {residues!r}")
    return Tokens(tuple(dict.fromkeys(residues)))
