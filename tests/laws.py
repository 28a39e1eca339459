"""Laws that can be written down, independent enumerations of what samplers should do, and one test of equality."""

import itertools

import numpy as np
import torch

from seqdiff.denoisers.exact import EnumeratedLaw, ExactDenoiser

DRAWS = 50_000


def ising() -> EnumeratedLaw:
    """V = 3, L = 4: neighbours like to be equal, the ends like to differ; fields break every symmetry (no ties)."""

    def weight(x):
        pairs = sum(1.2 * (a == b) for a, b in itertools.pairwise(x)) - 0.9 * (x[0] == x[-1])
        return pairs - 0.5 * x.count(2) + sum(0.07 * (i + 1) ** 0.5 * v for i, v in enumerate(x))

    return EnumeratedLaw.from_log_weights(3, 4, weight)


def parity() -> EnumeratedLaw:
    """V = 2, L = 5, 16 outcomes: the last token is the XOR of the others; two reveals at once must break it."""
    outcomes = torch.tensor([(*x, sum(x) % 2) for x in itertools.product(range(2), repeat=4)])
    weights = torch.arange(1.0, 17.0, dtype=torch.float64)
    return EnumeratedLaw(outcomes, weights / weights.sum(), 2)


def copies() -> EnumeratedLaw:
    """V = 4, L = 3: six outcomes, strongly tied, most sequences impossible."""
    outcomes = torch.tensor([(0, 0, 0), (1, 1, 1), (2, 2, 3), (3, 2, 2), (0, 1, 2), (3, 3, 0)])
    return EnumeratedLaw(outcomes, torch.tensor([0.3, 0.25, 0.2, 0.1, 0.1, 0.05], dtype=torch.float64), 4)


LAWS = {"ising": ising, "parity": parity, "copies": copies}


def p_x0(law: EnumeratedLaw, x: tuple) -> list[list[float]]:
    """p(x0^i = v | x_t) by brute force, in plain Python (independent of ExactDenoiser); uniform where x is impossible."""
    mask = law.vocabulary
    table = [[0.0] * mask for _ in x]
    total = 0.0
    for outcome, p in zip(law.outcomes.tolist(), law.probability.tolist(), strict=True):
        if all(b in (a, mask) for a, b in zip(outcome, x, strict=True)):
            total += p
            for i, v in enumerate(outcome):
                table[i][v] += p
    return [[v / total if total else 1 / mask for v in row] for row in table]


def propagate(law: EnumeratedLaw, start: tuple, kernel, steps: int) -> dict[tuple, float]:
    """Push a point mass at `start` through `kernel(x, k) → {x': probability}` for every step, exactly."""
    now = {start: 1.0}
    for k in range(steps):
        after: dict[tuple, float] = {}
        for x, p in now.items():
            for y, q in kernel(x, k).items():
                after[y] = after.get(y, 0.0) + p * q
        now = after
    return now


def ancestral_kernel(law: EnumeratedLaw, mask_rate: list[float]):
    """Each masked position is revealed on its own with probability 1 − rate_{k+1}/rate_k, then drawn on its own."""
    mask = law.vocabulary

    def kernel(x, k):
        unmask = 1 - mask_rate[k + 1] / mask_rate[k]
        table = p_x0(law, x)
        choices = [
            [(v, unmask * p) for v, p in enumerate(table[i]) if p > 0] + [(mask, 1 - unmask)] if x[i] == mask else [(x[i], 1.0)]
            for i in range(len(x))
        ]
        out: dict[tuple, float] = {}
        for combination in itertools.product(*choices):
            probability = 1.0
            for _, p in combination:
                probability *= p
            if probability > 0:
                y = tuple(v for v, _ in combination)
                out[y] = out.get(y, 0.0) + probability
        return out

    return kernel


def confidence_kernel(law: EnumeratedLaw, mask_rate: list[float], tau: float = 0.0):
    """Draw every masked position; keep the n − ⌊n · rate_{k+1}/rate_k⌋ with the largest log p + τ·Gumbel."""
    mask = law.vocabulary

    def kernel(x, k):
        masked = [i for i, v in enumerate(x) if v == mask]
        keep = len(masked) - int(len(masked) * mask_rate[k + 1] / mask_rate[k] + 1e-9)
        table = p_x0(law, x)
        out: dict[tuple, float] = {}
        for values in itertools.product(*([v for v in range(mask) if table[i][v] > 0] for i in masked)):
            drawn = dict(zip(masked, values, strict=True))
            probability = 1.0
            for i, v in drawn.items():
                probability *= table[i][v]
            confidence = {i: table[i][v] for i, v in drawn.items()}
            for kept, q in _kept_sets(confidence, keep, tau).items():
                y = tuple(drawn[i] if i in kept else v for i, v in enumerate(x))
                out[y] = out.get(y, 0.0) + probability * q
        return out

    return kernel


