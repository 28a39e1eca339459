"""Wishes in words: what can be wished, what it weighs, and that the bundled regressor looks ahead for its own tokens alone."""

import math
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import domains.smiles.wishes as wishes
from constraints.guidance import guides as guidance
from constraints.guidance.guides import Lookahead, Requirement
from domains.design import design
from domains.registry import find_model
from domains.smiles.domain import wish as wish_of_domain
from domains.smiles.properties import describe
from domains.smiles.tokens import tokenize
from domains.smiles.wishes import Wish, guide_of, look_ahead, read_wish, regressor
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.denoisers.classifier import Classifier, ClassifierConfig
from seqdiff.errors import ConditionError, ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.classifier import Regression

INFINITE = float("inf")


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("valid", Wish(None)),
        ("qed >= 0.8", Wish("qed", 0.8, INFINITE)),
        (" QED>=0.8 ", Wish("qed", 0.8, INFINITE)),
        ("2 <= logp <= 3", Wish("logp", 2.0, 3.0)),
        ("-1.5 <= logp", Wish("logp", -1.5, INFINITE)),
        ("1 <= logp >= 2", Wish("logp", 2.0, INFINITE)),
        ("weight <= 400 * 2", Wish("weight", -INFINITE, 400.0, 2.0)),
        ("2 <= rings <= 2", Wish("rings", 2.0, 2.0)),
        ("weight <= 400 * inf", Wish("weight", -INFINITE, 400.0, INFINITE)),
        ("0.3 <= Fraction_sp3", Wish("fraction_sp3", 0.3, INFINITE)),
        ("has c1ccncc1", Wish("count c1ccncc1", 1.0, INFINITE, INFINITE)),
        ("Has 2 [OX2H]", Wish("count [OX2H]", 2.0, 2.0, INFINITE)),
        ("has 2..3 [OX2H]", Wish("count [OX2H]", 2.0, 3.0, INFINITE)),
        ("has 2.. [OX2H]", Wish("count [OX2H]", 2.0, INFINITE, INFINITE)),
        ("lacks [N+](=O)[O-]", Wish("count [N+](=O)[O-]", 0.0, 0.0, INFINITE)),
        ("no pains", Wish("alerts pains", 0.0, 0.0, INFINITE)),
        ("lacks BRENK", Wish("alerts BRENK", 0.0, 0.0, INFINITE)),
        ("1 <= count [OX2H] <= 2 * 3", Wish("count [OX2H]", 1.0, 2.0, 3.0)),
        ("count *= >= 1", Wish("count *=", 1.0, INFINITE)),
        ("0.2 <= similarity CC(=O)Nc1ccc(O)cc1 <= 0.4", Wish("similarity CC(=O)Nc1ccc(O)cc1", 0.2, 0.4)),
        ("score dock >= -7.5 * 0.4", Wish("score dock", -7.5, INFINITE, 0.4)),
    ],
)
def test_a_wish_is_read(text, wish):
    assert read_wish(text) == wish


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("qed", "expected 'valid', or a range such as 'qed >= 0.8'"),
        ("qed > 0.8", "expected 'valid', or a range"),
        ("beauty >= 1", "of one of qed, sa, logp, tpsa, weight, rings, heavy_atoms, donors, .*; got 'beauty >= 1'"),
        ("has", "or 'has SMARTS', 'has 2..3 SMARTS', 'lacks SMARTS'"),
        ("has C N", "expected 'valid', or a range"),
        ("valid CCO", "expected 'valid', or a range"),
        ("qed CCO >= 0.5", "expected 'valid', or a range"),
        ("lacks 2 [OX2H]", "expected 'valid', or a range"),
        ("has 3..2 [OX2H]", "the range of 'has 3..2 .OX2H.' is empty, 3 is more than 2"),
        ("logp >= " + "9" * 400, "is empty, inf is more than inf"),
        ("count >= 2", "expected a SMARTS pattern after 'count', as in 'count … >= 1'"),
        ("similarity >= 0.4", "expected a SMILES after 'similarity'"),
        ("alerts chembl <= 1", "expected a list of alerts, one of pains, brenk, nih; got 'chembl'"),
        ("score dock >= 1", "no scorers were given, so 'score dock' cannot be asked"),
        ("score http://localhost/ >= 1", "no scorers were given"),
        ("has " + "C" * 1200, "expected at most 1,200 characters, got 1,204"),
        ("valid >= 1", "expected 'valid', or a range"),
        ("", "expected 'valid', or a range"),
        ("3 <= logp <= 2", "the range of '3 <= logp <= 2' is empty, 3 is more than 2"),
        ("qed >= 0.8 * 0", "expected a strength above 0"),
        ("qed >= 0.8 * -1", "expected a strength above 0"),
    ],
)
def test_what_cannot_be_wished_is_refused(text, message):
    with pytest.raises(ConditionError, match=message):
        read_wish(text).weigher()


