"""Sentiment: what the classifier tells of texts and of rows under noise, what leads on the way, and texts that have it."""

import re
from pathlib import Path

import pytest
import torch
from text_model import tiny_text

from apps.cli import train
from constraints.guidance.guides import FirstOrderGuide, Lookahead, Requirement
from constraints.guidance.steered import Steered
from domains.design import design
from domains.registry import find_model
from domains.text import sentiment
from domains.text.fields import row
from domains.text.gradients import gradient
from domains.text.sentiment import classifier, probability, towards
from domains.text.tokens import encode
from domains.text.wishes import guide_of, read_wish
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import ConditionError

PRAISE = ["Easy to use, great picture quality", "an absolutely wonderful film", "fast and reliable, good price"]
BLAME = ["Terrible battery life, poor support", "a dull and tedious mess", "hard to use and it broke after a week"]


@pytest.fixture(scope="module")
def model():
    return load_checkpoint(find_model("text-small", "text"))


def test_the_classifier_tells_praise_from_blame():
    assert min(probability("positive", PRAISE)) > 0.7 and max(probability("positive", BLAME)) < 0.3
    for good, bad in zip(probability("positive", BLAME), probability("negative", BLAME), strict=True):
        assert good + bad == pytest.approx(1, abs=1e-9)


def test_a_text_is_told_alike_in_any_company():
    texts = [*PRAISE, *BLAME, PRAISE[0], "good"]
    alone = [probability("positive", [text])[0] for text in texts]
    assert probability("positive", texts) == pytest.approx(alone, abs=1e-6)
    assert probability("positive", texts[::-1])[::-1] == pytest.approx(alone, abs=1e-6)


def test_characters_without_a_token_are_left_out():
    said, known = probability("positive", ["great 漢 picture", "great picture"])
    assert said == pytest.approx(known, abs=1e-6)
    assert probability("positive", ["漢字", "", "great"])[:2] == [None, None]


@pytest.mark.parametrize(
    ("text", "figure", "low", "high", "hard"),
    [
        ("positive >= 0.9", "positive", 0.9, float("inf"), False),
        ("negative <= 0.2 * 8", "negative", float("-inf"), 0.2, False),
        ("sentiment is positive", "positive", 0.5, float("inf"), True),
        ("Sentiment  is Negative", "negative", 0.5, float("inf"), True),
    ],
)
def test_wishes_are_read(text, figure, low, high, hard):
    wish = read_wish(text)
    assert (wish.figure, wish.low, wish.high, wish.hard) == (figure, low, high, hard)


@pytest.mark.parametrize("text", ["sentiment is fine", "sentiment positive", "positive", "sentiment >= 0.9"])
def test_other_words_are_refused(text):
    with pytest.raises(ConditionError, match="'sentiment is positive'"):
        read_wish(text)


def test_a_range_leads_to_the_class_it_asks_for(model):
    assert towards("positive", 0.9, float("inf")) == "positive" and towards("positive", float("-inf"), 0.1) == "negative"
    assert towards("negative", 0.4, 0.6) is None and towards("negative", 0.0, 1.0) is None
    led, other = guide_of("positive <= 0.1", model.alphabet), guide_of("0.4 <= positive <= 0.6", model.alphabet)
    assert isinstance(led, Lookahead) and led.tilts and other.ahead is None and not other.tilts
    assert led.ahead.label == classifier().label_names.index("negative") and led.ahead.strength == 4
    assert guide_of("positive >= 0.9 * 2", model.alphabet).ahead.strength == 2
    assert guide_of("words <= 9", model.alphabet).ahead is None
    assert isinstance(guide_of("valid", model.alphabet), Requirement)


def test_what_is_wished_is_weighed_as_the_finished_text_says(model):
    guide = guide_of("positive >= 0.9", model.alphabet)
    rows = [row(text, (("opinion", "good"),), model.alphabet) for text in (PRAISE[0], BLAME[0])]
    p = probability("positive", [PRAISE[0], BLAME[0]])
    for ids, value in zip(rows, p, strict=True):
        expected = -4 * max(0.9 - value, 0) / 0.1
        assert float(guide.final(torch.tensor([ids]))) == pytest.approx(expected, abs=1e-4)


