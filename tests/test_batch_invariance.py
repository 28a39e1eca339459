"""The same seed gives the same token ids whatever the batch, the order or the company; and a control that must not."""

import pytest
import torch

from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.noise import Stream
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.drive import generate, sample
from seqdiff.samplers.registry import samplers_for
from seqdiff.samplers.state import State
from seqdiff.schedules import Cosine

V, L, N = 12, 16, 64


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    network = Transformer(TransformerConfig(vocabulary=V, width=32, depth=2, heads=2)).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network, Absorbing(V, Cosine())


def drawn(model, sampler, batch_size, order, seed=5):
    """Rows by their sample numbers, drawn in batches of `batch_size` in the given order."""
    out = torch.empty(N, L, dtype=torch.int64)
    for start in range(0, len(order), batch_size):
        index = order[start : start + batch_size]
        state = State.start(torch.full((len(index), L), V), seed, index)
        out[index] = sample(*model, state, sampler, 8).tokens
    return out


@pytest.mark.parametrize("sampler", samplers_for(Absorbing(V, Cosine())))
def test_batches_of_1_7_and_64_in_any_order_give_the_same_tokens(model, sampler):
    reference = drawn(model, sampler, 64, torch.arange(N))
    alone = torch.arange(0, N, 5)
    assert torch.equal(drawn(model, sampler, 1, alone)[alone], reference[alone])
    assert torch.equal(drawn(model, sampler, 7, torch.arange(N).flip(0)), reference)
    shuffled = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn(model, sampler, 7, shuffled), reference)
    if sampler != "mask-predict":  # the likeliest tokens, whatever the seed
        assert not torch.equal(drawn(model, sampler, 64, torch.arange(N), seed=6), reference)


def test_noise_that_depends_on_the_place_in_the_batch_would_be_caught(model, monkeypatch):
    """The negative control: number the rows by their place in the batch, and the same comparison fails."""
    reference = drawn(model, "event-driven", 64, torch.arange(N))

    def by_place(self, step, position, stream: Stream):
        from seqdiff.noise import uniform

        place = torch.arange(len(self.tokens)).unsqueeze(-1)
        return uniform(self.seed.unsqueeze(-1), place, step, position, stream, self.slot.unsqueeze(-1))

    monkeypatch.setattr(State, "noise", by_place)
    assert not torch.equal(drawn(model, "event-driven", 7, torch.arange(N)), reference)


def test_generate_keeps_rows_in_place_over_mixed_lengths(model):
    canvases = [torch.full((3 + i % 5,), V) for i in range(30)]
    canvases[4] = torch.tensor([V, 7, V, V])
    results = {}
    for batch_size in (2, 64):
        rows = generate(*model, canvases, seed=1, batch_size=batch_size, sampler="event-driven", steps=8)
        results[batch_size] = {int(i): row.tolist() for index, tokens in rows for i, row in zip(index, tokens, strict=True)}
    assert results[2] == results[64]
    assert sorted(results[2]) == list(range(30))
    assert all(len(results[2][i]) == len(canvas) for i, canvas in enumerate(canvases))
    assert results[2][4][1] == 7
    assert all(0 <= v < V for row in results[2].values() for v in row), "never a mask or a pad"
