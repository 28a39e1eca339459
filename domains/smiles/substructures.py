"""How often a substructure, given as SMARTS, occurs in molecules: distinct sets of atoms, chirality regarded.

A pattern of twenty characters can keep a search busy for hours (`*.*.*.*.*.*.[U]`), so patterns are read and searched for
in the child process of `fragments_worker`, with its limits on seconds and memory.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from domains.smiles.fragments_worker import limited
from seqdiff.errors import ConditionError, TemplateError

MAX_CHARACTERS = 500
BATCH = 64  # molecules of one call: what a call takes bounds each of them
MOST = 1000  # occurrences that are looked for


def read_smarts(smarts: str):
    """A Measure: how often the pattern occurs in each SMILES. Raises ConditionError saying what cannot be read, and where."""
    if len(smarts) > MAX_CHARACTERS:
        raise ConditionError(f"wish: expected a SMARTS pattern of at most {MAX_CHARACTERS} characters, got {len(smarts):,}")
    if reason := _limited("reason_here", smarts):
        raise ConditionError(reason)

    def counts(texts: list[str]) -> list[float | None]:
        parts = (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
        return [number for part in parts for number in _limited("counts_here", smarts, part)]

    return counts


def _limited(function: str, smarts: str, *arguments):
    try:
        return limited(f"{__name__}:{function}", smarts, *arguments)
    except TemplateError as error:
        raise ConditionError(f"wish: looking for {smarts} {trouble(error)}; ask for a smaller, connected pattern") from None


def trouble(error: TemplateError) -> str:
    """What went wrong in the child process, without what it was about."""
    found = re.search(r"(takes|needs|crashed|failed|did not) [^;]*", str(error))
    return found.group() if found else f"failed ({error})"


def reason_here(smarts: str) -> str:
    """Why a pattern cannot be looked for, in this process; '' if it can."""
    from rdkit import Chem

    for place, character in enumerate(smarts, 1):
        if not "!" <= character <= "~":
            return f"wish: character {place} of the SMARTS pattern, {character!r}, cannot stand in one"
    with _listening() as heard:
        query = Chem.MolFromSmarts(smarts)
    if query is not None:
        return "" if query.GetNumAtoms() else "wish: expected a SMARTS pattern, got an empty one"
    return "wish: the SMARTS pattern " + _explained(smarts, " ".join(heard))


def counts_here(smarts: str, texts: list[str]) -> list[int | None]:
    """Occurrences in each SMILES, in this process; None in what is no molecule."""
    from rdkit import Chem

    from domains.smiles.properties import parse

    query = Chem.MolFromSmarts(smarts)
    found = []
    for text in texts:
        molecule = parse(text)
        matches = () if molecule is None else molecule.GetSubstructMatches(query, useChirality=True, maxMatches=MOST)
        found.append(None if molecule is None else len(matches))
    return found


def _explained(smarts: str, heard: str) -> str:
    """What RDKit said, in one sentence with the place."""
    if place := re.search(r"around position (\d+)", heard):
        at = min(int(place.group(1)), len(smarts))
        return f"cannot be read from character {at} on\n{_marked(smarts, at)}"
    if "unclosed ring" in heard:
        return f"opens a ring that it does not close: {smarts}"
    return f"cannot be read: {smarts}"


def _marked(smarts: str, place: int) -> str:
    return f"  {smarts}\n  {' ' * (place - 1)}^"


@contextmanager
def _listening() -> Iterator[list[str]]:
    """Collects what RDKit says while it reads; for a process that does nothing else meanwhile."""
    from rdkit import RDLogger, rdBase

    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())
    log = logging.getLogger("rdkit")
    propagate, log.propagate = log.propagate, False
    log.addHandler(handler)
    rdBase.LogToPythonLogger()
    RDLogger.EnableLog("rdApp.error")  # type: ignore[attr-defined]
    try:
        yield heard
    finally:
        RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
        rdBase.LogToCppStreams()
        log.removeHandler(handler)
        log.propagate = propagate
