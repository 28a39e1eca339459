"""Networks by name: a configuration is a table of plain values, with no Python path in it."""

from dataclasses import asdict
from typing import Any

from torch import nn

from seqdiff.denoisers.causal import Causal, CausalConfig
from seqdiff.denoisers.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from seqdiff.denoisers.esm import Esm, EsmConfig
from seqdiff.denoisers.hugging_face import HuggingFace, HuggingFaceConfig
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.denoisers.unet import UNet, UNetConfig, UNetPlusPlus
from seqdiff.errors import ConfigError
from seqdiff.training.config import from_table

DENOISERS: dict[str, tuple[type[nn.Module], type]] = {
    "transformer": (Transformer, TransformerConfig),
    "unet": (UNet, UNetConfig),
    "unet++": (UNetPlusPlus, UNetConfig),
    "encoder-decoder": (EncoderDecoder, EncoderDecoderConfig),
    "causal": (Causal, CausalConfig),
    "esm": (Esm, EsmConfig),
    "hugging-face": (HuggingFace, HuggingFaceConfig),
}


def denoiser_from_config(config: dict) -> Any:
    """A fresh network of `{"kind": …, field: value, …}`. Raises ConfigError naming an unknown kind, key or wrong type."""
    fields = dict(config)
    kind = fields.pop("kind", None)
    if kind not in DENOISERS:
        raise ConfigError(f"denoiser: expected kind {', '.join(map(repr, DENOISERS))}; got {kind!r}")
    network, config_class = DENOISERS[kind]
    return network(from_table(config_class, fields, "denoiser"))


def denoiser_to_config(denoiser: nn.Module) -> dict:
    """The table from which `denoiser_from_config` makes a network of this kind and size."""
    for kind, (network, _) in DENOISERS.items():
        if type(denoiser) is network:
            return {"kind": kind, **asdict(denoiser.config)}  # type: ignore[arg-type]
    raise ConfigError(f"denoiser: expected one of the kinds {', '.join(DENOISERS)}; got a {type(denoiser).__name__}")
