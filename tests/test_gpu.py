"""What must hold on a GPU as on a CPU: the same noise, the same network, the same laws."""

import pytest
import torch

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.noise import Stream, uniform
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.drive import generate, sample
from seqdiff.samplers.state import State
from seqdiff.schedules import Cosine, Linear

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

V, L = 5, 12


def network(time_input=False) -> Transformer:
    """A network whose output depends on its input: its zero-initialised weights are drawn too."""
    torch.manual_seed(0)
    config = TransformerConfig(vocabulary=V, width=64, depth=3, heads=2, labels=2, time_input=time_input)
    model = Transformer(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def inputs(B=32, seed=0):
    x_t = torch.randint(0, V + 1, (B, L), generator=torch.Generator().manual_seed(seed))
    return x_t, torch.linspace(0.1, 1, B, dtype=torch.float64), torch.arange(B) % 3


@pytest.mark.parametrize("stream", list(Stream))
def test_counter_based_noise_equals_the_cpus_bit_for_bit(stream):
    seed, rows, columns = 2**40 + 7, torch.arange(512).unsqueeze(-1), torch.arange(96)
    cpu = uniform(seed, rows, 3, columns, stream, slot=2)
    gpu = uniform(seed, rows.cuda(), 3, columns.cuda(), stream, slot=2, device="cuda")
    assert gpu.is_cuda
    assert torch.equal(cpu, gpu.cpu())


def test_noise_of_integers_alone_equals_the_cpus():
    assert float(uniform(5, 1, 2, 3, Stream.TIME)) == float(uniform(5, 1, 2, 3, Stream.TIME, device="cuda"))


@pytest.mark.parametrize("time_input", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-3), (torch.bfloat16, 5e-2)])
@torch.no_grad()
def test_logits_are_close_to_the_cpus(time_input, dtype, tolerance):
    model, arguments = network(time_input), inputs()
    expected = model.double()(*arguments)
    model = model.float().cuda()
    with torch.autocast("cuda", torch.bfloat16, enabled=dtype == torch.bfloat16):
        got = model(*(a.cuda() for a in arguments)).double().cpu()
    assert float((got - expected).norm() / expected.norm()) < tolerance


@torch.no_grad()
def test_logits_at_positions_equal_those_of_the_full_pass():
    model = network().cuda()
    x_t, t, label = (a.cuda() for a in inputs())
    positions = torch.randint(0, L, (len(x_t), 4), device="cuda")
    full = model(x_t, t, label).gather(1, positions.unsqueeze(-1).expand(-1, -1, V))
    torch.testing.assert_close(model(x_t, t, label, None, positions), full, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_padding_changes_no_logit():
    model = network().cuda()
    x_t, t, label = (a.cuda() for a in inputs())
    padded = torch.cat([x_t, torch.full((len(x_t), 5), V + 1, device="cuda")], dim=1)
    lengths = torch.full((len(x_t),), L, device="cuda")
    torch.testing.assert_close(model(padded, t, label, lengths)[:, :L], model(x_t, t, label), rtol=1e-4, atol=1e-4)


def law() -> EnumeratedLaw:
    """V = 3, L = 4, with dependence between neighbours and between the ends."""
    return EnumeratedLaw.from_log_weights(3, 4, lambda x: 1.5 * (x[0] == x[3]) - (x[1] == x[2]) + 0.3 * x[1])


@pytest.mark.parametrize("sampler", ["first-hitting", "event-driven"])
def test_event_driven_sampling_has_the_law(sampler):
    n = 40_000
    cpu = law()
    on_gpu = EnumeratedLaw(cpu.outcomes.cuda(), cpu.probability.cuda(), cpu.vocabulary)
    process = Absorbing(3, Linear())
    state = State.start(process.prior(torch.zeros(n, 4, device="cuda")), 1, torch.arange(n))
    drawn = sample(ExactDenoiser(on_gpu), process, state, sampler, steps=4096).tokens
    counts = torch.bincount(on_gpu.index(drawn), minlength=len(cpu.outcomes)).double().cpu()
    assert len(counts) == len(cpu.outcomes)  # nothing outside the law
    chi_square = float(((counts - n * cpu.probability) ** 2 / (n * cpu.probability)).sum())
    freedom = len(cpu.outcomes) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5


def test_samples_equal_the_cpus_token_for_token():
    """Noise is the same and draws are in float64, so only a draw within rounding of a border could differ."""
    exact, process = law(), Absorbing(3, Cosine())
    canvases = [torch.full((4,), 3)] * 500
    moved = EnumeratedLaw(exact.outcomes.cuda(), exact.probability.cuda(), exact.vocabulary)
    cpu = [x for _, x in generate(ExactDenoiser(exact), process, canvases, 3, steps=16)]
    gpu = [x for _, x in generate(ExactDenoiser(moved), process, canvases, 3, steps=16, device="cuda")]
    assert torch.equal(torch.cat(cpu), torch.cat(gpu))
