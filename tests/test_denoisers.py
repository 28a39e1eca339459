"""One contract for all networks: padding, positions, rows, time, classes, gradients, storage; then what each adds."""

import itertools
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load, save

from seqdiff.denoisers.registry import denoiser_from_config, denoiser_to_config
from seqdiff.errors import ConfigError

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
    without = [n for n, p in case.model.named_parameters() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()]
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


@pytest.mark.parametrize("kind", ["unet", "unet++"])
def test_a_unet_learns_a_long_tie(kind):
    torch.manual_seed(0)
    model = denoiser_from_config({**SIZE, "kind": kind, "width": 32, "depth": 1, "kernel": 5})
    assert learned(model, ends_that_agree, 100) < 0.3


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [("vectors", (2, 4, E + 1), r"vectors \(B, L, 3\)"), ("vectors", (2, 4), "vectors"), ("unet", (2, 4, E), r"ids \(B, L\)")],
)
def test_an_input_of_the_wrong_shape_is_named(name, shape, expected):
    with pytest.raises(ConfigError, match=f"expected x_t of {expected}.*, got shape"):
        network(CASES[name])(torch.zeros(shape), torch.zeros(2))
