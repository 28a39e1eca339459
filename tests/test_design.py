import dataclasses
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import tiny_checkpoint

from constraints.certificate import Certificate
from domains.design import Design, DesignSpec, design, prepare, read_spec
from domains.design import answer as finished
from domains.novelty import Known
from domains.registry import find_model, get_domain
from domains.smiles.data import canonical
from domains.smiles.tokens import tokenize
from seqdiff.checkpoint import load_checkpoint
from seqdiff.errors import CheckpointError, ConditionError, ConfigError, TemplateError

TEMPLATE = "C1CC1N{2-4}c2ccc(F)cc2"
FIXED = "CC(=O)N{6}CF"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_checkpoint().save(folder, "# tiny\n")
    Known.of(["CC", "CCN"]).save(folder / "known.safetensors")
    return load_checkpoint(folder)


def answer(model, template=TEMPLATE, **fields):
    rest = {key: fields.pop(key) for key in ("progress", "watch") if key in fields}
    return design(DesignSpec("smiles", template, **{"n": 20, **fields}), checkpoint=model, **rest)


def sequences(*args, **fields):
    return [item.sequence for item in answer(*args, **fields).designs]


SAMPLERS = ("event-driven", "first-hitting", "ancestral", "confidence", "remasking", "reverse-chain")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pins_stand_in_every_design_and_bans_are_met(model, sampler):
    made = answer(model, sampler=sampler, n=60, batch_size=16, steps=20)
    assert [item.index for item in made.designs] == list(range(60)) and made.complete
    head, tail = tokenize("C1CC1N"), tokenize("c2ccc(F)cc2")
    lengths = set()
    for item in made.designs:
        tokens = tokenize(item.sequence)
        assert tokens[: len(head)] == head and tokens[-len(tail) :] == tail
        gap = tokens[len(head) : -len(tail)]
        assert not {"1", "2", "."} & set(gap)
        lengths.add(len(gap))
        assert item.metrics["tokens"] == len(tokens)
        assert item.canonical == (canonical(item.sequence) if item.valid else None) and bool(item.reason) != item.valid
    assert lengths == {2, 3, 4}
    assert 3 < sum(item.valid for item in made.designs) < 60
    assert all(item.pins_kept for item in made.designs if item.valid)


def test_samplers_share_the_lengths_and_differ_in_what_they_draw(model):
    drawn = {sampler: sequences(model, sampler=sampler, n=30, steps=20) for sampler in SAMPLERS}
    assert len({tuple(len(tokenize(text)) for text in texts) for texts in drawn.values()}) == 1
    assert len({tuple(texts) for texts in drawn.values()}) == len(SAMPLERS)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("template", [FIXED, None])
def test_the_batch_changes_nothing(model, template, sampler):
    runs = {  # alone, in batches, and as the first of more
        size: answer(model, template, n=n, batch_size=size, steps=8, sampler=sampler).designs
        for size, n in ((1, 12), (7, 33), (64, 70))
    }
    whole = [item.sequence for item in runs[64]]
    assert len(set(whole)) > 20
    for size, items in runs.items():
        assert len(items) >= 12 and [item.sequence for item in items] == whole[: len(items)], size
        for item, other in zip(items, runs[64], strict=False):
            assert dataclasses.replace(item, metrics={}) == dataclasses.replace(other, metrics={})
            for name in ("bound", "bound_error"):
                assert item.metrics[name] == pytest.approx(other.metrics[name], abs=1e-4, rel=1e-5)
    assert sequences(model, template, n=12, steps=8, sampler=sampler, seed=1) != whole[:12]


def test_free_designs_have_the_lengths_of_their_class(model):
    lengths = {
        label: {len(tokenize(text)) for text in sequences(model, None, n=80, label=label, steps=4)}
        for label in ("zinc", "chembl")
    }
    assert lengths == {"zinc": {3, 4, 5}, "chembl": {10, 11, 40}}
    assert {len(tokenize(text)) for text in sequences(model, None, n=80, steps=4)} == {3, 4, 5, 10, 11, 40}
    made = answer(model, None, n=10, label="zinc").designs
    assert all(item.pinned_atoms == () and item.pins_kept for item in made)


