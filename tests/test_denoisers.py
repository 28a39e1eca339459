"""One contract for all networks: padding, positions, rows, time, classes, gradients, storage; then what each adds."""

import itertools
from dataclasses import dataclass

import pytest
import torch
from laws import distribution_test
from safetensors.torch import load, save

from seqdiff.denoisers.registry import DENOISERS, denoiser_from_config, denoiser_to_config
from seqdiff.draws import categorical, probabilities
from seqdiff.errors import ConditionError, ConfigError
from seqdiff.noise import Stream, uniform

V, E, B, L, P = 5, 3, 4, 9, 2
SIZE = {"vocabulary": V, "width": 16, "depth": 2, "heads": 2, "expansion": 2}
LOCAL = {"convolution": 3, "qk_gain": True, "rotary_base": 100.0, "edges": True}
VECTORS = {"input_width": E, "self_condition": True, "time_input": True}
SOURCE = torch.tensor([[0, 3, 2, 1], [6, 2, 7, 0], [5, 5, 1, 4]])
SOURCE_LENGTHS = torch.tensor([4, 1, 2])
SEQ2SEQ = {"kind": "encoder-decoder", "source_vocabulary": 6, "source_depth": 1, "max_length": 6}

CASES = {
    "transformer": {"kind": "transformer", "labels": 2},
    "transformer-time": {"kind": "transformer", "labels": 2, "time_input": True},
    "transformer-local": {"kind": "transformer", "labels": 2, **LOCAL},
    "transformer-states": {"kind": "transformer", "states": V + 4},
    "vectors": {"kind": "transformer", "labels": 2, **VECTORS},
    "vectors-to-vectors": {"kind": "transformer", "output_width": E, "edges": True, **VECTORS},
    "unet": {"kind": "unet", "labels": 2},
    "unet-time": {"kind": "unet", "levels": 3, "kernel": 5, "time_input": True, "edges": True},
    "unet++": {"kind": "unet++", "labels": 2, "levels": 2},
    "unet++-vectors": {"kind": "unet++", "levels": 3, "output_width": E, **VECTORS},
    "encoder-decoder": {**SEQ2SEQ, "labels": 2},
    "given": {**SEQ2SEQ, "labels": 2, "time_input": True, "edges": True},
    "given-vectors": {**SEQ2SEQ, **VECTORS},
    "causal": {"kind": "causal", "labels": 2},
}


