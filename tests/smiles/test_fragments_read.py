"""Every form in which fragments may come, what is kept of them, and what is refused in which words."""

import re

import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from domains.smiles import fragments_worker
from domains.smiles.fragments import read_fragments, read_here
from domains.smiles.fragments_worker import limited
from seqdiff.errors import TemplateError


def block(smiles: str, v3000: bool = False) -> str:
    molecule = Chem.MolFromSmiles(smiles)
    AllChem.Compute2DCoords(molecule)  # type: ignore[attr-defined]
    Chem.WedgeMolBonds(molecule, molecule.GetConformer())
    return Chem.MolToMolBlock(molecule, forceV3000=v3000)


R_GROUP = """
  drawn

  3  2  0  0  0  0            999 V2000
    0.0000    0.0000    0.0000 N   0  0
    1.5000    0.0000    0.0000 C   0  0
    3.0000    0.0000    0.0000 R#  0  0
  1  2  1  0
  2  3  1  0
M  RGP  1   3   7
M  END
"""

FORMS = {  # text → (smiles, labels) of each fragment
    "[*:1]c1ccccc1.[*:2]N1CCCC1": [("[1*]c1ccccc1", (1,)), ("[2*]N1CCCC1", (2,))],
    "[11*]CC.[13*]N": [("[1*]CC", (11,)), ("[2*]N", (13,))],
    "*CC|*c1ccncc1": [("[1*]CC", (0,)), ("[2*]c1ccncc1", (0,))],
    "CC(*) | NCC*": [("[1*]CC", (0,)), ("[2*]CCN", (0,))],
    "[*:3]C(=O)N([*:1])[*:2]": [("[1*]C(=O)N([2*])[3*]", (3, 1, 2))],
    "c1ccccc1": [("c1ccccc1", ())],
    "C[N+](C)(C)C*": [("[1*]C[N+](C)(C)C", (0,))],
    "[O-]C(=O)C[*:1]": [("[1*]CC(=O)[O-]", (1,))],
    "[13CH3]C([2H])*": [("[1*]C([2H])[13CH3]", (0,))],
    "C%10CCC%11CCCCC%11C%10*": [("[1*]C1CCCC2CCCCC21", (0,))],
    "C%(100)CCC%(100)*": [("[1*]C1CCC1", (0,))],
    "[H]C([H])([H])C([H])([H])*": [("[1*]CC", (0,))],
    "[CH3:4][CH2:5][*:1]": [("[1*]CC", (1,))],
    "*/C=C/C": [("[1*]/C=C/C", (0,))],
    "*/C=C\\C": [("[1*]/C=C\\C", (0,))],
    "*[C@H](N)C": [("[1*][C@@H](C)N", (0,))],
    "*[C@@H](N)C": [("[1*][C@H](C)N", (0,))],
    "*[C@](*)(N)C": [("[1*][C@@]([2*])(C)N", (0, 0))],
    "*=C1CCNC1": [("[1*]=C1CCNC1", (0,))],
    "*C#C*": [("[1*]C#C[2*]", (0, 0))],
    "[C;H3][N;+;H2][*:1]": [("[1*][NH2+]C", (1,))],
    "[C&H2]([*:1])[*:2]": [("[1*]C[2*]", (1, 2))],
    "C[N;+0]C(=O)[*:1]": [("[1*]C(=O)NC", (1,))],
    "[n;+0]1c[c;-0]cn1*": [("[1*]n1cccn1", (0,))],
    "[N;H0;+0](C)(C)*": [("[1*]N(C)C", (0,))],
    R_GROUP: [("[1*]CN", (7,))],
    block("[1*][C@H](C)O[2*]"): [("[1*]O[C@H]([2*])C", (2, 1))],
    block("[1*][C@@H](C)N", v3000=True): [("[1*][C@@H](C)N", (1,))],
    block("[1*]/C=C\\F") + "\n$$$$\n" + block("[5*]N1CCCC1") + "\n$$$$\n": [("[1*]/C=C\\F", (1,)), ("[2*]N1CCCC1", (5,))],
}


