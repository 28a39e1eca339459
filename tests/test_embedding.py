"""Embeddings, the process on them, and samplers of tokens through it: identities, Bayes, and laws by enumeration."""

from dataclasses import replace

import pytest
import torch
from laws import biased, distribution_test

from seqdiff.condition import Draw, Unconditional
from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.draws import categorical
from seqdiff.embedding import EmbeddedProcess, Embedding
from seqdiff.errors import ConditionError, ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.gaussian import Straight, VarianceExploding, VariancePreserving
from seqdiff.samplers.drive import DrawOptions, answer, drive
from seqdiff.samplers.embedded import SOLVERS, embedded
from seqdiff.samplers.state import State
from seqdiff.schedules import Sqrt, SquaredCosine


def random_vectors(V=7, D=4, seed=0):
    return torch.randn(V, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def tied() -> EnumeratedLaw:
    """V = 3, L = 2: the second token likes to follow the first, no two outcomes are alike."""
    return EnumeratedLaw.from_log_weights(3, 2, lambda x: 1.5 * ((x[0] + 1) % 3 == x[1]) - 0.4 * x[0] + 0.1 * x[1])


# The space -------------------------------------------------------------------------------------------------------------


def test_norms_are_what_they_say_and_gradients_pass():
    vectors = random_vectors()
    layer, sphere = (Embedding(vectors, norm).table() for norm in ("layer", "sphere"))
    layer, sphere = layer.detach(), sphere.detach()
    assert torch.allclose(layer.mean(-1), torch.zeros(7).double(), atol=1e-12)
    assert torch.allclose(layer.var(-1, correction=0), torch.ones(7).double(), atol=1e-3)
    assert torch.allclose(sphere.norm(dim=-1), torch.full((7,), 2.0).double())
    assert torch.allclose(sphere, 2 * vectors / vectors.norm(dim=-1, keepdim=True))
    assert torch.equal(Embedding(vectors).table(), vectors)
    embedding = Embedding(vectors, "sphere", soft_mask=True)
    embedding.encode(torch.tensor([[0, 3]])).pow(3).sum().backward()
    assert [row for row in range(7) if embedding.vectors.grad[row].abs().sum() > 0] == [0, 3]
    assert embedding.origin.grad.abs().sum() > 0
    assert not Embedding.simplex(3).vectors.requires_grad


def test_rounding_mean_and_clamping():
    embedding, x = Embedding(random_vectors(), "layer", learned=False), random_vectors(5, 4, 1).reshape(1, 5, 4)
    e = embedding.table()
    distance = (x.unsqueeze(-2) - e).square().sum(-1)
    assert torch.allclose(embedding.logits(x, 0.5).log_softmax(-1), (-distance / 0.5).log_softmax(-1), atol=1e-12)
    assert torch.equal(embedding.nearest(x), distance.argmin(-1))
    clamped = embedding.clamp(x)
    assert float((clamped.unsqueeze(-2) - e).square().sum(-1).min(-1).values.max()) == 0
    assert torch.equal(embedding.nearest(embedding.encode(torch.arange(7))), torch.arange(7))
    p = torch.softmax(random_vectors(2, 7, 2), -1)
    assert torch.allclose(embedding.mean(p), sum(p[:, v : v + 1] * e[v] for v in range(7)))
    tokens = torch.tensor([[6, 0]])
    assert torch.equal(embedding.mean(torch.nn.functional.one_hot(tokens, 7).double()), embedding.encode(tokens))


def test_the_linear_head_starts_at_the_vectors_and_learns():
    vectors = random_vectors()
    embedding, x = Embedding(vectors, linear_head=True), random_vectors(5, 4, 1)
    assert torch.allclose(embedding.logits(x), x @ vectors.T)
    embedding.logits(x).square().sum().backward()
    assert embedding.vectors.grad is None, "the head is a map of its own"
    assert embedding.head.weight.grad.abs().sum() > 0


def test_mean_cosine_tells_a_collapse():
    vectors = random_vectors()
    pairs = [torch.cosine_similarity(vectors[i], vectors[j], dim=0) for i in range(7) for j in range(7) if i != j]
    assert float(Embedding(vectors).mean_cosine()) == pytest.approx(float(sum(pairs) / 42), abs=1e-12)
    assert float(Embedding(vectors[:1] * torch.arange(1, 8).unsqueeze(-1)).mean_cosine()) == pytest.approx(1)
    assert float(Embedding.simplex(6, 3.0).mean_cosine()) == pytest.approx((6 - 4) / 6), "⟨e_i, e_j⟩ = K²(V − 4)"
    moved = Embedding(vectors, soft_mask=True)
    torch.nn.init.constant_(moved.origin, 3.0)
    assert float(moved.mean_cosine()) == pytest.approx(float(Embedding(vectors).mean_cosine()))


def test_simplex_is_plus_and_minus_K():
    table = Embedding.simplex(4, 5.0).table()
    assert table.tolist() == [[5.0 if i == j else -5.0 for j in range(4)] for i in range(4)]


# The process on it -----------------------------------------------------------------------------------------------------


def test_soft_mask_is_the_origin_of_the_process():
    """x_t + m = √ᾱ (x_0 − m) + √(1 − ᾱ) ε + m; with m = 0 and γ = 0 that is DiffuSeq."""
    vectors, tokens, t = random_vectors(), torch.tensor([[1, 5, 2]]), torch.tensor([0.4]).double()
    gaussian = VariancePreserving(Sqrt())
    a, b = gaussian.signal(t), gaussian.noise(t)
    eps = random_vectors(3, 4, 3).unsqueeze(0)
    embedding = Embedding(vectors, soft_mask=True)
    plain = EmbeddedProcess(gaussian, Embedding(vectors)).corrupt(tokens, t, eps)
    assert torch.allclose(EmbeddedProcess(gaussian, embedding).corrupt(tokens, t, eps), plain, atol=1e-14)
    with torch.no_grad():
        embedding.origin.copy_(random_vectors(1, 4, 4)[0])
    m = embedding.origin
    ours = EmbeddedProcess(gaussian, embedding).corrupt(tokens, t, eps) + m
    assert torch.allclose(ours, a * (vectors[tokens] - m) + b * eps + m, atol=1e-14)
    assert torch.allclose(plain, a * vectors[tokens] + b * eps, atol=1e-14)


def test_absorption_puts_gamma_b_of_the_positions_onto_the_mask():
    gaussian, n, t = VariancePreserving(SquaredCosine()), 20_000, torch.tensor([0.3, 0.7]).double()
    process = EmbeddedProcess(gaussian, Embedding(random_vectors()), absorb=0.5)
    state = State.start(torch.ones(2, n, dtype=torch.int64), 1, torch.arange(2))
    u, eps = state.noise(0, torch.arange(n), Stream.CORRUPT), torch.ones(2, n, 4).double()
    share = (process.corrupt(state.tokens, t, eps, u) == 0).all(-1).double().mean(-1)
    expected = 0.5 * gaussian.noise(t)
    assert bool(((share - expected).abs() < 4.5 * (expected * (1 - expected) / n).sqrt()).all())
    never = replace(process, absorb=0.0)
    assert torch.equal(never.corrupt(state.tokens, t, eps, u), never.corrupt(state.tokens, t, eps))


@pytest.mark.parametrize("gaussian", [VariancePreserving(Sqrt(), 4.0), VarianceExploding(), Straight()])
def test_log_likelihood_is_the_normal_density_of_every_token(gaussian):
    process = EmbeddedProcess(gaussian, Embedding(random_vectors(), "sphere", learned=False))
    x_t = random_vectors(6, 4, 1).reshape(2, 3, 4)
    for t in (torch.tensor([0.05, 0.8]).double(), torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7]]).double()):
        ours = process.log_likelihood(x_t, t)
        for b in range(2):
            for i in range(3):
                time = t[b] if t.ndim == 1 else t[b, i]
                for v in range(7):
                    law = torch.distributions.Normal(gaussian.signal(time) * process.embedding.table()[v], gaussian.noise(time))
                    assert float(ours[b, i, v]) == pytest.approx(float(law.log_prob(x_t[b, i]).sum()), rel=1e-10, abs=1e-9)


