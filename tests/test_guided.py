"""Classifier-free guidance against exact conditional laws: every p(x0 | x_t), and what samplers draw with it."""

import itertools

import pytest
import torch
from laws import as_vector, copies, distribution_test, ising, p_x0

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.denoisers.guided import ClassifierFree, drop_condition
from seqdiff.denoisers.registry import denoiser_from_config
from seqdiff.errors import ConfigError
from seqdiff.noise import Stream, uniform
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.drive import sample
from seqdiff.samplers.state import State
from seqdiff.schedules import Linear

GAMMAS = [0.0, 0.3, 1.0, 2.5]


class ByClass:
    """The exact denoiser of a joint law of class and sequence: p(x0 | x_t, class), and p(x0 | x_t) of the mixture."""

    config = None

    def __init__(self, laws, share, process=None):
        outcomes = {}
        for law, weight in zip(laws, share, strict=True):
            for row, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True):
                outcomes[tuple(row)] = outcomes.get(tuple(row), 0.0) + weight * p
        mixture = EnumeratedLaw(*as_vector(outcomes), laws[0].vocabulary)
        self.laws = [*laws, mixture]
        self.exact = [ExactDenoiser(law, process) for law in self.laws]
        self.vocabulary, self.labels, self.needs_time = mixture.vocabulary, len(laws), process is not None
        self.rows = []

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None):
        self.rows.append(len(x_t))
        label = torch.full((len(x_t),), self.labels) if label is None else label
        answers = torch.stack([exact(x_t, t, None, lengths, positions) for exact in self.exact])
        return answers[label, torch.arange(len(x_t))]


def two_ising():
    """Two laws of full support over V = 3, L = 4, the second that of the first read backwards with tokens exchanged."""
    law = ising()
    return [law, EnumeratedLaw((2 - law.outcomes).flip(1), law.probability, 3)]


def two_copies():
    """Two laws over V = 4, L = 3 with impossible sequences, of which some are possible under the other law alone."""
    law = copies()
    other = torch.tensor([0.1, 0.2, 0.0, 0.3, 0.3, 0.1], dtype=torch.float64)
    return [law, EnumeratedLaw((law.outcomes + 1) % 4, other, 4)]


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("laws", [two_ising, two_copies])
def test_it_is_the_tilted_law_at_every_x_t(laws, gamma):
    """p ∝ p_label^γ p_any^{1−γ}, by brute force over all x_t that are possible."""
    denoiser = ByClass(laws(), (0.7, 0.3))
    V, L = denoiser.vocabulary, denoiser.laws[0].outcomes.shape[1]
    guided = ClassifierFree(denoiser, gamma)
    for label in (0, 1):
        x_t = [x for x in itertools.product(range(V + 1), repeat=L) if possible(denoiser.laws[label], x)]
        ours = guided(torch.tensor(x_t), None, torch.full((len(x_t),), label)).softmax(-1)
        for x, row in zip(x_t, ours, strict=True):
            conditional, free = (torch.tensor(p_x0(denoiser.laws[k], x), dtype=torch.float64) for k in (label, 2))
            expected = torch.where(conditional > 0, conditional**gamma * free ** (1 - gamma), 0.0) if gamma else free
            assert torch.allclose(row, expected / expected.sum(-1, keepdim=True), atol=1e-12), (x, label)


def possible(law, x):
    agree = (torch.tensor(x) == law.outcomes) | (torch.tensor(x) == law.vocabulary)
    return bool(law.probability[agree.all(-1)].sum() > 0)


@pytest.mark.parametrize(("gamma", "which"), [(1.0, 1), (0.0, 2)])
def test_samplers_draw_the_conditional_law_at_1_and_the_unconditional_at_0(gamma, which):
    denoiser, n = ByClass(two_ising(), (0.7, 0.3)), 4_000
    state = State.start(torch.full((n, 4), 3), 3, torch.arange(n), torch.ones(n, dtype=torch.int64))
    drawn = sample(ClassifierFree(denoiser, gamma), Absorbing(3, Linear()), state, "first-hitting").tokens
    law = denoiser.laws[which]
    ok, message = distribution_test(drawn, law.outcomes, law.probability)
    assert ok, message
    other = denoiser.laws[3 - which]
    order = other.index(law.outcomes)
    assert not distribution_test(drawn, law.outcomes, other.probability[order])[0]


