"""The benchmark of control: targets, their checks, the judge, the autoregressive control, and whole runs on tiny models."""

import json
import lzma
import math

import pytest
import torch
from text_model import tiny_text

from benchmarks import text_control, text_judge
from benchmarks.text_control import called, main, possible
from benchmarks.text_judge import Judge, is_judged
from benchmarks.text_rejection import Tries, tries
from benchmarks.text_targets import escaped, fields, held_out, infilling, keywords, length, meaning, stands
from domains.text.data import is_held_out
from domains.text.fields import Example, row
from domains.text.guidance import FieldsGuided
from domains.text.template import read_template
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.causal import Causal, CausalConfig
from seqdiff.errors import ConfigError
from seqdiff.systems.autoregressive import Autoregressive

TEXT = "The Mill is a pub. It's near the river, a good area. Zizzi serves food."
EXAMPLE = Example(TEXT, (("name", "The Mill"), ("area", "river")), "restaurant", "k")
MODEL = tiny_text(longest=40)
ALPHABET = MODEL.alphabet


def tiny_control(length_input: bool = True, alphabet=ALPHABET) -> Checkpoint:
    network = Causal(CausalConfig(len(alphabet), width=16, depth=1, heads=2, labels=2, length_input=length_input))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    counts = {"restaurant": [0] * 5 + [1] * 36, "scene": [0] * 5 + [1] * 6}
    return Checkpoint(network.eval().requires_grad_(False), Autoregressive(), alphabet, tuple(counts), counts, sha256="c")


def test_what_counts_as_success():
    (field,) = fields([EXAMPLE], ALPHABET)
    assert [field.success(said) for said in (TEXT, "The Mills.", "a The Mill")] == [1, 0, 1]
    assert field.asked["guided"]["template"] == "[name] The Mill [text] {}" and "constraint" not in field.asked["guided"]
    (every,) = meaning([EXAMPLE], ALPHABET)
    assert [every.success(said) for said in (TEXT, "The Mill.", "")] == [1, 0.5, 0]
    (long,) = length([EXAMPLE], ALPHABET)
    assert [long.success("word " * n) for n in (12, 13, 17, 18)] == [0, 1, 1, 0]
    (hole,) = infilling([EXAMPLE], ALPHABET)
    assert hole.reference == "It's near the river, a good area."
    assert hole.asked["conditioned"]["template"] == "The Mill is a pub. {} Zizzi serves food."
    assert hole.inside("The Mill is a pub. Two words. Zizzi serves food.") == "Two words." and hole.success(TEXT) == 1
    scene = Example("x", (("keywords", "river run"),), "scene", "k")
    (words,) = keywords([scene], ALPHABET)
    assert [words.success(said) for said in ("Rivers running", "a run", "rivet")] == [1, 0.5, 0]
    assert stands("pub", "a pub.") and not stands("pub", "pubs")


def test_any_text_is_pinned_as_it_is():
    (item,) = read_template(escaped(r"a_b [food] {3} \x")).items
    assert item == ("words", r"a_b [food] {3} \x")


def test_guidance_is_towards_the_fields_alone():
    told = torch.tensor([row("The river.", (("food", "French"),), ALPHABET)])
    free = torch.full_like(told, ALPHABET.ids[" a"])
    guided = FieldsGuided(MODEL.network, ALPHABET, 3.0)
    hidden = guided.hidden(torch.cat([told, free]))
    assert hidden[0].ne(told[0]).nonzero().flatten().tolist() == [1] and hidden[0, 1] == ALPHABET.mask  # French
    assert hidden[1].equal(free[0])
    label, at = torch.tensor([0]), torch.tensor([[3, 4]])
    here, there = (MODEL.network(x, None, label, None, at) for x in (told, hidden[:1]))
    assert guided(told, None, label, None, at).allclose(3 * here - 2 * there, atol=1e-5)
    assert not here.allclose(there)
    with pytest.raises(ConfigError, match="model with fields"):
        FieldsGuided(MODEL.network, tiny_text(fields=()).alphabet, 2)


def test_the_judge_says_the_exact_likelihood_a_word():
    control = tiny_control(length_input=False)
    judge, texts = Judge(control), ["The river.", "", "A good pub near Zizzi.", "A cheap pub."]
    by_hand = []
    for text in texts[::2]:
        ids = torch.tensor([row(text, (), ALPHABET)])
        log_p = control.network(ids, None, torch.tensor([0])).double().log_softmax(-1)
        by_hand.append(-log_p.gather(-1, ids.unsqueeze(-1)).sum().item())
    nats = judge.nats(texts, "restaurant")
    assert [nats[0], nats[2]] == pytest.approx(by_hand) and nats[1] == 0
    assert judge.nats_a_word(texts[:3], "restaurant") == pytest.approx(sum(by_hand) / 9)  # words and full stops
    assert judge.nats_a_word([""], "restaurant") is None


def data(folder, meanings: int = 90):
    """E2E and CommonGen in small, with the judge's files."""
    texts = folder / "text"
    texts.mkdir()
    mr = "__start_name__ The Mill __end_name__ __start_food__ {} __end_food__ __start_area__ river __end_area__"
    lines = [
        f"{mr.format('food ' + 'a' * k)}\tThe Mill is a pub . A river by the area . Zizzi serves food . <eos>|||"
        for k in range(meanings)
    ]
    scenes = [f"river {'r' * k}\tx\tGood rivers run {'r' * k}." for k in range(1, 4 * meanings)]
    for name, text in {
        "e2e_train.tsv.xz": "mr\ttext_and_spans\n" + "\n".join(lines) + "\n",
        "commongen_train.tsv.xz": "concepts\tconcepts_pos\ttarget\n" + "\n".join(scenes) + "\n",
        "e2e_dev.csv.xz": 'mr,ref\n"name[A]",The river is good.\n"name[B]",A cheap café.\n',
        "ud_ewt_train.conllu.xz": "# text = The rivers run!\n1\tThe\n\n",
        "classic_books_en.txt.xz": "The good river is near the old town. The very good river is near the old town.\n",
    }.items():
        (texts / name).write_bytes(lzma.compress(text.encode()))
    return folder


