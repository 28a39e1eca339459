"""Tokens as vectors: an embedding space, and a Gaussian process on it that answers questions about tokens.

Shapes: B batch, L length, V vocabulary, D width.
Sources: Li et al., Diffusion-LM, 2022 (rounding, clamping); Gao et al., Difformer, 2022 (normalised embeddings, collapse);
Gong et al., DiffuSeq-v2, 2023 (soft absorbing state); Han et al., SSD-LM, 2022, and Karimi Mahabadi et al., TESS, 2023
(simplex); Dieleman et al., CDCD, 2022 (L2 norm √D).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seqdiff.errors import ConfigError
from seqdiff.noise import Stream
from seqdiff.processes.gaussian import VectorProcess, spread
from seqdiff.samplers.state import State

NORMS = ("none", "layer", "sphere")


class Embedding(nn.Module):
    """V vectors e_v of width D, read from `table` (V, D) through a norm, relative to an origin m.

    Args:
        vectors: (V, D) where learning starts, or the fixed vectors.
        norm: "none"; "layer" (LayerNorm without gain: mean 0, variance 1 per vector); "sphere" (L2 norm √D).
        learned: whether the vectors are trained.
        soft_mask: learn an origin m, DiffuSeq-v2's soft absorbing state. The process runs on x − m, so that
            x_t = a (x_0 − m) + b ε + m, and noise ends at m; `encode` gives e_v − m. False: m = 0.
        linear_head: `logits` from a learned map of x̂0, started at the vectors, in place of the distances.
    """

    def __init__(
        self, vectors: Tensor, norm: str = "none", learned: bool = True, soft_mask: bool = False, linear_head: bool = False
    ):
        super().__init__()
        if norm not in NORMS:
            raise ConfigError(f"embedding: expected norm to be one of {', '.join(NORMS)}; got {norm!r}")
        if vectors.ndim != 2 or not vectors.is_floating_point():
            raise ConfigError(f"embedding: expected vectors (V, D) of floats, got {vectors.dtype} {tuple(vectors.shape)}")
        self.norm = norm
        self.vectors = nn.Parameter(vectors.clone(), requires_grad=learned)
        self.origin = nn.Parameter(vectors.new_zeros(vectors.shape[1])) if soft_mask else None
        self.head = None
        if linear_head:
            self.head = nn.Linear(vectors.shape[1], len(vectors), dtype=vectors.dtype)
            self.head.load_state_dict({"weight": vectors.clone(), "bias": vectors.new_zeros(len(vectors))})

    @classmethod
    def simplex(cls, vocabulary: int, K: float = 5.0) -> "Embedding":
        """Fixed, D = V: +K at the token and −K elsewhere (SSD-LM, TESS). Its process has the noise factor K."""
        return cls(K * (2 * torch.eye(vocabulary, dtype=torch.float64) - 1), learned=False)

    @property
    def vocabulary(self) -> int:
        return self.vectors.shape[0]

    @property
    def width(self) -> int:
        return self.vectors.shape[1]

    def table(self) -> Tensor:
        """(V, D): e_v after the norm, minus the origin."""
        e = self.vectors
        if self.norm == "layer":
            e = nn.functional.layer_norm(e, e.shape[-1:])
        elif self.norm == "sphere":
            e = math.sqrt(self.width) * nn.functional.normalize(e, dim=-1)
        return e if self.origin is None else e - self.origin

    def encode(self, tokens: Tensor) -> Tensor:
        """(B, L) clean ids → (B, L, D)."""
        return nn.functional.embedding(tokens, self.table())

    def mean(self, p_x0: Tensor) -> Tensor:
        """x̂0 = Σ_v p(v) e_v, (…, V) → (…, D)."""
        return p_x0 @ self.table().to(p_x0.dtype)

    def logits(self, x0_hat: Tensor, sigma: float = 1.0) -> Tensor:
        """Rounding head (…, D) → (…, V), up to a constant of each row: −|x̂0 − e_v|²/(2σ²), or the linear head's.

        (x̂0·e_v − |e_v|²/2)/σ² leaves |x̂0|² out: one product, where distances take five passes over (…, V). Never in
        half precision: of a logit near |e_v|² = D it would leave steps of D/256.
        """
        if self.head is not None:
            return self.head(x0_hat.to(self.head.weight.dtype))
        with torch.autocast(x0_hat.device.type, enabled=False):
            table = self.table().to(x0_hat.dtype)
            return nn.functional.linear(x0_hat / sigma**2, table, -table.square().sum(-1) / (2 * sigma**2))

    def nearest(self, x: Tensor) -> Tensor:
        """(…, D) → (…): the token whose vector is nearest, the first of equals."""
        return squared_distance(x, self.table().to(x.dtype)).argmin(-1)

    def clamp(self, x: Tensor) -> Tensor:
        """x̂0 (…, D) moved onto the nearest embedding (Diffusion-LM's clamping trick)."""
        return self.encode(self.nearest(x)).to(x.dtype)

    @torch.no_grad()
    def mean_cosine(self) -> Tensor:
        """Mean cosine of two different embeddings (before the origin is taken off): 1 when the space has collapsed."""
        e = self.table() if self.origin is None else self.table() + self.origin
        unit, V = nn.functional.normalize(e, dim=-1), self.vocabulary
        return ((unit @ unit.T).sum() - unit.square().sum()) / (V * (V - 1))


def squared_distance(x: Tensor, table: Tensor) -> Tensor:
    """|x − e_v|² of x (…, D) and table (V, D): (…, V), one V × D product and no (…, V, D) in between."""
    return (x.square().sum(-1, keepdim=True) - 2 * x @ table.T + table.square().sum(-1)).clamp(min=0)


@dataclass(frozen=True)
class EmbeddedProcess:
    """A process on vectors seen from tokens: x_t = a_t e_{x_0} + b_t ε at every position.

    Attributes:
        process: the process on vectors; its noise factor, where it has one, is the embedding's.
        embedding: the vectors.
        absorb: γ ≥ 0. In training a position is put onto the origin with probability γ b_t (DiffuSeq-v2); part of
            `corrupt` alone, the law of x_t is meant without it.
    """

    process: VectorProcess
    embedding: Embedding
    absorb: float = 0.0

    @property
    def vocabulary(self) -> int:
        """V; the id V marks a hole in a canvas."""
        return self.embedding.vocabulary

    def corrupt(self, tokens: Tensor, t: Tensor, eps: Tensor, u: Tensor | None = None) -> Tensor:
        """x_t (B, L, D) of tokens (B, L) from standard normal ε; with u (B, L) uniform, absorbed where u < γ b_t."""
        x_t = self.process.corrupt(self.embedding.encode(tokens), t, eps)
        if u is None or self.absorb == 0:
            return x_t
        return torch.where(u.unsqueeze(-1) < self.absorb * spread(self.process.noise(t)), 0.0, x_t)

    def log_likelihood(self, x_t: Tensor, t: Tensor) -> Tensor:
        """log q(x_t | x_0 = v) of every clean v, (B, L, V): −|x_t − a e_v|²/(2 b²) − D log(b √(2π))."""
        a, b = spread(self.process.signal(t)), spread(self.process.noise(t))
        x_t = x_t.double()
        table = self.embedding.table().to(x_t.dtype)
        distance = x_t.square().sum(-1, keepdim=True) - 2 * a * (x_t @ table.T) + a.square() * table.square().sum(-1)
        return -distance.clamp(min=0) / (2 * b.square()) - self.embedding.width * (b.log() + math.log(2 * math.pi) / 2)

    def prior(self, u: Tensor) -> Tensor:
        """Before a loop begins there are holes: the id V in the shape of u. `place` draws the vectors."""
        return torch.full(u.shape, self.vocabulary, dtype=torch.int64, device=u.device)

    def place(self, state: State, t: Tensor) -> State:
        """A state with vectors: the prior at time t where a position is free, the clean embedding of its pin elsewhere.

        Raises ConfigError for a pin that is no clean token.
        """
        free = torch.ones_like(state.tokens, dtype=torch.bool) if state.free is None else state.free
        pins = torch.where(free, 0, state.tokens)
        if bool(((pins < 0) | (pins >= self.vocabulary)).any()):
            raise ConfigError(f"canvas: expected pins of 0 … {self.vocabulary - 1}, got {pins.min()} … {pins.max()}")
        positions = torch.arange(state.tokens.shape[1], device=pins.device)
        eps = state.normal(0, positions, self.embedding.width, Stream.PRIOR)
        clean = self.embedding.encode(pins).detach().double()
        return replace(state, vectors=torch.where(free.unsqueeze(-1), self.process.prior(eps, t), clean))
