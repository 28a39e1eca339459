"""Wishes in words, whatever the domain: "valid", a range of a figure, a score; what they weigh, and the guide they become.

A range is soft: inside it costs nothing, and outside a particle's log-weight falls by the distance in units of the
figure's scale, times the strength (4 unless given after a `*`). What is hard weighs 0 or −∞: "valid", the domain's phrases
that ban or require, and a range of the strength `inf`. A design that breaks it is never returned; where every particle
does, there is no design. With any wish goes that the design is valid: what is not has no figures.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from constraints.certificate import brief
from constraints.guidance.guides import LogProbability, Lookahead, Requirement
from domains.scorers import scorer
from seqdiff.alphabet import Alphabet
from seqdiff.errors import ConditionError

NUMBER = r"[-+]?\d+(?:\.\d+)?"
RANGE = re.compile(
    rf"(?:(?P<low>{NUMBER})\s*<=\s*)?(?P<name>[a-z]\w*)(?:\s+(?P<argument>[^\s<>]+))?"
    rf"(?:\s*(?P<sign><=|>=)\s*(?P<bound>{NUMBER}))?(?:\s*\*\s*(?P<strength>{NUMBER}|inf))?",
    re.IGNORECASE,
)
STRENGTH = 4.0
MAX_CHARACTERS = 1200
REMEMBERED = 100_000  # weights that a wish keeps, before it begins anew
INFINITE = float("inf")

Measure = Callable[[list[str]], list[float | None]]  # numbers of valid sequences; None: it has none, and is never returned


@dataclass(frozen=True)
class Figures:
    """What a domain has words for.

    Attributes:
        names: figures that every valid sequence has.
        scale: the unit of distances, by name; 1 for the others.
        examples: what to show to who was not understood.
        valid: whether a text is what the domain designs.
        measure: (name, argument) → Measure. Raises ConditionError for an argument that cannot be read.
        arguments: names that take an argument, `score` apart, and what it is: {"count": "a SMARTS pattern"}.
        phrase: text → (figure, low, high) that must hold, or None where it is no phrase of the domain.
        more: phrases and ranges with an argument, to show.
        normal: the form in which a sequence is sent to a scorer.
    """

    names: tuple[str, ...]
    scale: Mapping[str, float]
    examples: str
    valid: Callable[[str], bool]
    measure: Callable[[str, str], Measure]
    arguments: Mapping[str, str] = field(default_factory=dict)
    phrase: Callable[[str], tuple[str, float, float] | None] = lambda text: None
    normal: Callable[[str], str] = str
    more: str = "'score NAME >= 0.5' with a scorer that was given"


@dataclass(frozen=True)
class Wish:
    """low ≤ figure ≤ high, or "valid" alone (no figure).

    Attributes:
        figures: the words of the domain.
        figure: a name, with its argument after a blank if it takes one ("qed", "count [OX2H]", "score dock"); or None.
        strength: nats by which one unit of the figure's scale outside the range counts; inf: it must hold.
    """

    figures: Figures = field(compare=False, repr=False)
    figure: str | None
    low: float = -INFINITE
    high: float = INFINITE
    strength: float = STRENGTH

    @property
    def hard(self) -> bool:
        return self.figure is None or self.strength == INFINITE

    def log_weight(self, text: str) -> float:
        """0 inside the range, −strength · distance/scale outside, −∞ for what is not valid."""
        return self.weigher()([text])[0]

    def weigher(self) -> Callable[[list[str]], list[float]]:
        """`log_weight` of many. A figure's argument is read now; equal texts are measured once, and remembered."""
        measure, valid, known = self._measure(), self.figures.valid, {}

        def weigh(texts: list[str]) -> list[float]:
            if len(known) > REMEMBERED:
                known.clear()
            new = [text for text in dict.fromkeys(texts) if text not in known]
            good = [text for text in new if valid(text)]
            found = dict(zip(good, map(self._weight, measure(good) if good else []), strict=True))
            known.update((text, found.get(text, -INFINITE)) for text in new)
            return [known[text] for text in texts]

        return weigh

    def _measure(self) -> Measure:
        if self.figure is None:
            return lambda texts: [0.0] * len(texts)
        name, _, argument = self.figure.partition(" ")
        if name == "score":
            return scorer(argument).measure(self.figures.normal)
        return self.figures.measure(name, argument)

    def _weight(self, value: float | None) -> float:
        if value is None or self.figure is None:
            return 0.0 if self.figure is None else -INFINITE
        distance = max(self.low - value, value - self.high, 0.0)
        return -self.strength * distance / self.figures.scale.get(self.figure.partition(" ")[0], 1.0) if distance else 0.0


