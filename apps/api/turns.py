"""Whose turn it is to compute.

Requests run in threads of one interpreter, and a pass of a network gives the interpreter up and asks for it again at every
operation: a thread that computes beside it would hold it up a hundred times a pass. So one thread computes at a time: the
requests that can, in the order in which they came, and when none can any more the next pass. Who takes longer than a slice
is overtaken: it goes on, and the next one may begin beside it, so that no request waits for all of a large one.
"""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

SLICE = 0.02  # seconds


@dataclass(eq=False)
class Waiter:
    """Who waits for a turn; `uses` is what it must not use beside another, or None."""

    uses: Any = None
    go: threading.Event = field(default_factory=threading.Event)


class Turns:
    """Turns to compute.

    Args:
        slice: seconds after which a turn is overtaken.
    """

    def __init__(self, slice: float = SLICE):
        self.slice = slice
        self._line: deque[Waiter] = deque()
        self._last: Waiter | None = None
        self._held: dict[Waiter, float] = {}  # → since when
        self._change = threading.Condition()
        self._closed, self._idle = False, True
        self._thread = threading.Thread(target=self._overtake, name="turns", daemon=True)
        self._thread.start()

    def take(self, uses: Any = None) -> Waiter:
        """Wait for a turn; it is ended by `give`."""
        mine = Waiter(uses)
        with self._change:
            self._line.append(mine)
            self._next()
        mine.go.wait()
        return mine

    def take_last(self) -> Waiter:
        """Wait until nobody else can compute, and then as long as it takes: this turn is not overtaken. For one thread."""
        mine = Waiter()
        with self._change:
            self._last = mine
            self._next()
        mine.go.wait()
        return mine

    def give(self, turn: Waiter) -> None:
        with self._change:
            del self._held[turn]
            self._next()

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify()
        self._thread.join()

    def _next(self) -> None:
        """Let the first begin that may."""
        now = time.monotonic()
        if all(now - since > self.slice for since in self._held.values()):
            used = [turn.uses for turn in self._held if turn.uses is not None]
            free = (turn for turn in self._line if not any(turn.uses is other for other in used))
            if (chosen := next(free, None)) is not None:
                self._line.remove(chosen)
                self._held[chosen] = now
            elif (chosen := self._last) is not None:
                self._last = None
                self._held[chosen] = math.inf
            if chosen is not None:
                chosen.go.set()
        if self._idle and (self._line or self._last):
            self._change.notify()

    def _overtake(self) -> None:
        """Nobody says that a slice is over: look, as long as somebody waits."""
        with self._change:
            while not self._closed:
                self._idle = not (self._line or self._last)
                self._change.wait(None if self._idle else self.slice)
                self._next()
