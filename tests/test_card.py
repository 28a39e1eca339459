"""What the card of a classifier on noisy input says is what it tells: a class, a number, or a class of each token."""

import numpy as np
import pytest

from apps.cli.card import classifier_card
from domains.registry import find_model
from seqdiff.checkpoint import load_checkpoint
from seqdiff.training.config import TrainingConfig
from seqdiff.training.data import EncodedData

CARDS = {
    ("protein-amp", "protein"): ("Tells the class: amp, other, from rows of protein", "nats a row:"),
    ("protein-states", "protein"): ("Tells a class of each token, from rows of protein", "nats a tagged token:"),
    ("text-sentiment", "text"): ("Tells the class: positive, negative, from rows of text", "nats a row:"),
    ("smiles-qed", "smiles"): (
        "Tells the number 'qed', from rows of smiles",
        "nats a row, the number in units of its deviation:",
    ),
}


@pytest.mark.parametrize(("model", "domain"), CARDS)
def test_a_card_says_what_is_told_and_in_which_unit(model, domain):
    checkpoint = load_checkpoint(find_model(model, domain))
    rows = EncodedData.from_rows(checkpoint.alphabet, [[0, 1]], [0], np.array([False]), checkpoint.label_names or ("all",))
    card = classifier_card(model, domain, checkpoint, rows, TrainingConfig())
    for said in CARDS[model, domain]:
        assert said in card
    bounds = [value for key, value in checkpoint.metrics.items() if key.startswith("bound/")]
    assert bounds and all(f": {value:.4f}" in card for value in bounds)