def test_the_exact_denoiser_of_an_embedded_law_is_bayes():
    law, t = tied(), torch.tensor([0.6, 0.2]).double()
    process = EmbeddedProcess(VariancePreserving(SquaredCosine()), Embedding(random_vectors(3, 2), learned=False))
    x_t = random_vectors(4, 2, 5).reshape(2, 2, 2)
    ours = ExactDenoiser(law, process)(x_t, t).exp()
    a, b, e = process.process.signal(t), process.process.noise(t), process.embedding.table()
    for row in range(2):
        table = torch.zeros(2, 3, dtype=torch.float64)
        for outcome, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True):
            gap = x_t[row] - a[row] * e[torch.tensor(outcome)]
            for i, v in enumerate(outcome):
                table[i, v] += p * float((-gap.square().sum() / (2 * b[row] ** 2)).exp())
        assert torch.allclose(ours[row], table / table.sum(-1, keepdim=True), atol=1e-12)


def test_a_canvas_begins_with_noise_at_its_holes_and_clean_vectors_at_its_pins():
    process = EmbeddedProcess(VariancePreserving(SquaredCosine(), 2.0), Embedding(random_vectors()))
    canvas = torch.tensor([[7, 3, 7], [0, 7, 7]]).repeat(3000, 1)
    state = process.place(State.from_canvas(process, canvas, 0, torch.arange(6000)), torch.tensor(1.0).double())
    assert torch.equal(state.tokens, canvas)
    assert torch.equal(state.vectors[~state.free], process.embedding.encode(canvas[~state.free]).detach())
    assert float(state.vectors[state.free].std()) == pytest.approx(2.0, rel=0.02)
    with pytest.raises(ConfigError, match=r"canvas: expected pins of 0 … 6, got 0 … 8"):
        process.place(State.start(canvas + 5, 0, torch.arange(6000), free=state.free), torch.tensor(1.0).double())


