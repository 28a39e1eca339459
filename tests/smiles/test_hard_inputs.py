"""Stereo, charges, isotopes, ring labels of any size, long, empty and foreign texts: each right, or refused in words."""

import networkx as nx
import pytest
from rdkit import Chem

from domains.design import DesignSpec, prepare
from domains.registry import find_model
from domains.smiles.domain import finish
from domains.smiles.fragments import read_fragments
from domains.smiles.tasks import FragmentTask, task_templates
from domains.smiles.tokens import tokenize
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import SeqdiffError, TemplateError

CHECKPOINT = load_checkpoint(find_model(None, "smiles"))
ALPHABET = CHECKPOINT.alphabet

TEMPLATES = {  # template, a text for each of its gaps, the molecule that was meant
    "chiral centre": ("C[C@@H](N){2}C(=O)O", ["CC"], "C[C@@H](N)CCC(=O)O"),
    "chiral centre after a gap": ("{2}[C@H](C)N", ["CO"], "CO[C@H](C)N"),
    "chiral centre in a ring": ("C[C@]1(O)CCC{1}C1", ["C"], "C[C@]1(O)CCCCC1"),
    "E": ("F/C=C/{2}", ["CO"], "F/C=C/CO"),
    "Z, gaps on both sides": ("{1}/C=C\\{2}", ["F", "CO"], "F/C=C\\CO"),
    "salt": ("[Na+].[O-]C(=O){3}", ["CCN"], "[Na+].[O-]C(=O)CCN"),
    "disconnected": ("CC.N{3}", ["CCO"], "CC.NCCO"),
    "charges": ("[O-][N+](=O)c1ccc({2})cc1", ["CN"], "[O-][N+](=O)c1ccc(CN)cc1"),
    "isotope": ("[2H]C{3}", ["CCO"], "[2H]CCCO"),
}
REFUSED = {  # template → what is said
    "[13CH3]{3}": "'[13CH3]' is not among the model's 67 tokens",
    "C%10CC{3}CC%10": "'%10' is not among the model's 67 tokens",
    "C%(100)CC{3}CC%(100)": "'%(100)' is not among the model's 67 tokens",
    "[H]C{3}": "'[H]' is not among the model's 67 tokens",
    "[Fe+2]{3}": "'[Fe+2]' is not among the model's 67 tokens",
    "C" * 996 + "{3}": "999 tokens with its gaps, but the model was trained on at most 96",
    "C" * 1000 + "{3}": "expected at most 1000 characters, got 1003",
    "": "got an empty text; leave it out",
    "   ": "' ' starts no SMILES token",
    "C\n{3}": "starts no SMILES token",
    "C\x00{3}": "starts no SMILES token",
    "é{3}": "'é' starts no SMILES token",
    "C[R1]{3}": "'[R1]' is not among the model's 67 tokens",
    "{97}": "97 tokens with its gaps, but the model was trained on at most 96",
    "FC(C)(C)(C)(C){3}C": "no molecule: C has bonds of 5",
}
FRAGMENTS = {  # task, drawn, the molecule that was meant where each gap is one oxygen
    "chiral": ("extension", "C[C@@H](N)[*:1]", "C[C@@H](N)O"),
    "chiral, four neighbours": ("extension", "*[C@@](F)(Cl)Br", "O[C@@](F)(Cl)Br"),
    "E": ("extension", "F/C=C/*", "F/C=C/O"),
    "Z": ("extension", "F/C=C\\*", "F/C=C\\O"),
    "E at the other end": ("extension", "*/C=C/F", "O/C=C/F"),
    "charge": ("extension", "*C(=O)[O-]", "OC(=O)[O-]"),
    "quaternary nitrogen": ("extension", "*[N+](C)(C)C", "O[N+](C)(C)C"),
    "isotopes": ("extension", "*C([2H])([2H])C", "OC([2H])([2H])C"),
    "two-digit labels": ("extension", "*C%10CCCC%10", "OC1CCCC1"),
    "three-digit labels": ("extension", "*C%(100)CCCC%(100)", "OC1CCCC1"),
    "explicit hydrogens": ("extension", "[H]C([H])([H])*", "CO"),
    "bridged, stereo": ("decoration", "*N1C[C@H]2C[C@@H]1CN2*", "ON1C[C@H]2C[C@@H]1CN2O"),
    "two chiral ends": ("linker", "[*:1][C@H](C)F.[*:2][C@@H](C)Cl", "O([C@H](C)F)[C@@H](C)Cl"),
}
NOT_DRAWN = {
    "*c1ccccc1.[Na+].[Cl-]": "[Na+] has no attachment point",
    "": "got an empty text",
    " \n ": "got an empty text",
    "*" + "C" * 1000: "at most 1,000 characters, got 1,001",
    "*Cq": "no atom, bond or ring label starts at character 3, 'q'",
    "*C\x00C": "character 3: is no character of SMILES; write ASCII alone",
    "é*C": "character 1: is no character of SMILES; write ASCII alone",
}


