"""Classes told by classifiers: of sequences, of rows in another alphabet, and as a wish that bends designs."""

import pytest
import torch

from constraints.guidance.guides import ClassWish, Lookahead
from domains.design import design
from domains.protein import classes
from domains.protein.classes import Translated, class_probability, look_ahead, probability
from domains.protein.data import PROTEIN
from domains.protein.wishes import guide_of, read_wish
from domains.registry import find_model
from domains.wishes import Wish
from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import load_checkpoint

MAGAININ, UBIQUITIN = "GIGKFLHSAKKFGKAFVGEIMNS", "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQ"


@pytest.fixture(scope="module")
def checkpoint():
    return load_checkpoint(find_model("protein-amp", "protein"))


def test_known_peptides_are_told_apart_and_chains_count_by_the_least():
    one, other = probability("amp", [MAGAININ, UBIQUITIN])
    assert one > 0.9 and other < 0.3
    assert probability("amp", [f"{MAGAININ}/{UBIQUITIN}", MAGAININ, UBIQUITIN]) == pytest.approx([other, one, other], abs=1e-6)


def test_probabilities_are_those_of_the_network_whatever_is_asked_with_them(checkpoint):
    texts = ["KWKLFKKI", "DDEGST", "KWKLFKKL", "ACDEFGHIK"]
    row = torch.tensor([PROTEIN.encode(texts[2])])
    alone = float(checkpoint.network.log_classes(row, torch.zeros(1))[0, checkpoint.label_names.index("other")].exp())
    assert class_probability(checkpoint, "other", texts)[2] == pytest.approx(alone, abs=1e-6)


def test_rows_of_another_alphabet_are_translated(checkpoint):
    other = Alphabet("esm", ("L", "A", "-", *"GVSERTIDPKQNFYMHWC"))
    ahead = look_ahead("amp", other)
    assert isinstance(ahead, Translated) and isinstance(ahead.wish, ClassWish)
    text = "LAG"
    rows = torch.tensor([[*other.encode(text), other.mask, other.ids["-"]]])
    mine = torch.tensor([[*PROTEIN.encode(text), PROTEIN.mask, PROTEIN.ids["X"]]])
    t = torch.tensor([0.2])
    assert torch.equal(ahead(rows, t), checkpoint.network.log_classes(mine, t)[:, checkpoint.label_names.index("amp")])


def test_the_wish_looks_ahead_where_it_asks_for_more_and_weighs_by_the_finished_sequence():
    guide = guide_of("amp >= 0.9", PROTEIN)
    assert isinstance(guide, Lookahead) and guide.ahead is not None
    low = guide_of("amp <= 0.1", PROTEIN)
    assert isinstance(low, Lookahead) and low.ahead is None
    p = probability("amp", [UBIQUITIN])[0]
    wish = read_wish("amp >= 0.9")
    assert isinstance(wish, Wish) and wish.log_weight(UBIQUITIN) == pytest.approx(-4 * (0.9 - p) / 0.1)
    assert guide.final(torch.tensor([PROTEIN.encode(UBIQUITIN)])).item() == pytest.approx(-4 * (0.9 - p) / 0.1)


def test_designs_are_bent_to_the_class():
    request = {"domain": "protein", "model": "protein-composition", "template": "{16}", "n": 12, "bound_draws": 0}
    plain, bent = design(**request), design(**request, wishes=["amp >= 0.9"], particles=8)

    def mean(answer):
        found = probability("amp", [item.sequence for item in answer.designs])
        return sum(found) / len(found)

    assert mean(bent) > mean(plain) + 0.2
    assert "amp >= 0.9 (soft" in str(bent.designs[0].certificate)


def test_a_classifier_that_is_not_there_is_named(monkeypatch):
    from seqdiff.errors import ConditionError

    monkeypatch.setitem(classes.CLASSES, "amp", ("protein-absent", "amp"))
    message = "needs the classifier 'protein-absent' in domains/protein/models, where it is not; `seqdiff train protein-a"
    with pytest.raises(ConditionError, match=message):
        guide_of("amp >= 0.9", PROTEIN)
