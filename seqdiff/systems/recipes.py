"""Recipes that only compose: a network of some size, a process, a system and its sampler, each with its source.

A builder takes the `model` table (fields of `TransformerConfig`) and the schedule. `[options]` of a training configuration
sets the fields of the system that it gives, `[times]` which times are trained.
"""

from torch import nn

from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.processes.absorbing import Absorbing
from seqdiff.processes.gaussian import VarianceExploding, VariancePreserving
from seqdiff.schedules import Schedule
from seqdiff.systems.base import System
from seqdiff.systems.diffusion_bert import DiffusionBERT
from seqdiff.systems.embedding_diffusion import EmbeddingDiffusion, EmbeddingNetwork
from seqdiff.systems.maskgit import MaskGIT
from seqdiff.systems.mdlm import MDLM
from seqdiff.systems.rdm import RDM
from seqdiff.systems.simplex import SimplexDiffusion
from seqdiff.training.config import from_table

EMBEDDING_WIDTH = 64  # of systems on embeddings, where the model table has no input_width
SIMPLEX_K = 5.0  # SSD-LM's and TESS's

Recipe = tuple[nn.Module, System]


def diffuseq(model: dict, schedule: Schedule) -> Recipe:
    """Diffusion-LM on the target alone: rows are source, separator (the last token, unless `options` says), target.

    Gong et al., DiffuSeq, 2023; the square-root schedule.
    """
    return on_embeddings(model), EmbeddingDiffusion(VariancePreserving(schedule), separator=model["vocabulary"] - 1)


def cdcd(model: dict, schedule: Schedule) -> Recipe:
    """Score interpolation: cross-entropy alone, x̂0 its mean embedding on a sphere, variance exploding, the ODE.

    Dieleman et al., "Continuous diffusion for categorical data", 2022. The noise grows geometrically, whatever the schedule;
    its time warping is `[times] kind = "warped", weighted = false`, a source `options.separator`. Steps of sampling are even in
    log σ, not warped, and pins are scaled as all that the network reads: faint where the noise is large.
    """
    vectors = VarianceExploding(0.5, 50.0)
    system = EmbeddingDiffusion(vectors, sampler="embedded-euler", regression=0.0, scaled=True)
    return on_embeddings(model, "sphere"), system


def ssd_lm(model: dict, schedule: Schedule) -> Recipe:
    """Han et al., SSD-LM, 2022; the squared-cosine schedule. Its blocks from left to right are a matter of prefixes: pins."""
    return on_simplex(model), SimplexDiffusion(VariancePreserving(schedule, SIMPLEX_K))


def tess(model: dict, schedule: Schedule) -> Recipe:
    """Karimi Mahabadi et al., TESS, 2023; the squared-cosine schedule. A source is `options.separator`."""
    return on_simplex(model), SimplexDiffusion(VariancePreserving(schedule, SIMPLEX_K), self_condition=True)


def diffusion_bert(model: dict, schedule: Schedule) -> Recipe:
    """He et al., DiffusionBERT, 2023; the linear schedule."""
    return transformer(model), DiffusionBERT(Absorbing(model["vocabulary"], schedule))


def rdm(model: dict, schedule: Schedule) -> Recipe:
    """Zheng et al., RDM, 2023; the linear schedule."""
    return transformer(model), RDM(Absorbing(model["vocabulary"], schedule))


def dndm(model: dict, schedule: Schedule) -> Recipe:
    """Chen et al., DNDM, 2023: RDM's training, transition times drawn first."""
    return transformer(model), RDM(Absorbing(model["vocabulary"], schedule), sampler="transition-times")


def maskgit(model: dict, schedule: Schedule) -> Recipe:
    """Chang et al., MaskGIT, 2022; the cosine schedule."""
    return transformer(model), MaskGIT(Absorbing(model["vocabulary"], schedule))


def llada(model: dict, schedule: Schedule) -> Recipe:
    """Nie et al., LLaDA, 2025: 1/t · CE under the linear schedule is MDLM's objective; the least sure tokens stay masked."""
    return transformer(model), MDLM(Absorbing(model["vocabulary"], schedule), sampler="confidence")


def transformer(model: dict) -> Transformer:
    """A network that reads ids."""
    return Transformer(from_table(TransformerConfig, model, "model"))


def on_embeddings(model: dict, norm: str = "layer") -> EmbeddingNetwork:
    """A network from vectors to vectors, with the embedding that it learns."""
    E = model.get("input_width", EMBEDDING_WIDTH)
    fields = {"time_input": True, "self_condition": True} | model | {"input_width": E, "output_width": E}
    return EmbeddingNetwork(from_table(TransformerConfig, fields, "model"), norm)


def on_simplex(model: dict) -> Transformer:
    """A network from probabilities (B, L, V) to logits."""
    return transformer({"time_input": True} | model | {"input_width": model["vocabulary"]})