def test_the_class_reaches_the_model(model):
    assert sequences(model, FIXED, label="zinc") != sequences(model, FIXED, label="chembl") != sequences(model, FIXED)


def test_one_free_token_follows_the_law_of_the_model(model):
    template, n = "CC{1}O", 2000
    ids, mask = model.alphabet.ids, model.process.mask
    logits = model.denoiser(torch.tensor([[ids["C"], ids["C"], mask, ids["O"]]])).double()[0, 2]
    made = answer(model, template, n=n).designs
    drawn = torch.tensor([ids[tokenize(item.sequence)[2]] for item in made])
    p = logits.softmax(-1)
    for item, i in zip(made[:50], drawn.tolist(), strict=False):
        assert item.metrics["bound"] == pytest.approx(-float(p[i].log()), abs=1e-4)  # one token: the bound is exact
        assert item.metrics["bound_error"] == pytest.approx(0, abs=1e-6)
    logits[ids["."]] = float("-inf")
    law = logits.softmax(-1)
    share = torch.bincount(drawn, minlength=len(ids)).double() / n
    assert ((share - law).abs() <= 4.5 * (law * (1 - law) / n).sqrt() + 1e-12).all()
    assert law.max() < 0.8 and (share > 0).sum() > 8
    cold = sequences(model, template, n=50, temperature=0.01)
    assert (
        set(cold)
        == {"CC" + model.alphabet.tokens[int(law.argmax())] + "O"}
        == set(sequences(model, template, n=50, top_p=0.01))
    )


def test_a_template_without_gaps_is_only_measured(model):
    made = answer(model, "CCN", n=2).designs + answer(model, "OCC", n=1).designs
    assert [item.sequence for item in made] == ["CCN", "CCN", "OCC"]
    assert [item.canonical for item in made] == ["CCN", "CCN", "CCO"]
    assert [item.metrics["novel"] for item in made] == [False, False, True]
    assert [(item.metrics["bound"], item.metrics["bound_error"]) for item in made] == [(0.0, 0.0)] * 3
    assert made[0].pinned_atoms == (0, 1, 2) and made[0].pins_kept


@pytest.mark.parametrize(
    ("sampler", "law"),
    [
        ("event-driven", "the model's 12-step law under them"),
        ("ancestral", "the model's 12-step law under them"),
        ("first-hitting", "the model's any-order law under them, no discretisation"),
        ("confidence", "heuristic, that of the sampler's own definition"),
    ],
)
def test_the_certificate_says_how_a_design_was_obtained(model, sampler, law):
    made = answer(model, n=3, sampler=sampler, steps=12).designs
    assert {str(item.certificate) for item in made} == {f"pins and bans hold by construction; law: {law}"}


def test_a_design_is_plain_data(model):
    item = answer(model, n=1).designs[0]
    table = item.to_dict()
    assert list(table) == [field.name for field in dataclasses.fields(Design)]
    assert Design(**table | {"certificate": Certificate(**table["certificate"])}) == item


def test_a_task_holds_the_syntax_unless_it_is_told_not_to():
    assert DesignSpec("smiles", "*C.*C", task="linker").syntax is True
    assert DesignSpec("smiles", "*C.*C", task="linker", syntax=False).syntax is False
    assert DesignSpec("smiles", "C{3}").syntax is False


def test_a_design_says_which_template_it_was_made_from(model):
    assert {item.template for item in answer(model, n=3).designs} == {TEMPLATE}
    assert {item.template for item in answer(model, None, n=3, label="zinc").designs} == {None}


def test_the_domain_says_which_designs_are_shown_first():
    qed = [{"qed": 0.2}, {"qed": None}, {"qed": 0.9}]
    assert sorted(qed, key=get_domain("smiles").rank) == [{"qed": 0.9}, {"qed": 0.2}, {"qed": None}]
    bounds = [{"bound": 30.0, "tokens": 10}, {"bound": None, "tokens": 3}, {"bound": 40.0, "tokens": 20}]
    assert [row["tokens"] for row in sorted(bounds, key=get_domain("protein").rank)] == [20, 10, 3]


def test_progress_counts_to_the_end(model):
    seen = []
    made = answer(model, FIXED, n=20, batch_size=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 20), (8, 20), (16, 20), (20, 20)]
    assert made.complete and set(made.timing) == {"load_seconds", "design_seconds", "designs_per_second"}


