"""What every further sampler of the absorbing process owes: independence of the batch, pins, joint conditions, restarts."""

from functools import partial

import pytest
import torch
from laws import LAWS
from laws_remasking import LeaveOneOut

from seqdiff.condition import Draw, Unconditional
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.draws import categorical
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.absorbing import ancestral, event_driven
from seqdiff.samplers.adaptive import confidence_threshold, entropy_bounded
from seqdiff.samplers.blocks import blockwise
from seqdiff.samplers.drive import DrawOptions, answer, drive
from seqdiff.samplers.planning import mask_predict, path_planning
from seqdiff.samplers.remasking import Hold, predictor_corrector, remasking
from seqdiff.samplers.state import State
from seqdiff.schedules import Cosine

LOOPS = {
    "cap": partial(remasking, steps=6, eta=0.4),
    "rescale": partial(remasking, steps=6, eta=0.8, rule="rescale"),
    "by confidence": partial(remasking, steps=6, eta=0.9, rule="rescale", by_confidence=True),
    "hold": partial(remasking, steps=8, eta=0.3, hold=Hold(0.6, 0.6, 0.2)),
    "predictor-corrector": partial(predictor_corrector, steps=3, rounds=2, width=2),
    "path planning": partial(path_planning, steps=6, eta=2.0),
    "mask-predict": partial(mask_predict, steps=4),
    "entropy": partial(entropy_bounded, epsilon=1.5),
    "threshold": partial(confidence_threshold, threshold=0.35),
    "blocks of ancestral": partial(blockwise, steps=8, loop=ancestral, block=5),
    "blocks of event-driven": partial(blockwise, steps=8, loop=event_driven, block=5),
    "blocks of remasking": partial(blockwise, steps=12, loop=partial(remasking, eta=0.4, by_confidence=True), block=5),
    "blocks of planning": partial(blockwise, steps=8, loop=path_planning, block=5),
    "blocks of entropy": partial(blockwise, steps=8, loop=partial(entropy_bounded, epsilon=1.5), block=5),
}
V, L, N = 12, 12, 16


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Transformer(TransformerConfig(vocabulary=V, width=16, depth=1, heads=2)).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return network


def canvas():
    """Rows with pins in other places and of other numbers; one without a hole."""
    holes = torch.rand(N, L, generator=torch.Generator().manual_seed(2)) < torch.linspace(0.3, 1, N).unsqueeze(-1)
    holes[3] = False
    return torch.where(holes, V, torch.arange(L).expand(N, L) % V)


def fill(denoiser, loop, canvas, index, seed=5, process=None, condition=None, watch=None):
    process, condition = process or Absorbing(V, Cosine()), condition or Unconditional()

    def reply(query):
        if watch is not None:
            watch.append(query.state)
        return answer(denoiser, query, condition, DrawOptions())

    return drive(loop(State.from_canvas(process, canvas, seed, index), process, condition), reply)


@pytest.mark.parametrize("name", LOOPS)
def test_the_tokens_do_not_depend_on_the_batch_and_pins_hold(network, name):
    rows, loop = canvas(), LOOPS[name]
    reference = fill(network, loop, rows, torch.arange(N)).tokens
    assert bool(((reference >= 0) & (reference < V)).all())
    assert torch.equal(torch.where(rows == V, V, reference), rows)
    for size, order in ((1, torch.arange(N)), (7, torch.arange(N).flip(0))):
        for first in range(0, N, size):
            index = order[first : first + size]
            assert torch.equal(fill(network, loop, rows[index], index).tokens, reference[index])
    if name != "mask-predict":  # which draws nothing
        assert not torch.equal(fill(network, loop, rows, torch.arange(N), seed=6).tokens, reference)


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_goes_on_from_any_saved_state(network, name):
    rows, loop, seen = canvas(), LOOPS[name], []
    process = Absorbing(V, Cosine())
    end = fill(network, loop, rows, torch.arange(N), watch=seen)
    assert len(seen) > 1
    for state in seen[1:]:
        again = drive(
            loop(state, process, Unconditional()), lambda query: answer(network, query, Unconditional(), DrawOptions())
        )
        assert torch.equal(again.tokens, end.tokens)


class OneOf(Unconditional):
    """A joint condition: the outcome is one of `allowed` (K, L); positions are drawn together, in proportion to Π p."""

    def __init__(self, allowed, mask):
        self.allowed, self.mask = allowed, mask

    joint = True

    def draw(self, query, p_x0, commit, u):
        x_t, positions = query.x_t, query.positions
        fits = ((x_t.unsqueeze(1) == self.allowed) | (x_t == self.mask).unsqueeze(1)).all(-1)
        values = self.allowed[:, positions].transpose(0, 1)  # (R, K, P)
        weight = p_x0.unsqueeze(1).expand(-1, len(self.allowed), -1, -1).gather(-1, values.unsqueeze(-1)).squeeze(-1)
        weight = torch.where(query.open.unsqueeze(1), weight, 1.0)
        weight = fits * (weight.prod(-1) + 1e-300)
        tokens = values[torch.arange(len(x_t)), categorical(weight, u[:, 0])]
        return Draw(tokens, torch.zeros(len(x_t), dtype=torch.float64))


@pytest.mark.parametrize("name", LOOPS)
def test_a_joint_condition_holds_in_every_output(name):
    """The parity law's support is demanded of a denoiser of another law, which alone leaves it."""
    law, n = LAWS["ising"](), 400
    allowed = law.outcomes[law.outcomes.sum(-1) % 3 == 1]
    rows = torch.full((n, 4), 3)
    rows[: n // 2, 1] = 2
    denoiser, process = LeaveOneOut(law), Absorbing(3, Cosine())
    loop = partial(LOOPS[name], block=3) if name.startswith("blocks") else LOOPS[name]
    ends = [fill(denoiser, loop, rows, torch.arange(n), process=process, condition=c).tokens for c in (OneOf(allowed, 3), None)]
    inside = [(end.sum(-1) % 3 == 1).double().mean() for end in ends]
    assert inside[0] == 1 and inside[1] < 0.9
    assert bool((ends[0][: n // 2, 1] == 2).all())
