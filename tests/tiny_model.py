"""A checkpoint of random weights that draws small molecules, some of them valid."""

import torch

from seqdiff.alphabet import Alphabet
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.mdlm import MDLM

TOKENS = ("C", "c", "N", "n", "O", "F", "(", ")", "=", "1", "2", "3", ".", "[nH]", "Cl", "#")


def tiny_checkpoint() -> Checkpoint:
    alphabet = Alphabet("smiles", TOKENS)
    network = Transformer(TransformerConfig(len(TOKENS), width=32, depth=2, heads=2, labels=2))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        network.head.bias[alphabet.ids["C"]] += 2.5
    lengths = {"zinc": [0, 0, 0, 4, 4, 2] + [0] * 35, "chembl": [0] * 10 + [3, 1] + [0] * 28 + [1]}
    system = MDLM(Absorbing(alphabet.mask, Linear()))
    return Checkpoint(
        network.eval().requires_grad_(False), system, alphabet, ("zinc", "chembl"), lengths, {"training_hours": 0.5}
    )
