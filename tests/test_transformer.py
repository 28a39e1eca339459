"""The denoiser's contract: padding, positions, time, classes, learning."""

import pytest
import torch

from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConfigError

V = 11


def network(**options) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(vocabulary=V, width=32, depth=3, heads=2, **options)).eval()
    for parameter in model.parameters():  # the zero-initialised projections would make every test trivial
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def rows(B=4, L=9):
    return torch.randint(0, V + 1, (B, L), generator=torch.Generator().manual_seed(1))


LOCAL = {"convolution": 5, "qk_gain": True, "rotary_base": 100.0, "edges": True}


@pytest.mark.parametrize("options", [{}, {"time_input": True}, {"edges": True}, LOCAL])
@pytest.mark.parametrize("train", [False, True])
def test_padding_never_changes_a_logit(options, train):
    model, x = network(labels=2, **options), rows()
    t, label = torch.tensor([0.1, 0.4, 0.6, 0.9]), torch.tensor([0, 1, 2, 0])
    lengths = torch.tensor([9, 7, 4, 1])
    padded = torch.cat([x, rows(4, 5)], dim=1)  # whatever stands in the padding
    with torch.set_grad_enabled(train):
        together = model(padded, t, label, lengths)
        for b, length in enumerate(lengths.tolist()):
            alone = model(x[b : b + 1, :length], t[b : b + 1], label[b : b + 1])
            assert torch.allclose(together[b, :length], alone[0], atol=1e-5)


def test_a_network_without_the_padding_mask_would_fail():
    model, x = network(), rows()
    padded = torch.cat([x, rows(4, 5)], dim=1)
    with torch.no_grad():
        assert not torch.allclose(model(padded)[:, :9], model(x), atol=1e-3)


@pytest.mark.parametrize("options", [{}, {"time_input": True}, {"edges": True}, LOCAL])
def test_asking_for_positions_gives_the_rows_of_the_full_answer(options):
    model, x = network(**options), rows()
    t = torch.full((4,), 0.3)
    positions = torch.tensor([[0, 8], [3, 3], [5, 1], [7, 2]])
    with torch.no_grad():
        full, some = model(x, t), model(x, t, positions=positions)
    assert some.shape == (4, 2, V)
    assert torch.allclose(some, full.gather(1, positions.unsqueeze(-1).expand(4, 2, V)), atol=1e-5)


def test_time_and_class_matter_only_where_the_model_has_them():
    x = rows()
    with torch.no_grad():
        timed = network(time_input=True)
        assert not torch.allclose(timed(x, torch.full((4,), 0.1)), timed(x, torch.full((4,), 0.9)), atol=1e-3)
        free = network()
        assert torch.equal(free(x, torch.full((4,), 0.1)), free(x))
        classed = network(labels=2)
        one, two = classed(x, None, torch.zeros(4, dtype=torch.int64)), classed(x, None, torch.ones(4, dtype=torch.int64))
        assert not torch.allclose(one, two, atol=1e-3)
        assert torch.equal(classed(x), classed(x, None, torch.full((4,), 2)))
    with pytest.raises(ConfigError, match="takes a time"):
        timed(x)


def test_positions_are_relative():
    """Rotary positions: the same row shifted by padding in front is not the same input, but distances are."""
    model = network()
    with torch.no_grad():
        a = model(torch.tensor([[1, 2, 3]]))
        b = model(torch.tensor([[1, 3, 2]]))
    assert not torch.allclose(a[0, 0], b[0, 0], atol=1e-3), "the order of the others must matter"


def test_only_marks_at_the_ends_tell_the_positions_of_a_row_of_masks_apart():
    masks = torch.full((1, 6), V)
    with torch.no_grad():
        without, marked = network()(masks)[0], network(edges=True)(masks)[0]
    assert torch.allclose(without, without[:1].expand_as(without), atol=1e-5)
    assert float((marked - marked.roll(1, 0)).abs().amax(-1).min()) > 1e-3


def test_it_learns_a_law_with_a_long_tie():
    """Predicts a masked last token that equals the first: attention across the row and positions both needed."""
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(vocabulary=4, width=32, depth=2, heads=2))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(150):
        x = torch.randint(0, 4, (64, 8))
        x[:, 7] = x[:, 0]
        x_t = x.clone()
        x_t[:, 7] = 4
        loss = torch.nn.functional.cross_entropy(model(x_t)[:, 7], x[:, 7])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 30, "heads": 4}, "expected a multiple of 2 · heads = 8"),
        ({"depth": 0}, "model.depth: expected at least 1, got 0"),
        ({"convolution": 4}, "model.convolution: expected 0 or an odd width, got 4"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TransformerConfig(vocabulary=5, **options)


@pytest.mark.parametrize(("width", "depth", "heads", "millions"), [(96, 4, 3, 0.5), (768, 14, 12, 100)])
def test_sizes_reach_from_half_a_million_to_a_hundred_million(width, depth, heads, millions):
    with torch.device("meta"):
        model = Transformer(TransformerConfig(vocabulary=100, width=width, depth=depth, heads=heads))
    assert 0.8 < sum(p.numel() for p in model.parameters()) / (millions * 1e6) < 1.25
