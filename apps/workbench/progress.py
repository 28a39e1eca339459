"""What a run does now, for the pages that look at it."""

import threading
import time
from dataclasses import dataclass, field


@dataclass
class Progress:
    """What a run does now, for the pages that look at it.

    Attributes:
        done: places of the request that are finished, of `total`.
        filled: of the batch at work, place → the share of its holes that is filled.
        phase: "waiting", "reading", "designing".
        frames: states of one row as tokens, None for what is not yet revealed; `place` is its place in the request.
        free: which positions of the row are designed.
        job: the service's job, where a service makes the run.
    """

    total: int
    keep: bool = False
    done: int = 0
    filled: dict[int, float] = field(default_factory=dict)
    phase: str = "waiting"
    begun: float = 0.0
    frames: list[list[str | None]] = field(default_factory=list)
    free: list[bool] = field(default_factory=list)
    place: int = -1
    job: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    sessions: set[str] = field(default_factory=set)

    @property
    def part(self) -> float:
        """What is done of the batch at work, in designs."""
        return sum(self.filled.values())

    @property
    def rate(self) -> float:
        """Designs a second, with what is done of the batch at work; 0 before there is any."""
        return (self.done + self.part) / max(time.monotonic() - self.begun, 1e-9) if self.begun else 0.0

    @property
    def left(self) -> float | None:
        """Seconds that are left, None while nobody can tell."""
        return max(0.0, self.total - self.done - self.part) / self.rate if self.rate else None
