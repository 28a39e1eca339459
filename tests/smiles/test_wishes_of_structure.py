"""Substructures, alerts and similarity as wishes: what they find, what is hard, and that a hostile pattern is refused."""

import math
import time

import pytest
import torch
from rdkit import Chem
from rdkit.Chem import AllChem, DataStructs

from constraints.guidance.guides import Lookahead, RewardGuide
from domains.design import design
from domains.registry import find_model
from domains.smiles.completions import HOLES, LEAST, REST, UNKNOWN, LastHoles, Steered, mended
from domains.smiles.domain import wish as wish_of_domain
from domains.smiles.properties import parse
from domains.smiles.tokens import tokenize
from domains.smiles.wishes import FIGURES, guide_of, read_wish
from domains.wishes import words
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import ConditionError

NEVER = -float("inf")
CATECHOL, RHODANINE, NITRO = "Oc1ccccc1O", "O=C1NC(=S)SC1=Cc1ccccc1", "O=[N+]([O-])c1ccccc1"
HOSTILE = "has *.*.*.*.*.*.*.*.[U]"  # a search through 40⁸ choices of atoms
BIG = "C1CC1C(CCC(CC)CCCCC(CCC)CCC)CCCCCCC(C)CC"


@pytest.mark.parametrize(
    ("text", "kept", "refused"),
    [
        ("has c1ccncc1", ["Cc1ccncc1", "c1cc2ccccc2nc1"], ["c1ccccc1", "C1CCNCC1", "c1ccncc"]),
        ("lacks [N+](=O)[O-]", ["c1ccccc1", "C[N+](C)(C)C"], [NITRO, "C["]),
        ("has 2..3 [OX2H]", ["OCCO", "OCC(O)CO"], ["CCO", "OCC(O)C(O)CO", "COC"]),
        ("has 2 c1ccccc1", ["c1ccc(-c2ccccc2)cc1"], ["c1ccccc1"]),  # rings, not ways to lay the pattern on them
        ("has C[C@H](N)C(=O)O", ["C[C@H](N)C(=O)O"], ["C[C@@H](N)C(=O)O", "CC(N)C(=O)O"]),
        ("no pains", [NITRO, "CCO"], [CATECHOL, RHODANINE]),
        ("no brenk", ["CCO"], [NITRO]),
        ("lacks nih", ["CCO"], ["CC(=O)C=C"]),
        ("alerts brenk <= 1 * inf", ["CCO", "CCCCCCCC"], [NITRO]),
    ],
)
def test_what_is_hard_is_kept_or_refused(text, kept, refused):
    wish = read_wish(text)
    assert wish.hard
    assert wish.weigher()([*kept, *refused]) == [0.0] * len(kept) + [NEVER] * len(refused)


def test_a_count_as_a_range_is_soft():
    wish = read_wish("2 <= count [OX2H] <= 3 * 2")
    assert not wish.hard
    assert wish.weigher()(["CC", "CCO", "OCCO", "OCC(O)C(O)C(O)CO"]) == [-4.0, -2.0, 0.0, -4.0]