def network(config: dict, seed: int = 0):
    """With every weight random: the projections that begin at zero would make every test trivial."""
    torch.manual_seed(seed)
    model = denoiser_from_config({**SIZE, **config}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@dataclass
class Case:
    """A denoiser with inputs that it can read: everything by row, so that rows can be cut and permuted."""

    name: str
    padding: int = 0

    def __post_init__(self):
        self.model = network(CASES[self.name])
        given = self.name.startswith("given")
        self.denoiser = self.model.given(SOURCE, SOURCE_LENGTHS) if given else self.model
        self.config = self.model.config
        generator = torch.Generator().manual_seed(1)
        shape = (B, L + self.padding)
        most = max(V + 1, self.config.states)
        x = torch.randint(0, V if self.name == "causal" else most, shape, generator=generator)
        x[:, L:] = torch.randint(0, most + 1, (B, self.padding), generator=generator)  # whatever stands in the padding
        vectors, previous = torch.randn(2, *shape, E, generator=generator)
        vectors[:, L:], previous[:, L:] = vectors[:, L:] * 100, previous[:, L:] * 100
        self.inputs = {"x_t": vectors if self.config.input_width else x}
        self.inputs |= {"t": torch.tensor([0.1, 0.4, 0.6, 0.9]), "label": torch.tensor([0, 1, 2, 0])}
        if self.config.self_condition:
            self.inputs["previous"] = previous
        if not self.denoiser.labels:
            del self.inputs["label"]

    def __call__(self, **changed):
        return self.denoiser(**self.inputs | changed)

    def alone(self, b: int, length: int):
        rows = {name: value[b : b + 1] for name, value in self.inputs.items()}
        return self.denoiser(**{name: v[:, :length] if name in ("x_t", "previous") else v for name, v in rows.items()})[0]


@pytest.mark.parametrize("name", CASES)
def test_contract_attributes(name):
    case = Case(name)
    assert case.denoiser.vocabulary == V
    assert case.denoiser.needs_time == bool(CASES[name].get("time_input"))
    assert case.denoiser.config == case.model.config
    assert case().shape == (B, L, case.config.output_width or V)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_padding_never_changes_a_real_position(name, train):
    case, lengths = Case(name, padding=6), torch.tensor([9, 7, 4, 1])
    with torch.set_grad_enabled(train):
        together = case(lengths=lengths)
        for b, length in enumerate(lengths.tolist()):
            assert torch.allclose(together[b, :length], case.alone(b, length), atol=1e-5)


@pytest.mark.parametrize("name", [name for name in CASES if name != "causal"])
def test_without_lengths_the_padding_would_be_seen(name):
    """The negative control of the test above."""
    case = Case(name, padding=6)
    with torch.no_grad():
        assert not torch.allclose(case()[0, :L], case.alone(0, L), atol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_positions_are_entries_of_the_full_answer(name):
    case, positions = Case(name, padding=3), torch.tensor([[0, 6], [3, 3], [5, 1], [2, 4]])
    with torch.no_grad():
        for lengths in (None, torch.tensor([7, 8, 9, 5])):
            full, some = case(lengths=lengths), case(lengths=lengths, positions=positions)
            assert torch.allclose(some, full.gather(1, positions.unsqueeze(-1).expand(B, P, full.shape[-1])), atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_rows_do_not_influence_each_other(name):
    case = Case(name)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        full = case()
        assert torch.allclose(case(**{k: v[order] for k, v in case.inputs.items()}), full[order], atol=1e-5)
        other = case(x_t=torch.cat([case.inputs["x_t"][:1].flip(1), case.inputs["x_t"][1:]]))
    assert torch.allclose(other[1:], full[1:], atol=1e-5)
    assert not torch.allclose(other[0], full[0], atol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_every_position_sees_what_it_may(name):
    """A change at one position reaches every other; in a causal model those after it alone."""
    case, at = Case(name), 4
    x = case.inputs["x_t"].clone()
    x[:, at] = x[:, at] + 1 if case.config.input_width else (x[:, at] + 1) % V
    with torch.no_grad():
        change = (case(x_t=x) - case()).abs().amax(-1).amax(0)
    sees = torch.arange(L) > at if name == "causal" else torch.arange(L) >= 0
    assert torch.equal(change > 1e-5, sees), change


@pytest.mark.parametrize("name", CASES)
def test_time_matters_if_and_only_if_it_is_needed(name):
    case = Case(name)
    with torch.no_grad():
        if not case.denoiser.needs_time:
            assert torch.equal(case(t=None), case())
            return
        assert not torch.allclose(case(t=torch.full((B,), 0.2)), case(t=torch.full((B,), 0.8)), atol=1e-3)
        scalar = case(t=torch.tensor(0.2, dtype=torch.float64))
        assert torch.allclose(scalar, case(t=torch.full((B,), 0.2)), atol=1e-5)
    with pytest.raises(ConfigError, match=r"takes a time: expected t of shape \(B,\)"):
        case(t=None)


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].get("labels") and name != "given"])
def test_no_class_is_the_class_any(name):
    case = Case(name)
    with torch.no_grad():
        nothing = case(label=None)
        assert torch.equal(nothing, case(label=torch.full((B,), case.denoiser.labels)))
        classes = [case(label=torch.full((B,), k)) for k in range(case.denoiser.labels)]
    for a, b in itertools.combinations([nothing, *classes], 2):
        assert not torch.allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("name", CASES)
def test_a_seed_decides_the_first_weights(name):
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        weights.append(denoiser_from_config({**SIZE, **CASES[name]}).state_dict())
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])
    assert any(not torch.equal(weights[0][k], weights[2][k]) for k in weights[0])


@pytest.mark.parametrize("name", CASES)
def test_a_fresh_network_is_uniform_and_can_leave_it(name):
    """The head begins at zero: p(x0 | x_t) is uniform (x̂0 is 0), and its gradient is not 0."""
    case = Case(name)
    torch.manual_seed(0)
    case.model = fresh = denoiser_from_config({**SIZE, **CASES[name]})
    out = fresh(**case.inputs)
    assert not out.any()
    (out * torch.randn(out.shape)).sum().backward()
    assert fresh.head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", CASES)