PIECES = [*"2*- é\n", "has", "no", "score", "valid", "qed", "..", "<=", ">=", "inf", "  ", "[OX2H]", "c1", "9" * 400]


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
def test_any_text_is_a_wish_or_refused(text):
    try:
        wish = read_wish(text)
    except ConditionError as error:
        assert str(error).startswith("wish: ")
    else:
        assert wish.figure is None or (wish.low <= wish.high and wish.low < INFINITE and wish.strength > 0)


@pytest.mark.parametrize("text", ["1" * 1190, "a" + " " * 1190 + "<", "has" + " 1" * 590, "qed >= 1" + " " * 1100 + "* 1 x"])
def test_long_texts_are_refused_at_once(text):
    start = time.process_time()
    with pytest.raises(ConditionError):
        read_wish(text)
    assert time.process_time() - start < 1


def test_a_figure_costs_its_distance_from_the_range_and_nothing_inside():
    figures = describe("CCO").metrics
    assert read_wish("valid").log_weight("CCO") == read_wish("qed >= 0.1").log_weight("CCO") == 0.0
    assert read_wish("weight <= 21.07 * 2").log_weight("CCO") == pytest.approx(-2 * (figures["weight"] - 21.07) / 25)
    assert read_wish("qed >= 0.9").log_weight("CCO") == pytest.approx(-4 * (0.9 - figures["qed"]) / 0.1)
    assert read_wish("2 <= rings <= 3").log_weight("CCO") == pytest.approx(-8.0)
    for text in ("valid", "qed >= 0.1", "rings <= 9"):
        assert read_wish(text).log_weight("C1CC") == -INFINITE


def tokens(alphabet: Alphabet, *smiles: str) -> torch.Tensor:
    return torch.tensor([alphabet.encode(tokenize(text)) for text in smiles])


@pytest.fixture(scope="module")
def alphabet() -> Alphabet:
    return load_checkpoint(find_model("smiles-small", "smiles")).alphabet


def tiny(alphabet: Alphabet, target: str = "qed") -> Checkpoint:
    torch.manual_seed(0)
    network = Classifier(ClassifierConfig(len(alphabet), width=16, depth=1, heads=2, center=0.7, scale=0.1))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    system = Regression(Absorbing(len(alphabet), Linear()), target=target)
    return Checkpoint(network.requires_grad_(False), system, alphabet, (), {"": [0, 1]})


def test_a_wish_is_weighed_at_the_end_and_valid_is_required(alphabet):
    rows = tokens(alphabet, "CCO", "CC(", "CCN")
    guide = guide_of("qed >= 0.9", alphabet)
    expected = [read_wish("qed >= 0.9").log_weight(text) for text in ("CCO", "CC(", "CCN")]
    assert guide.final(rows).tolist() == expected and expected[1] == -INFINITE
    valid = guide_of("valid", alphabet)
    assert isinstance(valid, Requirement)
    assert valid.final(rows).tolist() == [0.0, -INFINITE, 0.0]


def test_the_look_ahead_is_the_regressors_probability_and_leaves_the_end_alone(alphabet, monkeypatch):
    found, asked = tiny(alphabet), []
    monkeypatch.setattr(wishes, "regressor", lambda name: asked.append(name) or found)
    guide = wish_of_domain("0.6 <= qed <= 0.8", alphabet)
    assert isinstance(guide, Lookahead) and asked == ["smiles-qed"]
    x_t = torch.where(
        torch.tensor([[0, 1, 1], [0, 0, 1], [0, 1, 1]]).bool(), alphabet.mask, tokens(alphabet, "CCO", "CCN", "CCO")
    )
    g, base = guide.log_tilt(x_t, torch.full((3,), 0.5), torch.arange(3).expand(3, -1), torch.full((3, 3, len(alphabet)), 0.1))
    mean, deviation = found.network.number(x_t)  # type: ignore[operator]
    law = torch.distributions.Normal(mean, deviation)
    assert torch.allclose(base.exp(), law.cdf(torch.tensor(0.8)) - law.cdf(torch.tensor(0.6)), atol=1e-9)
    assert g is None and base[0] == base[2] != base[1]
    rows = tokens(alphabet, "CCO", "CCN")
    assert torch.equal(guide.final(rows), guide_of("0.6 <= qed <= 0.8", alphabet).final(rows))


