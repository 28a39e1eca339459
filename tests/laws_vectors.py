"""What a constrained sampler on vectors draws, by quadrature: two positions, embeddings on a line, no draws at all.

x_t lies on a grid of points × points. A step of `ddpm` moves the two positions on their own, given x_t, so that with K_i
(points², points) the normal densities of q(x_s^i | x_t, x̂0^i) a law w on the grid becomes K_1ᵀ diag(w) K_2. At the end the
tokens are drawn from Π p_i restricted to what must hold. Sums over the grid err far less than a thousandth while a step's
standard deviation is wider than the spacing.
"""

from dataclasses import replace

import torch
from torch import Tensor

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.embedding import EmbeddedProcess
from seqdiff.samplers.state import Query, State


def independent(*marginals: list[float]) -> EnumeratedLaw:
    """The law of positions that know nothing of each other."""
    tables = [torch.tensor(p, dtype=torch.float64) for p in marginals]
    tables = [p / p.sum() for p in tables]
    outcomes = torch.cartesian_prod(*(torch.arange(len(p)) for p in tables)).reshape(-1, len(tables))
    probability = torch.stack([p[outcomes[:, i]] for i, p in enumerate(tables)]).prod(0)
    return EnumeratedLaw(outcomes, probability, len(tables[0]))


def given(law: EnumeratedLaw, holds) -> tuple[EnumeratedLaw, Tensor]:
    """The law given that holds(x), and which outcomes those are (K,)."""
    ok = torch.tensor([bool(holds(x)) for x in law.outcomes.tolist()])
    p = law.probability[ok]
    return EnumeratedLaw(law.outcomes[ok], p / p.sum(), law.vocabulary), ok


def everywhere(x_t: Tensor, t: Tensor, vocabulary: int) -> Query:
    """A query of all positions of rows x_t (B, L, D) in which nothing is pinned."""
    holes = torch.full(x_t.shape[:2], vocabulary)
    state = replace(State.start(holes, 0, torch.arange(len(x_t))), vectors=x_t)
    positions = torch.arange(x_t.shape[1]).expand(x_t.shape[:2])
    return Query(state, None, t.expand(len(x_t)), positions, torch.ones_like(holes, dtype=torch.bool))


@torch.no_grad()
def law_of_steps(
    law: EnumeratedLaw, ok: Tensor, process: EmbeddedProcess, marginals, times: Tensor, points: int = 97, reach: float = 3.6
) -> Tensor:
    """The law of the tokens of `embedded` with `ddpm` over `times`, of the outcomes that are ok, L = 2 and D = 1.

    marginals: (query, p (B, 2, V)) → what x̂0 is taken from.
    """
    line = torch.linspace(-reach, reach, points, dtype=torch.float64)
    x_t, denoiser = torch.cartesian_prod(line, line).unsqueeze(-1), ExactDenoiser(law, process)

    def normal(mean: Tensor, deviation: Tensor) -> Tensor:
        density = (-((line - mean.unsqueeze(-1)) / deviation).square() / 2).exp()
        return density / density.sum(-1, keepdim=True)

    one = normal(torch.zeros((), dtype=torch.float64), process.process.noise(times[0]))
    w = torch.outer(one, one).flatten()
    for t, s in zip(times[:-1], times[1:], strict=True):
        query = everywhere(x_t, t, law.vocabulary)
        x0_hat = process.embedding.mean(marginals(query, denoiser(x_t, query.t).exp()))
        mean, variance = process.process.bridge(x_t, x0_hat, s, t)
        first, second = (normal(mean[:, i, 0], variance.sqrt()) for i in range(2))
        w = (first.T @ (w.unsqueeze(-1) * second)).flatten()
    p = denoiser(x_t, times[-1].expand(len(x_t))).exp()
    words = law.outcomes[ok]
    mass = p[:, 0, words[:, 0]] * p[:, 1, words[:, 1]]
    return (w.unsqueeze(-1) * mass / mass.sum(-1, keepdim=True)).sum(0)
