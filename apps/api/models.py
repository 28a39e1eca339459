"""The models that a service offers: bundled ones and those of its own folder, by name; nothing from a request is a path."""

import threading
from pathlib import Path

from apps.api.errors import Refused
from domains.registry import DEFAULT_MODEL, MODEL_NAME, bundled_models
from domains.spec import DesignSpec
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.errors import ConfigError
from seqdiff.samplers.registry import samplers_for
from seqdiff.systems.classifier import Guidance
from seqdiff.systems.registry import KINDS


class Models:
    """Checkpoints by name, loaded once. What only tells about sequences (classifiers) is not offered.

    Args:
        folders: checkpoints beside the bundled ones; of one name they come first.
        offered: names of those that are loaded, () for all. Raises ConfigError for one that is not there.
    """

    def __init__(self, folders: list[Path], offered: tuple[str, ...] = ()):
        self.folders = bundled_models() | {folder.name: folder for folder in folders}
        if unknown := set(offered) - self.folders.keys():
            raise ConfigError(f"serve: offer: expected some of {', '.join(sorted(self.folders))}; got {min(unknown)!r}")
        if offered:
            self.folders = {name: self.folders[name] for name in offered}
        self._loaded: dict[str, Checkpoint] = {}
        self._lock = threading.Lock()

    def load(self) -> None:
        """All of them. Raises CheckpointError: a service does not start with a damaged model."""
        with self._lock:
            for name, folder in self.folders.items():
                checkpoint = load_checkpoint(folder)
                if not isinstance(checkpoint.system, Guidance):
                    self._loaded[name] = checkpoint

    @property
    def names(self) -> list[str]:
        return sorted(self._loaded)

    def name_for(self, model: str | None, domain: str) -> str:
        """The name of a request's model. Raises Refused (404) where there is none of that name."""
        name = model or DEFAULT_MODEL[domain]
        if name not in self._loaded:
            shown = name if MODEL_NAME.fullmatch(name) else "that name"
            raise Refused(404, f"model: there is no {shown} here; there are {', '.join(self.names) or 'none'}")
        return name

    def find(self, spec: DesignSpec) -> tuple[str, Checkpoint]:
        """Name and checkpoint of a request. Raises Refused (404), or ConfigError where it is of another domain."""
        name = self.name_for(spec.model, spec.domain)
        checkpoint = self._loaded[name]
        if domain_of(checkpoint) != spec.domain:
            raise ConfigError(f"model: expected one of {spec.domain}, got {name!r}, of {domain_of(checkpoint)}")
        return name, checkpoint

    def table(self) -> list[dict]:
        """What there is to choose from."""
        return [self.row(name) for name in self.names]

    def row(self, name: str) -> dict:
        checkpoint = self._loaded[name]
        return {
            "id": name,
            "object": "model",
            "domain": domain_of(checkpoint),
            "kind": next(kind for kind, cls in KINDS.items() if type(checkpoint.system) is cls),
            "parameters": sum(p.numel() for p in checkpoint.network.parameters()),
            "classes": list(checkpoint.label_names),
            "max_length": checkpoint.max_length,
            "samplers": samplers_for(checkpoint.process),
            "sha256": checkpoint.sha256,
        }


def domain_of(checkpoint: Checkpoint) -> str:
    """smiles, protein or text: the alphabets of texts say besides how they are made."""
    return checkpoint.alphabet.name.partition("-")[0]
