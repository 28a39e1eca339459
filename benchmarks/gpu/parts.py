"""What leaves the machine: the averaged model as a zip, and a resumable state in a few small files.

    MODEL.zip                           checkpoint folder of the averaged weights, float16
    state-1.safetensors, state-2 …      weights in float16, moments of the optimisers in bfloat16, ≤ PART_BYTES each
    log.jsonl                           the log of the run so far

From these files another machine goes on with the run. What rounding and lack of space cost is said in `lost`.
"""

import json
import shutil
import zipfile
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch import Tensor

from seqdiff.errors import TrainingError

FORMAT = "seqdiff-gpu-state-1"
PART_BYTES = 15_000_000
PARTS = 3
FILES, TOTAL_BYTES = 8, 60_000_000
CHECKPOINT_FILES = ("config.json", "model.safetensors", "alphabet.json", "README.md")
ROUNDED = "weights and averaged weights rounded to float16, moments of the optimisers to bfloat16"
NO_MOMENTS = "weights and averaged weights rounded to float16, moments left out: they restart at zero"


def pack_checkpoint(folder: Path, path: Path) -> None:
    """The four files of a checkpoint folder in one zip, the same bytes for the same checkpoint."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in CHECKPOINT_FILES:
            archive.writestr(zipfile.ZipInfo(name), (folder / name).read_bytes())


def unpack_checkpoint(path: Path, folder: Path) -> Path:
    """The checkpoint folder of a zip. Raises TrainingError if it is not one that `pack_checkpoint` wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in CHECKPOINT_FILES:
        (folder / name).write_bytes(_from_zip(path, name))
    return folder


def export_state(state: Path, plan: dict, out: Path) -> dict:
    """Write `train.safetensors` as parts to `out`, replacing older ones; returns {"parts", "bytes", "lost"}.

    The averaged weights are left to the checkpoint's zip.
    """
    with safe_open(state, "pt") as file:
        progress = file.metadata()["progress"]
        names = [name for name in file.keys() if not name.startswith("ema.")]  # noqa: SIM118
        tensors = {name: _small(name, file.get_tensor(name)) for name in names}
    parts, lost = split(tensors), ROUNDED
    if len(parts) > PARTS:
        parts, lost = split({k: v for k, v in tensors.items() if k.startswith("model.")}), NO_MOMENTS
    if len(parts) > PARTS:
        raise TrainingError(
            f"state: expected weights of at most {PARTS} files of {PART_BYTES / 1e6:.0f} MB, got {len(parts)}; "
            f"the whole state stays in {state}"
        )
    for old in out.glob("state-[0-9].safetensors"):
        old.unlink()
    size = 0
    for i, part in enumerate(parts):
        metadata = {"format": FORMAT, "part": f"{i + 1} of {len(parts)}", "progress": progress, "lost": lost}
        path = out / f"state-{i + 1}.safetensors"
        save_file(part, path, metadata | {"plan": json.dumps(plan)})
        size += path.stat().st_size
    return {"parts": len(parts), "bytes": size, "lost": lost}


def split(tensors: dict[str, Tensor], limit: int = PART_BYTES) -> list[dict[str, Tensor]]:
    """The tensors in order, cut into dictionaries of at most `limit` bytes, names and shapes counted in.

    Raises TrainingError if one tensor alone is larger.
    """
    parts: list[dict[str, Tensor]] = []
    room = 0
    for name, tensor in tensors.items():
        size = tensor.nbytes + len(name) + 100
        if size > limit - 5000:  # the header's own fields: plan and progress
            raise TrainingError(f"state: expected tensors of at most {limit / 1e6:.0f} MB, {name} has {size / 1e6:.0f} MB")
        if size > room:
            parts.append({})
            room = limit - 5000
        parts[-1][name] = tensor
        room -= size
    return parts


def restore(source: Path, model: str, folder: Path) -> dict:
    """Rebuild the run in `folder` from the parts in `source`; returns its plan with what was `lost` on the way.

    Raises TrainingError for missing, mixed or damaged parts.
    """
    paths = sorted(source.glob("state-[0-9].safetensors"), key=lambda path: int(path.stem.split("-")[1]))
    tensors, metadata = {}, []
    for path in paths:
        try:
            with safe_open(path, "pt") as file:
                metadata.append(file.metadata() or {})
                tensors |= {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise TrainingError(f"{path}: damaged part of a state ({error}); copy it again") from None
    wanted = [f"{i + 1} of {len(paths)}" for i in range(len(paths))]
    same = len({(m.get("format"), m.get("progress")) for m in metadata}) == 1
    if not paths or not same or metadata[0].get("format") != FORMAT or [m["part"] for m in metadata] != wanted:
        found = ", ".join(f"{p.name} ({m.get('part', 'no part')})" for p, m in zip(paths, metadata, strict=True))
        raise TrainingError(
            f"--resume {source}: expected all parts state-1.safetensors … of one state, got {found or 'none'}; "
            "copy the files of one export, and no others"
        )
    averaged = load(_from_zip(source / f"{model}.zip", "model.safetensors"))
    tensors |= {f"ema.{name}": tensor.float() for name, tensor in averaged.items()}
    folder.mkdir(parents=True, exist_ok=True)
    if (source / "log.jsonl").exists():
        shutil.copyfile(source / "log.jsonl", folder / "log.jsonl")
    save_file(tensors, folder / "train.safetensors", {"progress": metadata[0]["progress"]})
    return json.loads(metadata[0]["plan"]) | {"lost": metadata[0]["lost"]}


def check_files(out: Path) -> dict[str, int]:
    """File → bytes of all in `out`. Raises TrainingError above FILES files, TOTAL_BYTES, or PART_BYTES in one file."""
    sizes = {str(path.relative_to(out)): path.stat().st_size for path in sorted(out.rglob("*")) if path.is_file()}
    if len(sizes) > FILES or sum(sizes.values()) > TOTAL_BYTES or max(sizes.values(), default=0) > PART_BYTES:
        found = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in sizes.items())
        raise TrainingError(
            f"{out}: expected at most {FILES} files of {PART_BYTES / 1e6:.0f} MB, {TOTAL_BYTES / 1e6:.0f} MB together, "
            f"got {found}; use an empty folder for every slice"
        )
    return sizes


def _small(name: str, tensor: Tensor) -> Tensor:
    if tensor.ndim == 0 or not tensor.is_floating_point():
        return tensor
    return tensor.to(torch.float16 if name.startswith("model.") else torch.bfloat16).contiguous()


def _from_zip(path: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{path}: expected a zip with a checkpoint's {name}, could not read it ({error})") from None
