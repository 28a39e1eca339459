"""Secondary structure as classes of positions: tables of chains with their states, encoded for a tagger.

A table has the columns sequence, ss3 (H helix, E strand, C neither) and, if it likes, mask (0 where the state is not known).
A row of the encoded data is a residue and its state by turns (`seqdiff.systems.classifier.Tagging`).
"""

import hashlib
from pathlib import Path

import numpy as np

from domains.protein.data import PROTEIN, clean, read_table
from domains.protein.families import families, hold_out
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConfigError
from seqdiff.training.data import EncodedData

STATES = ("helix", "strand", "coil")
LETTERS = "HEC"
TAGGED = Alphabet("protein", (*PROTEIN.tokens, *STATES, "unknown"))


def encode_states(
    target: str, paths: list[str], min_length: int = 20, max_length: int = 400, held_out_percent: float = 10
) -> EncodedData:
    """Chains of tables, each once, whole families held out. Raises ConfigError for another target or a table that is none."""
    if target != "states":
        raise ConfigError(f"data.target: expected 'states' (secondary structure) or 'cdr-h3' (antibodies), got {target!r}")
    found: dict[str, list[int]] = {}
    refused = 0
    for path in paths:
        for row in read_table(path):
            written, states = row.get("sequence") or "", row.get("ss3") or ""
            mask, text = row.get("mask") or "1" * len(states), clean(written)
            if text is None or not len(written) == len(text) == len(states) == len(mask) or set(states) - set(LETTERS):
                refused += 1
            elif min_length <= len(text) <= max_length:
                known = [LETTERS.index(s) if m == "1" else len(STATES) for s, m in zip(states, mask, strict=True)]
                found.setdefault(text, [len(PROTEIN) + k for k in known])
    texts = list(found)
    residues = [PROTEIN.encode(text) for text in texts]
    family = families(residues)
    held_out = hold_out(texts, family, held_out_percent)
    rows = [[i for pair in zip(row, found[text], strict=True) for i in pair] for row, text in zip(residues, texts, strict=True)]
    files = [
        {"file": Path(p).name, "label": "chains", "sha256": hashlib.sha256(Path(p).read_bytes()).hexdigest()} for p in paths
    ]
    provenance = {
        "files": files,
        "refused": refused,
        "rows": len(texts),
        "families": len(np.unique(family)),
        "held_out_families": len(np.unique(family[held_out])),
    }
    return EncodedData.from_rows(TAGGED, rows, [0] * len(rows), held_out.tolist(), ("chains",), provenance)
