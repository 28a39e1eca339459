"""Structural alerts: how many entries of a published list of unwanted substructures a molecule has, by RDKit's FilterCatalog.

PAINS: Baell and Holloway, J. Med. Chem. 53:2719, 2010 (A, B and C); BRENK: Brenk et al., ChemMedChem 3:435, 2008;
NIH: Jadhav et al., J. Med. Chem. 53:37, 2010, and Doveston et al., Org. Biomol. Chem. 13:859, 2015.
"""

from functools import cache

from domains.smiles.properties import parse
from seqdiff.errors import ConditionError

ALERTS = ("pains", "brenk", "nih")


def read_alerts(name: str):
    """A Measure: how many alerts of the list each SMILES raises. Raises ConditionError for another list."""
    if name.lower() not in ALERTS:
        raise ConditionError(f"wish: expected a list of alerts, one of {', '.join(ALERTS)}; got {name!r}")
    catalog = _catalog(name.upper())

    def alerts(texts: list[str]) -> list[float | None]:
        molecules = [parse(text) for text in texts]
        return [None if molecule is None else len(catalog.GetMatches(molecule)) for molecule in molecules]

    return alerts


@cache
def _catalog(name: str):
    from rdkit.Chem import FilterCatalog as filters

    return filters.FilterCatalog(getattr(filters.FilterCatalogParams.FilterCatalogs, name))
