"""Rules and wishes as forms: plain words on the page, the text of constraints (docs/constraints.md) underneath.

A rule always holds: no design breaks it. A wish bends what is drawn, or is a condition that a finished design must meet.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

EVERYWHERE = "everywhere"
WORDS = {
    "smiles": {"things": "atoms", "Given": "Atoms such as O, or F Cl Br with blanks between; aromatic ones are small: c n o"},
    "protein": {"things": "residues", "Given": "Letters of residues, such as C, or K R with a blank between"},
    "text": {"things": "words", "Given": "Words"},
}


@dataclass(frozen=True)
class Kind:
    """A kind of rule.

    Attributes:
        label: on the page. hint: what is to be entered. examples: domain → what stands there at first.
        fields: of "what" (letters, atoms or a motif), "phrases", "low", "high", "text"; () needs nothing more.
        write: values → the constraint's text; say: values → the same in words.
    """

    label: str
    hint: str
    fields: tuple[str, ...]
    write: Callable[[dict], str]
    say: Callable[[dict], str]
    examples: dict[str, str] = field(default_factory=dict)
    local: bool = True

    def label_of(self, domain: str) -> str:
        return self.label.replace("{things}", WORDS[domain]["things"])

    def hint_of(self, domain: str) -> str:
        return self.hint.replace("{Given}", WORDS[domain]["Given"])


@dataclass(frozen=True)
class Rule:
    """A rule of a draft: a key of `KINDS`, what was entered, and the region that it is confined to."""

    kind: str
    values: dict[str, Any] = field(default_factory=dict)
    region: str = EVERYWHERE

    @property
    def text(self) -> str:
        text = KINDS[self.kind].write(self.values)
        return text if self.region == EVERYWHERE else f"within({self.region}, {text})"

    @property
    def words(self) -> str:
        said = KINDS[self.kind].say(self.values)
        return said if self.region == EVERYWHERE else f"{said} – in gap {self.region.removeprefix('gap')} alone"


def spread(low: int, high: int | None) -> str:
    return f"{low}..{'' if high is None else high}"


def between(low: float, high: float | None) -> str:
    if high is None:
        return f"at least {low:g}"
    if low == high:
        return f"exactly {low:g}"
    return f"at most {high:g}" if low == 0 else f"{low:g} to {high:g}"


def tokens(text: str) -> str:
    """Atoms or letters with or without blanks and commas between, as a set."""
    return " ".join(text.replace(",", " ").split())


def charge_text(values: dict) -> str:
    from domains.protein.constraints import net_charge

    return str(net_charge(values["low"], values["high"]))


def phrases(text: str) -> list[str]:
    """Words or phrases with commas between."""
    return [" ".join(phrase.split()) for phrase in text.split(",") if phrase.strip()]


def _writing(name: str, *fields: str) -> Callable[[dict], str]:
    """A constraint of `domains.text.constraints`, which is not imported before it is needed."""

    def write(values: dict) -> str:
        from domains.text import constraints

        given = [phrases(values[field]) if field == "phrases" else values[field] for field in fields]
        return str(getattr(constraints, name)(*given))

    return write


def _said(text: str) -> Callable[[dict], str]:
    return lambda values: text + " or ".join(f"“{phrase}”" for phrase in phrases(values["phrases"]))


def _fixed(text: str) -> Callable[[dict], str]:
    return lambda values: text


KINDS: dict[str, Kind] = {
    "count": Kind(
        "How often {things} occur",
        "{Given}. All of them are counted together.",
        ("what", "low", "high"),
        lambda v: f"count([{tokens(v['what'])}], {spread(v['low'], v['high'])})",
        lambda v: f"{between(v['low'], v['high'])} of {tokens(v['what'])}",
        {"smiles": "O", "protein": "C"},
    ),
    "ban": Kind(
        "Never these {things}",
        "{Given}. Confine it to a gap if what is kept has them.",
        ("what",),
        lambda v: f"ban([{tokens(v['what'])}])",
        lambda v: f"none of {tokens(v['what'])}",
        {"smiles": "S", "protein": "C"},
    ),
    "avoid": Kind(
        "Never this piece",
        "A motif, joined by hyphens: N-N, or N-[^P]-[ST], where [^P] is anything but P and x is anything.",
        ("what",),
        lambda v: f"avoid({v['what'].strip()})",
        lambda v: f"nowhere {v['what'].strip()}",
        {"smiles": "N-N", "protein": "N-G"},
    ),
    "contains": Kind(
        "This piece somewhere",
        "A motif, joined by hyphens: C-F, or C-x(2,4)-C, where x(2,4) is two to four of anything.",
        ("what",),
        lambda v: f"contains({v['what'].strip()})",
        lambda v: f"somewhere {v['what'].strip()}",
        {"smiles": "C-F", "protein": "R-G-D"},
    ),
    "glycosylation": Kind(
        "No N-glycosylation site",
        "A sugar can be attached at N, then anything but P, then S or T.",
        (),
        _fixed("avoid(N-[^P]-[ST])"),
        _fixed("no N-glycosylation site (N, not P, S or T)"),
    ),
    "liabilities": Kind(
        "No deamidation or isomerisation site",
        "NG and DG change by themselves on storage.",
        (),
        _fixed("avoid(N-G) & avoid(D-G)"),
        _fixed("no NG and no DG, which change on storage"),
    ),
    "charge": Kind(
        "Net charge at pH 7",
        "The sum over residues: K and R +1, D and E −1, H a little; the ends of the chain are not counted.",
        ("low", "high"),
        charge_text,
        lambda v: f"net charge {v['low']:g} to {v['high']:g}",
        local=False,
    ),
    "somewhere": Kind(
        "Say this, or one of these",
        "A word or a phrase as it stands; with commas between, one of them: river, by the water.",
        ("phrases",),
        _writing("one_of", "phrases"),
        _said("says "),
        {"text": "river"},
    ),
    "never": Kind(
        "Never say these",
        "Words or phrases with commas between, with a small or a capital letter first.",
        ("phrases",),
        _writing("banned", "phrases"),
        _said("never says "),
        {"text": "cheap, expensive"},
    ),
    "words": Kind(
        "How many words",
        "A word begins with a letter or a digit; signs are not counted.",
        ("low", "high"),
        _writing("words", "low", "high"),
        lambda v: f"{between(v['low'], v['high'])} words",
    ),
    "whole": Kind(
        "End with a whole sentence",
        "The last sign is . or ! or ? and perhaps a quotation mark.",
        (),
        _writing("whole_sentences"),
        _fixed("ends where a sentence ends"),
        local=False,
    ),
    "own": Kind(
        "In the notation of constraints",
        "For those who know it: docs/constraints.md lists what can be said.",
        ("text",),
        lambda v: v["text"].strip(),
        lambda v: v["text"].strip(),
        {"smiles": "count([O], 1..2) & avoid(O-O)", "protein": "count([C], 2) | ban([C])", "text": "length(6..20)"},
    ),
}
OFFERED = {
    "smiles": ("count", "ban", "avoid", "contains", "own"),
    "protein": ("count", "ban", "avoid", "contains", "glycosylation", "liabilities", "charge", "own"),
    "text": ("somewhere", "never", "words", "whole", "own"),
}

# Figure → name, unit or hint, a sensible value and step.
FIGURES: dict[str, dict[str, tuple[str, str, float, float]]] = {
    "smiles": {
        "qed": ("Drug-likeness (QED)", "0 to 1; half of the approved drugs have more than about 0.6", 0.7, 0.05),
        "sa": ("Synthetic accessibility (SA)", "1, easy, to 10, very hard to make", 3.0, 0.5),
        "logp": ("Lipophilicity (logP)", "octanol over water; drugs lie mostly between 0 and 5", 3.0, 0.5),
        "weight": ("Molecular weight", "in daltons", 400.0, 10.0),
        "tpsa": ("Polar surface (TPSA)", "in square ångströms; below 90 for the brain", 90.0, 5.0),
        "rings": ("Rings", "how many", 3.0, 1.0),
    },
    "protein": {
        "charge": ("Net charge at pH 7", "ends of the chain counted", 3.0, 1.0),
        "pi": ("Isoelectric point", "the pH at which it has no net charge", 7.0, 0.5),
        "gravy": ("Hydropathy (GRAVY)", "above 0 water-shy, below 0 water-loving", 0.0, 0.1),
        "instability": ("Instability index", "below 40 is called stable", 40.0, 1.0),
    },
    "text": {
        "words": ("Words", "how many", 12.0, 1.0),
        "sentences": ("Sentences", "how many", 1.0, 1.0),
        "characters": ("Characters", "letters, signs and spaces", 80.0, 5.0),
        "variety": ("Variety", "different words of all words; 1 repeats none", 0.9, 0.05),
        "positive": ("Says something good", "how sure a classifier is of it, 0 to 1", 0.9, 0.05),
        "negative": ("Says something bad", "how sure a classifier is of it, 0 to 1", 0.9, 0.05),
    },
}
PHRASES = {
    "smiles": {
        "valid": "A molecule that can exist (valid)",
        "no pains": "No pattern known to disturb assays (PAINS)",
        "has": "Has a substructure (SMARTS)",
        "lacks": "Lacks a substructure (SMARTS)",
    },
    "protein": {"valid": "A complete sequence (valid)"},
    "text": {
        "valid": "A text that says something (valid)",
        "sentiment is positive": "Must say something good, as a classifier reads it",
        "sentiment is negative": "Must say something bad, as a classifier reads it",
    },
}


def wish_text(figure: str, how: str, value: float, high: float = 0.0) -> str:
    """at least, at most, between → the wish as text."""
    if how == "between":
        return f"{value:g} <= {figure} <= {high:g}"
    return f"{figure} {'>=' if how == 'at least' else '<='} {value:g}"


def hard(wish: str, domain: str) -> bool:
    """Whether no design that breaks the wish is returned. Raises ConditionError."""
    from domains.registry import get_wishes

    return bool(getattr(get_wishes(domain).read_wish(wish), "hard", False))
