"""Partial noising: the source stands before the target in one row; it is never noised and never scored.

Source: Gong et al., "DiffuSeq: sequence to sequence text generation with diffusion models", 2023, §3. There is no
cross-attention and no guidance; at sampling the source is a pin like any other.
"""

from torch import Tensor


def target(x_0: Tensor, separator: int | None, real: Tensor) -> Tensor:
    """(B, L) bool: real positions after the first separator; all real ones for None. A row without one has no target."""
    if separator is None:
        return real
    here = x_0 == separator
    return real & (here.cumsum(-1) - here.long() > 0)