def test_fields_are_not_looked_at_and_holes_are(model):
    """The classifier is asked of the text alone, wherever it begins in a row, of ids and of their one-hots alike."""
    said = sentiment.said("positive", model.alphabet)
    texts = ["A cheap pub by the river", "easy to use but very noisy"]
    told = [row(text, (("opinion", "bad"),), model.alphabet) for text in texts]
    told += [row(texts[0], (), model.alphabet) + encode(" it is", model.alphabet)]
    length = max(map(len, told))
    assert {len(ids) for ids in told[:2]} == {length} and told[0][2] == model.alphabet.ids["[text]"]
    alone = torch.cat([said(torch.tensor([row(text, (), model.alphabet)])) for text in texts])
    rows = torch.tensor(told[:2])
    assert said(rows).allclose(alone, atol=1e-6)
    soft = torch.nn.functional.one_hot(rows, len(model.alphabet) + 1).float()
    assert said(soft).allclose(alone, atol=1e-6)
    masked = rows.clone()
    masked[:, 4] = model.alphabet.mask
    assert not said(masked).allclose(alone, atol=1e-3)
    hidden = rows.clone()
    hidden[:, 1] = model.alphabet.mask  # the field's value
    assert said(hidden).equal(said(rows))


def test_a_token_that_the_classifier_lacks_is_a_hole_to_it():
    """Another model of words: its rows in the classifier's tokens, and nothing else told."""
    checkpoint = tiny_text(texts="A great and xqzzy pub. the e s r v o d", fields=())
    own, alphabet = classifier().alphabet, checkpoint.alphabet
    assert " xqzzy" in alphabet.ids and " xqzzy" not in own.ids
    said, ids = sentiment.said("positive", alphabet), encode(" A great and xqzzy pub", alphabet)
    known = [own.ids[token] if token != " xqzzy" else own.mask for token in (alphabet.tokens[i] for i in ids)]
    label = classifier().label_names.index("positive")
    expected = classifier().network.log_classes(torch.tensor([known]))[:, label]
    assert said(torch.tensor([ids])).allclose(expected, atol=1e-6)
    soft = torch.nn.functional.one_hot(torch.tensor([ids]), len(alphabet)).double()
    assert said(soft).allclose(expected, atol=1e-6)


def test_other_alphabets_are_told_when_they_are_done():
    alphabet = tiny_text("characters", fields=()).alphabet
    assert sentiment.said("positive", alphabet) is None and gradient("positive >= 0.9", alphabet) is None
    guide = guide_of("positive >= 0.9", alphabet)
    assert guide.ahead is None and not guide.tilts
    made = design(domain="text", checkpoint=tiny_text("characters", fields=()), template="{6}", n=2, wishes=["negative >= 0.1"])
    assert made.designs or made.abstained


def test_the_tilt_is_the_slope_of_what_is_told(model):
    guide = guide_of("positive >= 0.9", model.alphabet)
    rows = torch.tensor([row(text, (("opinion", "good"),), model.alphabet) for text in ("easy to use it", "far too noisy it")])
    rows[:, 4] = model.alphabet.mask
    positions, p = torch.tensor([[4], [4]]), torch.full((2, 1, len(model.alphabet)), 1 / len(model.alphabet))
    g, base = guide.log_tilt(rows, None, positions, p)
    one_hots = lambda x_t, t=None: guide.ahead(x_t, t)  # noqa: E731
    slope, told = FirstOrderGuide(one_hots).log_tilt(rows, None, positions, p)
    assert g.allclose(slope, atol=1e-4) and base.allclose(told, atol=1e-5) and base.allclose(guide.ahead(rows), atol=1e-5)
    good, bad = (model.alphabet.ids[word] for word in (" excellent", " poor"))
    jumps = []
    for word in (good, bad):
        there = rows.clone()
        there[:, 4] = word
        jumps.append(guide.ahead(there) - base)
    assert bool((g[:, 0, good] > g[:, 0, bad]).all()) and bool((jumps[0] > jumps[1]).all()), "it leans where jumps lead"
    assert float((g[1, 0, good] - g[1, 0, bad]) / (jumps[0] - jumps[1])[1]) > 0.3, "where nothing is settled yet, by as much"