def read_wish(text: str, figures: Figures) -> Wish:
    """Raises ConditionError that says what can be wished."""
    if len(text) > MAX_CHARACTERS:
        raise ConditionError(f"wish: expected at most {MAX_CHARACTERS:,} characters, got {len(text):,}")
    if phrase := figures.phrase(text.strip()):
        return _checked(Wish(figures, *phrase, strength=INFINITE), text)
    found = RANGE.fullmatch(text.strip())
    name, argument = (found["name"].lower(), found["argument"] or "") if found else ("", "")
    bare = found is None or (found["low"] is None and found["sign"] is None)
    if found and name == "valid" and bare and not argument and not found["strength"]:
        return Wish(figures, None)
    takes = {**figures.arguments, "score": "the name of a scorer"}
    if not bare and name in takes and not argument:
        raise ConditionError(f"wish: expected {takes[name]} after {name!r}, as in '{name} … >= 1'; got {text!r}")
    if found is None or bare or name not in (takes if argument else figures.names):
        raise ConditionError(
            f"wish: expected 'valid', or a range such as {figures.examples} of one of {', '.join(figures.names)}; "
            f"or {figures.more}; got {text!r}"
        )
    low, bound = float(found["low"] or "-inf"), float(found["bound"] or "inf")
    low, high = (max(low, bound), INFINITE) if found["sign"] == ">=" else (low, bound)
    strength = float(found["strength"] or STRENGTH)
    if strength <= 0:
        raise ConditionError(f"wish: expected a strength above 0 in {text!r}; turn the range round to wish for less")
    return _checked(Wish(figures, f"{name} {argument}".strip(), low, high, strength), text)


def _checked(wish: Wish, text: str) -> Wish:
    """Raises ConditionError for a range that holds no number."""
    if wish.low > wish.high or wish.low == INFINITE:
        raise ConditionError(f"wish: the range of {text!r} is empty, {wish.low:g} is more than {wish.high:g}")
    return wish


def guide_of(
    wish: Wish, alphabet: Alphabet, ahead: LogProbability | None = None, tilts: bool = False
) -> Requirement | Lookahead:
    """A wish as a part of a guide: exact at the end. ahead, tilts: of `Lookahead`, if anything tells it of noisy rows."""
    weigh = wish.weigher()

    def exact(rows: Tensor) -> Tensor:
        return torch.tensor(weigh([alphabet.decode(row) for row in rows.tolist()]), dtype=torch.float64)

    if wish.figure is None:
        return Requirement(lambda rows: exact(rows) == 0)
    return Lookahead(exact, ahead, tilts)


def words(texts: tuple[str, ...], read: Callable[[str], Wish]) -> str:
    """What was wished, for a certificate: what is never broken in a design that is returned, and what only bent the law."""
    hard = [text for text in texts if read(text).hard]
    soft = [text for text in texts if text not in hard]
    parts = [f"{' & '.join(map(brief, hard))} (hard: a design that breaks it is not returned)"] * bool(hard)
    parts += [f"{' & '.join(map(brief, soft))} (soft: better weighs more, nothing is promised)"] * bool(soft)
    return "; ".join(parts)