@pytest.mark.parametrize(("template", "fills", "expected"), TEMPLATES.values(), ids=TEMPLATES)
def test_templates_keep_what_they_say(template, fills, expected):
    task = prepare(DesignSpec("smiles", template=template, n=1, syntax=True), CHECKPOINT)
    assert task.plan is not None
    canvas = task.template.canvas(tuple(gap.low for gap in task.template.gaps), ALPHABET.mask)
    texts = iter(tokenize("".join(fills)))
    tokens = [ALPHABET.tokens[v] if pin else next(texts) for v, pin in zip(canvas.tokens.tolist(), canvas.pinned, strict=True)]
    found = finish(tokens, canvas, ALPHABET, None)
    assert found["valid"] and found["pins_kept"]
    assert found["canonical"] == Chem.CanonSmiles(expected)


@pytest.mark.parametrize(("template", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_templates_are_refused_before_anything_is_sampled(template, message):
    with pytest.raises(SeqdiffError) as error:
        prepare(DesignSpec("smiles", template=template, n=1, syntax=True), CHECKPOINT)
    assert message in str(error.value)


@pytest.mark.parametrize(("kind", "drawn", "expected"), FRAGMENTS.values(), ids=FRAGMENTS)
def test_fragments_keep_what_was_drawn(kind, drawn, expected):
    """Every template of the task, its gaps filled by one oxygen each, is the molecule that was meant, and is cut back."""
    for writing in task_templates(FragmentTask(kind, drawn, lengths=(1, 1)), ALPHABET):
        prepare(DesignSpec("smiles", template=writing.text, n=1), CHECKPOINT)
        tokens, gap = [], []
        for k, part in enumerate(writing.text.split("{1}")):
            tokens, gap = tokens + ["O"] * (k > 0), gap + [k - 1] * (k > 0)
            tokens, gap = tokens + tokenize(part), gap + [-1] * len(tokenize(part))
        assert Chem.CanonSmiles("".join(tokens)) == Chem.CanonSmiles(expected)
        assert writing.kept(tokens, gap)


@pytest.mark.parametrize(("drawn", "message"), NOT_DRAWN.items(), ids=range(len(NOT_DRAWN)))
def test_what_cannot_be_drawn_is_refused(drawn, message):
    with pytest.raises(TemplateError) as error:
        task_templates(FragmentTask("extension", drawn), ALPHABET)
    assert message in str(error.value)


def test_a_cage_that_rdkit_looks_at_for_seconds_is_ended():
    """A random cubic graph of 1,200 carbons: finding its rings takes longer than the limit, or ends RDKit before."""
    molecule = Chem.RWMol()
    graph = nx.random_regular_graph(3, 1200, seed=1)
    for _ in graph:
        molecule.AddAtom(Chem.Atom(6))
    for a, b in graph.edges:
        molecule.AddBond(a, b, Chem.BondType.SINGLE)
    block = Chem.MolToMolBlock(molecule, kekulize=False, includeStereo=False)
    assert len(block) < 100_000
    with pytest.raises(TemplateError, match="reading it (takes more than 2 seconds|crashed .*); draw something smaller"):
        read_fragments(block)
    assert read_fragments("*C")[0].smiles == "[1*]C"