def test_the_judge_reads_no_target_and_nothing_that_was_trained_on(tmp_path):
    model = tmp_path / "model"
    MODEL.save(model, "card")
    there = data(tmp_path)
    asked = ["--data", str(there), "--model", str(model), "--out", str(tmp_path / "judge")]
    counts = text_judge.main(asked)
    lines = {p.stem: p.read_text().splitlines() for p in (tmp_path / "judge").glob("*.txt")}
    assert lines["restaurant"] == ["The river is good."]  # é is no letter of this model
    assert lines["prose"] == ["The rivers run!", "The good river is near the old town."]  # it knows no "very"
    targets = {e.text for e in held_out(there, "scene")}
    assert counts["scene"] == len(lines["scene"]) > 0 and targets and not targets & set(lines["scene"])
    for text in (*targets, *lines["scene"]):
        key = " ".join(sorted(["river", text.split()[-1].rstrip(".")]))
        assert is_held_out(key, 3) and is_judged(key) == (text in lines["scene"])
    assert json.loads((tmp_path / "judge" / "alphabet.json").read_text())["tokens"] == list(ALPHABET.tokens)


def test_the_control_writes_before_what_is_pinned_and_takes_the_best_try():
    plain = tiny_text(fields=()).alphabet
    (hole,) = infilling([EXAMPLE], plain)
    control = tiny_control(alphabet=plain)
    found = tries(control, hole, "restaurant", 2, 3, 7)
    assert [len(row) for row in found.texts] == [3, 3] and found.passes > 0
    assert all(text.startswith("The Mill is a pub.") and text.endswith("Zizzi serves food.") for r in found.texts for text in r)
    assert len({text for r in found.texts for text in r}) > 3
    assert tries(control, hole, "restaurant", 2, 3, 7) == found
    (field,) = fields([EXAMPLE], ALPHABET)
    made = Tries([["a", "The Mill b", "The Mill c"], ["d", "e", "f"]], [[3, 2, 1]] * 2, 1)
    assert made.first() == ["a", "d"] and made.best(field) == ["The Mill b", "d"]
    ends = [f"The Mill is a pub. {inside} Zizzi serves food." for inside in ("a b c d e f", "b b c d e f", "a")]
    assert Tries([ends], [[3.0, 2.0, 1.0]], 1).best(hole) == [ends[1]]


def test_models_on_vectors_have_no_particles_without_a_wish():
    (field,) = fields([EXAMPLE], ALPHABET)
    (long,) = length([EXAMPLE], ALPHABET)
    vectors = Checkpoint(MODEL.network, Autoregressive(), ALPHABET, (), {})  # no process on tokens
    ways = ("unguided", "conditioned", "guided", "constrained", "particles")
    assert [possible(way, MODEL, [field]) for way in ways] == [True] * 5
    assert [possible(way, vectors, [field]) for way in ways] == [True, True, False, True, False]
    assert possible("guided", vectors, [long]) and not possible("conditioned", vectors, [long])
    assert [called(name) for name in ("text-small", "runs/mine/model", "./mine")] == ["text-small", "mine", "mine"]


def test_a_run_on_tiny_models(tmp_path, capsys):
    there = data(tmp_path)
    MODEL.save(tmp_path / "tiny", "card")
    tiny_control().save(tmp_path / "control", "card")
    tiny_control(length_input=False).save(tmp_path / "judge", "card")
    folders = [f"--{name}={tmp_path / name}" for name in ("judge", "control")]
    small = ["--targets", "1", "--samples", "2", "--steps", "2", "--tries", "2", "--out", str(tmp_path / "out.json")]
    asked = ["--model", str(tmp_path / "tiny"), "--data", str(there), "--tasks", "fields", *folders, *small]
    cells = main(asked)
    assert json.loads((tmp_path / "out.json").read_text())["cells"] == cells
    assert "fields tiny constrained" in capsys.readouterr().out
    of = {(cell["task"], cell["model"], cell["way"]): cell for cell in cells}
    assert of["fields", "tiny", "constrained"]["success"] == of["fields", "tiny", "particles"]["success"] == 1
    assert of["fields", "people", "held out"]["success"] == 1
    once, twice = (of["fields", "autoregressive", way]["passes"] for way in ("control", "rejection"))
    assert twice > 1.5 * once > 0
    assert 0 < of["fields", "tiny", "conditioned"]["judge"] < 2 * math.log(len(ALPHABET)) * 8
    assert of["fields", "tiny", "guided"]["passes"] > of["fields", "tiny", "conditioned"]["passes"]
    assert text_control.PUBLISHED["length"]["Diffusion-LM"] == pytest.approx(0.999)
    main(asked)  # everything stands there
    assert capsys.readouterr().out == ""
    main([*asked[:-1], str(tmp_path / "out.json"), "--steps", "3", "--ways", "unguided"])
    assert capsys.readouterr().out.count("tiny unguided") == 1
