"""D3PM: any transition matrices in discrete time, the T-step bound plus λ times the cross-entropy of x_0.

With the uniform process it is multinomial diffusion (Hoogeboom et al., 2021) with an x_0 prediction. The network needs
the time: under a process that overwrites tokens, x_t does not tell how much of it is noise.
Source: Austin et al., "Structured denoising diffusion models in discrete state-spaces", 2021, eq. 1, 5.
"""

from dataclasses import dataclass

from seqdiff.likelihood import discrete_bound
from seqdiff.objective import cross_entropy, discrete_vlb, weighted
from seqdiff.parameterisations import PARAMETERISATIONS, CanonicalDenoiser
from seqdiff.processes.base import TokenProcess
from seqdiff.systems.base import Rows, System


@dataclass(frozen=True)
class D3PM(System):
    """Process: any on tokens. T = `steps` in training and in the bound.

    Attributes:
        auxiliary: λ.
        parameterisation: what the network's logits mean, a name of `seqdiff.parameterisations`. With "leave-one-out"
            log q(x_t | v) is added to them: as t → 0 the prediction then tends to x_t by itself, while plain "logits"
            must learn it, at every time, to keep the bound finite.
    """

    process: TokenProcess
    steps: int = 128
    auxiliary: float = 0.01
    parameterisation: str = "leave-one-out"
    sampler: str = "reverse-chain"

    def terms(self, network, rows: Rows):
        k, weight = self._step(rows.times())
        t = k.double() / self.steps
        x_t = self.process.corrupt(rows.x_0.clamp(max=self.process.vocabulary - 1), t, rows.uniform())
        logits = network(x_t, t, rows.label, rows.mask_lengths)
        p_x0 = PARAMETERISATIONS[self.parameterisation](self.process, logits, x_t, t)
        return weighted(
            {"cross-entropy": self.auxiliary},
            bound=weight * discrete_vlb(self.process, p_x0, rows.x_0, x_t, k, self.steps, rows.real),
            **{"cross-entropy": weight * cross_entropy(p_x0.log(), rows.x_0, rows.real)},
        )

    def _step(self, v):
        """Steps k = ⌈T v²⌉ of 1 … T from v (B,) uniform, and the weight 1/(T P(k)) that makes up for the choice.

        Under a process that overwrites tokens the first steps carry rare and large terms; drawn more often, weighing
        less, they leave a variance that training can live with.
        """
        T = self.steps
        k = (v.square() * T).ceil().clamp(1, T)
        return k.long(), 1 / (T**0.5 * (k.sqrt() - (k - 1).sqrt()))

    def bound(self, network, x_0, label, draws=4, seed=0):
        return discrete_bound(self.denoiser(network), self.process, x_0, self.steps, draws, seed, label)

    def denoiser(self, network):
        return CanonicalDenoiser(network, self.process, self.parameterisation)
