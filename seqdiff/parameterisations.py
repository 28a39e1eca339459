"""What networks predict, brought to the one form the core knows: canonical p(x0 | x_t), (B, L, V) float64.

Every `p_from_…` has the signature (process, output, x_t, t), and an inverse where there is one. `CanonicalDenoiser`
applies one of them at the edge, so that samplers, guidance and likelihoods never see another form.

Shapes: B batch, L length, V clean vocabulary, S ≥ V states; x_t (B, L), t (), (B,) or (B, L). Below, at one position,
q(y | v) = Q_t(v, y) is the marginal of the process, and w_v = p(v | x_t)/q(x_t | v), which is the leave-one-out law
p(v | the other positions) up to a constant.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess, column, nonzero, possible
from seqdiff.processes.uniform import Uniform

# A token stays with probability α_t, else it is noise: discrete flow matching's mixture path with κ = α_t.
MixturePath = Absorbing | Uniform


def p_from_logits(process: TokenProcess, logits: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """softmax of the logits over the tokens that can have led to x_t.

    Under the absorbing process this is MDLM's substitution (Sahoo et al., 2024, §3.2.3): a revealed token carries over.
    Gradients pass; where no token can have led to x_t (a mask at t = 0) nothing is dropped.
    """
    able = process.likelihood(x_t, t) > 0
    able = able | ~able.any(-1, keepdim=True)
    return torch.softmax(torch.where(able, logits.double(), float("-inf")), dim=-1)


def logits_from_p(p_x0: Tensor) -> Tensor:
    """log p: the logits, up to a constant a position."""
    return p_x0.log()


def p_from_leave_one_out(process: TokenProcess, logits: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """p(v | x_t) ∝ p(v | x_t at the other positions) · q(x_t | v), from logits of the first factor (Bayes).

    What a network knows that does not look at its own position, and what UDLM's outputs mean (Schiff et al., 2024).
    """
    likelihood = process.likelihood(x_t, t)
    log_q = torch.where(likelihood > 0, likelihood, 1.0).log()  # where it is 0, `p_from_logits` drops the token
    return p_from_logits(process, logits.double() + log_q, x_t, t)


def leave_one_out_from_p(process: TokenProcess, p_x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """p(v | the other positions) ∝ p(v | x_t)/q(x_t | v), (B, L, V) probabilities.

    Where q(x_t | v) = 0 the prediction says nothing of v, which gets 0: at a revealed token of the absorbing process the
    law of the other positions cannot be recovered.
    """
    w = _weights(process, p_x0, x_t, t)
    return w / w.sum(-1, keepdim=True)


def ratio_from_p(process: TokenProcess, p_x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """The ratio (concrete score) s_y = q_t(y)/q_t(x_t) = Σ_v q(y | v) w_v for every state y, (B, L, S); s_{x_t} = 1.

    q_t(y) is the law of x_t with this position at y and the others as they are (Lou et al., SEDD, 2024). Under the
    absorbing process at a mask, s_v = α_t/(1 − α_t) · p(v) (Ou et al., RADD, 2024: e^{−σ̄}/(1 − e^{−σ̄})); at its revealed
    tokens p says nothing of the other states, whose entries mean nothing there, and no rate leads from them.
    """
    w = _weights(process, p_x0, x_t, t)
    return process.spread(w, t)


def p_from_ratio(process: TokenProcess, ratio: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """Solve s = Q_tᵀ w for w, then p ∝ w · q(x_t | v); negative entries, of a ratio that no law has, are dropped.

    In closed form for the absorbing process (w_v = s_v/α_t) and the uniform one (w_v = (s_v − (1 − α_t)/V · Σ s)/α_t),
    else by the pseudo-inverse of Q_t, which must have full row rank: ratios tell nothing of x_0 once all is noise.
    """
    likelihood = process.likelihood(x_t, t)
    return possible(process.unspread(ratio.double(), t).clamp(min=0) * likelihood, likelihood)


def velocity_from_p(process: TokenProcess, p_x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """Discrete flow matching's velocity u(y, x_t) = κ'/(1 − κ) · (p(y | x_t) − δ_{x_t}(y)), (B, L, S), along falling t.

    With κ = α_t, κ'/(1 − κ) = −α'_t/(1 − α_t) (Gat et al., 2024; Campbell et al., 2024). It carries the marginals of a
    mixture path towards the data; under the absorbing process it is the reverse rate R_t(y, x_t) s_y, under the uniform
    one it is another rate with the same marginals.
    """
    weight, here = _velocity_parts(process, x_t, t)
    p = torch.nn.functional.pad(p_x0.double(), (0, process.states - process.vocabulary))
    return weight * (p - here)


def p_from_velocity(process: TokenProcess, velocity: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """p(y | x_t) = u(y, x_t) · (1 − κ)/κ' + δ_{x_t}(y); negative entries, of a velocity no law has, are dropped."""
    weight, here = _velocity_parts(process, x_t, t)
    p = (velocity.double() / weight + here)[..., : process.vocabulary]
    return possible(p.clamp(min=0), process.likelihood(x_t, t))


PARAMETERISATIONS: dict[str, Callable[[TokenProcess, Tensor, Tensor, Tensor], Tensor]] = {
    "logits": p_from_logits,
    "leave-one-out": p_from_leave_one_out,
    "ratio": p_from_ratio,
    "velocity": p_from_velocity,
}


@dataclass(frozen=True)
class CanonicalDenoiser:
    """A network that speaks another parameterisation, as a denoiser of the core: log p(x0 | x_t) (B, L or P, V).

    Attributes:
        network: (x_t, t, label, lengths, positions) → output (B, L or P, V or S).
        process: the process it was trained under.
        kind: a name of `PARAMETERISATIONS`.
    """

    network: Callable[..., Tensor]
    process: TokenProcess
    kind: str = "logits"

    def __post_init__(self):
        if self.kind not in PARAMETERISATIONS:
            raise ConfigError(f"parameterisation: expected one of {', '.join(PARAMETERISATIONS)}; got {self.kind!r}")

    def __call__(self, x_t: Tensor, t: Tensor, label=None, lengths=None, positions: Tensor | None = None) -> Tensor:
        output = self.network(x_t, t, label, lengths, positions)
        here = x_t if positions is None else x_t.gather(1, positions)
        return PARAMETERISATIONS[self.kind](self.process, output, here, t).log()


def _weights(process: TokenProcess, p_x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
    """w_v = p(v | x_t)/q(x_t | v), 0 where that is not possible, (B, L, V) float64."""
    likelihood = process.likelihood(x_t, t)
    able = likelihood > 0
    return torch.where(able, p_x0.double(), 0.0) / nonzero(likelihood)


def _velocity_parts(process: TokenProcess, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """κ'/(1 − κ), broadcast to (B, 1, 1), and δ_{x_t} (B, L, S)."""
    if not isinstance(process, MixturePath):
        raise ConfigError(
            f"velocity: expected a mixture path (the absorbing or the uniform process), got {type(process).__name__}; "
            "use the ratio"
        )
    here = torch.nn.functional.one_hot(x_t, process.states).double()
    return column(process.schedule.weight(t)).unsqueeze(-1), here
