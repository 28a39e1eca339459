"""Counter-based noise: published answers, uniformity, independence of the batch."""

import pytest
import torch

from seqdiff.noise import Stream, philox, uniform

ALL = 0xFFFFFFFF
PI = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0]


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([ALL] * 4, [ALL] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (*PI, [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
    ],
)
def test_philox_gives_the_published_known_answers(counter, key, answer):
    words = philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))
    assert [int(word) for word in words] == answer


def test_numbers_are_uniform_and_streams_do_not_correlate():
    u = uniform(7, torch.arange(500).unsqueeze(-1), 0, torch.arange(400), Stream.TOKEN).flatten()
    v = uniform(7, torch.arange(500).unsqueeze(-1), 0, torch.arange(400), Stream.REVEAL).flatten()
    assert u.dtype == torch.float64
    assert bool(((u >= 0) & (u < 1)).all())
    counts = torch.histc(u, 100, 0, 1)
    chi2 = ((counts - 2000) ** 2 / 2000).sum()
    assert float(torch.special.gammaincc(torch.tensor(99 / 2), chi2 / 2)) > 0.001
    assert abs(float(torch.corrcoef(torch.stack([u, v]))[0, 1])) < 0.01


def test_every_part_of_the_key_matters():
    base = {"seed": 1, "sample": 2, "step": 3, "position": 4, "slot": 5}
    numbers = {float(uniform(**base, stream=Stream.TOKEN)), float(uniform(**base, stream=Stream.TIME))}
    for name in base:
        numbers.add(float(uniform(**{**base, name: base[name] + 1}, stream=Stream.TOKEN)))
    numbers.add(float(uniform(**{**base, "seed": 1 + 2**32}, stream=Stream.TOKEN)))
    assert len(numbers) == 2 + len(base) + 1


def test_a_number_does_not_depend_on_what_is_drawn_with_it():
    whole = uniform(3, torch.arange(10).unsqueeze(-1), 5, torch.arange(20), Stream.TOKEN)
    alone = uniform(3, 7, 5, 13, Stream.TOKEN)
    assert float(whole[7, 13]) == float(alone)
