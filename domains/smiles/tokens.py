"""SMILES cut into atom-level tokens: what a position of a molecule is.

One token is a bracket atom, an organic-subset atom, a bond, a branch parenthesis, a dot or a ring label. Merged
tokens (BPE) are not used: a merge could cross the border of a pinned fragment. SELFIES is not used: a pinned
SELFIES symbol does not pin an atom.

Source: Schwaller et al., "Molecular transformer", 2019, extended by ring labels of three digits, %(nnn).
"""

import re

from seqdiff.errors import AlphabetError

TOKEN = re.compile(
    r"\[[^\[\]]+\]"  # bracket atom
    r"|%\(\d{3,5}\)|%\d{2}|\d"  # ring label
    r"|Br|Cl|[BCNOPSFI]|[bcnops]|\*"  # organic subset, aromatic, any atom
    r"|[-=#$:/\\~]|[().]"  # bonds, branches, dot
)
RING_LABEL = re.compile(r"\d|%\d{2}|%\(\d{3,5}\)")


def tokenize(smiles: str) -> list[str]:
    """Tokens whose concatenation is the SMILES. Raises AlphabetError with the place marked if a part is no token."""
    tokens, start = [], 0
    while start < len(smiles):
        match = TOKEN.match(smiles, start)
        if match is None:
            raise AlphabetError(
                f"smiles: no token starts at character {start + 1}, {smiles[start]!r}\n  {smiles}\n  {' ' * start}^"
            )
        tokens.append(match.group())
        start = match.end()
    return tokens


def is_ring_label(token: str) -> bool:
    return RING_LABEL.fullmatch(token) is not None