def test_gradients_reach_every_weight(name):
    case = Case(name)
    more, extra = {}, torch.zeros(())
    if CASES[name]["kind"] == "encoder-decoder":
        source = torch.cat([SOURCE, SOURCE[:1]])
        more["source"] = encoded = case.model.encode(source, torch.tensor([4, 1, 2, 0]))
        extra = case.model.length_logits(encoded)
        extra = (extra * torch.randn(extra.shape)).sum()
    out = case.model(**case.inputs, **more)
    ((out * torch.randn(out.shape)).sum() + extra).backward()
    without = [n for n, p in case.model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize("name", CASES)
def test_weights_come_back_from_a_file(name):
    case = Case(name)
    again = denoiser_from_config(denoiser_to_config(case.model)).eval()
    again.load_state_dict(load(save(case.model.state_dict())))
    with torch.no_grad():
        assert torch.equal(again(**case.inputs), case.model(**case.inputs))


@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_finite_and_near(name):
    case, lengths = Case(name, padding=2), torch.tensor([9, 7, 4, 1])
    with torch.autocast("cpu", torch.bfloat16):
        out = case(lengths=lengths)
    if case.denoiser is case.model:
        out.float().square().sum().backward()
        assert all(bool(p.grad.isfinite().all()) for p in case.model.parameters() if p.grad is not None)
    with torch.no_grad():
        full = case(lengths=lengths)
    for b, length in enumerate(lengths.tolist()):
        error = (out[b, :length] - full[b, :length]).abs().max() / full.abs().max()
        assert 1e-6 < error < 0.3, "it must be computed in half precision, and mean the same"


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].get("self_condition")])
def test_self_conditioning_begins_with_zeros(name):
    case = Case(name)
    with torch.no_grad():
        first = case(previous=None)
        assert torch.equal(first, case(previous=torch.zeros(B, L, E)))
        assert not torch.allclose(first, case(), atol=1e-3)
        assert torch.allclose(case(x_t=case.inputs["x_t"].double()), case(), atol=1e-6), "double vectors are read too"


def test_every_state_of_a_process_has_its_embedding():
    case = Case("transformer-states")
    with torch.no_grad():
        out = case.model(torch.arange(V + 5).unsqueeze(-1))
    assert float(torch.pdist(out.squeeze(1)).min()) > 1e-3


# encoder–decoder


def test_padding_of_a_source_never_matters():
    case = Case("encoder-decoder")
    for options in ({}, LOCAL):
        model = network({**SEQ2SEQ, **options})
        x, label = case.inputs["x_t"], torch.tensor([0, 1, 2, 1])
        with torch.no_grad():
            one = model.given(SOURCE, SOURCE_LENGTHS)
            longer = torch.cat([SOURCE, SOURCE.flip(0)], dim=1)
            longer[1, 1:] = 3
            two = model.given(longer, SOURCE_LENGTHS)
            assert torch.allclose(one(x, label=label), two(x, label=label), atol=1e-5)
            assert torch.allclose(one.length_probability(), two.length_probability(), atol=1e-6)
            for k, length in enumerate(SOURCE_LENGTHS.tolist()):
                alone = model.given(SOURCE[k : k + 1, :length])
                zeros = torch.zeros(B, dtype=torch.int64)
                assert torch.allclose(alone(x, label=zeros), one(x, label=zeros + k), atol=1e-5)
                assert torch.allclose(alone.length_probability()[0], one.length_probability()[k], atol=1e-6)


def test_a_source_is_read_once_for_all_steps():
    model, case, calls = network(SEQ2SEQ), Case("encoder-decoder"), []
    model.encoder.register_forward_hook(lambda *_: calls.append(1))
    for block in model.blocks:
        block.cross.kv.register_forward_hook(lambda *_: calls.append(2))
    given = model.given(SOURCE, SOURCE_LENGTHS)
    for _ in range(3):
        given(case.inputs["x_t"], label=torch.tensor([0, 1, 2, 3]))
    given.length_probability()
    assert calls == [1, 2, 2]


def test_the_label_picks_the_source_and_one_after_the_last_is_none():
    case = Case("encoder-decoder")
    model, x = case.model, case.inputs["x_t"]
    given = model.given(SOURCE, SOURCE_LENGTHS, label=torch.tensor([1, 0, 1]))
    assert given.labels == 3
    with torch.no_grad():
        rows = model.encode(SOURCE[[2, 0, 1, 0]], SOURCE_LENGTHS[[2, 0, 1, 0]])
        expected = model(x, label=torch.tensor([1, 1, 0, 1]), source=rows)
        assert torch.allclose(given(x, label=torch.tensor([2, 0, 1, 0])), expected, atol=1e-5)
        none = given(x, label=torch.full((B,), 3))
        assert torch.allclose(none, model(x), atol=1e-5)
        assert not torch.allclose(none, expected, atol=1e-3)
        dropped = model.encode(SOURCE[[2, 0, 1, 0]], torch.tensor([0, 4, 0, 0]))
        mixed = model(x, source=dropped)
        assert torch.allclose(mixed[[0, 2, 3]], none[[0, 2, 3]], atol=1e-5)
        one = model.encode(SOURCE[:1])
        assert torch.allclose(model(x, source=one), model.given(SOURCE[:1])(x, label=torch.zeros(B).long()), atol=1e-5)
    with pytest.raises(ConfigError, match=r"given 3 sources: expected label \(B,\), .* \(0 … 2, or 3 for none\), got None"):
        given(x)
    with pytest.raises(ConfigError, match="source: expected one, or one for each of the 4 rows, got 3"):
        model(x, source=model.encode(SOURCE))


