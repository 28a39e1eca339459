"""The causal control: an exact likelihood, draws of exactly that law, and only a prefix can be pinned."""

import itertools

import pytest
import torch
from laws import distribution_test
from test_denoisers import network

from seqdiff.draws import categorical, probabilities
from seqdiff.errors import ConditionError
from seqdiff.noise import Stream, uniform


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