@pytest.mark.parametrize(("text", "wanted"), FORMS.items(), ids=range(len(FORMS)))
def test_forms_are_read_with_all_that_is_drawn(text, wanted):
    found = read_fragments(text)
    labels = [fragment.labels for fragment in found]
    if text.startswith("\n") and "R#" not in text and len(wanted) == 1:  # a mol block numbers points in its own order
        plain = [re.sub(r"\[\d+\*\]", "*", fragment.smiles) for fragment in found]
        assert [Chem.CanonSmiles(s) for s in plain] == [Chem.CanonSmiles(re.sub(r"\[\d+\*\]", "*", s)) for s, _ in wanted]
        assert [sorted(one) for one in labels] == [sorted(one) for _, one in wanted]
        return
    assert [Chem.CanonSmiles(fragment.smiles) for fragment in found] == [Chem.CanonSmiles(smiles) for smiles, _ in wanted]
    assert labels == [one for _, one in wanted]
    assert [k for fragment in found for k in fragment.points] == list(range(1, sum(map(len, labels)) + 1))


REFUSED = {
    "": "got an empty text",
    "CC|": "nothing before or after a |",
    "C*" + "C" * 1000: "at most 1,000 characters, got 1,002",
    "[R1]CC": "write an attachment point as [*:1]",
    "CC{3-5}N": "a gap in braces belongs into a template",
    "CC* ethyl": "holds no blanks",
    "CC(C*": "the branch opened at character 3 is never closed",
    "C1CC*": "ring 1, opened at character 2, is never closed",
    "C(C)(C)(C)(C)C*": "valence for atom # 0 C, 5",
    "c1cccc1*": "is no molecule",
    "c1ccc*c1": "has 2 bonds, expected one",
    "*": "attachment points alone",
    "**": "attachment points alone",
    "*[H]": "on a hydrogen",
    "C[*+]": "has a charge",
    "C:*": "aromatic or unknown bond",
    "C*.[Na+].[Cl-]": "[Na+] has no attachment point",
    "Cl.N=C(N)NCCN": "expected one molecule, or attachment points as in [*:1]C, got 2 molecules without any; leave",
    "C*.N": "leave counter-ions and solvents out",
    "[C,N]C*": "[C,N] is a pattern",
    "[#6]C*": "aliphatic or aromatic",
    "[C;R]C*": "[C;R] is a pattern",
    "C~C*": "is a pattern",
    "[!C]C*": "is a pattern",
    "C!@C*": "is a pattern of bonds",
    "[$(CC)]C*": "is a pattern",
    ".".join("C*" for _ in range(9)): "at most 8, got 9",
    "C(*)(*)(*)C(*)(*)C(*)(*)C(*)(*)C(*)(*)C(*)(*)*": "at most 12 attachment points",
    "nonsense V2000": "not a mol block",
    R_GROUP.replace("N   0", "Q   0"): "atom 1 of record 1 is a list or a class of elements",
    R_GROUP.replace("N   0", "L   0").replace(
        "M  RGP", "M  ALS   1  2 F C   N   \nM  RGP"
    ): "atom 1 of record 1 is a list or a class of elements",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_cannot_be_meant_is_refused_in_words(text, message):
    with pytest.raises(TemplateError) as error:
        read_here(text) if text and len(text) <= 1000 else read_fragments(text)
    assert message in str(error.value)


def slow(_: str) -> None:
    while True:
        pass


def greedy(_: str) -> int:
    return len([bytes(1 << 20) for _ in range(10_000)])


def test_reading_is_limited_and_goes_on_afterwards(monkeypatch):
    monkeypatch.syspath_prepend(__file__.rpartition("/")[0])
    fragments_worker.close()  # a child that knows this folder
    with pytest.raises(TemplateError, match=r"takes more than 0\.2 seconds; draw something smaller"):
        limited("test_fragments_read:slow", "", seconds=0.2)
    with pytest.raises(TemplateError, match="needs more than 128 MB"):
        limited("test_fragments_read:greedy", "", seconds=20.0, megabytes=128)
    with pytest.raises(TemplateError, match="failed with ZeroDivisionError"):
        limited("operator:truediv", 1, 0)
    assert read_fragments("*C")[0].smiles == "[1*]C"
    fragments_worker.close()
    assert read_fragments("*C" + "C" * 998)[0].smiles == "[1*]" + "C" * 999
