"""Systems by name: what to build from the size of a network. A configuration names them; no Python path is recorded."""

from collections.abc import Callable

from torch import nn

from seqdiff.denoisers.causal import Causal, CausalConfig
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.gaussian import Straight, VariancePreserving
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Schedule, schedule_from_config
from seqdiff.systems.autoregressive import Autoregressive
from seqdiff.systems.base import System
from seqdiff.systems.d3pm import D3PM
from seqdiff.systems.embedding_diffusion import EmbeddingDiffusion, EmbeddingNetwork
from seqdiff.systems.mdlm import MDLM
from seqdiff.systems.sedd import SEDD
from seqdiff.training.config import from_table

EMBEDDING_WIDTH = 64  # of systems on embeddings, where the model table has no input_width


def _mdlm(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return _transformer(model), MDLM(Absorbing(model["vocabulary"], schedule))


def _sedd(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return _transformer(model), SEDD(Absorbing(model["vocabulary"], schedule))


def _d3pm_uniform(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return _transformer({"time_input": True} | model), D3PM(Uniform(model["vocabulary"], schedule))


def _diffusion_lm(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return _on_embeddings(model), EmbeddingDiffusion(VariancePreserving(schedule))


def _flow(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    """The straight path has no schedule of its own; t is its parameter."""
    return _on_embeddings(model), EmbeddingDiffusion(Straight(), sampler="embedded-euler")


def _autoregressive(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return Causal(from_table(CausalConfig, model, "model")), Autoregressive()


SYSTEMS: dict[str, Callable[[dict, Schedule], tuple[nn.Module, System]]] = {
    "mdlm": _mdlm,
    "sedd": _sedd,
    "d3pm-uniform": _d3pm_uniform,
    "diffusion-lm": _diffusion_lm,
    "flow": _flow,
    "autoregressive": _autoregressive,
}


def build_system(name: str, model: dict, schedule: dict) -> tuple[nn.Module, System]:
    """A fresh network of the `model` table (a denoiser's fields, vocabulary among them) and its system.

    Raises ConfigError for an unknown name, field or schedule.
    """
    if name not in SYSTEMS:
        raise ConfigError(f"system: expected one of {', '.join(SYSTEMS)}; got {name!r}")
    return SYSTEMS[name](model, schedule_from_config(schedule))


def _transformer(model: dict) -> Transformer:
    return Transformer(from_table(TransformerConfig, model, "model"))


def _on_embeddings(model: dict) -> EmbeddingNetwork:
    E = model.get("input_width", EMBEDDING_WIDTH)
    fields = {"time_input": True, "self_condition": True} | model | {"input_width": E, "output_width": E}
    return EmbeddingNetwork(from_table(TransformerConfig, fields, "model"))
