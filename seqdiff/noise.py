"""Noise as a function of (seed, sample, slot, step, position, stream): Philox 4×32-10 in integer tensors.

Because no generator is advanced, a sample's noise does not depend on the batch it is drawn in, on the order,
on the worker or on a restart, and the integers are the same on CPU and GPU.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

from enum import IntEnum

import torch
from torch import Tensor

_M0, _M1 = 0xD2511F53, 0xCD9E8D57  # round multipliers
_W0, _W1 = 0x9E3779B9, 0xBB67AE85  # key increments (golden ratio, √3 − 1)
_LOW = 0xFFFFFFFF


class Stream(IntEnum):
    """What a random number is for; two streams never share a number."""

    LENGTH = 0
    REVEAL = 1
    TOKEN = 2
    CONFIDENCE = 3
    TIME = 4
    CORRUPT = 5
    LABEL = 6
    PRIOR = 7
    JUMP = 8
    CHOICE = 9
    GAUSS = 10
    RESAMPLE = 11


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Philox 4×32-10: four words of counter and two of key give four random words.

    All are int64 tensors holding values of 0 … 2³²−1, broadcast against each other. A product of two 32-bit words
    wraps to a negative int64; shifting and masking recover its true high and low halves.
    """
    words = torch.broadcast_tensors(*counter, key[0])[:4]
    c0, c1, c2, c3 = (word.clone(memory_format=torch.contiguous_format) for word in words)
    k0, k1 = key
    high0, high1 = torch.empty_like(c0), torch.empty_like(c0)
    for _ in range(10):  # in six buffers: a process on vectors asks for B · L · D numbers a step
        p0, p1 = c0.mul_(_M0), c2.mul_(_M1)
        torch.bitwise_right_shift(p0, 32, out=high0).bitwise_and_(_LOW).bitwise_xor_(c3).bitwise_xor_(k1)
        torch.bitwise_right_shift(p1, 32, out=high1).bitwise_and_(_LOW).bitwise_xor_(c1).bitwise_xor_(k0)
        c0, c1, c2, c3, high0, high1 = high1, p1.bitwise_and_(_LOW), high0, p0.bitwise_and_(_LOW), c3, c1
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


def uniform(
    seed: int | Tensor,
    sample: int | Tensor,
    step: int | Tensor,
    position: int | Tensor,
    stream: Stream,
    slot: int | Tensor = 0,
    device=None,
) -> Tensor:
    """Uniform float64 numbers in [0, 1) with 53 random bits.

    Arguments are integers or int64 tensors that broadcast to the result's shape: `seed` of 64 bits, `sample`,
    `step` and `position` of 32, the particle `slot` of 24.
    """

    def integers(value) -> Tensor:
        if isinstance(value, int):
            return torch.full((), value, dtype=torch.int64, device=device)  # filled there: nothing waits for a copy
        return torch.as_tensor(value, dtype=torch.int64, device=device)

    key = integers(seed)
    counter = (integers(position), integers(step), integers(sample), (integers(slot) << 8) | int(stream))
    high, low, _, _ = philox(counter, (key & _LOW, (key >> 32) & _LOW))
    return (high >> 5).mul_(2**26).add_(low >> 6).double().mul_(2.0**-53)


def normal(
    seed: int | Tensor,
    sample: int | Tensor,
    step: int | Tensor,
    word: int | Tensor,
    stream: Stream,
    slot: int | Tensor = 0,
    device=None,
) -> Tensor:
    """Standard normal float64 numbers √2 erf⁻¹(2u − 1) of `uniform` u; `word` stands where `position` does.

    For a vector of width D at position i the word is i·D + d. |x| stays below 8.3: the tail that 53 bits can reach.
    """
    u = uniform(seed, sample, step, word, stream, slot, device)
    return torch.special.ndtri(u.clamp_(min=2.0**-54))
