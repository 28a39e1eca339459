"""Kernels of the samplers that mask again, plan, adapt or go by blocks, enumerated in plain Python from their definitions.

A state is a tuple of tokens (V = mask), or (tokens, confidences) where a sampler remembers. A kernel takes it, and the
number of the step, to {state: probability}; `laws.propagate` does the rest.
"""

import itertools
import math

import torch
from laws import Tabled, p_x0

from seqdiff.condition import Unconditional
from seqdiff.denoisers.exact import EnumeratedLaw
from seqdiff.processes.absorbing import Absorbing
from seqdiff.samplers.drive import DrawOptions, answer, drive
from seqdiff.samplers.state import State
from seqdiff.schedules import Linear

DRAWS = 6_000  # a bias of 0.03 still fails
PINS = {"ising": {1: 2}, "parity": {0: 1, 4: 0}, "copies": {1: 2}}


def pair() -> EnumeratedLaw:
    """V = 2, L = 3: small enough for hundreds of steps."""
    return EnumeratedLaw.from_log_weights(2, 3, lambda x: 1.1 * (x[0] == x[1]) - 0.8 * (x[1] == x[2]) + 0.3 * x[0] + 0.1 * x[2])


def start_of(law, pins=None) -> tuple:
    return tuple((pins or {}).get(i, law.vocabulary) for i in range(law.outcomes.shape[1]))


def free_of(law, pins=None) -> list[int]:
    return [i for i in range(law.outcomes.shape[1]) if i not in (pins or {})]


def run(loop, /, law, pins=None, schedule=None, n=DRAWS, seed=3, denoiser=None, condition=None, **options) -> State:
    """The end of a loop over n rows of the exact denoiser."""
    process, condition = Absorbing(law.vocabulary, schedule or Linear()), condition or Unconditional()
    denoiser = denoiser or Tabled(law)
    state = State.from_canvas(process, torch.tensor([start_of(law, pins)] * n), seed, torch.arange(n))
    return drive(loop(state, process, condition, **options), lambda q: answer(denoiser, q, condition, DrawOptions()))


def product(choices) -> dict:
    """Independent positions: lists of (value, probability) → {tuple of values: probability}."""
    out = {(): 1.0}
    for row in choices:
        after: dict = {}
        for x, p in out.items():
            for v, q in row:
                if q > 0:
                    after[(*x, v)] = after.get((*x, v), 0.0) + p * q
        out = after
    return out


def distance(a: dict, b: dict) -> float:
    """Total variation."""
    return sum(abs(a.get(x, 0) - b.get(x, 0)) for x in a.keys() | b.keys()) / 2


def as_dict(law: EnumeratedLaw) -> dict:
    return {tuple(x): p for x, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True)}


def tokens_of(law: dict) -> dict:
    """The law of the tokens from a law of (tokens, confidences)."""
    out: dict = {}
    for (x, _), p in law.items():
        out[x] = out.get(x, 0.0) + p
    return out


def remasking_kernel(law, alpha: list[float], sigma: list[float], free: list[int]):
    """One step of ReMDM's posterior with p(x0 | x_t), positions independent; `alpha` at the T + 1 times, σ of each step."""
    mask = law.vocabulary

    def kernel(x, k):
        reveal = (alpha[k + 1] - (1 - sigma[k]) * alpha[k]) / (1 - alpha[k])
        table, rows = p_x0(law, x), []
        for i, v in enumerate(x):
            if i not in free:
                rows.append([(v, 1.0)])
            elif v == mask:
                rows.append([(mask, 1 - reveal)] + [(w, reveal * p) for w, p in enumerate(table[i])])
            else:
                rows.append([(mask, sigma[k]), (v, 1 - sigma[k])])
        return product(rows)

    return kernel


def remasking_by_confidence_kernel(law, alpha, sigma, free):
    """The same with σ_i = σ e^{−ψ_i} / Σ e^{−ψ_j} over the revealed free positions; a masked one has σ_i = 0."""
    mask = law.vocabulary

    def kernel(state, k):
        x, psi = state
        reveal = (alpha[k + 1] - alpha[k]) / (1 - alpha[k])
        total = sum(math.exp(-psi[i]) for i in free if x[i] != mask)
        table, rows = p_x0(law, x), []
        for i, v in enumerate(x):
            if i not in free:
                rows.append([((v, psi[i]), 1.0)])
            elif v == mask:
                rows.append([((mask, psi[i]), 1 - reveal)] + [((w, p), reveal * p) for w, p in enumerate(table[i])])
            else:
                again = sigma[k] * math.exp(-psi[i]) / total
                rows.append([((mask, psi[i]), again), ((v, psi[i]), 1 - again)])
        return {(tuple(v for v, _ in y), tuple(c for _, c in y)): p for y, p in product(rows).items()}

    return kernel


