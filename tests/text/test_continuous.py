"""The continuous sibling of the bundled text model: a tiny one is trained from its preset and asked what the other is."""

import json
import re
from pathlib import Path

import pytest
import torch

from apps.api.limits import check_length
from apps.cli import train
from constraints.guidance.guides import ClassWish
from constraints.guidance.steered import Steered
from domains.design import DesignSpec, design
from domains.scorers import scorers
from domains.text.gradients import gradient
from domains.text.metrics import count_words
from domains.text.parsing.parser import bundled
from domains.text.parsing.reading import read
from domains.text.tokens import encode
from seqdiff.checkpoint import load_checkpoint
from seqdiff.denoisers.classifier import Classifier, ClassifierConfig
from seqdiff.embedding import EmbeddedProcess
from seqdiff.errors import ConditionError, ConfigError

PRESETS = Path(train.__file__).parents[2] / "domains" / "text" / "presets"
PLACES = ("river", "park", "station", "bridge")
FOODS = ("French", "Indian", "Thai")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Trained for seconds on short sentences, long ones and their fields, by the preset with smaller sizes."""
    root = tmp_path_factory.mktemp("continuous")
    lines = ["text,food,near"]
    for place in PLACES:
        for food in FOODS:
            lines += [f"The pub serves {food} food near the {place}.,{food},{place}"] * 6
            lines += [f"{food} food is good.,{food},"] * 6
    (root / "rows.csv").write_text("\n".join(f'"{a}","{b}","{c}"' for a, b, c in (line.split(",") for line in lines)))
    text = (PRESETS / "text-small-continuous.toml").read_text()
    assert 'system = "diffusion-lm"' in text
    text = re.sub(r"files = \[.*?\]\n", 'files = [{ path = "rows.csv", label = "pub" }]\n', text, flags=re.DOTALL)
    smaller = {"input_width": 16, "width": 48, "depth": 1, "heads": 2, "steps": 160, "batch_tokens": 600, "warmup": 20}
    smaller |= {"eval_every": 160, "checkpoint_every": 160, "min_count": 1, "held_out_percent": 30, "ema": 0.98}
    for name, value in smaller.items():
        text, found = re.subn(rf"(?m)^{name} = [\d.]+", f"{name} = {value}", text)
        assert found == 1, name
    (root / "tiny.toml").write_text(text.replace('"bf16"', '"fp32"'))
    train.run(root / "tiny.toml", root / "run", "cpu", None, None, None)
    return root / "run" / "model"


def ask(model, **request):
    return design(domain="text", model=str(model), **{"n": 12, "steps": 16, "bound_draws": 0} | request)


def test_it_is_the_masked_models_sibling():
    tables = [train.read_config(Path(name))[0] for name in ("text-small-continuous", "text-small")]
    assert tables[0]["data"] == tables[1]["data"] and tables[0]["run"] == tables[1]["run"]
    same = {key: value for key, value in tables[0]["model"].items() if key not in ("input_width", "self_condition")}
    assert same == tables[1]["model"]


def test_it_learns_and_its_bound_says_so(model):
    log = [json.loads(line) for line in (model.parent / "log.jsonl").read_text().splitlines()]
    checkpoint = load_checkpoint(model)
    assert isinstance(checkpoint.process, EmbeddedProcess) and checkpoint.denoiser.takes_previous
    assert log[-1]["step"] == 160
    rows = torch.tensor([encode(" The pub serves Thai food near the park.", checkpoint.alphabet)])
    shuffled = rows[:, torch.randperm(rows.shape[1], generator=torch.Generator().manual_seed(1))]
    bound = checkpoint.system.bound(checkpoint.network, torch.cat([rows, shuffled]), None, 8)
    assert bound.nats[0] < 0.7 * bound.nats[1]


def test_it_is_chosen_by_its_path_and_samples_its_own_way(model):
    made = ask(model, bound_draws=2)
    assert made.spec.sampler is None and made.designs[0].certificate.law == "asymptotic"
    assert all(item.valid and item.metrics["bound"] > 0 for item in made.designs)
    assert [d.sequence for d in ask(model, batch_size=5).designs] == [d.sequence for d in made.designs]
    again = ask(model, sampler="embedded-ddpm")
    assert [d.sequence for d in again.designs] == [d.sequence for d in made.designs]
    with pytest.raises(ConfigError, match="'event-driven' does not work on the EmbeddedProcess"):
        ask(model, sampler="event-driven")


def test_pins_and_fields_hold_under_every_solver(model):
    for sampler in ("embedded-ddpm", "embedded-clamped", "embedded-ddim", "embedded-dpm-solver"):
        for item in ask(model, template="[food] Thai [text] The _ serves {1-3} near {2-3}", sampler=sampler, n=6).designs:
            assert item.pins_kept and item.fields == {"food": "Thai"}
            assert item.sequence.startswith("The") and " serves" in item.sequence and " near" in item.sequence


def test_constraints_hold(model):
    made = ask(model, template="The pub {4-8}", constraint='regex(".*(river|park)\\\\.")', n=16)
    assert len(made.designs) == 16 and made.summary["satisfied"] == 16
    assert all(re.search(r"(river|park)\.$", item.sequence) for item in made.designs)
    certificate = made.designs[0].certificate
    assert certificate.law == "uncorrected" and "as if tokens were independent given x_t" in certificate.text
    assert certificate.particles == 1 and "one of" not in certificate.text and "particles" not in certificate.text
    assert certificate.log_evidence is None
    banned = ask(model, template="The pub {4}", constraint='ban(" river", 3)', n=2).designs[0].certificate
    assert banned.law == "uncorrected", "p restricted position by position is not the model's law given that"


def test_the_class_can_be_said_louder(model):
    made = ask(model, label="pub", guidance=2.0)
    assert all(item.valid for item in made.designs)


def test_a_wish_moves_the_vectors_and_says_so(model):
    template = "{8}"  # so many tokens: words or pieces of them
    plain = [count_words(d.sequence) for d in ask(model, template=template, n=40).designs]
    made = ask(model, template=template, n=40, wishes=["words <= 3 * 20"])
    fewer = [count_words(d.sequence) for d in made.designs]
    assert sum(fewer) / 40 < sum(plain) / 40 - 1
    certificate = made.designs[0].certificate
    assert (
        certificate.law == "gradients"
        and certificate.guidance == "words <= 3 * 20"
        and "nothing is promised" in certificate.text
    )
    held = ask(model, template="The {6}.", wishes=["words <= 3 * 20"], constraint='regex(".*food.*")')
    assert all(d.pins_kept and "food" in d.sequence for d in held.designs)


def test_a_wish_that_is_met_moves_nothing(model):
    free = [d.sequence for d in ask(model, template="The pub {5}").designs]
    assert [d.sequence for d in ask(model, template="The pub {5}", wishes=["words <= 90"]).designs] == free


def test_what_has_no_gradient_is_told_from_what_is_no_wish(model):
    alphabet = load_checkpoint(model).alphabet
    for wish in ("valid", "sentences >= 2", "words <= 3 * inf", "span 1-2 is NP"):
        assert gradient(wish, alphabet) is None
    for wish in ("wrds <= 3", "sentences", "span 2-1 is NP"):
        with pytest.raises(ConditionError, match="expected 'valid', or a range|numbered from 1"):
            ask(model, wishes=[wish])
    with pytest.raises(ConfigError, match="embedded-ddpm; got the solver 'ddim'"):
        ask(model, wishes=["words <= 3", "valid"], sampler="embedded-ddim")


def share(designs, word):
    return sum(word in item.sequence for item in designs) / len(designs)


def test_a_wish_without_a_gradient_weighs_what_is_done(model):
    template, wish = "The pub serves {1} food near {2-3}", "score thai >= 1 * 1"
    with scorers({"thai": lambda texts: [float("Thai" in text) for text in texts]}):
        free = ask(model, template=template, n=60).designs
        for sampler in (None, "embedded-dpm-solver"):
            made = ask(model, template=template, n=60, wishes=[wish], sampler=sampler).designs
            assert share(made, "Thai") > share(free, "Thai") + 0.3
    certificate = made[0].certificate
    assert certificate.law == "uncorrected" and certificate.particles == 8
    assert "; one of 8 such rows, drawn by weight: that law tilted by score thai" in certificate.text


def test_what_must_hold_holds_in_all_that_is_returned_and_the_rest_is_abstained_from(model):
    for template, wish in (("The pub {4-6}.", "span 1-2 is NP"), ("{5-9}", "span 1-2 is NP")):
        made = ask(model, template=template, wishes=[wish], n=10)
        assert made.designs
        for item in made.designs:
            assert ("NP", 1, 2) in read([item.sequence], bundled())[0].spans, item.sequence
            assert ("parts of speech" in item.certificate.holds) == (template == "{5-9}") and not item.certificate.violations
            assert item.certificate.particles == 8 and item.certificate.log_evidence <= 0
        assert sorted([item.index for item in made.designs] + made.abstained) == list(range(10))
        again = ask(model, template=template, wishes=[wish], n=10, batch_size=8)
        assert [(d.index, d.sequence) for d in again.designs] == [(d.index, d.sequence) for d in made.designs]
    nothing = ask(model, template="The {2}", wishes=["words >= 90 * inf"], n=3, particles=2)
    assert nothing.abstained == [0, 1, 2] and not nothing.designs


def test_gradients_and_weights_together(model):
    asked = {"template": "{8}", "n": 24}
    moved = ask(model, wishes=["words <= 3 * 20"], **asked).designs
    both = ask(model, wishes=["words <= 3 * 20", "sentences >= 1 * inf"], **asked)
    text = both.designs[0].certificate.text
    assert both.designs and all(re.search(r"[.!?](\s|$)", item.sequence) for item in both.designs)
    assert "law: heuristic, every step moved up a gradient and tilted by words <= 3 * 20 (soft" in text
    assert "one of 8 such rows, drawn by weight: that law tilted by sentences >= 1 * inf (hard" in text
    assert both.designs[0].certificate.law == "gradients" and both.designs[0].certificate.particles == 8
    assert moved[0].certificate.particles == 1 and moved[0].certificate.log_evidence is None
    weighed = ask(model, wishes=["words <= 3 * 20"], particles=8, **asked).designs
    mean = [sum(count_words(d.sequence) for d in designs) / len(designs) for designs in (moved, weighed)]
    assert mean[1] < mean[0] - 0.5, mean


def test_the_work_of_a_request_is_that_of_the_particles_it_takes(model):
    checkpoint = load_checkpoint(model)
    spec = {"domain": "text", "template": "{999}", "n": 20, "steps": 500}
    check_length(DesignSpec.from_dict(spec | {"wishes": ["words <= 9"]}), checkpoint)
    for more in ({"wishes": ["words <= 9", "valid"]}, {"wishes": ["words <= 9"], "particles": 8}):
        with pytest.raises(ConfigError, match="20 · 8 · 999 · 500"):
            check_length(DesignSpec.from_dict(spec | more), checkpoint)


def test_expected_words_of_certain_tokens_are_their_words(model):
    alphabet = load_checkpoint(model).alphabet
    row = [alphabet.ids["[food]"], *encode(" Thai", alphabet), alphabet.ids["[text]"], *encode(" The pub near.", alphabet)]
    for ids, words, letters in ((row, 3, len(" The pub near.")), (encode(" a bus", alphabet), 2, 6)):
        p = torch.nn.functional.one_hot(torch.tensor([ids]), len(alphabet)).double()
        assert gradient("words <= 1", alphabet).expectation(p).item() == words
        assert gradient("characters <= 1", alphabet).expectation(p).item() == letters
        assert gradient("words <= 1 * 2", alphabet)(p).item() == -2 * (words - 1)


def test_any_classifier_of_soft_tokens_guides(model):
    """Diffusion-LM's own use: log p(y | x_s) of the designs rises under the classifier that is ascended."""
    checkpoint = load_checkpoint(model)
    torch.manual_seed(3)
    config = ClassifierConfig(len(checkpoint.alphabet), width=16, depth=1, heads=2, classes=2)
    judge = Classifier(config).eval().requires_grad_(False)
    torch.nn.init.normal_(judge.readout[-1].weight, std=3.0)
    canvases = [torch.full((8,), checkpoint.alphabet.mask)] * 24
    from constraints.token_sets import TokenSets

    free = TokenSets.banning(len(checkpoint.alphabet), frozenset())

    def mean_log_p(condition):
        how = {"sampler": "embedded-ddpm", "steps": 16, "condition_of": lambda index: condition}
        rows = torch.cat([tokens for _, tokens in checkpoint.system.sample(checkpoint.network, canvases, 1, **how)])
        return float(judge.log_classes(rows)[:, 1].mean())

    assert mean_log_p(Steered(free, (ClassWish(judge, 1, 5.0),))) > mean_log_p(free) + 0.3


def test_a_hard_wish_is_weighed_though_it_has_a_gradient(model, monkeypatch):
    """What must hold is looked at, whatever else leads to it: no words above 6 in what is returned."""
    soft = gradient("words <= 6 * 4", load_checkpoint(model).alphabet)
    monkeypatch.setattr("domains.text.domain.gradient", lambda text, alphabet: soft)
    made = ask(model, template="{9}", wishes=["words <= 6 * inf"])
    assert made.designs and all(count_words(item.sequence) <= 6 for item in made.designs)
    assert made.designs[0].certificate.particles == 8 and made.designs[0].certificate.law == "gradients"
    free = ask(model, template="{9}").designs
    assert any(count_words(item.sequence) > 6 for item in free)
