"""What runs in a child process that can be killed: the only place that opens a pickle, and fair-esm for comparison.

A published `.pt` is opened with `weights_only`, which runs no code of the file; the one class allowed besides tensors is
`argparse.Namespace`, which ESM's files hold.
"""

import argparse
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from seqdiff.errors import CheckpointError

PROBE_LENGTH = 60


def unpack(path: str, out: str) -> dict:
    """Write the tensors of a `.pt` file to a safetensors file.

    Returns:
        {"keys": of the outermost dictionary, "arguments": its plain settings, of `cfg.model` or `args`}.

    Raises CheckpointError for what is no such file.
    """
    name = Path(path).name
    content = _open(path)
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not any(isinstance(value, Tensor) for value in model.values()):
        raise CheckpointError(f"{name}: expected the weights of an ESM model under 'model', found none")
    tensors = {key: value.clone().contiguous() for key, value in model.items() if isinstance(value, Tensor)}
    save_file(tensors, out)
    config = content.get("cfg")
    settings = config.get("model") if isinstance(config, dict) else content.get("args")
    settings = vars(settings) if isinstance(settings, argparse.Namespace) else settings if isinstance(settings, dict) else {}
    plain = {str(key): value for key, value in settings.items() if isinstance(value, bool | int | float | str)}
    return {"keys": sorted(map(str, content)), "arguments": plain}


def compare(path: str, folder: str) -> float:
    """The largest difference of logits between fair-esm's own model of a `.pt` file and the folder made of it.

    Two rows of 60 residues, every tenth one masked; 0.0 where they are equal bit for bit.
    """
    from seqdiff.checkpoint import load_checkpoint

    fair = fair_model(path)
    checkpoint = load_checkpoint(folder)
    ours: Any = checkpoint.network
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randint(0, 20, (2, PROBE_LENGTH), generator=generator)
    x_t[:, ::10] = checkpoint.alphabet.mask
    with torch.no_grad():
        tokens, _ = ours.frame(x_t)
        return float((ours.logits(tokens) - fair(tokens)["logits"]).abs().max())


def fair_model(path: str):
    """fair-esm's own model of a `.pt` file, whatever its name, ready for use; its contact weights are not looked for."""
    import esm

    content = _open(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no contact regression
        name = "esm2" if "cfg" in content else "esm1v"
        return esm.pretrained.load_model_and_alphabet_core(name, content)[0].eval()


def _open(path: str):
    name = Path(path).name
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it holds {found[1]}, which is no weight" if found else "it is no file of weights"
        raise CheckpointError(f"{name}: not read: {what}; expected a .pt file as published with ESM") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        if "allocate memory" in str(error):
            raise MemoryError from None
        reason = str(error).partition("\n")[0][:120] or "it ends too soon"
        raise CheckpointError(f"{name}: damaged, or no .pt file as published with ESM ({reason})") from None