def test_without_one_hots_the_slope_is_the_same():
    """Rows of other tokens, fields of several lengths, some holes among the fields, all positions asked for."""
    alphabet = tiny_text(texts="A great and xqzzy pub. the e s r v o d Thai food", fields=("area", "food")).alphabet
    said = sentiment.said("negative", alphabet, 2.0)
    rows = [row("A great and xqzzy pub.", fields, alphabet) for fields in ((), (("food", "Thai"),), (("area", "the pub"),))]
    rows = torch.tensor([[*ids, *[alphabet.ids["."]] * (10 - len(ids))] for ids in rows])
    rows[:, -3], rows[1, 1], rows[0, 2] = alphabet.mask, alphabet.mask, alphabet.mask
    positions, p = torch.arange(10).expand(3, -1), torch.full((3, 10, len(alphabet)), 0.1)
    for everywhere in (False, True):
        by_embeddings = FirstOrderGuide(said, everywhere).log_tilt(rows, None, positions, p)
        by_one_hots = FirstOrderGuide(lambda x_t, t=None: said(x_t, t), everywhere).log_tilt(rows, None, positions, p)
        assert by_embeddings[0].abs().sum() > 1 and by_embeddings[0].dtype == torch.float64
        for one, other in zip(by_embeddings, by_one_hots, strict=True):
            assert one.allclose(other, atol=1e-4)
    assert not by_embeddings[0][1, :3].any(), "fields are not looked at"


def test_texts_say_what_is_asked(model):
    asked = {"domain": "text", "checkpoint": model, "template": "{6}", "label": "opinion", "n": 8, "steps": 6, "bound_draws": 0}
    free = [item.sequence for item in design(**asked).designs]
    required = design(**asked, wishes=["sentiment is negative"], particles=4)
    assert len(required.designs) + len(required.abstained) == 8 and len(required.designs) >= 6
    said = [item.sequence for item in required.designs]
    assert min(probability("negative", said)) >= 0.5
    wished = [item.sequence for item in design(**asked, wishes=["negative >= 0.9"], particles=4).designs]
    share = lambda texts: sum(p >= 0.5 for p in probability("negative", texts)) / len(texts)  # noqa: E731
    assert share(wished) >= 0.9 > share(free)
    certificate = required.designs[0].certificate
    assert certificate.guidance == "sentiment is negative" and "not returned" in certificate.text


def test_vectors_are_moved_towards_it(model):
    """Soft tokens of a flat law, moved up: what the classifier tells of them rises, and more with the strength."""
    reached = []
    for strength in (1, 4):
        wish = gradient(f"positive >= 0.9 * {strength}", model.alphabet)
        assert wish.strength == strength
        generator = torch.Generator().manual_seed(0)
        table = torch.randn(len(model.alphabet), 8, generator=generator)
        mean = torch.zeros(2, 6, 8)
        law = lambda x: (x @ table.T).softmax(-1)  # noqa: B023, E731
        steered = Steered(None, (wish,), fluency=1.0, steps=5)
        moved = steered.ascend(mean, mean, torch.ones(2, 1, 1), law)
        assert float((wish(law(moved)) - wish(law(mean))).min()) > 0
        reached.append(float(gradient("positive >= 0.9 * 1", model.alphabet)(law(moved)).mean()))
    assert reached[1] > reached[0]


def test_the_preset_makes_such_a_classifier(tmp_path):
    """The preset on a few rows: classes by a column, the tokens of a bundled model, half of the rows."""
    text = (Path(train.__file__).parents[2] / "domains" / "text" / "presets" / "text-sentiment.toml").read_text()
    for name, sentences in {
        "sentence_polarity": ("sentence", PRAISE, BLAME),
        "pros_cons": ("phrase", ["cheap"], ["loud"]),
    }.items():
        column, good, bad = sentences
        rows = [f"{label}\t{said} {k}" for label, texts in (("1", good), ("0", bad)) for said in texts for k in range(20)]
        (tmp_path / f"{name}.tsv").write_text("\n".join([f"label\t{column}", *rows]) + "\n")
    text = re.sub(r'"text/(\w+)\.tsv\.xz"', r'"\1.tsv"', text)
    smaller = {"steps": 30, "width": 16, "depth": 1, "batch_tokens": 300, "eval_every": 30, "warmup": 5, "held_out_percent": 20}
    for name, value in smaller.items():
        text, found = re.subn(rf"(?m)^{name} = [\d.]+", f"{name} = {value}", text)
        assert found == 1, name
    (tmp_path / "tiny.toml").write_text(text)
    train.run(tmp_path / "tiny.toml", tmp_path / "run", "cpu", None, None, None)
    made = load_checkpoint(tmp_path / "run" / "model")
    assert made.alphabet == classifier().alphabet and made.label_names == sentiment.CLASSES
    good, bad = (probability("positive", texts, made) for texts in (PRAISE, BLAME))
    assert sum(good) / len(good) > sum(bad) / len(bad)
