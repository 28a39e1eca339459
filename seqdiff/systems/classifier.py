"""Classifiers and regressors on noisy input: x_t ~ q(x_t | x_0) at random t, and the class or the number of x_0, or the classes
of its positions.

The minimum of E[−log p_θ(y | x_t)] is p(y | x_t) = E[p(y | x_0) | x_t], which is what exact guidance needs; one that saw
only clean rows is no such thing (Dhariwal and Nichol, "Diffusion models beat GANs", 2021, section 4.1).

Shapes: B rows, L length, K classes.
"""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from seqdiff.denoisers.classifier import Classifier, split
from seqdiff.errors import ConfigError
from seqdiff.likelihood import Bound
from seqdiff.noise import Stream, uniform
from seqdiff.processes.base import TokenProcess
from seqdiff.systems.base import Rows, System
from seqdiff.training.data import EncodedData, Targets

TIMES = (0.0, 0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Guidance(System):
    """What `Classification` and `Regression` share: the noise, and that neither samples anything itself.

    The "bound" of training logs is −log p(y | x_t) in nats a row, averaged over t; of a number in units of its deviation.
    """

    process: TokenProcess
    sampler = ""

    def nats(self, network, x_t: Tensor, t: Tensor, lengths: Tensor | None, x_0: Tensor, label: Tensor) -> Tensor:
        """−log p(y | x_t), (B,)."""
        raise NotImplementedError

    def terms(self, network, rows: Rows):
        t = rows.times()
        x_t = self._noisy(rows.x_0, t, rows.uniform())
        nats = self.nats(network, x_t, t, rows.mask_lengths, rows.x_0, rows.label)
        return {"label": nats * rows.lengths}  # training divides by tokens: this makes it nats a row

    @torch.no_grad()
    def bound(self, network, x_0, label, draws=4, seed=0):
        rows, columns = (torch.arange(n, device=x_0.device) for n in x_0.shape)
        start = uniform(seed, rows, 0, 0, Stream.TIME, device=x_0.device)
        label = torch.zeros_like(rows) if label is None else label
        estimates = []
        for k in range(draws):
            t = 1 - (start + k / draws) % 1
            u = uniform(seed, rows.unsqueeze(-1), k, columns, Stream.CORRUPT, device=x_0.device)
            estimates.append(self.nats(network, self._noisy(x_0, t, u), t, None, x_0, label))
        return Bound.from_draws(torch.stack(estimates), torch.ones_like(rows))

    def denoiser(self, network):
        raise ConfigError("this checkpoint is a classifier: it guides a denoiser and cannot fill holes; give it as guidance")

    def _noisy(self, x_0: Tensor, t: Tensor, u: Tensor) -> Tensor:
        """Draw x_t; padding stays."""
        V = self.process.vocabulary
        return torch.where(x_0 < V, self.process.corrupt(x_0.clamp(max=V - 1), t, u), x_0)


@dataclass(frozen=True)
class Classification(Guidance):
    """y is the class of the row; rows of the class "any" teach nothing."""

    def nats(self, network, x_t, t, lengths, x_0, label):
        K = network.config.classes
        cross_entropy = F.cross_entropy(network(x_t, t, lengths).double(), label.clamp(max=K - 1), reduction="none")
        return torch.where(label < K, cross_entropy, 0.0)


@dataclass(frozen=True)
class Regression(Guidance):
    """y is a number; −log N(z; m(x_t), e^{s(x_t)}), z = (y − center)/scale.

    Attributes:
        target: what the number is ("qed").
        targets: the numbers of the training rows; not part of a checkpoint.
    """

    target: str = ""
    targets: Targets | None = field(default=None, compare=False, repr=False)

    def nats(self, network, x_t, t, lengths, x_0, label):
        if self.targets is None:
            raise ConfigError("regressor: expected data with a number a row; set data.target")
        z = (self.targets(x_0) - network.config.center) / network.config.scale
        mean, log_variance = split(network(x_t, t, lengths))
        return 0.5 * ((z - mean).square() * (-log_variance).exp() + log_variance + math.log(2 * math.pi))


@dataclass(frozen=True)
class Tagging(Guidance):
    """y_i is the class of position i, averaged over the positions where it is known.

    A row of the data is x_0 and its classes by turns, x_1 y_1 x_2 y_2 …: the last K + 1 tokens of the alphabet are the K
    classes and one for what is not known. The network reads x_t alone.
    """

    def nats(self, network, x_t, t, lengths, x_0, label):
        said, (y, known) = network.log_classes(x_t[:, ::2], t, None if lengths is None else lengths // 2), tags(network, x_0)
        nats = -said.gather(-1, torch.where(known, y, 0).unsqueeze(-1)).squeeze(-1)
        return torch.where(known, nats, 0.0).sum(1) / known.sum(1).clamp(min=1)


def tags(network: Classifier, x_0: Tensor) -> tuple[Tensor, Tensor]:
    """Classes y (B, L) of rows x_1 y_1 x_2 y_2 … (B, 2L), and where they are known (B, L)."""
    K = network.config.classes
    y = x_0[:, 1::2] - (network.vocabulary - K - 1)
    return y, (y >= 0) & (y < K)


@torch.no_grad()
def quality(network: Classifier, system: Guidance, data: EncodedData, rows: int = 1000, seed: int = 0) -> dict[str, float]:
    """On held-out rows, at t = 0, ¼, ½, ¾: accuracy of a classifier; correlation and root mean square error of a regressor."""
    found: dict[float, list[tuple[Tensor, Tensor]]] = {t: [] for t in TIMES}
    device = next(network.parameters()).device
    for group in data.rows_of(data.held_out & (data.lengths > 0), rows):
        x_0 = data.rows(group, int(data.lengths[group[0]])).to(device)
        known = data.labels.astype("int64") if network.config.classes or data.targets is None else data.targets
        y = torch.from_numpy(known[group]).to(device)
        place, columns = torch.from_numpy(group).to(device).unsqueeze(-1), torch.arange(x_0.shape[1], device=device)
        for step, level in enumerate(TIMES):
            t = torch.full((len(x_0),), level, dtype=torch.float64, device=device)
            x_t = system._noisy(x_0, t, uniform(seed, place, step, columns, Stream.CORRUPT, device=device))
            if isinstance(system, Tagging):
                truth, told = tags(network, x_0)
                found[level].append((network.log_classes(x_t[:, ::2], t).argmax(-1)[told], truth[told]))
                continue
            said = network.log_classes(x_t, t).argmax(-1) if network.config.classes else network.number(x_t, t)[0]
            found[level].append((said, y))
    figures = {}
    for level, pairs in found.items():
        said, y = (torch.cat(part) for part in zip(*pairs, strict=True)) if pairs else (torch.zeros(0), torch.zeros(0))
        if len(y) < 3:
            continue
        if network.config.classes:
            figures[f"accuracy/t={level:g}"] = float((said == y).double().mean())
        else:
            figures[f"correlation/t={level:g}"] = float(torch.corrcoef(torch.stack([said, y.double()]))[0, 1])
            figures[f"rmse/t={level:g}"] = float((said - y).square().mean().sqrt())
    return figures
