"""The contact map that an imported model predicts from its attention, and its picture.

python -m domains.protein.pretrained.contacts FOLDER SEQUENCE OUT.png
"""

import sys
from pathlib import Path

import torch
from torch import Tensor

from domains.protein.likelihoods import read_sequence
from seqdiff.checkpoint import Checkpoint, load_checkpoint
from seqdiff.denoisers.esm import Esm
from seqdiff.errors import ConfigError

NEAR = 6  # residues along the chain, which touch whatever the fold


@torch.no_grad()
def contact_map(checkpoint: Checkpoint, sequence: str) -> Tensor:
    """(L, L) chances that residues touch (Cβ within 8 Å), L letters of the sequence, a chain break among them being one.

    Raises ConfigError for a model that is no imported one, or whose weights came without a contact regression.
    """
    network = checkpoint.network
    if not isinstance(network, Esm):
        raise ConfigError(f"contacts: expected an imported ESM model, got a {type(network).__name__}; see seqdiff import esm")
    device = next(network.parameters()).device
    ids = read_sequence(sequence, checkpoint.alphabet, checkpoint.max_length)
    return network.contacts(torch.tensor(ids, device=device)).cpu()


def draw_contacts(checkpoint: Checkpoint, sequence: str, path: str | Path) -> None:
    """The map as a PNG: all chances above the diagonal, below it the L most likely that are at least NEAR residues apart."""
    touching = contact_map(checkpoint, sequence)
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    L = len(touching)
    apart = torch.ones(L, L).tril(-NEAR).bool()
    best = torch.where(apart, touching, -1.0).flatten().topk(min(L, int(apart.sum()))).indices
    figure, axis = plt.subplots(figsize=(6, 5.4), layout="constrained")
    shown = touching.triu(1).masked_fill(torch.ones(L, L).tril().bool(), float("nan"))
    image = axis.imshow(shown.numpy(), cmap="Blues", vmin=0, vmax=1, origin="upper")
    axis.scatter((best % L).tolist(), (best // L).tolist(), s=6, color="#0072B2", linewidths=0)
    axis.set_xlim(-0.5, L - 0.5)
    axis.set_ylim(L - 0.5, -0.5)
    axis.set_xlabel("residue, from 0")
    axis.set_ylabel("residue, from 0")
    axis.set_title(f"contacts: chances above, the {len(best)} likeliest {NEAR} or more apart below", fontsize=9)
    figure.colorbar(image, ax=axis, label="chance")
    figure.savefig(path, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        raise ConfigError("contacts: expected the folder of a model, a sequence and a file to write")
    draw_contacts(load_checkpoint(sys.argv[1]), sys.argv[2], sys.argv[3])
