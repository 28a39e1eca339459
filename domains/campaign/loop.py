"""The loop of a campaign: propose, score what is new once, remember; a function of its seed, whatever interrupts it.

Every generation is a function of (seed, generation, what was scored before), so that a campaign that was stopped goes on from
its file as if it had never been. Its file holds whole generations, and the scores of one that was cut short: it is proposed
anew, and what was scored is not asked for again.
"""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from domains.campaign.archive import Archive, Candidate
from seqdiff.errors import ConfigError

STALE = 50  # generations without anything new after which there is nothing left to find
VERSION = 1


class Proposer(Protocol):
    """Where candidates come from; everything drawn from `rng`, or from a seed drawn from it."""

    def start(self, rng: np.random.Generator) -> list[Candidate]:
        """The first generation."""
        ...

    def propose(self, archive: Archive, rng: np.random.Generator) -> list[Candidate]:
        """A generation bred from the archive."""
        ...


@dataclass(frozen=True)
class Progress:
    """How far a campaign is. seconds: of this process; proposed: candidates made in it, those known before included."""

    calls: int
    budget: int
    generation: int
    best: float
    top10: float
    seconds: float
    proposed: int


@dataclass(frozen=True)
class Outcome:
    """What a campaign came to. complete: the budget was spent, or nothing new could be found (`exhausted`)."""

    archive: Archive
    generation: int
    complete: bool
    exhausted: bool
    seconds: float
    proposed: int


def campaign(
    goal: Callable[[str], float],
    proposer: Proposer,
    budget: int,
    seed: int,
    archive: Archive,
    identity: dict,
    path: Path | None = None,
    progress: Callable[[Progress], None] = lambda seen: None,
    save_every: float = 10.0,
) -> Outcome:
    """Spend a budget of oracle calls. An oracle call is one distinct text scored; nothing is scored twice.

    Args:
        archive: empty.
        identity: what the campaign is, as JSON holds it: a file of another is refused.
        path: the file to go on from and to save to, replaced atomically every `save_every` seconds and at the end.

    Ctrl-C (KeyboardInterrupt) saves and returns what there is; `complete` is then False.
    """
    if budget < 1:
        raise ConfigError(f"budget: expected at least 1 oracle call, got {budget}")
    identity = json.loads(json.dumps({**identity, "budget": budget, "seed": seed}))
    generation, stale, known = _resume(path, identity, archive) if path and path.exists() else (0, 0, {})
    started = saved = time.monotonic()
    pending: dict[str, float] = {}
    proposed, interrupted, done = 0, False, len(archive)

    def seen() -> Progress:
        top = [entry.score for entry in archive.best(10)]
        best, mean = (top[0], sum(top) / len(top)) if top else (math.nan, math.nan)
        return Progress(len(archive), budget, generation, best, mean, time.monotonic() - started, proposed)

    try:
        while len(archive) < budget and stale < STALE:
            rng = np.random.default_rng([seed, generation])
            candidates = proposer.propose(archive, rng) if generation else proposer.start(rng)
            proposed += len(candidates)
            pending, done = {}, len(archive)
            for candidate in candidates:
                if len(archive) == budget:
                    break
                if candidate.text in archive:
                    continue
                score = known[candidate.text] if candidate.text in known else float(goal(candidate.text))
                archive.add(candidate, score, generation)
                pending[candidate.text] = score
                if len(archive) % 10 == 0:
                    progress(seen())
            stale = 0 if pending else stale + 1
            generation, done, pending, known = generation + 1, len(archive), {}, {}
            progress(seen())
            if path and time.monotonic() - saved > save_every:
                _save(path, identity, archive, len(archive), generation, stale, {})
                saved = time.monotonic()
    except KeyboardInterrupt:
        interrupted = True
    if path:
        _save(path, identity, archive, done, generation, stale, {**known, **pending})
    return Outcome(archive, generation, not interrupted, stale >= STALE, time.monotonic() - started, proposed)


def _save(path: Path, identity: dict, archive: Archive, done: int, generation: int, stale: int, scored: dict) -> None:
    """Write beside the old file, flush to disk, then replace it: a kill at any time leaves one whole file."""
    rows = [{**asdict(entry), "score": _to_json(entry.score)} for entry in archive.entries[:done]]
    table = {
        "version": VERSION,
        "identity": identity,
        "generation": generation,
        "stale": stale,
        "scored": {text: _to_json(score) for text, score in scored.items()},
        "entries": rows,
    }
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            json.dump(table, file, ensure_ascii=False, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigError(
            f"campaign: could not write {path} ({error.strerror}); free some space and run the same command again: "
            "it goes on from what was saved before"
        ) from None


def _resume(path: Path, identity: dict, archive: Archive) -> tuple[int, int, dict[str, float]]:
    """Fill the archive; (generation, generations without anything new, scores of the generation that was cut short)."""
    table = read_state(path)
    ours, theirs = {**identity}, table["identity"]
    for key in sorted({*ours, *theirs}):
        if ours.get(key) != theirs.get(key):
            raise ConfigError(
                f"campaign: {path} is of another campaign, its {key} is {theirs.get(key)!r} and here it is {ours.get(key)!r}; "
                "give another file, or the same settings to go on"
            )
    for row in table["entries"]:
        fields = {key: row[key] for key in ("text", "written", "how")}
        candidate = Candidate(**fields, pins=tuple(row["pins"]), parents=tuple(row["parents"]))
        archive.add(candidate, _from_json(row["score"]), row["generation"])
    return table["generation"], table["stale"], {text: _from_json(score) for text, score in table["scored"].items()}


def read_state(path: Path) -> dict:
    """The table of a campaign's file. Raises ConfigError for a file that is none."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["version"] == VERSION and isinstance(table["entries"], list):
            return table
        found = f"version {table['version']}"
    except OSError as error:
        found = str(error.strerror)
    except (ValueError, KeyError, TypeError):
        found = "something else"
    raise ConfigError(f"campaign: expected a campaign's file of version {VERSION} at {path}, found {found}")


def _to_json(score: float) -> float | None:
    return None if score == -math.inf else score


def _from_json(score: float | None) -> float:
    return -math.inf if score is None else score