# Samplers of tokens ----------------------------------------------------------------------------------------------------

SIMPLEX = EmbeddedProcess(VariancePreserving(SquaredCosine(0.0)), Embedding.simplex(3, 1.0))
PLANE = EmbeddedProcess(Straight(), Embedding(torch.tensor([[1.0, 0.0], [-0.7, 0.8], [-0.5, -1.0]]).double(), learned=False))
EXPLODING = EmbeddedProcess(VarianceExploding(0.02, 20.0), Embedding.simplex(3, 1.0))
N = 3000


def draw(law, process, steps, n=N, canvas=None, condition=None, index=None, watch=None, **how):
    canvas = torch.full((n, law.outcomes.shape[1]), process.vocabulary) if canvas is None else canvas
    state = State.from_canvas(process, canvas, 5, torch.arange(len(canvas)) if index is None else index)
    return run(law, process, state, steps, condition, watch, **how).tokens


def run(law, process, state, steps, condition=None, watch=None, **how):
    denoiser, condition = ExactDenoiser(law, process), condition or Unconditional()

    def reply(query):
        assert query.law
        if watch is not None and query.vectors is None:
            watch(query.state)
        return answer(denoiser, query, condition, DrawOptions())

    return drive(embedded(state, process, condition, steps, **how), reply)


STEPS = {"ddpm": 96, "ddim": 48, "dpm-solver": 16, "euler": 48, "heun": 24, "sde": 96}


@pytest.mark.parametrize(
    ("solver", "process"),
    [(solver, SIMPLEX) for solver in SOLVERS] + [("ddpm", PLANE), ("dpm-solver", PLANE), ("heun", EXPLODING)],
)
def test_every_solver_draws_the_data_law_and_not_one_5_percent_away(solver, process):
    law = tied()
    tokens = draw(law, process, STEPS[solver], solver=solver)
    ok, message = distribution_test(tokens, law.outcomes, law.probability)
    assert ok, message
    assert not distribution_test(tokens, law.outcomes, biased(law, 0.05).probability)[0]


