"""What can be known of a model from the small files of its folder, without loading it: what it draws, classes, fields."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# Class of a bundled model → in words.
CLASSES = {
    "zinc": "molecules one can buy (ZINC)",
    "chembl": "molecules of medicine (ChEMBL)",
    "swissprot": "well-known proteins (Swiss-Prot)",
    "refseq": "proteins of all kinds (RefSeq)",
    "joined": "proteins by the families that they share",
    "restaurant": "restaurants",
    "scene": "scenes of a picture",
    "opinion": "opinions of a product",
}


@dataclass(frozen=True)
class Card:
    """Of a model that draws: its domain, its classes, and the fields that its texts can tell."""

    domain: str
    classes: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


@lru_cache(maxsize=256)
def card(folder: Path) -> Card | None:
    """None for a folder that holds no model that draws: a classifier, or a damaged file."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        alphabet = json.loads((folder / "alphabet.json").read_text(encoding="utf-8"))
        if "sampler" not in config["system"] and config["system"]["kind"] in ("classifier", "regressor", "tagger"):
            return None
        fields = [token[1:-1] for token in alphabet["tokens"] if token[:1] == "[" and token[1:-1].islower() and len(token) > 3]
        domain = str(alphabet["name"]).partition("-")[0]
        told = tuple(name for name in fields if name != "text") if domain == "text" else ()
        return Card(domain, tuple(config.get("label_names") or ()), told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def offered(folders: dict[str, Path], domain: str) -> list[str]:
    """The names of the models that draw sequences of a domain."""
    return [name for name, folder in folders.items() if (found := card(folder)) is not None and found.domain == domain]
