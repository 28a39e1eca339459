"""A limit of seconds, counted from the start of the process."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """`seconds` from `started`, a reading of `time.monotonic()`."""

    started: float
    seconds: float

    def left(self) -> float:
        return self.started + self.seconds - time.monotonic()

    def without(self, seconds: float) -> "Budget":
        """The same, ending earlier."""
        return Budget(self.started, self.seconds - seconds)
