"""Systems by name: built fresh from the size of a network, or from the tables of a checkpoint. No Python path is recorded."""

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from torch import nn

from seqdiff.denoisers.causal import Causal, CausalConfig
from seqdiff.denoisers.classifier import Classifier, ClassifierConfig
from seqdiff.denoisers.registry import denoiser_from_config, denoiser_to_config
from seqdiff.denoisers.transformer import TransformerConfig
from seqdiff.errors import ConfigError
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.base import TokenProcess
from seqdiff.processes.gaussian import Straight, VarianceExploding, VariancePreserving, VectorProcess
from seqdiff.processes.registry import process_from_config, process_to_config
from seqdiff.processes.uniform import Uniform
from seqdiff.schedules import Schedule, schedule_from_config, schedule_to_config
from seqdiff.systems import recipes
from seqdiff.systems.autoregressive import Autoregressive
from seqdiff.systems.base import System
from seqdiff.systems.classifier import Classification, Regression, Tagging
from seqdiff.systems.d3pm import D3PM
from seqdiff.systems.diffusion_bert import DiffusionBERT
from seqdiff.systems.embedding_diffusion import EmbeddingDiffusion, EmbeddingNetwork
from seqdiff.systems.maskgit import MaskGIT
from seqdiff.systems.mdlm import MDLM
from seqdiff.systems.rdm import RDM
from seqdiff.systems.recipes import on_embeddings, transformer
from seqdiff.systems.sedd import SEDD
from seqdiff.systems.simplex import SimplexDiffusion
from seqdiff.training.config import from_table

KINDS: dict[str, Any] = {
    "mdlm": MDLM,
    "sedd": SEDD,
    "d3pm": D3PM,
    "embedding": EmbeddingDiffusion,
    "autoregressive": Autoregressive,
    "simplex": SimplexDiffusion,
    "diffusion-bert": DiffusionBERT,
    "rdm": RDM,
    "maskgit": MaskGIT,
    "classifier": Classification,
    "regressor": Regression,
    "tagger": Tagging,
}
VECTORS: dict[str, Any] = {
    "variance-preserving": VariancePreserving,
    "variance-exploding": VarianceExploding,
    "straight": Straight,
}
NOT_SAVED = ("process", "vectors", "targets")  # fields of a system that are no plain value of its table