def test_a_request_that_is_ready_is_answered_as_one_that_is_asked_for(model):
    spec = DesignSpec("smiles", TEMPLATE, n=9, batch_size=2, wishes=("valid",), particles=2)
    seen: list = []
    ready, asked = finished(prepare(spec, model), 1.5, lambda *done: seen.append(done)), design(spec, checkpoint=model)
    assert ready.abstained and ready.to_dict() | {"timing": 0} == asked.to_dict() | {"timing": 0}
    assert ready.timing["load_seconds"] == 1.5 and seen[0] == (0, 9) and seen[-1] == (9, 9)


def test_an_interrupt_keeps_what_is_done(model):
    whole = sequences(model, FIXED, n=20, batch_size=8)

    def progress(done, total):
        if done == 16:
            raise KeyboardInterrupt

    made = answer(model, FIXED, n=20, batch_size=8, progress=progress)
    assert not made.complete and [item.sequence for item in made.designs] == whole[:16]
    passes = []

    def watch(state):
        passes.append(state.tokens.shape)
        if len(passes) > 1 and passes[-1] != passes[-2]:  # the last batch has fewer rows
            raise KeyboardInterrupt

    made = answer(model, FIXED, n=20, batch_size=8, watch=watch)
    assert not made.complete and [item.sequence for item in made.designs] == whole[:16]
    assert passes[-1] == (4, 15) and set(passes[:-1]) == {(8, 15)}


def test_an_interrupt_before_the_first_design_gives_an_empty_answer(model):
    def interrupt(*_):
        raise KeyboardInterrupt

    for how in ({"progress": interrupt}, {"watch": interrupt}):
        made = answer(model, FIXED, **how)
        assert made.designs == [] and not made.complete and made.spec.n == 20


specs = st.builds(
    DesignSpec,
    st.sampled_from(["smiles", "other"]),
    template=st.none() | st.text(max_size=9),
    n=st.integers(1, 100_000),
    seed=st.integers(0, 2**63 - 1),
    sampler=st.sampled_from(list(SAMPLERS)),
    steps=st.integers(1, 10_000),
    model=st.none() | st.text(max_size=9),
    label=st.none() | st.text(max_size=9),
    temperature=st.floats(0, 10, exclude_min=True),
    top_p=st.floats(0, 1, exclude_min=True),
    batch_size=st.integers(1, 4096),
)
tasks = st.builds(
    DesignSpec,
    st.just("smiles"),
    template=st.text(max_size=9),
    task=st.text(max_size=9),
    lengths=st.none() | st.tuples(st.integers(), st.integers()),
    ring_atoms=st.none() | st.integers(),
    templates=st.none() | st.integers(1, 1000),
    wishes=st.lists(st.text(max_size=9), max_size=2).map(tuple),
)


