"""Worked examples: each is a whole request that runs at once with a bundled model."""

from dataclasses import dataclass

from apps.workbench.draft import Draft
from apps.workbench.parts import parts_of
from apps.workbench.rules import Rule


@dataclass(frozen=True)
class Example:
    """An example: a name, what it does in a sentence or two, and the draft that it opens."""

    name: str
    about: str
    draft: Draft


DOMAINS = {
    "smiles": ("Molecules", "Small molecules written as SMILES. Pin a scaffold, or join and grow fragments."),
    "protein": ("Proteins", "Sequences of amino acids. Pin a motif or a chain, open what may change."),
    "text": ("Text", "Short English texts. Keep some words, leave holes, or say what a text is to tell."),
}
CALMODULIN = "{10-40}FSLFDKDGDGTITTKELGTV{10-40}"
ANTIBODY = "EVQLVESGGGLVQPGGSLRLSCAASGFTFS{5}WVRQAPGKGLEWVS{17}RFTISRDNAKNSLYLQMNSLRAEDTAVYYCAR{8-14}WGQGTLVTVSS"

EXAMPLES: dict[str, tuple[Example, ...]] = {
    "smiles": (
        Example(
            "Vary a linker",
            "Acetamide and fluorophenyl stay; 4 to 9 new tokens join them.",
            Draft("smiles", "Vary a linker", parts_of("CC(=O)N{4-9}c1ccc(F)cc1")),
        ),
        Example(
            "Join two fragments",
            "A pyrrolidine and a benzodioxane become one valid molecule.",
            Draft(
                "smiles",
                "Join two fragments",
                task="linker",
                drawn="[*:1]N1CCCC1.[*:2]c1ccc2c(c1)OCCO2",
                wishes=("valid",),
                n=8,
            ),
        ),
        Example(
            "Grow towards drug-likeness",
            "An indole grows; QED of 0.8 or more is wished, nitrogen to nitrogen bonds are not allowed.",
            Draft(
                "smiles",
                "Grow towards drug-likeness",
                parts_of("c1cc2[nH]ccc2cc1{10-18}"),
                rules=(Rule("avoid", {"what": "N-N"}),),
                wishes=("valid", "qed >= 0.8"),
                n=8,
            ),
        ),
    ),
    "protein": (
        Example(
            "Scaffold a motif",
            "A calcium-binding loop of calmodulin stays; 10 to 40 residues are designed on either side.",
            Draft(
                "protein",
                "Scaffold a motif",
                parts_of(CALMODULIN),
                rules=(Rule("count", {"what": "C", "low": 0, "high": 1}),),
            ),
        ),
        Example(
            "New loops of an antibody",
            "The framework of a heavy chain stays, its three loops are designed without glycosylation sites.",
            Draft("protein", "New loops of an antibody", parts_of(ANTIBODY), rules=(Rule("glycosylation"),)),
        ),
        Example(
            "A charged peptide",
            "25 residues with a net charge of 4 to 7, and no cysteine.",
            Draft(
                "protein",
                "A charged peptide",
                parts_of("{25}"),
                rules=(Rule("charge", {"low": 4.0, "high": 7.0}), Rule("ban", {"what": "C"})),
            ),
        ),
    ),
    "text": (
        Example(
            "Fill the holes of a sentence",
            "A few words about a restaurant stay; two holes are filled, and no price is told.",
            Draft(
                "text",
                "Fill the holes of a sentence",
                parts_of("The {2-4} near the river is {3-6}.", "text"),
                rules=(Rule("never", {"phrases": "cheap, price, expensive"}),),
                label="restaurant",
            ),
        ),
        Example(
            "Write what the facts say",
            "Three facts are given; a sentence of 8 to 16 words and signs is written that names two of them.",
            Draft(
                "text",
                "Write what the facts say",
                parts_of("[name] The Mill [food] Japanese [area] riverside [text] {8-16}", "text"),
                rules=(Rule("somewhere", {"phrases": "Japanese"}), Rule("somewhere", {"phrases": "The Mill"}), Rule("whole")),
                label="restaurant",
            ),
        ),
        Example(
            "Read the facts of a sentence",
            "The sentence stays; what it says of food and area is read from it.",
            Draft(
                "text",
                "Read the facts of a sentence",
                parts_of("[food] {1-2} [area] {1-2} [text] By the river you can eat sushi at The Mill.", "text"),
                label="restaurant",
            ),
        ),
    ),
}
FALLBACK = {"protein": "protein-composition"}  # while no network is bundled, shares of residues are drawn


def default_model(domain: str, names: list[str]) -> str | None:
    """The model that a domain begins with, None where there is none."""
    from domains.registry import DEFAULT_MODEL

    wanted = (DEFAULT_MODEL[domain], FALLBACK.get(domain))
    return next((name for name in wanted if name in names), None)


def offered(names: list[str]) -> list[str]:
    """The domains that have a model."""
    return [domain for domain in DOMAINS if default_model(domain, names)]
