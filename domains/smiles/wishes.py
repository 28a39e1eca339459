"""What a chemist wishes of a finished molecule, in words (the table of them is docs/wishes.md):

    valid                                    2 <= logp <= 3                 weight <= 400 * 2
    has c1ccncc1      lacks [N+](=O)[O-]     has 2..3 [OX2H]                no pains
    similarity CC(=O)Nc1ccc(O)cc1 >= 0.4     1 <= count [OX2H] <= 2         score dock >= 0.5

Ranges are soft; "valid", "has", "lacks" and "no" are hard (see `domains.wishes`).

On the way a bundled regressor of molecules under noise, where there is one for the figure, says how likely the range is to
be reached, log P(low ≤ figure ≤ high | x_t); for the others molecules are completed and looked at (`completions`). Either
steers the particles alone: the weights in the end are the exact figure's.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial

from constraints.guidance import guides as guidance
from constraints.guidance.guides import LogProbability, Lookahead, Requirement
from domains import wishes
from domains.smiles.completions import LastHoles, Steered, completed, valid_ahead
from domains.smiles.filters import ALERTS, read_alerts
from domains.smiles.properties import COUNTS, METRICS, figure, parse
from domains.smiles.similarity import read_lead
from domains.smiles.substructures import read_smarts
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint

SCALE = {
    "qed": 0.1,
    "sa": 0.5,
    "logp": 0.5,
    "tpsa": 10.0,
    "weight": 25.0,
    "heavy_atoms": 2.0,
    "fraction_sp3": 0.1,
    "similarity": 0.1,
    "score": 0.1,
}
REGRESSORS = {"qed": "smiles-qed"}  # figure → the bundled model that tells it from molecules under noise
DEAR = ("score", "alerts")  # asked at the end alone: a scorer may take long, PAINS takes 4 ms a molecule
READERS = {"count": read_smarts, "similarity": read_lead, "alerts": read_alerts}
PHRASE = re.compile(r"(has|lacks|no)\s+(?:(\d{1,3})(?:\.\.(\d{1,3})?)?\s+)?([^\s<>]+)", re.IGNORECASE)


def _phrase(text: str) -> tuple[str, float, float] | None:
    """What "has", "lacks" and "no" mean: (figure, low, high)."""
    found = PHRASE.fullmatch(text)
    if found is None:
        return None
    word, low, high, what = found[1].lower(), found[2], found[3], found[4]
    if word == "has":
        most = wishes.INFINITE if low is None or (high is None and ".." in text[: found.start(4)]) else float(high or low)
        return f"count {what}", float(low or 1), most
    if low is not None:
        return None
    return ("alerts " if what.lower() in ALERTS else "count ") + what, 0.0, 0.0


def _measure(name: str, argument: str) -> wishes.Measure:
    if argument:
        return READERS[name](argument)
    return lambda texts: [figure(text, name) for text in texts]


def _canonical(smiles: str) -> str:
    from rdkit import Chem

    return Chem.MolToSmiles(parse(smiles))


FIGURES = wishes.Figures(
    names=METRICS + COUNTS,
    scale=SCALE,
    examples="'qed >= 0.8', '2 <= logp <= 3' or 'weight <= 400 * 2'",
    valid=lambda text: parse(text) is not None,
    measure=_measure,
    arguments={"count": "a SMARTS pattern", "similarity": "a SMILES", "alerts": f"one of {', '.join(ALERTS)}"},
    phrase=_phrase,
    normal=_canonical,
    more=(
        "'has SMARTS', 'has 2..3 SMARTS', 'lacks SMARTS', 'no pains' (brenk, nih), 'count SMARTS <= 2', "
        "'similarity SMILES >= 0.4', 'score NAME >= 0.5'"
    ),
)
Wish = partial(wishes.Wish, FIGURES)


def read_wish(text: str) -> wishes.Wish:
    """Raises ConditionError that says what can be wished."""
    return wishes.read_wish(text, FIGURES)


@lru_cache
def regressor(name: str) -> Checkpoint | None:
    """A bundled model, None where it is not there."""
    from domains.registry import bundled_models

    folder = bundled_models().get(name)
    return None if folder is None else load_checkpoint(folder)


def look_ahead(alphabet: Alphabet) -> Callable[[str, float, float], LogProbability | None]:
    """(figure, low, high) → log P(low ≤ figure ≤ high | x_t) by the bundled regressor, None without one for these tokens."""

    def ahead(figure: str, low: float, high: float) -> LogProbability | None:
        found = regressor(REGRESSORS[figure]) if figure in REGRESSORS and low < high else None
        return guidance.Wish(found.network, low, high) if found is not None and found.alphabet == alphabet else None

    return ahead


def guide_of(text: str, alphabet: Alphabet, ahead: Callable | None = None) -> Requirement | Lookahead | Steered | LastHoles:
    """A wish as a part of a guide.

    Args:
        ahead: (figure, low, high) → a LogProbability of noisy rows, or None, where completions tell. Without it nothing is
            known on the way.
    """
    wish = read_wish(text)
    if ahead is None:
        return wishes.guide_of(wish, alphabet)
    if wish.figure is None:
        return valid_ahead(wish, alphabet)
    predicted = ahead(wish.figure, wish.low, wish.high)
    if predicted is None and wish.figure.partition(" ")[0] not in DEAR:
        return completed(wish, alphabet)
    return wishes.guide_of(wish, alphabet, predicted)
