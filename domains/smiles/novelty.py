"""The name under which molecules that were trained on are asked for: `domains.novelty.Known`."""

from domains.novelty import Known, hash32

__all__ = ["KnownMolecules", "hash32"]


class KnownMolecules(Known):
    """`Known` of canonical SMILES."""

    from_smiles = Known.of
