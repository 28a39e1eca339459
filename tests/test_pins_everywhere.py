"""Every sampler on every process that it works on: pins hold, outputs are clean tokens, banned tokens stay out.

The denoisers are random and wrong on purpose: what is asserted must hold whatever the model says.
"""

from dataclasses import replace

import pytest
import torch

from constraints.token_sets import TokenSets
from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.embedding import EmbeddedProcess, Embedding
from seqdiff.errors import ConfigError
from seqdiff.processes import generators
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.gaussian import Straight, VarianceExploding, VariancePreserving
from seqdiff.processes.grid import GridChain
from seqdiff.processes.matrix import RateMatrix
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.drive import DrawOptions, sample
from seqdiff.samplers.registry import SAMPLERS, get_sampler, samplers_for
from seqdiff.samplers.state import State
from seqdiff.schedules import Cosine, Linear, SquaredCosine

V, L, STEPS, ROWS = 5, 6, 6, 900
BANNED = ((1,), (0, 3), ())  # the sets of tokens that a position may be denied


def noise_of(seed):
    return torch.Generator().manual_seed(seed)


def vectors():
    return Embedding(2 * torch.randn(V, 3, dtype=torch.float64, generator=noise_of(1)), learned=False)


def similarity():
    return torch.randn(V, V, dtype=torch.float64, generator=noise_of(2))


def betas():
    return torch.linspace(0.1, 1, 2 * STEPS, dtype=torch.float64)


PROCESSES = {
    "absorbing": lambda: Absorbing(V, Cosine()),
    "uniform": lambda: Uniform(V, Linear()),
    "similar": lambda: RateMatrix(generators.similar(similarity()), Linear(), V),
    "masking generator": lambda: RateMatrix(generators.absorbing(V), Cosine(), V),
    "ordered chain": lambda: GridChain.gaussian(V, betas()),
    "masking chain": lambda: GridChain.absorbing(V, betas()),
    "preserving": lambda: EmbeddedProcess(VariancePreserving(SquaredCosine()), vectors()),
    "exploding": lambda: EmbeddedProcess(VarianceExploding(), vectors()),
    "straight": lambda: EmbeddedProcess(Straight(), vectors()),
    "simplex": lambda: EmbeddedProcess(VariancePreserving(SquaredCosine(), factor=5.0), Embedding.simplex(V)),
}
WITHOUT_RATES = ("ordered chain", "masking chain")  # chains on a grid of times have no rate to leap by
NEEDS_RATES = ("tau-leaping", "rate-corrector")
PAIRS = [(name, kind) for kind, process in PROCESSES.items() for name in samplers_for(process())]


class OneLayer:
    """Random logits of what stands everywhere and of the time; with `sharp`, a third of the tokens has probability 0."""

    vocabulary = V

    def __init__(self, seed: int, sharp: bool, width: int | None):
        generator = noise_of(seed)
        inputs = L * (V + 1 if width is None else width)
        self.width = width
        self.weight = torch.randn(inputs, L * V, dtype=torch.float64, generator=generator)
        self.slope = torch.randn(L * V, dtype=torch.float64, generator=generator)
        never = torch.rand(L, V, generator=generator) < 1 / 3
        never[:, 2] = False
        self.never = never if sharp else torch.zeros_like(never)

    def __call__(self, x_t, t, label=None, lengths=None, positions=None):
        if self.width is None:
            assert int(x_t.min()) >= 0 and int(x_t.max()) <= V, "a denoiser sees tokens and masks alone"
            assert not bool((x_t[t <= 0] == V).any()), "there are no masks at t = 0"
            seen = torch.nn.functional.one_hot(x_t, V + 1).double()
        else:
            seen = x_t.tanh()
        logits = (seen.flatten(1) @ self.weight + t.unsqueeze(-1) * self.slope).unflatten(1, (L, V))
        logits = logits.masked_fill(self.never, float("-inf"))
        if positions is None:
            return logits
        return logits.gather(1, positions.unsqueeze(-1).expand(*positions.shape, V))


def faults(canvas, tokens, index) -> list[str]:
    """What is wrong with outputs (B, L): pins that moved, ids that are no token, banned tokens where there was a hole."""
    free = canvas == V
    log_allowed = sets().log_allowed
    found = []
    if bool((tokens != canvas)[~free].any()):
        found.append("a pin moved")
    if bool(((tokens < 0) | (tokens >= V)).any()):
        found.append("no clean token")
    elif bool((free & (log_allowed[index].gather(-1, tokens.unsqueeze(-1)).squeeze(-1) < 0)).any()):
        found.append("a banned token")
    return found


def sets() -> TokenSets:
    log_allowed = torch.zeros(len(BANNED), V, dtype=torch.float64)
    for row, banned in zip(log_allowed, BANNED, strict=True):
        row[list(banned)] = float("-inf")
    return TokenSets(log_allowed)


