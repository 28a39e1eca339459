"""Every sampler on every process under random automata: what must hold holds in every output, whatever the model says.

The check is plain Python on the tokens and knows nothing of automata. Canvases are words with holes, so they can be filled.
"""

import random
from functools import cache

import pytest
import torch
from test_pins_everywhere import PAIRS, PROCESSES, STEPS, L, OneLayer, V, noise_of

from constraints.automata import regular
from constraints.automata.chain import Chain
from constraints.condition import Constrained
from constraints.token_sets import TokenSets
from seqdiff.embedding import EmbeddedProcess
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.uniform import Uniform
from seqdiff.samplers.clouds import choose, clouds
from seqdiff.samplers.drive import DrawOptions, answer, drive, sample
from seqdiff.samplers.particles import chain_particles, reveal_particles
from seqdiff.samplers.state import State

SETS, ROWS = 30, 500


def one_of(rng: random.Random):
    """A random constraint on rows of V tokens: its automaton and its meaning."""
    some = frozenset(rng.sample(range(V), rng.randint(1, 3)))
    motif = tuple(frozenset(rng.sample(range(V), rng.randint(1, 3))) for _ in range(rng.randint(1, 3)))
    low = rng.randint(0, 2)

    def inside(x, motif):
        return any(all(v in s for v, s in zip(x[i:], motif, strict=False)) for i in range(len(x) - len(motif) + 1))

    return rng.choice(
        [
            (regular.contains(V, motif), lambda x: inside(x, motif)),
            (regular.avoid(V, motif), lambda x: not inside(x, motif)),
            (regular.count(V, some, low, low + 1), lambda x: low <= sum(v in some for v in x) <= low + 1),
            (regular.runs(V, some, 2), lambda x: not any(inside(x, (frozenset({v}),) * 3) for v in some)),
            (regular.starts_with(V, motif[:2]), lambda x: all(v in s for v, s in zip(x, motif[:2], strict=False))),
            (
                regular.window_count(V, some, 3, 0, 2),
                lambda x: all(sum(v in some for v in x[i : i + 3]) <= 2 for i in range(len(x) - 2)),
            ),
        ]
    )


@cache
def constraint(number: int):
    """The number-th set of three constraints that can be met together, its automaton and its meaning."""
    rng = random.Random(number)
    while True:
        parts = [one_of(rng) for _ in range(3)]
        whole = (parts[0][0] & parts[1][0] & parts[2][0]).minimal()
        if not whole.is_empty and 0 < whole.count_words(L) < V**L:
            return Chain(whole), lambda x, parts=parts: all(holds(x) for _, holds in parts)


def canvases(chain: Chain, seed: int, rows: int) -> torch.Tensor:
    """Random words with random holes."""
    generator = noise_of(seed)
    words, _ = chain.draw(torch.ones(rows, L, V), torch.rand(rows, L, dtype=torch.float64, generator=generator))
    share = torch.rand(rows, 1, generator=generator) * 1.4 - 0.2
    return torch.where(torch.rand(rows, L, generator=generator) < share, words, V)


def violations(number: int, name: str, kind: str, rows: int, seed: int) -> int:
    chain, holds = constraint(number)
    process = PROCESSES[kind]()
    embedded = isinstance(process, EmbeddedProcess)
    canvas = canvases(chain, seed, rows)
    denoiser = OneLayer(seed, sharp=seed % 2 == 0, width=process.embedding.width if embedded else None)
    options = DrawOptions(0.5 + 1.5 * float(torch.rand((), generator=noise_of(seed + 1))), 0.8 if seed % 3 == 0 else 1.0)
    state = State.from_canvas(process, canvas, seed, torch.arange(rows))
    tokens = sample(denoiser, process, state, name, STEPS, Constrained(V, structure=chain), options).tokens
    kept = torch.equal(torch.where(canvas == V, V, tokens), canvas)
    return sum(not holds(x) for x in tokens.tolist()) + rows * (not kept)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_no_output_violates_anything(name, kind):
    place = PAIRS.index((name, kind))
    assert violations(place % SETS, name, kind, ROWS, place) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["event-driven", "reverse-chain", "remasking", "confidence"])
@pytest.mark.parametrize("number", range(SETS))
def test_a_million_outputs_violate_nothing(name, number):
    assert sum(violations(number, name, "absorbing", 2100, 40 * number + i) for i in range(4)) == 0


@pytest.mark.parametrize(
    ("loop", "process"), [(reveal_particles, Absorbing), (chain_particles, Absorbing), (chain_particles, Uniform)]
)
def test_no_particle_that_is_returned_violates_anything(loop, process):
    for number in range(0, SETS, 6):
        chain, holds = constraint(number)
        law = PROCESSES["absorbing" if process is Absorbing else "uniform"]()
        condition = Constrained(V, structure=chain, weighted=True)
        canvas = canvases(chain, number, 60)
        state = clouds(State.from_canvas(law, canvas, number, torch.arange(60)), 4, law)
        denoiser = OneLayer(number, sharp=False, width=None)
        steps = {} if loop is reveal_particles else {"steps": STEPS}
        end = drive(
            loop(state, law, condition, particles=4, **steps),
            lambda query, c=condition, d=denoiser: answer(d, query, c, DrawOptions()),
        )
        outcome = choose(end, 4)
        assert bool((outcome.row >= 0).all())
        assert all(holds(x) for x in end.tokens[outcome.row].tolist())


def test_without_the_structure_outputs_violate():
    """The control: the same runs without it do not hold by luck."""
    chain, holds = constraint(3)
    canvas = canvases(chain, 3, 400)
    process = PROCESSES["absorbing"]()
    state = State.from_canvas(process, canvas, 3, torch.arange(400))
    tokens = sample(OneLayer(3, False, None), process, state, "event-driven", STEPS, Constrained(V)).tokens
    assert not all(holds(x) for x in tokens.tolist())


def test_rows_that_nothing_can_complete_are_refused_and_sets_hold_beside_the_structure():
    from seqdiff.errors import ConditionError

    chain = Chain(regular.count(V, {0}, 2, 2))
    process = PROCESSES["absorbing"]()
    canvas = torch.full((20, L), V)
    log_allowed = torch.zeros(2, V, dtype=torch.float64)
    log_allowed[1, 0] = float("-inf")
    index = torch.zeros(20, L, dtype=torch.int64)
    index[:, 2:] = 1  # token 0 at the first two positions alone
    condition = Constrained(V, TokenSets(log_allowed, index), chain)
    tokens = sample(
        OneLayer(1, False, None),
        process,
        State.from_canvas(process, canvas, 0, torch.arange(20)),
        "first-hitting",
        6,
        condition,
    ).tokens
    assert bool((tokens[:, :2] == 0).all()) and bool((tokens[:, 2:] != 0).all())
    index[:, 1:] = 1
    state = State.from_canvas(process, canvas, 0, torch.arange(20))
    with pytest.raises(ConditionError, match="cannot be completed"):
        sample(
            OneLayer(1, False, None), process, state, "first-hitting", 6, Constrained(V, TokenSets(log_allowed, index), chain)
        )
