"""A published language model as a denoiser, run by transformers' own classes: a masked one, or a causal one without causality.

    frame    our ids → the model's, its marks before and after each row
    forward  logits of our tokens alone, so that no special token can be drawn; the head is computed at `positions` alone

A causal model that was trained further as a masked one is read with a mask under which every position sees every other:
LLaDA's predicts the token at its own place, Dream's, as DiffuGPT's, the token after it (`shift`).

transformers is imported when such a network is made, and nowhere else. It is given plain settings, of its own classes; no
code comes with a model, and none is looked for.

Sources: He et al., DiffusionBERT, 2023; Nie et al., LLaDA, 2025; Ye et al., "Dream 7B", 2025; Gong et al., "Scaling diffusion
language models via adaptation from autoregressive models", 2025 (shift).
Shapes: B batch, L our length, T its length, V our clean vocabulary, D width, P queried positions.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqdiff.errors import ConfigError

_AT: ContextVar[Tensor | None] = ContextVar("places that the head is computed at", default=None)


@dataclass(frozen=True)
class HuggingFaceConfig:
    """The model, and how our tokens are its.

    Attributes:
        vocabulary: V.
        published: its settings as in its own config.json, `model_type` among them.
        ids: (V + 2) its ids of our clean tokens, of the mask and of the pad.
        before, after: its ids around each row.
        causal: whether it is a causal language model, read without causality.
        shift: whether what it says at a place is of the token after it.
        places: longest row with what stands around it; 0: no limit.
    """

    vocabulary: int
    published: dict
    ids: tuple[int, ...]
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    causal: bool = False
    shift: bool = False
    places: int = 0

    def __post_init__(self):
        if self.vocabulary < 1 or len(self.ids) != self.vocabulary + 2:
            raise ConfigError(
                f"model.ids: expected an id of each of the {self.vocabulary} tokens, of mask and pad, got {len(self.ids)}"
            )


class HuggingFace(nn.Module):
    """Denoiser: `forward(x_t, t, label, lengths, positions) → logits` over the clean tokens; t and label are not read.

    Args:
        inner: the model, if it is there already; otherwise one is made of `config.published`, with fresh weights.
    """

    labels = 0
    needs_time = False
    _ids: Tensor

    def __init__(self, config: HuggingFaceConfig, inner: nn.Module | None = None):
        super().__init__()
        self.config = config
        self.inner: Any = language_model(config.published, config.causal) if inner is None else inner
        if self.inner.base_model is self.inner:
            raise ConfigError(f"model: expected a body with a head, got a {type(self.inner).__name__}")
        size = self.inner.config.vocab_size
        if not all(0 <= i < size for i in (*config.ids, *config.before, *config.after)):
            raise ConfigError(f"model.ids: expected ids of the model's {size} tokens, got some beyond")
        self.register_buffer("_ids", torch.tensor(config.ids), persistent=False)
        self.inner.base_model.register_forward_hook(_kept)
        self._same = _twice(self.inner)
        self.register_state_dict_post_hook(_without_copies)
        self.register_load_state_dict_pre_hook(_with_copies)

    @property
    def vocabulary(self) -> int:
        return self.config.vocabulary

    def forward(
        self,
        x_t: Tensor,
        t: Tensor | None = None,
        label: Tensor | None = None,
        lengths: Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """Logits of p(x0 | x_t), (B, L, V), or (B, P, V) at `positions` (B, P).

        Args:
            x_t: (B, L) int64, clean ids, the mask V or the pad V + 1.
            lengths: (B,) int64, real length of each row; None if all are L.
        """
        tokens, real = self.frame(x_t, lengths)
        if positions is None:
            positions = torch.arange(x_t.shape[1], device=x_t.device).expand(x_t.shape)
        at = len(self.config.before) + positions
        at = (at - 1).clamp(min=0) if self.config.shift else at
        seen = real[:, None, None].expand(-1, -1, real.shape[1], -1) if self.config.causal else real.long()
        token = _AT.set(at)
        try:
            logits = self.inner(input_ids=tokens, attention_mask=seen).logits
        finally:
            _AT.reset(token)
        return logits[..., self._ids[: self.vocabulary]]

    def frame(self, x_t: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Its tokens (B, T), and which of them are no padding (B, T) bool."""
        (B, L), first, last = x_t.shape, len(self.config.before), len(self.config.after)
        T = first + L + last
        if self.config.places and self.config.places < T:
            raise ConfigError(
                f"rows: this model has {self.config.places} places, {first + last} of them for the marks at the ends: expected "
                f"at most {self.config.places - first - last} tokens, got {L}"
            )
        lengths = torch.full((B,), L, device=x_t.device) if lengths is None else lengths
        place, stop = torch.arange(T, device=x_t.device).expand(B, T), (first + lengths).unsqueeze(1)
        tokens = torch.full((B, T), int(self._ids[-1]), device=x_t.device)
        tokens[:, first : first + L] = self._ids[x_t]
        tokens = torch.where(place < stop, tokens, self._ids[-1])
        for k, mark in enumerate(self.config.before):
            tokens[:, k] = mark
        for k, mark in enumerate(self.config.after):
            tokens = torch.where(place == stop + k, mark, tokens)
        return tokens, place < stop + last


def language_model(published: dict, causal: bool) -> nn.Module:
    """A model of transformers' own classes with fresh weights. Raises ConfigError for settings that are none of its own."""
    try:
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM
    except ImportError:
        raise ConfigError("model: this one is run by transformers, which is not installed (pip install transformers)") from None
    if "auto_map" in published:
        raise ConfigError("model.published: auto_map names code that would come with the model; none is run")
    try:
        config = AutoConfig.for_model(**published)
        if causal:  # its mask is ours, and one that this attention reads
            return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", trust_remote_code=False)
        return AutoModelForMaskedLM.from_config(config, trust_remote_code=False)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"model.published: transformers makes no model of {published.get('model_type')!r} ({reason})"
        ) from None


def _kept(module: nn.Module, given, output: Any) -> Any:
    """Of what the body hands to the head, the places that are asked for."""
    at = _AT.get()
    if at is None:
        return None
    h = output.last_hidden_state
    output.last_hidden_state = h.gather(1, at.unsqueeze(-1).expand(-1, -1, h.shape[-1]))
    return output


def _twice(inner: nn.Module) -> dict[str, str]:
    """Name → the name before it of the same tensor: a head that shares the embedding's matrix is stored once."""
    first: dict[int, str] = {}
    named = [*inner.named_parameters(remove_duplicate=False), *inner.named_buffers(remove_duplicate=False)]
    return {f"inner.{name}": kept for name, w in named if (kept := first.setdefault(id(w), f"inner.{name}")) != f"inner.{name}"}


def _without_copies(module: Any, weights: dict, prefix: str, *_) -> None:
    for name in module._same:
        weights.pop(prefix + name, None)


def _with_copies(module: Any, weights: dict, prefix: str, *_) -> None:
    for name, kept in module._same.items():
        if prefix + kept in weights and prefix + name not in weights:
            weights[prefix + name] = weights[prefix + kept]