def _mdlm(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return transformer(model), MDLM(Absorbing(model["vocabulary"], schedule))


def _sedd(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return transformer(model), SEDD(Absorbing(model["vocabulary"], schedule))


def _d3pm_uniform(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return transformer({"time_input": True} | model), D3PM(Uniform(model["vocabulary"], schedule))


def _diffusion_lm(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return on_embeddings(model), EmbeddingDiffusion(VariancePreserving(schedule))


def _flow(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    """The straight path has no schedule of its own; t is its parameter."""
    return on_embeddings(model), EmbeddingDiffusion(Straight(), sampler="embedded-euler")


def _autoregressive(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return Causal(from_table(CausalConfig, model, "model")), Autoregressive()


SYSTEMS: dict[str, Callable[[dict, Schedule], tuple[nn.Module, System]]] = {
    "mdlm": _mdlm,
    "sedd": _sedd,
    "d3pm-uniform": _d3pm_uniform,
    "diffusion-lm": _diffusion_lm,
    "flow": _flow,
    "autoregressive": _autoregressive,
    "diffuseq": recipes.diffuseq,
    "cdcd": recipes.cdcd,
    "ssd-lm": recipes.ssd_lm,
    "tess": recipes.tess,
    "diffusion-bert": recipes.diffusion_bert,
    "rdm": recipes.rdm,
    "dndm": recipes.dndm,
    "maskgit": recipes.maskgit,
    "llada": recipes.llada,
}


def _classifier(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return _on_noise(model, model["labels"]), Classification(_noise(model, schedule))


def _regressor(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return _on_noise(model, 0), Regression(_noise(model, schedule))


def _tagger(model: dict, schedule: Schedule) -> tuple[nn.Module, System]:
    return _on_noise(model | {"positions": True}, model.get("classes", 0)), Tagging(_noise(model, schedule))


GUIDES: dict[str, Callable[[dict, Schedule], tuple[nn.Module, System]]] = {
    "classifier": _classifier,
    "regressor": _regressor,
    "tagger": _tagger,
}


def build_system(name: str, model: dict, schedule: dict) -> tuple[nn.Module, System]:
    """A fresh network of the `model` table (a denoiser's fields, vocabulary among them) and its system.

    Raises ConfigError for an unknown name, field or schedule.
    """
    if name not in SYSTEMS | GUIDES:
        raise ConfigError(f"system: expected one of {', '.join(SYSTEMS | GUIDES)}; got {name!r}")
    return (SYSTEMS | GUIDES)[name](model, schedule_from_config(schedule))


def system_to_config(network: nn.Module, system: System) -> dict:
    """Tables "system", "denoiser" and "process" of plain values, from which `system_from_config` builds both again."""
    kind = next(name for name, cls in KINDS.items() if type(system) is cls)
    options = {f.name: getattr(system, f.name) for f in fields(system) if f.name not in NOT_SAVED}  # type: ignore[arg-type]
    if isinstance(network, EmbeddingNetwork):
        denoiser = {"kind": "embedding", "norm": network.embedding.norm, **asdict(network.config)}
    elif isinstance(network, Classifier):
        denoiser = {"kind": "classifier", **asdict(network.config)}
    else:
        denoiser = denoiser_to_config(network)  # type: ignore[arg-type]
    if isinstance(system, EmbeddingDiffusion | SimplexDiffusion):
        process = _vectors_to_config(system.vectors)
    else:
        process = None if system.process is None else process_to_config(system.process)
    return {"system": {"kind": kind, **options}, "denoiser": denoiser, "process": process}


def system_from_config(config: dict) -> tuple[nn.Module, System]:
    """The inverse of `system_to_config`, with fresh weights; a table without "system" is MDLM's.

    Raises ConfigError or KeyError for what is unknown or missing.
    """
    denoiser, options = dict(config["denoiser"]), dict(config.get("system", {"kind": "mdlm"}))
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise ConfigError(f"system: expected kind to be one of {', '.join(KINDS)}; got {kind!r}")
    if denoiser.get("kind") == "embedding":
        norm = {key: denoiser.pop(key) for key in ("kind", "norm")}["norm"]
        network: nn.Module = EmbeddingNetwork(from_table(TransformerConfig, denoiser, "denoiser"), norm)
    elif denoiser.get("kind") == "classifier":
        sizes = {key: value for key, value in denoiser.items() if key != "kind"}
        network = Classifier(from_table(ClassifierConfig, sizes, "denoiser"))
    else:
        network = denoiser_from_config(denoiser)
    process = config["process"]
    try:
        if KINDS[kind] in (EmbeddingDiffusion, SimplexDiffusion):
            system: System = KINDS[kind](_vectors_from_config(process), **options)
        elif kind == "autoregressive":
            system = Autoregressive(**options)
        else:
            system = KINDS[kind](process_from_config(process, denoiser["vocabulary"]), **options)
    except TypeError as error:
        raise ConfigError(f"system {kind!r}: {error}") from None
    return network, system


def _vectors_to_config(process: VectorProcess) -> dict:
    kind = next(name for name, cls in VECTORS.items() if type(process) is cls)
    values = {f.name: getattr(process, f.name) for f in fields(process)}  # type: ignore[arg-type]
    return {"kind": kind, **{k: schedule_to_config(v) if k == "schedule" else v for k, v in values.items()}}


def _vectors_from_config(config: dict) -> VectorProcess:
    values = dict(config)
    kind = values.pop("kind", None)
    if kind not in VECTORS:
        raise ConfigError(f"process: expected kind to be one of {', '.join(VECTORS)}; got {kind!r}")
    if "schedule" in values:
        values["schedule"] = schedule_from_config(values["schedule"])
    return VECTORS[kind](**values)


def _on_noise(model: dict, classes: int) -> Classifier:
    """`trunk_labels` are the classes of a denoiser whose trunk is taken over; `labels` are those that are told apart."""
    sizes = {key: value for key, value in model.items() if key not in ("process", "labels", "trunk_labels")}
    sizes |= {"time_input": model.get("time_input", model.get("process") == "uniform")}
    sizes |= {"classes": classes, "labels": model.get("trunk_labels", 0)}
    return Classifier(from_table(ClassifierConfig, sizes, "model"))


def _noise(model: dict, schedule: Schedule) -> TokenProcess:
    """The process whose x_t is read: `model.process`, the absorbing one if none is named."""
    processes = {"absorbing": Absorbing, "uniform": Uniform}
    name = model.get("process", "absorbing")
    if name not in processes:
        raise ConfigError(f"model.process: expected one of {', '.join(processes)}; got {name!r}")
    return processes[name](model["vocabulary"], schedule)
