"""Training data as the core sees it: flat arrays of token ids, cut into rows, each with a class and a split.

One safetensors file holds `tokens` (all rows joined), `offsets` (n + 1), `labels` (n) and `held_out` (n), and in its
metadata the alphabet, the names of the classes and where the rows came from. It is all that `seqdiff.training`
and `benchmarks/gpu` need, so that neither imports a domain.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from seqdiff.alphabet import Alphabet
from seqdiff.errors import TrainingError


@dataclass(frozen=True)
class EncodedData:
    """n rows of token ids.

    Attributes:
        alphabet: what the ids mean.
        tokens: (Σ lengths,) unsigned integers.
        offsets: (n + 1,) int64; row i is tokens[offsets[i]:offsets[i + 1]].
        labels: (n,) uint8 class of each row.
        held_out: (n,) bool; these rows are never trained on.
        label_names: names of the classes, () if there are none.
        provenance: free description of the source files (hashes, counts), kept for the model card.
        targets: (n,) float64, the number of each row that a regressor learns, or None.
        target: what that number is, '' if there is none.
    """

    alphabet: Alphabet
    tokens: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    held_out: np.ndarray
    label_names: tuple[str, ...] = ()
    provenance: dict = field(default_factory=dict)
    targets: np.ndarray | None = None
    target: str = ""

    @classmethod
    def from_rows(
        cls, alphabet, rows, labels, held_out, label_names=(), provenance=None, targets=None, target=""
    ) -> "EncodedData":
        """From a list of lists of ids."""
        dtype = np.uint8 if len(alphabet) + 2 <= 256 else np.uint16
        offsets = np.zeros(len(rows) + 1, np.int64)
        offsets[1:] = np.cumsum([len(row) for row in rows])
        tokens = np.fromiter((i for row in rows for i in row), dtype, count=int(offsets[-1]))
        return cls(
            alphabet,
            tokens,
            offsets,
            np.asarray(labels, np.uint8),
            np.asarray(held_out, bool),
            tuple(label_names),
            provenance or {},
            None if targets is None else np.asarray(targets, np.float64),
            target,
        )

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) int64 tokens of each row."""
        return np.diff(self.offsets)

    def rows(self, indices: np.ndarray, length: int) -> Tensor:
        """(B, length) int64 ids of the rows, padded at the end."""
        columns = np.arange(length)
        real = columns < self.lengths[indices, None]
        places = np.where(real, self.offsets[indices, None] + columns, 0)
        return torch.from_numpy(np.where(real, self.tokens[places].astype(np.int64), self.alphabet.pad))

    def rows_of(self, chosen: np.ndarray, most: int) -> list[np.ndarray]:
        """Indices of the first `most` rows where `chosen` (n,) is true, in groups of equal length."""
        indices = np.flatnonzero(chosen)[:most]
        lengths = self.lengths[indices]
        return [indices[lengths == length] for length in np.unique(lengths)]

    def save(self, path: Path) -> None:
        arrays = {
            "tokens": self.tokens,
            "offsets": self.offsets,
            "labels": self.labels,
            "held_out": self.held_out.astype(np.uint8),
            **({} if self.targets is None else {"targets": self.targets}),
        }
        metadata = {
            "format": "seqdiff-data-1",
            "alphabet": self.alphabet.to_json(),
            "label_names": json.dumps(self.label_names),
            "provenance": json.dumps(self.provenance),
            "target": self.target,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        save_file(arrays, partial, metadata)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> "EncodedData":
        """Raises TrainingError if the file is missing, damaged or not written by `save`."""
        if not Path(path).is_file():
            raise TrainingError(f"training data: expected a file at {path}, found none; run the preparation first")
        try:
            with safe_open(path, "np") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise TrainingError(f"training data: {path} is damaged or no safetensors file ({error})") from None
        if metadata.get("format") != "seqdiff-data-1":
            raise TrainingError(f"training data: expected format 'seqdiff-data-1' in {path}, got {metadata.get('format')!r}")
        return cls(
            Alphabet.from_json(metadata["alphabet"]),
            arrays["tokens"],
            arrays["offsets"],
            arrays["labels"],
            arrays["held_out"].astype(bool),
            tuple(json.loads(metadata["label_names"])),
            json.loads(metadata["provenance"]),
            arrays.get("targets"),
            metadata.get("target", ""),
        )

    def digest(self) -> str:
        """sha256 over tokens, offsets, labels, split and targets: two runs with the same digest saw the same data."""
        sha = hashlib.sha256(self.alphabet.to_json().encode())
        for array in (self.tokens, self.offsets, self.labels, self.held_out, *([] if self.targets is None else [self.targets])):
            sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()


class Targets:
    """The number y of a row, found by the row itself: y is a function of x_0, so a batch need not carry it.

    A row's key is Σ_i m_i (x_i + 1) mod 2⁶⁴ with random odd m_i; of equal rows the first one's number counts.
    """

    def __init__(self, data: EncodedData):
        if data.targets is None:
            raise TrainingError("training data: expected a number a row (data.target), got none")
        self.pad, self.numbers = data.alphabet.pad, data.targets
        longest = int(data.lengths.max(initial=1))
        self._m = np.random.Generator(np.random.Philox(key=17)).integers(-(2**62), 2**62, longest) * 2 + 1
        columns = np.arange(len(data.tokens)) - np.repeat(data.offsets[:-1], data.lengths)
        sums = np.concatenate([[0], np.cumsum(self._m[columns] * (data.tokens.astype(np.int64) + 1))])  # wraps, as meant
        self._keys, first = np.unique(sums[data.offsets[1:]] - sums[data.offsets[:-1]], return_index=True)
        self._values = data.targets[first]

    def __call__(self, x_0: Tensor) -> Tensor:
        """(B,) float64 numbers of rows (B, L), padded at the end. Raises TrainingError for a row that the data lack."""
        rows = x_0.cpu().numpy()
        words, beyond = np.split(np.where(rows == self.pad, 0, rows + 1), [min(len(self._m), rows.shape[1])], axis=1)
        keys = (words * self._m[: words.shape[1]]).sum(-1)
        place = np.searchsorted(self._keys, keys).clip(max=len(self._keys) - 1)
        if beyond.any() or not (self._keys[place] == keys).all():
            raise TrainingError("training data: a row is asked for whose number is not known")
        return torch.from_numpy(self._values[place]).to(x_0.device)


@dataclass(frozen=True)
class Batches:
    """Batches of rows of similar length, as a function of (seed, step): nothing to save, nothing to replay.

    An epoch shuffles the rows, sorts them into buckets of `bucket` lengths, and cuts every bucket into batches of at
    most `batch_tokens` tokens. With bucket = 1 no token is padding. What is left over of a bucket is a short batch;
    with an epoch of several `passes` over the rows there are fewer of them.
    """

    data: EncodedData
    batch_tokens: int
    seed: int
    bucket: int = 1
    passes: int = 1

    def epoch(self, number: int) -> list[np.ndarray]:
        """All batches of one epoch, as arrays of row indices, in their shuffled order."""
        generator = np.random.Generator(np.random.Philox(key=[self.seed, number]))
        rows = np.flatnonzero(~self.data.held_out)
        train = np.concatenate([generator.permutation(rows) for _ in range(self.passes)])
        bucket = -(-self.data.lengths[train] // self.bucket)
        order = np.argsort(bucket, kind="stable")
        train, bucket = train[order], bucket[order]
        batches = []
        for chunk in np.split(train, np.flatnonzero(np.diff(bucket)) + 1):
            if len(chunk):
                longest = int(self.data.lengths[chunk].max())
                size = max(1, self.batch_tokens // max(longest, 1))
                batches.extend(chunk[i : i + size] for i in range(0, len(chunk), size))
        return [batches[i] for i in generator.permutation(len(batches))]
