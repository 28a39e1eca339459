"""Were the pinned atoms kept? Checked on the molecular graph, not on the string.

Equal tokens are not enough: a stray ring label could join what was apart, and how a gap ends decides what the next
pinned atom is bonded to. The atoms of a SMILES are numbered in the order in which they are written,
so that the map from the template's atoms to the design's is known and nothing has to be searched.
"""

from collections.abc import Collection, Sequence

NOT_ATOMS = set("-=#$:/\\~().0123456789%")


def is_atom(token: str) -> bool:
    return token[0] not in NOT_ATOMS


def pinned_atoms(tokens: list[str], pinned: list[bool]) -> tuple[int, ...]:
    """Indices, in the order of writing, of the atoms that stand on pinned positions."""
    flags = [pin for token, pin in zip(tokens, pinned, strict=True) if is_atom(token)]
    return tuple(i for i, pin in enumerate(flags) if pin)


def readable(texts: Sequence[str]) -> list[bool]:
    """Whether RDKit's parser takes each; for the child process that a user's template is read in.

    What is done with a design is tried on it, so that no pinned text is worked on outside that could not be in the limits.
    """
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(text, sanitize=False) for text in texts]
        for molecule in molecules:
            if molecule is not None and not Chem.SanitizeMol(molecule, catchErrors=True):
                Chem.AssignStereochemistry(molecule, cleanIt=True, force=True)
                Chem.MolToSmiles(molecule)
    return [molecule is not None for molecule in molecules]


def pins_kept(tokens: list[str], pinned: list[bool], template_tokens: list[str | None]) -> bool:
    """Whether every pinned fragment stands unchanged in the design, atom by atom and bond by bond.

    The template is read with each gap as one atom `*`. Its pinned atoms, mapped in order, must have the same element,
    charge, isotope, hydrogens, aromaticity and chirality in the design; each of their bonds the same type; and
    within a connected pinned fragment no bond may be new, but where the gap is a branch (`Nc2ccc{9}cc2` filled with
    `(CC(=O)NCC)`) the bond past it, as read with the gaps left out. Fragments may touch one another. Where a chiral atom has
    more neighbours than in the template, as in `C[C@@H]{5}N` filled with `1CCC1`, the template does not say which
    of the two forms it is, and either will do.

    Args:
        tokens: the design.
        pinned: which of its positions are pinned.
        template_tokens: the pinned token of each position, None in gaps.
    """
    from rdkit import Chem, rdBase

    if any(pin and token != wanted for token, pin, wanted in zip(tokens, pinned, template_tokens, strict=True)):
        return False
    collapsed = _gaps_as_atoms(template_tokens)
    with rdBase.BlockLogs():
        design = Chem.MolFromSmiles("".join(tokens), sanitize=False)
        template = Chem.MolFromSmiles("".join(token for token, _ in collapsed), sanitize=False)
        without_gaps = Chem.MolFromSmiles("".join(token for token, gap in collapsed if not gap), sanitize=False)
    if design is None or template is None:
        return False
    ours = pinned_atoms([token for token, _ in collapsed], [not gap for _, gap in collapsed])
    theirs = pinned_atoms(tokens, pinned)
    past_gaps = set() if without_gaps is None else _bonds(without_gaps, ours)
    return _same_fragments(template, ours, design, theirs, past_gaps)


def _bonds(molecule, names: tuple[int, ...]) -> set[tuple]:
    """(a, b, type) of every bond, both ways round; atom i is called names[i]."""
    ends = [(names[b.GetBeginAtomIdx()], names[b.GetEndAtomIdx()], b.GetBondType()) for b in molecule.GetBonds()]
    return {*ends, *((b, a, kind) for a, b, kind in ends)}


def _same_fragments(
    template, ours: tuple[int, ...], design, theirs: tuple[int, ...], past_gaps: Collection[tuple] = ()
) -> bool:
    image = dict(zip(ours, theirs, strict=True))
    fragment = _components(template, ours)
    for a in ours:
        wanted, found = template.GetAtomWithIdx(a), design.GetAtomWithIdx(image[a])
        if _atom(wanted) != _atom(found) or not _same_chirality(wanted, found):
            return False
        for b in ours:
            before = template.GetBondBetweenAtoms(a, b)
            after = design.GetBondBetweenAtoms(image[a], image[b])
            if before is not None and (after is None or before.GetBondType() != after.GetBondType()):
                return False
            if after is None or before is not None or fragment[a] != fragment[b]:
                continue
            if (a, b, after.GetBondType()) not in past_gaps:
                return False
    return True


def _atom(atom) -> tuple:
    hydrogens = atom.GetNumExplicitHs() if atom.GetNoImplicit() else None
    return (
        atom.GetAtomicNum(),
        atom.GetFormalCharge(),
        atom.GetIsotope(),
        atom.GetIsAromatic(),
        hydrogens,
    )


def _same_chirality(wanted, found) -> bool:
    """RDKit's tag is relative to the order of the bonds, so that it can be compared among equally many of them only."""
    from rdkit.Chem import ChiralType

    before, after = wanted.GetChiralTag(), found.GetChiralTag()
    if wanted.GetDegree() == found.GetDegree():
        return before == after
    return (before == ChiralType.CHI_UNSPECIFIED) == (after == ChiralType.CHI_UNSPECIFIED)


def _components(molecule, atoms: tuple[int, ...]) -> dict[int, int]:
    """Atom → number of its connected component among `atoms`."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(atoms)
    inside = set(atoms)
    for bond in molecule.GetBonds():
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if a in inside and b in inside:
            graph.add_edge(a, b)
    return {atom: c for c, component in enumerate(nx.connected_components(graph)) for atom in component}


def _gaps_as_atoms(template_tokens: list[str | None]) -> list[tuple[str, bool]]:
    """(token, whether it stands for a gap): each run of None becomes one atom `*`."""
    out: list[tuple[str, bool]] = []
    for token in template_tokens:
        if token is not None:
            out.append((token, False))
        elif not out or not out[-1][1]:
            out.append(("*", True))
    return out
