"""What a job does, as it does it: after each pass the positions that changed, numbered so that a client can go on from any.

A step is a pass of the job's own loop; the same job makes the same steps wherever and whenever it runs, also after a
restart. Only the last steps are kept; a client that asks for older ones gets the rows as they stand, and what follows.
"""

import threading
from collections import OrderedDict, deque
from typing import Any

from torch import Tensor

from seqdiff.alphabet import Alphabet
from seqdiff.samplers.state import State

KEPT = 50_000  # changed positions that are kept of a job
LOGS = 64  # finished jobs whose steps are kept
MOST = 20_000  # positions of one event; of a larger batch the first rows


class Log:
    """The steps of one job. Written by the thread that runs it, read by those who follow it.

    Attributes:
        step: number of the last step.
        ended: whether no more will come.
    """

    def __init__(self, alphabet: Alphabet):
        self._names: list[str | None] = [*alphabet.tokens, None, None]
        self.step = 0
        self.ended = False
        self._kept: deque[tuple[int, int, dict]] = deque()
        self._size = 0
        self._rows: dict[tuple[int, int], list[int]] = {}
        self._keys: list[tuple[int, int]] = []
        self._last: Tensor | None = None
        self._lock = threading.Lock()

    def watch(self, state: State) -> None:
        """The sampler's state before a pass: what changed since the pass before."""
        rows = max(1, MOST // state.tokens.shape[1])
        tokens = state.tokens[:rows].cpu()
        keys = list(zip(state.sample[:rows].tolist(), state.slot[:rows].tolist(), strict=True))
        changed = []
        if self._last is not None and keys == self._keys and self._last.shape == tokens.shape:
            moved = (self._last != tokens).nonzero().tolist()
            by_row: dict[int, dict[str, str | None]] = {}
            for b, i in moved:
                by_row.setdefault(b, {})[str(i)] = self._name(int(tokens[b, i]))
            changed = [row_of(keys[b], positions) for b, positions in by_row.items()]
        else:
            changed = [
                row_of(key, {str(i): self._name(v) for i, v in enumerate(row)})
                for key, row in zip(keys, tokens.tolist(), strict=True)
            ]
        with self._lock:
            self.step += 1
            self._last, self._keys = tokens, keys
            size = sum(len(row["positions"]) for row in changed) + 1
            self._kept.append((self.step, size, {"step": self.step, "changed": changed}))
            self._size += size
            while self._size > KEPT and len(self._kept) > 1:
                self._size -= self._kept.popleft()[1]

    def after(self, step: int) -> list[tuple[str, int, dict]]:
        """(kind, step, data) of what came after a step: "step", or "rows" where steps between are not kept any more."""
        with self._lock:
            if step >= self.step:
                return []
            if self._kept[0][0] <= step + 1:
                return [("step", number, data) for number, _, data in self._kept if number > step]
            assert self._last is not None
            rows = [
                row_of(key, {str(i): self._name(v) for i, v in enumerate(row)})
                for key, row in zip(self._keys, self._last.tolist(), strict=True)
            ]
            return [("rows", self.step, {"step": self.step, "changed": rows})]

    def _name(self, token: int) -> str | None:
        return self._names[token] if token < len(self._names) else None


def row_of(key: tuple[int, int], positions: dict[str, str | None]) -> dict[str, Any]:
    """A row of an event: its place in the request, its particle, and what now stands where; null is a hole."""
    return {"index": key[0], "particle": key[1], "positions": positions}


class Logs:
    """The logs of the jobs that run here, and of the last that did."""

    def __init__(self):
        self._logs: OrderedDict[str, Log] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, job: str, alphabet: Alphabet) -> Log:
        with self._lock:
            log = self._logs[job] = Log(alphabet)
            for old in [name for name, kept in self._logs.items() if kept.ended][: max(0, len(self._logs) - LOGS)]:
                del self._logs[old]
            return log

    def get(self, job: str) -> Log | None:
        with self._lock:
            return self._logs.get(job)
