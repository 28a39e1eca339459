"""Goal-directed design: a population of molecules whose parts are remasked and designed anew until a budget is spent.

    found = optimise(goal="qed", start=["CCOc1ccccc1"], budget=2000, path="qed.json")
    found = optimise(goal="median(CC1(C)C2CCC1(C)C(=O)C2, CC(C)C1CCC(C)CC1O)", template="CC(C)C{6-16}", budget=500)

The first generation is `start`, or designs of `template` (or free designs of the model); what a template pins stays pinned
throughout. An oracle call is one distinct molecule scored. The same spec and start give the same result, in one go or in many.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domains.campaign.archive import Archive, Candidate, Entry, area_under_top
from domains.campaign.loop import Progress, campaign
from domains.design import DesignSpec, design
from domains.registry import find_model
from domains.smiles.goals import Goal, read_goal
from domains.smiles.moves import MOVES, Moves
from domains.smiles.pieces import canonical
from domains.smiles.redesign import Redesign, niches
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConfigError
from seqdiff.training.config import from_table

__all__ = ["Moves", "Optimised", "OptimiseSpec", "optimise"]


@dataclass(frozen=True)
class OptimiseSpec:
    """A campaign.

    Attributes:
        goal: a name or words (`domains.smiles.goals`).
        template: SMILES with gaps, the rest pinned for good; None: nothing is pinned.
        budget: oracle calls, 1 to 1,000,000.
        first: designs of the first generation, where no start is given.
        seed: of all noise.
        model, label: as in `DesignSpec`.
        moves: how molecules are changed.
    """

    goal: str
    template: str | None = None
    budget: int = 1000
    first: int = 100
    seed: int = 0
    model: str | None = None
    label: str | None = None
    moves: Moves = field(default_factory=Moves)

    def __post_init__(self):
        for name, most in (("budget", 1_000_000), ("first", 10_000)):
            if not 1 <= getattr(self, name) <= most:
                raise ConfigError(f"{name}: expected 1 to {most:,}, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**62:
            raise ConfigError(f"seed: expected 0 to 2⁶² − 1, got {self.seed}")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Optimised:
    """What a campaign found.

    Attributes:
        entries: all that was scored, in the order of the calls.
        best: by score, best first.
        complete: False where it was interrupted; the same call goes on from its file.
        exhausted: nothing new could be found, though the budget was not spent.
        timing: seconds, and molecules proposed and filled, of this call.
    """

    entries: list[Entry]
    best: list[Entry]
    spec: OptimiseSpec
    complete: bool
    exhausted: bool
    timing: dict[str, float]

    @property
    def auc_top10(self) -> float:
        return area_under_top([entry.score for entry in self.entries], self.spec.budget)


def optimise(
    goal: str | Goal | Callable[[str], float],
    *,
    start: Sequence[str] | None = None,
    path: str | Path | None = None,
    progress: Callable[[Progress], None] = lambda seen: None,
    checkpoint: Checkpoint | None = None,
    **fields: Any,
) -> Optimised:
    """Spend a budget of oracle calls on a goal.

    Args:
        goal: a name, words, or a function of a canonical SMILES (larger is better; −inf refuses).
        start: SMILES of the first generation; with a template they are left out.
        path: file of the campaign, to go on from and to save to.
        fields: those of `OptimiseSpec`; `moves` as `Moves` or a table.
    """
    asked = read_goal(goal)
    if isinstance(moves := fields.get("moves"), dict):
        fields["moves"] = from_table(Moves, moves, "moves")
    spec = OptimiseSpec(goal=asked.name, **fields)
    if start is not None and spec.template is not None:
        raise ConfigError("start: expected a start or a template, got both; a template's first generation is designed")
    checkpoint = checkpoint or load_checkpoint(find_model(spec.model, "smiles"))
    first = _designed(spec, checkpoint) if start is None else _given(start, spec.moves.max_atoms)
    texts = "\n".join(candidate.text for candidate in first)
    identity = {
        **{key: value for key, value in spec.to_dict().items() if key not in ("budget", "seed", "model")},
        "model": checkpoint.sha256,
        "start": hashlib.sha256(texts.encode()).hexdigest(),
        "kinds of moves": sorted(MOVES),  # a file of other ones would go on as no unbroken run does
    }
    proposer = Redesign(checkpoint, first, spec.moves, spec.label)
    archive = Archive(niches(spec.moves))
    where = None if path is None else Path(path)
    outcome = campaign(asked, proposer, spec.budget, spec.seed, archive, identity, where, progress)
    timing = {"seconds": round(outcome.seconds, 3), "proposed": outcome.proposed, "drawn": proposer.tried}
    best = archive.best(len(archive))
    return Optimised(archive.entries, best, spec, outcome.complete, outcome.exhausted, timing)


def _given(start: Sequence[str], max_atoms: int) -> list[Candidate]:
    found = [canonical(smiles, max_atoms) for smiles in start]
    first = [Candidate(text, text) for text in dict.fromkeys(found) if text is not None]
    if not first:
        raise ConfigError(
            f"start: expected molecules of one part and at most {max_atoms} heavy atoms, without radicals; none of the "
            f"{len(start)} is one"
        )
    return first


def _designed(spec: OptimiseSpec, checkpoint: Checkpoint) -> list[Candidate]:
    """Designs of the template with every pin kept, or of the model alone, as the first generation."""
    fields = {"template": spec.template, "n": spec.first, "seed": spec.seed, "label": spec.label}
    asked = DesignSpec(domain="smiles", syntax=True, bound_draws=0, **fields)
    first = {}
    for made in design(asked, checkpoint=checkpoint).designs:
        text = canonical(made.sequence, spec.moves.max_atoms)
        if made.pins_kept and text is not None:
            pins = made.pinned_atoms if spec.template is not None else ()
            first.setdefault(text, Candidate(text, made.sequence, tuple(pins)))
    if not first:
        raise ConfigError(
            f"template: none of {spec.first} first designs is a molecule of one part and at most {spec.moves.max_atoms} heavy "
            "atoms with all pins kept; ask for more (first), or widen its gaps"
        )
    return list(first.values())
