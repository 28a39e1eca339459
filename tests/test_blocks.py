"""Blocks from left to right draw the law of their definition around any loop, and with an exact loop the data law."""

from functools import partial

import pytest
import torch
from laws import LAWS, as_vector, biased, distribution_test, propagate
from laws_remasking import PINS, as_dict, distance, free_of, pair, remasking_kernel, run, start_of

from seqdiff.denoisers.exact import ExactDenoiser
from seqdiff.errors import ConfigError
from seqdiff.samplers.absorbing import ancestral, event_driven
from seqdiff.samplers.adaptive import entropy_bounded
from seqdiff.samplers.blocks import blockwise
from seqdiff.samplers.remasking import remasking
from seqdiff.schedules import Linear


def first_hitting(state, process, condition, steps):
    return event_driven(state, process, condition, None)


def block_law(law, block, steps, sigma, pins=None):
    """T/blocks steps of the kernel on each block in turn, all else held; the law of the whole."""
    now, L = {start_of(law, pins): 1.0}, law.outcomes.shape[1]
    alpha = [1 - rate for rate in Linear().grid(steps).tolist()]
    for first in range(0, L, block):
        kernel = remasking_kernel(law, alpha, sigma, [i for i in free_of(law, pins) if first <= i < first + block])
        after: dict = {}
        for x, p in now.items():
            for y, q in propagate(law, x, kernel, steps).items():
                after[y] = after.get(y, 0.0) + p * q
        now = after
    return now


@pytest.mark.parametrize(("name", "block", "pinned"), [("ising", 2, False), ("parity", 2, True), ("copies", 1, False)])
def test_with_an_exact_loop_the_law_is_the_data_law(name, block, pinned):
    law, pins = LAWS[name](), PINS[name] if pinned else None
    target = law.given(pins) if pins else law
    tokens = run(blockwise, law, pins, steps=1, loop=first_hitting, block=block).tokens
    ok, message = distribution_test(tokens, target.outcomes, target.probability)
    assert ok, message


@pytest.mark.parametrize(("name", "block", "pinned"), [("ising", 3, False), ("parity", 2, True), ("copies", 2, True)])
def test_around_ancestral_the_law_is_that_of_the_blocks(name, block, pinned):
    law, pins, inside = LAWS[name](), PINS[name] if pinned else None, 2
    target = block_law(law, block, inside, [0.0] * inside, pins)
    steps = inside * -(-law.outcomes.shape[1] // block)
    ok, message = distribution_test(
        run(blockwise, law, pins, steps=steps, loop=ancestral, block=block).tokens, *as_vector(target)
    )
    assert ok, message


def test_around_remasking_only_the_block_is_masked_again():
    law, inside = LAWS["copies"](), 3
    target = block_law(law, 2, inside, [0.5, 0.5, 0.0])
    loop = partial(remasking, eta=0.5)
    ok, message = distribution_test(run(blockwise, law, steps=2 * inside, loop=loop, block=2).tokens, *as_vector(target))
    assert ok, message
    seen = []

    class Watching(ExactDenoiser):
        def __call__(self, x_t, *rest, **more):
            seen.append(x_t)
            return super().__call__(x_t, *rest, **more)

    run(blockwise, law, steps=2 * inside, loop=loop, block=2, n=50, denoiser=Watching(law))
    late = next(i for i, x_t in enumerate(seen) if bool((x_t[:, :2] != 4).all()) and bool((seen[i - 1][:, :2] == 4).any()))
    assert all(bool((x_t[:, 2] == 4).all()) for x_t in seen[:late]), "the right stays masked, and the denoiser sees masks there"
    assert all(bool((x_t[:, :2] == seen[-1][:, :2]).all()) for x_t in seen[late:]), "the left is finished"


def test_blocks_as_long_as_the_sequence_change_nothing_and_of_one_position_are_exact():
    law = LAWS["ising"]()
    for loop in (ancestral, entropy_bounded):
        whole = run(blockwise, law, steps=3, loop=loop, block=10, n=300).tokens
        assert torch.equal(whole, run(loop, law, steps=3, n=300).tokens)
    assert distance(block_law(pair(), 1, 1, [0.0]), as_dict(pair())) < 1e-12
    assert distance(block_law(pair(), 3, 1, [0.0]), as_dict(pair())) > 0.05


def test_a_planted_bias_of_3_percent_fails():
    law = LAWS["ising"]()
    tokens = run(blockwise, law, steps=1, loop=first_hitting, block=2, denoiser=ExactDenoiser(biased(law))).tokens
    assert not distribution_test(tokens, law.outcomes, law.probability)[0]


def test_an_empty_block_is_refused():
    with pytest.raises(ConfigError, match="expected blocks of at least one position, got 0"):
        run(blockwise, pair(), n=1, steps=1, loop=ancestral, block=0)
