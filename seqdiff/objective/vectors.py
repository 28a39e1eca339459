"""Objectives of processes on vectors: the mean squared error of whatever the network predicts.

    |x̂0 − x_0|²   |ε̂ − ε|²   |v̂ − v|²   |velocity − (a′ x_0 + b′ ε)|²   |score + ε/b|²

At one t they differ by a factor alone: (x̂0-MSE) · SNR is the ε-MSE, and so on (Salimans and Ho, "Progressive distillation",
2022; Lipman et al., "Flow matching", 2023, for the velocity on the straight path). The choice says how times are weighed.
"""

from torch import Tensor

from seqdiff.objective.tokens import _over
from seqdiff.processes.gaussian import VectorProcess, from_x0


def vector_mse(
    process: VectorProcess,
    kind: str,
    output: Tensor,
    x_0: Tensor,
    x_t: Tensor,
    t: Tensor,
    scored: Tensor | None = None,
) -> Tensor:
    """Σ_i mean_D |output − target|², (B,), the target of `kind` (`processes.gaussian.KINDS`) given x_0 and x_t (B, L, D).

    "velocity" on `Straight` is conditional flow matching, "epsilon" on `VariancePreserving` DDPM's simple loss.
    """
    target = from_x0(process, kind, x_0, x_t, t)
    return _over(scored, (output - target).square().mean(-1))