def filled(name, process, seed, rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Canvases (B, L), outputs (B, L) and the set of each position; also looks at every state on the way."""
    generator = noise_of(seed)
    share = torch.rand(rows, 1, generator=generator) * 1.4 - 0.2  # some rows without a pin, some of pins alone
    pinned = torch.rand(rows, L, generator=generator) < share
    canvas = torch.where(pinned, torch.randint(V, (rows, L), generator=generator), V)
    index = torch.randint(len(BANNED), (rows, L), generator=generator)
    options = DrawOptions(0.5 + 1.5 * float(torch.rand((), generator=generator)), 0.8 if seed % 3 == 0 else 1.0)
    embedded = isinstance(process, EmbeddedProcess)
    denoiser = OneLayer(seed, sharp=seed % 2 == 0, width=process.embedding.width if embedded else None)
    state = State.from_canvas(process, canvas, seed, torch.arange(rows))
    assert torch.equal(state.tokens[pinned], canvas[pinned])

    def watch(now: State):
        assert torch.equal(now.tokens[pinned], canvas[pinned]), "pins hold on the way"
        if embedded:
            clean = process.embedding.encode(canvas[pinned])
            assert torch.equal(now.vectors[pinned], clean), "and so do their vectors"

    condition = replace(sets(), index=index)
    return canvas, sample(denoiser, process, state, name, STEPS, condition, options, watch).tokens, index


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_whatever_the_model_says(name, kind):
    for seed in (3 * PAIRS.index((name, kind)), 3 * PAIRS.index((name, kind)) + 1):
        canvas, tokens, index = filled(name, PROCESSES[kind](), seed, ROWS)
        assert faults(canvas, tokens, index) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_whatever_the_model_says_a_hundred_thousand_times(name, kind):
    for seed in range(1000, 1020):
        canvas, tokens, index = filled(name, PROCESSES[kind](), seed, 5000)
        assert faults(canvas, tokens, index) == []


def test_the_table_is_whole():
    """No sampler is left out, and there are 10⁵ outputs in all."""
    assert {name for name, _ in PAIRS} == set(SAMPLERS)
    assert {kind for _, kind in PAIRS} == set(PROCESSES)
    assert len(PAIRS) * 2 * ROWS >= 100_000


MISTAKES = {
    "a pin moved": lambda canvas, index: ((canvas < V), (canvas + 1) % V),
    "no clean token": lambda canvas, index: ((canvas == V), canvas),
    "a banned token": lambda canvas, index: ((canvas == V) & (index == 0), torch.ones_like(canvas)),
}


@pytest.mark.parametrize("process", ["absorbing", "uniform"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_sampler_that_errs_at_one_position_is_caught(mistake, process, monkeypatch):
    """The control: the same outputs with one wrong token in one of all rows."""
    honest = SAMPLERS["reverse-chain"]

    def careless(state, process, condition, steps):
        canvas = torch.where(state.changeable, V, state.tokens)
        end = yield from honest.loop(state, process, condition, steps=steps)
        where, wrong = MISTAKES[mistake](canvas, condition.index)
        row, position = where.nonzero()[-1].tolist()
        tokens = end.tokens.clone()
        tokens[row, position] = wrong[row, position]
        return replace(end, tokens=tokens)

    monkeypatch.setitem(SAMPLERS, "careless", replace(honest, loop=careless))
    assert faults(*filled("careless", PROCESSES[process](), 7, ROWS)) == [mistake]
    assert faults(*filled("reverse-chain", PROCESSES[process](), 7, ROWS)) == []


@pytest.mark.parametrize("name", samplers_for(PROCESSES["absorbing"]()))
def test_a_denoiser_that_reads_the_time_changes_nothing_where_time_does_not_matter(name):
    """p(x0 | x_t) of the absorbing process does not depend on t, as long as x_t is possible at the time that is asked for."""
    law = EnumeratedLaw.from_log_weights(
        3, 3, lambda x: 1.3 * (x[0] == x[1]) - 0.7 * (x[1] == x[2]) + 0.31 * x[0] + 0.17 * x[2]
    )
    process = Absorbing(3, Cosine())
    state = State.from_canvas(process, torch.full((200, 3), 3), 5, torch.arange(200))
    blind, reading = (
        sample(denoiser, process, state, name, STEPS) for denoiser in (ExactDenoiser(law), ExactDenoiser(law, process))
    )
    assert torch.equal(blind.tokens, reading.tokens)


@pytest.mark.parametrize("kind", PROCESSES)
def test_pairs_that_do_not_fit_are_refused(kind):
    process = PROCESSES[kind]()
    able = samplers_for(process)
    assert able, "every process has a sampler"
    for name in SAMPLERS:
        if name in able:
            assert get_sampler(name, process) is SAMPLERS[name]
            continue
        with pytest.raises(ConfigError) as refused:
            get_sampler(name, process)
        assert str(refused.value) == (
            f"sampler: {name!r} does not work on the {type(process).__name__} process; expected one of {', '.join(able)}"
        )


@pytest.mark.parametrize("name", NEEDS_RATES)
@pytest.mark.parametrize("kind", WITHOUT_RATES)
def test_a_chain_on_a_grid_has_no_rates_to_leap_by(name, kind):
    with pytest.raises(ConfigError, match=f"'{name}' does not work on the GridChain process"):
        filled(name, PROCESSES[kind](), 0, 4)


def test_an_unknown_sampler_is_refused():
    with pytest.raises(ConfigError, match="sampler: expected one of event-driven, .*; got 'no-such'"):
        get_sampler("no-such")