@pytest.mark.parametrize("solver", ["ddpm", "ddim", "dpm-solver", "euler", "sde"])
def test_the_distance_to_the_data_law_falls_with_the_steps(solver):
    law, distances = tied(), []
    for steps in (STEPS[solver] // 16, STEPS[solver] // 4, STEPS[solver]):
        index = law.index(draw(law, SIMPLEX, steps, solver=solver))
        frequency = torch.bincount(index, minlength=len(law.outcomes)).double() / N
        distances.append(float((frequency - law.probability).abs().sum() / 2))
    noise = 0.5 * float((2 * law.probability / (torch.pi * N)).sqrt().sum())  # E[TV] of draws from the law itself
    assert distances[0] > 3 * noise, distances
    assert distances[0] > distances[1] > distances[2] - noise, distances
    assert distances[2] < 2 * noise, distances


@pytest.mark.parametrize("solver", ["ddpm", "heun"])
def test_pins_hold_and_the_rest_follows_the_conditional_law(solver):
    law = tied()
    given = law.given({0: 1})
    canvas = torch.tensor([[1, 3]]).repeat(N, 1)
    tokens = draw(given, SIMPLEX, STEPS[solver], canvas=canvas, solver=solver)
    assert bool((tokens[:, 0] == 1).all())
    ok, message = distribution_test(tokens, given.outcomes, given.probability)
    assert ok, message


class OnlyEqualPairs:
    """Token 2 is banned, and both positions must be equal: drawn together from the product of p restricted to the pairs."""

    joint = False

    def tilt(self, logits, rows, positions):
        banned = torch.tensor([False, False, True])
        return torch.where(banned, float("-inf"), logits)

    def draw(self, query, p_x0, commit, u):
        pair = p_x0[:, 0] * p_x0[:, 1]
        token = categorical(pair, u[:, 0])
        return Draw(token.unsqueeze(-1).expand(-1, 2), pair.sum(-1).log())


@pytest.mark.parametrize("solver", ["ddim", "ddpm"])
def test_hard_constraints_hold_by_construction_at_any_number_of_steps(solver):
    for steps in (1, 5):
        state = State.from_canvas(SIMPLEX, torch.full((300, 2), 3), 5, torch.arange(300))
        end = run(tied(), SIMPLEX, state, steps, OnlyEqualPairs(), solver=solver, t_min=0.25)
        assert bool((end.tokens[:, 0] == end.tokens[:, 1]).all())
        assert set(end.tokens.flatten().tolist()) == {0, 1}
        assert bool((end.log_weight <= 0).all())
        assert float(end.log_weight.min()) < -1
    with pytest.raises(ConditionError, match=r"at t = 0.02 has no mass on what it allows; raise t_min"):
        run(tied(), SIMPLEX, state, 5, OnlyEqualPairs(), solver=solver)


@pytest.mark.parametrize("solver", ["ddpm", "dpm-solver"])
def test_batches_of_1_7_and_64_in_any_order_give_the_same_tokens(solver):
    law = tied()
    canvas = torch.full((64, 2), 3)
    canvas[::5, 1] = 2  # rows with different pins
    whole = draw(law, PLANE, 6, canvas=canvas, solver=solver)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    for size in (1, 7):
        for chunk in order.split(size)[:12]:
            assert torch.equal(draw(law, PLANE, 6, canvas=canvas[chunk], index=chunk, solver=solver), whole[chunk])
    assert bool((whole[::5, 1] == 2).all())


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_saved_state_goes_on_and_clamped_estimates_are_embeddings(solver):
    law, seen = tied(), []
    state = State.from_canvas(PLANE, torch.full((20, 2), 3), 5, torch.arange(20))
    end = run(law, PLANE, state, 5, watch=seen.append, solver=solver, clamp=True)
    assert bool((end.step == 6).all())
    for saved in (*seen, end):
        assert torch.equal(run(law, PLANE, saved, 5, solver=solver, clamp=True).tokens, end.tokens)
    table = PLANE.embedding.table()
    assert seen[0].x0_hat is None, "nothing to condition on at the first query"
    for saved in seen[1:]:
        assert float((saved.x0_hat.unsqueeze(-2) - table).square().sum(-1).min(-1).values.max()) == 0


def test_what_cannot_be_is_refused():
    state = State.from_canvas(PLANE, torch.full((2, 2), 3), 5, torch.arange(2))
    with pytest.raises(ConfigError, match="solver: expected one of ddpm, ddim.*got 'rk4'"):
        run(tied(), PLANE, state, 4, solver="rk4")
    with pytest.raises(ConfigError, match="spacing of times: expected one of log-snr, karras, uniform; got 'cubic'"):
        run(tied(), PLANE, state, 4, spacing="cubic")
    with pytest.raises(ConfigError, match="embedding: expected norm to be one of none, layer, sphere; got 'batch'"):
        Embedding(random_vectors(), "batch")
    with pytest.raises(ConfigError, match=r"expected vectors \(V, D\) of floats, got torch.int64 \(3,\)"):
        Embedding(torch.arange(3))