def test_of_one_token_the_drawn_law_is_the_tilted_one():
    laws = [
        EnumeratedLaw(torch.arange(3).unsqueeze(-1), torch.tensor(p, dtype=torch.float64), 3)
        for p in ((0.6, 0.3, 0.1), (0.2, 0.3, 0.5))
    ]
    denoiser, n, gamma = ByClass(laws, (0.5, 0.5)), 4_000, 2.0
    tilted = torch.tensor([0.6**2 / 0.4, 0.3**2 / 0.3, 0.1**2 / 0.3], dtype=torch.float64)
    state = State.start(torch.full((n, 1), 3), 3, torch.arange(n), torch.zeros(n, dtype=torch.int64))
    drawn = sample(ClassifierFree(denoiser, gamma), Absorbing(3, Linear()), state, "ancestral", 4).tokens
    ok, message = distribution_test(drawn, laws[0].outcomes, tilted / tilted.sum())
    assert ok, message


def test_time_and_positions_go_to_both_halves():
    """Under the uniform process p(x0 | x_t) depends on t; a time per row, and one for all."""
    denoiser = ByClass(two_ising(), (0.7, 0.3), Uniform(3, Linear()))
    x_t = torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0], [1, 1, 1, 1]])
    label, t = torch.tensor([0, 1, 0]), torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    positions = torch.tensor([[3, 0], [1, 1], [2, 3]])
    guided = ClassifierFree(denoiser, 1.7)
    expected = denoiser(x_t, t, label) * 1.7 - denoiser(x_t, t) * 0.7
    assert torch.allclose(guided(x_t, t, label), expected, atol=1e-12)
    some = guided(x_t, t, label, None, positions)
    assert torch.allclose(some, expected.gather(1, positions.unsqueeze(-1).expand(3, 2, 3)), atol=1e-12)
    assert torch.allclose(guided(x_t, t[1], label)[1], expected[1], atol=1e-12)


def test_both_halves_are_one_pass_and_one_half_is_enough_at_0_and_1():
    denoiser = ByClass(two_ising(), (0.7, 0.3))
    x_t, label = torch.full((5, 4), 3), torch.zeros(5, dtype=torch.int64)
    for gamma, rows in ((0.0, 5), (1.0, 5), (0.5, 10), (3.0, 10)):
        denoiser.rows = []
        ClassifierFree(denoiser, gamma)(x_t, None, label)
        assert denoiser.rows == [rows]


def network(**options):
    torch.manual_seed(0)
    sizes = {"vocabulary": 4, "width": 16, "depth": 1, "heads": 2, "labels": 2}
    model = denoiser_from_config({**sizes, **options}).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_vectors_are_guided_in_x0_with_everything_that_goes_with_them():
    model = network(kind="transformer", input_width=3, output_width=3, self_condition=True, time_input=True)
    x_t, previous = torch.randn(2, 4, 6, 3, generator=torch.Generator().manual_seed(0))
    t, label, lengths = torch.tensor([0.1, 0.4, 0.6, 0.9]), torch.tensor([0, 1, 0, 1]), torch.tensor([6, 2, 4, 5])
    with torch.no_grad():
        any_, of_label = (model(x_t, t, k, lengths, None, previous) for k in (None, label))
        guided = ClassifierFree(model, 3.0)
        assert torch.allclose(guided(x_t, t, label, lengths, previous=previous), 3 * of_label - 2 * any_, atol=1e-4)
        assert torch.equal(guided(x_t, t, None, lengths, previous=previous), any_)
    assert (guided.vocabulary, guided.needs_time, guided.labels, guided.config) == (4, True, 2, model.config)


def test_a_given_source_is_a_condition_too():
    model = network(kind="encoder-decoder", max_length=5)
    given = model.given(torch.tensor([[0, 1, 2], [3, 3, 1]]), torch.tensor([3, 2]))
    x, label = torch.tensor([[0, 4, 1], [4, 4, 4], [4, 2, 4]]), torch.tensor([1, 0, 1])
    with torch.no_grad():
        expected = 2 * given(x, label=label) - given(x, label=torch.full((3,), 2))
        assert torch.allclose(ClassifierFree(given, 2.0)(x, label=label), expected, atol=1e-5)


def test_a_share_of_the_conditions_is_dropped():
    u = uniform(0, torch.arange(10_000), 0, 0, Stream.LABEL)
    lengths = drop_condition(torch.full((10_000,), 7), 0, 0.1, u)
    assert set(lengths.tolist()) == {0, 7}
    assert abs(float((lengths == 0).double().mean()) - 0.1) < 0.012
    label = torch.arange(5)
    assert torch.equal(drop_condition(label, 9, 0.0, u[:5]), label)
    assert torch.equal(drop_condition(label, 9, 1.0, u[:5]), torch.full((5,), 9))


def test_what_cannot_be_guided_is_refused():
    with pytest.raises(ConfigError, match="guidance: expected a denoiser with classes or a given source"):
        ClassifierFree(network(kind="unet", labels=0), 2.0)
    with pytest.raises(ConfigError, match="expected a finite gamma, got nan"):
        ClassifierFree(network(kind="unet"), float("nan"))