def _kept_sets(confidence: dict[int, float], keep: int, tau: float) -> dict[frozenset, float]:
    if tau == 0:
        order = sorted(confidence, key=lambda i: (-confidence[i], i))
        return {frozenset(order[:keep]): 1.0}
    weight = {i: c ** (1 / tau) for i, c in confidence.items()}
    out: dict[frozenset, float] = {}
    for order in itertools.permutations(weight, keep):  # Gumbel top-k = drawing without replacement
        q, left = 1.0, sum(weight.values())
        for i in order:
            q *= weight[i] / left
            left -= weight[i]
        out[frozenset(order)] = out.get(frozenset(order), 0.0) + q
    return out


def as_vector(law: dict[tuple, float]) -> tuple[torch.Tensor, torch.Tensor]:
    """(outcomes (K, L), probability (K,)) of a propagated law."""
    keys = sorted(law)
    return torch.tensor(keys), torch.tensor([law[k] for k in keys], dtype=torch.float64)


class Tabled(ExactDenoiser):
    """The exact denoiser, asked once for every distinct (row, time): of 50,000 rows few differ."""

    def __call__(self, x_t, t=None, label=None, lengths=None, positions=None):
        key = keys(x_t, self.vocabulary + 2)
        if self.process is not None:
            times, when = torch.unique(t.expand(len(x_t)), return_inverse=True)
            key = key * len(times) + when
        distinct, place = torch.unique(key, return_inverse=True)
        first = torch.empty(len(distinct), dtype=torch.int64).scatter_(0, place, torch.arange(len(x_t)))
        log_p = super().__call__(x_t[first], None if t is None else t.expand(len(x_t))[first])[place]
        if positions is None:
            return log_p
        return log_p.gather(1, positions.unsqueeze(-1).expand(*positions.shape, self.vocabulary))


def keys(tokens: torch.Tensor, base: int) -> torch.Tensor:
    """Rows as numbers, for tokens below `base`."""
    return (tokens * base ** torch.arange(tokens.shape[1])).sum(-1)


def counts_of(tokens: torch.Tensor, outcomes: torch.Tensor) -> torch.Tensor:
    """How often each outcome was drawn; the last entry counts what is none of them."""
    base = int(max(tokens.max(), outcomes.max())) + 1
    rows, drawn = torch.unique(keys(tokens, base), return_counts=True)
    equal = rows.unsqueeze(1) == keys(outcomes, base)
    index = torch.where(equal.any(-1), equal.to(torch.int8).argmax(-1), len(outcomes))
    return torch.zeros(len(outcomes) + 1, dtype=torch.int64).index_add(0, index, drawn)


def distribution_test(tokens: torch.Tensor, outcomes: torch.Tensor, probability: torch.Tensor) -> tuple[bool, str]:
    """Whether draws follow a law: TV below its simulated 99.9 % quantile, χ² p > 0.001, nothing outside the support."""
    n = len(tokens)
    counts = counts_of(tokens, outcomes)
    if counts[-1] > 0:
        return False, f"{int(counts[-1])} draws outside the support"
    counts = counts[:-1].double()
    distance = float((counts / n - probability).abs().sum() / 2)
    law = probability.double().numpy()
    simulated = torch.from_numpy(np.random.default_rng(1).multinomial(n, law / law.sum(), 1000)) / n  # counts of n draws each
    quantile = float(((simulated - probability).abs().sum(-1) / 2).quantile(0.999))
    enough = n * probability >= 5
    expected = torch.cat([n * probability[enough], (n * probability[~enough]).sum().reshape(1)])
    observed = torch.cat([counts[enough], counts[~enough].sum().reshape(1)])
    used = expected > 1e-9
    statistic = ((observed - expected)[used].square() / expected[used]).sum()
    freedom = max(1, int(used.sum()) - 1)
    p_value = float(torch.special.gammaincc(torch.tensor(freedom / 2.0), statistic / 2))
    ok = distance < quantile and p_value > 0.001
    return ok, f"TV {distance:.4f} (99.9 % quantile {quantile:.4f}), χ² p {p_value:.4f}"


def biased(law: EnumeratedLaw, amount: float = 0.03) -> EnumeratedLaw:
    """The law with `amount` of mass moved from its most to its least probable outcomes: TV = amount."""
    probability = law.probability.clone()
    high = int(probability.argmax())
    low = probability.argsort()[: max(1, len(probability) // 4)]
    probability[high] -= amount
    probability[low] += amount / len(low)
    return EnumeratedLaw(law.outcomes, probability, law.vocabulary)
