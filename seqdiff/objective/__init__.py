"""What training minimises: one small function a published objective, each (B,) nats a row, for x_t drawn before.

`masked`: the absorbing process, from logits (B, L, V). `tokens`: any process on tokens, from canonical p(x0 | x_t) (see
`seqdiff.parameterisations`). Time is drawn by whoever trains; every function says over which law of t it is meant.
"""

from seqdiff.objective.masked import (
    antithetic_times,
    any_order_loss,
    bert_loss,
    hide,
    lambda_dce,
    local_cross_entropy,
    masked_cross_entropy,
    masked_step_loss,
    mgdm_loss,
    t_dse,
    training_loss,
)
from seqdiff.objective.tokens import (
    cross_entropy,
    discrete_vlb,
    draw_pair,
    prior_kl,
    rdm_loss,
    score_entropy,
    step_kl,
    weighted,
)

__all__ = [
    "antithetic_times",
    "any_order_loss",
    "bert_loss",
    "cross_entropy",
    "discrete_vlb",
    "draw_pair",
    "hide",
    "lambda_dce",
    "local_cross_entropy",
    "masked_cross_entropy",
    "masked_step_loss",
    "mgdm_loss",
    "prior_kl",
    "rdm_loss",
    "score_entropy",
    "step_kl",
    "t_dse",
    "training_loss",
    "weighted",
]
