"""Guidance of vectors by gradients: in embedding space (Diffusion-LM) and in hidden states (NOS). Pure functions.

Sources: Dhariwal and Nichol, "Diffusion models beat GANs on image synthesis", 2021; Li et al., "Diffusion-LM improves
controllable text generation", 2022; Gruver et al., "Protein design with guided discrete diffusion" (NOS), 2023.
Shapes: R rows, L length, D width, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def guided_mean(mean: Tensor, variance: Tensor, log_p_y: Callable[[Tensor], Tensor], strength: float = 1.0) -> Tensor:
    """μ + γ σ² ∇ log p(y | x) at x = μ: the mean of p(x_s | x_t, y) to first order in σ² (Dhariwal and Nichol, 2021).

    Args:
        mean, variance: of p(x_s | x_t), (R, L, D) and what broadcasts against it.
        log_p_y: vectors (R, L, D) → (R,).
    """
    return mean + strength * variance * embedding_gradient(log_p_y, mean)[1]


def ascend(
    x: Tensor, objective: Callable[[Tensor], Tensor], steps: int = 3, rate: float = 0.1, adaptive: bool = True
) -> Tensor:
    """x (R, …) after a few steps up the gradient of `objective`, x → (R,): of Adagrad, or plain ones."""
    squares = torch.zeros_like(x)
    for _ in range(steps):
        gradient = embedding_gradient(objective, x)[1]
        squares = squares + gradient.square()
        x = x + rate * (gradient / (squares.sqrt() + 1e-10) if adaptive else gradient)
    return x


def fluent(
    mean: Tensor, variance: Tensor, log_p_y: Callable[[Tensor], Tensor], fluency: float = 1.0
) -> Callable[[Tensor], Tensor]:
    """x ↦ λ log N(x; μ, σ²) + log p(y | x), up to a constant: what Diffusion-LM ascends at every step (Li et al., 2022)."""

    def objective(x: Tensor) -> Tensor:
        return log_p_y(x) - fluency * ((x - mean).square() / (2 * variance)).flatten(1).sum(-1)

    return objective


def near(
    hidden: Tensor, decode: Callable[[Tensor], Tensor], value: Callable[[Tensor], Tensor], strength: float = 1.0
) -> Callable[[Tensor], Tensor]:
    """h′ ↦ v(h′) − λ Σ_i KL(p(x̂0^i | h′) ‖ p(x̂0^i | h)): what NOS ascends in hidden states (Gruver et al., 2023).

    With v the expectation of a value under p(· | h′), its maximum is p ∝ p(· | h) e^{v/λ}.

    Args:
        hidden: h (R, …).
        decode: h → logits (R, …, V).
        value: h → (R,).
    """
    before = decode(hidden).detach().log_softmax(-1)

    def objective(h: Tensor) -> Tensor:
        after = decode(h).log_softmax(-1)
        return value(h) - strength * (after.exp() * (after - before)).flatten(1).sum(-1)

    return objective


def embedding_gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """(function(x) (R,) float64, its gradient in the shape of x); rows do not see each other."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = function(x)
        (gradient,) = torch.autograd.grad(value.sum(), x)
    return value.detach().double(), gradient