def corrector_round(law, free, width):
    """Mask `width` revealed free positions, then draw `width` of all masked ones, both uniformly chosen."""
    mask = law.vocabulary

    def kernel(x, _):
        revealed = [i for i in free if x[i] != mask]
        if len(revealed) < width:
            return {x: 1.0}
        out: dict = {}
        opened_sets = list(itertools.combinations(revealed, width))
        for opened in opened_sets:
            y = tuple(mask if i in opened else v for i, v in enumerate(x))
            drawn_sets = list(itertools.combinations([i for i, v in enumerate(y) if v == mask], width))
            table = p_x0(law, y)
            for drawn in drawn_sets:
                rows = [list(enumerate(table[i])) if i in drawn else [(v, 1.0)] for i, v in enumerate(y)]
                for z, p in product(rows).items():
                    out[z] = out.get(z, 0.0) + p / len(opened_sets) / len(drawn_sets)
        return out

    return kernel


def path_planning_kernel(law, rate: list[float], free, eta):
    """P2 with the leave-one-out p(x^i | x_t^{≠i}) as planner and denoiser."""
    mask = law.vocabulary

    def kernel(x, k):
        table = leave_one_out(law, x)
        masked = [i for i in free if x[i] == mask]
        again = int(len(free) * rate[k + 1] + 1e-9)
        out: dict = {}
        for values in itertools.product(*([v for v in range(mask) if table[i][v] > 0] for i in masked)):
            drawn, probability = dict(zip(masked, values, strict=True)), 1.0
            for i, v in drawn.items():
                probability *= table[i][v]

            def score(i, drawn=drawn):
                if i in drawn:
                    return (math.log(table[i][drawn[i]]), 0, -i)
                p = table[i][x[i]]
                return ((eta * math.log(p) if p > 0 else -math.inf) if eta > 0 else math.inf, 1, -i)

            worst = sorted(free, key=score)[:again]
            y = tuple(mask if i in worst else drawn.get(i, v) for i, v in enumerate(x))
            out[y] = out.get(y, 0.0) + probability
        return out

    return kernel


def leave_one_out(law, x) -> list[list[float]]:
    """p(x^i | all others in x) for every i, whatever stands at i."""
    mask = law.vocabulary
    return [p_x0(law, (*x[:i], mask, *x[i + 1 :]))[i] for i in range(len(x))]


class LeaveOneOut:
    """The same for tensors: a denoiser that says at a revealed position how well its token fits."""

    def __init__(self, law):
        self.exact, self.vocabulary = Tabled(law), law.vocabulary

    def __call__(self, x_t, t, label, lengths, positions):
        L = x_t.shape[1]
        without = x_t.unsqueeze(1).repeat(1, L, 1)
        without[:, torch.arange(L), torch.arange(L)] = self.vocabulary
        log_p = self.exact(without.flatten(0, 1)).unflatten(0, (-1, L))[:, torch.arange(L), torch.arange(L)]
        return log_p.gather(1, positions.unsqueeze(-1).expand(*positions.shape, self.vocabulary))


def mask_predicted(law, x: tuple, free, steps: int) -> tuple:
    """Mask-Predict, the whole run: a function of the start."""
    mask, x, confidence = law.vocabulary, list(x), [1.0] * len(x)
    for k in range(steps):
        table = p_x0(law, tuple(x))
        for i in [i for i in free if x[i] == mask]:
            confidence[i] = max(table[i])
            x[i] = table[i].index(confidence[i])
        for i in sorted(free, key=lambda i: (confidence[i], -i))[: len(free) * (steps - k - 1) // steps]:
            x[i] = mask
    return tuple(x)


def accepted_by_entropy(law, x, epsilon) -> list[int]:
    """The longest run of positions in the order of their entropies with Σ H − max H ≤ ε."""
    table = p_x0(law, x)
    entropy = {i: -sum(p * math.log(p) for p in table[i] if p > 0) for i, v in enumerate(x) if v == law.vocabulary}
    order = sorted(entropy, key=lambda i: (entropy[i], i))
    lengths = [k for k in range(1, len(order) + 1) if sum(entropy[i] for i in order[: k - 1]) <= epsilon]
    return order[: max(lengths, default=0)]


def entropy_kernel(law, epsilon):
    def kernel(x, _):
        table, accepted = p_x0(law, x), accepted_by_entropy(law, x, epsilon)
        return product([list(enumerate(table[i])) if i in accepted else [(v, 1.0)] for i, v in enumerate(x)])

    return kernel


def threshold_kernel(law, threshold):
    """Draw all masked positions; keep those with p(x̂0) > threshold, and the surest."""
    mask = law.vocabulary

    def kernel(x, _):
        table, masked = p_x0(law, x), [i for i, v in enumerate(x) if v == mask]
        out: dict = {}
        for y, p in product([list(enumerate(table[i])) if i in masked else [(v, 1.0)] for i, v in enumerate(x)]).items():
            sure = {i: table[i][y[i]] for i in masked}
            best = min(masked, key=lambda i: (-sure[i], i), default=None)
            z = tuple(mask if i in sure and i != best and sure[i] <= threshold else y[i] for i in range(len(x)))
            out[z] = out.get(z, 0.0) + p
        return out

    return kernel
