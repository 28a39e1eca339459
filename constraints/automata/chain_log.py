"""The dynamic programme over an automaton in logarithms: slow and plain, and no probability is too small for it.

`Chain` falls back on it for rows whose mass leaves the range of floating point. Where the mass is 0 it says −∞, exactly.
Shapes: B rows, L length, V vocabulary, K classes, S states.
"""

import torch
from torch import Tensor

from constraints.automata.chain_steps import Steps, class_masses
from seqdiff.draws import categorical

NEVER = -1e30  # log 0, kept finite so that derivatives are; no log-mass comes near it
ROWS = 2**24  # numbers that one step may hold


class LogChain:
    """`Chain` for few rows; methods and arguments as there, p in float64."""

    def __init__(self, steps: Steps):
        self._steps, self._classes = steps, steps.classes

    def log_mass(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """log Z (B,) float64."""
        return torch.cat([self._log_z(self._backward(self._log_masses(*part))) for part in self._parts(p, region)])

    def draw(self, p: Tensor, u: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, L) and log Z (B,)."""
        return self._each(p, u, region, self._draw)

    def reveal(self, p: Tensor, commit: Tensor, u: Tensor, region: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, L), log Z before and log Z after."""
        tokens, log_mass = self.draw(p, u, region)
        settled = torch.nn.functional.one_hot(tokens, p.shape[-1]).to(p)
        return tokens, log_mass, self.log_mass(torch.where(commit.unsqueeze(-1), settled, p), region)

    def gradient(self, p: Tensor, region: Tensor | None = None) -> Tensor:
        """∂ log Z/∂p (B, L, V) where p > 0, 0 elsewhere."""
        with torch.enable_grad():
            log_p = torch.where(p > 0, p.log(), NEVER).requires_grad_()
            log_mass = self.log_mass(log_p.exp(), region)
            (marginal,) = torch.autograd.grad(log_mass[torch.isfinite(log_mass)].sum(), log_p)
        return torch.where(p > 0, marginal / p, 0.0)

    def _parts(self, p: Tensor, region: Tensor | None) -> list[tuple[Tensor, Tensor | None]]:
        rows = max(1, ROWS // self._steps.step_of_class.numel())
        return [(p[b : b + rows], None if region is None else region[b : b + rows]) for b in range(0, len(p), rows)]

    def _each(self, p, u, region, method) -> tuple[Tensor, Tensor]:
        parts = self._parts(p, region)
        drawn = [method(*part, noise) for part, noise in zip(parts, u.split(len(parts[0][0])), strict=True)]
        return torch.cat([x for x, _ in drawn]), torch.cat([z for _, z in drawn])

    def _log_masses(self, p: Tensor, region: Tensor | None) -> Tensor:
        """log m (L, B, K)."""
        mass = class_masses(p, self._classes, self._steps.members.shape[1], region).transpose(1, 2)
        return torch.where(mass > 0, mass.clamp(min=1e-323).log(), NEVER)

    def _backward(self, log_m: Tensor) -> list[Tensor]:
        """log β_0 … log β_L, (B, S + 1) each: log β_{i−1}(q) = log Σ_c m_i(c) β_i(δ(q, c))."""
        accepting = torch.where(self._steps.accepting, 0.0, NEVER).to(log_m)
        log_beta = [accepting.expand(log_m.shape[1], -1)]
        alive = torch.arange(len(accepting), device=log_m.device) < self._steps.states
        for m in log_m.flip(0):
            through = log_beta[-1][:, self._steps.step_of_class] + m.unsqueeze(1)
            log_beta.append(torch.where(alive, through.logsumexp(-1), NEVER))
        return log_beta[::-1]

    def _log_z(self, log_beta: list[Tensor]) -> Tensor:
        log_mass = log_beta[0][:, self._steps.start]
        return torch.where(log_mass > NEVER / 2, log_mass, float("-inf"))

    def _draw(self, p: Tensor, region: Tensor | None, u: Tensor) -> tuple[Tensor, Tensor]:
        log_m = self._log_masses(p, region)
        log_beta = self._backward(log_m)
        state = torch.full_like(u[:, 0], self._steps.start, dtype=torch.int64)
        rows = torch.arange(len(p), device=p.device).unsqueeze(-1)
        tokens = torch.zeros_like(u, dtype=torch.int64)
        for i in range(p.shape[1]):
            classes = self._classes[region[:, i] if region is not None and len(self._classes) > 1 else 0].expand(len(p), -1)
            through = self._steps.step_of_class[state.unsqueeze(-1), classes]  # (B, V)
            weight = torch.where(p[:, i] > 0, p[:, i].clamp(min=1e-323).log(), NEVER) + log_beta[i + 1][rows, through]
            v = categorical((weight - weight.amax(-1, keepdim=True)).exp(), u[:, i]).clamp(max=p.shape[-1] - 1)
            tokens[:, i], state = v, through[rows[:, 0], v]
        return tokens, self._log_z(log_beta)
