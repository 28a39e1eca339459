"""The domains there are, and the bundled models: literal tables and folders, nothing registers itself."""

import importlib
import re
from pathlib import Path
from types import ModuleType

from seqdiff.errors import CheckpointError, ConfigError

DOMAINS = {"smiles": "domains.smiles.domain", "protein": "domains.protein.domain", "text": "domains.text.domain"}
DEFAULT_MODEL = {"smiles": "smiles-small", "protein": "protein-small", "text": "text-small"}
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def get_domain(name: str) -> ModuleType:
    """The module that adapts a domain (see `domains/smiles/domain.py` for the contract). Raises ConfigError."""
    if name not in DOMAINS:
        raise ConfigError(f"domain: expected one of {', '.join(DOMAINS)}; got {name!r}")
    return importlib.import_module(DOMAINS[name])


def get_wishes(name: str) -> ModuleType:
    """The module in which a domain reads what is wished: `read_wish`."""
    return importlib.import_module(get_domain(name).__name__.removesuffix(".domain") + ".wishes")


def bundled_models() -> dict[str, Path]:
    """Name → folder of every model that comes with the project."""
    root = Path(__file__).parent
    return {path.parent.name: path.parent for domain in DOMAINS for path in sorted(root.glob(f"{domain}/models/*/config.json"))}


def find_model(name_or_path: str | None, domain: str) -> Path:
    """Folder of a model given by bundled name or by path; None is the domain's default.

    A name has no slash; a path has one (`./mine`). Raises CheckpointError saying which names there are.
    """
    wanted = name_or_path or DEFAULT_MODEL[domain]
    bundled = bundled_models()
    if MODEL_NAME.fullmatch(wanted) and wanted in bundled:
        return bundled[wanted]
    if "/" in wanted and Path(wanted).is_dir():
        return Path(wanted)
    raise CheckpointError(
        f"model: expected a bundled name ({', '.join(bundled) or 'none there'}) or the path of a checkpoint folder "
        f"with a slash in it (./runs/mine); got {wanted!r}"
    )
