"""A process with no closed form, and expectations over x_t by enumeration."""

import itertools
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.parameterisations import leave_one_out_from_p, p_from_leave_one_out
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess


@dataclass(frozen=True)
class RandomChain(TokenProcess):
    """x_t follows the rate speed · G for a random generator G on S states; it does not quite reach its prior.

    With states = vocabulary + 1 the last is one that no clean token is, and not absorbing.
    """

    vocabulary: int = 3
    states: int = 3
    speed: float = 3.0

    def _generator(self) -> Tensor:
        G = torch.rand(self.states, self.states, generator=torch.Generator().manual_seed(5), dtype=torch.float64) + 0.1
        return G - torch.diag(G.sum(-1))

    def prior_law(self) -> Tensor:
        return torch.matrix_exp(50 * self._generator())[0]

    def between(self, s: Tensor, t: Tensor) -> Tensor:
        gap, place = torch.unique(t - s, return_inverse=True)
        return torch.matrix_exp(self.speed * gap[:, None, None] * self._generator())[place]

    def rate(self, t: Tensor) -> Tensor:
        return self.speed * torch.ones_like(t)[..., None, None] * self._generator()


class Blunt:
    """A denoiser that is wrong: what it thinks of a position from the others is 30 % another law.

    Not p(x0 | x_t) itself: a process that overwrites tokens punishes any p that does not tend to x_t as t → 0 without end.
    """

    def __init__(self, law: EnumeratedLaw, process: TokenProcess):
        self.exact, self.process, self.vocabulary = ExactDenoiser(law, process), process, law.vocabulary

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None):
        if t is None or isinstance(self.process, Absorbing):  # for masks t does not enter
            t = torch.full((len(x_t),), 0.5, dtype=torch.float64)
        loo = leave_one_out_from_p(self.process, self.exact(x_t, t).exp(), x_t, t)
        tilt = torch.arange(1.0, self.vocabulary + 1, dtype=torch.float64)
        p = p_from_leave_one_out(self.process, (0.7 * loo + 0.3 * tilt / tilt.sum()).log(), x_t, t)
        return (
            p.log() if positions is None else p.log().gather(1, positions.unsqueeze(-1).expand(*positions.shape, p.shape[-1]))
        )


def at(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def law_of_3() -> EnumeratedLaw:
    """V = 3, L = 3, all 27 outcomes possible, positions tied, no symmetry."""

    def weight(x):
        return sum(1.1 * (a == b) for a, b in itertools.pairwise(x)) - 0.8 * (x[0] == x[2]) + 0.3 * x[0] - 0.2 * x[1] * x[2]

    return EnumeratedLaw.from_log_weights(3, 3, weight)


def all_states(process: TokenProcess, L: int) -> Tensor:
    """(S^L, L)."""
    return torch.tensor(list(itertools.product(range(process.states), repeat=L)))


def law_of_x_t(process: TokenProcess, x_0: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """All x_t (M, L) and q(x_t | x_0) (N, M) for x_0 (N, L) at one t."""
    x_t = all_states(process, x_0.shape[1])
    return x_t, process.marginal(t)[x_0.unsqueeze(1), x_t.unsqueeze(0)].prod(-1)


def expected(process: TokenProcess, x_0: Tensor, t: Tensor, f) -> Tensor:
    """E over x_t ~ q(x_t | x_0) of f(x_0 rows, x_t rows) (R,): (N,)."""
    x_t, q = law_of_x_t(process, x_0, t)
    row, column = (q > 0).nonzero(as_tuple=True)
    value = f(x_0[row], x_t[column]) * q[row, column]
    return torch.zeros(len(x_0), dtype=torch.float64).index_add(0, row, value)


def integral(f, nodes: int = 40, power: int = 1) -> Tensor:
    """∫_0^1 f(t) dt by Gauss and Legendre in v with t = v^power, which tames t log t at 0."""
    x, w = numpy.polynomial.legendre.leggauss(nodes)
    total = 0.0
    for v, weight in zip((x + 1) / 2, w / 2, strict=True):
        total = total + float(weight * power * v ** (power - 1)) * f(at(float(v**power)))
    return torch.as_tensor(total)
