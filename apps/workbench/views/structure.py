"""A chain or a motif from a file: chosen by its numbers there, and seen in space."""

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import streamlit as st

from apps.workbench import live, session
from apps.workbench.backbone import Carbon, carbons, joined
from apps.workbench.draft import UPLOAD_MB, Draft
from apps.workbench.parts import parts_of

NUMBER = r"-?\d+[A-Za-z]?"
RANGES = re.compile(rf"({NUMBER})(?:-({NUMBER}))?")


def show(draft: Draft) -> tuple[list[Carbon], str] | None:
    """A chain of a file and what is taken of it, None where there is none; its places for `view`."""
    given = st.file_uploader(
        "Take a chain or a motif from a file (.pdb, .cif, .fasta)",
        ["pdb", "ent", "cif", "mmcif", "fasta", "fa"],
        key="structure",
        max_upload_size=UPLOAD_MB,
    )
    if given is None:
        return None
    from domains.protein.contig import resolve
    from seqdiff.errors import SeqdiffError

    try:
        residues, at = _read(given.getvalue(), Path(given.name).suffix.lower())
    except SeqdiffError as error:
        session.trouble("This file could not be read.", str(error))
        return None
    chains = list(dict.fromkeys(residue.author[0] for residue in residues))
    counts = {c: sum(r.author[0] == c for r in residues) for c in chains}
    chain = str(
        st.selectbox("Chain", chains, format_func=lambda c: f"{c} · {counts[c]} residue{'s'[: counts[c] - 1]}", key="chain")
    )
    there = [r for r in residues if r.author[0] == chain]
    motif = st.text_input(
        "A part of it, by its numbers in the file",
        f"{there[0].author[1]}-{there[-1].author[1]}",
        key=f"motif-{chain}",
        help="For example 24-35. Residues that are missing in the file split a range.",
    )
    margin = st.slider("New residues on either side", 0, 60, (0, 0), key="margin", help="0 to 0 adds none.")
    side = f"{margin[0]}-{margin[1]}" if margin[1] else ""
    contig = "/".join(filter(None, (side, f"{chain}{motif.strip()}", side)))
    try:
        made = resolve(contig, residues)
    except SeqdiffError as error:
        session.trouble("This range cannot be taken.", str(error))
        return None
    if st.button("Use it as the template", key="use-file", type="primary"):
        session.put(replace(draft, parts=parts_of(made.template)))
        st.rerun()
    return at[chain], motif


@st.cache_data(show_spinner=False, max_entries=16)
def _read(content: bytes, suffix: str) -> tuple[list, dict[str, list[Carbon]]]:
    """Residues of a file, and the α carbons of each of its chains. Raises ConfigError."""
    from domains.protein.structure import read_structure

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"the-file{suffix}"
        path.write_bytes(content)
        residues = read_structure(path)
        return residues, {chain: carbons(path, chain) for chain in {residue.author[0] for residue in residues}}


def view(chain: list[Carbon], motif: str) -> None:
    """The path of the chain's α carbons, what is taken in blue."""
    if len(chain) < 2:
        return
    numbers = [carbon.number for carbon in chain]
    kept = taken(numbers, motif)
    ends = [k for k, here in enumerate(kept) if here and (not (k and kept[k - 1]) or not (k + 1 < len(kept) and kept[k + 1]))]
    live.path([carbon.place for carbon in chain], joined(chain), kept, [(k, numbers[k]) for k in ends], session.key("path"))
    st.caption("The chain by its α carbons; blue: what you take. Drag to turn it; with the keyboard arrows, + and −.")


def taken(numbers: list[str], motif: str) -> list[bool]:
    """Which residues the ranges of a motif name, in the order of the file."""
    kept = [False] * len(numbers)
    for found in RANGES.finditer(motif):
        first, last = found[1].upper(), (found[2] or found[1]).upper()
        if first in numbers and last in numbers:
            for k in range(numbers.index(first), numbers.index(last) + 1):
                kept[k] = True
    return kept
