"""Constrained laws that can be written down: a structure by enumeration, and the toy on which weighting is judged."""

import itertools
import math

import torch
from laws import p_x0

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser
from seqdiff.draws import categorical


class Enumerated:
    """A Structure that lists its words: the slow and certain one."""

    def __init__(self, words):
        self.words = torch.as_tensor(words)

    def weights(self, p):
        values = self.words.T.expand(len(p), -1, -1)  # (R, L, W)
        return p.double().gather(-1, values).prod(1)

    def log_mass(self, p, region=None):
        return self.weights(p).sum(-1).log()

    def draw(self, p, u, region=None):
        weight = self.weights(p)
        return self.words[categorical(weight.clamp(min=1e-300), u.double().sum(-1) % 1)], weight.sum(-1).log()


def toy() -> tuple[EnumeratedLaw, torch.Tensor]:
    """An Ising-like law over V = 3, L = 5, and which outcomes have the motif 1-2 and exactly two 0: P(C) ≈ 0.08."""

    def weight(x):
        pairs = sum(0.9 * (a == b) for a, b in itertools.pairwise(x)) + 0.8 * (x[0] == x[-1])
        return pairs + sum(0.15 * (i - 2) * v for i, v in enumerate(x))

    law = EnumeratedLaw.from_log_weights(3, 5, weight)
    ok = [(1, 2) in itertools.pairwise(x) and x.count(0) == 2 for x in law.outcomes.tolist()]
    return law, torch.tensor(ok)


def reward(x_0: torch.Tensor) -> torch.Tensor:
    """r(x) of rows (R, L): twos at the ends are wished for."""
    return 0.8 * (x_0[:, -1] == 2).double() + 0.5 * (x_0[:, 0] == 1).double() - 0.3 * (x_0 == 1).double().sum(-1)


def target(law: EnumeratedLaw, ok: torch.Tensor, tilt: float = 0.0) -> tuple[torch.Tensor, float]:
    """p(x) 1[C] e^{λ r}, normalised, and its normaliser."""
    weight = law.probability * ok * (tilt * reward(law.outcomes)).exp()
    return weight / weight.sum(), float(weight.sum())


def cloud_law(law: EnumeratedLaw, tokens: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The weighted share of every outcome."""
    base = torch.tensor([law.vocabulary**i for i in range(tokens.shape[1])])
    place = {int((x * base).sum()): i for i, x in enumerate(law.outcomes)}
    index = torch.tensor([place[int(key)] for key in (tokens * base).sum(-1)])
    return torch.zeros(len(law.outcomes), dtype=torch.float64).index_add(0, index, weight)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Total variation."""
    return float((a - b).abs().sum() / 2)


def chain_law(law: EnumeratedLaw, process, steps: int, bridge=None) -> dict[tuple, float]:
    """The law of the T-step reverse chain, by pushing every state through Π_i Σ_v p_i(v) q(x_s^i | x_t^i, v)."""
    bridge = bridge or process.bridge
    L, S, V = law.outcomes.shape[1], process.states, law.vocabulary
    states = torch.tensor(list(itertools.product(range(S), repeat=L)))
    now = process.prior_law()[states].prod(-1)
    denoiser = ExactDenoiser(law, process)
    for k in range(steps):
        t, s = (torch.tensor(1 - j / steps, dtype=torch.float64) for j in (k, k + 1))
        p = torch.softmax(denoiser(states, t.expand(len(states))).double(), -1)
        if k == steps - 1:  # the last state is x̂0 itself
            given = torch.where(
                (states < V).unsqueeze(-1) & (S > V), torch.nn.functional.one_hot(states.clamp(max=V - 1), V), p
            )
            local = torch.nn.functional.pad(given, (0, S - V))
        else:
            local = sum(
                p[..., v : v + 1] * bridge(states, torch.where((states == V) | (S == V), v, states), s, t) for v in range(V)
            )
        after = torch.zeros_like(now)
        index = torch.arange(len(states))
        for place in now.nonzero().squeeze(-1).tolist():
            joint = local[place, 0]
            for i in range(1, L):
                joint = (joint.unsqueeze(-1) * local[place, i]).flatten()
            after = after.index_add(0, index, now[place] * joint)
        now = after
    return {tuple(x): float(p) for x, p in zip(states.tolist(), now, strict=True) if p > 0 and max(x) < V}


def given(theirs: dict[tuple, float], law: EnumeratedLaw, ok: torch.Tensor, tilt: float = 0.0) -> tuple[torch.Tensor, float]:
    """A law over outcomes, given C and tilted, and its normaliser."""
    p = torch.tensor([theirs.get(tuple(x), 0.0) for x in law.outcomes.tolist()], dtype=torch.float64)
    weight = p * ok * (tilt * reward(law.outcomes)).exp()
    return weight / weight.sum(), float(weight.sum())


def counted_law(law: EnumeratedLaw, steps: int) -> dict[tuple, float]:
    """The law of revealing ⌈m/(T − k)⌉ of m masks, chosen uniformly, in step k, drawn independently."""
    V, L = law.vocabulary, law.outcomes.shape[1]
    now = {(V,) * L: 1.0}
    for k in range(steps):
        after: dict[tuple, float] = {}
        for x, q in now.items():
            masked = [i for i, v in enumerate(x) if v == V]
            table = p_x0(law, x)
            sets = list(itertools.combinations(masked, -(-len(masked) // (steps - k))))
            for chosen in sets:
                for values in itertools.product(range(V), repeat=len(chosen)):
                    share = q / len(sets) * math.prod(table[i][v] for i, v in zip(chosen, values, strict=True))
                    y = tuple(values[chosen.index(i)] if i in chosen else v for i, v in enumerate(x))
                    after[y] = after.get(y, 0.0) + share
        now = after
    return now