def test_other_figures_other_tokens_and_points_have_no_look_ahead(alphabet, monkeypatch):
    monkeypatch.setattr(wishes, "regressor", lambda name: tiny(alphabet))
    assert isinstance(look_ahead(alphabet)("qed", 0.8, INFINITE), guidance.Wish)
    assert look_ahead(alphabet)("logp", 2.0, 3.0) is None
    assert look_ahead(alphabet)("qed", 0.8, 0.8) is None
    other = Alphabet("smiles", alphabet.tokens[::-1])
    assert look_ahead(other)("qed", 0.8, INFINITE) is None
    monkeypatch.setattr(wishes, "regressor", lambda name: None)
    assert look_ahead(alphabet)("qed", 0.8, INFINITE) is None


def test_the_bundled_regressor_tells_qed_of_molecules_under_noise_and_is_loaded_once(alphabet):
    found = regressor("smiles-qed")
    assert found is not None and found is regressor("smiles-qed") and found.alphabet == alphabet
    assert isinstance(found.system, Regression) and found.system.target == "qed"
    assert regressor("there-is-none") is None
    held_out = [
        "CCOC(=O)/C(=[NH+]/Nc1ccccc1[N+](=O)[O-])N1CCCCC1",
        "Cc1oc(-c2cccs2)nc1CC(=O)N[C@@H](C)c1cc2c(cc1Br)OCCO2",
        "C/C(=C\\CNc1ncnc2c1ncn2[C@H]1O[C@@H](CO)[C@@H](O)[C@@H]1O)CO",
        "CCc1nn(C)c(OC)c1CNC(=O)c1cc(SC)ccc1C",
        "C[C@H]1CO[C@H](CO)CN1C(=O)c1ccnc(OC(C)(C)C)c1",
        "COC(=O)c1nnsc1NC(=O)c1ccc(C(C)(C)C)cc1",
        "Cc1noc(C)c1[C@H]1CCCN1C(=O)CCc1nc(-c2ccccc2)no1",
        "CC(=O)c1cc2c(cc1NC(=O)Cc1c(C)nn(C)c1C)OCO2",
        "Cc1ccc([N+](=O)[O-])cc1C(=O)Nc1cc(F)ccc1OC(C)C",
        "CC(C)CC[C@H]1CCC[C@@H]1NC(=O)c1cn(CC(N)=O)nn1",
    ]
    qed = torch.tensor([describe(text).metrics["qed"] for text in held_out])
    for every, least in ((0, 0.7), (4, 0.7), (2, 0.7)):  # one token in so many is hidden
        said = []
        for text in held_out:
            x_t = tokens(alphabet, text)
            if every:
                x_t[:, 1::every] = alphabet.mask
            said.append(float(found.network.number(x_t)[0]))  # type: ignore[operator]
        assert float(torch.corrcoef(torch.stack([qed, torch.tensor(said)]))[0, 1]) > least, every


def test_it_is_no_denoiser():
    with pytest.raises(ConfigError, match="it guides a denoiser and cannot fill holes"):
        design(domain="smiles", template="CC{3}C", n=1, model="smiles-qed", bound_draws=0)


def test_wished_designs_are_better_than_others():
    asked = {"domain": "smiles", "template": "c1ccccc1{6}", "n": 24, "syntax": True, "label": "zinc", "bound_draws": 0}
    plain = design(**asked, wishes=["valid"], particles=8).designs
    wished = design(**asked, wishes=["qed >= 0.7 * 12"], particles=8).designs
    better, usual = (sum(d.metrics["qed"] for d in made) / len(made) for made in (wished, plain))
    assert better > usual + 0.02
    assert all(d.certificate.guidance == "qed >= 0.7 * 12" and d.valid and not d.certificate.violations for d in wished)
    assert math.isfinite(min(d.certificate.log_evidence for d in wished))
