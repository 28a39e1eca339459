"""Pre-encoded training data of the bundled models: `python -m benchmarks.prepare --data DIR --out FOLDER`.

Reads the molecules, proteins and texts of a data folder with the domains' own readers, and writes one file of token
ids per model. Training (`seqdiff train`, `benchmarks.gpu`) reads these files and needs no domain library.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqdiff.errors import ConfigError, SeqdiffError
from seqdiff.training.data import EncodedData

LIMIT_BYTES = 60_000_000  # of all prepared files together, so that they travel to a GPU machine with the code


@dataclass(frozen=True)
class Dataset:
    """One prepared file.

    Attributes:
        file: its name in the output folder.
        make: data folder → encoded rows.
    """

    file: str
    make: Callable[[Path], EncodedData]


def smiles(data: Path) -> EncodedData:
    """Molecules of ZINC (class "zinc") and of ChEMBL 22 (class "chembl"), canonical, up to 96 tokens."""
    from domains.smiles.data import Source, encode_files

    sources = [
        Source(str(data / "molecules" / "zinc250k.smi.xz"), "zinc"),
        Source(str(data / "molecules" / "chembl22_bioactive.smi.xz"), "chembl"),
    ]
    return encode_files(sources)


DATASETS = {
    "smiles": Dataset("smiles-small.safetensors", smiles),
}


def prepare(data: Path, out: Path, names: Sequence[str]) -> None:
    """Write the named datasets to `out` and print a line for each.

    Raises ConfigError for an unknown name, a missing source file, or if all prepared files there exceed LIMIT_BYTES.
    """
    for name in names:
        if name not in DATASETS:
            raise ConfigError(f"--only: expected one of {', '.join(DATASETS)}; got {name!r}")
    for name in names:
        started = time.monotonic()
        encoded = DATASETS[name].make(data)
        path = out / DATASETS[name].file
        encoded.save(path)
        print(
            f"{path}: {len(encoded.lengths):,} rows ({int(encoded.held_out.sum()):,} held out), "
            f"{len(encoded.tokens):,} tokens of {len(encoded.alphabet)}, "
            f"classes {', '.join(encoded.label_names) or 'none'}, "
            f"{path.stat().st_size / 1e6:.1f} MB, {time.monotonic() - started:.0f} s",
            flush=True,
        )
    check_size(out)


def check_size(out: Path) -> int:
    """Bytes of all prepared files in `out`. Raises ConfigError above LIMIT_BYTES."""
    files = [out / dataset.file for dataset in DATASETS.values()]
    sizes = {path.name: path.stat().st_size for path in files if path.exists()}
    total = sum(sizes.values())
    if total > LIMIT_BYTES:
        parts = ", ".join(f"{file} {size / 1e6:.1f} MB" for file, size in sizes.items())
        raise ConfigError(
            f"prepared data: expected at most {LIMIT_BYTES / 1e6:.0f} MB in {out}, got {total / 1e6:.1f} MB ({parts}); "
            "take fewer or shorter rows"
        )
    return total


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prepare", description="Pre-encoded data of the bundled models.")
    parser.add_argument("--data", type=Path, required=True, help="data folder with molecules/, proteins/, text/")
    parser.add_argument("--out", type=Path, required=True, help="folder for the prepared files")
    parser.add_argument("--only", nargs="+", default=list(DATASETS), metavar="NAME", help=f"of {', '.join(DATASETS)}")
    options = parser.parse_args(arguments)
    try:
        prepare(options.data, options.out, options.only)
    except SeqdiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