@settings(deadline=None, max_examples=100)
@given(specs | tasks)
def test_specs_are_read_back_equal(spec):
    table = json.loads(json.dumps(spec.to_dict()))
    assert DesignSpec.from_dict(table) == spec
    assert DesignSpec.from_dict({key: value for key, value in table.items() if value is not None}) == spec


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"number": 3}, r"^number: unknown key; expected one of domain, template, n, seed, sampler, steps, model, label, temp"),
        ({"n": "many"}, r"^n: expected int, got 'many'$"),
        ({"n": True}, r"^n: expected int, got True$"),
        ({"n": 2.0}, r"^n: expected int, got 2\.0$"),
        ({"template": 7}, r"^template: expected str, got 7$"),
        ({"temperature": "hot"}, r"^temperature: expected float, got 'hot'$"),
        ({"n": 0}, r"^n: expected 1 to 100000, got 0$"),
        ({"n": 100_001}, r"^n: expected 1 to 100000, got 100001$"),
        ({"steps": 0}, r"^steps: expected 1 to 10000, got 0$"),
        ({"batch_size": 4097}, r"^batch_size: expected 1 to 4096, got 4097$"),
        ({"seed": -1}, r"^seed: expected 0 to 2⁶³ − 1, got -1$"),
        ({"seed": 2**63}, r"^seed: expected 0 to 2⁶³ − 1, got 9223372036854775808$"),
        ({"sampler": "fast"}, r"^sampler: expected one of event-driven, .*; got 'fast'$"),
        ({"temperature": 0}, r"^temperature: expected more than 0, got 0"),
        ({"temperature": float("nan")}, r"^temperature: expected more than 0, got nan$"),
        ({"top_p": 0.0}, r"^top_p: expected more than 0, at most 1, got 0\.0$"),
        ({"top_p": 1.5}, r"^top_p: expected more than 0, at most 1, got 1\.5$"),
        ({"domain": "poems"}, r"^domain: expected one of smiles.*; got 'poems'$"),
        ({"task": "linker"}, r"^task: linker needs what is drawn, as the template; got none$"),
        ({"template": "C{3}", "lengths": [1, 2]}, r"^lengths: is of a task such as linker, and there is none"),
        ({"template": "C{3}", "ring_atoms": 9}, r"^ring_atoms: is of a task"),
        ({"template": "C{3}", "templates": 2}, r"^templates: is of a task"),
        ({"template": "*C.*C", "task": "linker", "lengths": "4-9"}, r"^lengths: expected a list, got '4-9'$"),
        ({"template": "*C.*C", "task": "linker", "lengths": [1, 2, 3]}, r"^task lengths: expected two numbers"),
        ({"template": "*C.*C", "task": "linker", "templates": 1001}, r"^templates: expected 1 to 1000, got 1001$"),
        ({"template": "*C.*C", "task": "glue"}, r"^task: expected one of linker, .*; got 'glue'$"),
        ({"domain": "protein", "template": "A{3}", "task": "linker"}, r"^task: proteins have none, got 'linker'"),
    ],
)
def test_specs_are_checked(model, fields, message):
    with pytest.raises(ConfigError, match=message):
        design(checkpoint=model, **{"domain": "smiles", **fields})


def test_all_that_is_wrong_is_said_before_anything_is_sampled(model):
    def never(*_):
        raise AssertionError("sampled")

    for fields, kind, message in [
        ({"template": "C{3}C1"}, TemplateError, "ring label 1 is opened and never closed"),
        ({"template": "C{3}Br"}, TemplateError, "'Br' is not among the model's 16 tokens"),
        ({"template": "C{3-60}"}, ConditionError, "4 to 61 tokens with its gaps, but the model was trained on at most 40"),
        ({"template": "{0-3}"}, ConditionError, "nothing is pinned and every gap may be empty"),
        ({"label": "qm9"}, CheckpointError, r"class: expected one of the model's classes \(zinc, chembl\), got 'qm9'"),
    ]:
        with pytest.raises(kind, match=message):
            answer(model, **{"progress": never, "watch": never, **fields})


def test_models_are_found_by_name_or_path(model, tmp_path, monkeypatch):
    assert find_model(str(model.folder), "smiles") == model.folder
    for wanted in ("no-such-model", "./no-such-folder", "../smiles", ""):
        monkeypatch.chdir(tmp_path)
        if wanted:
            with pytest.raises(CheckpointError, match=rf"model: expected a bundled name \(.*\) or the path .*; got '{wanted}'"):
                find_model(wanted, "smiles")
    (tmp_path / "mine").mkdir()
    with pytest.raises(CheckpointError, match="with a slash in it"):
        find_model("mine", "smiles")  # a folder that happens to lie here is no bundled model
    assert find_model("./mine", "smiles").samefile(tmp_path / "mine")
    with pytest.raises(ConfigError, match="domain: expected one of smiles"):
        get_domain("os")


def test_spec_files_are_read(tmp_path):
    path = tmp_path / "spec.toml"
    path.write_text('domain = "smiles"\nn = 5\ntemplate = "C{3}"\n', encoding="utf-8")
    assert DesignSpec.from_dict(read_spec(path)) == DesignSpec("smiles", "C{3}", n=5)
    for content in (b"n = = 5", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"spec: .*spec\.toml is not TOML \("):
            read_spec(path)
    with pytest.raises(ConfigError, match=r"spec: could not read .*none\.toml \(No such file or directory\)"):
        read_spec(tmp_path / "none.toml")