def test_similarity_is_tanimoto_of_morgan_fingerprints_of_radius_2_in_2048_bits():
    lead, others = "CC(=O)Nc1ccc(O)cc1", ["CC(=O)Nc1ccccc1", "CC(=O)Nc1ccc(O)cc1", "CCO", "C("]

    def fingerprint(smiles):
        return AllChem.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint(Chem.MolFromSmiles(smiles))

    values = [DataStructs.TanimotoSimilarity(fingerprint(lead), fingerprint(text)) for text in others[:3]]
    found = read_wish(f"similarity {lead} >= 0.9 * 1").weigher()(others)
    assert found == pytest.approx([-(0.9 - values[0]) / 0.1, 0.0, -(0.9 - values[2]) / 0.1, NEVER])
    assert read_wish(f"similarity {lead} <= 0.4 * 1").log_weight(lead) == pytest.approx(-6.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("has [OX2H", r"cannot be read from character 5 on\n  \[OX2H\n      \^"),
        ("lacks CC)C", r"cannot be read from character 3 on\n  CC\)C\n    \^"),
        ("has [$([OX2H)]", "cannot be read from character 9 on"),
        ("count c1ccncc >= 1", "opens a ring that it does not close: c1ccncc"),
        ("has [é]", "character 2 of the SMARTS pattern, 'é', cannot stand in one"),
        ("no pain", "the SMARTS pattern cannot be read from character 3 on"),
        ("has " + "C" * 501, "expected a SMARTS pattern of at most 500 characters, got 501"),
        ("similarity CC(C >= 0.4", r"the lead CC\(C is no molecule: the branch opened at character 3 is never closed"),
        ("similarity CN(C)(C)C >= 0.4", "the lead .* is no molecule: the N at character 2 .atom 1. has a valence of 4"),
        ("similarity " + "C" * 1001 + " >= 0.4", "expected a lead of at most 1,000 characters, got 1,001"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place(text, message):
    with pytest.raises(ConditionError, match=message):
        guide_of(text, Alphabet("smiles", ("C", "O")))


def test_a_pattern_that_would_search_for_hours_is_stopped():
    weigh = read_wish(HOSTILE).weigher()
    start = time.monotonic()
    with pytest.raises(ConditionError, match=r"looking for \*\.\*.* takes more than 2 seconds; ask for a smaller"):
        weigh([BIG])
    assert time.monotonic() - start < 30
    assert read_wish("has C1CC1").log_weight(BIG) == 0.0  # the next one is answered


def test_equal_molecules_are_measured_once(monkeypatch):
    from domains.smiles import wishes

    asked = []
    monkeypatch.setitem(wishes.READERS, "count", lambda smarts: lambda texts: asked.extend(texts) or [1.0] * len(texts))
    weigh = read_wish("has C").weigher()
    assert weigh(["CC", "C(", "CC", "CCC"]) == [0.0, NEVER, 0.0, 0.0] and weigh(["CCC"]) == [0.0]
    assert asked == ["CC", "CCC"]


def test_words_tell_hard_from_soft():
    asked = ("valid", "qed >= 0.8", "no pains", "weight <= 400 * inf")
    assert words(asked, read_wish) == (
        "valid & no pains & weight <= 400 * inf (hard: a design that breaks it is not returned); "
        "qed >= 0.8 (soft: better weighs more, nothing is promised)"
    )
    assert "soft" not in words(("valid",), read_wish) and "hard" not in words(("qed >= 0.8",), read_wish)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC(C", "CCC"),
        ("CC)C", "CCC"),
        ("C1CC", "CCC"),
        ("C1CC1C2C", "C1CC1CC"),
        ("C((C)C1CC)1)O", "C((C)C1CC)1O"),
        ("c1ccccc1(C)", "c1ccccc1(C)"),
        ("C%12CC%12C%13", "C%12CC%12C"),
    ],
)
def test_branches_and_ring_labels_without_a_partner_are_left_out(text, expected):
    assert "".join(mended(tokenize(text))) == expected


@pytest.fixture(scope="module")
def alphabet() -> Alphabet:
    return load_checkpoint(find_model("smiles-small", "smiles")).alphabet


def test_completions_tell_on_the_way_and_the_exact_wish_at_the_end(alphabet):
    guide = wish_of_domain("has [F,Cl]", alphabet)
    assert isinstance(guide, Steered)
    V, hole = len(alphabet), alphabet.mask
    x_t = torch.tensor([[*alphabet.encode(["C", "C"]), hole], [*alphabet.encode(["Cl", "C"]), hole]])
    p = torch.zeros(2, 3, V, dtype=torch.float64)
    p[..., alphabet.ids["F"]], p[..., alphabet.ids["C"]] = 0.5, 0.5
    positions, t = torch.arange(3).expand(2, -1), torch.full((2,), 0.3)
    g, base = guide.log_tilt(x_t, t, positions, p)
    assert g is None and base[1] == 0.0  # it has one whatever comes
    misses = math.exp(LEAST)
    assert any(math.isclose(base[0], math.log((hits + (4 - hits) * misses) / 4)) for hits in range(1, 4))  # of the 4 drawn
    p[..., alphabet.ids["F"]], p[..., alphabet.ids["C"]] = 0.0, 1.0
    assert guide.log_tilt(x_t, t, positions, p)[1][0] == pytest.approx(LEAST)
    p[..., alphabet.ids["C"]], p[..., alphabet.ids["="]] = 0.0, 1.0
    assert guide.log_tilt(x_t, t, positions, p)[1].tolist() == pytest.approx([UNKNOWN] * 2)
    rows = torch.tensor([alphabet.encode(["C", "C", "F"]), alphabet.encode(["C", "C", "C"]), alphabet.encode(["C", "F", "("])])
    assert guide.final(rows).tolist() == [0.0, NEVER, NEVER]


def test_rows_with_many_holes_are_not_completed(alphabet):
    def failing(rows):
        raise AssertionError

    guide = Steered(RewardGuide(failing), guide_of("has F", alphabet))
    x_t = torch.full((2, HOLES + 1), alphabet.mask)
    p = torch.full((2, HOLES + 1, len(alphabet)), 1 / len(alphabet), dtype=torch.float64)
    positions = torch.arange(HOLES + 1).expand(2, -1)
    assert guide.log_tilt(x_t, torch.ones(2), positions, p)[1].tolist() == [0.0, 0.0]
    x_t[1, 0] = 0
    with pytest.raises(ConditionError, match="AssertionError"):
        guide.log_tilt(x_t, torch.ones(2), positions, p)


def test_completions_are_a_function_of_the_row(alphabet):
    guide = wish_of_domain("3 <= logp <= 4", alphabet)
    generator = torch.Generator().manual_seed(0)
    x_t = torch.tensor([alphabet.encode(tokenize("CCc1ccccc1OC"))]).repeat(3, 1)
    x_t[:, [1, 3, 10]] = alphabet.mask
    x_t[2, 0] = alphabet.ids["N"]
    p = torch.rand(1, x_t.shape[1], len(alphabet), generator=generator, dtype=torch.float64).repeat(3, 1, 1)
    p = p / p.sum(-1, keepdim=True)
    positions = torch.arange(x_t.shape[1]).expand(3, -1)
    base = guide.log_tilt(x_t, torch.full((3,), 0.2), positions, p)[1]
    alone = guide.log_tilt(x_t[2:], torch.full((1,), 0.2), positions[2:], p[2:])[1]
    assert base[0] == base[1] and base[2] == alone[0]


def given(row: str, alphabet: Alphabet, *holes: dict[str, float]):
    """A row with a hole at each "?", the queried positions of all tokens, and p with these probabilities at the holes."""
    tokens = [token for part in row.split("?") for token in (*tokenize(part), None)][:-1]
    x_t = torch.tensor([[alphabet.mask if token is None else alphabet.ids[token] for token in tokens]])
    p = torch.full((1, len(tokens), len(alphabet)), 1 / len(alphabet), dtype=torch.float64)
    for place, law in zip((x_t[0] == alphabet.mask).nonzero()[:, 0].tolist(), holes, strict=True):
        p[0, place] = 0.0
        for token, mass in law.items():
            p[0, place, alphabet.ids[token]] = mass
    return x_t, torch.zeros(1), torch.arange(len(tokens)).unsqueeze(0), p


def test_the_last_hole_is_drawn_given_that_the_row_is_valid(alphabet):
    guide = wish_of_domain("valid", alphabet)
    assert isinstance(guide, LastHoles)
    x_t, t, positions, p = given("c1ccccc?", alphabet, {"1": 0.5, "c": 0.3, "C": 0.2 - REST / 2, "N": REST / 2})
    g, base = guide.log_tilt(x_t, t, positions, p)
    said = {token: float(g[0, 7, alphabet.ids[token]].exp()) for token in ("1", "c", "C", "N")}
    assert said["1"] == 1.0 and said["N"] == 1.0 and base.tolist() == [0.0]  # of N it was not asked
    assert said["c"] == pytest.approx(REST / (0.3 + REST)) and said["C"] == pytest.approx(REST / (0.2 + REST), rel=1e-3)
    assert not g[0, :7].any()
    assert guide.final(torch.tensor([alphabet.encode(tokenize(text)) for text in ("c1ccccc1", "c1ccccCC")])).tolist() == [
        0.0,
        NEVER,
    ]


def test_the_last_two_holes_are_gone_through_together(alphabet):
    guide = wish_of_domain("valid", alphabet)
    law = {"1": 0.5, "c": 0.3, "n": 0.2}
    g, _ = guide.log_tilt(*given("c1cccc??", alphabet, law, {"1": 0.6, "C": 0.4}))
    first, second = ({v: float(g[0, i, alphabet.ids[v]].exp()) for v in ("1", "c", "n", "C")} for i in (6, 7))
    assert first["c"] == pytest.approx(0.6, abs=1e-3) and first["n"] == pytest.approx(0.6, abs=1e-3)  # closed by the second
    assert first["1"] < 2 * REST / 0.5  # a ring of five carbons
    assert second["1"] == pytest.approx(0.5, abs=1e-3) and second["C"] < 2 * REST / 0.4


def test_rows_with_more_holes_are_not_looked_at_for_validity(alphabet):
    def failing(rows):
        raise AssertionError

    guide = LastHoles(failing, wish_of_domain("valid", alphabet))
    three = given("C???", alphabet, {"C": 1.0}, {"C": 1.0}, {"C": 1.0})
    assert not guide.log_tilt(*three)[0].any() and not guide.log_tilt(*given("CC", alphabet))[0].any()
    with pytest.raises(AssertionError):
        guide.log_tilt(*given("CC??", alphabet, {"C": 1.0}, {"C": 1.0}))
    x_t, t, positions, p = three
    assert not guide.log_tilt(x_t, t, positions[:, 1:2], p[:, 1:2])[0].any()  # two of the three are not asked for


def test_without_a_look_ahead_and_for_alerts_only_the_end_weighs(alphabet):
    for guide in (guide_of("has F", alphabet), wish_of_domain("no pains", alphabet)):
        assert isinstance(guide, Lookahead) and guide.ahead is None


def test_particles_are_left_to_themselves_where_only_validity_is_wished(monkeypatch):
    shares = []

    def taken(*_, threshold: float, **__):
        shares.append(threshold)
        return iter(())

    monkeypatch.setattr("domains.design.generate_clouds", taken)
    for wishes in (["valid"], [" Valid"], ["valid", "qed >= 0.5"], ["no pains"], []):
        design(domain="smiles", template="C{2}", n=1, particles=4, wishes=wishes, bound_draws=0)
    assert shares == [0.0, 0.0, 0.5, 0.5, 0.5]


def test_designs_have_what_is_required_and_lack_what_is_banned():
    asked = {"domain": "smiles", "template": "NC(=O)c1ccccc1{5}", "n": 5, "syntax": True, "label": "zinc", "bound_draws": 0}
    made = design(**asked, wishes=["has [F,Cl,Br,O;!$(O=C)]", "lacks [SX2]", "no pains"], particles=8)
    assert made.designs and len(made.designs) + len(made.abstained) == 5
    wanted, banned = Chem.MolFromSmarts("[F,Cl,Br,O;!$(O=C)]"), Chem.MolFromSmarts("[SX2]")
    for item in made.designs:
        molecule = parse(item.sequence)
        assert item.valid and molecule.HasSubstructMatch(wanted) and not molecule.HasSubstructMatch(banned)
    assert FIGURES.measure("alerts", "pains")([item.sequence for item in made.designs]) == [0] * len(made.designs)
