"""From logits to tokens, in float64.

A float32 Gumbel is capped at 16.6, which lowers the temperature in silence; an inverse cumulative sum in float64
has no such cap and needs one uniform number a position.
"""

import torch
from torch import Tensor


def probabilities(logits: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    """p(x0 | x_t) in float64 from logits (…, V): softmax of logits / temperature, then the nucleus of mass top_p.

    The nucleus keeps the most probable tokens up to and with the one that reaches top_p (Holtzman et al., 2020).
    """
    p = torch.softmax(logits if temperature == 1 else logits.double() / temperature, dim=-1, dtype=torch.float64)
    if top_p < 1:
        ordered, order = p.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        p = torch.zeros_like(p).scatter(-1, order, torch.where(before < top_p, ordered, 0.0))
        p = p / p.sum(-1, keepdim=True)
    return p


def categorical(p: Tensor, u: Tensor) -> Tensor:
    """Draw from unnormalised weights p (…, V) float64 by the inverse cumulative sum at u (…) ∈ [0, 1).

    The first index whose cumulative sum exceeds u · total. Rounding could lift u · total to the total itself and past
    the last token that has weight; kept below it, a token of weight 0 is never drawn.
    """
    cumulative = p.cumsum(-1)
    total = cumulative[..., -1]
    threshold = torch.minimum(u * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative.contiguous(), threshold.unsqueeze(-1).contiguous(), right=True).squeeze(-1)
