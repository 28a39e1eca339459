"""A given source: its padding never matters, it is read once, a row's label picks it, and it tells the length."""

import pytest
import torch
from test_denoisers import LOCAL, SEQ2SEQ, SIZE, SOURCE, SOURCE_LENGTHS, B, Case, V, learned, network

from seqdiff.denoisers.registry import denoiser_from_config
from seqdiff.errors import ConfigError


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
    assert len(set(logits[1].tolist())) == 7, "shorter and longer are told apart"
    with pytest.raises(ConfigError, match="max_length: expected the longest length"):
        network({"kind": "encoder-decoder"}).given(same).length_probability()


def a_source_reversed(model):
    """The target is all masked: what it holds must come from the source, by place."""
    source = torch.randint(0, V, (32, 4))
    return model(torch.full((32, 4), V), source=model.encode(source)).flatten(0, 1), source.flip(1).flatten()


def test_an_encoder_decoder_learns_to_reverse():
    torch.manual_seed(0)
    model = denoiser_from_config({**SIZE, "kind": "encoder-decoder", "width": 32, "edges": True})
    assert learned(model, a_source_reversed, 120) < 0.3
