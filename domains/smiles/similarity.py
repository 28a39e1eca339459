"""Similarity to a lead: Tanimoto of Morgan fingerprints, radius 2, 2,048 bits, without chirality."""

from domains.smiles.fragments_worker import limited
from domains.smiles.properties import MAX_CHARACTERS, describe, parse
from domains.smiles.substructures import trouble
from seqdiff.errors import ConditionError, TemplateError

RADIUS, BITS = 2, 2048


def read_lead(smiles: str):
    """A Measure: the similarity of each SMILES to the lead. Raises ConditionError saying what cannot be read, and where."""
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.DataStructs import BulkTanimotoSimilarity

    if len(smiles) > MAX_CHARACTERS:
        raise ConditionError(f"wish: expected a lead of at most {MAX_CHARACTERS:,} characters, got {len(smiles):,}")
    try:
        reason = limited(f"{__name__}:reason_here", smiles)
    except TemplateError as error:
        raise ConditionError(f"wish: reading the lead {smiles} {trouble(error)}; give a smaller one") from None
    if reason:
        raise ConditionError(f"wish: the lead {smiles} is no molecule: {reason}")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    wanted = generator.GetFingerprint(parse(smiles))

    def similarity(texts: list[str]) -> list[float | None]:
        molecules = [parse(text) for text in texts]
        prints = [generator.GetFingerprint(molecule) for molecule in molecules if molecule is not None]
        values = iter(BulkTanimotoSimilarity(wanted, prints))
        return [None if molecule is None else next(values) for molecule in molecules]

    return similarity


def reason_here(smiles: str) -> str:
    """Why it is no molecule, in this process; '' if it is one."""
    return "" if parse(smiles) is not None else describe(smiles).reason
