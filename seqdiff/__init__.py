"""seqdiff: designs structured sequences by diffusion. The core; it knows tokens as integers and no domain.

`seqdiff.design`, `seqdiff.DesignSpec` and `seqdiff.Design` are re-exported lazily from `domains.design`, so that
importing this package imports nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domains.design import Design, Designs, DesignSpec, design

__version__ = "0.1.0"
__all__ = ["Design", "DesignSpec", "Designs", "design"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("domains.design"), name)
    raise AttributeError(f"module 'seqdiff' has no attribute {name!r}")
