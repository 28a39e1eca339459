"""What is trained on a GPU: one literal table."""

from dataclasses import dataclass, replace

from seqdiff.errors import ConfigError
from seqdiff.training.config import OptimizerConfig, RunConfig, TrainingConfig


@dataclass(frozen=True)
class Preset:
    """A model that can be trained.

    Attributes:
        arrays: file of the prepared data (`benchmarks.prepare`).
        title, about: first line and first paragraph of the model card.
        config: the run; `run.steps` is set by the plan of the run.
    """

    arrays: str
    title: str
    about: str
    config: TrainingConfig

    def on(self, device: str) -> TrainingConfig:
        """The configuration for a device: on a CPU float32 and not compiled."""
        if device.startswith("cuda"):
            return self.config
        return replace(self.config, run=replace(self.config.run, precision="fp32", compile=False))


# As in domains/smiles/presets/smiles-small.toml: marks at the ends of a row, and neighbours seen by a convolution.
LOCAL = {"qk_gain": True, "rotary_base": 100.0, "convolution": 5, "edges": True}

# Lengths are exact (bucket 1): rows of a batch have one length, attention needs no mask and takes the flash kernel, and
# one graph with dynamic shapes is compiled for all. Eight passes an epoch leave few short batches and none of one row,
# which would be compiled on its own. The rate is constant until `hold`, so that its end can be planned while running.
PRESETS = {
    "smiles-small": Preset(
        arrays="smiles-small.safetensors",
        title="seqdiff smiles-small",
        about="A masked diffusion model of drug-like molecules as canonical SMILES, with two classes: zinc and chembl.",
        config=TrainingConfig(
            model={"width": 256, "depth": 7, "heads": 4, **LOCAL},
            optimizer=OptimizerConfig(kind="muon", lr=8e-3, lr_rest=4e-3, warmup=500, hold=0.5, ema=0.9995),
            run=RunConfig(
                batch_tokens=65_536,
                passes=8,
                precision="bf16",
                compile=True,
                eval_every=5_000,
                eval_rows=256,
                checkpoint_every=5_000,
            ),
        ),
    ),
    "trial": Preset(
        arrays="smiles-small.safetensors",
        title="seqdiff trial",
        about="A network too small to be of use, to see in seconds that everything runs.",
        config=TrainingConfig(
            model={"width": 32, "depth": 2, "heads": 2, **LOCAL},
            optimizer=OptimizerConfig(kind="muon", lr=1e-2, warmup=10, hold=0.5, ema=0.99),
            run=RunConfig(batch_tokens=512, passes=8, compile=True, eval_every=50, eval_rows=16, checkpoint_every=50),
        ),
    ),
}


def get_preset(name: str) -> Preset:
    """Raises ConfigError for an unknown name."""
    if name not in PRESETS:
        raise ConfigError(f"--model: expected one of {', '.join(PRESETS)}; got {name!r}")
    return PRESETS[name]
