"""A checkpoint of random weights that writes a few words of restaurants."""

import torch

from domains.text.tokens import alphabet_of
from seqdiff.checkpoint import Checkpoint
from seqdiff.denoisers.transformer import Transformer, TransformerConfig
from seqdiff.processes.absorbing import Absorbing
from seqdiff.schedules import Linear
from seqdiff.systems.mdlm import MDLM

TEXT = (
    "The Mill is a cheap pub near the river, by Zizzi. A cheap Japanese restaurant serves good food in the riverside area. "
    "Good rivers run; people are running to the old town (a city)! Less than 20? By now it's serving French food"
)
FIELDS = ("area", "food", "name")


def tiny_text(kind: str = "words", texts: str = TEXT, fields=FIELDS, longest: int = 24) -> Checkpoint:
    alphabet = alphabet_of([texts], kind, 1, tuple(f"[{name}]" for name in fields) + ("[text]",) * bool(fields))
    network = Transformer(TransformerConfig(len(alphabet), width=16, depth=1, heads=2, labels=2))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    lengths = {"restaurant": [0] * 5 + [1] * (longest - 4), "scene": [0] * 3 + [1] * 4}
    system = MDLM(Absorbing(alphabet.mask, Linear()))
    return Checkpoint(network.eval().requires_grad_(False), system, alphabet, tuple(lengths), lengths)
