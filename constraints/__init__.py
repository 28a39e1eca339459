"""The constraint engine: what must hold, compiled once into a Condition for the samplers."""

from constraints.template import Canvas, Gap, Template, de_novo
from constraints.token_sets import TokenSets

__all__ = ["Canvas", "Gap", "Template", "TokenSets", "de_novo"]
