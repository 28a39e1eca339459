"""Figures of a set of generated molecules. Every one says what it is a share of."""

from domains.smiles.metrics.evaluation import evaluate_set
from domains.smiles.metrics.laws import LEVELS, Law, Reference
from domains.smiles.metrics.sample import Sample

__all__ = ["LEVELS", "Law", "Reference", "Sample", "evaluate_set"]