def test_the_length_head_sees_the_source_and_its_length():
    model = network(SEQ2SEQ)
    same = torch.ones(2, 4, dtype=torch.int64)  # the mean of the states alone could not tell these two apart
    given = model.given(same, torch.tensor([2, 4]))
    p = given.length_probability()
    assert p.dtype == torch.float64
    assert torch.allclose(p.sum(-1), torch.ones(3).double())
    assert not torch.allclose(p[0], p[1], atol=1e-3)
    with torch.no_grad():
        torch.nn.init.zeros_(model.length.weight)
        torch.nn.init.zeros_(model.length.bias)
        torch.nn.init.zeros_(model.length_difference.weight)
        logits = model.length_logits(model.encode(same, torch.tensor([2, 4])))
    assert torch.equal(logits[0, :5], logits[1, 2:]), "a term of the difference of lengths"
    with pytest.raises(ConfigError, match="max_length: expected the longest length"):
        network({"kind": "encoder-decoder"}).given(same).length_probability()


def learned(model, rows, steps):
    """Cross-entropy in nats after some steps on fresh rows(model) → (logits, targets); log 5 = 1.6 is chance."""
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    loss = torch.zeros(())
    for _ in range(steps):
        out, target = rows(model)
        loss = torch.nn.functional.cross_entropy(out, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def ends_that_agree(model):
    """The masked last token equals the first, 8 positions away."""
    x = torch.randint(0, V, (32, 9))
    x[:, 8] = x[:, 0]
    x_t = x.clone()
    x_t[:, 8] = V
    return model(x_t)[:, 8], x[:, 8]


def a_source_reversed(model):
    """The target is all masked: what it holds must come from the source, by place."""
    source = torch.randint(0, V, (32, 4))
    return model(torch.full((32, 4), V), source=model.encode(source)).flatten(0, 1), source.flip(1).flatten()


@pytest.mark.parametrize("kind", ["unet", "unet++"])
def test_a_unet_learns_a_long_tie(kind):
    torch.manual_seed(0)
    model = denoiser_from_config({**SIZE, "kind": kind, "width": 32, "depth": 1, "kernel": 5})
    assert learned(model, ends_that_agree, 100) < 0.3


def test_an_encoder_decoder_learns_to_reverse():
    torch.manual_seed(0)
    model = denoiser_from_config({**SIZE, "kind": "encoder-decoder", "width": 32, "edges": True})
    assert learned(model, a_source_reversed, 120) < 0.3


# the causal control


def small_causal(**options):
    return network({"kind": "causal", "vocabulary": 3, "labels": 2, **options})


def enumerated(model, length, label=None):
    outcomes = torch.tensor(list(itertools.product(range(model.vocabulary), repeat=length)))
    labels = None if label is None else torch.full((len(outcomes),), label)
    with torch.no_grad():
        return outcomes, model.log_likelihood(outcomes, labels).exp()


def test_its_likelihood_is_a_law_over_the_rows_of_a_length():
    model = small_causal()
    for length, label in ((1, None), (3, 0), (4, 1)):
        _, p = enumerated(model, length, label)
        assert abs(float(p.sum()) - 1) < 1e-6
    x, lengths = torch.tensor([[0, 2, 1, 4], [1, 1, 2, 0]]), torch.tensor([3, 4])
    with torch.no_grad():
        both = model.log_likelihood(x, lengths=lengths)
        assert torch.allclose(both[:1], model.log_likelihood(x[:1, :3]), atol=1e-5)
        assert torch.allclose(both[1:], model.log_likelihood(x[1:]), atol=1e-5)


def test_it_draws_its_own_law():
    model, n = small_causal(), 4_000
    outcomes, p = enumerated(model, 3, 1)
    drawn = model.sample(torch.full((n, 3), 3), 7, torch.arange(n), torch.ones(n, dtype=torch.int64))
    ok, message = distribution_test(drawn, outcomes, p / p.sum())
    assert ok, message
    other = enumerated(model, 3, 0)[1]
    assert not distribution_test(drawn, outcomes, other / other.sum())[0], "another class's law must be told apart"


def test_its_prefix_stays_and_the_rest_follows_its_law():
    model, n = small_causal(), 4_000
    outcomes, p = enumerated(model, 3)
    drawn = model.sample(torch.tensor([[2, 3, 3]]).expand(n, 3), 7, torch.arange(n))
    ok, message = distribution_test(drawn, outcomes[outcomes[:, 0] == 2], p[outcomes[:, 0] == 2] / p[outcomes[:, 0] == 2].sum())
    assert ok, message
    with pytest.raises(ConditionError, match="expected pins that are a prefix, got a pin after a hole"):
        model.sample(torch.tensor([[3, 2, 3]]), 0, torch.arange(1))


@pytest.mark.parametrize("length_input", [False, True])
def test_what_it_kept_of_the_past_changes_nothing(length_input):
    """The same tokens as drawing each from a full pass, whatever the batch; prefixes of several lengths in one batch."""
    model, n, length = small_causal(length_input=length_input), 12, 7
    canvas = torch.full((n, length), 3)
    for b in range(n):
        canvas[b, : b % 4] = torch.arange(b, b + b % 4) % 3
    sample, label = torch.arange(n) + 30, torch.arange(n) % 3
    kept = model.sample(canvas, 5, sample, label)
    x = canvas.clone()
    for i in range(length):
        with torch.no_grad():
            logits = model(x, None, label)[:, i]
        u = uniform(5, sample, 0, i, Stream.TOKEN)
        x[:, i] = torch.where(canvas[:, i] == 3, categorical(probabilities(logits), u), canvas[:, i])
    assert torch.equal(kept, x)
    alone = [model.sample(canvas[b : b + 1], 5, sample[b : b + 1], label[b : b + 1]) for b in reversed(range(n))]
    assert torch.equal(torch.cat(alone[::-1]), kept)
    full = torch.zeros(2, length, dtype=torch.int64)
    assert torch.equal(model.sample(full, 5, torch.arange(2)), full)


def test_it_is_told_the_length():
    x = torch.randint(0, 3, (2, 6), generator=torch.Generator().manual_seed(0))
    for told in (False, True):
        model = small_causal(length_input=told)
        with torch.no_grad():
            same = torch.allclose(model(x)[:, :4], model(x, lengths=torch.tensor([4, 4]))[:, :4], atol=1e-4)
        assert same != told


# configurations


@pytest.mark.parametrize("name", CASES)
def test_a_configuration_comes_back(name):
    model = denoiser_from_config({**SIZE, **CASES[name]})
    again = denoiser_from_config(denoiser_to_config(model))
    assert type(again) is type(model)
    assert again.config == model.config
    assert type(again.config) is DENOISERS[CASES[name]["kind"]][1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "lstm"}, "denoiser: expected kind 'transformer', 'unet', .*; got 'lstm'"),
        ({}, "denoiser: expected kind .*; got None"),
        ({"kind": "unet", "depht": 3}, "denoiser.depht: unknown key; expected one of vocabulary, width"),
        ({"kind": "transformer", "levels": 3}, "denoiser.levels: unknown key"),
        ({"kind": "unet", "levels": "two"}, "denoiser.levels: expected int, got 'two'"),
        ({"kind": "unet", "levels": 0}, "model.levels: expected at least 1, got 0"),
        ({"kind": "unet", "kernel": 4}, "model.kernel: expected an odd width, got 4"),
        ({"kind": "transformer", "labels": -1}, "model.labels: expected 0 or more, got -1"),
        ({"kind": "encoder-decoder", "max_length": -1}, "model.max_length: expected 0 or more, got -1"),
        ({"kind": "transformer", "self_condition": True}, "model.self_condition: expected an input_width"),
        ({"kind": "causal", "edges": True}, "model.edges: expected none in a causal model, got True; leave it out"),
        ({"kind": "causal", "time_input": True}, "model.time_input: expected none in a causal model"),
    ],
)
def test_a_bad_configuration_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        denoiser_from_config({**SIZE, **config})


def test_what_no_kind_describes_has_no_configuration():
    with pytest.raises(ConfigError, match="got a Linear"):
        denoiser_to_config(torch.nn.Linear(2, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [("vectors", (2, 4, E + 1), r"vectors \(B, L, 3\)"), ("vectors", (2, 4), "vectors"), ("unet", (2, 4, E), r"ids \(B, L\)")],
)
def test_an_input_of_the_wrong_shape_is_named(name, shape, expected):
    with pytest.raises(ConfigError, match=f"expected x_t of {expected}.*, got shape"):
        network(CASES[name])(torch.zeros(shape), torch.zeros(2))
