"""Proteins as sequences of amino acids in one letter."""

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"
